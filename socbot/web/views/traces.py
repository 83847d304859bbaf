"""Traces: the last commands, and the way that each took through the chain."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct

from socbot.handlers.pipeline import way
from socbot.systems.traces import TraceRecord, Wanted
from socbot.web.addresses import linking
from socbot.web.host import Host
from socbot.web.view import NotFound, View, Viewer

_SHOWN = 50

Name: TypeAlias = Annotated[str, Meta(max_length=64)]


class Query(Struct, frozen=True):
    """Which commands; what is empty is not asked for.

    :param status: how they ended
    :param command: their name, or an alias
    :param middleware: who refused, would have refused, answered or broke
    :param person: who gave them, as ``platform:id``
    :param seconds: what they took at least
    :param before: the ``older`` of the page before
    """

    status: Literal["", "ok", "refused", "failed", "invalid", "unknown"] = ""
    command: Name = ""
    middleware: Name = ""
    person: Annotated[str, Meta(max_length=200, pattern=r"^(|[^:]+:.+)$")] = ""
    seconds: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    before: Annotated[str, Meta(max_length=24, pattern=r"^(|\d{1,18}-\d{1,4})$")] = ""


class Brief(Struct, frozen=True):
    """A command that was given.

    :param at: when, in seconds since 1970
    :param command: empty where there was none of that name
    :param subject: the person's id, or the pseudonym
    :param guild: empty for a direct message
    :param refused_by: who refused, if it was refused
    :param reason: why it ended so, in a few words; empty if it went well
    :param error_id: under which its failure is kept
    :param seconds: how long all of it took
    """

    trace_id: str
    at: float
    command: str
    status: str
    platform: str
    subject: str
    guild: str
    refused_by: str
    reason: str
    error_id: str
    seconds: float

    @classmethod
    def of(cls, record: TraceRecord) -> "Brief":
        return cls(
            record.trace_id, record.at, record.command, record.status, record.platform, record.subject, record.guild,
            record.refused_by, record.reason, record.error_id, record.seconds,
        )  # fmt: skip


class Newest(Struct, frozen=True):
    """The last commands, newest first.

    :param older: what ``before`` has to be for those before them; empty if there are none
    :param looked_at: how many traces were looked at for these
    :param back_to: when the oldest of those was given, in seconds since 1970; None if there was none
    :param middleware: the chain's, outermost first
    """

    traces: tuple[Brief, ...]
    older: str
    looked_at: int
    back_to: float | None
    middleware: tuple[str, ...]


async def read(host: Host, query: Query, viewer: Viewer) -> Newest:
    named = host.dispatcher.registry.get(query.command.lower())
    platform, _, id = query.person.partition(":")
    wanted = Wanted(
        query.status,
        query.command.lower() if named is None else named.name,
        query.middleware,
        (platform, id) if query.person else None,
        query.seconds,
    )
    found = await host.traces.newest(wanted, _SHOWN, query.before)
    return Newest(
        tuple(map(Brief.of, found.traces)),
        found.older,
        found.looked_at,
        found.back_to,
        tuple(layer.name for layer in host.pipeline.layers),
    )


def links(found: Newest, query: Query, viewer: Viewer) -> Mapping[str, Any]:
    asked = query.status or query.command or query.middleware or query.person or query.seconds
    endings = Counter(each.status for each in found.traces)
    told = [f"{count} {_WORDS[status]}" for status, count in endings.most_common()]
    return {"asked": bool(asked), "others": OTHERS, "link": linking(query), "endings": told}


_WORDS = {
    "ok": "went well",
    "failed": "failed",
    "refused": "refused",
    "invalid": "with wrong arguments",
    "unknown": "that name no command",
}


OTHERS = ("permission", "cooldown", "concurrency", "maintenance", "handler", "shutdown")
"""Who refuses beside the middleware."""


class Which(Struct, frozen=True):
    """Which command.

    :param trace_id: of its trace, or of its error; in any case
    """

    trace_id: Annotated[str, Meta(max_length=40)]


async def read_one(host: Host, query: Which, viewer: Viewer) -> TraceRecord:
    record = await host.traces.find(query.trace_id)
    if record is None:
        raise NotFound("trace", query.trace_id)
    return record


def drawing(record: TraceRecord, query: Which, viewer: Viewer) -> Mapping[str, Any]:
    return {"way": way(record)}


VIEWS: tuple[View[Any, Any], ...] = (
    View("/traces", "Traces", Query, Newest, read, "traces.html", shape=links),
    View("/traces/{trace_id}", "Trace", Which, TraceRecord, read_one, "trace.html", shape=drawing),
)
