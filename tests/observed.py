"""A dispatcher whose commands take as long as they say, with everything that observes them on a real store."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, tzinfo
from typing import Any

from socbot.config import AnalyticsConfig, ProfilerConfig, StorageConfig
from socbot.dispatch.chain import Layer, Placement
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context, Handler
from socbot.dispatch.dispatcher import Dispatcher
from socbot.dispatch.errors import Refused
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.handlers import analytics as analytics_handlers
from socbot.handlers import performance as performance_handlers
from socbot.middleware.analytics import Analytics as AnalyticsMiddleware
from socbot.middleware.profiler import Profiler as ProfilerMiddleware
from socbot.storage.database import Database
from socbot.storage.telemetry import Telemetry
from socbot.systems.analytics import Analytics
from socbot.systems.erasure import Erasure
from socbot.systems.identities import Pseudonyms
from socbot.systems.links import Links
from socbot.systems.profiler import Profiler
from socbot.systems.traces import Traces
from socbot.systems.vitals import Vitals
from socbot.testing import FakeClock, said
from tests.storage.released import nothing_first

DOOR_SECONDS = 0.001
OWNER = "1"


class Observed:
    """Everything that a test asks; ``say`` runs one message to its end."""

    def __init__(
        self,
        database: Database,
        clock: FakeClock,
        chain: Sequence[Layer] | None,
        analytics: AnalyticsConfig,
        profiler: ProfilerConfig,
        zone: tzinfo,
    ) -> None:
        self.clock = clock
        self.database = database
        self.telemetry: Telemetry[Outcome] = Telemetry(database, clock, StorageConfig(), self._failed)
        self.sink_errors: list[Exception] = []
        flush = self.telemetry.flush
        self.pseudonyms = Pseudonyms(database, clock, enabled=analytics.hash_ids)
        self.analytics = Analytics(database, flush, clock, analytics, self.pseudonyms, zone)
        self.profiler = Profiler(database, flush, clock, profiler, self.pseudonyms)
        self.traces = Traces(database, flush, clock, analytics, self.pseudonyms)
        self.erasure = Erasure(database, flush, clock, self.pseudonyms)
        for sink in (self.analytics.write, self.profiler.write, self.traces.write):
            self.telemetry.add_sink(sink)
        self.dispatcher = Dispatcher(
            commands_taking(clock),
            chain=self.chain() if chain is None else chain,
            clock=clock,
            owners=[("local", OWNER)],
        )
        self.links = Links()
        self.dispatcher.provide(
            self.dispatcher, self.analytics, self.profiler, self.traces, self.erasure, self.links, Vitals(clock)
        )
        self.dispatcher.add(*analytics_handlers.COMMANDS, *performance_handlers.COMMANDS)
        self.dispatcher.observe(self.telemetry.record)

    def chain(self) -> tuple[Layer, ...]:
        return (
            Layer("door", door(self.clock), Placement("guard", may_refuse=True)),
            Layer("profiler", ProfilerMiddleware(), ProfilerMiddleware.placement),
            Layer("analytics", AnalyticsMiddleware(), AnalyticsMiddleware.placement),
        )

    async def say(self, text: str, author: str = "42", **message: Any) -> Outcome:
        return await self.dispatcher.dispatch(said(text, author, **message))

    async def ask(self, text: str, **message: Any) -> Reply:
        """What the owner is answered."""
        reply = (await self.say(text, OWNER, **message)).reply
        assert reply is not None
        return reply

    async def confirm(self, text: str) -> Reply:
        """What the owner is answered after saying yes."""
        question = (await self.ask(text)).question
        assert question is not None
        return await self.ask(f"confirm {question.code}")

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        await self.telemetry.flush()
        return await self.database.read(lambda connection: connection.execute(sql))

    def _failed(self, sink: object, error: Exception) -> None:
        self.sink_errors.append(error)


@asynccontextmanager
async def observed(
    storage: StorageConfig,
    *,
    clock: FakeClock | None = None,
    chain: Sequence[Layer] | None = None,
    analytics: AnalyticsConfig = AnalyticsConfig(),  # noqa: B008 (frozen)
    profiler: ProfilerConfig = ProfilerConfig(),  # noqa: B008 (frozen)
    zone: tzinfo = UTC,
) -> AsyncIterator[Observed]:
    clock = clock or FakeClock()
    async with Database.open(storage, clock, back_up=nothing_first) as database:
        world = Observed(database, clock, chain, analytics, profiler, zone)
        await world.pseudonyms.load()
        yield world
        await world.telemetry.close()
        if world.sink_errors:
            raise world.sink_errors[0]


def door(clock: FakeClock) -> Any:
    """A guard that takes a millisecond to keep out whoever is called banned."""

    async def guard(ctx: Context, call_next: Handler) -> Reply | None:
        clock.forward(DOOR_SECONDS)
        if ctx.message.author.id == "banned":
            raise Refused("not on the list")
        return await call_next(ctx)

    return guard


def commands_taking(clock: FakeClock) -> Any:
    @command("take", permission="public")
    async def take(ctx: Context, milliseconds: float) -> str:
        clock.forward(milliseconds / 1_000)
        return "taken"

    @command("ping", permission="public")
    async def ping(ctx: Context) -> str:
        clock.forward(0.02)
        return "pong"

    @command("broken", permission="public")
    async def broken(ctx: Context) -> str:
        clock.forward(0.05)
        raise KeyError("gone")

    @command("secret", permission="owner")
    async def secret(ctx: Context) -> str:
        return "told"

    return (take, ping, broken, secret)
