"""Analytics: counts commands, and says who used which when, and how it ended."""

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import partial
from typing import TypeVar

from socbot.config import AnalyticsConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.messages import Identity
from socbot.dispatch.outcomes import Outcome, Stage
from socbot.jobs.job import Job
from socbot.jobs.schedules import Every
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.systems.analytics import counting, reading
from socbot.systems.analytics.figures import (
    CommandTally,
    Heatmap,
    Person,
    Summary,
    Tally,
    Usage,
    UsageRow,
    UserUsage,
)
from socbot.systems.analytics.reading import HOUR, Span, Whose
from socbot.systems.identities import Pseudonyms, storable

T = TypeVar("T")

_DAY = 86_400.0
_HOURS_IN_DETAIL = 7 * 24


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
        text = "sums up past hours, folds old ones into months, forgets what is too old"
        return (Job("analytics_retention", self.forget_old, Every(HOUR), text, scope="fleet"),)

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
                int(at // HOUR),
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
            counting.count(connection, [self._row(key, sums) for key, sums in counted.items()])

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
        """Sum up the hours that are over, fold into months what is older than ``detail_days``, and delete what is
        older than ``retention_days``: people's months as a whole, once all of one is.
        """
        oldest = self._hours_ago(self._config.retention_days)
        await self._database.write(partial(counting.forget_counts, before=oldest))
        for step, before in (
            (counting.sum_an_hour, int(self._clock.time() // HOUR)),
            (counting.forget_an_hour, oldest),
            (counting.forget_of_months, counting.month_of(oldest)),
            (counting.fold_an_hour, self._hours_ago(self._config.detail_days)),
        ):
            # Each step is a short transaction, between which others get their turn.
            while await self._database.write(partial(step, before=before)):
                pass

    async def reset(self) -> tuple[UsageRow, ...]:
        """Forget everything; the result is what was forgotten, complete."""
        await self._flush()

        def reset(connection: Connection) -> tuple[UsageRow, ...]:
            rows = reading.export(connection, 0)
            counting.forget_everything(connection)
            return rows

        return await self._database.write(reset)

    # -- reading --------------------------------------------------------------------------------------

    async def usage(self, days: int | None = None) -> Usage:
        """All that happened, in the last ``days`` if given."""
        await self._flush()
        span = Span(self._hours_ago(days))
        since = None if days is None else span.first * HOUR
        users = None if days is None else await self._most_active_in(span)

        def read(connection: Connection) -> Usage:
            lately = reading.recent(connection, Whose())
            tally, first_at, last_at = reading.whole(connection, span)
            by_hour = _named(reading.hours(connection, span))
            return Usage(
                tally,
                reading.by_command(connection, span),
                reading.most_active(connection, Whose(), lately, since) if users is None else users,
                reading.how_many(connection, Whose(), lately, since),
                first_at,
                last_at,
                self._lately(by_hour),
                self._by_day(by_hour),
            )

        return await self._database.read(read)

    async def _most_active_in(self, span: Span) -> tuple[Person, ...] | None:
        """Who gave most commands in ``span``; None where people are not known by the hour any more."""
        if not await self._database.read(partial(reading.is_by_the_hour, hour=span.first)):
            return None
        counts: Counter[tuple[str, str]] = Counter()
        last = int(self._clock.time() // HOUR)
        # Day by day: a month of it all takes a second, for which nobody else would be answered.
        for first in range(span.first, last + 1, counting.DAY):
            end = first + counting.DAY if first + counting.DAY <= last else None
            for who, count in await self._database.read(partial(reading.people_in, span=Span(first, end))):
                counts[who] += count
        return reading.first_of(counts.items())

    async def of_command(self, command: str) -> Usage:
        """All that happened to one command."""
        await self._flush()
        whose = Whose("command", command)

        def read(connection: Connection) -> Usage:
            tally, first_at, last_at = reading.whole(connection, Span(), command) if command else (Tally(), None, None)
            by_hour = _named(reading.hours(connection, Span(), command))
            return self._usage(connection, whose, {command: tally}, first_at, last_at, by_hour)

        return await self._database.read(read)

    async def of_guild(self, guild: Identity) -> Usage:
        """All that happened in one guild; its hours and days are known for ``detail_days``."""
        await self._flush()
        platform, id = guild
        whose = Whose("guild", id, platform)

        def read(connection: Connection) -> Usage:
            tallies, first_at, last_at = reading.of_guild(connection, platform, id)
            by_hour = reading.hours_of_guild(connection, platform, id)
            return self._usage(connection, whose, tallies, first_at, last_at, by_hour)

        return await self._database.read(read)

    def _usage(
        self,
        connection: Connection,
        whose: Whose,
        tallies: Mapping[str, Tally],
        first_at: float | None,
        last_at: float | None,
        by_hour: list[tuple[int, int]],
    ) -> Usage:
        lately = reading.recent(connection, whose)
        return Usage(
            reading.together(tallies.values()),
            reading.by_use(tallies),
            reading.most_active(connection, whose, lately),
            reading.how_many(connection, whose, lately),
            first_at,
            last_at,
            self._lately(by_hour),
            self._by_day(by_hour),
        )

    async def of_user(self, identity: Identity) -> UserUsage:
        """All that one person did."""
        await self._flush()
        subject, pseudonym = self._pseudonyms.all_of(identity)
        person = {"platform": identity[0], "subject": subject, "pseudonym": pseudonym}
        return await self._database.read(lambda connection: reading.of_user(connection, person))

    async def summary(self, since: float, until: float) -> Summary:
        """What happened from ``since`` to ``until``, by whole hours; at most a week is told hour by hour."""
        await self._flush()
        span = Span(int(since // HOUR), math.ceil(until / HOUR))
        to_now = span.last is not None and span.last > self._clock.time() // HOUR

        def read(connection: Connection) -> Summary:
            hours = {hour: Tally(*counts) for hour, *counts in reading.hours(connection, span)}
            people = None
            if to_now:
                people = reading.how_many(connection, Whose(), reading.recent(connection, Whose()), span.first * HOUR)
            by_step, step = self._by_step(hours, since, until)
            return Summary(
                reading.together(hours.values()), reading.by_command(connection, span), by_step, step, people
            )

        return await self._database.read(read)

    def _by_step(
        self, hours: Mapping[int, Tally], since: float, until: float
    ) -> tuple[tuple[tuple[float, Tally], ...], float]:
        first, last = int(since // HOUR), math.ceil(until / HOUR)
        if last - first <= _HOURS_IN_DETAIL + 1:
            return tuple((hour * HOUR, hours.get(hour, Tally())) for hour in range(first, last)), HOUR
        days: dict[date, list[Tally]] = {}
        for day, tally in self._dated(hours.items()):
            days.setdefault(day, []).append(tally)
        begins, steps = datetime.fromtimestamp(first * HOUR, self.zone).date(), []
        while (moment := self._begins(begins)) < last * HOUR:
            steps.append((moment, reading.together(days.get(begins, ()))))
            begins += timedelta(days=1)
        return tuple(steps), _DAY

    async def heatmap(self, days: int, zone: tzinfo | None = None) -> Heatmap:
        """The commands of the last ``days`` by weekday and hour of the day, in ``zone`` or the bot's time zone."""
        await self._flush()
        span = Span(self._hours_ago(days))
        rows = await self._database.read(lambda connection: reading.hours(connection, span))
        counts = [[0] * 24 for _ in range(7)]
        for hour, count in _named(rows):
            local = datetime.fromtimestamp(hour * HOUR, zone or self.zone)
            counts[local.weekday()][local.hour] += count
        return Heatmap(tuple(tuple(row) for row in counts))

    async def top_errors(self, count: int) -> tuple[CommandTally, ...]:
        """The commands that fail most often for each time they are run, with their commonest error."""
        await self._flush()

        def read(connection: Connection) -> list[CommandTally]:
            errors = reading.commonest_errors(connection)
            return [
                CommandTally(each.command, each.tally, errors.get(each.command, ""))
                for each in reading.by_command(connection, Span())
                if each.tally.failed
            ]

        found = await self._database.read(read)
        return tuple(sorted(found, key=lambda each: (-each.tally.error_rate, -each.tally.failed))[:count])

    async def export(self, days: int | None = None) -> tuple[UsageRow, ...]:
        """Every row, of the last ``days`` if given, oldest first; older ones are those of whole months."""
        await self._flush()
        since = self._hours_ago(days)
        return await self._database.read(lambda connection: reading.export(connection, since))

    def _lately(self, by_hour: Iterable[tuple[int, int]]) -> tuple[tuple[float, int], ...]:
        recent = self._hours_ago(1) - _HOURS_IN_DETAIL + 24
        return tuple((hour * HOUR, count) for hour, count in by_hour if count and hour >= recent)

    def _by_day(self, by_hour: Iterable[tuple[int, int]]) -> tuple[tuple[date, int], ...]:
        days: dict[date, int] = {}
        for day, count in self._dated(each for each in by_hour if each[1]):
            days[day] = days.get(day, 0) + count
        return tuple(days.items())

    def _dated(self, by_hour: Iterable[tuple[int, T]]) -> Iterator[tuple[date, T]]:
        """Each of what is told by the hour, oldest first, with its day in the bot's time zone."""
        day, ends = date.min, -math.inf
        for hour, what in by_hour:
            if hour * HOUR >= ends:
                day = datetime.fromtimestamp(hour * HOUR, self.zone).date()
                ends = self._begins(day + timedelta(days=1))
            yield day, what

    def _begins(self, day: date) -> float:
        return datetime(day.year, day.month, day.day, tzinfo=self.zone).timestamp()

    def _hours_ago(self, days: int | None) -> int:
        return 0 if days is None else int((self._clock.time() - days * _DAY) // HOUR)


def _named(rows: Iterable[Sequence[int]]) -> list[tuple[int, int]]:
    """Commands by hour, of rows that say how many ended in each way."""
    return [(row[0], sum(row[1:5])) for row in rows]
