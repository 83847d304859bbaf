"""One of several processes leads; a job of the fleet waits in the others, and goes on where it was left."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import anyio
import pytest

from socbot.bot import Bot
from socbot.config import JobsConfig, StorageConfig
from socbot.dispatch.replies import Reply
from socbot.jobs.job import JobRefused
from socbot.jobs.leadership import Leadership
from socbot.storage.connection import Connection
from socbot.storage.database import Database, StoreError, StoreFenced
from socbot.storage.leases import fenced
from socbot.testing import FakeClock, owner_said
from tests.conftest import MakeBot
from tests.postgresql import Server

T = TypeVar("T")

LEASE = 600.0  # by the server's clock nothing ends by itself


@pytest.fixture
def shared(postgresql: Server) -> StorageConfig:
    return StorageConfig(url=postgresql.new_database())


@asynccontextmanager
async def database_on(shared: StorageConfig) -> AsyncIterator[Database]:
    async with Database.open(shared, FakeClock()) as database:
        yield database


async def nothing() -> None:
    return None


class Away:
    """A store that answers until it is switched off."""

    def __init__(self, database: Database) -> None:
        self.database, self.is_away = database, False

    async def lease(self, work: Callable[[Connection], T]) -> T:
        if self.is_away:
            raise StoreError("nobody is there")
        return await self.database.lease(work)


@asynccontextmanager
async def taking_part(store: Away, clock: FakeClock, holder: str) -> AsyncIterator[Leadership]:
    leadership = Leadership(store, clock, LEASE, holder)
    looked = anyio.Event()

    async def note() -> None:
        looked.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leadership.run, note)
        await looked.wait()
        yield leadership
        tasks.cancel_scope.cancel()


async def until(true: Callable[[], bool], clock: FakeClock, step: float = 1.0) -> None:
    with anyio.fail_after(10):
        while not true():
            clock.forward(step)
            await anyio.sleep(0.01)  # the database answers in real time


@pytest.mark.promise("P46")
async def test_the_lease_is_one_processs_until_it_is_given_up(shared: StorageConfig) -> None:
    clock = FakeClock()
    async with database_on(shared) as database:
        store = Away(database)
        async with taking_part(store, clock, "one") as one, taking_part(store, clock, "two") as two:
            assert one.fence is not None
            assert two.fence is None
            assert two.leader == "one"
            await one.give_up()
            assert one.fence is None
            await until(lambda: two.fence is not None, clock)
            assert two.fence.number > 1


@pytest.mark.promise("P46")
async def test_who_cannot_renew_leads_no_longer_by_its_own_clock(shared: StorageConfig) -> None:
    clock = FakeClock()
    async with database_on(shared) as database:
        store = Away(database)
        async with taking_part(store, clock, "one") as one:
            first = one.fence
            assert first is not None
            store.is_away = True
            clock.forward(LEASE - 0.001)
            assert one.fence is not None
            clock.forward(0.002)
            assert one.fence is None
            store.is_away = False
            await until(lambda: one.fence is not None, clock)
            assert one.fence.number == first.number + 1  # a new term: what is left of the one before may not write


@pytest.mark.promise("P46")
async def test_what_an_outdated_fence_writes_is_refused_and_takes_nobody_elses_write_with_it(
    shared: StorageConfig,
) -> None:
    clock = FakeClock()

    def write(connection: Connection, name: str) -> None:
        connection.change("INSERT INTO heartbeats (name, at) VALUES (:name, 0)", {"name": name})

    async with database_on(shared) as database:
        store = Away(database)
        async with taking_part(store, clock, "one") as one:
            fence = one.fence
        with fenced(fence):
            await database.write(lambda connection: write(connection, "in time"))
        async with taking_part(store, clock, "two") as two:
            await one.give_up()
            await until(lambda: two.fence is not None, clock)

            async def late() -> None:
                with fenced(fence), pytest.raises(StoreFenced):
                    await database.write(lambda connection: write(connection, "late"))

            async with anyio.create_task_group() as tasks:  # in one transaction of the store's thread, as it falls
                for number in range(5):
                    tasks.start_soon(late)
                    tasks.start_soon(database.write, lambda connection, n=number: write(connection, f"own {n}"))
        rows = await database.read(lambda connection: connection.execute("SELECT name FROM heartbeats ORDER BY name"))
    assert [name for (name,) in rows] == ["in time", *(f"own {number}" for number in range(5))]


# -- what an operator sees and does -----------------------------------------------------------------------


async def ask(bot: Bot, text: str) -> Reply:
    outcome = await bot.dispatch(owner_said(text))
    assert outcome.reply is not None, outcome
    return outcome.reply


@pytest.mark.promise("P46")
async def test_other_processes_say_where_a_job_runs_and_stop_it_there(shared: StorageConfig, make_bot: MakeBot) -> None:
    async with AsyncExitStack() as stack:
        bots = [await stack.enter_async_context(make_bot(storage=shared, jobs=True)) for _ in range(2)]
        with anyio.fail_after(10):
            while not all(bot.supervisor.leader for bot in bots):  # noqa: ASYNC110 (as an owner looks)
                await anyio.sleep(0.05)
        here, there = sorted(bots, key=lambda bot: not bot.supervisor.leads)
        assert [bot.supervisor.find("deliver").state for bot in (here, there)] == ["running", "standby"]
        name = here.supervisor.leader
        assert name == there.supervisor.leader != ""

        assert f"deliver**: in another process, {name}" in str(await ask(there, "!tasks"))
        assert there.supervisor.late() == ()
        refusal = str(await ask(there, "!run_task trace_retention"))
        assert name in refusal
        with anyio.fail_after(10):
            while here.supervisor.find("trace_retention").state != "waiting":  # noqa: ASYNC110 (its first run ends)
                await anyio.sleep(0.05)
        assert "ran in" in str(await ask(here, "!run_task trace_retention"))
        with pytest.raises(JobRefused, match=name):
            await there.supervisor.restart("deliver")

        assert (await ask(there, "!stop_task deliver")).tone == "ok"
        with anyio.fail_after(JobsConfig().lease):
            while here.supervisor.find("deliver").state != "stopped":  # noqa: ASYNC110 (as an owner looks)
                await anyio.sleep(0.05)
        assert (await ask(there, "!start_task deliver")).tone == "ok"
        assert f"{name} leads" in str(await ask(there, "!bot_stats"))
