"""What was acknowledged is there after kill -9, and is on the disk rather than in a cache."""

import random
import re
import sys
from pathlib import Path

import anyio
import pytest

from socbot.config import StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from tests.killing import output_until_killed, traced

WRITER = (sys.executable, str(Path(__file__).with_name("writer.py")))
KEPT = re.compile(rb"^kept (\d+)$", re.MULTILINE)


def stored(connection: Connection) -> list[int]:
    return [int(key) for (key,) in connection.execute("SELECT key FROM settings ORDER BY key")]


async def numbers_in(config: StorageConfig) -> list[int]:
    """What is in the store, which must open and be sound."""
    async with Database.open(config, SystemClock()) as database:
        assert await database.read(lambda connection: connection.execute("PRAGMA integrity_check")) == [("ok",)]
        return await database.read(stored)


def acknowledged_until_killed(url: str, first: int, seconds: float) -> set[int]:
    """Let a writer run for ``seconds`` from its first acknowledgement, then kill it; return what it acknowledged."""
    output = output_until_killed([*WRITER, url, str(first), "1000000", "4"], seconds)
    return {int(number) for number in KEPT.findall(output)}


async def kill_rounds(config: StorageConfig, rounds: int) -> None:
    chance = random.Random(2)
    there: list[int] = []
    for _ in range(rounds):
        seconds = chance.uniform(0.001, 0.040)
        kept = await anyio.to_thread.run_sync(acknowledged_until_killed, config.url, len(there), seconds)
        there = await numbers_in(config)
        assert there == list(range(len(there))), "a gap"
        assert kept, "the writer did nothing"
        assert kept <= set(there), "acknowledged, but lost"


@pytest.mark.promise("P02")
async def test_what_was_acknowledged_survives_kill_9(sqlite: StorageConfig) -> None:
    await kill_rounds(sqlite, 20)


@pytest.mark.slow
@pytest.mark.promise("P02")
async def test_what_was_acknowledged_survives_500_kills(sqlite: StorageConfig) -> None:
    await kill_rounds(sqlite, 500)


def written(config: StorageConfig, count: int, *options: str, trace: Path) -> str:
    """Run a writer of ``count`` numbers under strace; return what it printed."""
    return traced([*WRITER, config.url, "0", str(count), "1"], *options, trace=trace).stdout.decode()


@pytest.mark.slow
@pytest.mark.promise("P03")
def test_every_acknowledgement_follows_a_write_to_the_disk(sqlite: StorageConfig, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    printed = written(sqlite, 200, "-e", "trace=fdatasync,fsync,write", trace=trace)
    assert printed.count("kept") == 200
    synced, acknowledgements = 0, 0
    for line in trace.read_text().splitlines():
        if re.search(r"fdatasync.* = 0", line):
            synced += 1
        elif re.search(r'write\(1<[^>]*>, "kept', line):
            assert synced, f"acknowledged without a sync: {line}"
            synced, acknowledgements = 0, acknowledgements + 1
    assert acknowledgements == 200


@pytest.mark.slow
@pytest.mark.promise("P03")
async def test_a_failed_write_to_the_disk_is_never_acknowledged(tmp_path: Path) -> None:
    failed = 0
    for number in range(1, 61):
        config = StorageConfig(url=f"sqlite:///{tmp_path}/{number}/socbot.db")
        inject = ["-e", "trace=fdatasync,write", "-e", f"inject=fdatasync:error=EIO:when={number}"]
        trace = tmp_path / f"trace{number}"
        printed = written(config, 60, *inject, trace=trace)
        before, injected, after = trace.read_text().partition("(INJECTED)")
        assert injected
        if "socbot.db" not in before.splitlines()[-1]:  # the folder's: SQLite does not rely on it
            continue
        answers = re.findall(r'write\(1<[^>]*>, "(\w+) \d', after)
        assert answers[:1] in ([], ["failed"]), "a commit that failed was acknowledged"
        failures = len(re.findall(r"^failed \d", printed, re.MULTILINE))
        assert failures <= 1, "after one failure the store goes on"
        failed += failures
        kept = {int(number) for number in re.findall(r"^kept (\d+)$", printed, re.MULTILINE)}
        assert kept <= set(await numbers_in(config))
    assert failed > 40
