"""What is compared: each does the same work, on a store of its own, and counts what its handler did."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from bench.floor import Floor
from socbot.bot import Bot
from socbot.config import BackupConfig, Config, RateLimitConfig, StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.dispatcher import Dispatcher
from socbot.dispatch.messages import Identity, Message
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.storage.database import Database
from socbot.storage.telemetry import Telemetry
from socbot.systems.analytics import Analytics
from socbot.systems.identities import Pseudonyms
from socbot.systems.profiler import Profiler
from socbot.systems.traces import Traces

PLATFORM, GUILD, CHANNEL = "bench", "1", "2"
LISTED: Identity = (PLATFORM, "999999999")

NO_BACKUPS = BackupConfig(enabled=False)
LIMITS = RateLimitConfig(cooldown=0.0, burst=10_000, window=1.0, ladder=())
"""Limits that are checked for each command, and that nobody in the benchmark reaches."""


class Counter:
    """The handler's work: it counts, and where commands are to overlap it waits for the loop's next turn.

    :ivar pauses: whether it waits
    :ivar most: how many waited together at most
    """

    def __init__(self) -> None:
        self.count = 0
        self.pauses = False
        self.most = self._waiting = 0

    def value(self) -> int:
        return self.count

    async def pause(self) -> None:
        self._waiting += 1
        self.most = max(self.most, self._waiting)
        await asyncio.sleep(0)
        self._waiting -= 1


class Contender(Struct):
    """One way to run a command.

    :param convert: makes the host's own message of ours, outside of what is timed
    :param run: runs one command to its end
    :param counter: what its handler has done
    :param flush: writes what was observed, where anything is
    :param stored: how many commands the store has counted, where there is one
    :param prepare: called before it is measured
    """

    name: str
    scenario: str
    convert: Callable[[Message], Any]
    run: Callable[[Any], Awaitable[object]]
    counter: Counter
    flush: Callable[[], Awaitable[None]] | None = None
    stored: Callable[[], Awaitable[int]] | None = None
    prepare: Callable[[], None] | None = None


def unchanged(message: Message) -> Message:
    return message


class Store(Struct):
    """A store with the sinks of the five systems, for whoever is not socbot."""

    database: Database
    telemetry: Telemetry[Outcome]
    analytics: Analytics

    async def stored(self) -> int:
        return (await self.analytics.usage()).tally.commands


@asynccontextmanager
async def open_store(folder: Path) -> AsyncIterator[Store]:
    """A SQLite file, and the same telemetry with the same sinks that socbot has."""
    clock, config = SystemClock(), Config(backup=NO_BACKUPS, storage=StorageConfig(url=f"sqlite:///{folder}/bench.db"))
    async with Database.open(config.storage, clock) as database:
        telemetry: Telemetry[Outcome] = Telemetry(database, clock, config.storage)
        pseudonyms = Pseudonyms(database, clock)
        await pseudonyms.load()
        analytics = Analytics(database, telemetry.flush, clock, config.analytics, pseudonyms)
        telemetry.add_sink(Traces(database, telemetry.flush, clock, config.analytics, pseudonyms).write)
        telemetry.add_sink(analytics.write)
        telemetry.add_sink(Profiler(database, telemetry.flush, clock, config.profiler, pseudonyms).write)
        yield Store(database, telemetry, analytics)
        await telemetry.close()


@asynccontextmanager
async def floor(folder: Path) -> AsyncIterator[list[Contender]]:
    counter = Counter()

    async def ping(message: Message) -> Reply:
        counter.count += 1
        if counter.pauses:
            await counter.pause()
        return Reply("pong")

    async with open_store(folder) as store:
        made = Floor(
            {"ping": ping},
            {LISTED: float("inf")},
            store.telemetry.record,
            cooldown=LIMITS.cooldown,
            burst=LIMITS.burst,
            window=LIMITS.window,
        )
        store.telemetry.add_sink(made.write)
        yield [
            Contender("floor", scenario, unchanged, made.dispatch, counter, store.telemetry.flush, store.stored)
            for scenario in ("full", "refused")
        ]


def ping_command(counter: Counter) -> Any:
    @command("bench_ping", aliases=["ping_"], permission="public")
    async def ping(ctx: Context) -> Reply:
        """Answers."""
        counter.count += 1
        if counter.pauses:
            await counter.pause()
        return Reply("pong")

    return ping


@asynccontextmanager
async def socbot(folder: Path) -> AsyncIterator[list[Contender]]:
    counter = Counter()
    ping = ping_command(counter)

    def renamed(message: Message) -> Message:
        return structs.replace(message, text="!bench_ping")

    bare = Dispatcher([ping])
    config = Config(backup=NO_BACKUPS, storage=StorageConfig(url=f"sqlite:///{folder}/bench.db"), rate_limit=LIMITS)
    async with Bot.from_config(config, commands=[ping], jobs=False) as bot:
        await bot.blacklist.add("user", LISTED, reason="listed", by="bench")

        async def stored() -> int:
            return (await bot.analytics.usage()).tally.commands

        yield [
            Contender("socbot", "bare", renamed, bare.dispatch, counter),
            *(
                Contender("socbot", scenario, renamed, bot.dispatch, counter, bot.telemetry.flush, stored)
                for scenario in ("full", "refused")
            ),
        ]
