"""Whether the bot lives, and whether it can serve: answered from memory, so that asking costs nothing."""

from collections.abc import Callable
from typing import TypeAlias

import anyio
from msgspec import Struct

from socbot.dispatch.arguments import Duration
from socbot.dispatch.clock import Clock
from socbot.systems.health.builtin import PATIENCE
from socbot.systems.health.checks import Check, Measured
from socbot.systems.health.measuring import Measuring
from socbot.systems.vitals import Vitals

PAUSE = 5.0
"""Seconds between two looks at what readiness depends on."""

STALLED = 5.0
"""Seconds without a turn of the event loop from which on the bot does not live."""

Overdue: TypeAlias = Callable[[], float]
"""Seconds for which the event loop has not turned; may be called from any thread."""


class Fact(Struct, frozen=True):
    """One of the things that liveness or readiness depends on."""

    name: str
    ok: bool
    text: str = ""


class Probe(Struct, frozen=True):
    """The answer; it is yes if every fact is."""

    ok: bool
    facts: tuple[Fact, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What speaks against it."""
        return tuple(f"{fact.name}: {fact.text}" for fact in self.facts if not fact.ok)


def probe(*facts: Fact) -> Probe:
    return Probe(all(fact.ok for fact in facts), facts)


class Liveness:
    """The loop turns. ``overdue`` tells, from the thread that watches it; without one nobody can say otherwise.

    :param limit: seconds without a turn from which on it is dead
    """

    def __init__(self, limit: float = STALLED) -> None:
        self.limit = limit
        self.overdue: Overdue | None = None

    def read(self) -> Probe:
        """The answer now; from any thread."""
        if self.overdue is None:
            return probe(Fact("event loop", True, "not watched"))
        seconds = self.overdue()
        told = f"has not turned for {seconds:.1f} s" if seconds >= self.limit else "turns"
        return probe(Fact("event loop", seconds < self.limit, told))


class Readiness:
    """The bot can serve: it has started and is not ending, the store takes a write, a command gets through the chain,
    and its platforms are connected or were a minute ago.

    :param checks: those of which each must not be unhealthy; looked at every ``PAUSE`` seconds
    :param closing: why no commands are taken; empty while they are
    """

    def __init__(
        self,
        measuring: Measuring,
        clock: Clock,
        vitals: Vitals,
        checks: Callable[[], tuple[Check, ...]],
        patience: Callable[[], float],
        closing: Callable[[], str],
    ) -> None:
        self.started = False
        self._measuring, self._clock, self._vitals = measuring, clock, vitals
        self._checks, self._patience, self._closing = checks, patience, closing
        self._facts: dict[str, Fact] = {}
        self._looked_at: float | None = None

    def read(self) -> Probe:
        """The answer now, of what was seen last."""
        return probe(self._life(), *self._seen(), *map(self._link, self._vitals.platforms))

    async def look(self) -> None:
        """See whether the store and the chain do their work."""
        checks = self._checks()
        seen: dict[str, Fact] = {}

        async def see(check: Check) -> None:
            seen[check.name] = _fact(check.name, await self._measuring.measure(check, self._patience()))

        async with anyio.create_task_group() as tasks:
            for check in checks:
                tasks.start_soon(see, check)
        self._facts, self._looked_at = {check.name: seen[check.name] for check in checks}, self._clock.monotonic()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(PAUSE)

    def _life(self) -> Fact:
        closing = self._closing()
        if not self.started:
            return Fact("bot", False, "has not started yet")
        return Fact("bot", not closing, closing or "takes commands")

    def _seen(self) -> tuple[Fact, ...]:
        if self._looked_at is None:
            return (Fact("checks", False, "not made yet"),)
        age = self._clock.monotonic() - self._looked_at
        if age > 3 * PAUSE + self._patience():
            return (Fact("checks", False, f"not made for {Duration(round(age))}"),)
        return tuple(self._facts.values())

    def _link(self, platform: str) -> Fact:
        links = self._vitals.links(platform)
        lost = min((seconds if seconds is not None else 0.0 for seconds in links), default=0.0)
        if lost == float("inf"):
            return Fact(platform, False, "not connected yet")
        told = f"no connection for {Duration(round(lost))}" if lost >= 1 else "connected"
        return Fact(platform, lost <= PATIENCE, told)


def _fact(name: str, found: Measured | None) -> Fact:
    return Fact(name, found is None or found.status != "unhealthy", found.text if found is not None else "")
