"""Commands: what is used, when, by how many, and how it ends; and one command by itself."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from itertools import pairwise
from math import nan
from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from socbot.dispatch.commands import Command
from socbot.dispatch.replies import Chart
from socbot.systems.analytics import Heatmap, Person, Tally, Usage
from socbot.systems.profiler import COMMAND, Course
from socbot.systems.sketch import Sketch
from socbot.systems.traces import Wanted
from socbot.web.host import Host
from socbot.web.view import NotFound, View, Viewer
from socbot.web.views.traces import Brief

Days: TypeAlias = Literal[1, 7, 30, 90, 365]

RANGES: Final = ((1, "24 h"), (7, "7 d"), (30, "30 d"), (90, "90 d"), (365, "365 d"))

_HOUR: Final = 3_600.0
_DAY: Final = 86_400.0
_SHOWN: Final = 50
_UNUSED: Final = 100
_RECENT: Final = 20
_FAILED: Final = 5
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Query(Struct, frozen=True):
    """How far back.

    :param days: 1, 7, 30, 90 or 365
    """

    days: Days = 7


class Used(Struct, frozen=True):
    """How often a command was used, and how that ended.

    :param uses: all but what was no command
    :param error_rate: the share of those that were run which failed, 0 to 1
    """

    command: str
    uses: int
    ok: int
    failed: int
    refused: int
    invalid: int
    error_rate: float

    @classmethod
    def of(cls, command: str, tally: Tally) -> "Used":
        return cls(command, tally.commands, tally.ok, tally.failed, tally.refused, tally.invalid, tally.error_rate)


class Commands(Struct, frozen=True):
    """What was used, when, by how many, and how it ended.

    :param before: the same number of days before those
    :param people: how many gave a command; None where that is not known
    :param used: the commands used most, at most 50
    :param names: how many were used in all
    :param unused: the names of commands that there are and nobody used, at most 100 of ``unused_count``
    :param steps: by the hour or by the day: when each began, in seconds since 1970, and what was counted in it
    :param heatmap: commands by weekday (Monday first) and hour of the day, in the reader's zone
    """

    tally: Tally
    before: Tally
    people: int | None
    used: tuple[Used, ...]
    names: int
    unused: tuple[str, ...]
    unused_count: int
    step: float
    steps: tuple[tuple[float, Tally], ...]
    heatmap: Heatmap


async def read(host: Host, query: Query, viewer: Viewer) -> Commands:
    now = host.clock.time()
    span = query.days * _DAY
    since = (now - span) // _HOUR * _HOUR + _HOUR  # whole hours, of which the one under way is the last
    summary = await host.analytics.summary(since, now)
    before = await host.analytics.summary(since - span, since)
    heatmap = await host.analytics.heatmap(query.days, viewer.zone)
    named = {each.command for each in summary.by_command}
    unused = sorted(each.name for each in host.dispatcher.registry if each.name not in named and not each.hidden)
    return Commands(
        summary.tally,
        before.tally,
        summary.people,
        tuple(Used.of(each.command, each.tally) for each in summary.by_command[:_SHOWN]),
        len(named),
        tuple(unused[:_UNUSED]),
        len(unused),
        summary.step,
        summary.by_step,
        heatmap,
    )


def charts(it: Commands, query: Query, viewer: Viewer) -> Mapping[str, Any]:
    steps = it.steps if it.step < _DAY else it.steps[1:]  # the first day is part of a day
    labels = tuple(_label(at, it.step, viewer) for at, _ in steps)
    series = {
        "commands": tuple(float(tally.commands) for _, tally in steps),
        "failed": tuple(float(tally.failed) for _, tally in steps),
        "refused": tuple(float(tally.refused) for _, tally in steps),
    }
    rows = zip(_WEEKDAYS, it.heatmap.counts, strict=True)
    return {
        "ranges": RANGES,
        "trend": Chart("line", labels, series, "an hour" if it.step < _DAY else "a day"),
        "when_used": Chart(
            "heatmap",
            tuple(f"{hour:02}" for hour in range(24)),
            {weekday: tuple(map(float, counts)) for weekday, counts in rows},
            "commands",
        ),
        "busiest": _busiest(it.heatmap),
        "endings": _endings(it.tally),
        "change": it.tally.commands / it.before.commands - 1 if it.before.commands else None,
    }


def _label(at: float, step: float, viewer: Viewer) -> str:
    """A moment below a chart; of a day its middle, which is on that day in most zones."""
    local = datetime.fromtimestamp(at + (step / 2 if step >= _DAY else 0), viewer.zone)
    return f"{local:%m-%d}" if step >= _DAY else f"{local:%m-%d %H:%M}"


def _busiest(heatmap: Heatmap) -> str:
    weekday, hour, count = heatmap.busiest
    return f"{_WEEKDAYS[weekday]} {hour:02}:00 to {(hour + 1) % 24:02}:00" if count else ""


def _endings(tally: Tally) -> list[tuple[str, int, float]]:
    """How commands ended, how many, and which share of all that were given."""
    counts = [(name, int(getattr(tally, name))) for name in ("ok", "failed", "refused", "invalid", "unknown")]
    whole = sum(count for _, count in counts) or 1
    return [(name, count, count / whole) for name, count in counts]


# -- one command --------------------------------------------------------------------------------------


class Which(Struct, frozen=True):
    """Which command.

    :param name: its own, or an alias
    """

    name: Annotated[str, Meta(max_length=64)]


class About(Struct, frozen=True):
    """What is known of a command before anybody uses it.

    :param permission: who may use it: ``owner``, ``admin`` or ``public``
    :param group: the system that it belongs to
    :param cooldown: seconds between two runs by one person; 0 for none of its own
    :param timeout: seconds after which it is ended
    :param concurrency: how many at once, in words; empty for as many as there are
    :param private: whether its answers are not for a public channel
    """

    description: str
    help: str
    usage: str
    example: str
    permission: str
    group: str
    aliases: tuple[str, ...]
    cooldown: float
    timeout: float
    concurrency: str
    private: bool


class Part(Struct, frozen=True):
    """How long one part of its runs took, in seconds; ``share`` is of all parts, 0 to 1."""

    name: str
    runs: int
    mean: float
    p99: float
    share: float


class Times(Struct, frozen=True):
    """How long its runs took, in seconds, over all that is kept."""

    runs: int
    mean: float
    p50: float
    p95: float
    p99: float
    most: float


class OneCommand(Struct, frozen=True):
    """One command: what it is, how it is used, how that ends, and how long it takes.

    :param about: None if there is no such command any more
    :param first_at: when it was first used, of what is kept, in seconds since 1970; ``last_at`` too
    :param by_day: uses on each day, in the bot's time zone
    :param by_hour: uses in each hour of the last week, by its beginning
    :param course: how long its runs took in the last 30 days
    :param recent: the last that were given
    :param failed: the last that failed
    """

    name: str
    about: About | None
    usage: Used
    people: int
    top: tuple[Person, ...]
    first_at: float | None
    last_at: float | None
    by_day: tuple[tuple[date, int], ...]
    by_hour: tuple[tuple[float, int], ...]
    times: Times
    parts: tuple[Part, ...]
    course: tuple[Course, ...]
    recent: tuple[Brief, ...]
    failed: tuple[Brief, ...]


async def read_one(host: Host, query: Which, viewer: Viewer) -> OneCommand:
    named = host.dispatcher.registry.get(query.name.lower())
    name = query.name.lower() if named is None else named.name
    usage: Usage = await host.analytics.of_command(name)
    if named is None and usage.first_at is None:
        raise NotFound("command", query.name)
    now = host.clock.time()
    profile = next(iter(await host.profiler.commands(name)), None)
    found = await host.traces.newest(Wanted(command=name), _RECENT)
    failed = await host.traces.newest(Wanted("failed", name), _FAILED) if usage.tally.failed else None
    return OneCommand(
        name,
        None if named is None else _about(host, named),
        Used.of(name, usage.tally),
        usage.unique_users,
        usage.users,
        usage.first_at,
        usage.last_at,
        usage.by_day,
        usage.by_hour,
        times_of(profile.runs if profile else None),
        parts_of(profile.parts if profile else {}),
        await host.profiler.course(now - 30 * _DAY, now, name),
        tuple(map(Brief.of, found.traces)),
        tuple(map(Brief.of, failed.traces)) if failed else (),
    )


def _about(host: Host, each: Command) -> About:
    limit = each.concurrency
    return About(
        each.description,
        each.help,
        each.usage,
        each.example,
        each.permission,
        each.group,
        each.aliases,
        max(each.cooldown, host.config.rate_limit.cooldowns.get(each.name, 0.0)),
        each.timeout or host.config.bot.command_timeout,
        f"{limit.limit} at once {_PER[limit.per]}" if limit is not None else "",
        each.private,
    )


_PER: Final = {"user": "for each person", "guild": "in each guild", "global": "in all"}


def times_of(runs: Sketch | None) -> Times:
    if runs is None or not runs.count:
        return Times(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    p50, p95, p99 = (runs.quantile(share) for share in (0.5, 0.95, 0.99))
    return Times(runs.count, runs.mean, p50, p95, p99, runs.most)


def parts_of(parts: Mapping[str, Sketch]) -> tuple[Part, ...]:
    """What takes most first; the part that is all of a command is none of them."""
    whole = sum(sketch.total for part, sketch in parts.items() if part != COMMAND) or 1.0
    found = (
        Part(part, sketch.count, sketch.mean, sketch.quantile(0.99), sketch.total / whole)
        for part, sketch in parts.items()
        if sketch.count and part != COMMAND
    )
    return tuple(sorted(found, key=lambda part: -part.share))


def charts_of_one(it: OneCommand, query: Which, viewer: Viewer) -> Mapping[str, Any]:
    counts = dict(it.by_day)
    last = max(counts, default=None)
    days = [last - timedelta(days=ago) for ago in reversed(range(90))] if last is not None else []
    first = next((place for place, day in enumerate(days) if counts.get(day)), 0)
    days = days[min(first, len(days) - 14) if len(days) > 14 else 0 :]  # no longer than there is something to see
    return {
        "daily": Chart(
            "bar", tuple(f"{day:%m-%d}" for day in days), {"uses": tuple(float(counts.get(day, 0)) for day in days)},
            "a day",
        ),
        "latency": latency(it.course, viewer),
    }  # fmt: skip


def latency(course: Iterable[Course], viewer: Viewer) -> Chart:
    """Percentiles over time; where nothing ran there is a gap."""
    known = {each.at: each for each in course}
    step = min((later - earlier for earlier, later in pairwise(sorted(known))), default=_DAY)
    first, last = min(known, default=0.0), max(known, default=-step)
    steps = [first + step * number for number in range(1 + round((last - first) / step))]
    series = {
        name: tuple(getattr(known[at], name.lower()) * 1e3 if at in known else nan for at in steps)
        for name in ("P50", "P95", "P99")
    }
    return Chart("line", tuple(_label(at, step, viewer) for at in steps), series, "ms")


VIEWS: tuple[View[Any, Any], ...] = (
    View("/commands", "Commands", Query, Commands, read, "commands.html", shape=charts),
    View("/commands/{name}", "Command", Which, OneCommand, read_one, "command.html", shape=charts_of_one),
)
