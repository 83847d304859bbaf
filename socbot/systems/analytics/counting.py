"""The tables of analytics, as they are written.

``usage`` has a row for each hour, guild, person, command and ending. What is asked for long times is kept beside it,
so that no question reads more than a few thousand rows:

- ``usage_counts``: the sums of everybody by hour and by day, written in the transaction of the rows;
- ``usage_people`` and ``usage_guilds``: the sums over all that is kept, up to the hour in ``rollups``. An hour is
  added once it is over; what is counted for an earlier hour after that is added at once. So the sums and the rows
  from that hour on are everything, and nothing twice;
- ``usage_months``: rows that are too old to be kept by the hour.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final, TypeAlias

from msgspec import structs

from socbot.storage.connection import Connection, Row, Values
from socbot.systems.analytics.figures import UsageRow
from socbot.systems.rollups import advance, hold, upto

ENDINGS: Final = ("ok", "failed", "refused", "invalid", "unknown")

TOTALS: Final = "usage"
"""The rollup that says up to which hour the sums by person and guild go."""

FOLDED: Final = "usage.months"
"""The rollup that says before which hour rows have been folded into months."""

DAY: Final = 24
"""Hours."""

_LOCK: Final = 0x50C_A7A
_AT_ONCE: Final = 2_000
_UNKNOWN: Final = ENDINGS.index("unknown")

Sums: TypeAlias = list[Any]
"""How many ended in each way, seconds, first and last moment: in the order of the columns."""

_COLUMNS = tuple(name for name in UsageRow.__struct_fields__ if name != "span")
_SUMS = (*ENDINGS, "seconds", "first_at", "last_at")


def _adding(table: str, key: Sequence[str], sums: Sequence[str] = _SUMS) -> str:
    """SQL that adds a row to ``table``, or what it counts to the row that is there."""
    changes = [f"{name} = {table}.{name} + excluded.{name}" for name in sums if not name.endswith("_at")]
    for name, sign in (("first_at", "<"), ("last_at", ">")):
        if name in sums:
            better = f"excluded.{name} {sign} {table}.{name}"
            changes.append(f"{name} = CASE WHEN {better} THEN excluded.{name} ELSE {table}.{name} END")
    return f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {', '.join(changes)}"


def _inserting(table: str, key: Sequence[str], sums: Sequence[str] = _SUMS) -> str:
    names = (*key, *sums)
    values = ", ".join(f":{name}" for name in names)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})" + _adding(table, key, sums)


_KEY = ("hour", "platform", "guild", "subject", "command", "status", "refused_by")
_COUNT = _inserting("usage", _KEY, ("count", "seconds", "first_at", "last_at"))
_COUNT_TOGETHER = _inserting("usage_counts", ("span", "command", "hour"))
_ADD_PERSON = _inserting("usage_people", ("kind", "scope", "platform", "subject"), ("count", "last_at"))
_ADD_GUILD = _inserting("usage_guilds", ("platform", "guild", "command"))

PILE: Final = "platform, subject, guild, command"
"""What rows of one person have in common once neither the hour nor the ending tells them apart."""

OF_ENDINGS: Final = ", ".join(f"SUM(CASE WHEN status = '{ending}' THEN count ELSE 0 END)" for ending in ENDINGS)
OF_PILE: Final = f"{PILE}, {OF_ENDINGS}, SUM(seconds), MIN(first_at), MAX(last_at)"


def month_of(hour: int) -> int:
    """The month that ``hour`` lies in, in UTC, as it is stored."""
    day = datetime.fromtimestamp(hour * 3600, UTC)
    return day.year * 12 + day.month - 1


def hour_of(month: int) -> int:
    """The first hour of ``month``."""
    return int(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp()) // 3600


# -- counting -----------------------------------------------------------------------------------------


def count(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add ``rows`` of ``usage`` to all figures that they are part of."""
    hold(connection, _LOCK)
    connection.execute_many(_COUNT, rows)
    connection.execute_many(_COUNT_TOGETHER, _together(rows))
    mark = upto(connection, TOTALS)
    late = [row for row in rows if row["hour"] < mark]
    if late:
        _add_to_totals(connection, map(_pile, late))


def add_rows(connection: Connection, rows: Iterable[UsageRow]) -> None:
    """Count what another bot has counted, within the caller's transaction."""
    found = list(map(structs.asdict, rows))
    if found:
        count(connection, found)


def _pile(row: Mapping[str, Any]) -> Row:
    counts = (row["count"] if ending == row["status"] else 0 for ending in ENDINGS)
    who = (row["platform"], row["subject"], row["guild"], row["command"])
    return (*who, *counts, row["seconds"], row["first_at"], row["last_at"])


def _together(rows: Iterable[Mapping[str, Any]]) -> list[Values]:
    """The rows of ``usage_counts`` that ``rows`` add up to."""
    of_command: dict[tuple[str, int], Sums] = {}
    for row in rows:
        key = (row["command"], row["hour"])
        sums = of_command.get(key)
        if sums is None:
            sums = of_command[key] = [0, 0, 0, 0, 0, 0.0, row["first_at"], row["last_at"]]
        sums[_POSITION[row["status"]]] += row["count"]
        sums[5] += row["seconds"]
        if row["first_at"] < sums[6]:
            sums[6] = row["first_at"]
        if row["last_at"] > sums[7]:
            sums[7] = row["last_at"]
    found: dict[tuple[int, str, int], Sums] = {}
    for (command, hour), sums in of_command.items():
        for name in ("", command) if command else ("",):
            for span in (1, DAY):
                _add(found, (span, name, hour - hour % span), sums)
    return [dict(zip(("span", "command", "hour", *_SUMS), (*key, *sums), strict=True)) for key, sums in found.items()]


_POSITION = {ending: position for position, ending in enumerate(ENDINGS)}


def _add(to: dict[Any, Sums], key: object, sums: Sequence[Any], sign: int = 1) -> None:
    known = to.get(key)
    if known is None:
        to[key] = [sign * each for each in sums[:6]] + list(sums[6:])
        return
    for position in range(6):
        known[position] += sign * sums[position]
    known[6] = min(known[6], sums[6])
    known[7] = max(known[7], sums[7])


# -- the sums of each person and guild ------------------------------------------------------------------


def _add_to_totals(connection: Connection, piles: Iterable[Row], sign: int = 1) -> None:
    """Add what was counted to the sums by person and guild, or take it away, with the sums that are then of nothing."""
    people: dict[tuple[str, str, str, str], list[Any]] = {}
    guilds: dict[tuple[str, str, str], Sums] = {}
    for platform, subject, guild, command, *sums in piles:
        named = sign * sum(sums[:_UNKNOWN])
        if guild:
            _add(guilds, (platform, guild, command), sums, sign)
        if not named:
            continue
        for kind, scope in (("all", ""), ("command", command), ("guild", guild)):
            if scope or kind == "all":
                known = people.setdefault((kind, scope, platform, subject), [0, sums[7]])
                known[0] += named
                known[1] = max(known[1], sums[7])
    person, where = ("kind", "scope", "platform", "subject"), ("platform", "guild", "command")
    of_people = [dict(zip((*person, "count", "last_at"), (*key, *each), strict=True)) for key, each in people.items()]
    of_guilds = [dict(zip((*where, *_SUMS), (*key, *each), strict=True)) for key, each in guilds.items()]
    for sql, rows in ((_ADD_PERSON, of_people), (_ADD_GUILD, of_guilds)):
        if rows:
            connection.execute_many(sql, rows)
    if sign < 0:
        _drop(connection, "usage_people", person, "count", people)
        _drop(connection, "usage_guilds", where, " + ".join(ENDINGS), guilds)


def _drop(connection: Connection, table: str, key: Sequence[str], left: str, keys: Iterable[Sequence[str]]) -> None:
    """Delete the rows of ``keys`` in which nothing is ``left``."""
    rows = [dict(zip(key, each, strict=True)) for each in keys]
    where = " AND ".join(f"{name} = :{name}" for name in key)
    if rows:
        connection.execute_many(f"DELETE FROM {table} WHERE {where} AND {left} <= 0", rows)


def sum_an_hour(connection: Connection, before: int) -> bool:
    """Add the next hour before the hour ``before`` to the sums; whether there was one."""
    hold(connection, _LOCK)
    mark = upto(connection, TOTALS)
    hour = _oldest(connection, before, mark)
    if hour is None:
        advance(connection, TOTALS, before)
        return False
    _add_to_totals(connection, _piles(connection, "hour = :hour", {"hour": hour}))
    advance(connection, TOTALS, hour + 1)
    return True


def _piles(connection: Connection, where: str, values: Values) -> list[Row]:
    return connection.execute(f"SELECT {OF_PILE} FROM usage WHERE {where} GROUP BY {PILE}", values)


def _oldest(connection: Connection, before: int, since: int = 0) -> int | None:
    [(hour,)] = connection.execute(
        "SELECT MIN(hour) FROM usage WHERE hour >= :since AND hour < :before", {"since": since, "before": before}
    )
    return None if hour is None else int(hour)


# -- what is old --------------------------------------------------------------------------------------


def fold_an_hour(connection: Connection, before: int) -> bool:
    """Make the oldest hour before the hour ``before`` part of its month; whether there was one."""
    hold(connection, _LOCK)
    hour = _oldest(connection, min(before, upto(connection, TOTALS)))
    if hour is None:
        return False
    values = {"hour": hour, "month": month_of(hour)}
    key = f"month, {PILE}"
    connection.change(
        f"INSERT INTO usage_months ({key}, {', '.join(_SUMS)}) SELECT CAST(:month AS BIGINT), {OF_PILE} FROM usage"
        f" WHERE hour = :hour GROUP BY {PILE}" + _adding("usage_months", key.split(", ")),
        values,
    )
    connection.change("DELETE FROM usage WHERE hour = :hour", values)
    advance(connection, FOLDED, hour + 1)
    return True


def forget_an_hour(connection: Connection, before: int) -> bool:
    """Delete the oldest hour before the hour ``before``, and take it from the sums; whether there was one."""
    hold(connection, _LOCK)
    hour = _oldest(connection, before)
    if hour is None:
        return False
    if hour < upto(connection, TOTALS):
        _add_to_totals(connection, _piles(connection, "hour = :hour", {"hour": hour}), -1)
    connection.change("DELETE FROM usage WHERE hour = :hour", {"hour": hour})
    return True


def forget_of_months(connection: Connection, before: int) -> bool:
    """Delete some rows of months before the month ``before``, and take them from the sums; whether there were any."""
    hold(connection, _LOCK)
    key = f"month, {PILE}"
    rows = connection.execute(
        f"SELECT {key}, {', '.join(_SUMS)} FROM usage_months WHERE month < :before ORDER BY {key} LIMIT {_AT_ONCE}",
        {"before": before},
    )
    if not rows:
        return False
    _add_to_totals(connection, (row[1:] for row in rows), -1)
    last = dict(zip(("month", "platform", "subject", "guild", "command"), rows[-1], strict=False))
    connection.change(
        f"DELETE FROM usage_months WHERE ({key}) <= (:month, :platform, :subject, :guild, :command)", last
    )
    return True


def forget_counts(connection: Connection, before: int) -> None:
    """Delete the common sums of hours, and of days that lie wholly before the hour ``before``."""
    for span, end in ((1, before), (DAY, before // DAY * DAY)):
        # By command, which the key begins with: by the hour alone all of the table would be read.
        connection.change(
            "DELETE FROM usage_counts WHERE span = :span AND hour < :end AND command IN"
            " (SELECT DISTINCT command FROM usage_counts WHERE span = :span)",
            {"span": span, "end": end},
        )


def forget_everything(connection: Connection) -> None:
    hold(connection, _LOCK)
    for table in ("usage", "usage_counts", "usage_months", "usage_people", "usage_guilds"):
        connection.change(f"DELETE FROM {table}")


def erase(connection: Connection, platform: str, names: tuple[str, str]) -> int:
    """Forget one person, under both of their ``names``; how many rows there were of them.

    What they did stays counted in the sums of everybody, from which nobody can be told.
    """
    hold(connection, _LOCK)
    person = {"platform": platform, "subject": names[0], "pseudonym": names[1]}
    theirs = "platform = :platform AND subject IN (:subject, :pseudonym)"
    months = theirs_by_month(connection)
    summed = _piles(connection, f"{theirs} AND hour < :mark", {**person, "mark": upto(connection, TOTALS)})
    folded = connection.execute(f"SELECT {PILE}, {', '.join(_SUMS)} FROM usage_months WHERE {months}", person)
    _add_to_totals(connection, chain(summed, folded), -1)
    return connection.change(f"DELETE FROM usage WHERE {theirs}", person) + connection.change(
        f"DELETE FROM usage_months WHERE {months}", person
    )


def theirs_by_month(connection: Connection) -> str:
    """SQL for the rows of one person in ``usage_months``, whose key begins with the month."""
    # Not in one statement: SQLite would read all of the table for it.
    first, last = (connection.execute(f"SELECT {end}(month) FROM usage_months")[0][0] for end in ("MIN", "MAX"))
    months = ", ".join(map(str, range(first, last + 1))) if first is not None else "-1"
    return f"month IN ({months}) AND platform = :platform AND subject IN (:subject, :pseudonym)"
