"""Telemetry never waits, never fails, and loses nothing that it did not count."""

import threading
from collections.abc import Sequence

import anyio
import pytest
from msgspec import structs

from socbot.config import StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.storage.connection import Connection
from socbot.storage.database import Database, StoreError
from socbot.storage.telemetry import BATCH, Telemetry
from socbot.testing import FakeClock

CLOCK = SystemClock()


def store(connection: Connection, events: Sequence[int]) -> None:
    rows = [{"key": f"{event:06}"} for event in events]
    connection.execute_many("INSERT INTO settings (key, value, set_by, set_at) VALUES (:key, '', '', 0)", rows)


def stored(connection: Connection) -> list[int]:
    return [int(key) for (key,) in connection.execute("SELECT key FROM settings ORDER BY key")]


def broken(connection: Connection, events: Sequence[int]) -> None:
    connection.execute("INSERT INTO nowhere VALUES (1)")


class Failing:
    """A sink through which the database fails as long as it is told to."""

    def __init__(self) -> None:
        self.on = True

    def __call__(self, connection: Connection, events: Sequence[int]) -> None:
        if self.on:
            raise StoreError("the disk is gone")


async def test_everything_recorded_is_stored_once_by_every_sink(config: StorageConfig) -> None:
    sizes: list[int] = []
    async with Database.open(config, CLOCK) as database:
        telemetry = Telemetry[int](database, CLOCK, config)
        telemetry.add_sink(store)
        telemetry.add_sink(lambda connection, events: sizes.append(len(events)))
        for number in range(2 * BATCH + 500):
            telemetry.record(number)
        await telemetry.flush()
        assert telemetry.waiting == telemetry.dropped == 0
        assert await database.read(stored) == list(range(2 * BATCH + 500))
    assert sizes == [BATCH, BATCH, 500]


async def test_what_a_sink_counts_is_counted_once_when_it_is_stored(config: StorageConfig) -> None:
    counted: list[int] = []
    failing = Failing()
    async with Database.open(config, CLOCK) as database:
        telemetry = Telemetry[int](database, CLOCK, config)
        telemetry.add_sink(lambda connection, events: lambda: counted.extend(events))
        telemetry.add_sink(broken)  # whose failure is its own
        telemetry.add_sink(failing)
        for number in range(3):
            telemetry.record(number)
        for _ in range(3):
            with pytest.raises(StoreError):
                await telemetry.flush()
        assert counted == []
        failing.on = False
        await telemetry.flush()
        assert counted == [0, 1, 2]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_it_flushes_after_the_interval(sqlite: StorageConfig) -> None:
    clock = FakeClock()
    async with Database.open(sqlite, clock) as database, anyio.create_task_group() as tasks:
        telemetry = Telemetry[int](database, clock, sqlite)
        telemetry.add_sink(store)
        tasks.start_soon(telemetry.run)
        await anyio.wait_all_tasks_blocked()
        telemetry.record(1)
        await clock.advance(sqlite.flush_interval * 0.9)
        assert await database.read(stored) == []
        await clock.advance(sqlite.flush_interval * 0.2)
        await telemetry.flush()
        assert await database.read(stored) == [1]
        tasks.cancel_scope.cancel()


class NotingClock(FakeClock):
    """A clock in hand that knows how long was slept."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await super().sleep(seconds)


@pytest.mark.parametrize("share", [0.2, 3.0])
async def test_what_was_recorded_is_on_the_disk_an_interval_later_though_a_write_takes_its_time(
    share: float, sqlite: StorageConfig
) -> None:
    clock, interval = NotingClock(), sqlite.flush_interval
    takes = interval * share
    async with Database.open(sqlite, clock) as database, anyio.create_task_group() as tasks:
        telemetry = Telemetry[int](database, clock, sqlite)
        telemetry.add_sink(lambda connection, events: clock.forward(takes))
        tasks.start_soon(telemetry.run)
        await anyio.wait_all_tasks_blocked()
        for number in range(3):
            telemetry.record(number)
            clock.forward(interval)
            while len(clock.slept) < number + 2:  # noqa: ASYNC110 (the write is on a thread)
                await anyio.sleep(0.001)
        tasks.cancel_scope.cancel()
    # What misses one write by a moment waits for its end, for the pause, and for the end of the next one.
    assert clock.slept[0] == interval
    assert all(takes + pause + takes == pytest.approx(interval) or pause == interval / 4 for pause in clock.slept[1:])
    assert (clock.slept[-1] == interval / 4) == (share > 1)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_full_batch_does_not_wait_for_the_interval(sqlite: StorageConfig) -> None:
    clock = FakeClock()
    async with Database.open(sqlite, clock) as database, anyio.create_task_group() as tasks:
        telemetry = Telemetry[int](database, clock, sqlite)
        telemetry.add_sink(store)
        tasks.start_soon(telemetry.run)
        await anyio.wait_all_tasks_blocked()
        for number in range(BATCH):
            telemetry.record(number)
        with anyio.fail_after(10):
            while telemetry.waiting:  # noqa: ASYNC110 (a busy loop would keep the interpreter from the thread)
                await anyio.sleep(0.005)
        assert len(await database.read(stored)) == BATCH
        tasks.cancel_scope.cancel()


async def test_while_the_database_fails_events_are_kept_and_the_oldest_give_way(sqlite: StorageConfig) -> None:
    config = structs.replace(sqlite, buffer=100)
    failing = Failing()
    async with Database.open(config, CLOCK) as database:
        telemetry = Telemetry[int](database, CLOCK, config)
        telemetry.add_sink(store)
        telemetry.add_sink(failing)
        for number in range(80):
            telemetry.record(number)
        with pytest.raises(StoreError, match="disk is gone"):
            await telemetry.flush()
        assert (telemetry.waiting, telemetry.dropped) == (80, 0)
        assert telemetry.failure is not None
        for number in range(80, 150):
            telemetry.record(number)
        assert (telemetry.waiting, telemetry.dropped) == (100, 50)
        assert await database.read(stored) == []
        failing.on = False
        await telemetry.flush()
        assert telemetry.failure is None
        assert await database.read(stored) == list(range(50, 150))


async def test_the_loop_outlives_a_failing_database(sqlite: StorageConfig) -> None:
    clock = FakeClock()
    failing = Failing()
    async with Database.open(sqlite, CLOCK) as database, anyio.create_task_group() as tasks:
        telemetry = Telemetry[int](database, clock, sqlite)
        telemetry.add_sink(store)
        telemetry.add_sink(failing)
        tasks.start_soon(telemetry.run)
        telemetry.record(1)
        with anyio.fail_after(10):
            while telemetry.failure is None:
                await clock.advance(sqlite.flush_interval)
            failing.on = False
            while telemetry.waiting:
                await clock.advance(sqlite.flush_interval)
        assert await database.read(stored) == [1]
        tasks.cancel_scope.cancel()


async def test_a_sink_that_fails_costs_only_its_own_share(config: StorageConfig) -> None:
    reported: list[str] = []

    def half(connection: Connection, events: Sequence[int]) -> None:
        store(connection, [999_999])
        raise LookupError("no")

    async with Database.open(config, CLOCK) as database:
        telemetry = Telemetry[int](database, CLOCK, config, lambda sink, error: reported.append(type(error).__name__))
        for sink in (half, broken, store):
            telemetry.add_sink(sink)
        telemetry.record(1)
        await telemetry.flush()
        assert await database.read(stored) == [1]
    assert reported == ["LookupError", "StatementError"]
    assert telemetry.sink_errors == 2


async def test_two_flushes_at_once_store_nothing_twice(config: StorageConfig) -> None:
    async with Database.open(config, CLOCK) as database:
        telemetry = Telemetry[int](database, CLOCK, config)
        telemetry.add_sink(store)
        async with anyio.create_task_group() as tasks:
            for number in range(300):
                telemetry.record(number)
                tasks.start_soon(telemetry.flush)
        assert await database.read(stored) == list(range(300))


async def test_a_flush_also_waits_for_what_another_is_storing(config: StorageConfig) -> None:
    go_on = threading.Event()
    seen: list[list[int]] = []

    async def flush_and_look(database: Database, telemetry: Telemetry[int]) -> None:
        await telemetry.flush()
        seen.append(await database.read(stored))

    async with Database.open(config, CLOCK) as database:
        telemetry = Telemetry[int](database, CLOCK, config)
        telemetry.add_sink(store)
        telemetry.record(1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(database.write, lambda connection: go_on.wait(10))
            for _ in range(2):
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(flush_and_look, database, telemetry)
            await anyio.wait_all_tasks_blocked()
            go_on.set()
    assert seen == [[1], [1]]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_cancelled_flush_neither_loses_nor_repeats(sqlite: StorageConfig) -> None:
    async with Database.open(sqlite, CLOCK) as database:
        telemetry = Telemetry[int](database, CLOCK, sqlite)
        telemetry.add_sink(store)
        for number in range(100):
            telemetry.record(number)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(telemetry.flush)
                if number % 2:
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        await telemetry.close()
        assert await database.read(stored) == list(range(100))


async def test_after_close_everything_is_stored_or_counted(sqlite: StorageConfig) -> None:
    failing = Failing()
    failing.on = False
    async with Database.open(sqlite, CLOCK) as database:
        telemetry = Telemetry[int](database, CLOCK, sqlite)
        telemetry.add_sink(store)
        telemetry.add_sink(failing)
        for number in range(1500):
            telemetry.record(number)
        await telemetry.close()
        assert len(await database.read(stored)) == 1500
        failing.on = True
        telemetry.record(1)
        with pytest.raises(StoreError):
            await telemetry.close()
        assert (telemetry.waiting, telemetry.dropped) == (0, 1)
