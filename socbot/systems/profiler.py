"""The profiler: how long commands take, whole and part by part, and which runs were slow."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import compress
from operator import sub
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from socbot.config import ProfilerConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.outcomes import Outcome, Stage, Trace
from socbot.jobs.job import Job
from socbot.jobs.schedules import Every
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.systems.identities import Pseudonyms, storable
from socbot.systems.sketch import Sketch

Rating: TypeAlias = Literal["Excellent", "Good", "Acceptable", "Slow"]
Key: TypeAlias = tuple[int, str, str, str]
"""Hours since 1970, command, part, status."""

COMMAND = "command"
"""The part that is what the profiler's middleware wraps."""

HANDLER = "handler"
"""The part that is the handler alone; every other part is a middleware, without what it wraps."""

RAN = ("ok", "failed")
"""The statuses of the runs that count as a command's own; the others ended before they began."""

_HOUR, _DAY = 3600.0, 86_400.0
_AT_ONCE = 200  # commands looked up by one statement
_LOCK = 0x50C_B07  # any number, the same in every process that writes profiles


def rating(seconds: float) -> Rating:
    """How good a mean time is, in the words of the older bot."""
    if seconds < 0.1:
        return "Excellent"
    if seconds < 0.5:
        return "Good"
    return "Acceptable" if seconds < 1.0 else "Slow"


class Profile(Struct, frozen=True):
    """What is known of one part of one command that ended in one way.

    :param hour: hours since 1970, where it is about one hour, or one past day from its first hour on
    """

    command: str
    part: str
    status: str
    sketch: Sketch
    hour: int = 0


class CommandProfile(Struct, frozen=True):
    """What is known of one command.

    :param runs: the times of the command itself, where it ran
    :param parts: the times of the handler and of each middleware, in those runs
    :param endings: how many commands of that name ended in each way, refused ones too
    """

    command: str
    runs: Sketch
    parts: dict[str, Sketch]
    endings: dict[str, int]


class SlowRun(Struct, frozen=True):
    """One run that was not faster than ``profiler.slow``; ``at`` in seconds since 1970."""

    at: float
    command: str
    seconds: float
    platform: str
    subject: str
    guild: str
    trace_id: str


class Slowness(Struct, frozen=True):
    """How often a command was slow, and how slow at worst.

    :param last_at: the last time, in seconds since 1970; the beginning of its hour where it is no ``SlowRun``
    """

    command: str
    times: int
    worst: float
    last_at: float


class Course(Struct, frozen=True):
    """How long runs took in one step of time, in seconds; ``at`` is its beginning, in seconds since 1970."""

    at: float
    count: int
    mean: float
    p50: float
    p95: float
    p99: float


class CommandCost(Struct, frozen=True):
    """How long one part of a command took over some time, in seconds.

    :param part: ``COMMAND``, ``HANDLER``, or a middleware's name
    """

    command: str
    part: str
    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    total: float


class Profiler:
    """Times by command, part, status and hour, as sketches in the store.

    :param flush: writes what was recorded and is still in memory
    """

    def __init__(
        self,
        database: Database,
        flush: Callable[[], Awaitable[None]],
        clock: Clock,
        config: ProfilerConfig,
        pseudonyms: Pseudonyms,
    ) -> None:
        self._database = database
        self._flush = flush
        self._clock = clock
        self._config = config
        self._pseudonyms = pseudonyms

    @property
    def slow(self) -> float:
        """Seconds from which on a run is slow."""
        return self._config.slow

    def configure(self, config: ProfilerConfig) -> None:
        self._config = config

    def jobs(self) -> tuple[Job, ...]:
        return (Job("profile_retention", self.tidy, Every(_HOUR), "merges past hours into days, forgets old ones"),)

    # -- writing --------------------------------------------------------------------------------------

    def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> None:
        """Count the times of ``outcomes`` in whose chain the profiler stood: a telemetry sink."""
        runs: dict[Run, list[list[float]]] = {}
        slow: list[dict[str, object]] = []
        course = _Course(())
        for outcome in outcomes:
            trace = outcome.trace
            if trace is None or outcome.command is None:
                continue
            if trace.stages is not course.stages:
                course = _Course(trace.stages)
            if not course.profiled:
                continue
            run = (course, int(trace.at // _HOUR), outcome.command, outcome.status)
            if run in runs:
                runs[run].append(trace.times)
            else:
                runs[run] = [trace.times]
            if outcome.seconds >= self._config.slow and course.command_seconds(trace.times) >= self._config.slow:
                slow.append(self._slow_run(outcome, trace, course.command_seconds(trace.times)))
        if runs:
            _count(connection, runs)
        if slow:
            _keep_slow(connection, slow, self._config.slow_runs)

    def _slow_run(self, outcome: Outcome, trace: Trace, seconds: float) -> dict[str, object]:
        return {
            "at": trace.at,
            "command": outcome.command,
            "seconds": seconds,
            "platform": outcome.message.platform,
            "subject": self._pseudonyms.of(outcome.identity),
            "guild": storable(outcome.message.guild or ""),
            "trace_id": trace.id,
        }

    async def tidy(self) -> None:
        """Merge the hours of past days into days, and delete what is older than ``retention_days``."""
        now = self._clock.time()
        before = now - self._config.retention_days * _DAY

        def forget(connection: Connection) -> None:
            connection.change("DELETE FROM profile WHERE hour < :hour", {"hour": int(before // _HOUR)})
            connection.change("DELETE FROM slow_runs WHERE at < :before", {"before": before})

        await self._database.write(forget)
        # One hour at a time: each is a short transaction, between which others get their turn.
        while await self._database.write(partial(_merge_an_hour, before=int(now // _DAY - 1) * 24)):
            pass

    async def reset(self, command: str | None = None) -> tuple[int, int]:
        """Forget the times and slow runs of ``command``, or of all; the result is how many runs and slow runs."""
        await self._flush()
        where, values = _of(command)

        def forget(connection: Connection) -> tuple[int, int]:
            counts = connection.execute(f"SELECT part, SUM(count) FROM profile{where} GROUP BY part", values)
            connection.change(f"DELETE FROM profile{where}", values)
            runs = next((int(count) for part, count in counts if part == COMMAND), 0)
            return runs, connection.change(f"DELETE FROM slow_runs{where}", values)

        return await self._database.write(forget)

    # -- reading --------------------------------------------------------------------------------------

    async def profiles(self, command: str | None = None) -> tuple[Profile, ...]:
        """All that is known, of ``command`` or of every command."""
        await self._flush()
        return await self._database.read(lambda connection: _merged(_rows(connection, command)))

    async def commands(self, command: str | None = None) -> tuple[CommandProfile, ...]:
        """What is known of ``command``, or of every command, by name."""
        await self._flush()
        return await self._database.read(lambda connection: _by_command(_rows(connection, command)))

    async def days(self, command: str) -> tuple[Profile, ...]:
        """The runs of ``command`` on each day, oldest first; ``hour`` is the day's first."""
        await self._flush()

        def read(connection: Connection) -> tuple[Profile, ...]:
            rows = [row for row in _rows(connection, command) if row.part == COMMAND and row.status in RAN]
            days: dict[int, Sketch] = {}
            for row in rows:
                days.setdefault(row.hour // 24 * 24, Sketch()).merge(row.sketch)
            return tuple(Profile(command, COMMAND, "", sketch, hour) for hour, sketch in days.items())

        return await self._database.read(read)

    async def course(
        self, since: float, until: float, command: str | None = None, part: str = COMMAND
    ) -> tuple[Course, ...]:
        """How long the runs of ``command``, or of all, took from ``since`` to ``until``, oldest first.

        In steps of an hour, a day or more, at most 200 of them, where there were any runs.
        """
        await self._flush()
        first, last = since // _HOUR, until / _HOUR

        def read(connection: Connection) -> tuple[Course, ...]:
            steps: dict[int, Sketch] = {}
            width = 1 if last - first <= 48 else 24
            for row in _rows(connection, command):
                if first <= row.hour < last and row.part == part and row.status in RAN:
                    steps.setdefault(row.hour // width * width, Sketch()).merge(row.sketch)
            return tuple(
                Course(hour * _HOUR, each.count, each.mean, *_percentiles(each))
                for hour, each in sorted(steps.items())
            )

        return await self._database.read(read)

    async def table(self, since: float, until: float) -> tuple[CommandCost, ...]:
        """How long each part of each command took from ``since`` to ``until``, by command and part."""
        await self._flush()
        first, last = since // _HOUR, until / _HOUR

        def read(connection: Connection) -> tuple[CommandCost, ...]:
            found: dict[tuple[str, str], Sketch] = {}
            for row in _rows(connection, None):
                if first <= row.hour < last and row.status in RAN:
                    found.setdefault((row.command, row.part), Sketch()).merge(row.sketch)
            return tuple(
                CommandCost(command, part, each.count, each.mean, *_percentiles(each), total=each.total)
                for (command, part), each in sorted(found.items())
            )

        return await self._database.read(read)

    async def whole(self, since: float, until: float) -> CommandCost | None:
        """How long all commands took from ``since`` to ``until``, whichever they were; None if there were none."""
        await self._flush()
        first, last = since // _HOUR, until / _HOUR

        def read(connection: Connection) -> CommandCost | None:
            found = Sketch()
            for row in _rows(connection, None):
                if first <= row.hour < last and row.part == COMMAND and row.status in RAN:
                    found.merge(row.sketch)
            if not found.count:
                return None
            return CommandCost("", COMMAND, found.count, found.mean, *_percentiles(found), total=found.total)

        return await self._database.read(read)

    async def parts(self, since: float | None = None, until: float | None = None) -> dict[str, Sketch]:
        """How long each part of the chain took over all commands, however they ended, from ``since`` to ``until``.

        Without them, in the last day.
        """
        await self._flush()
        until = self._clock.time() if until is None else until
        first, last = (until - _DAY if since is None else since) // _HOUR, until / _HOUR

        def read(connection: Connection) -> dict[str, Sketch]:
            found: dict[str, Sketch] = {}
            for row in _rows(connection, None):
                if first <= row.hour < last:
                    found.setdefault(row.part, Sketch()).merge(row.sketch)
            return found

        return await self._database.read(read)

    async def export(self) -> tuple[Profile, ...]:
        """Every stored row, oldest first."""
        await self._flush()
        return await self._database.read(lambda connection: tuple(_rows(connection, None)))

    async def slow_runs(self, command: str | None = None, count: int = 10) -> tuple[SlowRun, ...]:
        """The last slow runs, of ``command`` or of every command, newest first."""
        await self._flush()
        where, values = _of(command)
        sql = f"SELECT at, command, seconds, platform, subject, guild, trace_id FROM slow_runs{where}"
        sql += " ORDER BY id DESC LIMIT :count"
        rows = await self._database.read(lambda connection: connection.execute(sql, values | {"count": count}))
        return tuple(SlowRun(*row) for row in rows)

    async def slowness(self, threshold: float) -> tuple[Slowness, ...]:
        """The commands that took ``threshold`` seconds or longer, the slowest first."""
        await self._flush()
        return await self._database.read(lambda connection: tuple(_slowness(connection, threshold)))


class _Course:
    """One order of the chain, and how the times of its traces are read: entered and left, for each part in turn."""

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        self.stages = stages
        names = [stage.name for stage in stages]
        self.profiled = "profiler" in names
        self._inside = 2 * (names.index("profiler") + 1) if self.profiled else 0
        self._parts = [*names, HANDLER]

    def command_seconds(self, marks: list[float]) -> float:
        """How long what the profiler wraps took; 0 if it was not reached, or never ended."""
        entered, left = marks[self._inside], marks[self._inside + 1]
        return left - entered if left else 0.0

    def parts(self, traces: Sequence[list[float]]) -> Iterator[tuple[str, list[float]]]:
        """The times of each part in the traces in which it was reached, without the parts that it wraps."""
        marks, spans = _measured(traces)
        yield COMMAND, _reached(spans[self._inside // 2], marks[self._inside])
        yield from zip(self._parts, _own(marks, spans), strict=True)


def own_times(traces: Sequence[list[float]]) -> Iterator[list[float]]:
    """The times of each part of one chain, the handler last, in the traces that reached it, without what it wraps.

    :param traces: the ``times`` of each
    """
    return _own(*_measured(traces))


def _measured(traces: Sequence[list[float]]) -> tuple[list[tuple[float, ...]], list[list[float]]]:
    """When each part was entered and left, one after the other; and how long that was, with what it wraps."""
    marks = list(zip(*traces, strict=True))
    return marks, [_spans(entered, left) for entered, left in zip(marks[::2], marks[1::2], strict=True)]


def _own(marks: list[tuple[float, ...]], spans: list[list[float]]) -> Iterator[list[float]]:
    inner: list[list[float]] = [*spans[1:], [0.0] * len(spans[0])]
    for span, within, entered in zip(spans, inner, marks[::2], strict=True):
        yield _reached(list(map(sub, span, within)), entered)


def _spans(entered: Sequence[float], left: Sequence[float]) -> list[float]:
    if all(left):
        return list(map(sub, left, entered))
    return [end - start if end else 0.0 for start, end in zip(entered, left, strict=True)]


def _reached(seconds: list[float], entered: Sequence[float]) -> list[float]:
    return seconds if all(entered) else list(compress(seconds, entered))


Run: TypeAlias = tuple[_Course, int, str, str]
"""The course, the hour, the command, the status."""


# -- the profile table --------------------------------------------------------------------------------


def _count(connection: Connection, runs: dict[Run, list[list[float]]]) -> None:
    times: dict[Key, list[float]] = {}
    for (course, hour, command, status), traces in runs.items():
        for part, seconds in course.parts(traces):
            if seconds:
                times.setdefault((hour, command, part, status), []).extend(seconds)
    sketches = _stored(connection, times)
    for key, seconds in times.items():
        sketches[key].add(seconds)
    _store(connection, sketches)


def add_profiles(connection: Connection, profiles: Iterable[Profile]) -> None:
    """Count what another has measured, within the caller's transaction."""
    found = {(each.hour, each.command, each.part, each.status): each.sketch for each in profiles}
    sketches = _stored(connection, found)
    for key, sketch in found.items():
        sketches[key].merge(sketch)
    _store(connection, sketches)


def add_slow_runs(connection: Connection, runs: Iterable[SlowRun], keep: int) -> None:
    """Keep ``runs`` with the others, ``keep`` in all, within the caller's transaction."""
    _keep_slow(connection, [msgspec.structs.asdict(run) for run in runs], keep)


def _keep_slow(connection: Connection, runs: Sequence[dict[str, object]], kept: int) -> None:
    connection.execute_many(
        "INSERT INTO slow_runs (at, command, seconds, platform, subject, guild, trace_id)"
        " VALUES (:at, :command, :seconds, :platform, :subject, :guild, :trace_id)",
        runs[-kept:],
    )
    connection.change(
        "DELETE FROM slow_runs WHERE id <= (SELECT id FROM slow_runs ORDER BY id DESC LIMIT 1 OFFSET :kept)",
        {"kept": kept},
    )


def _stored(connection: Connection, keys: Iterable[Key]) -> dict[Key, Sketch]:
    """The sketch of each of ``keys``, an empty one where there is none yet."""
    if connection.dialect == "postgresql":
        # Other processes write profiles too, and what is read here must not change before it is written back.
        connection.execute("SELECT pg_advisory_xact_lock(:lock)", {"lock": _LOCK})
    sketches = {key: Sketch() for key in keys}
    commands: dict[int, set[str]] = {}
    for hour, command, _, _ in sketches:
        commands.setdefault(hour, set()).add(command)
    for hour, names in commands.items():
        for some in _batches(sorted(names)):
            places = ", ".join(f":c{number}" for number in range(len(some)))
            values = {"hour": hour} | {f"c{number}": name for number, name in enumerate(some)}
            for command, part, status, packed in connection.execute(
                f"SELECT command, part, status, sketch FROM profile WHERE hour = :hour AND command IN ({places})",
                values,
            ):
                key = (hour, command, part, status)
                if key in sketches:
                    sketches[key] = Sketch.from_bytes(packed)
    return sketches


def _batches(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), _AT_ONCE):
        yield names[start : start + _AT_ONCE]


def _store(connection: Connection, sketches: dict[Key, Sketch]) -> None:
    connection.execute_many(
        "INSERT INTO profile (hour, command, part, status, count, total, least, most, sketch)"
        " VALUES (:hour, :command, :part, :status, :count, :total, :least, :most, :sketch)"
        " ON CONFLICT (hour, command, part, status) DO UPDATE SET count = excluded.count, total = excluded.total,"
        " least = excluded.least, most = excluded.most, sketch = excluded.sketch",
        [
            {
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
            for (hour, command, part, status), sketch in sketches.items()
        ],
    )


def _merge_an_hour(connection: Connection, before: int) -> bool:
    """Move the oldest hour that is not the first of its day, before the hour ``before``, into that first one."""
    found = connection.execute(
        "SELECT MIN(hour) FROM profile WHERE hour < :before AND hour % 24 <> 0", {"before": before}
    )
    hour = found[0][0]
    if hour is None:
        return False
    rows = tuple(_rows(connection, None, hour))
    day = _stored(connection, [(hour // 24 * 24, row.command, row.part, row.status) for row in rows])
    for row in rows:
        day[(hour // 24 * 24, row.command, row.part, row.status)].merge(row.sketch)
    _store(connection, day)
    connection.change("DELETE FROM profile WHERE hour = :hour", {"hour": hour})
    return True


def _rows(connection: Connection, command: str | None, hour: int | None = None) -> Iterator[Profile]:
    where, values = _of(command)
    if hour is not None:
        where, values = " WHERE hour = :hour", {"hour": hour}
    for row in connection.execute(
        f"SELECT command, part, status, sketch, hour FROM profile{where} ORDER BY hour, command, part, status", values
    ):
        yield Profile(row[0], row[1], row[2], Sketch.from_bytes(row[3]), row[4])


def _percentiles(sketch: Sketch) -> tuple[float, float, float]:
    return sketch.quantile(0.5), sketch.quantile(0.95), sketch.quantile(0.99)


def _of(command: str | None) -> tuple[str, dict[str, object]]:
    return ("", {}) if command is None else (" WHERE command = :command", {"command": command})


def _merged(rows: Iterable[Profile]) -> tuple[Profile, ...]:
    merged: dict[tuple[str, str, str], Sketch] = {}
    for row in rows:
        merged.setdefault((row.command, row.part, row.status), Sketch()).merge(row.sketch)
    return tuple(Profile(*key, sketch) for key, sketch in merged.items())


def _by_command(rows: Iterable[Profile]) -> tuple[CommandProfile, ...]:
    found: dict[str, CommandProfile] = {}
    for row in _merged(rows):
        known = found.setdefault(row.command, CommandProfile(row.command, Sketch(), {}, {}))
        # The outermost part is reached by all, and so has the largest count.
        known.endings[row.status] = max(known.endings.get(row.status, 0), row.sketch.count)
        if row.status in RAN:
            sketch = known.runs if row.part == COMMAND else known.parts.setdefault(row.part, Sketch())
            sketch.merge(row.sketch)
    return tuple(found[command] for command in sorted(found))


def _slowness(connection: Connection, threshold: float) -> list[Slowness]:
    found: dict[str, Slowness] = {}
    for row in _rows(connection, None):
        times = row.sketch.above(threshold) if row.part == COMMAND and row.status in RAN else 0
        if times:
            known = found.get(row.command, Slowness(row.command, 0, 0.0, 0.0))
            at = max(known.last_at, row.hour * _HOUR)
            found[row.command] = Slowness(row.command, known.times + times, max(known.worst, row.sketch.most), at)
    runs = connection.execute(
        "SELECT command, MAX(at) FROM slow_runs WHERE seconds >= :threshold GROUP BY command", {"threshold": threshold}
    )
    latest: dict[str, float] = dict(runs)
    slowest = sorted(found.values(), key=lambda each: each.worst, reverse=True)
    return [msgspec.structs.replace(each, last_at=max(each.last_at, latest.get(each.command, 0.0))) for each in slowest]
