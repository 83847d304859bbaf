"""Errors: what failed, kept without secrets, grouped, and told to the owner."""

import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from datetime import UTC, tzinfo
from random import Random
from typing import TypeAlias, TypeVar

import anyio
from msgspec import Struct

from socbot.config import ErrorsConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.errors import UserError
from socbot.dispatch.messages import Identity
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply, printable
from socbot.jobs.job import Job
from socbot.jobs.schedules import Continuous
from socbot.redaction import Redactor
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.errors import StatementError, StoreError
from socbot.systems.errors import records
from socbot.systems.errors.anatomy import SEVERITIES, Anatomy, Severity, dissect, short_id
from socbot.systems.errors.figures import (
    SLOTS,
    Dashboard,
    Figures,
    Period,
    Trend,
    figures,
    rates,
    slot_names,
    start_of,
)
from socbot.systems.errors.records import (
    DAY,
    HOUR,
    Contents,
    Group,
    HourCount,
    Listed,
    Occurrence,
    Record,
    Standing,
    Uncounted,
    Wanted,
)
from socbot.systems.errors.watch import Pace, Watch
from socbot.systems.identities import storable
from socbot.systems.links import Links
from socbot.systems.signals import Draft, Signals
from socbot.tracebacks import Redact, describe

T = TypeVar("T")

_log = logging.getLogger(__name__)

Notify: TypeAlias = Callable[[Reply], Awaitable[None]]

PATIENCE = 0.25
"""Seconds that a failing command waits for its error to be on the disk."""

IN_FULL = 60
"""Errors of one group that are recorded within a minute; the others are counted."""

_MINUTE = 60.0
_QUEUE = 1_000
_NOTICES = 20
_MOST_BURSTS = 2_000
_NOTICE_PATIENCE = 35.0  # several ways may be tried, for ten seconds each
_CLOSE_PATIENCE = 2.0
_RETRY = 1.0
_IDLE = 30.0


class Where(Struct, frozen=True):
    """What was going on when something failed; empty what does not apply."""

    command: str = ""
    platform: str = ""
    subject: str = ""
    guild: str = ""
    channel: str = ""
    trace_id: str = ""


NOWHERE = Where()


def _own_name(identity: Identity) -> str:
    return storable(identity[1])


class Errors:
    """Keeps what failed.

    :param redact: takes the secrets out of all that is kept
    :param name_of: how a user is written down
    :param links: to the pages of errors, for notices
    :param notify: tells the owner; called by the job ``error_check`` alone, as is
    :param signals: by which other systems are told
    :ivar zone: the bot's time zone, in which hours and days are told
    :ivar lost: errors that could not be kept, because the store failed for too long
    :ivar notices_lost: notices that could not be delivered
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        config: ErrorsConfig,
        random: Random,
        *,
        redact: Redact | None = None,
        notify: Notify | None = None,
        signals: Signals | None = None,
        name_of: Callable[[Identity], str] = _own_name,
        zone: tzinfo = UTC,
        links: Links | None = None,
    ) -> None:
        self._name_of = name_of
        self.zone = zone
        self._database, self._clock, self._random = database, clock, random
        self._redact: Redact = redact or Redactor()
        self._notify, self._signals = notify, signals
        self._config = config
        self._watch = Watch(config, links or Links())
        self._resolved: set[str] = set()
        self._muted: dict[str, float] = {}
        self._bursts: dict[str, _Burst] = {}
        self._queue: deque[Occurrence] = deque()
        self._uncounted: dict[str, Uncounted] = {}
        self._notices: deque[Reply] = deque(maxlen=_NOTICES)
        self._drafts: deque[Draft] = deque(maxlen=_NOTICES)
        self._store_fails = False
        self._tidy_due = 0.0
        self._wake = anyio.Event()
        self.lost = 0
        self.notices_lost = 0

    async def load(self) -> None:
        """Read which groups are resolved and which are muted."""
        self._resolved, self._muted = await self._database.read(records.set_apart)

    def configure(self, config: ErrorsConfig) -> None:
        self._config = config
        self._watch.configure(config)

    def jobs(self) -> tuple[Job, ...]:
        description = "tells the owner of errors, writes what could not be written at once, drops what is old"
        return (Job("error_check", self.run, Continuous(), description, aliases=("ErrorReporting error_check",)),)

    @property
    def waiting(self) -> int:
        """How many errors are not on the disk yet."""
        return len(self._queue)

    # -- capturing

    async def capture(self, error: BaseException, where: Where = NOWHERE) -> str:
        """Keep ``error``, and return the id under which it is found.

        It is on the disk when this returns, unless the store does not manage within ``PATIENCE``: then it is written
        later. In a storm an error may be counted only; the id is then that of the last recorded one of its group.
        Raises nothing of its own; a cancellation is delivered after it.
        """
        error_id, occurrence = self._take(error, where)
        if occurrence is None:
            return error_id
        if self._store_fails:
            self._enqueue(occurrence)
            return error_id
        with anyio.move_on_after(PATIENCE, shield=True):
            try:
                return (await self._write([occurrence], {}))[0]
            except Exception as failure:  # whatever the store does, the command must get its answer
                _log.error("an error could not be stored: %s", failure)
        self._store_fails = True
        self._enqueue(occurrence)
        return error_id

    def observe(self, outcome: Outcome) -> None:
        """Keep what failed in a dispatch and was not captured in it: timeouts, and middleware that broke.

        It is written by the job.
        """
        if not outcome.faults and (outcome.error is None or isinstance(outcome.error, UserError)):
            return
        failures = [error for _, error in outcome.faults]
        ended_by = outcome.error if isinstance(outcome.error, Exception) else None  # a cancellation is no failure
        if ended_by is not None and outcome.error_id is None and all(ended_by is not each for each in failures):
            failures.insert(0, ended_by)
        for error in failures:
            if isinstance(error, UserError):  # a mistake
                continue
            _, occurrence = self._take(error, _where(outcome))
            if occurrence is not None:
                self._enqueue(occurrence)

    def _take(self, error: BaseException, where: Where) -> tuple[str, Occurrence | None]:
        """Look at ``error``, count it, and return its id with what is to be written of it, if anything is."""
        now, at = self._clock.monotonic(), self._clock.time()
        anatomy = self._dissect(error, where)
        group_id = anatomy.group_id
        burst = self._burst(group_id, now)
        recorded = burst.count < IN_FULL
        if recorded:
            burst.last_id = self._new_id()
        burst.count += 1
        record = self._record(error, where, anatomy, burst.last_id, at, recorded)
        self._look_out(record, now)
        if recorded:
            return record.error_id, Occurrence(record, anatomy.template)
        before = self._uncounted.get(group_id, Uncounted(at, 0))
        self._uncounted[group_id] = Uncounted(at, before.count + 1)
        return record.error_id, None

    def _dissect(self, error: BaseException, where: Where) -> Anatomy:
        try:
            return dissect(error, where.command, self._config.severities, self._redact)
        except Exception as broken:  # an exception is somebody else's code: however it is made, the command goes on
            kind = type(error).__name__
            return Anatomy(kind, "info", f"<not readable: {type(broken).__name__}>", "", "G-" + short_id(0))

    def _record(
        self, error: BaseException, where: Where, anatomy: Anatomy, error_id: str, at: float, recorded: bool
    ) -> Record:
        return Record(
            error_id=error_id,
            group_id=anatomy.group_id,
            at=at,
            severity=anatomy.severity,
            type=printable(anatomy.type, ""),
            message=printable(anatomy.message),
            command=_clean(where.command),
            platform=_clean(where.platform),
            subject=self._name_of((where.platform, where.subject)) if where.subject else "",
            guild=_clean(where.guild),
            channel=_clean(where.channel),
            trace_id=_clean(where.trace_id),
            traceback=self._describe(error) if recorded else "",
        )

    def _describe(self, error: BaseException) -> str:
        try:
            return printable(describe(error, self._redact))
        except Exception as broken:  # as in _dissect
            return f"<no traceback: {type(broken).__name__}>"

    def _burst(self, group_id: str, now: float) -> "_Burst":
        burst = self._bursts.get(group_id)
        if burst is None or now - burst.began >= _MINUTE:
            self._bursts.pop(group_id, None)
            burst = self._bursts[group_id] = _Burst(now)
            if len(self._bursts) > _MOST_BURSTS:
                del self._bursts[next(iter(self._bursts))]
        return burst

    def _look_out(self, record: Record, now: float) -> None:
        """Have the owner told, if need be."""
        came_back = record.group_id in self._resolved
        self._resolved.discard(record.group_id)
        if self._muted.get(record.group_id, 0.0) > record.at:
            return
        self._watch.saw(record, now, came_back=came_back)
        self._gather_notices(now)

    def _gather_notices(self, now: float) -> None:
        for news in self._watch.due(now):
            if self._config.notify:
                self._notices.append(news.notice)
            if self._signals is not None:
                self._drafts.append(news.signal)
            self._wake.set()

    def _new_id(self) -> str:
        return "E-" + short_id(self._random.getrandbits(30))

    # -- storing

    async def _write(self, occurrences: list[Occurrence], uncounted: dict[str, Uncounted]) -> list[str]:
        keep = self._config.max_errors
        return await self._database.write(
            lambda connection: records.write(connection, occurrences, uncounted, keep, self._new_id)
        )

    def _enqueue(self, occurrence: Occurrence) -> None:
        self._queue.append(occurrence)
        self._drop_oldest()
        self._wake.set()

    def _drop_oldest(self) -> None:
        while len(self._queue) > _QUEUE:
            self._queue.popleft()
            self.lost += 1

    async def flush(self) -> None:
        """Write what waits; what the store refuses goes on waiting."""
        if not self._queue and not self._uncounted:
            return
        occurrences, uncounted = list(self._queue), self._uncounted
        self._queue.clear()
        self._uncounted = {}
        # Not to be cut short: whether it was written must be known, or the counts would be wrong.
        with anyio.CancelScope(shield=True):
            try:
                await self._write(occurrences, uncounted)
                self._store_fails = False
            except StatementError:
                await self._write_singly(occurrences)
            except StoreError:
                self._store_fails = True
                self._put_back(occurrences, uncounted)

    async def _write_singly(self, occurrences: list[Occurrence]) -> None:
        """Write what can be; drop what the store cannot hold."""
        for occurrence in occurrences:
            try:
                await self._write([occurrence], {})
            except StatementError:
                self.lost += 1
            except StoreError:
                self._put_back([occurrence], {})

    def _put_back(self, occurrences: list[Occurrence], uncounted: dict[str, Uncounted]) -> None:
        self._queue.extendleft(reversed(occurrences))
        self._drop_oldest()
        for group_id, more in uncounted.items():
            later = self._uncounted.get(group_id, Uncounted(more.last_at, 0))
            self._uncounted[group_id] = Uncounted(later.last_at, later.count + more.count)

    # -- the job

    async def run(self) -> None:
        """Tell, write and tidy for as long as the bot runs."""
        while True:
            await self._pause(_RETRY if self._is_busy else _IDLE)
            self._wake = anyio.Event()
            await self.check()

    @property
    def _is_busy(self) -> bool:
        return bool(self._queue or self._uncounted or self._drafts) or self._watch.is_busy

    async def check(self) -> None:
        """Do once what ``run`` does."""
        now = self._clock.monotonic()
        self._gather_notices(now)
        await self._raise()
        await self._tell()
        await self.flush()
        if now >= self._tidy_due:
            self._tidy_due = now + HOUR
            await self._tidy()

    async def close(self) -> None:
        """Write and tell what still waits, as far as that can be done in two seconds."""
        with anyio.move_on_after(_CLOSE_PATIENCE):
            await self.flush()
            await self._raise()
            await self._tell()

    async def _pause(self, seconds: float) -> None:
        """Return after ``seconds``, or when something is to be done."""

        async def sleep() -> None:
            await self._clock.sleep(seconds)
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sleep)
            await self._wake.wait()
            tasks.cancel_scope.cancel()

    async def _tell(self) -> None:
        while self._notices:
            notice = self._notices.popleft()
            if self._notify is None:
                continue
            try:
                with anyio.fail_after(_NOTICE_PATIENCE):
                    await self._notify(notice)
            except Exception:  # a notice that fails must not become an error, of which there would be a notice
                self.notices_lost += 1

    async def _raise(self) -> None:
        """Raise the signals that wait; while the store is out of order, they go on waiting."""
        if self._signals is None:
            return
        while self._drafts and not self._store_fails:
            draft = self._drafts.popleft()
            try:
                with anyio.CancelScope(shield=True):
                    await self._signals.send(draft)
            except StatementError as failure:  # it would fail for ever
                _log.warning("a signal of an error could not be written: %s", failure)
            except StoreError:
                self._drafts.appendleft(draft)
                return

    async def _tidy(self) -> None:
        keep, now = self._config.max_errors, self._clock.time()
        self._muted = {group_id: until for group_id, until in self._muted.items() if until > now}
        try:
            await self._database.write(lambda connection: records.tidy(connection, keep, now))
        except StoreError as failure:
            _log.warning("old errors could not be dropped, which is tried again in an hour: %s", failure)

    # -- changing

    async def resolve(self, group_id: str, by: str) -> Group | None:
        """Mark a group as resolved; the next error of it reopens it. None if there is no such group."""
        at = self._clock.time()
        group = await self._change(
            group_id, lambda connection, known: records.set_state(connection, known, "resolved", by, at)
        )
        if group is not None:
            self._resolved.add(group.group_id)
        return group

    async def mute(self, group_id: str, seconds: float, by: str) -> Group | None:
        """Tell nothing of a group for that long. None if there is no such group."""
        at = self._clock.time()
        group = await self._change(
            group_id, lambda connection, known: records.set_muted(connection, known, at + seconds, by, at)
        )
        if group is not None:
            self._muted[group.group_id] = at + seconds
        return group

    async def _change(self, group_id: str, change: Callable[[Connection, str], bool]) -> Group | None:
        known = group_id.upper()

        def work(connection: Connection) -> Group | None:
            return records.group(connection, known) if change(connection, known) else None

        return await self._database.write(work)

    async def clear(self) -> Contents:
        """Drop all errors and groups, and return what they were."""
        await self.flush()
        dropped = await self._database.write(records.clear)
        self._bursts.clear()
        self._resolved.clear()
        self._muted.clear()
        return dropped

    def forget_user(self, identity: Identity) -> None:
        """Drop what waits to be written of one user; what is in the store is erased there."""
        name = self._name_of(identity)
        theirs = (identity[0], name)
        self._queue = deque(each for each in self._queue if (each.record.platform, each.record.subject) != theirs)

    # -- asking

    async def _read(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` reads; what waits to be written, because the store was slow, is written before."""
        await self.flush()
        return await self._database.read(work)

    async def find(self, error_id: str) -> Record | None:
        """The error that was told under that id; None if it is not kept."""
        known = error_id.upper()
        return await self._read(lambda connection: records.find(connection, known))

    async def newest(self, count: int, severity: Severity | None = None) -> list[Record]:
        """The newest errors, newest first."""
        return await self._read(lambda connection: records.newest(connection, count, severity))

    async def search(self, query: str, count: int = 100) -> list[Record]:
        """The newest errors that have ``query`` in their command, user, type, message or id."""
        return await self._read(lambda connection: records.search(connection, query, count))

    async def listing(self, wanted: Wanted) -> tuple[Listed, ...]:
        """The groups that are ``wanted``, each with its course."""
        now = self._clock.time()
        return tuple(await self._read(lambda connection: records.listing(connection, wanted, now)))

    async def standings(self) -> dict[Standing, int]:
        """How many groups are open, back, muted and resolved."""
        now = self._clock.time()
        return await self._read(lambda connection: records.standings(connection, now))

    def standing(self, group: Group) -> Standing:
        """How ``group`` stands now."""
        return records.standing(group, self._clock.time())

    async def commands(self, limit: int = 50) -> tuple[str, ...]:
        """The commands that have failed."""
        return await self._read(lambda connection: records.commands(connection, limit))

    async def course(self, group_id: str, since: float) -> tuple[tuple[float, int], ...]:
        """The errors of a group in each hour that had any, by its beginning, oldest first."""
        return await self._read(lambda connection: records.course(connection, group_id, since))

    async def totals(self, since: float) -> tuple[tuple[float, int], ...]:
        """The same of all groups together."""
        return await self._read(lambda connection: records.totals(connection, since))

    async def by_command(self, since: float, limit: int = 10) -> tuple[tuple[str, int], ...]:
        """The commands with most errors since then, an empty name for none, and how many."""
        return await self._read(lambda connection: records.by_command(connection, since, limit))

    async def occurrences(self, group_id: str, limit: int = 50) -> list[Record]:
        """The newest errors of a group, newest first."""
        return await self._read(lambda connection: records.occurrences(connection, group_id, limit))

    async def of_user(self, identity: Identity, limit: int = 20) -> list[Record]:
        """The newest errors that befell somebody, newest first."""
        subject = self._name_of(identity)
        return await self._read(lambda connection: records.of_user(connection, identity[0], subject, limit))

    @property
    def pace(self) -> Pace:
        """How fast errors come, against what is too fast."""
        return self._watch.pace(self._clock.monotonic())

    async def group(self, group_id: str) -> Group | None:
        known = group_id.upper()
        return await self._read(lambda connection: records.group(connection, known))

    async def groups(self, since: float = 0.0) -> list[Group]:
        """The groups seen since then, the newest first."""
        return await self._read(lambda connection: records.groups(connection, since))

    async def size(self) -> tuple[int, int]:
        """How many errors are kept, and of how many groups."""
        return await self._read(records.size)

    async def figures(self, days: int) -> Figures:
        """Today's errors and those of the days before, ``days`` in all; of recorded ones and others."""
        return (await self._figures(days, "daily"))[0]

    async def trend(self, period: Period) -> Trend:
        """The last 24 hours, or the last 14 days, beside as many before."""
        count, now = SLOTS[period], self._clock.time()
        figures, before = await self._figures(count, period)
        start = start_of(now, count, period, self.zone)
        new = tuple(group for group in await self.groups(start) if group.first_at >= start)
        return Trend(figures, before, new)

    async def dashboard(self) -> Dashboard:
        """What an operator looks at first."""
        now = self._clock.time()
        newest: dict[str, list[Record]] = {severity: await self.newest(10, severity) for severity in SEVERITIES}
        hours = await self._hours(now - 7 * DAY)
        today = Counter[str]()
        for hour in hours:
            if hour.at > now - DAY:
                today[hour.group_id] += hour.count
        known = {group.group_id: group for group in await self.groups(now - DAY)}
        frequent = tuple((known[group_id], count) for group_id, count in today.most_common(10) if group_id in known)
        return Dashboard(newest, frequent, *rates(hours, now))

    async def _figures(self, count: int, period: Period) -> tuple[Figures, int]:
        """The last ``count`` hours or days, and the total of as many before."""
        now = self._clock.time()
        start = start_of(now, count, period, self.zone)
        hours = await self._hours(start_of(now, 2 * count, period, self.zone))
        within = [hour for hour in hours if hour.at >= start]
        before = sum(hour.count for hour in hours) - sum(hour.count for hour in within)
        return figures(within, slot_names(now, count, period, self.zone), period, self.zone), before

    async def _hours(self, since: float) -> list[HourCount]:
        return await self._read(lambda connection: records.hours(connection, since))


class _Burst:
    """The errors of one group within a minute."""

    __slots__ = ("began", "count", "last_id")

    def __init__(self, began: float) -> None:
        self.began = began
        self.count = 0
        self.last_id = ""


def _clean(text: str) -> str:
    return printable(text[:200], "")


def _where(outcome: Outcome) -> Where:
    message = outcome.message
    return Where(
        outcome.command or "",
        *message.identity,
        message.guild or "",
        message.channel,
        outcome.trace.id if outcome.trace else "",
    )
