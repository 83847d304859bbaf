"""Signals: what the bot had to tell and where that arrived, and the incidents and drills that people open."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, get_args

from msgspec import Meta, Struct

from socbot.dispatch.errors import InvalidArgument
from socbot.systems.incidents import Entry, Incident
from socbot.systems.signals import SEVERITIES, Kind, Raised, Severity
from socbot.web.addresses import linking
from socbot.web.host import Host
from socbot.web.view import NotFound, View, Viewer

_PAGE: Final = 40
_CLOSED: Final = 15
_ENTRIES: Final = 40


class Query(Struct, frozen=True):
    """Which signals are listed.

    :param before: those that were last raised before that moment, in seconds since 1970
    """

    kind: Kind | None = None
    severity: Severity | None = None
    before: Annotated[float, Meta(ge=0, le=1e11)] | None = None


class Signals(Struct, frozen=True):
    """What the bot had to tell, and what people are dealing with.

    :param signals: the newest, each with how its delivery to each webhook stands; ``older`` is where they go on
    :param incidents: those that are open
    :param drills: those that are on: exercises, which nobody is to take for the real thing
    :param closed: the incidents that were closed, and ``ended`` the drills that were, newest first
    """

    signals: tuple[Raised, ...]
    older: float | None
    incidents: tuple[Incident, ...]
    drills: tuple[Incident, ...]
    closed: tuple[Incident, ...]
    ended: tuple[Incident, ...]


async def read(host: Host, query: Query, viewer: Viewer) -> Signals:
    recent = await host.signals.recent(query.kind, severity=query.severity, before=query.before, limit=_PAGE + 1)
    return Signals(
        recent[:_PAGE],
        recent[_PAGE - 1].signal.last_at if len(recent) > _PAGE else None,
        await host.incidents.newest("incident", "open", limit=_PAGE),
        await host.incidents.newest("drill", "open", limit=_PAGE),
        await host.incidents.newest("incident", "closed", limit=_CLOSED),
        await host.incidents.newest("drill", "closed", limit=_CLOSED),
    )


def shape(found: Signals, query: Query, viewer: Viewer) -> Mapping[str, Any]:
    return {"link": linking(query), "kinds": get_args(Kind), "severities": tuple(reversed(SEVERITIES))}


# -- one signal ---------------------------------------------------------------------------------------


class SignalQuery(Struct, frozen=True):
    """Which signal: ``S-…``, in either case."""

    signal_id: Annotated[str, Meta(max_length=64)]


async def read_signal(host: Host, query: SignalQuery, viewer: Viewer) -> Raised:
    found = await host.signals.find(query.signal_id)
    if found is None:
        raise NotFound("signal", query.signal_id)
    return found


# -- one incident -------------------------------------------------------------------------------------


class IncidentQuery(Struct, frozen=True):
    """Which incident or drill: its id, or ``last`` for the open incident that was opened last.

    :param page: which ``40`` entries of its timeline, the newest first, from 0
    """

    incident_id: Annotated[str, Meta(max_length=64)]
    page: Annotated[int, Meta(ge=0, le=1_000)] = 0


class Course(Struct, frozen=True):
    """An incident or a drill, and what was done about it.

    :param seconds: how long it lasted, or lasts so far
    :param timeline: newest first
    :param entries: how many there are in all
    """

    incident: Incident
    seconds: float
    timeline: tuple[Entry, ...]
    entries: int
    more: bool


async def read_incident(host: Host, query: IncidentQuery, viewer: Viewer) -> Course:
    try:
        incident, timeline = await host.incidents.find(query.incident_id)
    except InvalidArgument:
        raise NotFound("incident or drill", query.incident_id) from None
    first = query.page * _ENTRIES
    lasting = max(0.0, host.clock.time() - incident.opened_at)
    return Course(
        incident,
        lasting if incident.seconds is None else incident.seconds,
        timeline[::-1][first : first + _ENTRIES],
        len(timeline),
        len(timeline) > first + _ENTRIES,
    )


def shape_incident(found: Course, query: IncidentQuery, viewer: Viewer) -> Mapping[str, Any]:
    return {"link": linking(query, "incident_id")}


VIEWS = (
    View("/signals", "Signals", Query, Signals, read, "signals.html", shape=shape),
    View("/signals/{signal_id}", "Signal", SignalQuery, Raised, read_signal, "signal.html"),
    View(
        "/incidents/{incident_id}",
        "Incident",
        IncidentQuery,
        Course,
        read_incident,
        "incident.html",
        shape=shape_incident,
    ),
)
