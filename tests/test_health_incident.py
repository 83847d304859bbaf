"""An incident from its cause to its last notice: a whole bot whose store is taken away from it, and given back."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import pytest
from msgspec import structs

from socbot.bot import Bot
from socbot.config import HealthConfig, StorageConfig, Threshold, WebhooksConfig
from socbot.dispatch.replies import Reply
from socbot.storage.database import StoreBusy
from socbot.testing import FakeClock, owner_said, said
from tests.conftest import MakeBot
from tests.killing import fill, small_disk
from tests.postgresql import running_server
from tests.receiver import Receiver

OFF = ("cpu", "machine_cpu", "memory")
"""What the machine that runs the tests is doing besides."""

HEALTH = HealthConfig(interval=60.0, off=OFF)
BEGAN, ENDED = "🩺 Health: unhealthy", "🩺 Health: recovered"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@contextmanager
def held(path: str) -> Iterator[None]:
    """Somebody else writes to the store, and does not come to an end."""
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
    finally:
        other.close()


async def rounds(bot: Bot, clock: FakeClock, count: int) -> None:
    for _ in range(count):
        clock.forward(60)
        await bot.health.check()
        await bot.health.readiness.look()


async def history(bot: Bot) -> Reply:
    reply = (await bot.dispatch(owner_said("!health_history"))).reply
    assert reply is not None
    return reply


def titles(notices: list[Reply]) -> list[str]:
    return [notice.title for notice in notices if "Health" in notice.title]


@pytest.mark.promise("P52")
async def test_a_store_that_is_held_is_told_once_and_its_recovery_too(
    make_bot: MakeBot, clock: FakeClock, notices: list[Reply], tmp_path: Path
) -> None:
    path = f"{tmp_path}/data/socbot.db"
    storage = StorageConfig(url=f"sqlite:///{path}", busy_timeout=0.1)
    async with make_bot(clock=clock, storage=storage, health=HEALTH) as bot:
        await rounds(bot, clock, 2)
        assert bot.health.ready.ok
        with held(path):
            await rounds(bot, clock, 4)
            assert titles(notices) == [BEGAN]
            assert "**database** unhealthy since" in notices[-1].items[0]
            assert "StoreBusy" in notices[-1].items[0]
            assert bot.health.live.ok
            assert not bot.health.ready.ok
            assert any(reason.startswith("database: StoreBusy") for reason in bot.health.ready.reasons)
            public = (await bot.dispatch(said("!health"))).reply
            assert public is not None
            assert public.title == "❌ Health: unhealthy"
            assert "StoreBusy" not in str(public)
        await rounds(bot, clock, 3)
        assert titles(notices) == [BEGAN, ENDED]
        assert bot.health.ready.ok
        told = await history(bot)
        (incident,) = [item for item in told.items if "**database**" in item]
        assert incident.startswith("❌ **database** unhealthy from <t:")
        assert "(4m)" in incident
        assert {field.name: field.value for field in told.fields}["Rounds"] == "9"
        signals = await bot.database.read(
            lambda c: c.execute("SELECT title, severity, count FROM signals WHERE kind = 'health' ORDER BY at, title")
        )
        assert ("Health: database is unhealthy", "critical", 1) in signals
        assert ("Health: database is healthy again", "info", 1) in signals
    async with make_bot(clock=clock, storage=storage, health=HEALTH) as bot:
        assert bot.health.lasting == ()
        assert any("**database**" in item for item in (await history(bot)).items)


@pytest.mark.promise("P48")
async def test_a_command_of_several_writes_is_done_wholly_or_not_at_all(
    make_bot: MakeBot, clock: FakeClock, tmp_path: Path
) -> None:
    path = f"{tmp_path}/data/socbot.db"
    storage = StorageConfig(url=f"sqlite:///{path}", busy_timeout=0.2)
    async with make_bot(clock=clock, storage=storage) as bot:
        assert (await bot.dispatch(owner_said("!blacklist_add user 900 spam"))).status == "ok"
        kept = await written_down(bot)
        with held(path):
            for text in ("!blacklist_add user 901 spam", "!blacklist_remove user 900", "!alert critical raid"):
                outcome = await bot.dispatch(owner_said(text))
                assert outcome.status == "failed"
                assert isinstance(outcome.error, StoreBusy)
            assert (await bot.dispatch(said("!ping", "900"))).refused_by == "blacklist"
            assert (await bot.dispatch(said("!ping", "901"))).status == "ok"
        assert await written_down(bot) == kept
    clock.forward(60)
    async with make_bot(clock=clock, storage=storage) as bot:
        assert (await bot.dispatch(said("!ping", "900"))).refused_by == "blacklist"
        assert (await bot.dispatch(said("!ping", "901"))).status == "ok"


async def written_down(bot: Bot) -> list[object]:
    tables = ("blacklist", "signals", "deliveries")
    return [await bot.database.read(lambda c, table=table: c.execute(f"SELECT * FROM {table}")) for table in tables]  # type: ignore[misc]


OWN = """
import time
from socbot import command

@command("spin", permission="public")
async def spin(ctx):
    time.sleep(0.8)
    return "done"

COMMANDS = (spin,)
"""


@pytest.mark.promise("P50")
def test_a_running_bot_tells_where_its_loop_stood_still(tmp_path: Path) -> None:
    (tmp_path / "own_commands.py").write_text(OWN)
    (tmp_path / "config.yaml").write_text("handlers: [own_commands]\n")
    done = subprocess.run(
        [sys.executable, "-m", "socbot", "run"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        input="!ping\n!spin\n!health\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    (loop,) = [line for line in done.stdout.splitlines() if "event_loop" in line]
    assert "unhealthy" in loop
    assert "at own_commands.py:7 in spin" in loop
    log = (tmp_path / "logs" / "bot.log").read_text()
    assert "ERROR - the event loop stands still at " in log
    assert "time.sleep(0.8)" in log


@asynccontextmanager
async def hurrying(clock: FakeClock) -> AsyncIterator[None]:
    """Time passes about a hundred times as fast."""

    async def hurry() -> None:
        while True:
            clock.forward(1.0)
            await anyio.sleep(0.01)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hurry)
        yield
        tasks.cancel_scope.cancel()


async def until(happened: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if happened():
            return
        await anyio.sleep(0.01)
    raise AssertionError("it did not happen in 20 s")


@pytest.mark.promise("P52")
async def test_the_jobs_see_it_by_themselves(
    make_bot: MakeBot, clock: FakeClock, notices: list[Reply], tmp_path: Path
) -> None:
    path = f"{tmp_path}/data/socbot.db"
    storage = StorageConfig(url=f"sqlite:///{path}", busy_timeout=0.1)
    async with make_bot(clock=clock, storage=storage, health=HEALTH, jobs=True) as bot, hurrying(clock):
        await until(lambda: bot.health.ready.ok)
        with held(path):
            await until(lambda: not bot.health.ready.ok)
            await until(lambda: BEGAN in titles(notices))
        await until(lambda: bot.health.ready.ok)
        await until(lambda: ENDED in titles(notices))


async def test_the_dead_mans_switch_of_a_whole_bot_is_called(make_bot: MakeBot, clock: FakeClock) -> None:
    async with Receiver() as receiver:
        health = HealthConfig(off=OFF, dead_mans_switch=receiver.url("/alive/geheim"))
        allowed = WebhooksConfig(allow=("127.0.0.0/8",))
        async with make_bot(clock=clock, health=health, webhooks=allowed) as bot:
            await rounds(bot, clock, 1)
            await receiver.wait_for(1)
            for text in ("!health", "!health_config", "!config health"):
                assert "geheim" not in str((await bot.dispatch(owner_said(text))).reply)
        assert receiver.requests[0].path == "/alive/geheim"


@pytest.mark.slow
@pytest.mark.promise("P52")
async def test_a_postgresql_that_stops_and_starts(make_bot: MakeBot, clock: FakeClock, notices: list[Reply]) -> None:
    with running_server() as server:
        storage = StorageConfig(url=server.new_database(), busy_timeout=0.5)
        async with make_bot(clock=clock, storage=storage, health=HEALTH) as bot:
            await rounds(bot, clock, 2)
            assert bot.health.ready.ok
            await anyio.to_thread.run_sync(server.stop, "immediate")
            await rounds(bot, clock, 3)
            assert titles(notices) == [BEGAN]
            assert not bot.health.ready.ok
            assert bot.health.live.ok
            await anyio.to_thread.run_sync(server.start)
            await rounds(bot, clock, 4)
            assert titles(notices) == [BEGAN, ENDED]
            assert bot.health.ready.ok
            (incident,) = [item for item in (await history(bot)).items if "**database**" in item]
            assert incident.startswith("❌ **database** unhealthy from <t:")


@pytest.mark.slow
@pytest.mark.promise("P52")
async def test_a_disk_that_fills_up(make_bot: MakeBot, clock: FakeClock, notices: list[Reply], tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "16m") as disk:
        storage = StorageConfig(url=f"sqlite:///{disk}/socbot.db")
        async with make_bot(clock=clock, storage=storage, health=HEALTH) as bot:
            await rounds(bot, clock, 2)
            ballast = fill(disk)
            await rounds(bot, clock, 4)
            assert [title for title in titles(notices) if title == BEGAN]
            assert "**disk** unhealthy" in str(notices)
            assert not bot.health.ready.ok
            assert any("StoreFull" in reason for reason in bot.health.ready.reasons)
            ballast.unlink()
            await rounds(bot, clock, 4)
            assert bot.health.ready.ok
            assert titles(notices)[-1] == ENDED


READ = """
import sqlite3, sys
connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM settings").fetchone()
print("reading", flush=True)
sys.stdin.read()
"""


@asynccontextmanager
async def read_by_another(path: Path) -> AsyncIterator[None]:
    """Another program reads the store, and does not come to an end within the block."""
    pipe = subprocess.PIPE
    async with await anyio.open_process([sys.executable, "-c", READ, str(path)], stdin=pipe, stdout=pipe) as reader:
        assert reader.stdout is not None
        assert (await reader.stdout.receive()).strip() == b"reading"
        try:
            yield
        finally:
            reader.terminate()
            await reader.wait()


async def write_much(bot: Bot, megabytes: int) -> None:
    sql = "INSERT OR REPLACE INTO settings (key, value, set_by, set_at) VALUES ('big', hex(randomblob(500000)), '', 0)"
    for _ in range(megabytes):
        await bot.database.write(lambda connection: connection.change(sql))


def incident_of_the_log(notices: list[Reply]) -> list[str]:
    return [notice.title for notice in notices if any("**wal**" in item for item in notice.items)]


@pytest.mark.promise("P48")
async def test_a_reader_who_does_not_end_is_told_before_the_log_fills_the_disk(
    make_bot: MakeBot, clock: FakeClock, notices: list[Reply], tmp_path: Path
) -> None:
    health = structs.replace(HEALTH, wal_mb=Threshold(20, 512))
    async with make_bot(clock=clock, health=health) as bot:
        await write_much(bot, 30)
        await rounds(bot, clock, 3)
        assert incident_of_the_log(notices) == [], "with nobody reading it is emptied again and again"
        async with read_by_another(tmp_path / "data" / "socbot.db"):
            await write_much(bot, 30)
            await rounds(bot, clock, 4)
            assert incident_of_the_log(notices) == ["🩺 Health: degraded"]
            assert bot.health.ready.ok
            assert (await bot.dispatch(said("!ping"))).status == "ok"
        await write_much(bot, 2)
        assert (bot.database.wal_size or 0) <= 16 * 1024 * 1024
        await rounds(bot, clock, 4)
        assert incident_of_the_log(notices) == ["🩺 Health: degraded", ENDED]


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.promise("P48")
async def test_a_reader_of_ten_minutes_is_told_and_delays_no_command(
    make_bot: MakeBot, clock: FakeClock, notices: list[Reply], tmp_path: Path
) -> None:
    """As many transactions as ten minutes have, a telemetry flush each 250 ms, at 200 commands a second."""
    async with make_bot(clock=clock, health=HEALTH) as bot:
        async with read_by_another(tmp_path / "data" / "socbot.db"):
            took: list[float] = []
            for _ in range(10):
                for number in range(12_000):
                    began = time.perf_counter()
                    assert (await bot.dispatch(said("!ping", f"{number + 1_000}"))).status == "ok"
                    took.append(time.perf_counter() - began)
                    clock.forward(0.005)
                    if number % 50 == 49:
                        await bot.telemetry.flush()
                await rounds(bot, clock, 1)
            assert incident_of_the_log(notices) == ["🩺 Health: degraded"]
            grown = bot.database.wal_size or 0
            assert 64e6 < grown < 2_400 * 100_000, "no more than what was written, by the page"
            first, last = percentile(took[:12_000]), percentile(took[-12_000:])
            assert last <= first + 0.010
        await write_much(bot, 2)
        assert (bot.database.wal_size or 0) <= 16 * 1024 * 1024
        await rounds(bot, clock, 4)
        assert incident_of_the_log(notices) == ["🩺 Health: degraded", ENDED]


def percentile(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]
