"""Commands about how long commands take."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import anyio.to_thread

from socbot.dispatch.arguments import Duration, DurationRange
from socbot.dispatch.commands import command
from socbot.dispatch.context import Confirm, Context
from socbot.dispatch.dispatcher import Dispatcher
from socbot.dispatch.errors import InvalidArgument
from socbot.dispatch.replies import Chart, Field, File, Reply, escape, moment, person
from socbot.handlers.analytics import Name, canonical, plural, stamp
from socbot.systems.exports import to_csv, to_json
from socbot.systems.links import Links
from socbot.systems.profiler import HANDLER, CommandProfile, Profile, Profiler, Slowness, SlowRun, rating
from socbot.systems.sketch import Sketch
from socbot.systems.vitals import Vitals

_ONE_SECOND = Duration(1.0)
_COLUMNS = (
    "hour", "command", "part", "status", "count", "total", "least", "mean", "most", "p50", "p95", "p99"
)  # fmt: skip


@command("performance", permission="owner", group="performance")
async def performance(ctx: Context, profiler: Profiler, vitals: Vitals, links: Links) -> Reply:
    """The slowest and the most used commands, all percentiles, what the chain itself takes."""
    ran = [each for each in await profiler.commands() if each.runs.count]
    if not ran:
        return Reply("No run has been measured yet.", title="Performance")
    overall = Sketch()
    for each in ran:
        overall.merge(each.runs)
    slowest = sorted(ran, key=lambda each: each.runs.mean, reverse=True)[:5]
    busiest = sorted(ran, key=lambda each: each.runs.count, reverse=True)[:5]
    return Reply(
        title="Performance",
        fields=(
            Field("runs", str(overall.count)),
            *_percentiles(overall),
            Field("in the chain itself", _share_of_chain(ran)),
            Field("event loop", _lag(vitals)),
            Field("slowest by mean", "\n".join(_timed(each) for each in slowest), inline=False),
            Field("most used", "\n".join(_used(each) for each in busiest), inline=False),
            *links.field("performance"),
        ),
    )


@command("profile_command", permission="owner", group="performance")
async def profile_command(
    ctx: Context, profiler: Profiler, dispatcher: Dispatcher, links: Links, command: Name
) -> Reply:
    """How long one command takes, whole and in each part of the chain, and its last slow runs."""
    name = canonical(dispatcher, command)
    found = await _profile(profiler, dispatcher, command)
    runs = found.runs
    if not runs.count:
        return Reply(f"`{escape(name)}` has not run yet; {_endings(found)}.")
    slow = await profiler.slow_runs(name, 5)
    return Reply(
        title=f"{escape(name)}: {rating(runs.mean)}",
        fields=(
            Field("count", str(runs.count)),
            Field("min", took(runs.least)),
            Field("mean", took(runs.mean)),
            Field("max", took(runs.most)),
            Field("total", took(runs.total)),
            *_percentiles(runs),
            Field("rating", rating(runs.mean)),
            Field("endings", _endings(found)),
            Field("time in each part", "\n".join(_parts(found)), inline=False),
            Field("slow runs", "\n".join(_slow(run, ctx.message.platform) for run in slow) or "none", inline=False),
            *links.field("commands", name),
        ),
        chart=_daily(await profiler.days(name)),
    )


@command("slow_commands", permission="owner", group="performance")
async def slow_commands(
    ctx: Context,
    profiler: Profiler,
    links: Links,
    threshold: Annotated[Duration, DurationRange(minimum=0.001, maximum=3_600.0, bare="s")] = _ONE_SECOND,
) -> Reply:
    """The commands that took longer than a threshold, such as `1.5` (seconds) or `500ms`."""
    found = await profiler.slowness(threshold)
    if not found:
        return Reply.ok(f"No command took {took(threshold)} or longer.")
    return Reply(
        title=f"Commands that took {took(threshold)} or longer",
        fields=links.field("performance"),
        items=tuple(_slowness(each) for each in found),
    )


@command("performance_export", permission="owner", group="performance", private=True, timeout=120.0)
async def performance_export(ctx: Context, profiler: Profiler, *, csv: bool) -> Reply:
    """All times by hour, command, part and status, as a file: JSON, or CSV with `--csv`. Times are in seconds."""
    rows = await profiler.export()
    make = _csv if csv else partial(_json, exported_at=ctx.trace.at)
    content = await anyio.to_thread.run_sync(make, rows)
    name = f"performance_export_{stamp(ctx.trace.at, UTC)}.{'csv' if csv else 'json'}"
    return Reply(f"{plural(len(rows), 'row')} exported.", files=(File(name, content),), private=True)


@command("reset_profile", permission="owner", group="performance", timeout=120.0)
async def reset_profile(
    ctx: Context, profiler: Profiler, dispatcher: Dispatcher, command: Name | None = None
) -> Confirm:
    """Forget the times of one command, or of all."""
    name = None if command is None else (await _profile(profiler, dispatcher, command)).command
    shown = "all commands" if name is None else f"`{escape(name)}`"

    async def reset(ctx: Context) -> Reply:
        runs, slow = await profiler.reset(name)
        return Reply.ok(f"The times of {shown} are forgotten: {plural(runs, 'run')}, {plural(slow, 'slow run')}.")

    return Confirm(f"Forget the times of {shown}?", reset)


@command("performance_compare", permission="owner", group="performance")
async def performance_compare(
    ctx: Context, profiler: Profiler, dispatcher: Dispatcher, links: Links, first: Name, second: Name
) -> Reply:
    """Two commands side by side."""
    one, other = await _profile(profiler, dispatcher, first), await _profile(profiler, dispatcher, second)
    for each in (one, other):
        if not each.runs.count:
            return Reply(f"`{escape(each.command)}` has not run yet.")
    figures = zip(_figures(one.runs), _figures(other.runs), strict=True)
    return Reply(
        title=f"{escape(one.command)} and {escape(other.command)}",
        fields=(
            Field("runs", f"{one.runs.count} and {other.runs.count}{_ratio(one.runs.count, other.runs.count)}"),
            *(Field(name, f"{took(a)} and {took(b)}{_ratio(a, b)}") for (name, a), (_, b) in figures),
            Field("rating", f"{rating(one.runs.mean)} and {rating(other.runs.mean)}"),
            *links.field("performance"),
        ),
    )


def took(seconds: float) -> str:
    """A length of time as people read it, with its unit."""
    if seconds >= 0.99995:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds >= 0.0009995 else f"{seconds * 1e6:.0f} µs"


async def _profile(profiler: Profiler, dispatcher: Dispatcher, typed: str) -> CommandProfile:
    """:raises InvalidArgument: if there is no such command, nor ever was"""
    name = canonical(dispatcher, typed)
    found = await profiler.commands(name)
    if found:
        return found[0]
    if dispatcher.registry.get(name) is None:
        near = " or ".join(f"`{other}`" for other in dispatcher.registry.nearest(name))
        raise InvalidArgument("command", typed, "the name of a command" + (f"; did you mean {near}?" if near else ""))
    return CommandProfile(name, Sketch(), {}, {})


def _percentiles(sketch: Sketch) -> tuple[Field, ...]:
    return tuple(Field(f"P{percent}", took(sketch.quantile(percent / 100))) for percent in (50, 95, 99))


def _figures(sketch: Sketch) -> tuple[tuple[str, float], ...]:
    percentiles = ((f"P{percent}", sketch.quantile(percent / 100)) for percent in (50, 95, 99))
    return (("min", sketch.least), ("mean", sketch.mean), ("max", sketch.most), *percentiles)


def _ratio(one: float, other: float) -> str:
    """How much the second is of the first."""
    return f" ({other / one:.2f} times)" if one else ""


def _share_of_chain(ran: Sequence[CommandProfile]) -> str:
    handlers = sum(sketch.total for each in ran for part, sketch in each.parts.items() if part == HANDLER)
    chain = sum(sketch.total for each in ran for part, sketch in each.parts.items() if part != HANDLER)
    runs = sum(each.runs.count for each in ran)
    share = chain / (chain + handlers) if chain + handlers else 0.0
    return f"{share:.1%} of the time, {took(chain / runs)} a run"


def _lag(vitals: Vitals) -> str:
    lag = vitals.loop_lag()
    return "lag not measured" if lag is None else f"{took(lag)} late"


def _timed(each: CommandProfile) -> str:
    runs = each.runs
    return f"`{escape(each.command)}` {took(runs.mean)}, P95 {took(runs.quantile(0.95))}, {rating(runs.mean)}"


def _used(each: CommandProfile) -> str:
    return f"`{escape(each.command)}` {plural(each.runs.count, 'run')}, mean {took(each.runs.mean)}"


def _endings(found: CommandProfile) -> str:
    return ", ".join(f"{status} {count}" for status, count in found.endings.items()) or "nothing counted"


def _parts(found: CommandProfile) -> list[str]:
    return [
        f"{escape(part)}: mean {took(sketch.mean)}, P99 {took(sketch.quantile(0.99))}"
        for part, sketch in found.parts.items()
    ]


def _slowness(each: Slowness) -> str:
    times = plural(each.times, "time")
    return f"`{escape(each.command)}` {times}, worst {took(each.worst)}, last {moment(each.last_at)}"


def _slow(run: SlowRun, here: str) -> str:
    return f"{moment(run.at)} {took(run.seconds)} `{run.trace_id}` {person(run.platform, run.subject, here)}"


def _daily(days: Sequence[Profile]) -> Chart:
    last = days[-30:]
    return Chart(
        "line",
        tuple(f"{datetime.fromtimestamp(day.hour * 3600, UTC):%m-%d}" for day in last),
        {
            "mean": tuple(round(day.sketch.mean * 1e3, 3) for day in last),
            "P95": tuple(round(day.sketch.quantile(0.95) * 1e3, 3) for day in last),
        },
        "ms",
    )


def _row(row: Profile) -> tuple[object, ...]:
    sketch = row.sketch
    percentiles = (sketch.quantile(percent / 100) for percent in (50, 95, 99))
    return (
        row.hour, row.command, row.part, row.status, sketch.count, sketch.total, sketch.least, sketch.mean,
        sketch.most, *percentiles,
    )  # fmt: skip


def _csv(rows: Sequence[Profile]) -> bytes:
    return to_csv(_COLUMNS, (_row(row) for row in rows))


def _json(rows: Sequence[Profile], exported_at: float) -> bytes:
    return to_json(
        {
            "exported_at": datetime.fromtimestamp(exported_at, UTC).isoformat(),
            "unit": "seconds",
            "profile": [dict(zip(_COLUMNS, _row(row), strict=True)) for row in rows],
        }
    )


COMMANDS = (
    performance,
    profile_command,
    slow_commands,
    performance_export,
    reset_profile,
    performance_compare,
)
