"""Health: whether everything does its work, since when it does not, and what has been."""

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct, structs

from socbot.charts import Tone
from socbot.config import Threshold
from socbot.dispatch.replies import plain
from socbot.systems.health import STATUSES, Check, Episode, Probe, Result, Stall, Status, Step
from socbot.web.addresses import linking
from socbot.web.host import Host
from socbot.web.view import View, Viewer

Range: TypeAlias = Literal["24h", "7d", "30d"]

_SPANS: Final[dict[Range, tuple[float, int]]] = {
    "24h": (86_400.0, 48),
    "7d": (7 * 86_400.0, 56),
    "30d": (30 * 86_400.0, 60),
}
"""Seconds, and the parts that they are shown in."""

_EPISODES: Final = 50
_TONES: Final[dict[Status, Tone]] = {"healthy": "good", "unknown": "warn", "degraded": "warn", "unhealthy": "bad"}


class Query(Struct, frozen=True):
    """How far back it is looked."""

    range: Range = "24h"


class Part(Struct, frozen=True):
    """One check in one part of the range.

    :param at: when the part begins
    :param status: the worst of it; None where nothing was checked
    :param figure: the mean of its figures
    """

    at: float
    status: Status | None
    rounds: int
    healthy: int
    figure: float | None


class Seen(Struct, frozen=True):
    """One check, as it was found last and over the range.

    :param status: what was found last; ``figure`` in ``unit``
    :param threshold: where the figure is degraded and unhealthy
    :param settled: what it counts as: a change needs ``agreeing[1]`` rounds, of which ``agreeing[0]`` speak for one
    :param since: since when it counts as that
    :param share: of the rounds in the range, in how many it was healthy; None without any
    """

    name: str
    status: Status
    figure: float | None
    unit: str
    text: str
    threshold: Threshold | None
    settled: Status | None
    agreeing: tuple[int, int]
    since: float | None
    share: float | None
    parts: tuple[Part, ...]


class SwitchState(Struct, frozen=True):
    """The dead man's switch: whether an address is called while all is well.

    :param called_at: when it was answered last, since the start
    :param failing: why the last call failed; empty if it did not
    """

    is_set: bool
    called_at: float | None
    failing: str


class Found(Struct, frozen=True):
    """Whether everything does its work, and what has been.

    :param status: the worst of the last round, which was at ``checked_at``
    :param interval: seconds between two rounds
    :param checks: the worst first
    :param off: checks that are switched off
    :param rounds: how many there were in the range, and in how many everything was ``well``
    :param lasting: times of trouble that are not over; ``episodes`` those of the range, newest first
    :param stalls: when the event loop stood still, since the start, newest first, and at which line
    """

    status: Status
    checked_at: float | None
    interval: float
    live: Probe
    ready: Probe
    checks: tuple[Seen, ...]
    off: tuple[str, ...]
    rounds: int
    well: int
    lasting: tuple[Episode, ...]
    episodes: tuple[Episode, ...]
    stalls: tuple[Stall, ...]
    switch: SwitchState


async def read(host: Host, query: Query, viewer: Viewer) -> Found:
    health, last = host.health, host.health.last
    length, parts = _SPANS[query.range]
    since = host.clock.time() - length
    steps, rounds, well = await health.course(since, parts)
    checks = {check.name: check for check in health.checks}
    by_check: dict[str, dict[int, Step]] = {}
    for step in steps:
        by_check.setdefault(step.check, {})[step.number] = step
    seen = [
        _seen(
            host, result, checks.get(result.name), _parts(by_check.get(result.name, {}), since, length, parts), viewer
        )
        for result in (() if last is None else last.results)
    ]
    seen.sort(key=lambda each: -STATUSES.index(each.status))
    return Found(
        "unknown" if last is None else last.status,
        None if last is None else last.at,
        health.config.interval,
        health.live,
        health.ready,
        tuple(seen),
        health.config.off,
        rounds,
        well,
        tuple(_told(each, viewer.zone) for each in health.lasting),
        tuple(_told(each, viewer.zone) for each in (await health.episodes(since))[:_EPISODES]),
        health.stalls[::-1],
        SwitchState(health.switch.is_set, health.switch.called_at, health.switch.failing),
    )


def _seen(host: Host, result: Result, check: Check | None, parts: tuple[Part, ...], viewer: Viewer) -> Seen:
    rounds = sum(part.rounds for part in parts)
    return Seen(
        result.name,
        result.status,
        result.figure,
        result.unit,
        plain(result.text, viewer.zone),
        None if check is None else host.health.threshold(check),
        result.settled,
        result.agreeing,
        host.health.since(result.name),
        sum(part.healthy for part in parts) / rounds if rounds else None,
        parts,
    )


def _parts(steps: Mapping[int, Step], since: float, length: float, count: int) -> tuple[Part, ...]:
    return tuple(
        Part(at, step.status, step.rounds, step.healthy, step.figure)
        if step is not None
        else Part(at, None, 0, 0, None)
        for at, step in ((since + length * number / count, steps.get(number)) for number in range(count))
    )


def _told(episode: Episode, zone: tzinfo) -> Episode:
    return structs.replace(episode, text=plain(episode.text, zone))


def shape(found: Found, query: Query, viewer: Viewer) -> Mapping[str, Any]:
    span = {"24h": "24 hours", "7d": "7 days", "30d": "30 days"}[query.range]
    return {
        "link": linking(query),
        "span": span,
        "strips": {each.name: tuple(_cell(part, viewer.zone) for part in each.parts) for each in found.checks},
        "lines": {each.name: tuple(part.figure or 0.0 for part in each.parts) for each in found.checks},
    }


def _cell(part: Part, zone: tzinfo) -> tuple[Tone, str]:
    if part.status is None:
        return "none", ""
    told = f"{datetime.fromtimestamp(part.at, zone):%b %d %H:%M}: {part.status}"
    return _TONES[part.status], f"{told}, {part.healthy} of {part.rounds} rounds well"


VIEWS = (View("/health", "Health", Query, Found, read, "health.html", shape=shape),)
