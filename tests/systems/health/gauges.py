"""What health looks at in its tests: a figure that the test sets, and a health that looks at it."""

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import msgspec

from socbot.config import HealthConfig, SignalsConfig, StorageConfig, Threshold
from socbot.dispatch.replies import Reply
from socbot.redaction import Redactor
from socbot.storage.database import Database
from socbot.systems.health import Check, Episode, Health, Measured, Status
from socbot.systems.signals import Signals
from socbot.systems.vitals import Vitals
from socbot.testing import FakeClock

BOUNDS = Threshold(100, 300)

_seeds = itertools.count(1)


class Gauge:
    """Measures what it is told to: a figure, a finding, or an error."""

    def __init__(self, name: str = "gauge", found: float | Measured | Exception | None = 0.0) -> None:
        self.found = found
        self.made = 0
        self.check = Check(name, self._measure, "ms", BOUNDS, public=True)

    async def _measure(self) -> Measured | None:
        self.made += 1
        if isinstance(self.found, Exception):
            raise self.found
        return Measured(self.found, "as told") if isinstance(self.found, int | float) else self.found


class Watched:
    """A health, with what it told the owner."""

    def __init__(self, health: Health, clock: FakeClock, database: Database) -> None:
        self.health, self.clock, self.database = health, clock, database
        self.told: list[Reply] = []

    async def rounds(self, gauge: Gauge, *figures: float) -> list[Status | None]:
        """A round for each figure, five minutes apart; what the gauge counts as after each."""
        settled = []
        for figure in figures:
            gauge.found = figure
            self.clock.forward(300)
            await self.health.check()
            assert self.health.last is not None
            settled.append(self.health.last.results[-1].settled)
        return settled

    @property
    def titles(self) -> list[str]:
        return [notice.title for notice in self.told]

    async def signals(self) -> list[tuple[str, str]]:
        rows = await self.database.read(lambda c: c.execute("SELECT title, severity FROM signals ORDER BY at, title"))
        return [(title, severity) for title, severity in rows]

    async def episodes(self) -> tuple[Episode, ...]:
        return (await self.health.history(24 * 30)).episodes


@asynccontextmanager
async def watching(
    storage: StorageConfig, clock: FakeClock, checks: Sequence[Check], closing: str = "", **options: object
) -> AsyncIterator[Watched]:
    """A health over ``checks`` on a real store."""
    config = msgspec.structs.replace(HealthConfig(), **options)
    async with Database.open(storage, clock) as database:
        told: list[Reply] = []

        async def notify(reply: Reply) -> None:
            told.append(reply)

        health = Health(
            database,
            clock,
            config,
            Signals(database, clock, Random(next(_seeds)), SignalsConfig()),
            Vitals(clock),
            closing=lambda: closing,
            notify=notify,
            redact=Redactor(("geheim",)),
        )
        health.add(*checks)
        await health.load()
        async with health:
            watched = Watched(health, clock, database)
            watched.told = told
            yield watched
