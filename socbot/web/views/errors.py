"""Errors: what fails, how often, and what is known of each."""

from collections.abc import Iterable, Mapping
from datetime import datetime, tzinfo
from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import Meta, Struct, structs

from socbot.dispatch.outcomes import Step
from socbot.dispatch.replies import Chart
from socbot.systems.errors import Group, Listed, Order, Pace, Record, Standing, Wanted
from socbot.systems.errors.anatomy import SEVERITIES, Severity
from socbot.web.addresses import linking
from socbot.web.host import Host
from socbot.web.view import NotFound, View, Viewer

Range: TypeAlias = Literal["24h", "7d"]

HOURS: Final[dict[Range, int]] = {"24h": 24, "7d": 168}
STANDINGS: Final[tuple[Standing, ...]] = ("open", "came back", "muted", "resolved")

_HOUR: Final = 3_600.0
_PAGE: Final = 40
_OCCURRENCES: Final = 50
_COMMANDS: Final = 10
_POINTS: Final = 42
_LONGEST: Final = 60_000

Hours: TypeAlias = tuple[tuple[float, int], ...]


class Query(Struct, frozen=True):
    """Which groups of errors are listed.

    :param range: over which time errors are counted and drawn
    :param order: the last seen first, or the most frequent within ``range``
    :param state: how they stand; all, unless one is given
    :param page: which ``40`` of them, from 0
    """

    range: Range = "24h"
    order: Order = "recent"
    state: Standing | None = None
    severity: Severity | None = None
    command: Annotated[str, Meta(max_length=200)] = ""
    page: Annotated[int, Meta(ge=0, le=100_000)] = 0


class Errors(Struct, frozen=True):
    """What fails, in groups that are one fault each.

    :param pace: how fast errors come now
    :param standings: how many groups stand in which way
    :param total: errors within the range, by ``hours`` too, each with its beginning
    :param by_command: the commands with most of them; an empty name is no command
    :param groups: those that were asked for
    :param commands: those that have failed
    :param waiting: errors that are not on the disk yet
    :param lost: errors that could not be kept
    :param more: whether there are further groups, on the next page
    """

    pace: Pace
    standings: dict[Standing, int]
    total: int
    hours: Hours
    by_command: tuple[tuple[str, int], ...]
    groups: tuple[Listed, ...]
    commands: tuple[str, ...]
    waiting: int
    lost: int
    more: bool


async def read(host: Host, query: Query, viewer: Viewer) -> Errors:
    errors = host.errors
    since = host.clock.time() - (HOURS[query.range] - 1) * _HOUR
    wanted = Wanted(since, query.order, query.state, query.severity, query.command, _PAGE + 1, query.page * _PAGE)
    groups, totals = await errors.listing(wanted), await errors.totals(since)
    return Errors(
        errors.pace,
        await errors.standings(),
        sum(count for _, count in totals),
        _filled(totals, since, HOURS[query.range]),
        await errors.by_command(since, _COMMANDS),
        groups[:_PAGE],
        await errors.commands(),
        errors.waiting,
        errors.lost,
        len(groups) > _PAGE,
    )


def shape(found: Errors, query: Query, viewer: Viewer) -> Mapping[str, Any]:
    since = found.hours[0][0]
    return {
        "chart": _chart(found.hours, viewer.zone),
        "courses": {each.group.group_id: _line(_filled(each.hours, since, len(found.hours))) for each in found.groups},
        "link": linking(query),
        "states": STANDINGS,
        "severities": SEVERITIES,
    }


# -- one error, or one group --------------------------------------------------------------------------


class OneQuery(Struct, frozen=True):
    """Which error, or which group of them.

    :param error_id: ``E-…`` or ``G-…``, in either case
    """

    error_id: Annotated[str, Meta(max_length=40)]


class Occurrence(Struct, frozen=True):
    """One error, in a listing; ``subject`` is the person's id or pseudonym, empty where nobody asked for it."""

    error_id: str
    at: float
    message: str
    platform: str
    subject: str
    guild: str
    trace_id: str


class Found(Struct, frozen=True):
    """One error, or one group of errors, with all that is known of it.

    :param record: the error; of a group the last that is kept, None if none is
    :param traceback: where it was raised, without secrets; for owners alone
    :param group: which fault it belongs to; ``standing`` is how that stands
    :param hours: how many errors of the group there were in each hour of the last week, by its beginning
    :param occurrences: the newest of the group
    :param steps: how the command went through the chain, while its trace is kept
    :param advice: what to try
    """

    is_group: bool
    record: Record | None
    traceback: str
    group: Group
    standing: Standing
    hours: Hours
    occurrences: tuple[Occurrence, ...]
    steps: tuple[Step, ...]
    advice: tuple[str, ...]


async def read_one(host: Host, query: OneQuery, viewer: Viewer) -> Found:
    errors, name = host.errors, query.error_id
    record = await errors.find(name)
    group = await errors.group(name if record is None else record.group_id)
    if group is None:
        raise NotFound("error or group of errors", name)
    newest = await errors.occurrences(group.group_id, _OCCURRENCES)
    last = record or (newest[0] if newest else None)
    trace = await host.traces.find(last.trace_id) if last is not None and last.trace_id else None
    since = host.clock.time() - (HOURS["7d"] - 1) * _HOUR
    course = await errors.course(group.group_id, since)
    return Found(
        record is None,
        None if last is None else structs.replace(last, traceback=""),
        last.traceback[:_LONGEST] if last is not None and viewer.is_owner else "",
        group,
        errors.standing(group),
        _filled(course, since, HOURS["7d"]),
        tuple(map(_occurrence, newest)),
        () if trace is None else trace.steps,
        tuple(_advice(host, group, record or last)),
    )


def shape_one(found: Found, query: OneQuery, viewer: Viewer) -> Mapping[str, Any]:
    return {"chart": _chart(found.hours, viewer.zone)}


def _occurrence(record: Record) -> Occurrence:
    return Occurrence(
        record.error_id, record.at, record.message[:300], record.platform, record.subject, record.guild, record.trace_id
    )


_TRY: Final[tuple[tuple[frozenset[str], str], ...]] = (
    (
        frozenset(("CommandTimeout", "TimeoutError")),
        "Something waited longer than it may. The trace shows where; bot.command_timeout bounds a command as a whole.",
    ),
    (
        frozenset(("Forbidden",)),
        "The platform forbids it: give the bot the permission that the message names, in that channel or guild.",
    ),
    (
        frozenset(("NotFound",)),
        "What the command was about is gone. If that is usual, the command should say so instead of failing.",
    ),
    (
        frozenset(("HTTPException", "DiscordServerError", "ConnectionError", "ConnectionResetError", "EgressError")),
        "Something outside did not answer as it should. See whether others fail at the same time; it may mend itself.",
    ),
    (
        frozenset(("StoreError", "StoreBusy", "StatementError", "OperationalError")),
        "The store is in trouble: the page of health says whether it answers, and the log what it says.",
    ),
    (
        frozenset(("OSError", "PermissionError", "FileNotFoundError")),
        "A file, a folder or a connection: look at its owner, its rights, and the room that is left on the disk.",
    ),
    (frozenset(("MemoryError",)), "The process ran out of memory: the page of health shows how much it uses."),
    (
        frozenset(("ImportError", "ModuleNotFoundError")),
        "A library is missing or has changed: install what the bot needs again, and restart it.",
    ),
    (
        frozenset(
            ("AttributeError", "KeyError", "TypeError", "ValueError", "IndexError", "NameError", "ZeroDivisionError")
        ),
        "A fault in the code: the last line of the traceback that is the bot's own is where to look first.",
    ),
)


def _advice(host: Host, group: Group, record: Record | None) -> Iterable[str]:
    """What to try, by what is known."""
    for kinds, text in _TRY:
        if group.type in kinds:
            yield text
    if 0 <= group.first_at - host.lifecycle.started_at < _HOUR:
        yield "It came within an hour of the bot's last start: look first at what that start has changed."
    if group.users == 1 and group.count > 3:
        yield "It befalls one person alone: look at what that person asks for."
    if record is None:
        yield "None of its errors is kept any more; the next one will be."
    if host.errors.standing(group) == "came back":
        yield "It was resolved before and came back: what was done about it did not last."


# -- counts by the hour -------------------------------------------------------------------------------


def _filled(hours: Hours, since: float, count: int) -> Hours:
    """``hours`` with those in which nothing happened, ``count`` from that of ``since`` on."""
    known, first = dict(hours), since // _HOUR * _HOUR
    return tuple((at, known.get(at, 0)) for at in (first + number * _HOUR for number in range(count)))


def _line(hours: Hours) -> tuple[float, ...]:
    """At most so many points as a line that is no higher than its words can show."""
    step = -(-len(hours) // _POINTS)
    return tuple(float(sum(count for _, count in hours[at : at + step])) for at in range(0, len(hours), step))


def _chart(hours: Hours, zone: tzinfo) -> Chart:
    form = "%H:%M" if len(hours) <= 24 else "%m-%d %H:%M"
    labels = tuple(f"{datetime.fromtimestamp(at, zone):{form}}" for at, _ in hours)
    return Chart("bar", labels, {"errors": tuple(float(count) for _, count in hours)}, "errors an hour")


VIEWS = (
    View("/errors", "Errors", Query, Errors, read, "errors.html", shape=shape),
    View("/errors/{error_id}", "Error", OneQuery, Found, read_one, "error.html", shape=shape_one),
)
