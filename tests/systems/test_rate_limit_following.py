"""Several processes on one PostgreSQL: whom one times out or exempts, all do."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest

from socbot.config import BlacklistConfig, LadderStep, RateLimitConfig, StorageConfig
from socbot.storage.database import Database
from socbot.systems.blacklist import Blacklist
from socbot.systems.rate_limit import RateLimiter
from socbot.testing import FakeClock, owner_said, said
from tests.conftest import MakeBot
from tests.postgresql import Server

MALLORY = ("local", "900")
CONFIG = RateLimitConfig(ladder=(LadderStep("timeout", 300.0),))


@asynccontextmanager
async def limiter_on(url: str, clock: FakeClock) -> AsyncIterator[RateLimiter]:
    async with Database.open(StorageConfig(url=url), clock) as database:
        blacklist = Blacklist(database, clock, BlacklistConfig(), lambda identity: False)
        limiter = RateLimiter(database, clock, CONFIG, blacklist)
        await limiter.load()
        yield limiter


@pytest.fixture
def url(postgresql: Server) -> str:
    return postgresql.new_database()


@pytest.fixture
def clock() -> FakeClock:
    """At the server's time, by which it is told what has ended long ago."""
    return FakeClock(time=time.time())


def held(limiter: RateLimiter) -> float:
    refusal = limiter.muted(MALLORY)
    return 0.0 if refusal is None else refusal.retry_after


@pytest.mark.alone
@pytest.mark.promise("P32")
async def test_whom_one_process_times_out_is_refused_by_the_other_within_two_seconds(
    url: str, make_bot: MakeBot
) -> None:
    config = {"storage": StorageConfig(url=url), "rate_limit": CONFIG, "jobs": True}
    async with make_bot(**config) as here, make_bot(**config) as there:

        async def until(timed_out: bool) -> None:
            with anyio.fail_after(2.0):
                while (there.rate_limiter.muted(MALLORY) is not None) is not timed_out:  # noqa: ASYNC110 (as a person does)
                    await anyio.sleep(0.05)

        for _ in range(30):
            await here.dispatch(said("!ping", "900"))
        assert here.rate_limiter.muted(MALLORY) is not None
        await until(timed_out=True)
        refused = await there.dispatch(said("!ping", "900"))
        assert (refused.status, refused.refused_by) == ("refused", "rate_limit")
        assert (await there.dispatch(owner_said("!reset_violations 900"))).status == "ok"
        with anyio.fail_after(2.0):
            while here.rate_limiter.muted(MALLORY) is not None:  # noqa: ASYNC110 (as a person does)
                await anyio.sleep(0.05)


async def test_exemptions_are_followed_to_their_end(url: str, clock: FakeClock) -> None:
    async with limiter_on(url, clock) as here, limiter_on(url, clock) as there:
        await here.violate(MALLORY, "ping")
        await there.catch_up()
        assert held(there) == pytest.approx(300.0)
        await there.toggle_exemption(MALLORY, "local:1", 60.0)  # which lifts the timeout, for all
        await here.catch_up()
        assert held(here) == 0
        for limiter in (here, there):
            assert limiter.exemption(MALLORY, owner=False, admin=False) == "on the list of the exempt"
        clock.forward(61.0)
        for limiter in (here, there):
            await limiter.catch_up()
            assert limiter.exemption(MALLORY, owner=False, admin=False) == ""
            assert held(limiter) == 0
        await here.toggle_exemption(MALLORY, "local:1")
        await there.catch_up()
        assert there.exemption(MALLORY, owner=False, admin=False)
        await there.toggle_exemption(MALLORY, "local:1")
        await here.catch_up()
        assert not here.exemption(MALLORY, owner=False, admin=False)


@pytest.mark.promise("P33")
@pytest.mark.parametrize("step", [-3_600.0, -1.0, 3_600.0, 86_400.0 * 400])
async def test_a_step_of_the_clock_neither_frees_nor_traps_whom_it_timed_out_itself(
    url: str, clock: FakeClock, step: float
) -> None:
    async with limiter_on(url, clock) as limiter:
        await limiter.violate(MALLORY, "ping")
        await limiter.catch_up()
        clock.step(step)
        await limiter.catch_up()
        assert held(limiter) == pytest.approx(300.0)
        clock.forward(301.0)
        await limiter.forget()
        await limiter.catch_up()
        assert held(limiter) == 0


async def test_a_look_that_began_before_a_change_does_not_undo_it(url: str, clock: FakeClock) -> None:
    """A look at any moment of the change: whoever is timed out, or no longer, stays so."""
    async with limiter_on(url, clock) as limiter:
        for turns in range(0, 40, 2):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(limiter.violate, MALLORY, "ping")
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.start_soon(limiter.catch_up)
            assert held(limiter) > 0
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(limiter.reset_violations, MALLORY)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.start_soon(limiter.catch_up)
            assert held(limiter) == 0


async def test_a_timeout_that_an_exemption_lifted_does_not_come_back_with_a_restart(url: str, clock: FakeClock) -> None:
    async with limiter_on(url, clock) as limiter:
        await limiter.violate(MALLORY, "ping")
        await limiter.toggle_exemption(MALLORY, "local:1", 60.0)
    clock.forward(61.0)
    async with limiter_on(url, clock) as limiter:
        assert held(limiter) == 0
