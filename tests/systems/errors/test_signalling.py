"""What other systems are told of the errors."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from random import Random

import pytest
from msgspec import structs

from socbot.config import ErrorsConfig, SignalsConfig, StorageConfig
from socbot.dispatch.replies import Reply
from socbot.redaction import Redactor
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.systems.errors import Errors, Where
from socbot.systems.signals import Signal, Signals
from socbot.testing import FakeClock

TOKEN = "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs"


class World:
    def __init__(self, database: Database, clock: FakeClock, config: ErrorsConfig) -> None:
        self.database, self.told = database, list[Reply]()
        self.signals = Signals(database, clock, Random(1), SignalsConfig())
        self.errors = Errors(
            database, clock, config, Random(2), redact=Redactor(), notify=self._note, signals=self.signals
        )

    async def _note(self, reply: Reply) -> None:
        self.told.append(reply)

    async def fail(self, what: str = "a", kind: type[Exception] = OSError, command: str = "lookup") -> str:
        try:
            raise kind(what)
        except Exception as error:
            return await self.errors.capture(error, Where(command, "local", "42"))

    async def raised(self) -> list[Signal]:
        """Oldest first."""
        return [each.signal for each in reversed(await self.signals.recent())]


@asynccontextmanager
async def opened(
    storage: StorageConfig,
    clock: FakeClock,
    config: ErrorsConfig = ErrorsConfig(),  # noqa: B008 (frozen)
) -> AsyncIterator[World]:
    async with Database.open(storage, clock) as database:
        yield World(database, clock, config)


async def test_a_critical_error_is_raised_with_its_id(storage: StorageConfig, clock: FakeClock) -> None:
    async with opened(storage, clock) as world:
        error_id = await world.fail(f"no host, token={TOKEN}", KeyError)
        await world.fail("not critical")
        await world.errors.check()
        [signal] = await world.raised()
        assert (signal.kind, signal.severity, signal.title) == ("error", "critical", "Critical error: KeyError")
        assert dict(signal.fields) == {"Error id": error_id, "Command": "lookup"}
        assert "no host" in signal.text
        assert TOKEN not in str(signal)


async def test_a_high_rate_is_raised_when_it_begins_and_when_it_is_over(
    storage: StorageConfig, clock: FakeClock
) -> None:
    async with opened(storage, clock) as world:
        for _ in range(5):
            await world.fail()
        await world.errors.check()
        clock.forward(301)
        await world.errors.check()
        told = [(each.title, each.severity) for each in await world.raised()]
        assert told == [("Too many errors", "warning"), ("Error rate back to normal", "warning")]


async def test_the_owner_may_want_no_notices_and_webhooks_all_the_same(
    storage: StorageConfig, clock: FakeClock
) -> None:
    async with opened(storage, clock, ErrorsConfig(notify=False)) as world:
        await world.fail("no host", KeyError)
        await world.errors.check()
        assert world.told == []
        assert len(await world.raised()) == 1


@pytest.mark.promise("P44")
async def test_a_storm_of_errors_is_a_handful_of_signals(storage: StorageConfig, clock: FakeClock) -> None:
    async with opened(storage, clock) as world:
        for number in range(500):
            await world.fail(str(number), KeyError, f"command{number % 50}")
            if number % 25 == 0:
                clock.forward(3)
                await world.errors.check()
        signals = await world.raised()
        assert 1 <= len(signals) <= 3
        assert len(world.told) <= 3


@pytest.mark.promise("P44")
async def test_that_a_signal_fails_is_no_error(
    storage: StorageConfig, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(connection: Connection, signal: Signal) -> None:
        connection.change("INSERT INTO nowhere VALUES (1)")

    async with opened(storage, clock) as world:
        world.signals.deliver_by(broken, lambda: None)
        await world.fail("no host", KeyError)
        for _ in range(5):
            await world.errors.check()
            clock.forward(10)
        assert await world.errors.size() == (1, 1)
        assert await world.raised() == []
        assert caplog.text.count("a signal of an error could not be written") == 1


async def test_while_the_store_is_held_by_somebody_else_a_signal_waits(
    storage: StorageConfig, clock: FakeClock
) -> None:
    async with opened(structs.replace(storage, busy_timeout=0.02), clock) as world:
        await world.fail("no host", KeyError)
        with closing(sqlite3.connect(storage.url.removeprefix("sqlite:///"), isolation_level=None)) as another:
            another.execute("BEGIN IMMEDIATE")
            await world.errors.check()
            another.execute("ROLLBACK")
        assert await world.raised() == []
        await world.errors.check()
        assert len(await world.raised()) == 1
