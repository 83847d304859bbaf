"""Analytics: who used which command when, and how it ended, counted by the hour."""

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo

from msgspec import Struct, structs

from socbot.config import AnalyticsConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.messages import Identity
from socbot.dispatch.outcomes import Outcome, Stage
from socbot.jobs.job import Job
from socbot.jobs.schedules import Every
from socbot.storage.connection import Connection, Values
from socbot.storage.database import Database
from socbot.systems.identities import Pseudonyms, storable

_HOUR, _DAY = 3600.0, 86_400.0
_HOURS_IN_DETAIL = 7 * 24
_NAMED = "status <> 'unknown'"  # what named a command; the rest is counted, and part of no other figure


class Tally(Struct, frozen=True):
    """How many commands ended in which way; ``unknown`` named no command, and is not among ``commands``."""

    ok: int = 0
    failed: int = 0
    refused: int = 0
    invalid: int = 0
    unknown: int = 0

    @property
    def commands(self) -> int:
        return self.ok + self.failed + self.refused + self.invalid

    @property
    def attempts(self) -> int:
        """Those that were run."""
        return self.ok + self.failed

    @property
    def error_rate(self) -> float:
        """The share of the attempts that failed, 0 to 1."""
        return self.failed / self.attempts if self.attempts else 0.0


class Person(Struct, frozen=True):
    """Somebody by platform and id, or pseudonym, and how many commands they gave."""

    platform: str
    subject: str
    commands: int


class CommandTally(Struct, frozen=True):
    """One command and how it ended; ``commonest_error`` is a type's name, where there is one."""

    command: str
    tally: Tally
    commonest_error: str = ""


class Usage(Struct, frozen=True):
    """What happened over a span of time. Moments are seconds since 1970, None where nothing happened.

    :param by_hour: commands in each of the last hours, by the hour's beginning
    :param by_day: commands on each day, in the bot's time zone
    """

    tally: Tally
    commands: tuple[CommandTally, ...]
    users: tuple[Person, ...]
    unique_users: int
    first_at: float | None
    last_at: float | None
    by_hour: tuple[tuple[float, int], ...]
    by_day: tuple[tuple[date, int], ...]


class Summary(Struct, frozen=True):
    """What happened between two moments. Moments are seconds since 1970, ``step`` is in seconds.

    :param by_command: the most used first
    :param by_step: every hour or day that begins in that time, without gaps, oldest first; days begin at midnight in
        the bot's time zone
    :param people: who gave a command that exists; None where that is not known, for a time that has ended
    """

    tally: Tally
    by_command: tuple[CommandTally, ...]
    by_step: tuple[tuple[float, Tally], ...]
    step: float
    people: int | None


class UserUsage(Struct, frozen=True):
    """What one person did; ``rank`` among ``ranked`` people by commands, None without any."""

    tally: Tally
    commands: tuple[CommandTally, ...]
    rank: int | None
    ranked: int


class Heatmap(Struct, frozen=True):
    """Commands by weekday (Monday first) and hour of the day."""

    counts: tuple[tuple[int, ...], ...]

    @property
    def busiest(self) -> tuple[int, int, int]:
        """Weekday, hour and count of the busiest hour."""
        count, weekday, hour = max(
            (count, -weekday, -hour) for weekday, row in enumerate(self.counts) for hour, count in enumerate(row)
        )
        return -weekday, -hour, count


class UsageRow(Struct, frozen=True):
    """One stored row: ``hour`` in hours since 1970, moments in seconds since 1970, ``seconds`` the sum."""

    hour: int
    platform: str
    guild: str
    subject: str
    command: str
    status: str
    refused_by: str
    count: int
    seconds: float
    first_at: float
    last_at: float


class Analytics:
    """Counts outcomes, and answers questions about them.

    :param flush: writes what was recorded and is still in memory
    :ivar zone: the bot's time zone, in which days and hours of the day are told
    """

    def __init__(
        self,
        database: Database,
        flush: Callable[[], Awaitable[None]],
        clock: Clock,
        config: AnalyticsConfig,
        pseudonyms: Pseudonyms,
        zone: tzinfo = UTC,
    ) -> None:
        self.zone = zone
        self._database = database
        self._flush = flush
        self._clock = clock
        self._pseudonyms = pseudonyms
        self._stages: tuple[Stage, ...] | None = None
        self._counting = True
        self.configure(config)

    def configure(self, config: AnalyticsConfig) -> None:
        self._config = config
        self._excluded_commands = frozenset(config.excluded_commands)
        self._excluded_users = frozenset(config.excluded_users)
        self._pseudonyms.enabled = config.hash_ids

    def jobs(self) -> tuple[Job, ...]:
        return (Job("analytics_retention", self.forget_old, Every(_HOUR), "forgets usage that is too old"),)

    # -- writing --------------------------------------------------------------------------------------

    def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> None:
        """Count ``outcomes`` where analytics stands in the chain: a telemetry sink."""
        counted: dict[tuple[int, str, str, str, str, str, str], list[float]] = {}
        for outcome in outcomes:
            if not self._counts(outcome):
                continue
            message = outcome.message
            at = outcome.trace.at if outcome.trace is not None else self._clock.time()
            key = (
                int(at // _HOUR),
                message.platform,
                message.guild or "",
                message.identity[1],
                outcome.command or "",
                outcome.status,
                outcome.refused_by or "",
            )
            known = counted.get(key)
            if known is None:
                counted[key] = [1, outcome.seconds, at, at]
            else:
                known[0] += 1
                known[1] += outcome.seconds
                known[3] = at
        if counted:
            connection.execute_many(_COUNT, [self._row(key, sums) for key, sums in counted.items()])

    def _counts(self, outcome: Outcome) -> bool:
        """Whether ``outcome`` is to be counted. One that never reached a chain follows the last that did."""
        trace = outcome.trace
        if trace is not None and trace.stages is not self._stages:
            self._stages = trace.stages
            self._counting = any(stage.name == "analytics" for stage in trace.stages)
        if not self._counting or outcome.command in self._excluded_commands:
            return False
        if not self._excluded_users:
            return True
        platform, user = outcome.identity
        return user not in self._excluded_users and f"{platform}:{user}" not in self._excluded_users

    def _row(self, key: tuple[int, str, str, str, str, str, str], sums: list[float]) -> dict[str, object]:
        hour, platform, guild, user, command, status, refused_by = key
        count, seconds, first_at, last_at = sums
        return {
            "hour": hour,
            "platform": platform,
            "guild": storable(guild),
            "subject": self._pseudonyms.of((platform, user)),
            "command": command,
            "status": status,
            "refused_by": refused_by,
            "count": count,
            "seconds": seconds,
            "first_at": first_at,
            "last_at": last_at,
        }

    async def forget_old(self) -> None:
        """Delete what is older than ``retention_days``."""
        hour = self._hours_ago(self._config.retention_days)
        await self._database.write(
            lambda connection: connection.change("DELETE FROM usage WHERE hour < :hour", {"hour": hour})
        )

    async def reset(self) -> tuple[UsageRow, ...]:
        """Forget everything; the result is what was forgotten, complete."""
        await self._flush()

        def reset(connection: Connection) -> tuple[UsageRow, ...]:
            rows = _export(connection, 0)
            connection.change("DELETE FROM usage")
            return rows

        return await self._database.write(reset)

    # -- reading --------------------------------------------------------------------------------------

    async def usage(self, days: int | None = None) -> Usage:
        """All that happened, in the last ``days`` if given."""
        return await self._usage("hour >= :since", {"since": self._hours_ago(days)})

    async def of_command(self, command: str) -> Usage:
        return await self._usage("command = :command", {"command": command})

    async def of_guild(self, guild: Identity) -> Usage:
        return await self._usage("platform = :platform AND guild = :guild", {"platform": guild[0], "guild": guild[1]})

    async def of_user(self, identity: Identity) -> UserUsage:
        await self._flush()
        subject, pseudonym = self._pseudonyms.all_of(identity)
        person = {"platform": identity[0], "subject": subject, "pseudonym": pseudonym}
        return await self._database.read(lambda connection: _user_usage(connection, person))

    async def summary(self, since: float, until: float) -> Summary:
        """What happened from ``since`` to ``until``, by whole hours; at most a week is told hour by hour."""
        await self._flush()
        first, last = int(since // _HOUR), math.ceil(until / _HOUR)
        where, values = "hour >= :first AND hour < :last", {"first": first, "last": last}
        hourly = last - first <= _HOURS_IN_DETAIL

        def read(connection: Connection) -> Summary:
            named = f"{where} AND {_NAMED}"
            hours: dict[int, dict[str, int]] = {}
            for hour, status, count in connection.execute(
                f"SELECT hour, status, SUM(count) FROM usage WHERE {where} GROUP BY hour, status", values
            ):
                hours.setdefault(hour, {})[status] = int(count)
            return Summary(
                _tally(connection, where, values),
                tuple(CommandTally(command, tally) for command, tally in _by_command(connection, named, values)),
                self._by_step({hour: Tally(**counts) for hour, counts in hours.items()}, first, last, hourly),
                _HOUR if hourly else _DAY,
                _unique_users(connection, named, values) if last > self._clock.time() // _HOUR else None,
            )

        return await self._database.read(read)

    def _by_step(
        self, hours: Mapping[int, Tally], first: int, last: int, hourly: bool
    ) -> tuple[tuple[float, Tally], ...]:
        if hourly:
            return tuple((hour * _HOUR, hours.get(hour, Tally())) for hour in range(first, last))
        steps: dict[float, Tally] = {}
        for hour in range(first, last):
            local = datetime.fromtimestamp(hour * _HOUR, self.zone)
            day = local.replace(hour=0, minute=0, second=0).timestamp()
            known = steps.setdefault(day, Tally())
            if hour in hours:
                steps[day] = _sum((known, hours[hour]))
        return tuple(steps.items())

    async def heatmap(self, days: int, zone: tzinfo | None = None) -> Heatmap:
        """The commands of the last ``days`` by weekday and hour of the day, in ``zone`` or the bot's time zone."""
        await self._flush()
        where, values = f"hour >= :since AND {_NAMED}", {"since": self._hours_ago(days)}
        hours = await self._database.read(lambda connection: _by_hour(connection, where, values))
        counts = [[0] * 24 for _ in range(7)]
        for hour, count in hours:
            local = datetime.fromtimestamp(hour, zone or self.zone)
            counts[local.weekday()][local.hour] += count
        return Heatmap(tuple(tuple(row) for row in counts))

    async def top_errors(self, count: int) -> tuple[CommandTally, ...]:
        """The commands that fail most often for each time they are run, with their commonest error."""
        await self._flush()

        def read(connection: Connection) -> list[CommandTally]:
            errors = _commonest_errors(connection)
            return [
                CommandTally(command, tally, errors.get(command, ""))
                for command, tally in _by_command(connection, _NAMED, {})
                if tally.failed
            ]

        found = await self._database.read(read)
        return tuple(sorted(found, key=lambda each: (-each.tally.error_rate, -each.tally.failed))[:count])

    async def export(self, days: int | None = None) -> tuple[UsageRow, ...]:
        """Every row, of the last ``days`` if given, oldest first."""
        await self._flush()
        since = self._hours_ago(days)
        return await self._database.read(lambda connection: _export(connection, since))

    async def _usage(self, where: str, values: Values) -> Usage:
        await self._flush()
        recent = self._hours_ago(1) - _HOURS_IN_DETAIL + 24

        def read(connection: Connection) -> Usage:
            named = f"{where} AND {_NAMED}"
            moments = connection.execute(f"SELECT MIN(first_at), MAX(last_at) FROM usage WHERE {where}", values)
            hours = _by_hour(connection, named, values)
            return Usage(
                _tally(connection, where, values),
                tuple(CommandTally(command, tally) for command, tally in _by_command(connection, named, values)),
                _users(connection, named, values),
                _unique_users(connection, named, values),
                moments[0][0],
                moments[0][1],
                tuple((moment, count) for moment, count in hours if moment >= recent * _HOUR),
                self._by_day(hours),
            )

        return await self._database.read(read)

    def _by_day(self, hours: Iterable[tuple[float, int]]) -> tuple[tuple[date, int], ...]:
        days: dict[date, int] = {}
        for hour, count in hours:
            day = datetime.fromtimestamp(hour, self.zone).date()
            days[day] = days.get(day, 0) + count
        return tuple(days.items())

    def _hours_ago(self, days: int | None) -> int:
        return 0 if days is None else int((self._clock.time() - days * _DAY) // _HOUR)


# -- the usage table ----------------------------------------------------------------------------------

_COLUMNS = ", ".join(UsageRow.__struct_fields__)

_COUNT = (
    f"INSERT INTO usage ({_COLUMNS}) VALUES ({', '.join(':' + name for name in UsageRow.__struct_fields__)})"
    " ON CONFLICT (hour, platform, guild, subject, command, status, refused_by) DO UPDATE SET"
    " count = usage.count + excluded.count, seconds = usage.seconds + excluded.seconds,"
    " first_at = CASE WHEN excluded.first_at < usage.first_at THEN excluded.first_at ELSE usage.first_at END,"
    " last_at = CASE WHEN excluded.last_at > usage.last_at THEN excluded.last_at ELSE usage.last_at END"
)


def add_rows(connection: Connection, rows: Iterable[UsageRow]) -> None:
    """Count what another bot has counted, within the caller's transaction."""
    connection.execute_many(_COUNT, [structs.asdict(row) for row in rows])


def _sum(tallies: Iterable[Tally]) -> Tally:
    return Tally(*map(sum, zip(*map(structs.astuple, tallies), strict=True)))


def _tally(connection: Connection, where: str, values: Values) -> Tally:
    rows = connection.execute(f"SELECT status, SUM(count) FROM usage WHERE {where} GROUP BY status", values)
    return Tally(**{status: int(count) for status, count in rows})


def _by_command(connection: Connection, where: str, values: Values) -> list[tuple[str, Tally]]:
    """The most used first."""
    found: dict[str, dict[str, int]] = {}
    for command, status, count in connection.execute(
        f"SELECT command, status, SUM(count) FROM usage WHERE {where} AND command <> '' GROUP BY command, status",
        values,
    ):
        found.setdefault(command, {})[status] = int(count)
    tallies = [(command, Tally(**counts)) for command, counts in found.items()]
    return sorted(tallies, key=lambda each: (-each[1].commands, each[0]))


def _users(connection: Connection, where: str, values: Values) -> tuple[Person, ...]:
    rows = connection.execute(
        f"SELECT platform, subject, SUM(count) AS total FROM usage WHERE {where}"
        " GROUP BY platform, subject ORDER BY total DESC, platform, subject LIMIT 10",
        values,
    )
    return tuple(Person(platform, subject, int(count)) for platform, subject, count in rows)


def _unique_users(connection: Connection, where: str, values: Values) -> int:
    rows = connection.execute(
        f"SELECT COUNT(*) FROM (SELECT DISTINCT platform, subject FROM usage WHERE {where}) AS people", values
    )
    return int(rows[0][0])


def _by_hour(connection: Connection, where: str, values: Values) -> list[tuple[float, int]]:
    """Commands by the beginning of each hour in which there were any, oldest first."""
    rows = connection.execute(f"SELECT hour, SUM(count) FROM usage WHERE {where} GROUP BY hour ORDER BY hour", values)
    return [(hour * _HOUR, int(count)) for hour, count in rows]


def _user_usage(connection: Connection, person: Values) -> UserUsage:
    theirs = "platform = :platform AND subject IN (:subject, :pseudonym)"
    commands = _by_command(connection, f"{theirs} AND {_NAMED}", person)
    total = sum(tally.commands for _, tally in commands)
    ranks = connection.execute(
        "SELECT COUNT(*), SUM(CASE WHEN total > :total THEN 1 ELSE 0 END) FROM (SELECT SUM(count) AS total FROM usage"
        f" WHERE {_NAMED} AND NOT ({theirs}) GROUP BY platform, subject) AS others",
        {**person, "total": total},
    )
    others, ahead = ranks[0]
    return UserUsage(
        _tally(connection, theirs, person),
        tuple(CommandTally(command, tally) for command, tally in commands),
        int(ahead or 0) + 1 if total else None,
        int(others) + (1 if total else 0),
    )


def _commonest_errors(connection: Connection) -> dict[str, str]:
    """The type of error that each command failed with most often."""
    rows = connection.execute(
        "SELECT command, type, SUM(count) AS total FROM error_groups GROUP BY command, type ORDER BY total, type"
    )
    return {command: kind for command, kind, _ in rows}


def _export(connection: Connection, since: int) -> tuple[UsageRow, ...]:
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM usage WHERE hour >= :since"
        " ORDER BY hour, platform, guild, subject, command, status, refused_by",
        {"since": since},
    )
    return tuple(UsageRow(*row) for row in rows)
