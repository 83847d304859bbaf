"""The errors as they are kept: a row for each, for each group of them, and for each group's count in an hour.

All of it is SQL on a ``Connection``, for the database's own threads.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from socbot.storage.connection import Connection, Row, Values
from socbot.storage.sql import like, listed
from socbot.systems.errors.anatomy import Severity

State: TypeAlias = Literal["open", "resolved"]

Standing: TypeAlias = Literal["open", "came back", "muted", "resolved"]
"""How a group stands now: a mute ends by itself, and an open one may have been resolved before."""

Order: TypeAlias = Literal["recent", "frequent"]

BACK = "it came back"
"""Who has opened a resolved group again."""

HOUR = 3_600.0
DAY = 86_400.0

_KEPT_HOURS = 366 * 24


class Record(Struct, frozen=True):
    """One error, without secrets.

    :param at: seconds since 1970
    :param subject: the user's id; empty where nobody asked for it
    :param guild: empty for a direct message
    :param trace_id: of its way through the chain
    """

    error_id: str
    group_id: str
    at: float
    severity: Severity
    type: str
    message: str
    command: str
    platform: str
    subject: str
    guild: str
    channel: str
    trace_id: str
    traceback: str


class Group(Struct, frozen=True):
    """Errors that are one fault.

    :param changed_by: who set its state or muted it; ``it came back`` if a resolved one did
    :param users: how many users it befell, as far as its records are kept
    """

    group_id: str
    type: str
    severity: Severity
    command: str
    template: str
    first_at: float
    last_at: float
    count: int
    state: State
    muted_until: float | None
    changed_by: str | None
    changed_at: float | None
    users: int


class Listed(Struct, frozen=True):
    """A group in a listing.

    :param message: the last one that is kept; empty if none is
    :param within: its errors within the time that was asked for, by ``hours`` too, each by its beginning
    """

    group: Group
    standing: Standing
    message: str
    within: int
    hours: tuple[tuple[float, int], ...]


class Wanted(Struct, frozen=True):
    """Which groups a listing has; None and an empty text are all.

    :param since: from when on errors are counted, in seconds since 1970
    """

    since: float
    order: Order = "recent"
    standing: Standing | None = None
    severity: Severity | None = None
    command: str = ""
    limit: int = 50
    skip: int = 0


class HourCount(Struct, frozen=True):
    """How many errors of a group there were in an hour, which began at ``at``."""

    at: float
    group_id: str
    type: str
    severity: Severity
    command: str
    count: int


class Contents(Struct, frozen=True):
    """All that is kept."""

    groups: list[Group]
    errors: list[Record]
    hours: list[HourCount]


class Occurrence(Struct, frozen=True):
    """An error to be written; ``template`` is its group's, should it be the first of it."""

    record: Record
    template: str


class Uncounted(Struct, frozen=True):
    """Errors of a group of which no record is kept."""

    last_at: float
    count: int


_RECORD = Record.__struct_fields__
_GROUP = Group.__struct_fields__[:-1]

_INSERT_RECORD = (
    f"INSERT INTO errors ({', '.join(_RECORD)}) VALUES ({', '.join(f':{name}' for name in _RECORD)})"
    " ON CONFLICT (error_id) DO NOTHING"
)
_SELECT_RECORD = f"SELECT {', '.join(_RECORD)} FROM errors"
_NEWEST_FIRST = "ORDER BY at DESC, error_id DESC"

_UPSERT_GROUP = f"""
    INSERT INTO error_groups (group_id, type, severity, command, template, first_at, last_at, count, state)
    VALUES (:group_id, :type, :severity, :command, :template, :at, :at, 1, 'open')
    ON CONFLICT (group_id) DO UPDATE SET
        severity = excluded.severity,
        last_at = CASE WHEN excluded.last_at > error_groups.last_at THEN excluded.last_at ELSE error_groups.last_at END,
        count = error_groups.count + 1,
        state = 'open',
        changed_by = CASE WHEN error_groups.state = 'resolved' THEN '{BACK}' ELSE error_groups.changed_by END,
        changed_at = CASE WHEN error_groups.state = 'resolved' THEN excluded.last_at ELSE error_groups.changed_at END
"""
_COUNT_GROUP = """
    UPDATE error_groups
    SET count = count + :count, last_at = CASE WHEN last_at > :at THEN last_at ELSE :at END
    WHERE group_id = :group_id
"""
_COUNT_HOUR = """
    INSERT INTO error_hours (hour, group_id, count) VALUES (:hour, :group_id, :count)
    ON CONFLICT (hour, group_id) DO UPDATE SET count = error_hours.count + excluded.count
"""
_SELECT_GROUP = f"""
    SELECT {", ".join(f"g.{name}" for name in _GROUP)}, COUNT(DISTINCT NULLIF(e.platform || ' ' || e.subject, ' '))
    FROM error_groups g LEFT JOIN errors e ON e.group_id = g.group_id
"""
_GROUP_BY = f"GROUP BY {', '.join(f'g.{name}' for name in _GROUP)}"
_STANDING = (
    "CASE WHEN g.state = 'resolved' THEN 'resolved' WHEN g.muted_until > :now THEN 'muted'"
    f" WHEN g.changed_by = '{BACK}' THEN 'came back' ELSE 'open' END"
)


# -- writing ------------------------------------------------------------------------------------------


def write(
    connection: Connection,
    occurrences: Iterable[Occurrence],
    uncounted: Mapping[str, Uncounted],
    keep: int,
    new_id: Callable[[], str],
) -> list[str]:
    """Write them, keep the newest ``keep``, and return the ids under which the occurrences are found.

    Writing an occurrence again changes nothing. Its id is another one only if an older error has it already.
    """
    ids = [_write(connection, occurrence, new_id) for occurrence in occurrences]
    for group_id, more in uncounted.items():
        values = {"group_id": group_id, "at": more.last_at, "count": more.count, "hour": int(more.last_at // HOUR)}
        if connection.change(_COUNT_GROUP, values):
            connection.execute(_COUNT_HOUR, values)
    prune(connection, keep)
    return ids


def _write(connection: Connection, occurrence: Occurrence, new_id: Callable[[], str]) -> str:
    record = occurrence.record
    values = {name: getattr(record, name) for name in _RECORD}
    while not connection.change(_INSERT_RECORD, values):
        there = connection.execute("SELECT group_id, at FROM errors WHERE error_id = :error_id", values)
        if there == [(record.group_id, record.at)]:
            return str(values["error_id"])
        values["error_id"] = new_id()
    connection.execute(_UPSERT_GROUP, {**values, "template": occurrence.template})
    connection.execute(_COUNT_HOUR, {"hour": int(record.at // HOUR), "group_id": record.group_id, "count": 1})
    return str(values["error_id"])


def prune(connection: Connection, keep: int) -> None:
    """Drop all but the newest ``keep`` records."""
    connection.change(
        "DELETE FROM errors WHERE (at, error_id) IN"
        f" (SELECT at, error_id FROM errors {_NEWEST_FIRST} LIMIT 1000000 OFFSET :keep)",
        {"keep": keep},
    )


def tidy(connection: Connection, keep: int, now: float) -> None:
    """Drop counts of over a year ago, and all but the newest ``keep`` groups that have neither records nor a mute."""
    connection.change("DELETE FROM error_hours WHERE hour < :hour", {"hour": int(now // HOUR) - _KEPT_HOURS})
    connection.change(
        "DELETE FROM error_groups WHERE muted_until IS NULL AND group_id IN"
        " (SELECT group_id FROM error_groups ORDER BY last_at DESC, group_id LIMIT 1000000 OFFSET :keep)"
        " AND NOT EXISTS (SELECT 1 FROM errors WHERE errors.group_id = error_groups.group_id)",
        {"keep": keep},
    )


def set_state(connection: Connection, group_id: str, state: State, by: str, at: float) -> bool:
    return bool(
        connection.change(
            "UPDATE error_groups SET state = :state, changed_by = :by, changed_at = :at WHERE group_id = :group_id",
            {"group_id": group_id, "state": state, "by": by, "at": at},
        )
    )


def set_muted(connection: Connection, group_id: str, until: float | None, by: str, at: float) -> bool:
    return bool(
        connection.change(
            "UPDATE error_groups SET muted_until = :until, changed_by = :by, changed_at = :at"
            " WHERE group_id = :group_id",
            {"group_id": group_id, "until": until, "by": by, "at": at},
        )
    )


def clear(connection: Connection) -> Contents:
    """Drop everything, and return what it was."""
    dropped = contents(connection)
    for table in ("errors", "error_groups", "error_hours"):
        connection.change(f"DELETE FROM {table}")
    return dropped


# -- reading ------------------------------------------------------------------------------------------


def contents(connection: Connection) -> Contents:
    return Contents(groups(connection), newest(connection, 1_000_000), hours(connection, 0.0))


def size(connection: Connection) -> tuple[int, int]:
    """How many records there are, and how many groups."""
    ((errors, kinds),) = connection.execute("SELECT (SELECT COUNT(*) FROM errors), (SELECT COUNT(*) FROM error_groups)")
    return errors, kinds


def find(connection: Connection, error_id: str) -> Record | None:
    rows = connection.execute(f"{_SELECT_RECORD} WHERE error_id = :error_id", {"error_id": error_id})
    return _record(rows[0]) if rows else None


def newest(connection: Connection, count: int, severity: Severity | None = None) -> list[Record]:
    """The newest records, newest first."""
    return _records(connection, "severity = :severity" if severity else "1 = 1", {"severity": severity}, count)


def search(connection: Connection, query: str, count: int) -> list[Record]:
    """The newest records that have ``query`` in the command, the user's id, the type, the message or an id."""
    columns = ("command", "subject", "type", "message", "error_id", "group_id")
    where = " OR ".join(f"LOWER({column}) LIKE :pattern ESCAPE '!'" for column in columns)
    return _records(connection, where, {"pattern": f"%{like(query)}%"}, count)


def occurrences(connection: Connection, group_id: str, limit: int) -> list[Record]:
    """The newest records of a group, newest first."""
    return _records(connection, "group_id = :group_id", {"group_id": group_id}, limit)


def of_user(connection: Connection, platform: str, subject: str, limit: int) -> list[Record]:
    """The newest records of what befell somebody, newest first."""
    who = {"platform": platform, "subject": subject}
    return _records(connection, "platform = :platform AND subject = :subject", who, limit)


def _records(connection: Connection, where: str, values: Values, limit: int) -> list[Record]:
    sql = f"{_SELECT_RECORD} WHERE {where} {_NEWEST_FIRST} LIMIT :limit"
    return [_record(row) for row in connection.execute(sql, {**values, "limit": limit})]


def group(connection: Connection, group_id: str) -> Group | None:
    rows = connection.execute(f"{_SELECT_GROUP} WHERE g.group_id = :group_id {_GROUP_BY}", {"group_id": group_id})
    return _group(rows[0]) if rows else None


def groups(connection: Connection, since: float = 0.0, count: int = 1_000_000) -> list[Group]:
    """The groups seen since then, the newest first."""
    sql = f"{_SELECT_GROUP} WHERE g.last_at >= :since {_GROUP_BY} ORDER BY g.last_at DESC, g.group_id LIMIT :count"
    return [_group(row) for row in connection.execute(sql, {"since": since, "count": count})]


def standing(group: Group, now: float) -> Standing:
    """How ``group`` stands; the same as in a listing."""
    if group.state == "resolved":
        return "resolved"
    if group.muted_until is not None and group.muted_until > now:
        return "muted"
    return "came back" if group.changed_by == BACK else "open"


def listing(connection: Connection, wanted: Wanted, now: float) -> list[Listed]:
    """The groups that are ``wanted``, each with its course."""
    filters = {
        f"{_STANDING} = :standing": bool(wanted.standing),
        "g.severity = :severity": bool(wanted.severity),
        "g.command = :command": bool(wanted.command),
    }
    where = " AND ".join(("1 = 1", *(text for text, asked in filters.items() if asked)))
    order = "counted DESC, g.last_at DESC" if wanted.order == "frequent" else "g.last_at DESC"
    rows = connection.execute(
        f"SELECT g.group_id, {_STANDING}, COALESCE(h.total, 0) AS counted FROM error_groups g LEFT JOIN"
        " (SELECT group_id, CAST(SUM(count) AS BIGINT) AS total FROM error_hours WHERE hour >= :first"
        f" GROUP BY group_id) h ON h.group_id = g.group_id WHERE {where}"
        f" ORDER BY {order}, g.group_id LIMIT :limit OFFSET :skip",
        {
            "now": now,
            "standing": wanted.standing,
            "severity": wanted.severity,
            "command": wanted.command,
            "first": int(wanted.since // HOUR),
            "limit": wanted.limit,
            "skip": wanted.skip,
        },
    )
    if not rows:
        return []
    names, ids = listed([group_id for group_id, _, _ in rows])
    found = connection.execute(f"{_SELECT_GROUP} WHERE g.group_id IN ({names}) {_GROUP_BY}", ids)
    known = {group.group_id: group for group in map(_group, found)}
    courses = _courses(connection, names, ids, wanted.since)
    said: dict[str, str] = dict(
        connection.execute(
            "SELECT group_id, message FROM (SELECT group_id, message, ROW_NUMBER() OVER"
            " (PARTITION BY group_id ORDER BY at DESC, error_id DESC) AS place FROM errors"
            f" WHERE group_id IN ({names})) ranked WHERE place = 1",
            ids,
        )
    )
    return [
        Listed(known[id], state, said.get(id, ""), count, courses.get(id, ()))
        for id, state, count in rows
        if id in known
    ]


def totals(connection: Connection, since: float) -> tuple[tuple[float, int], ...]:
    """The errors of all groups in each hour that had any, oldest first."""
    rows = connection.execute(
        "SELECT hour, CAST(SUM(count) AS BIGINT) FROM error_hours WHERE hour >= :first GROUP BY hour ORDER BY hour",
        {"first": int(since // HOUR)},
    )
    return tuple((hour * HOUR, count) for hour, count in rows)


def by_command(connection: Connection, since: float, limit: int) -> tuple[tuple[str, int], ...]:
    """The commands with most errors since then."""
    rows = connection.execute(
        "SELECT g.command, CAST(SUM(h.count) AS BIGINT) AS total FROM error_hours h"
        " JOIN error_groups g ON g.group_id = h.group_id WHERE h.hour >= :first"
        " GROUP BY g.command ORDER BY total DESC, g.command LIMIT :limit",
        {"first": int(since // HOUR), "limit": limit},
    )
    return tuple((command, count) for command, count in rows)


def course(connection: Connection, group_id: str, since: float) -> tuple[tuple[float, int], ...]:
    """The errors of a group in each hour that had any, oldest first."""
    return _courses(connection, ":id", {"id": group_id}, since).get(group_id, ())


def _courses(
    connection: Connection, names: str, ids: Mapping[str, str], since: float
) -> dict[str, tuple[tuple[float, int], ...]]:
    rows = connection.execute(
        f"SELECT group_id, hour, count FROM error_hours WHERE hour >= :first AND group_id IN ({names}) ORDER BY hour",
        {**ids, "first": int(since // HOUR)},
    )
    found: dict[str, list[tuple[float, int]]] = {}
    for group_id, hour, count in rows:
        found.setdefault(group_id, []).append((hour * HOUR, count))
    return {group_id: tuple(hours) for group_id, hours in found.items()}


def standings(connection: Connection, now: float) -> dict[Standing, int]:
    """How many groups stand in which way."""
    sql = f"SELECT {_STANDING}, COUNT(*) FROM error_groups g GROUP BY 1"
    found: dict[Standing, int] = dict(connection.execute(sql, {"now": now}))
    return found


def commands(connection: Connection, limit: int) -> tuple[str, ...]:
    """The commands that have groups, those with most of them first."""
    rows = connection.execute(
        "SELECT command, COUNT(*) FROM error_groups WHERE command <> '' GROUP BY command"
        " ORDER BY 2 DESC, command LIMIT :limit",
        {"limit": limit},
    )
    return tuple(command for command, _ in rows)


def hours(connection: Connection, since: float) -> list[HourCount]:
    """The counts of the hours that ended after ``since``, oldest first."""
    rows = connection.execute(
        "SELECT h.hour, h.group_id, g.type, g.severity, g.command, h.count"
        " FROM error_hours h JOIN error_groups g ON g.group_id = h.group_id"
        " WHERE h.hour >= :first ORDER BY h.hour, h.group_id",
        {"first": int(since // HOUR)},
    )
    return [HourCount(hour * HOUR, *rest) for hour, *rest in rows]


def set_apart(connection: Connection) -> tuple[set[str], dict[str, float]]:
    """The resolved groups, and the muted ones with the end of it."""
    resolved = connection.execute("SELECT group_id FROM error_groups WHERE state = 'resolved'")
    muted: list[Any] = connection.execute(
        "SELECT group_id, muted_until FROM error_groups WHERE muted_until IS NOT NULL"
    )
    return {group_id for (group_id,) in resolved}, dict(muted)


def _record(row: Row | Sequence[object]) -> Record:
    return Record(*row)


def _group(row: Row | Sequence[object]) -> Group:
    return Group(*row)
