"""The profiler: how long commands take, whole and part by part, and which runs were slow."""

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

import msgspec

from socbot.config import ProfilerConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.outcomes import Outcome, Trace
from socbot.jobs.job import Job
from socbot.jobs.schedules import Every
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.systems.identities import Pseudonyms, storable
from socbot.systems.profiler import filing
from socbot.systems.profiler.figures import (
    COMMAND,
    RAN,
    CommandCost,
    CommandProfile,
    Course,
    Profile,
    Slowness,
    SlowRun,
)
from socbot.systems.profiler.filing import ALL, DAY, SPANS
from socbot.systems.profiler.measuring import Run, Way
from socbot.systems.sketch import Sketch

_HOUR, _DAY = 3600.0, 86_400.0
_STEPS = 200


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
        text = "puts past hours together to longer times, forgets what is too old"
        return (Job("profile_retention", self.tidy, Every(_HOUR), text, scope="fleet"),)

    # -- writing --------------------------------------------------------------------------------------

    def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> None:
        """Count the times of ``outcomes`` in whose chain the profiler stood: a telemetry sink."""
        runs: dict[Run, list[list[float]]] = {}
        slow: list[dict[str, object]] = []
        way = Way(())
        for outcome in outcomes:
            trace = outcome.trace
            if trace is None or outcome.command is None:
                continue
            if trace.stages is not way.stages:
                way = Way(trace.stages)
            if not way.profiled:
                continue
            run = (way, int(trace.at // _HOUR), outcome.command, outcome.status)
            if run in runs:
                runs[run].append(trace.times)
            else:
                runs[run] = [trace.times]
            if outcome.seconds >= self._config.slow and way.command_seconds(trace.times) >= self._config.slow:
                slow.append(self._slow_run(outcome, trace, way.command_seconds(trace.times)))
        if runs:
            filing.count(connection, runs)
        if slow:
            filing.keep_slow(connection, slow, self._config.slow_runs)

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
        """Put the hours that are over together, delete hours older than ``detail_days`` and all that is older than
        ``retention_days``.
        """
        now = self._clock.time()
        before = now - self._config.retention_days * _DAY
        steps: tuple[Callable[[Connection], bool], ...] = (
            filing.file_an_hour,
            partial(filing.sum_an_hour, before=int(now // _HOUR)),
            *(partial(filing.build, span=span) for span in SPANS[1:]),
            partial(filing.forget_hours, before=int(now // _HOUR) - self._config.detail_days * DAY),
            partial(filing.forget_days, before=int(before // _HOUR)),
        )
        for step in steps:
            # Each is a short transaction, between which others get their turn.
            while await self._database.write(step):
                pass
        await self._database.write(
            lambda connection: connection.change("DELETE FROM slow_runs WHERE at < :before", {"before": before})
        )

    async def reset(self, command: str | None = None) -> tuple[int, int]:
        """Forget the times and slow runs of ``command``, or of all; the result is how many runs and slow runs."""
        await self._flush()
        where, values = _of(command)

        def forget(connection: Connection) -> tuple[int, int]:
            runs = filing.forget(connection, command)
            return runs, connection.change(f"DELETE FROM slow_runs{where}", values)

        return await self._database.write(forget)

    # -- reading --------------------------------------------------------------------------------------

    async def profiles(self, command: str | None = None) -> tuple[Profile, ...]:
        """All that is known, of ``command`` or of every command."""
        await self._flush()
        return await self._database.read(lambda connection: _merged(filing.rows(connection, 0, None, command)))

    async def commands(self, command: str | None = None) -> tuple[CommandProfile, ...]:
        """What is known of ``command``, or of every command, by name."""
        await self._flush()
        return await self._database.read(lambda connection: _by_command(filing.rows(connection, 0, None, command)))

    async def days(self, command: str, count: int = 30) -> tuple[Profile, ...]:
        """The runs of ``command`` on each of the last ``count`` days, in UTC, oldest first; ``hour`` is the day's
        first.
        """
        await self._flush()
        first = (int(self._clock.time() // _DAY) - count + 1) * DAY

        def read(connection: Connection) -> tuple[Profile, ...]:
            days = _steps(connection, first, first + count * DAY, DAY, command, COMMAND)
            return tuple(Profile(command, COMMAND, "", sketch, hour, DAY) for hour, sketch in days.items())

        return await self._database.read(read)

    async def course(
        self, since: float, until: float, command: str | None = None, part: str = COMMAND
    ) -> tuple[Course, ...]:
        """How long the runs of ``command``, or of all, took from ``since`` to ``until``, oldest first.

        In steps of an hour, a day or more, at most 200 of them, where there were any runs.
        """
        await self._flush()
        first, last = int(since // _HOUR), math.ceil(until / _HOUR)

        def read(connection: Connection) -> tuple[Course, ...]:
            least = DAY if first < filing.files(connection).hours_from else 1
            width = next(span for span in SPANS if span >= least and (last - first) / span <= _STEPS)
            steps = _steps(connection, first, last, width, ALL if command is None else command, part)
            return tuple(
                Course(hour * _HOUR, each.count, each.mean, *_percentiles(each)) for hour, each in steps.items()
            )

        return await self._database.read(read)

    async def table(self, since: float, until: float, part: str | None = None) -> tuple[CommandCost, ...]:
        """How long each part of each command took from ``since`` to ``until``, by command and part.

        :param part: the only one that is wanted
        """
        found = await self._merged_of_runs(since, until, None, part)
        return tuple(_cost(command, part, each) for (command, part), each in sorted(found.items()))

    async def whole(self, since: float, until: float) -> CommandCost | None:
        """How long all commands took from ``since`` to ``until``, whichever they were; None if there were none."""
        found = await self._merged_of_runs(since, until, ALL, COMMAND)
        return _cost(ALL, COMMAND, found[ALL, COMMAND]) if found else None

    async def _merged_of_runs(
        self, since: float, until: float, command: str | None, part: str | None
    ) -> dict[tuple[str, str], Sketch]:
        await self._flush()

        def read(connection: Connection) -> dict[tuple[str, str], Sketch]:
            found: dict[tuple[str, str], Sketch] = {}
            for row in filing.rows(connection, int(since // _HOUR), math.ceil(until / _HOUR), command, part):
                if row.status in RAN:
                    found.setdefault((row.command, row.part), Sketch()).merge(row.sketch)
            return found

        return await self._database.read(read)

    async def parts(self, since: float | None = None, until: float | None = None) -> dict[str, Sketch]:
        """How long each part of the chain took over all commands, however they ended, from ``since`` to ``until``.

        Without them, in the last day.
        """
        await self._flush()
        until = self._clock.time() if until is None else until
        first, last = int((until - _DAY if since is None else since) // _HOUR), math.ceil(until / _HOUR)

        def read(connection: Connection) -> dict[str, Sketch]:
            found: dict[str, Sketch] = {}
            for row in filing.rows(connection, first, last, ALL):
                found.setdefault(row.part, Sketch()).merge(row.sketch)
            return found

        return await self._database.read(read)

    async def export(self) -> tuple[Profile, ...]:
        """Everything that is kept, oldest first: by the day, then by the hour."""
        await self._flush()
        return await self._database.read(lambda connection: tuple(filing.kept(connection)))

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


def _steps(connection: Connection, first: int, last: int, width: int, command: str, part: str) -> dict[int, Sketch]:
    """The runs in each step of ``width`` hours in which there were any, oldest first."""
    steps: dict[int, Sketch] = {}
    there = filing.files(connection)
    for start in range(first - first % width, last, width):
        for row in filing.rows(connection, start, start + width, command, part, there):
            if row.status in RAN:
                steps.setdefault(start, Sketch()).merge(row.sketch)
    return steps


def _cost(command: str, part: str, sketch: Sketch) -> CommandCost:
    return CommandCost(command, part, sketch.count, sketch.mean, *_percentiles(sketch), total=sketch.total)


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
    for row in filing.rows(connection, 0, None, None, COMMAND):
        times = row.sketch.above(threshold) if row.status in RAN else 0
        if times:
            known = found.get(row.command, Slowness(row.command, 0, 0.0, 0.0))
            found[row.command] = Slowness(row.command, known.times + times, max(known.worst, row.sketch.most), 0.0)
    latest = filing.latest(connection, threshold)
    slowest = sorted(found.values(), key=lambda each: each.worst, reverse=True)
    return [msgspec.structs.replace(each, last_at=latest.get(each.command, 0.0)) for each in slowest]
