"""The table of the profiler, as it is written and as spans of time are put together from it.

A run is counted under its hour. Once an hour is over, the sketches of all commands are added up to one that has no
command's name, and hours are put together to three of them, then six, twelve, a day, two days, four …: each span
begins at a multiple of its length, so any time is made of a few of them, and nothing long is ever added up anew. Hours
are deleted after a while, days are not: they, and what they are put together to, are kept as long as anything is.

What is counted for an hour that is over already is added to all spans that it is part of. ``rollups`` says up to which
hour each span has been put together.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from msgspec import Struct, structs

from socbot.storage.connection import Connection
from socbot.storage.sql import batches, listed
from socbot.systems.profiler.figures import COMMAND, Profile, SlowRun
from socbot.systems.profiler.measuring import Run
from socbot.systems.rollups import advance, all_upto, hold
from socbot.systems.sketch import Sketch

DAY: Final = 24
SPANS: Final = (1, 3, 6, 12, *(DAY * 2**power for power in range(10)))
"""Hours."""

UNFILED: Final = 0
"""The span of what an older version has kept, until it is filed."""

ALL: Final = ""
"""The name of all commands together."""

_LOCK = 0x50C_B07  # any number, the same in every process that writes profiles
_AT_ONCE = 200  # commands looked up by one statement
_HOURS_GONE, _DAYS_GONE = "profile.hours", "profile.days"

Place: TypeAlias = tuple[int, int]
"""A span and its first hour."""

Key: TypeAlias = tuple[int, int, str, str, str]
"""Span, first hour, command, part, status."""


class Files(Struct, frozen=True):
    """What there is: up to which hour each span has been put together, before which hours and days are deleted, and
    whether there is anything that has yet to be filed.
    """

    built: dict[int, int]
    hours_from: int
    days_from: int
    unfiled: bool

    @property
    def summed(self) -> int:
        """The hour before which there are sketches of all commands together."""
        return self.built.get(1, 0)

    def places(self, hour: int) -> Iterator[Place]:
        """Where a run of ``hour`` has to be counted."""
        gone = hour < self.hours_from
        for span in SPANS:
            start = hour - hour % span
            if span == 1:
                if not gone:
                    yield 1, hour
            elif gone and span < DAY:
                continue
            elif (gone and span == DAY) or start + span <= self.built.get(span, 0):
                yield span, start

    def within(self, first: int, last: int | None = None) -> tuple[list[Place], int]:
        """The longest spans that make up the hours from ``first`` to ``last``, and the hour from which on none is
        there yet. What is known by the day alone is told by whole days.
        """
        at = max(first, self.days_from)
        if at < self.hours_from:
            at -= at % DAY
        if last is not None and last < self.hours_from:
            last += -last % DAY
        places: list[Place] = []
        end = self.summed if last is None else min(last, self.summed)
        while at < end:
            span = next(span for span in reversed(SPANS) if self._fits(span, at, end))
            places.append((span, at))
            at += span
        return places, at

    def _fits(self, span: int, at: int, end: int) -> bool:
        if span == 1 or (span == DAY and at < self.hours_from):
            return True
        if span < DAY and at < self.hours_from:
            return False
        return at % span == 0 and at + span <= min(end, self.built.get(span, 0))


def files(connection: Connection) -> Files:
    found = all_upto(connection, "profile.")
    built = {span: found[f"profile.{span}"] for span in SPANS if f"profile.{span}" in found}
    unfiled = connection.execute(f"SELECT 1 FROM profile WHERE span = {UNFILED} LIMIT 1")
    return Files(built, found.get(_HOURS_GONE, 0), found.get(_DAYS_GONE, 0), bool(unfiled))


# -- counting -----------------------------------------------------------------------------------------


def count(connection: Connection, runs: dict[Run, list[list[float]]]) -> None:
    """Count ``runs``, in the caller's transaction."""
    hold(connection, _LOCK)
    there = files(connection)
    times: dict[Key, list[float]] = {}
    for (way, hour, command, status), traces in runs.items():
        places = [(1, hour)] if hour >= there.summed else list(there.places(hour))
        names = (command,) if hour >= there.summed else (command, ALL)
        for part, seconds in way.parts(traces):
            for span, start in places if seconds else ():
                for name in names:
                    times.setdefault((span, start, name, part, status), []).extend(seconds)
    sketches = _stored(connection, times)
    for key, found in times.items():
        sketches[key].add(found)
    _store(connection, sketches)


def add_profiles(connection: Connection, profiles: Iterable[Profile]) -> None:
    """Count what another has measured, within the caller's transaction."""
    hold(connection, _LOCK)
    _file(connection, profiles)


def _file(connection: Connection, profiles: Iterable[Profile]) -> None:
    there = files(connection)
    found: dict[Key, Sketch] = {}
    for each in profiles:
        names = (each.command,) if each.hour >= there.summed else (each.command, ALL)
        for span, start in there.places(each.hour):
            for name in names:
                found.setdefault((span, start, name, each.part, each.status), Sketch()).merge(each.sketch)
    sketches = _stored(connection, found)
    for key, sketch in found.items():
        sketches[key].merge(sketch)
    _store(connection, sketches)


def _stored(connection: Connection, keys: Iterable[Key]) -> dict[Key, Sketch]:
    """The sketch of each of ``keys``, an empty one where there is none yet."""
    sketches = {key: Sketch() for key in keys}
    commands: dict[Place, set[str]] = {}
    for span, hour, command, _, _ in sketches:
        commands.setdefault((span, hour), set()).add(command)
    for (span, hour), names in commands.items():
        for some in batches(sorted(names), _AT_ONCE):
            wanted, values = listed(some)
            for command, part, status, packed in connection.execute(
                "SELECT command, part, status, sketch FROM profile"
                f" WHERE span = :span AND hour = :hour AND command IN ({wanted})",
                {**values, "span": span, "hour": hour},
            ):
                key = (span, hour, command, part, status)
                if key in sketches:
                    sketches[key] = Sketch.from_bytes(packed)
    return sketches


def _store(connection: Connection, sketches: dict[Key, Sketch]) -> None:
    connection.execute_many(
        "INSERT INTO profile (span, hour, command, part, status, count, total, least, most, sketch)"
        " VALUES (:span, :hour, :command, :part, :status, :count, :total, :least, :most, :sketch)"
        " ON CONFLICT (span, hour, command, part, status) DO UPDATE SET count = excluded.count,"
        " total = excluded.total, least = excluded.least, most = excluded.most, sketch = excluded.sketch",
        [
            {
                "span": span,
                "hour": hour,
                "command": command,
                "part": part,
                "status": status,
                "count": sketch.count,
                "total": sketch.total,
                "least": sketch.least,
                "most": sketch.most,
                "sketch": sketch.to_bytes(),
            }
            for (span, hour, command, part, status), sketch in sketches.items()
        ],
    )


# -- putting together ---------------------------------------------------------------------------------


def file_an_hour(connection: Connection) -> bool:
    """File what an older version has kept of one hour or day; whether there was any."""
    hold(connection, _LOCK)
    [(hour,)] = connection.execute(f"SELECT MIN(hour) FROM profile WHERE span = {UNFILED}")
    if hour is None:
        return False
    _file(connection, rows_of(connection, (UNFILED, hour)))
    connection.change(f"DELETE FROM profile WHERE span = {UNFILED} AND hour = :hour", {"hour": hour})
    return True


def sum_an_hour(connection: Connection, before: int) -> bool:
    """Add up all commands of the next hour before the hour ``before``; whether there was one."""
    hold(connection, _LOCK)
    hour = _next(connection, 1, files(connection).summed, before)
    if hour is None:
        advance(connection, "profile.1", before)
        return False
    found: dict[Key, Sketch] = {}
    for row in rows_of(connection, (1, hour)):
        found.setdefault((1, hour, ALL, row.part, row.status), Sketch()).merge(row.sketch)
    _store(connection, found)
    advance(connection, "profile.1", hour + 1)
    return True


def build(connection: Connection, span: int) -> bool:
    """Put the next ``span`` together from the shorter ones that make it up; whether there was one to be."""
    hold(connection, _LOCK)
    there, shorter = files(connection), SPANS[SPANS.index(span) - 1]
    end = there.built.get(shorter, 0)
    end -= end % span
    hour = _next(connection, shorter, there.built.get(span, 0), end)
    if hour is None:
        advance(connection, f"profile.{span}", end)
        return False
    start = hour - hour % span
    found: dict[Key, Sketch] = {}
    for child in range(start, start + span, shorter):
        for row in _select(connection, "span = :span AND hour = :hour", {"span": shorter, "hour": child}):
            found.setdefault((span, start, row.command, row.part, row.status), Sketch()).merge(row.sketch)
    _store(connection, found)
    advance(connection, f"profile.{span}", start + span)
    return True


def _next(connection: Connection, span: int, since: int, before: int) -> int | None:
    [(hour,)] = connection.execute(
        "SELECT MIN(hour) FROM profile WHERE span = :span AND hour >= :since AND hour < :before",
        {"span": span, "since": since, "before": before},
    )
    return None if hour is None else int(hour)


def forget_hours(connection: Connection, before: int) -> bool:
    """Delete the oldest hour, and what is shorter than a day, before the hour ``before``; whether there was any."""
    hold(connection, _LOCK)
    before = min(before, files(connection).built.get(DAY, 0))
    before -= before % DAY
    advance(connection, _HOURS_GONE, before)
    return any(_forget_one(connection, span, before) for span in SPANS if span < DAY)


def forget_days(connection: Connection, before: int) -> bool:
    """Delete what lies wholly before the day in which the hour ``before`` is, in pieces; whether there was any."""
    hold(connection, _LOCK)
    before -= before % DAY
    advance(connection, _DAYS_GONE, before)
    return any(_forget_one(connection, span, before - max(span, 1) + 1) for span in (UNFILED, *SPANS))


def _forget_one(connection: Connection, span: int, before: int) -> bool:
    hour = _next(connection, span, 0, before)
    if hour is None:
        return False
    connection.change("DELETE FROM profile WHERE span = :span AND hour = :hour", {"span": span, "hour": hour})
    return True


def forget(connection: Connection, command: str | None) -> int:
    """Forget the times of ``command``, or of all; how many runs there were."""
    hold(connection, _LOCK)
    counts = [row.sketch.count for row in rows(connection, 0, None, command) if row.part == COMMAND]
    if command is None:
        connection.change("DELETE FROM profile")
        return sum(counts)
    for place in connection.execute(
        "SELECT DISTINCT span, hour FROM profile WHERE command = :command AND span > 0", {"command": command}
    ):
        _take_away(connection, (place[0], place[1]), command)
    connection.change("DELETE FROM profile WHERE command = :command", {"command": command})
    return sum(counts)


def _take_away(connection: Connection, place: Place, command: str) -> None:
    """Take what is known of ``command`` out of the sketches of all commands."""
    together = {(row.part, row.status): row.sketch for row in rows_of(connection, place, ALL)}
    for row in rows_of(connection, place, command):
        if (row.part, row.status) in together:
            together[row.part, row.status].take(row.sketch)
    _store(connection, {(*place, ALL, *key): sketch for key, sketch in together.items()})


# -- reading ------------------------------------------------------------------------------------------


def rows(
    connection: Connection,
    first: int,
    last: int | None,
    command: str | None = None,
    part: str | None = None,
    there: Files | None = None,
) -> Iterator[Profile]:
    """What is known of the hours from ``first`` to ``last``, of ``command``, of each, or of ``ALL``.

    :param part: the only one that is wanted
    :param there: what there is, where that has been read in this transaction
    """
    there = there or files(connection)
    places, rest = there.within(first, last)
    for place in places:
        yield from rows_of(connection, place, command, part)
    # What no span is put together of yet: the hour that it is now, and what an older version has kept.
    if last is None or rest < last:
        yield from _not_filed(connection, 1, rest, last, command, part)
    if there.unfiled:
        yield from _not_filed(connection, UNFILED, first, last, command, part)


def _not_filed(
    connection: Connection, span: int, since: int, last: int | None, command: str | None, part: str | None
) -> Iterator[Profile]:
    where, values = _matching(command or None, part)
    for row in _select(
        connection,
        f"span = :span AND hour >= :since{'' if last is None else ' AND hour < :last'}{where}",
        {**values, "span": span, "since": since, "last": last},
    ):
        yield structs.replace(row, command=ALL) if command == ALL else row


def rows_of(
    connection: Connection, place: Place, command: str | None = None, part: str | None = None
) -> Iterator[Profile]:
    """What is known of one span, of ``command``, of each, or of ``ALL``."""
    where, values = _matching(command, part)
    span, hour = place
    return _select(connection, f"span = :span AND hour = :hour{where}", {**values, "span": span, "hour": hour})


def _matching(command: str | None, part: str | None) -> tuple[str, dict[str, Any]]:
    where = " AND command <> ''" if command is None else " AND command = :command"
    return where + (" AND part = :part" if part is not None else ""), {"command": command, "part": part}


def _select(connection: Connection, where: str, values: dict[str, Any]) -> Iterator[Profile]:
    for row in connection.execute(
        f"SELECT command, part, status, sketch, hour, span FROM profile WHERE {where}"
        " ORDER BY span, hour, command, part, status",
        values,
    ):
        yield Profile(row[0], row[1], row[2], Sketch.from_bytes(row[3]), row[4], row[5])


def kept(connection: Connection) -> Iterator[Profile]:
    """Everything as finely as it is kept, oldest first: days, then hours."""
    there = files(connection)
    yield from _select(connection, f"span = {UNFILED}", {})
    for span, since, until in ((DAY, there.days_from, there.hours_from), (1, there.hours_from, None)):
        yield from _select(
            connection,
            "span = :span AND hour >= :since AND command <> ''" + ("" if until is None else " AND hour < :until"),
            {"span": span, "since": since, "until": until},
        )


def latest(connection: Connection, threshold: float) -> dict[str, float]:
    """When each command last took ``threshold`` seconds or longer; the beginning of the hour or day, if need be."""
    rows = connection.execute(
        f"SELECT command, MAX(hour) FROM profile WHERE span IN ({UNFILED}, 1, {DAY}) AND command <> ''"
        f" AND part = '{COMMAND}' AND status IN ('ok', 'failed') AND most >= :threshold GROUP BY command",
        {"threshold": threshold},
    )
    found = {command: hour * 3600.0 for command, hour in rows}
    for command, at in connection.execute(
        "SELECT command, MAX(at) FROM slow_runs WHERE seconds >= :threshold GROUP BY command", {"threshold": threshold}
    ):
        found[command] = max(at, found.get(command, 0.0))
    return found


# -- slow runs ----------------------------------------------------------------------------------------


def add_slow_runs(connection: Connection, runs: Iterable[SlowRun], keep: int) -> None:
    """Keep ``runs`` with the others, ``keep`` in all, within the caller's transaction."""
    keep_slow(connection, [structs.asdict(run) for run in runs], keep)


def keep_slow(connection: Connection, runs: Sequence[dict[str, object]], kept: int) -> None:
    connection.execute_many(
        "INSERT INTO slow_runs (at, command, seconds, platform, subject, guild, trace_id)"
        " VALUES (:at, :command, :seconds, :platform, :subject, :guild, :trace_id)",
        runs[-kept:],
    )
    connection.change(
        "DELETE FROM slow_runs WHERE id <= (SELECT id FROM slow_runs ORDER BY id DESC LIMIT 1 OFFSET :kept)",
        {"kept": kept},
    )
