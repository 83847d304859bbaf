import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import anyio
import discord
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from socbot.config import StorageConfig
from socbot.dispatch.replies import Reply
from socbot.storage.database import Database
from socbot.testing import FakeClock
from socbot.transports.discord.logins import (
    BUCKET_SPACING,
    DAY,
    HOUR,
    Login,
    Logins,
    SessionLimit,
    wait_of,
)
from socbot.transports.discord.preflight import session_limit
from tests.standin import Standin
from tests.transports.discord.clocks import HastyClock

LIMIT = SessionLimit(1000, 1000, DAY, 1)


@pytest.fixture
def clock() -> HastyClock:
    return HastyClock()


@pytest.fixture
async def database(tmp_path: Path, clock: HastyClock) -> AsyncIterator[Database]:
    async with opened(tmp_path, clock) as database:
        yield database


@asynccontextmanager
async def opened(folder: Path, clock: FakeClock) -> AsyncIterator[Database]:
    async with Database.open(StorageConfig(url=f"sqlite:///{folder}/data/socbot.db"), clock) as database:
        yield database


async def stored(database: Database) -> list[float]:
    rows = await database.read(lambda connection: connection.execute("SELECT at FROM gateway_logins ORDER BY at"))
    return [at for (at,) in rows]


class Gateway:
    """Counts logins as Discord does: in windows of a day that begin with the first login."""

    def __init__(self, clock: FakeClock, total: int = 1000) -> None:
        self.clock, self.total = clock, total
        self.logins: list[tuple[float, int]] = []
        self._since = -DAY

    def limit(self) -> SessionLimit:
        now = self.clock.monotonic()
        if now - self._since >= DAY:
            self._since = now
        used = sum(at >= self._since for at, _ in self.logins)
        return SessionLimit(self.total, self.total - used, self._since + DAY - now, 1)

    def login(self, shard: int) -> None:
        assert self.limit().remaining > 0, "the token was reset"
        self.logins.append((self.clock.monotonic(), shard))

    def most_in_a_day(self) -> int:
        times = [at for at, _ in self.logins]
        return max(sum(0 <= at - first < DAY for at in times) for first in times)

    def gaps(self, shard: int) -> list[float]:
        times = [at for at, number in self.logins if number == shard]
        return [after - before for before, after in pairwise(times)]


async def crash_loop(database: Database, clock: HastyClock, restarts: int, shards: int, told: list[Reply]) -> Gateway:
    gateway = Gateway(clock)
    for _ in range(restarts):
        logins = Logins(database, clock, told.append)
        await logins.ready(range(shards), shards, gateway.limit())
        for shard in range(shards):
            await logins.take(shard, shards, gateway.limit())
            assert len(await stored(database)) >= 1  # before the IDENTIFY
            gateway.login(shard)
        clock.forward(1.0)
    return gateway


def check_crash_loop(gateway: Gateway, shards: int) -> None:
    times = [at for at, _ in gateway.logins]
    assert all(after - before >= 5 for before, after in pairwise(times))
    assert gateway.most_in_a_day() <= 500
    for shard in range(shards):
        assert all(gap >= 300 for gap in gateway.gaps(shard)[8:])


@pytest.mark.promise("P14")
async def test_a_crash_loop_logs_in_less_and_less_often(database: Database, clock: HastyClock) -> None:
    told: list[Reply] = []
    gateway = await crash_loop(database, clock, restarts=20, shards=4, told=told)
    check_crash_loop(gateway, 4)
    gaps = gateway.gaps(0)
    assert all(gap < 30 for gap in gaps[:2]), "an ordinary restart or two is not held up"
    assert gaps[-1] >= 300
    assert any("crashing" in str(reply) for reply in told)


@pytest.mark.slow
@pytest.mark.promise("P14")
async def test_three_hundred_restarts_cost_half_of_what_discord_allows_at_most(
    database: Database, clock: HastyClock
) -> None:
    gateway = await crash_loop(database, clock, restarts=300, shards=4, told=[])
    assert len(gateway.logins) == 1200
    check_crash_loop(gateway, 4)
    assert gateway.gaps(0)[-1] >= 1000


@settings(max_examples=12)
@example(shards=4, buckets=1, uptimes=[1.0])
@example(shards=80, buckets=16, uptimes=[0.0])
@given(st.integers(1, 80), st.integers(1, 16), st.lists(st.floats(0, 7200), min_size=1, max_size=8))
def test_no_pattern_of_restarts_costs_the_token(shards: int, buckets: int, uptimes: list[float]) -> None:
    clock = FakeClock()
    gateway = Gateway(clock)
    history: list[Login] = []
    began, turn = clock.monotonic(), 0
    while (now := clock.monotonic()) - began < 2 * DAY and turn < 800:
        shard = turn % shards
        history = [login for login in history if login.at > now - DAY]
        clock.forward(wait_of(history, now, shard, shards, replace(gateway.limit(), max_concurrency=buckets)))
        history.append(Login(shard, shards, clock.monotonic()))
        gateway.login(shard)
        assert len(history) <= 500 or shards > 8
        clock.forward(uptimes[turn % len(uptimes)] if shard == shards - 1 else 0.0)
        turn += 1


@pytest.mark.promise("P14")
@pytest.mark.parametrize("remaining", [49, 50, 0])
async def test_with_few_logins_left_none_is_sent_and_the_owner_is_told(
    database: Database, clock: HastyClock, remaining: int
) -> None:
    told: list[Reply] = []
    logins = Logins(database, clock, told.append)
    began = clock.monotonic()
    await logins.ready([0], 1, SessionLimit(1000, remaining, 5 * HOUR, 1))
    assert clock.monotonic() - began >= 5 * HOUR
    assert await stored(database) == []
    [reply] = told
    assert f"{remaining} more logins out of 1000" in str(reply)


@pytest.mark.promise("P14")
async def test_a_login_while_it_runs_keeps_the_reserve_too(tmp_path: Path) -> None:
    clock = FakeClock()
    async with opened(tmp_path, clock) as database:
        logins = Logins(database, clock, lambda reply: None)
        with anyio.move_on_after(0.2) as gave_up:
            await logins.take(0, 1, SessionLimit(1000, 50, HOUR, 1))
        assert gave_up.cancelled_caught
        assert await stored(database) == []


async def test_what_discord_said_last_is_counted_down(database: Database, clock: HastyClock) -> None:
    logins = Logins(database, clock, lambda reply: None)
    await logins.take(0, 1, SessionLimit(1000, 52, 10 * HOUR, 1))
    await logins.take(0, 1)
    began = clock.monotonic()
    await logins.take(0, 1)
    assert clock.monotonic() - began > 9 * HOUR


@pytest.mark.promise("P14")
async def test_shards_of_one_bucket_take_turns_and_the_others_do_not_wait(
    database: Database, clock: HastyClock
) -> None:
    logins = Logins(database, clock, lambda reply: None)
    limit = SessionLimit(1000, 1000, DAY, 2)
    times = []
    for shard in range(4):
        await logins.take(shard, 4, limit)
        times.append(clock.monotonic() - 1_000)
    assert times == [0, 0, BUCKET_SPACING, BUCKET_SPACING]


async def test_shards_that_come_at_once_take_turns(database: Database, clock: HastyClock) -> None:
    logins = Logins(database, clock, lambda reply: None)
    async with anyio.create_task_group() as tasks:
        for shard in range(4):
            tasks.start_soon(logins.take, shard, 4, LIMIT)
    times = await stored(database)
    assert len(times) == 4
    assert all(after - before >= 5 for before, after in pairwise(times))


async def test_a_wait_that_is_cut_off_records_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    async with opened(tmp_path, clock) as database:
        logins = Logins(database, clock, lambda reply: None)
        await logins.take(0, 1, LIMIT)
        with anyio.move_on_after(0.1):
            await logins.take(0, 1, LIMIT)
        assert len(await stored(database)) == 1


@pytest.mark.parametrize("step", [-400 * DAY, -DAY, -HOUR, -1.0, HOUR, 400 * DAY])
async def test_a_stepped_clock_keeps_nobody_from_logging_in(database: Database, clock: HastyClock, step: float) -> None:
    before = Logins(database, clock, lambda reply: None)
    for _ in range(12):
        await before.take(0, 1, LIMIT)
    clock.step(step)
    began = clock.monotonic()
    for restart in range(3):
        after = Logins(database, clock, lambda reply: None)
        await after.take(0, 1, LIMIT)
        assert clock.monotonic() - began <= 300 * (restart + 1) + 1
    began = clock.monotonic()
    await before.take(0, 1, LIMIT)
    assert clock.monotonic() - began <= 301, "nor in a process that lived through it"


async def test_what_is_older_than_a_day_is_forgotten(database: Database, clock: HastyClock) -> None:
    logins = Logins(database, clock, lambda reply: None)
    for _ in range(3):
        await logins.take(0, 1, LIMIT)
    clock.forward(DAY + 1)
    await logins.take(0, 1, LIMIT)
    assert len(await stored(database)) == 1


async def test_without_its_store_it_counts_in_memory_says_so_once_and_catches_up(
    tmp_path: Path, clock: HastyClock
) -> None:
    told: list[Reply] = []
    async with opened(tmp_path, clock) as database:
        logins = Logins(database, clock, told.append)
        await logins.take(0, 1, LIMIT)
        await database.write(lambda connection: connection.execute("ALTER TABLE gateway_logins RENAME TO away"))
        times = []
        for _ in range(4):
            await logins.take(0, 1, LIMIT)
            times.append(clock.monotonic())
        assert times[3] - times[2] >= 30, "as it waits with its store"
        assert len([reply for reply in told if "memory" in str(reply)]) == 1
        await database.write(lambda connection: connection.execute("ALTER TABLE away RENAME TO gateway_logins"))
        await logins.take(0, 1, LIMIT)
        assert len(await stored(database)) == 6


# -- with the library -------------------------------------------------------------------------------------


class Client(discord.AutoShardedClient):
    """Logs in as the bot does, and notes what was stored and what Discord had heard of when it was let through."""

    def __init__(self, standin: Standin, database: Database, clock: FakeClock, shards: int) -> None:
        super().__init__(intents=discord.Intents(guilds=True), shard_count=shards)
        self._standin, self._database = standin, database
        self.told: list[Reply] = []
        self._logins = Logins(database, clock, self.told.append)
        self.passed: list[tuple[int, int]] = []

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        await self._logins.take(shard_id or 0, self.shard_count or 1, await session_limit(self))
        self.passed.append((len(await stored(self._database)), len(self._standin.gateway.identifies)))


@asynccontextmanager
async def connected(standin: Standin, client: Client) -> AsyncIterator[Client]:
    running = asyncio.create_task(client.start(standin.token))
    try:
        yield client
    finally:
        await client.close()
        await running


@pytest.mark.promise("P14")
async def test_each_login_is_on_disk_before_it_is_sent(standin: Standin, database: Database, clock: HastyClock) -> None:
    async with connected(standin, Client(standin, database, clock, shards=3)) as client:
        await standin.gateway.ready(3)
    assert client.passed == [(1, 0), (2, 1), (3, 2)]


@pytest.mark.promise("P14")
async def test_a_session_is_resumed_where_it_can_be_and_that_is_no_login(
    standin: Standin, database: Database, clock: HastyClock
) -> None:
    async with connected(standin, Client(standin, database, clock, shards=1)):
        await standin.gateway.ready()
        for number in range(1, 6):
            standin.gateway.drop() if number % 2 else standin.gateway.reconnect()
            await standin.gateway.resumed(number)
        assert len(standin.gateway.identifies) == len(await stored(database)) == 1
        standin.gateway.invalidate()
        await standin.gateway.identified(2)
        assert len(await stored(database)) == 2


@pytest.mark.promise("P14")
async def test_the_library_sends_no_login_while_the_reserve_is_reached(
    standin: Standin, database: Database, clock: HastyClock
) -> None:
    standin.gateway.remaining = 49
    began = clock.monotonic()
    async with connected(standin, Client(standin, database, clock, shards=1)) as client:
        await standin.gateway.ready()
    assert clock.monotonic() >= began + standin.gateway.reset_after
    assert client.passed == [(1, 0)]
    [reply] = client.told
    assert "49 more logins" in reply.text


async def test_a_login_waits_for_no_answer_about_the_limit(
    standin: Standin, database: Database, clock: HastyClock
) -> None:
    standin.limits.always("GET", "/gateway/bot", 403)
    async with connected(standin, Client(standin, database, clock, shards=1)):
        await standin.gateway.ready()
    assert len(standin.limits.requests("GET", "/gateway/bot")) == 1
