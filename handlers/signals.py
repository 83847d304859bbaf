"""Alerts, incidents, drills, and what became of what the bot had to tell."""

from collections import Counter
from typing import Annotated, Literal

from msgspec import Meta

from socbot.dispatch.arguments import Completes, Rest
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.errors import InvalidArgument
from socbot.dispatch.replies import Field, Reply, author, escape, moment
from socbot.systems.incidents import EVERYWHERE, Entry, Incident, Incidents, lasted
from socbot.systems.links import Links
from socbot.systems.signals import Kind, Raised, Severity, Signal, Signals, severity_of

SeverityName = Annotated[
    str, Meta(description="info, warning or critical", max_length=20, examples=["critical"]), Completes("severity")
]
Text = Annotated[Rest, Meta(description="what there is to say", min_length=1, examples=["Somebody is raiding us"])]
Note = Annotated[Rest, Meta(description="what there is to say", examples=["It went well"])]
Id = Annotated[str, Meta(description="the id of an incident, or last", max_length=64, examples=["I-7Q2M9X"])]
IncidentId = Annotated[Id, Completes("incident")]
DrillKind = Annotated[str, Meta(description="what is practised, in a word", max_length=40, examples=["phishing"])]

_MARKS = {"info": "🔹", "warning": "⚠️", "critical": "🚨"}
_DRILL = "🧪"
_SHOWN = 50


@command("alert", permission="admin", group="signals")
async def alert(ctx: Context, incidents: Incidents, links: Links, severity: SeverityName, message: Text) -> Reply:
    """Raise a security alert, which goes to every webhook that takes alerts.

    Other words for a severity will do, such as `high` or `low`. The same alert again within five minutes is counted.
    """
    raised = await incidents.alert(message, _severity(severity), _author(ctx), _guild(ctx))
    again = f" again ({raised.count} times)" if raised.count > 1 else ""
    return Reply(
        escape(raised.title, 300),
        f"{_MARKS[raised.severity]} Alert raised{again}",
        (
            Field("Severity", raised.severity),
            Field("Signal", f"`{raised.id}`"),
            *_page(ctx, links, "signals", raised.id),
        ),
        tone="ok",
    )


@command("signals", permission="admin", group="signals")
async def signals(ctx: Context, signals: Signals, links: Links, kind: Kind | None = None) -> Reply:
    """The last signals and where they were delivered; for an administrator, those of the guild."""
    recent = await signals.recent(kind, guild=_within(ctx), limit=_SHOWN)
    if not recent:
        return Reply("There are none." if kind is None else f"There are none of kind {kind}.", "Signals")
    items = tuple(f"{_signal(each.signal)} – {_delivered(each, by_name=ctx.is_owner)}" for each in recent)
    return Reply(title="Signals", fields=_page(ctx, links, "signals"), items=items)


# -- incidents ----------------------------------------------------------------------------------------


@command("incident open", permission="admin", group="signals")
async def incident_open(ctx: Context, incidents: Incidents, severity: SeverityName, title: Text) -> Reply:
    """Open an incident; what is done about it goes into its timeline by `incident note`."""
    opened = await incidents.open(title, _severity(severity), _author(ctx), _guild(ctx))
    return Reply.ok(f"Opened `{opened.id}`: {escape(opened.title, 300)} ({opened.severity}).")


@command("incident note", permission="admin", group="signals")
async def incident_note(ctx: Context, incidents: Incidents, id: IncidentId, text: Text) -> Reply:
    """Add to an incident's timeline, also after it was closed."""
    noted = await incidents.note(id, text, _author(ctx), _within(ctx))
    return Reply.ok(f"Noted in `{escape(noted.id, 64)}`: {escape(noted.title, 300)}.")


@command("incident close", permission="admin", group="signals")
async def incident_close(ctx: Context, incidents: Incidents, id: IncidentId, text: Note = "") -> Reply:
    """Close an incident."""
    closed = await incidents.close(id, text, _author(ctx), _within(ctx))
    return Reply.ok(f"Closed `{escape(closed.id, 64)}` after {lasted(closed)}: {escape(closed.title, 300)}.")


@command("incident list", permission="admin", group="signals", aliases=("incident",))
async def incident_list(ctx: Context, incidents: Incidents, state: Literal["open", "closed", "all"] = "open") -> Reply:
    """Incidents, newest first: those that are open, or others."""
    found = await incidents.newest("incident", None if state == "all" else state, _within(ctx))
    kind = "" if state == "all" else f"{state} "
    if not found:
        return Reply(f"There are no {kind}incidents.", "Incidents")
    return Reply(title=f"Incidents: {len(found)}", items=tuple(_incident(ctx, each) for each in found))


@command("incident show", permission="admin", group="signals")
async def incident_show(ctx: Context, incidents: Incidents, links: Links, id: IncidentId) -> Reply:
    """One incident, or drill, with its timeline."""
    incident, timeline = await incidents.find(id, _within(ctx))
    here = ctx.message.platform
    facts = [Field("State", incident.state)]
    if incident.kind == "incident":
        facts.append(Field("Severity", incident.severity))
    facts += [Field("Opened", moment(incident.opened_at)), Field("By", author(incident.opened_by, here) or "unknown")]
    if incident.closed_at is not None:
        facts += [Field("Closed", moment(incident.closed_at)), Field("Lasted", lasted(incident))]
    if ctx.is_owner:
        facts.append(Field("Guild", escape(incident.guild, 100) or "none"))
        facts += _page(ctx, links, "incidents", incident.id)
    title = f"{_DRILL} Drill" if incident.kind == "drill" else "Incident"
    return Reply(
        escape(incident.title, 300),
        f"{title} {escape(incident.id, 64)}",
        tuple(facts),
        tuple(_entry(each, here) for each in timeline),
        tone="warn" if incident.state == "open" and incident.kind == "incident" else "info",
    )


# -- drills -------------------------------------------------------------------------------------------


@command("drill start", permission="admin", group="signals")
async def drill_start(ctx: Context, incidents: Incidents, kind: DrillKind = "security", message: Note = "") -> Reply:
    """Begin a drill: an exercise, which nobody is to take for the real thing."""
    drill = await incidents.start_drill(kind, message, _author(ctx), _guild(ctx))
    return Reply(
        f"{escape(drill.title, 200)}: `drill end` ends it.",
        f"{_DRILL} Drill started: this is an exercise",
        (Field("Drill", f"`{drill.id}`"),),
    )


@command("drill end", permission="admin", group="signals")
async def drill_end(ctx: Context, incidents: Incidents, message: Note = "") -> Reply:
    """End the drill that is on here."""
    drill = await incidents.end_drill(message, _author(ctx), _guild(ctx))
    return Reply(
        escape(drill.title, 200),
        f"{_DRILL} Drill ended",
        (Field("Drill", f"`{escape(drill.id, 64)}`"), Field("Lasted", lasted(drill))),
        tone="ok",
    )


@command("drill status", permission="admin", group="signals", aliases=("drill",))
async def drill_status(ctx: Context, incidents: Incidents) -> Reply:
    """The drill that is on, and the last ones."""
    drills = await incidents.newest("drill", None, _within(ctx), 10)
    on = sum(each.state == "open" for each in drills)
    text = "No drill is on." if not on else "A drill is on." if on == 1 else f"{on} drills are on."
    return Reply(text, f"{_DRILL} Drills", items=tuple(_incident(ctx, each) for each in drills))


# -- in words -----------------------------------------------------------------------------------------


def _severity(name: str) -> Severity:
    """:raises InvalidArgument: if it is none"""
    severity = severity_of(name)
    if severity is None:
        raise InvalidArgument("severity", name, "info, warning or critical")
    return severity


def _author(ctx: Context) -> str:
    return ":".join(ctx.identity)


def _guild(ctx: Context) -> str:
    """Where it is said; empty outside of a guild."""
    return "" if ctx.message.guild is None else f"{ctx.message.platform}:{ctx.message.guild}"


def _within(ctx: Context) -> str | None:
    """What the person may see: an administrator the guild's own."""
    return EVERYWHERE if ctx.is_owner else _guild(ctx)


def _page(ctx: Context, links: Links, *parts: str) -> tuple[Field, ...]:
    """Where the owner can see more, while it is served."""
    return links.field(*parts) if ctx.is_owner else ()


def _signal(signal: Signal) -> str:
    mark = _DRILL if signal.kind == "drill" else _MARKS[signal.severity]
    often = f" ({signal.count} times)" if signal.count > 1 else ""
    severity = "" if signal.kind == "drill" else f" {signal.severity}"
    return f"{moment(signal.last_at)} {mark} {signal.kind}{severity}: {escape(signal.title, 120)}{often} `{signal.id}`"


def _delivered(raised: Raised, *, by_name: bool) -> str:
    """Where it was delivered; the names of webhooks are the owner's business."""
    if not raised.deliveries:
        return "no webhook takes it"
    if by_name:
        return ", ".join(f"{escape(name, 40)}: {state}" for name, state in raised.deliveries)
    states = Counter(state for _, state in raised.deliveries)
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))


def _incident(ctx: Context, incident: Incident) -> str:
    """One line of a listing."""
    drill = incident.kind == "drill"
    when = moment(incident.opened_at) + (f", lasted {lasted(incident)}" if incident.closed_at is not None else "")
    where = f", {escape(incident.guild, 100)}" if ctx.is_owner and incident.guild else ""
    facts = f"{'on' if drill and incident.state == 'open' else incident.state}, {when}{where}"
    mark = _DRILL if drill else _MARKS[incident.severity]
    return f"{mark} `{escape(incident.id, 64)}` {escape(incident.title, 150)} ({facts})"


def _entry(entry: Entry, here: str) -> str:
    who = author(entry.by, here) or "somebody unknown"
    text = f": {escape(entry.text, 500)}" if entry.text else ""
    return f"{moment(entry.at)} {escape(entry.action, 40)} by {who}{text}"


COMMANDS = (
    alert,
    signals,
    incident_open,
    incident_note,
    incident_close,
    incident_list,
    incident_show,
    drill_start,
    drill_end,
    drill_status,
)
