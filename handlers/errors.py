"""What failed, for the owner."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from socbot.dispatch.arguments import Completes, Duration, Rest
from socbot.dispatch.commands import command
from socbot.dispatch.context import Confirm, Context
from socbot.dispatch.errors import InvalidArgument
from socbot.dispatch.outcomes import Step
from socbot.dispatch.replies import Chart, Field, File, Reply, escape, moment, person
from socbot.systems.errors import Errors, Group, Period, Record
from socbot.systems.exports import to_json
from socbot.systems.links import Links
from socbot.systems.settings import Settings
from socbot.systems.traces import Traces

GroupId = Annotated[str, Completes("group")]


@command("error_dashboard", permission="owner", group="errors", private=True)
async def error_dashboard(ctx: Context, errors: Errors, links: Links) -> Reply:
    """The last errors of each severity, the most frequent ones of a day, and how the rate compares."""
    dashboard = await errors.dashboard()
    items = []
    for severity, newest in dashboard.newest.items():
        items.append(f"**{severity}**" + ("" if newest else ": none"))
        items += [_line(record) for record in newest]
    items.append("**most frequent in 24 h**" + ("" if dashboard.frequent else ": none"))
    items += [f"{count} times {_group(group)}" for group, count in dashboard.frequent]
    rate = f"{dashboard.rate:.1f} an hour, usually {dashboard.usual_rate:.1f}"
    facts = [Field("Rate", rate)]
    if errors.waiting or errors.lost:
        facts.append(Field("Not stored", f"{errors.waiting} waiting, {errors.lost} lost"))
    facts += links.field("errors")
    return Reply(title="Errors", fields=tuple(facts), items=tuple(items))


@command("recent_errors", permission="owner", group="errors", private=True)
async def recent_errors(ctx: Context, errors: Errors, count: Annotated[int, Meta(ge=1, le=100)] = 20) -> Reply:
    """The last errors, newest first."""
    newest = await errors.newest(count)
    return Reply("" if newest else "No errors.", "Recent errors", items=tuple(_line(record) for record in newest))


@command("error_details", permission="owner", group="errors", private=True)
async def error_details(
    ctx: Context, errors: Errors, traces: Traces, links: Links, error_id: Annotated[str, Completes("error")]
) -> Reply:
    """All that is known of one error, its traceback as a file."""
    record = await errors.find(error_id)
    if record is None:
        raise InvalidArgument("error_id", error_id, "the id of an error that is kept; `recent_errors` shows them")
    group = await errors.group(record.group_id)
    trace = await traces.find(record.trace_id) if record.trace_id else None
    steps = () if trace is None else tuple(_step(step) for step in trace.steps)
    return Reply(
        escape(record.message, 1_000),
        f"{record.error_id}: {escape(record.type, 100)}",
        _facts(record, group, ctx.message.platform) + links.field("errors", record.error_id),
        steps,
        tone="error" if record.severity == "critical" else "warn",
        files=(File(f"{record.error_id}.txt", record.traceback.encode()),),
    )


@command("error_stats", permission="owner", group="errors")
async def error_stats(ctx: Context, errors: Errors, days: Annotated[int, Meta(ge=1, le=365)] = 7) -> Reply:
    """How many errors there were, by severity, type, command and day."""
    figures = await errors.figures(days)
    return Reply(
        f"{_errors(figures.total)} in {days} days, today included.",
        "Error statistics",
        (
            Field("By severity", _counts(figures.by_severity)),
            Field("By type", _counts(figures.by_type)),
            Field("By command", _counts(figures.by_command)),
        ),
        chart=_chart(figures.slots),
    )


@command("clear_errors", permission="owner", group="errors", timeout=120.0)
async def clear_errors(ctx: Context, errors: Errors) -> Confirm:
    """Drop all errors, after handing them over as a file."""
    count, groups = await errors.size()

    async def clear(ctx: Context) -> Reply:
        dropped = await errors.clear()
        content = to_json({"groups": dropped.groups, "errors": dropped.errors, "hours": dropped.hours})
        name = f"error_backup_{datetime.fromtimestamp(ctx.trace.at, errors.zone):%Y%m%d_%H%M%S}.json"
        text = f"{_errors(len(dropped.errors))} in {len(dropped.groups)} groups dropped; they are in the file."
        return Reply(text, tone="ok", files=(File(name, content),), private=True)

    return Confirm(f"Drop {_errors(count)} in {groups} groups, and all counts? You are given them as a file.", clear)


@command("error_search", permission="owner", group="errors", private=True)
async def error_search(ctx: Context, errors: Errors, query: Rest) -> Reply:
    """The errors that have a text in their command, user, type, message or id."""
    found = await errors.search(query)
    text = f"{_errors(len(found))} with `{escape(query, 100)}`" + (", the newest" if len(found) == 100 else "")
    return Reply(text, "Error search", items=tuple(_line(record) for record in found))


@command("error_trends", permission="owner", group="errors")
async def error_trends(ctx: Context, errors: Errors, period: Period = "daily") -> Reply:
    """How errors developed over 24 hours or 14 days, against as long before, and what is new."""
    trend = await errors.trend(period)
    total, before = trend.figures.total, trend.before
    change = f"{(total - before) / before:+.0%}" if before else "nothing to compare with"
    span = "24 hours" if period == "hourly" else "14 days"
    return Reply(
        f"{_errors(total)} in {span}, {before} in as long before: {change}.",
        "Error trends",
        (Field("New", f"{len(trend.new)} groups" if trend.new else "nothing"),),
        tuple(f"new: {_group(group)}" for group in trend.new[:100]),
        chart=_chart(trend.figures.slots),
    )


@command("notify_errors", permission="owner", group="errors")
async def notify_errors(ctx: Context, settings: Settings, state: Literal["on", "off"] | None = None) -> Reply:
    """Whether the owner is told of errors; switches it on or off."""
    if state is not None:
        await settings.set("errors.notify", "true" if state == "on" else "false", ctx.message.author.name)
    return Reply(f"Error notices are {'on' if settings.config.errors.notify else 'off'}.")


@command("error_resolve", permission="owner", group="errors")
async def error_resolve(ctx: Context, errors: Errors, group: GroupId) -> Reply:
    """Mark a group of errors as resolved; the next one reopens it and says so."""
    resolved = await errors.resolve(group, ctx.message.author.name)
    if resolved is None:
        raise _no_group(group)
    return Reply.ok(f"Resolved: {_group(resolved)}. Another one reopens it, and you are told.")


@command("error_mute", permission="owner", group="errors")
async def error_mute(ctx: Context, errors: Errors, group: GroupId, duration: Duration) -> Reply:
    """Be told nothing of a group of errors for a time; it is recorded all the same."""
    muted = await errors.mute(group, duration, ctx.message.author.name)
    if muted is None or muted.muted_until is None:
        raise _no_group(group)
    return Reply.ok(f"Muted until {moment(muted.muted_until)}: {_group(muted)}.")


def _no_group(group: str) -> InvalidArgument:
    return InvalidArgument("group", group, "the id of a group of errors; `error_dashboard` shows them")


def _errors(count: int) -> str:
    return "1 error" if count == 1 else f"{count} errors"


def _line(record: Record) -> str:
    """One error in a listing."""
    command = f" in `{escape(record.command, 40)}`" if record.command else ""
    message = escape(record.message, 100)
    return (
        f"{moment(record.at)} `{record.error_id}` {record.severity}: {escape(record.type, 60)}{command}: {message}"
        f" (`{record.group_id}`)"
    )


def _group(group: Group) -> str:
    command = f" in `{escape(group.command, 40)}`" if group.command else ""
    return f"`{group.group_id}` {escape(group.type, 60)}{command}: {escape(group.template, 80)}"


def _facts(record: Record, group: Group | None, here: str) -> tuple[Field, ...]:
    facts = [
        Field("Severity", record.severity),
        Field("Command", escape(record.command, 60) or "none"),
        Field("When", moment(record.at)),
        Field("User", person(record.platform, record.subject, here) if record.subject else "none"),
        Field("Where", f"guild {escape(record.guild, 64)}" if record.guild else "direct message"),
        Field("Channel", escape(record.channel, 64) or "none"),
        Field("Trace", f"`{record.trace_id}`" if record.trace_id else "none"),
    ]
    if group is not None:
        facts.append(Field("Group", _standing(group), inline=False))
    return tuple(facts)


def _standing(group: Group) -> str:
    state: str = group.state
    if group.changed_by and group.changed_at is not None:
        state += f" ({escape(group.changed_by, 40)}, {moment(group.changed_at)})"
    text = f"`{group.group_id}`: {group.count} times, {group.users} users, {state}"
    text += f", first {moment(group.first_at)}, last {moment(group.last_at)}"
    return text if group.muted_until is None else f"{text}, muted until {moment(group.muted_until)}"


def _step(step: Step) -> str:
    fault = f" – {escape(step.fault, 200)}" if step.fault else ""
    note = f" – {escape(step.note, 200)}" if step.note else ""
    return f"{step.position + 1}. {step.name}: {step.verdict}{note}{fault}"


def _counts(counts: dict[str, int]) -> str:
    most = list(counts.items())[:10]
    return "\n".join(f"{escape(name, 60) or 'none'}: {count}" for name, count in most) or "none"


def _chart(slots: dict[str, int]) -> Chart:
    return Chart("bar", tuple(slots), {"errors": tuple(map(float, slots.values()))}, "errors")


COMMANDS = (
    error_dashboard,
    recent_errors,
    error_details,
    error_stats,
    clear_errors,
    error_search,
    error_trends,
    notify_errors,
    error_resolve,
    error_mute,
)
