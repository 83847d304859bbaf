"""Commands about who used what, and how it ended."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from typing import Annotated, TypeAlias

import anyio.to_thread
import msgspec
from msgspec import Meta

from socbot.dispatch.arguments import Completes
from socbot.dispatch.commands import command
from socbot.dispatch.context import Confirm, Context
from socbot.dispatch.dispatcher import Dispatcher
from socbot.dispatch.errors import InvalidArgument
from socbot.dispatch.messages import GuildRef, UserRef
from socbot.dispatch.replies import Chart, Field, File, Reply, escape, moment, person
from socbot.systems.analytics import Analytics, CommandTally, Heatmap, Person, Tally, Usage, UsageRow
from socbot.systems.erasure import Erased, Erasure
from socbot.systems.exports import to_csv, to_json
from socbot.systems.links import Links

Days: TypeAlias = Annotated[int, Meta(ge=1, le=3650)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=100)]
Name: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=64, description="the name of a command"), Completes("command")
]

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MOST_HOURS, _MOST_DAYS = 7 * 24, 30


@command("analytics", permission="owner", group="analytics")
async def analytics(ctx: Context, analytics: Analytics, links: Links, days: Days | None = None) -> Reply:
    """What the bot was used for: commands, errors, refusals, top commands and users."""
    usage = await analytics.usage(days)
    since = moment(usage.first_at) if usage.first_at is not None else "nothing counted yet"
    return Reply(
        title="Analytics" if days is None else f"Analytics of the last {plural(days, 'day')}",
        fields=(
            *_endings(usage.tally),
            Field("unknown commands", str(usage.tally.unknown)),
            Field("unique users", str(usage.unique_users)),
            Field("tracking since", since),
            Field("top commands", _lines(_ranked(usage.commands[:10])), inline=False),
            Field("top users", _lines(_people(usage.users[:5], ctx.message.platform)), inline=False),
            *links.field("commands"),
        ),
        chart=_hourly(usage, ctx.trace.at, analytics.zone, min((days or 1) * 24, _MOST_HOURS)),
    )


@command("command_stats", permission="owner", group="analytics")
async def command_stats(
    ctx: Context, analytics: Analytics, dispatcher: Dispatcher, links: Links, command: Name
) -> Reply:
    """How one command was used, by whom, and how it ended."""
    name = canonical(dispatcher, command)
    usage = await analytics.of_command(name)
    if usage.first_at is None or usage.last_at is None:
        return _none_of(dispatcher, command, name)
    return Reply(
        title=escape(name),
        fields=(
            *_endings(usage.tally, "uses"),
            Field("unique users", str(usage.unique_users)),
            Field("first use", moment(usage.first_at)),
            Field("last use", moment(usage.last_at)),
            Field("top users", _lines(_people(usage.users, ctx.message.platform)), inline=False),
            *links.field("commands", name),
        ),
        chart=_daily(usage, ctx.trace.at, analytics.zone),
    )


@command("user_stats", permission="owner", group="analytics", menu="Statistics")
async def user_stats(ctx: Context, analytics: Analytics, links: Links, user: UserRef | None = None) -> Reply:
    """What one user used most, and their rank; yourself, without an argument."""
    identity = ctx.identity if user is None else user.identity
    usage = await analytics.of_user(identity)
    rank = "none yet" if usage.rank is None else f"{usage.rank} of {usage.ranked}"
    return Reply(
        title=f"User {escape(identity[1], 64)}",
        fields=(
            *_endings(usage.tally),
            Field("unique commands", str(len(usage.commands))),
            Field("rank", rank),
            Field("favourites", _lines(_ranked(usage.commands[:10])), inline=False),
            *links.field("abuse", identity[0], "user", identity[1]),
        ),
    )


@command("guild_stats", permission="owner", group="analytics")
async def guild_stats(ctx: Context, analytics: Analytics, links: Links, guild: GuildRef | None = None) -> Reply:
    """What one guild used most; the one you are in, without an argument."""
    here = ctx.message.guild
    if guild is None and here is None:
        return Reply(
            f"This is a direct message, which belongs to no guild. Name one: `{ctx.prefix}guild_stats <guild>`.",
            tone="warn",
        )
    identity = (ctx.message.platform, here or "") if guild is None else guild.identity
    usage = await analytics.of_guild(identity)
    return Reply(
        title=f"Guild {escape(identity[1], 64)}",
        fields=(
            *_endings(usage.tally),
            Field("unique users", str(usage.unique_users)),
            Field("top commands", _lines(_ranked(usage.commands[:10])), inline=False),
            *links.field("abuse", identity[0], "guild", identity[1]),
        ),
    )


@command("analytics_heatmap", permission="owner", group="analytics")
async def analytics_heatmap(ctx: Context, analytics: Analytics, links: Links, days: Days = 28) -> Reply:
    """When the bot is used: hour of the day by weekday."""
    heatmap = await analytics.heatmap(days)
    title = f"Commands by hour, the last {plural(days, 'day')}"
    weekday, hour, count = heatmap.busiest
    if not count:
        return Reply("No command was counted in that time.", title=title)
    zone = datetime.fromtimestamp(ctx.trace.at, analytics.zone)
    return Reply(
        f"Busiest: {_WEEKDAYS[weekday]} {hour:02}:00–{(hour + 1) % 24:02}:00 with {plural(count, 'command')}. "
        f"Times are in {analytics.zone} ({zone:%Z}).",
        title=title,
        fields=links.field("commands"),
        chart=_as_chart(heatmap),
    )


@command("export_analytics", permission="owner", group="analytics", private=True, timeout=120.0)
async def export_analytics(ctx: Context, analytics: Analytics, days: Days | None = None, *, csv: bool) -> Reply:
    """All that was counted, as a file: JSON, or CSV with `--csv`."""
    rows = await analytics.export(days)
    make = _csv if csv else partial(_json, exported_at=ctx.trace.at)
    content = await anyio.to_thread.run_sync(make, rows)
    name = f"analytics_export_{stamp(ctx.trace.at, analytics.zone)}.{'csv' if csv else 'json'}"
    return Reply(f"{plural(len(rows), 'row')} exported.", files=(File(name, content),), private=True)


@command("reset_analytics", permission="owner", group="analytics", private=True, timeout=120.0)
async def reset_analytics(ctx: Context, analytics: Analytics) -> Confirm:
    """Begin to count anew; what was counted is attached to the answer."""

    async def reset(ctx: Context) -> Reply:
        rows = await analytics.reset()
        content = await anyio.to_thread.run_sync(partial(_json, exported_at=ctx.trace.at), rows)
        name = f"analytics_backup_{stamp(ctx.trace.at, analytics.zone)}.json"
        count = sum(row.count for row in rows)
        text = f"Everything is at zero. {plural(count, 'command')} had been counted; the file has all of it."
        return Reply(text, tone="ok", files=(File(name, content),), private=True)

    return Confirm("Set all usage figures to zero? They are attached to the answer, and kept nowhere else.", reset)


@command("top_errors", permission="owner", group="analytics")
async def top_errors(ctx: Context, analytics: Analytics, links: Links, count: Count = 10) -> Reply:
    """The commands that fail most often for each time they are run."""
    found = await analytics.top_errors(count)
    if not found:
        return Reply.ok("No command has failed.")
    items = tuple(_failing(each) for each in found)
    return Reply(title="Commands by error rate", fields=links.field("errors"), items=items)


@command("forget_user", permission="owner", group="analytics", timeout=120.0)
async def forget_user(ctx: Context, erasure: Erasure, user: UserRef) -> Confirm:
    """Erase what is stored about a user; an active blacklist entry is kept."""
    shown = person(*user.identity, ctx.message.platform)

    async def forget(ctx: Context) -> Reply:
        erased = await erasure.forget(user.identity)
        if not erased:
            return Reply(f"Nothing was stored about {shown}.")
        kept = any(each.kept for each in erased)
        note = " An active blacklist entry and the audit trail are kept." if kept else ""
        return Reply(
            f"What was stored about {shown}.{note}",
            title="User forgotten",
            items=tuple(_erased(each) for each in erased),
            tone="warn" if kept else "ok",
        )

    return Confirm(f"Erase everything that is stored about {shown}? It cannot be brought back.", forget)


def canonical(dispatcher: Dispatcher, name: str) -> str:
    """The name under which things are counted, of a command as somebody typed it."""
    typed = name.lower()
    for prefix in dispatcher.prefixes:
        typed = typed.removeprefix(prefix)
    found = dispatcher.registry.get(typed)
    return typed if found is None else found.name


def stamp(at: float, zone: tzinfo) -> str:
    """A moment as it stands in the names of files."""
    return datetime.fromtimestamp(at, zone).strftime("%Y%m%d_%H%M%S")


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _none_of(dispatcher: Dispatcher, typed: str, name: str) -> Reply:
    if dispatcher.registry.get(name) is not None:
        return Reply(f"`{escape(name)}` has not been used yet.")
    near = " or ".join(f"`{other}`" for other in dispatcher.registry.nearest(name))
    raise InvalidArgument("command", typed, "the name of a command" + (f"; did you mean {near}?" if near else ""))


def _endings(tally: Tally, noun: str = "commands") -> tuple[Field, ...]:
    return (
        Field(noun, str(tally.commands)),
        Field("errors", str(tally.failed)),
        Field("error rate", f"{tally.error_rate:.1%}"),
        Field("refused", str(tally.refused)),
        Field("invalid", str(tally.invalid)),
    )


def _ranked(commands: Sequence[CommandTally]) -> list[str]:
    return [f"{place}. `{escape(each.command)}` {each.tally.commands}" for place, each in enumerate(commands, 1)]


def _people(users: Sequence[Person], here: str) -> list[str]:
    return [
        f"{place}. {person(each.platform, each.subject, here)} {each.commands}" for place, each in enumerate(users, 1)
    ]


def _failing(each: CommandTally) -> str:
    tally = each.tally
    text = f"`{escape(each.command)}` {tally.error_rate:.1%}: {tally.failed} of {plural(tally.attempts, 'attempt')}"
    return text + (f", mostly {escape(each.commonest_error)}" if each.commonest_error else "")


def _erased(each: Erased) -> str:
    return f"{each.place}: {each.count} {'kept' if each.kept else 'erased'}"


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(lines) or "none"


# -- charts and files ---------------------------------------------------------------------------------


def _hourly(usage: Usage, now: float, zone: tzinfo, hours: int) -> Chart:
    counts = dict(usage.by_hour)
    last = now // 3600 * 3600
    moments = [last - 3600 * ago for ago in reversed(range(hours))]
    labels = tuple(f"{datetime.fromtimestamp(at, zone):%m-%d %H:%M}" for at in moments)
    return Chart("bar", labels, {"commands": tuple(float(counts.get(at, 0)) for at in moments)}, "commands per hour")


def _daily(usage: Usage, now: float, zone: tzinfo) -> Chart:
    counts = dict(usage.by_day)
    today = datetime.fromtimestamp(now, zone).date()
    days = [today - timedelta(days=ago) for ago in reversed(range(_MOST_DAYS))]
    labels = tuple(f"{day:%m-%d}" for day in days)
    return Chart("bar", labels, {"uses": tuple(float(counts.get(day, 0)) for day in days)}, "uses per day")


def _as_chart(heatmap: Heatmap) -> Chart:
    rows = zip(_WEEKDAYS, heatmap.counts, strict=True)
    series = {weekday: tuple(float(count) for count in counts) for weekday, counts in rows}
    return Chart("heatmap", tuple(f"{hour:02}" for hour in range(24)), series, "commands")


def _csv(rows: Sequence[UsageRow]) -> bytes:
    return to_csv(UsageRow.__struct_fields__, (msgspec.structs.astuple(row) for row in rows))


def _json(rows: Sequence[UsageRow], exported_at: float) -> bytes:
    return to_json(
        {
            "exported_at": datetime.fromtimestamp(exported_at, UTC).isoformat(),
            "total_commands": sum(row.count for row in rows if row.status != "unknown"),
            "total_errors": sum(row.count for row in rows if row.status == "failed"),
            "tracking_since": min((row.first_at for row in rows), default=None),
            "usage": rows,
        }
    )


COMMANDS = (
    analytics,
    command_stats,
    user_stats,
    guild_stats,
    analytics_heatmap,
    export_analytics,
    reset_analytics,
    top_errors,
    forget_user,
)
