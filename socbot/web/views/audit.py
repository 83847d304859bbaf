"""The audit trail: who did what, what came of it, and whether the trail is as it was written."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from socbot.systems.audit import Head, Inspection, Record, Wanted
from socbot.web.host import Host
from socbot.web.view import View, Viewer

MOST = 50

WHOLE = 3.0
"""Seconds for which the trail is verified where that is asked for; when it is asked again, it goes on."""

RESULTS = ("ok", "denied", "refused", "failed", "invalid", "lost")


class Query(Struct, frozen=True):
    """Which records.

    :param who: a part of who did it: ``platform:id``, or a part of the bot
    :param action: a command's name, or what was done
    :param result: how that has to begin
    :param before: those with a number lower than this; the newest if None
    :param verify: ``all`` verifies the whole trail now; otherwise a piece of it is, each time the page is read
    """

    who: Annotated[str, Meta(max_length=100)] = ""
    action: Annotated[str, Meta(max_length=100)] = ""
    result: Literal["", "ok", "denied", "refused", "failed", "invalid", "lost"] = ""
    before: Annotated[int, Meta(ge=1)] | None = None
    verify: Literal["", "all"] = ""


class Audit(Struct, frozen=True):
    """Who did what, newest first, and whether the trail is as it was written.

    :param records: those that were asked for
    :param older: the number before which to go on; None once there are no more
    :param head: how many records there are, and the hash of the last: what to keep elsewhere
    :param inspection: how far the trail has been verified
    :param pending: records that are not on the disk yet
    :param lost: records that could not be kept at all
    """

    records: tuple[Record, ...]
    older: int | None
    head: Head
    inspection: Inspection
    pending: int
    lost: int


async def read(host: Host, query: Query, viewer: Viewer) -> Audit:
    audit = host.audit
    found = await audit.find(Wanted(query.who.strip(), query.action.strip(), query.result), MOST, query.before)
    inspection = await (audit.inspect(WHOLE) if query.verify == "all" else audit.inspect())
    return Audit(found.records, found.before, await audit.head(), inspection, audit.pending, audit.lost)


def _shape(result: Audit, query: Query, viewer: Viewer) -> Mapping[str, Any]:
    asked = {"who": query.who, "action": query.action, "result": query.result}
    return {"results": RESULTS, "asked": {name: value for name, value in asked.items() if value}}


VIEWS: tuple[View[Any, Any], ...] = (View("/audit", "Audit trail", Query, Audit, read, "audit.html", shape=_shape),)
