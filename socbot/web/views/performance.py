"""Performance: how long commands take, which got slower, and where the time goes."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from socbot.systems.profiler import COMMAND, HANDLER, CommandCost, Course, Rating, SlowRun, rating
from socbot.web.host import Host
from socbot.web.view import View, Viewer
from socbot.web.views.commands import Part, latency, parts_of

RANGES: Final = ((1, "24 h"), (7, "7 d"), (30, "30 d"), (90, "90 d"))

_HOUR: Final = 3_600.0
_DAY: Final = 86_400.0
_SHOWN: Final = 60
_SLOW: Final = 15
_CHANGED: Final = 8
_ENOUGH: Final = 20
"""Runs in each of two ranges, below which they are not compared."""

_NOTABLE: Final = 1.25
_NOTICED: Final = 0.001  # seconds: who would see less than that?


class Query(Struct, frozen=True):
    """How far back.

    :param days: 1, 7, 30 or 90
    """

    days: Literal[1, 7, 30, 90] = 7


class Speed(Struct, frozen=True):
    """How long the runs of one command took, in seconds.

    :param total: of all runs together
    :param rating: of the mean
    :param before: the P95 in as many days before those; None where there were too few runs to compare
    """

    command: str
    runs: int
    mean: float
    p50: float
    p95: float
    p99: float
    total: float
    rating: Rating
    before: float | None


class Performance(Struct, frozen=True):
    """How long commands take, which got slower, and where the time goes.

    :param times: of all commands together, those alone that ran; ``before`` in as many days before those; None if none
        was measured
    :param speeds: command by command, the longest in total first, at most 60
    :param commands: how many ran
    :param parts: of the chain and the handlers, over all commands
    :param course: over time, in steps of an hour or a day
    :param slow: the last runs that took ``threshold`` seconds or longer
    """

    times: CommandCost | None
    before: CommandCost | None
    speeds: tuple[Speed, ...]
    commands: int
    slower: tuple[Speed, ...]
    faster: tuple[Speed, ...]
    parts: tuple[Part, ...]
    course: tuple[Course, ...]
    slow: tuple[SlowRun, ...]
    threshold: float


async def read(host: Host, query: Query, viewer: Viewer) -> Performance:
    now, span = host.clock.time(), query.days * _DAY
    since = (now - span) // _HOUR * _HOUR + _HOUR  # whole hours: none is in both spans
    before = {each.command: each for each in await host.profiler.table(since - span, since, COMMAND)}
    speeds = [_speed(each, before.get(each.command)) for each in await host.profiler.table(since, now, COMMAND)]
    speeds.sort(key=lambda each: -each.total)
    return Performance(
        await host.profiler.whole(since, now),
        await host.profiler.whole(since - span, since),
        tuple(speeds[:_SHOWN]),
        len(speeds),
        tuple(_changed(speeds, slower=True)),
        tuple(_changed(speeds, slower=False)),
        parts_of(await host.profiler.parts(since, now)),
        await host.profiler.course(since, now),
        await host.profiler.slow_runs(count=_SLOW),
        host.profiler.slow,
    )


def _speed(cost: CommandCost, before: CommandCost | None) -> Speed:
    comparable = before is not None and min(before.count, cost.count) >= _ENOUGH
    return Speed(
        cost.command, cost.count, cost.mean, cost.p50, cost.p95, cost.p99, cost.total, rating(cost.mean),
        before.p95 if before is not None and comparable else None,
    )  # fmt: skip


def _changed(speeds: Iterable[Speed], *, slower: bool) -> list[Speed]:
    """Those whose P95 has changed by a quarter or more, and enough to be noticed; what costs or saves most first."""
    found = []
    for each in speeds:
        if each.before is None or abs(each.p95 - each.before) < _NOTICED or not min(each.p95, each.before):
            continue
        ratio = each.p95 / each.before
        if ratio >= _NOTABLE if slower else 1 / ratio >= _NOTABLE:
            found.append((abs(each.p95 - each.before) * each.runs, each))
    return [each for _, each in sorted(found, key=lambda pair: -pair[0])[:_CHANGED]]


def charts(it: Performance, query: Query, viewer: Viewer) -> Mapping[str, Any]:
    comparable = it.times is not None and it.before is not None and min(it.times.count, it.before.count) >= _ENOUGH
    return {
        "ranges": RANGES,
        "latency": latency(it.course, viewer),
        "chain": sum(part.share for part in it.parts if part.name != HANDLER),
        "change": it.times.p95 / it.before.p95 - 1 if comparable and it.times and it.before and it.before.p95 else None,
        "ratings": {"Excellent": "good", "Good": "good", "Acceptable": "warn", "Slow": "bad"},
    }


VIEWS: tuple[View[Any, Any], ...] = (
    View("/performance", "Performance", Query, Performance, read, "performance.html", shape=charts),
)
