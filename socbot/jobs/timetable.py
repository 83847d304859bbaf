"""When one job is due next, whatever happens to the host's clock."""

from collections import deque
from datetime import tzinfo
from typing import TypeAlias

from socbot.dispatch.clock import Clock
from socbot.jobs.schedules import Continuous, Cron, Every, Schedule

LOOK = 60.0
"""Seconds after which a job that waits for a time of day looks at the clock again: it may have been set."""


class Interval:
    """Counts on the monotonic clock, so that a step of the host's clock moves nothing."""

    def __init__(self, schedule: Every, clock: Clock, settled: float | None) -> None:
        self._seconds, self._clock = schedule.seconds, clock
        remaining = 0.0 if settled is None else settled + self._seconds - clock.time()
        self._due = clock.monotonic() + max(0.0, min(remaining, self._seconds))

    def wait(self) -> float:
        return self._due - self._clock.monotonic()

    def begin(self) -> float:
        return self._clock.time()

    def done(self) -> float:
        self._due = self._clock.monotonic() + self._seconds
        return self._clock.time()

    def next_run(self) -> float:
        return self._clock.time() + max(0.0, self.wait())

    def overdue(self) -> tuple[float, float]:
        return max(0.0, -self.wait()), self._seconds


class Slots:
    """Times of day. Each slot is done at most once, also when the clock is set back over it."""

    def __init__(self, schedule: Cron, clock: Clock, settled: float | None, zone: tzinfo) -> None:
        self._schedule, self._clock, self._zone = schedule, clock, zone
        self._settled = clock.time() if settled is None else settled
        self._done: deque[float] = deque([self._settled], maxlen=4_096)
        self._begun: float | None = None

    def wait(self) -> float:
        return min(LOOK, self._due() - self._clock.time())

    def begin(self) -> float:
        self._begun = self._schedule.latest(self._clock.time(), self._zone)
        return self._begun

    def done(self) -> float:
        if self._begun is not None:
            self._settled = self._begun
            self._done.append(self._begun)
            self._begun = None
        return self._settled

    def next_run(self) -> float:
        return max(self._clock.time(), self._due())

    def overdue(self) -> tuple[float, float]:
        due = self._due()
        return max(0.0, self._clock.time() - due), self._schedule.after(due, self._zone) - due

    def _due(self) -> float:
        now = self._clock.time()
        self._settled = min(self._settled, now)
        due = self._schedule.after(self._settled, self._zone)
        if due <= now and self._schedule.latest(now, self._zone) in self._done:
            due = self._schedule.after(now, self._zone)
        while due in self._done:
            due = self._schedule.after(due, self._zone)
        return due


class Always:
    """No times: due as soon as it does not run."""

    def wait(self) -> float:
        return 0.0

    def begin(self) -> None:
        """A run begins."""

    def done(self) -> None:
        """A run succeeded."""

    def next_run(self) -> None:
        """It has no next run."""

    def overdue(self) -> tuple[float, float]:
        return 0.0, 0.0


Timetable: TypeAlias = Interval | Slots | Always
"""``wait``: seconds until a run is due (ask again after them); ``begin`` and ``done`` go around a run that was due;
each gives up to when no run is owed then; ``overdue`` the seconds since a run was due, and the interval."""


def timetable(schedule: Schedule, clock: Clock, settled: float | None, zone: tzinfo) -> Timetable:
    """:param settled: up to when no run is owed; None for a job that never ran"""
    match schedule:
        case Every():
            return Interval(schedule, clock, settled)
        case Cron():
            return Slots(schedule, clock, settled, zone)
        case Continuous():
            return Always()
