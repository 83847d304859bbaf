"""Counters: what became of the commands since the start, in memory.

They count what the store has taken and nothing else, each command once, so that they and what is stored say the same.
What still waits, and what the store did not take in time, is counted by the telemetry.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

from msgspec import Struct, field, structs

from socbot.dispatch.outcomes import Outcome, Stage, Trace
from socbot.storage.connection import Connection
from socbot.storage.telemetry import Stored
from socbot.systems.blacklist import REASONS
from socbot.systems.profiler import own_times

K = TypeVar("K")

BOUNDS: Final = (
    *(0.00001, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Seconds up to which each bucket of ``Durations`` reaches."""

NO_COMMAND: Final = "(none)"
"""Stands for the command where there was none of that name."""

OTHER: Final = "(other)"
"""Stands for everything beyond the first so many names."""

MOST_ENDINGS: Final = 600
"""Pairs of a command and a status that are told apart."""

MOST_NAMES: Final = 50
"""Names of any other kind that are told apart."""

_KNOWN_REASONS: Final = frozenset(
    (
        *("cooldown", "command cooldown", "burst", "timeout"),
        *REASONS.values(),
        *("the blacklist is unavailable", "busy", "held", "shutting down", "maintenance"),
    )
)


class Durations(Struct, frozen=True):
    """How long something took.

    :param within: how many did not take longer than each of ``BOUNDS``
    :param total: seconds, of all together
    """

    count: int = 0
    total: float = 0.0
    within: tuple[int, ...] = (0,) * len(BOUNDS)

    def __add__(self, other: "Durations") -> "Durations":
        within = tuple(map(int.__add__, self.within, other.within))
        return Durations(self.count + other.count, self.total + other.total, within)


class Part(Struct, frozen=True):
    """What one middleware did; ``own`` is its time without what it wraps."""

    calls: int = 0
    refusals: int = 0
    would_refuse: int = 0
    faults: int = 0
    own: Durations = Durations()

    def __add__(self, other: "Part") -> "Part":
        return Part(*(mine + more for mine, more in zip(structs.astuple(self), structs.astuple(other), strict=True)))


class Counts(Struct, frozen=True):
    """What became of commands. None of it holds a word that a user wrote.

    :param endings: by command and status
    :param seconds: that each command took, where it got into the chain
    :param refusals: by whoever refused, and why: one of a few reasons, or the refusal's class
    :param failures: by the error's class
    :param durations: of those that got into the chain, by status
    :param parts: by the middleware's name
    """

    endings: Mapping[tuple[str, str], int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    refusals: Mapping[tuple[str, str], int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    durations: Mapping[str, Durations] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)


class Counters:
    """Counts outcomes.

    :ivar counts: all so far; never changed, only replaced, so that any thread may read it
    """

    def __init__(self) -> None:
        self.counts = Counts()

    def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> Stored:
        """Count ``outcomes`` once they are stored: a telemetry sink."""
        new = _added(self.counts, outcomes)

        def keep() -> None:
            self.counts = new

        return keep


def _added(counts: Counts, outcomes: Sequence[Outcome]) -> Counts:
    endings, seconds, refusals = dict(counts.endings), dict(counts.seconds), dict(counts.refusals)
    failures, parts = dict(counts.failures), dict(counts.parts)
    took: dict[str, list[float]] = {}
    courses: dict[tuple[Stage, ...], list[Trace]] = {}
    for outcome in outcomes:
        command, status, trace = outcome.command or NO_COMMAND, outcome.status, outcome.trace
        ending = (command, status)
        if ending not in endings and len(endings) >= MOST_ENDINGS:
            ending = (OTHER, status)
        endings[ending] = endings.get(ending, 0) + 1
        if trace is not None:
            name = command if command in seconds or len(seconds) < MOST_ENDINGS // 3 else OTHER
            seconds[name] = seconds.get(name, 0.0) + outcome.seconds
            took.setdefault(status, []).append(outcome.seconds)
            courses.setdefault(trace.stages, []).append(trace)
        if status == "refused":
            _count(refusals, _refusal(outcome), ("handler", OTHER), 2 * MOST_NAMES)
            _add(parts, outcome.refused_by or "", trace, Part(refusals=1))
        elif status == "failed":
            _count(failures, type(outcome.error).__name__[:MOST_NAMES], OTHER, MOST_NAMES)
    for course, traces in courses.items():
        _add_course(parts, course, traces)
    durations = dict(counts.durations)
    for how, times in took.items():
        durations[how] = durations.get(how, Durations()) + _durations(times)
    return Counts(endings, seconds, refusals, failures, durations, parts)


def _add_course(parts: dict[str, Part], course: tuple[Stage, ...], traces: Sequence[Trace]) -> None:
    times = own_times([trace.times for trace in traces])
    for stage, own in zip(course, times, strict=False):  # the handler's are the last
        if own:
            _add(parts, stage.name, traces[0], Part(calls=len(own), own=_durations(own)))
    for trace in traces:
        _, verdicts, faults = trace.remarks
        if verdicts or faults:
            for name in trace.would_refuse:
                _add(parts, name, trace, Part(would_refuse=1))
            for name in trace.blamed:
                _add(parts, name, trace, Part(faults=1))


def _add(parts: dict[str, Part], name: str, trace: Trace | None, more: Part) -> None:
    """Count ``more`` for the middleware ``name`` of the chain that ``trace`` is of, if it is one of its."""
    if trace is None or all(stage.name != name for stage in trace.stages):
        return
    if name not in parts and len(parts) >= MOST_NAMES:
        name = OTHER
    parts[name] = parts.get(name, Part()) + more


def _count(counted: dict[K, int], key: K, otherwise: K, most: int) -> None:
    if key not in counted and len(counted) >= most:
        key = otherwise
    counted[key] = counted.get(key, 0) + 1


def _refusal(outcome: Outcome) -> tuple[str, str]:
    reason = outcome.reason or ""
    if reason not in _KNOWN_REASONS:
        reason = OTHER if outcome.error is None else type(outcome.error).__name__[:MOST_NAMES]
    return outcome.refused_by or "handler", reason


def _durations(seconds: Iterable[float]) -> Durations:
    # What is wrapped may end after what wraps it, where that did not wait for it.
    ordered = sorted(max(0.0, each) for each in seconds)
    return Durations(len(ordered), sum(ordered), tuple(bisect_right(ordered, bound) for bound in BOUNDS))
