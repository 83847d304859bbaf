"""One limit for several processes, while the PostgreSQL that keeps it fails in each way that it can."""

import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import anyio
import psutil
import pytest
from msgspec import structs

from socbot.config import BlacklistConfig, RateLimitConfig, StorageConfig, WithoutStoreConfig
from socbot.dispatch.clock import SystemClock
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.storage.database import Database
from socbot.systems.blacklist import Blacklist
from socbot.systems.rate_limit import RateLimiter
from socbot.testing import owner_said, said
from tests.conftest import MakeBot
from tests.faults import Proxy, proxied
from tests.postgresql import Server, running_server
from tests.storage.test_postgresql_faults import through

pytestmark = pytest.mark.alone

CLOCK = SystemClock()
SHARED = RateLimitConfig(shared=True, burst=10, window=600.0, cooldown=0.0, cooldowns={}, processes=2)

Undo: TypeAlias = Callable[[], object]
Fault: TypeAlias = Callable[[Server, Proxy, str], Undo]


def killed(server: Server, proxy: Proxy, name: str) -> Undo:
    server.stop("immediate")
    return server.start


def paused(server: Server, proxy: Proxy, name: str) -> Undo:
    """Every process of the server is stopped where it is."""
    postmaster = psutil.Process(server.pid)
    processes = [postmaster, *postmaster.children(recursive=True)]
    for each in processes:
        os.kill(each.pid, signal.SIGSTOP)

    def resume() -> None:
        for each in processes:
            os.kill(each.pid, signal.SIGCONT)

    return resume


def reset(server: Server, proxy: Proxy, name: str) -> Undo:
    proxy.reset()
    proxy.down()
    return proxy.up


def slow(server: Server, proxy: Proxy, name: str) -> Undo:
    proxy.latency = 2.0

    def be_quick() -> None:
        proxy.latency = 0.0

    return be_quick


def half_open(server: Server, proxy: Proxy, name: str) -> Undo:
    proxy.swallows = True

    def pass_on() -> None:
        proxy.swallows = False

    return pass_on


def read_only(server: Server, proxy: Proxy, name: str) -> Undo:
    server.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    hang_up(server, name)

    def write_again() -> None:
        server.sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        hang_up(server, name)

    return write_again


def takes_nobody(server: Server, proxy: Proxy, name: str) -> Undo:
    """As while it starts: it answers that it does not take connections."""
    server.sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    hang_up(server, name)
    return lambda: server.sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def fails(server: Server, proxy: Proxy, name: str) -> Undo:
    """It answers each statement with an error."""
    server.sql("ALTER TABLE rate_limit_shared RENAME TO gone", name)
    return lambda: server.sql("ALTER TABLE gone RENAME TO rate_limit_shared", name)


def hang_up(server: Server, name: str) -> None:
    server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


FAULTS = [
    pytest.param(fault, id=fault.__name__, marks=() if fault is reset else pytest.mark.slow)
    for fault in (killed, paused, reset, slow, half_open, read_only, takes_nobody, fails)
]


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def proxy(own_server: Server) -> Iterator[Proxy]:
    with proxied(own_server.socket) as proxy:
        yield proxy


@asynccontextmanager
async def limiter_on(storage: StorageConfig, config: RateLimitConfig) -> AsyncIterator[RateLimiter]:
    async with Database.open(storage, CLOCK) as database:
        blacklist = Blacklist(database, CLOCK, BlacklistConfig(), lambda identity: False)
        yield RateLimiter(database, CLOCK, config, blacklist)


@pytest.mark.promise("P34")
@pytest.mark.parametrize("fault", FAULTS)
async def test_each_process_allows_its_part_until_the_store_is_back(
    fault: Fault, own_server: Server, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    url = own_server.new_database()
    name = url.partition("@/")[2].partition("?")[0]
    caplog.set_level(logging.INFO, "socbot.systems.rate_limit.sharing")
    async with limiter_on(structs.replace(through(proxy, url), busy_timeout=5.0), SHARED) as limiter:
        assert await limiter.hit_together(("local", "1"), "ping") is None
        undo = await anyio.to_thread.run_sync(fault, own_server, proxy, name)
        seen, began, longest, admitted, users = proxy.seen, CLOCK.monotonic(), 0.0, 0, 0
        while CLOCK.monotonic() - began < 3.0:
            users += 1
            for _ in range(10):
                asked = CLOCK.monotonic()
                admitted += await limiter.hit_together(("local", f"user {users}"), "ping") is None
                longest = max(longest, CLOCK.monotonic() - asked)
            await CLOCK.sleep(0.05)
        assert limiter.apart
        assert admitted == 5 * users
        assert longest < 0.1 + 0.1  # the patience, and what a busy machine adds
        assert proxy.seen - seen <= 2 * 3
        await anyio.to_thread.run_sync(undo)
        with anyio.fail_after(5):
            while limiter.apart:
                users += 1
                await limiter.hit_together(("local", f"user {users}"), "ping")
                await CLOCK.sleep(0.05)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


@command("work", permission="public")
async def work(ctx: Context) -> str:
    """For everybody."""
    return "done"


@command("tend", permission="admin")
async def tend(ctx: Context) -> str:
    """For administrators."""
    return "tended"


@command("rule", permission="owner")
async def rule(ctx: Context) -> str:
    """For the owner."""
    return "ruled"


@pytest.mark.promise("P34")
async def test_each_class_of_commands_goes_by_its_own_rule(own_server: Server, proxy: Proxy, make_bot: MakeBot) -> None:
    limits = RateLimitConfig(
        shared=True, burst=2, window=600.0, cooldown=0.0, cooldowns={"work": 300.0}, exempt_owner=False,
        exempt_admins=False, without_store=WithoutStoreConfig(public="closed", admin="open"),
    )  # fmt: skip
    async with make_bot(
        storage=through(proxy, own_server.new_database()), rate_limit=limits, commands=[work, tend, rule]
    ) as bot:
        proxy.reset()
        proxy.down()
        closed = [await bot.dispatch(said("!work")) for _ in range(3)]
        assert [(outcome.status, outcome.refused_by) for outcome in closed] == [("refused", "rate_limit")] * 3
        assert "cannot be looked up" in str(closed[0].reply)
        assert [outcome.reply for outcome in closed[1:]] == [None, None]  # once in half a minute
        for _ in range(3):
            assert (await bot.dispatch(said("!tend", "43", admin=True))).status == "ok"
            assert (await bot.dispatch(owner_said("!rule"))).status == "ok"
        proxy.up()
        with anyio.fail_after(5):
            while bot.rate_limiter.apart:
                await bot.dispatch(said("!work", "44"))
                await CLOCK.sleep(0.05)
        assert (await bot.dispatch(said("!work"))).status == "ok"  # what was refused has used nothing up
