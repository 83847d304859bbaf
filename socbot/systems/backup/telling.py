"""What the owner is told: that a backup has failed, that there are none any more, that they work again. Each once."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from socbot.dispatch.clock import Clock
from socbot.dispatch.replies import Reply, Tone, escape
from socbot.storage.errors import StoreError
from socbot.systems.backup.records import Described
from socbot.systems.backup.retention import INTERVALS, SCHEDULED, SLACK, enabled
from socbot.systems.backup.shelf import Shelf
from socbot.systems.signals import Severity, Signals

LATE: Final = 1.4
"""Intervals without a good backup after which the owner is told."""

_log = logging.getLogger(__name__)


class Alarm:
    """Tells the owner, and whoever follows the signals."""

    def __init__(self, notify: Callable[[Reply], Awaitable[None]], signals: Signals | None = None) -> None:
        self._notify, self._signals = notify, signals

    async def raise_(self, title: str, text: str, severity: Severity) -> None:
        tone: Tone = "ok" if severity == "info" else "warn" if severity == "warning" else "error"
        await self._notify(Reply(text, title, tone=tone, private=True))
        if self._signals is not None:
            try:
                await self._signals.raise_("backup", title, text, severity=severity, source="backup")
            except StoreError as error:  # the owner has been told; what is broken may be the store itself
                _log.warning("the signal %r could not be written: %s", title, error)


class Watch:
    """Knows how old the last good backup is, and raises the alarm when it is too old, or none could be made.

    :ivar failure: why the last try failed; empty if it did not
    """

    def __init__(self, clock: Clock, shelf: Shelf, alarm: Alarm) -> None:
        self._clock, self._shelf, self._alarm = clock, shelf, alarm
        self._since = clock.monotonic()
        self._good_at: float | None = None  # monotonic
        self._told = False
        self.failure = ""

    @property
    def age(self) -> float | None:
        """Time since the last good backup, in intervals of the shortest schedule; None if none is due yet."""
        interval = self._interval
        if interval is None:
            return None
        since = self._since if self._good_at is None else self._good_at
        age = max(0.0, self._clock.monotonic() - since) / interval
        return None if self._good_at is None and age < 1.0 else age

    @property
    def seconds(self) -> float | None:
        """Time since the last good backup, on a clock that nobody sets; None if none has been seen."""
        return None if self._good_at is None else max(0.0, self._clock.monotonic() - self._good_at)

    @property
    def knows_one(self) -> bool:
        return self._good_at is not None

    @property
    def _interval(self) -> float | None:
        return min((INTERVALS[slot] for slot in enabled(self._shelf.config)), default=None)

    def take_note(self, found: Sequence[Described]) -> None:
        """Know how old the last good one is, counted from now on by a clock that nobody sets."""
        now = self._clock.time()
        ages = [now - each.backup.made_at for each in found if each.known.is_good and each.backup.type in SCHEDULED]
        ages = [age for age in ages if age >= -SLACK]
        if ages:
            good_at = self._clock.monotonic() - max(0.0, min(ages))
            self._good_at = good_at if self._good_at is None else max(self._good_at, good_at)

    def made_one(self) -> None:
        """A good one was made just now."""
        self._good_at = self._clock.monotonic()

    async def look(self) -> None:
        """Tell the owner, once, that there has been no good backup for too long."""
        age = self.age
        if age is not None and age < LATE and self._told and not self.failure:
            await self.succeeded()
        if age is None or age < LATE or self._told:
            return
        hours = age * (self._interval or 0) / 3600
        reason = f" The last try failed: {escape(self.failure, 300)}" if self.failure else ""
        self._told = True
        await self._alarm.raise_(
            "Backups Have Stopped", f"There has been no good backup for {hours:.1f} hours.{reason}", "critical"
        )

    async def failed(self, reason: str) -> None:
        self.failure = reason
        _log.error("a backup failed: %s", reason)
        if not self._told:
            self._told = True
            await self._alarm.raise_("Backup Failed", escape(reason, 500), "critical")

    async def succeeded(self) -> None:
        self.failure = ""
        if self._told:
            self._told = False
            await self._alarm.raise_("Backups Work Again", "A backup was made and verified.", "info")
