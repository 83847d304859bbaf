"""Figures of the process and the machine, read without waiting."""

import os
import shutil
from collections import deque
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec import Struct

from socbot.dispatch.clock import Clock

WINDOW = 60.0
"""Seconds over which the processor's load is a mean, where the samples are as close as that."""


class Load(Struct, frozen=True):
    """The processor's load, in percent.

    :param own: of one core, by this process
    :param machine: of all cores, by everybody
    :param seconds: over how long; None for since the machine and the process began
    """

    own: float
    machine: float
    seconds: float | None


class _Sample(Struct, frozen=True):
    """Processor seconds so far; ``all_of_it`` counts the idle ones too, over all cores."""

    own: float
    busy: float
    all_of_it: float

    def until(self, later: "_Sample", cores: int, seconds: float | None) -> Load:
        passed = (later.all_of_it - self.all_of_it) or 1.0
        own = 100 * cores * (later.own - self.own) / passed
        return Load(max(0.0, own), max(0.0, 100 * (later.busy - self.busy) / passed), seconds)


class Meter:
    """Memory and processor. Elapsed time is read where the work is read, so a suspended process is not misjudged."""

    def __init__(self) -> None:
        self._cores = os.cpu_count() or 1
        self._samples: deque[_Sample] = deque(maxlen=16)

    @property
    def memory(self) -> int:
        """Resident bytes."""
        return int(self._process.memory_info().rss)

    @cached_property
    def _process(self) -> Any:
        import psutil

        return psutil.Process()

    def load(self) -> Load:
        """The load since a sample about ``WINDOW`` seconds ago; the first time, since the beginning."""
        now, samples = self._sample(), self._samples
        while len(samples) > 1 and self._seconds(samples[1], now) >= WINDOW:
            samples.popleft()
        if not samples or self._seconds(samples[-1], now) >= 1.0:
            samples.append(now)
        before = samples[0]
        seconds = self._seconds(before, now)
        if seconds < 1.0:  # the kernel's clock ticks too slowly to tell anything of it
            return self._since_the_beginning(now)
        return before.until(now, self._cores, seconds)

    def _since_the_beginning(self, now: _Sample) -> Load:
        import psutil

        age = self._process.create_time() - psutil.boot_time()
        alive = max(1.0, now.all_of_it / self._cores - age)
        return Load(100 * now.own / alive, 100 * now.busy / (now.all_of_it or 1.0), None)

    def _seconds(self, before: _Sample, after: _Sample) -> float:
        return (after.all_of_it - before.all_of_it) / self._cores

    def _sample(self) -> _Sample:
        import psutil

        own, machine = self._process.cpu_times(), psutil.cpu_times()
        idle = machine.idle + getattr(machine, "iowait", 0.0)
        # On Linux the guests' time is within the users' time already.
        all_of_it = sum(machine) - getattr(machine, "guest", 0.0) - getattr(machine, "guest_nice", 0.0)
        return _Sample(own.user + own.system, all_of_it - idle, all_of_it)


class Increase:
    """By how much a counter has grown within the last ``seconds``."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self.seconds = clock, seconds
        self._seen: deque[tuple[float, int]] = deque([(clock.monotonic(), 0)], maxlen=1_000)

    def read(self, total: int) -> int:
        now = self._clock.monotonic()
        self._seen.append((now, total))
        while len(self._seen) > 2 and self._seen[1][0] <= now - self.seconds:
            self._seen.popleft()
        return total - self._seen[0][1]


class Stall(Struct, frozen=True):
    """The event loop stood still, at a moment in seconds since 1970."""

    at: float
    where: str


class Space(Struct, frozen=True):
    """Free bytes where ``names`` are."""

    names: tuple[str, ...]
    free: int


def spaces(folders: Mapping[str, Path]) -> tuple[Space, ...]:
    """What is free on each file system on which ``folders`` are, or will be. Blocks: for a worker thread."""
    names: dict[int, list[str]] = {}
    free: dict[int, int] = {}
    for name, folder in folders.items():
        there = _existing(folder)
        device = there.stat().st_dev
        names.setdefault(device, []).append(name)
        free[device] = shutil.disk_usage(there).free
    return tuple(Space(tuple(names[device]), free[device]) for device in names)


def _existing(folder: Path) -> Path:
    candidates: Iterable[Path] = (folder.absolute(), *folder.absolute().parents)
    return next(each for each in candidates if each.exists())
