"""A disk that is full, or that nothing may be written to: nothing is lost, nothing is claimed, and it is said."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import anyio
import httpx
import pytest

from socbot.config import StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.testing import owner_said, said
from socbot.web import Web
from tests.conftest import MakeBot
from tests.killing import fill, small_disk, traced

WRITER = (sys.executable, str(Path(__file__).with_name("storage") / "writer.py"))
pytestmark = pytest.mark.slow  # they mount, or run under strace


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def status(web: Web, path: str) -> int:
    """What a probe is answered, as a balancer asks it."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(web.address + path)).status_code


def stored(connection: Connection) -> set[int]:
    return {int(key) for (key,) in connection.execute("SELECT key FROM settings")}


def written_without_room(url: str, number: int) -> "subprocess.CompletedProcess[bytes]":
    """A process that writes 40 numbers, to which the ``number``-th write says that there is no room."""
    inject = f"inject=pwrite64:error=ENOSPC:when={number}"
    return traced([*WRITER, url, "0", "40", "1"], "-e", "trace=pwrite64", "-e", inject)


@pytest.mark.promise("P19")
async def test_no_write_that_found_the_disk_full_is_acknowledged(tmp_path: Path) -> None:
    """The room is gone at the 1st, 2nd, … 60th write to the store, those that make it among them."""
    failed = 0
    for number in range(1, 61):
        config = StorageConfig(url=f"sqlite:///{tmp_path}/{number}/socbot.db")
        done = await anyio.to_thread.run_sync(written_without_room, config.url, number)
        printed = done.stdout.decode()
        kept = {int(each) for each in re.findall(r"^kept (\d+)$", printed, re.MULTILINE)}
        failures = re.findall(r"^failed (\d+) (.*)$", printed, re.MULTILINE)
        failed += bool(failures) or done.returncode != 0
        assert all("no room is left" in text for _, text in failures), failures
        if done.returncode:
            assert b"StoreFull" in done.stderr
        async with Database.open(config, SystemClock()) as database:
            there = await database.read(stored)
        assert kept <= there
        assert not {int(each) for each, _ in failures} & there
    assert failed > 40


@pytest.mark.promise("P19")
async def test_a_bot_on_a_full_disk_still_refuses_and_recovers_by_itself(tmp_path: Path, make_bot: MakeBot) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        async with (
            make_bot(storage=StorageConfig(url=f"sqlite:///{disk}/data/socbot.db"), jobs=True) as bot,
            Web(bot) as web,
        ):
            assert await status(web, "/readyz") == 200
            assert (await bot.dispatch(owner_said("!blacklist_add user 900 spam"))).status == "ok"
            ballast = fill(disk)
            acknowledged = []
            for user in range(1000, 1040):
                outcome = await bot.dispatch(owner_said(f"!blacklist_add user {user} {'more spam ' * 90}"))
                assert outcome.reply is not None
                if outcome.status == "ok":
                    acknowledged.append(str(user))
            assert len(acknowledged) < 40
            listed = {entry.id for entry in await bot.blacklist.entries()}
            assert listed == {"900", *acknowledged}
            assert (await bot.dispatch(said("!ping", "900"))).refused_by == "blacklist"
            assert (await bot.dispatch(said("!ping", "42"))).status == "ok"
            with anyio.fail_after(10):
                while await status(web, "/readyz") != 503:  # noqa: ASYNC110 (asked again, as a balancer does)
                    await anyio.sleep(0.2)
            assert await status(web, "/livez") == 200, "no restart would mend that"
            ballast.unlink()
            with anyio.fail_after(10):
                while await status(web, "/readyz") != 200:  # noqa: ASYNC110 (as above)
                    await anyio.sleep(0.2)
            assert (await bot.dispatch(owner_said("!blacklist_add user 902 spam"))).status == "ok"
    shutil.rmtree(tmp_path / "disk")


@pytest.mark.promise("P19")
def test_a_folder_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m", options="ro") as disk:
        environment = {"SOCBOT_STORAGE__URL": f"sqlite:///{disk}/data/socbot.db", "PATH": "/usr/bin"}
        done = subprocess.run(
            [sys.executable, "-m", "socbot", "run", "--transport", "console"],
            cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=30,
        )  # fmt: skip
        assert done.returncode == 1
        assert b"Read-only file system" in done.stderr
        assert b"Traceback" not in done.stderr
