"""A clock that begins in the past, leaps towards the present, and then goes with it."""

import logging
from collections.abc import Container, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from socbot.dispatch.clock import SystemClock

_HOST = SystemClock()

MOMENT = 1.0
"""Seconds: who sleeps for less is woken by the host's clock too, whoever sleeps longer by ``wake`` alone until then."""


class _Sleeper:
    __slots__ = ("due", "rung", "task")

    def __init__(self, due: float) -> None:
        self.due = due
        self.rung = anyio.Event()
        self.task = anyio.get_current_task().name or ""


class DemoClock:
    """Goes as the host's does, ``behind`` seconds behind it, which ``leap`` makes fewer.

    What takes time takes it: between two leaps durations are those of the host.
    """

    def __init__(self, behind: float) -> None:
        self._behind, self._leapt = behind, 0.0
        self._sleepers: list[_Sleeper] = []

    def time(self) -> float:
        return _HOST.time() - self._behind

    def monotonic(self) -> float:
        return _HOST.monotonic() + self._leapt

    @property
    def behind(self) -> float:
        """Seconds until it is the host's clock."""
        return self._behind

    async def sleep(self, seconds: float) -> None:
        sleeper = _Sleeper(self.monotonic() + seconds)
        self._sleepers.append(sleeper)
        try:
            await checkpoint()
            while (left := sleeper.due - self.monotonic()) > 0:
                # Nobody begins his work by himself while time leaps: he would take a leap for what his work took.
                with anyio.move_on_after(left if seconds < MOMENT or not self._behind else inf):
                    await sleeper.rung.wait()
                sleeper.rung = anyio.Event()
        finally:
            self._sleepers.remove(sleeper)

    def leap(self, seconds: float) -> None:
        """Let up to ``seconds`` pass at once, to the present at most. Who is due by then sleeps on until ``wake``."""
        seconds = min(seconds, self._behind)
        self._behind -= seconds
        self._leapt += seconds

    def wake(self, last: Container[str] = ()) -> None:
        """Wake those who are due, in that order, but for the tasks that ``last`` names."""
        now = self.monotonic()
        for sleeper in sorted(self._sleepers, key=lambda each: each.due):
            if sleeper.due <= now and sleeper.task not in last:
                sleeper.rung.set()

    def arrive(self) -> None:
        """Have everybody who sleeps go by the present from now on."""
        self.leap(self._behind)
        for sleeper in self._sleepers:
            sleeper.rung.set()


@contextmanager
def logging_by(clock: DemoClock) -> Iterator[None]:
    """Have what is logged while the block runs carry the time of ``clock``."""
    before = logging.getLogRecordFactory()

    def make(*arguments: Any, **named: Any) -> logging.LogRecord:
        record = before(*arguments, **named)
        record.created = clock.time()
        return record

    logging.setLogRecordFactory(make)
    try:
        yield
    finally:
        logging.setLogRecordFactory(before)
