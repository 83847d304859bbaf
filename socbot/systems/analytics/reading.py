"""Questions to the tables of analytics, each answered from a few thousand rows however many there are."""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from socbot.storage.connection import Connection, Row, Values
from socbot.storage.sql import batches, listed
from socbot.systems.analytics.counting import (
    DAY,
    ENDINGS,
    FOLDED,
    OF_ENDINGS,
    PILE,
    TOTALS,
    hour_of,
    month_of,
    theirs_by_month,
)
from socbot.systems.analytics.figures import CommandTally, Person, Tally, UsageRow, UserUsage
from socbot.systems.rollups import upto

HOUR = 3600.0
NAMED = "status <> 'unknown'"
"""What named a command; the rest is counted, and part of no other figure."""

_LISTED = 10
_AT_ONCE = 500
_SUMS = ", ".join(f"SUM({ending})" for ending in ENDINGS)
_COUNTS = ", ".join(ENDINGS)
_WHO = "platform || '' AS platform, subject || '' AS subject"
"""Whose, in words that keep SQLite from reading all of ``usage`` by its index of people, to group a few hours by it."""


class Span(Struct, frozen=True):
    """The hours from ``first`` up to, but not with, ``last``; None where there is no end."""

    first: int = 0
    last: int | None = None

    @property
    def where(self) -> str:
        return "hour >= :first" + ("" if self.last is None else " AND hour < :last")

    @property
    def values(self) -> dict[str, object]:
        return {"first": self.first, "last": self.last} if self.last is not None else {"first": self.first}


def tally_of(counts: Iterable[int | None]) -> Tally:
    return Tally(*(int(count or 0) for count in counts))


def together(tallies: Iterable[Tally]) -> Tally:
    """All of them as one."""
    ok = failed = refused = invalid = unknown = 0
    for each in tallies:
        ok += each.ok
        failed += each.failed
        refused += each.refused
        invalid += each.invalid
        unknown += each.unknown
    return Tally(ok, failed, refused, invalid, unknown)


def _added_up(rows: Iterable[Row]) -> dict[str, Tally]:
    """By command, of rows that begin with one and how many ended in each way; a command may have several."""
    found: dict[str, list[int]] = {}
    for command, *counts in rows:
        known = found.setdefault(command, [0] * len(ENDINGS))
        for position, count in enumerate(counts[: len(ENDINGS)]):
            known[position] += int(count)
    return {command: Tally(*counts) for command, counts in found.items()}


# -- everybody together -------------------------------------------------------------------------------


def whole(connection: Connection, span: Span, command: str = "") -> tuple[Tally, float | None, float | None]:
    """How the commands of ``span`` ended, and when the first and the last of them were."""
    [row] = connection.execute(
        f"SELECT {_SUMS}, MIN(first_at), MAX(last_at) FROM usage_counts"
        f" WHERE span = 1 AND command = :command AND {span.where}",
        {**span.values, "command": command},
    )
    return tally_of(row[:5]), row[5], row[6]


def hours(connection: Connection, span: Span, command: str = "") -> list[Row]:
    """Each hour of ``span`` in which there was anything, with how many ended in each way, oldest first."""
    return connection.execute(
        f"SELECT hour, {_COUNTS} FROM usage_counts WHERE span = 1 AND command = :command AND {span.where}"
        " ORDER BY hour",
        {**span.values, "command": command},
    )


def by_command(connection: Connection, span: Span) -> tuple[CommandTally, ...]:
    """The most used first."""
    return by_use(_added_up(_of_commands(connection, span)))


def by_use(tallies: Mapping[str, Tally]) -> tuple[CommandTally, ...]:
    """The most used first, and of those used as often, by their names."""
    named = (CommandTally(command, tally) for command, tally in tallies.items() if command and tally.commands)
    return tuple(sorted(named, key=lambda each: (-each.tally.commands, each.command)))


def _of_commands(connection: Connection, span: Span) -> Iterator[Row]:
    """The sums of each command, in pieces: whole days from sums of days, the hours around them from sums of hours."""
    commands = [
        row[0] for row in connection.execute("SELECT DISTINCT command FROM usage_counts WHERE span = 24") if row[0]
    ]
    if not commands:
        return
    [(newest,)] = connection.execute("SELECT MAX(hour) FROM usage_counts WHERE span = 1 AND command = ''")
    last = int(newest) + 1 if span.last is None else span.last
    days = range(-(-span.first // DAY) * DAY, last // DAY * DAY, DAY)
    if span.last is None:
        days = range(days.start, max(days.start, -(-last // DAY) * DAY), DAY)
    pieces = [(1, span.first, days.start), (DAY, days.start, days.stop), (1, days.stop, last)]
    if days.start >= days.stop:
        pieces = [(1, span.first, last)]
    for each, first, stop in pieces:
        if first >= stop:
            continue
        for some in batches(commands, _AT_ONCE):
            names, values = listed(some)
            yield from connection.execute(
                f"SELECT command, {_SUMS} FROM usage_counts WHERE span = :span AND command IN ({names})"
                " AND hour >= :first AND hour < :stop GROUP BY command",
                {**values, "span": each, "first": first, "stop": stop},
            )


# -- people -------------------------------------------------------------------------------------------


class Whose(Struct, frozen=True):
    """Of whom there are sums: everybody, those who used a command, or those in a guild."""

    kind: str = "all"
    scope: str = ""
    platform: str = ""

    @property
    def in_usage(self) -> str:
        if self.kind == "command":
            return f"{NAMED} AND command = :scope"
        return f"{NAMED} AND platform = :of AND guild = :scope" if self.kind == "guild" else NAMED

    @property
    def in_sums(self) -> str:
        return "kind = :kind AND scope = :scope" + (" AND platform = :of" if self.platform else "")

    @property
    def values(self) -> dict[str, object]:
        return {"kind": self.kind, "scope": self.scope, "of": self.platform}


class Recent(Struct, frozen=True):
    """Somebody's commands that are not part of the sums yet, and the sum that there is of theirs."""

    platform: str
    subject: str
    count: int
    last_at: float
    summed: int | None
    summed_last_at: float | None


def recent(connection: Connection, whose: Whose) -> list[Recent]:
    """Who gave commands since the hour up to which there are sums."""
    rows = connection.execute(
        "SELECT t.platform, t.subject, t.n, t.last_at, p.count, p.last_at FROM"
        f" (SELECT {_WHO}, SUM(count) AS n, MAX(last_at) AS last_at FROM usage"
        f" WHERE hour >= :mark AND {whose.in_usage} GROUP BY 1, 2) AS t"
        " LEFT JOIN usage_people AS p"
        " ON p.kind = :kind AND p.scope = :scope AND p.platform = t.platform AND p.subject = t.subject",
        {**whose.values, "mark": upto(connection, TOTALS)},
    )
    return [Recent(row[0], row[1], int(row[2]), *row[3:]) for row in rows]


def most_active(
    connection: Connection, whose: Whose, lately: list[Recent], since: float | None = None
) -> tuple[Person, ...]:
    """Who gave most of all commands that are kept, among those who gave one since ``since``."""
    seen = "" if since is None else " AND last_at >= :since"
    changed = {(each.platform, each.subject): (each.summed or 0) + each.count for each in lately}
    most = 4 * _LISTED
    while True:
        rows = connection.execute(
            f"SELECT platform, subject, count FROM usage_people WHERE {whose.in_sums}{seen}"
            " ORDER BY count DESC, platform, subject LIMIT :most",
            {**whose.values, "most": most, "since": since},
        )
        others = {row[:2]: int(row[2]) for row in rows if row[:2] not in changed}
        if len(others) >= _LISTED or len(rows) < most:
            return first_of({**others, **changed}.items())
        most *= 4


def first_of(counts: Iterable[tuple[tuple[str, str], int]]) -> tuple[Person, ...]:
    best = sorted(counts, key=lambda each: (-each[1], each[0]))[:_LISTED]
    return tuple(Person(*who, count) for who, count in best)


def how_many(connection: Connection, whose: Whose, lately: list[Recent], since: float | None = None) -> int:
    """How many people gave a command that is kept, since ``since``."""
    seen = "" if since is None else " AND last_at >= :since"
    [(count,)] = connection.execute(
        f"SELECT COUNT(*) FROM usage_people WHERE {whose.in_sums}{seen}", {**whose.values, "since": since}
    )
    moment = since or 0.0
    return int(count) + sum(
        each.last_at >= moment and (each.summed_last_at is None or each.summed_last_at < moment) for each in lately
    )


def is_by_the_hour(connection: Connection, hour: int) -> bool:
    """Whether it is known of ``hour`` who did what."""
    return hour >= upto(connection, FOLDED)


def people_in(connection: Connection, span: Span) -> list[tuple[tuple[str, str], int]]:
    """Who gave how many commands in ``span``, which is known by the hour."""
    rows = connection.execute(
        f"SELECT {_WHO}, SUM(count) FROM usage WHERE {span.where} AND {NAMED} GROUP BY 1, 2", span.values
    )
    return [((platform, subject), int(count)) for platform, subject, count in rows]


def of_user(connection: Connection, person: Values) -> UserUsage:
    theirs = "platform = :platform AND subject IN (:subject, :pseudonym)"
    months = theirs_by_month(connection)
    found = _added_up(
        (
            *connection.execute(f"SELECT command, {OF_ENDINGS} FROM usage WHERE {theirs} GROUP BY command", person),
            *connection.execute(f"SELECT command, {_SUMS} FROM usage_months WHERE {months} GROUP BY command", person),
        )
    )
    tally = together(found.values())
    rank, others = _rank(connection, person, tally.commands)
    return UserUsage(tally, by_use(found), rank if tally.commands else None, others + (1 if tally.commands else 0))


def _rank(connection: Connection, person: Values, total: int) -> tuple[int, int]:
    """Which place ``total`` commands have among those of all others, and how many others there are."""
    names = (person["subject"], person["pseudonym"])
    everybody = "SELECT COUNT(*) FROM usage_people WHERE kind = 'all' AND scope = ''"
    [(people,)] = connection.execute(everybody)
    [(ahead,)] = connection.execute(f"{everybody} AND count > :total", {"total": total})
    theirs = connection.execute(
        "SELECT count FROM usage_people WHERE kind = 'all' AND scope = '' AND platform = :platform"
        " AND subject IN (:subject, :pseudonym)",
        person,
    )
    ahead, others = int(ahead), int(people) - len(theirs)  # nobody has more than in all, so they are not ahead
    for each in recent(connection, Whose()):
        if each.platform != person["platform"] or each.subject not in names:
            others += each.summed is None
            ahead += (each.summed or 0) + each.count > total >= (each.summed or 0)
    return ahead + 1, others


# -- guilds -------------------------------------------------------------------------------------------


def of_guild(connection: Connection, platform: str, guild: str) -> tuple[dict[str, Tally], float | None, float | None]:
    """How the commands in a guild ended, by command, and when the first and the last of them were."""
    values = {"platform": platform, "guild": guild, "mark": upto(connection, TOTALS)}
    rows = (
        *connection.execute(
            f"SELECT command, {_COUNTS}, first_at, last_at FROM usage_guilds"
            " WHERE platform = :platform AND guild = :guild",
            values,
        ),
        *connection.execute(
            f"SELECT command, {OF_ENDINGS}, MIN(first_at), MAX(last_at) FROM usage"
            " WHERE platform = :platform AND guild = :guild AND hour >= :mark GROUP BY command",
            values,
        ),
    )
    first_at, last_at = min((row[-2] for row in rows), default=None), max((row[-1] for row in rows), default=None)
    return _added_up(rows), first_at, last_at


def hours_of_guild(connection: Connection, platform: str, guild: str) -> list[tuple[int, int]]:
    """Commands in a guild by hour, as far as they are known by the hour."""
    rows = connection.execute(
        f"SELECT hour, SUM(count) FROM usage WHERE platform = :platform AND guild = :guild AND {NAMED}"
        " GROUP BY hour ORDER BY hour",
        {"platform": platform, "guild": guild},
    )
    return [(hour, int(count)) for hour, count in rows]


# -- everything ---------------------------------------------------------------------------------------


def export(connection: Connection, since: int) -> tuple[UsageRow, ...]:
    return (*_months(connection, since), *_rows(connection, since))


def _rows(connection: Connection, since: int) -> Iterator[UsageRow]:
    columns = ", ".join(name for name in UsageRow.__struct_fields__ if name != "span")
    for row in connection.execute(
        f"SELECT {columns} FROM usage WHERE hour >= :since"
        " ORDER BY hour, platform, guild, subject, command, status, refused_by",
        {"since": since},
    ):
        yield UsageRow(*row)


def _months(connection: Connection, since: int) -> Iterator[UsageRow]:
    """Rows of whole months, one for each ending; the seconds of a month are shared out among them by their counts."""
    for month, platform, subject, guild, command, *counts, seconds, first_at, last_at in connection.execute(
        f"SELECT month, {PILE}, {_COUNTS}, seconds, first_at, last_at FROM usage_months WHERE month >= :month"
        f" ORDER BY month, platform, guild, subject, command",
        {"month": month_of(since)},
    ):
        hour, total = hour_of(month), sum(counts)
        for status, count in zip(ENDINGS, counts, strict=True):
            if count:
                share = seconds * count / total
                yield UsageRow(
                    hour, platform, guild, subject, command, status, "", count, share, first_at, last_at, "month"
                )


def commonest_errors(connection: Connection) -> dict[str, str]:
    """The type of error that each command failed with most often."""
    rows = connection.execute(
        "SELECT command, type, SUM(count) AS total FROM error_groups GROUP BY command, type ORDER BY total, type"
    )
    return {command: kind for command, kind, _ in rows}
