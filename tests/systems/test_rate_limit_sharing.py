"""One limit over several processes, on a real PostgreSQL."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psycopg
import pytest

from socbot.config import BlacklistConfig, Config, RateLimitConfig, StorageConfig, decode
from socbot.documents import ConfigError
from socbot.storage.database import Database, StoreError
from socbot.systems.blacklist import Blacklist
from socbot.systems.rate_limit import RateLimiter
from socbot.testing import FakeClock, owner_said, said
from tests.conftest import MakeBot
from tests.postgresql import Server

pytestmark = pytest.mark.alone

PROGRAM = Path(__file__).with_name("limiting.py")
USER = ("local", "42")


@contextmanager
def processes(url: str, wrong: Sequence[float]) -> Iterator[list["subprocess.Popen[str]"]]:
    started = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), url, str(seconds)],
            cwd=PROGRAM.parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for seconds in wrong
    ]  # fmt: skip
    try:
        for each in started:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        yield started
    finally:
        for each in started:
            assert each.stdin is not None
            each.stdin.close()
        codes = [each.wait(30) for each in started]
        for each in started:
            assert each.stdout is not None
            each.stdout.close()
        assert codes == [0] * len(started)


def admitted_by_all(running: "list[subprocess.Popen[str]]", user: str) -> int:
    for each in running:
        assert each.stdin is not None
        each.stdin.write(f"{user}\n")
        each.stdin.flush()
    return sum(int(each.stdout.readline()) for each in running if each.stdout is not None)


@pytest.mark.promise("P32")
@pytest.mark.parametrize("wrong", [(0.0,) * 4, (3600.0, -3600.0, 0.0, 1800.0)], ids=["right clocks", "wrong clocks"])
def test_four_processes_admit_together_what_one_may(postgresql: Server, wrong: tuple[float, ...]) -> None:
    url = postgresql.new_database()
    with processes(url, wrong) as running:
        assert [admitted_by_all(running, f"user {number}") for number in range(10)] == [5] * 10


@pytest.mark.slow
@pytest.mark.promise("P32")
@pytest.mark.parametrize("wrong", [(0.0,) * 4, (3600.0, -3600.0, 0.0, 1800.0)], ids=["right clocks", "wrong clocks"])
def test_a_hundred_times_over(postgresql: Server, wrong: tuple[float, ...]) -> None:
    url = postgresql.new_database()
    with processes(url, wrong) as running:
        assert [admitted_by_all(running, f"user {number}") for number in range(100)] == [5] * 100


@asynccontextmanager
async def limiter_on(url: str, clock: FakeClock, config: RateLimitConfig) -> AsyncIterator[RateLimiter]:
    async with Database.open(StorageConfig(url=url), clock) as database:
        yield RateLimiter(
            database, clock, config, Blacklist(database, clock, BlacklistConfig(), lambda identity: False)
        )


SHARED = RateLimitConfig(shared=True, burst=3, window=60.0, cooldown=0.0, cooldowns={"backup": 300.0})


async def test_what_was_used_in_one_process_is_used_in_the_other(postgresql: Server, clock: FakeClock) -> None:
    url = postgresql.new_database()
    async with limiter_on(url, clock, SHARED) as here, limiter_on(url, clock, SHARED) as there:
        assert [await here.hit_together(USER, "ping") for _ in range(2)] == [None, None]
        assert await there.hit_together(USER, "ping") is None
        refusal = await there.hit_together(USER, "ping")
        assert refusal is not None
        assert refusal.limit == "burst"
        assert 19.0 < refusal.retry_after <= 20.0  # one of three comes back in a third of a minute
        assert (await here.hit_together(("local", "43"), "ping")) is None


async def test_a_commands_own_cooldown_and_the_common_one_hold_everywhere(postgresql: Server, clock: FakeClock) -> None:
    url = postgresql.new_database()
    config = RateLimitConfig(shared=True, cooldown=3.0, cooldowns={"backup": 300.0})
    async with limiter_on(url, clock, config) as here, limiter_on(url, clock, config) as there:
        assert await here.hit_together(USER, "backup") is None
        common = await there.hit_together(USER, "ping")
        assert common is not None
        assert common.limit == "cooldown"
        assert 2.0 < common.retry_after <= 3.0
        with psycopg.connect(url) as other:
            other.execute("DELETE FROM rate_limit_shared WHERE scope = '#cooldown'")
        clock.forward(4.0)
        own = await there.hit_together(USER, "backup")
        assert own is not None
        assert own.limit == "command cooldown"


async def test_a_refused_command_uses_nothing_up(postgresql: Server, clock: FakeClock) -> None:
    url = postgresql.new_database()
    async with limiter_on(url, clock, SHARED) as here, limiter_on(url, clock, SHARED) as there:
        assert await here.hit_together(USER, "backup") is None
        for _ in range(5):
            assert await there.hit_together(USER, "backup") is not None
        assert [await there.hit_together(USER, "ping") for _ in range(2)] == [None, None]


async def test_without_the_database_each_process_limits_by_itself_and_then_together_again(
    postgresql: Server, clock: FakeClock
) -> None:
    url = postgresql.new_database()
    async with limiter_on(url, clock, SHARED) as limiter:
        assert await limiter.hit_together(USER, "ping") is None
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE rate_limit_shared")
            assert await limiter.hit_together(USER, "ping") is None
            assert limiter.apart
            assert await limiter.hit_together(USER, "ping") is None
            assert await limiter.hit_together(USER, "ping") is not None  # its own count says so
        clock.forward(2.0)
        assert await limiter.hit_together(("local", "43"), "ping") is None
        assert not limiter.apart


async def test_the_chain_asks_all_processes(postgresql: Server, make_bot: MakeBot) -> None:
    storage = StorageConfig(url=postgresql.new_database())
    config = RateLimitConfig(shared=True, burst=1, cooldown=0.0)
    async with (
        make_bot(storage=storage, rate_limit=config) as here,
        make_bot(storage=storage, rate_limit=config) as there,
    ):
        assert (await here.dispatch(said("!ping"))).status == "ok"
        refused = await there.dispatch(said("!ping"))
        assert (refused.status, refused.refused_by) == ("refused", "rate_limit")
        assert (await there.dispatch(said("!ping", "43"))).status == "ok"
        assert (await there.dispatch(owner_said("!ping"))).status == "ok"


def test_a_limit_cannot_be_shared_on_a_file() -> None:
    with pytest.raises(ConfigError, match=r"rate_limit\.shared"):
        decode({"rate_limit": {"shared": True}})
    assert decode({"rate_limit": {"shared": True}, "storage": {"url": "postgresql:///x"}}) != Config()


async def test_sqlite_has_nobody_to_agree_with(storage: StorageConfig, clock: FakeClock) -> None:
    async with Database.open(storage, clock) as database:
        with pytest.raises(StoreError, match="PostgreSQL"):
            await database.alone(lambda connection: None)
