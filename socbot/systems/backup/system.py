"""Backups: made by a schedule, verified as soon as they are made, kept by slots, restored whole or not at all."""

import logging
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Generic, Protocol, Self, TypeVar

import anyio
from anyio.abc import TaskGroup
from msgspec import Struct

from socbot.config import BackupConfig, StorageConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.replies import Reply, Tone, escape
from socbot.dispatch.tasks import leave
from socbot.jobs.job import Job
from socbot.jobs.schedules import Every
from socbot.redaction import redact
from socbot.storage import swaps
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.errors import StoreError
from socbot.storage.snapshots import Source, fill
from socbot.storage.swaps import Journal, Move, Step
from socbot.systems.audit import Audit
from socbot.systems.backup import paths, records, restore
from socbot.systems.backup.archive import Report, back_up, verify
from socbot.systems.backup.drill import Rehearse, drill
from socbot.systems.backup.errors import BackupError, Cancelled, Damaged
from socbot.systems.backup.manifest import Info, Manifest, Type
from socbot.systems.backup.records import Drill, Mark
from socbot.systems.backup.restore import CARRIED, KEY_NAME, Place
from socbot.systems.backup.retention import INTERVALS, SCHEDULED, SLACK, TYPES, Known, Scheduled, Verdict, due, judge
from socbot.systems.backup.shelf import Backup, Shelf, described_by_name
from socbot.systems.backup.targets import Bucket, Target
from socbot.systems.backup.threads import Tell, Work, on_a_thread, silent
from socbot.systems.signals import Severity, Signals
from socbot.systems.webhooks.system import key_path
from socbot.version import VERSION

T = TypeVar("T")

ROUND: Final = 3_600.0
"""Seconds between two looks at what is due."""

LATE: Final = 1.4
"""Intervals without a good backup after which the owner is told."""

RETRY: Final = 300.0
"""Seconds until a backup that failed is tried again."""

PATIENCE: Final = 60.0
"""Seconds for which somebody waits for what is made by schedule."""

DRILL_RETRY: Final = 86_400.0

_log = logging.getLogger(__name__)


class Host(Protocol):
    """What a backup needs of the bot around it."""

    async def notify(self, reply: Reply) -> None:
        """Tell the owner."""

    def held(self) -> AbstractAsyncContextManager[None]:
        """Within the block no command begins, and those that had begun have ended or wait for the store."""

    async def restored(self) -> tuple[str, ...]:
        """Have every system read its state from the store again; returns what could not be put in force."""


class Described(Struct, frozen=True):
    """A backup, and what is known of it."""

    backup: Backup
    mark: Mark

    @property
    def known(self) -> Known:
        backup, mark = self.backup, self.mark
        problem = backup.problem or mark.problem
        return Known(
            backup.name, backup.type, backup.made_at, backup.stamp, mark.verified_at, mark.proven_at, problem
        )  # fmt: skip


class Made(Struct, frozen=True):
    """A backup that was made and verified; sizes in bytes.

    :param elsewhere: how it went with the second place: empty if there is none, or all is well
    """

    backup: Backup
    manifest: Manifest
    seconds: float
    elsewhere: str = ""


class Restored(Struct, frozen=True):
    """What a restore did.

    :param before: the backup that was made of the state before; empty if there was nothing sound to back up
    :param files: those of ``backup.paths`` that are now as in the backup
    :param left_out: what was in it and is none of them
    :param problems: what could not be put in force, or not be kept
    """

    name: str
    before: str
    files: tuple[str, ...]
    left_out: tuple[str, ...]
    problems: tuple[str, ...]
    seconds: float


class Status(Struct, frozen=True):
    """How the backups stand; sizes in bytes, ``age`` in intervals.

    :param last: the last good one of each type
    :param failure: why the last try failed; empty if it did not
    :param elsewhere: how it stands with the second place; empty if there is none
    """

    last: dict[Type, Described | None]
    count: int
    used: int
    free: int
    oldest: Described | None
    newest: Described | None
    drill: Drill | None
    age: float | None
    failure: str
    elsewhere: str


class Backups:
    """Makes, keeps, checks and restores backups.

    As an async context manager it lets a restore that has begun to swap come to its end, whoever stops waiting.

    :param step: told each step of a restore, on a worker's thread
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        storage: StorageConfig,
        config: BackupConfig,
        host: Host,
        signals: Signals | None = None,
        audit: Audit | None = None,
        rehearse: Rehearse | None = None,
        step: Step = lambda step: None,
    ) -> None:
        self._database, self.clock, self._storage, self._host = database, clock, storage, host
        self._signals, self._audit, self._rehearse, self._step = signals, audit, rehearse, step
        self.shelf = Shelf(config)
        self._busy, self._scheduled = anyio.Lock(), 0
        self._since = clock.monotonic()
        self._good_at: float | None = None  # monotonic
        self._told = False
        self._failure = self._elsewhere = ""
        self._told_elsewhere = False
        self._closing = anyio.Event()
        self._tasks: TaskGroup | None = None

    @property
    def config(self) -> BackupConfig:
        return self.shelf.config

    def check(self, config: BackupConfig) -> None:
        """:raises ConfigError: if ``config`` cannot be put in force"""
        place = place_of(self._storage, config)
        others = [Path(config.folder), *(() if place.store is None else (place.store,))]
        paths.check(config.paths, others)

    def configure(self, config: BackupConfig) -> None:
        if config != self.config:
            self.shelf.configure(config)

    def jobs(self) -> tuple[Job, ...]:
        return (
            Job(
                "backup",
                self.make_due,
                Every(ROUND),
                "Makes the backups that are due, verifies them, and deletes what is past its time",
                aliases=("AutoBackupSystem hourly_backup", "hourly_backup"),
            ),
            Job("backup_watch", self.watch, Every(300.0), "Tells the owner when backups have stopped"),
            Job("drill", self.drill_due, Every(ROUND), "Tries whether the newest backup can be restored"),
        )

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        tasks, self._tasks = self._tasks, None
        assert tasks is not None
        self.close()
        tasks.cancel_scope.cancel()
        return await leave(tasks, kind, error, trace)

    def close(self) -> None:
        """Wait no more for a better time."""
        self._closing.set()

    async def load(self) -> None:
        """Finish what an earlier process has left of a restore.

        :raises StoreError, BackupError: if that cannot be done
        """
        if self._database.dialect == "postgresql":
            await self._recover_files()

    # -- what there is ---------------------------------------------------------------------------------

    async def list(self, type: Type | None = None) -> tuple[Described, ...]:
        """All backups, newest first.

        :raises BackupError: if the folder cannot be read
        """
        backups = await self._off_loop(lambda work: self.shelf.backups())
        marks = await self._database.read(records.marks)
        return tuple(
            Described(backup, marks.get(backup.name, Mark())) for backup in backups if type in (None, backup.type)
        )

    async def find(self, name: str) -> Described:
        """The backup of that name; ``newest`` is one, too.

        :raises InvalidArgument: with the nearest names, if there is none
        """
        backup = await self._off_loop(lambda work: self.shelf.find(name))
        marks = await self._database.read(records.marks)
        return Described(backup, marks.get(backup.name, Mark()))

    async def undoable(self) -> str:
        """The name of the backup whose restore can be undone.

        :raises BackupError: if there is none
        """
        return (await self._undoable()).name

    async def _undoable(self) -> Journal:
        journal = await self._off_loop(lambda work: restore.undoable(self._place))
        if journal is None:
            raise BackupError("There is no restore that could be undone.")
        return journal

    async def status(self) -> Status:
        """How the backups stand.

        :raises BackupError: if the folder cannot be read
        """
        found = await self.list()
        self._take_note(found)
        free = await self._off_loop(lambda work: shutil.disk_usage(_existing(self.shelf.folder)).free)
        return Status(
            {type: _last_good(found, type) for type in TYPES},
            len(found),
            sum(each.backup.size for each in found),
            free,
            found[-1] if found else None,
            found[0] if found else None,
            await self._database.read(records.last_drill),
            self.age_intervals,
            self._failure,
            self._elsewhere,
        )

    @property
    def age_intervals(self) -> float | None:
        """Time since the last good backup, in intervals of the shortest schedule; None if none is due yet."""
        interval = self._interval
        if interval is None:
            return None
        since = self._since if self._good_at is None else self._good_at
        age = max(0.0, self.clock.monotonic() - since) / interval
        return None if self._good_at is None and age < 1.0 else age

    @property
    def failure(self) -> str:
        """Why the last try failed; empty if it did not."""
        return self._failure

    @property
    def _interval(self) -> float | None:
        return min((INTERVALS[slot] for slot in self._enabled), default=None)

    @property
    def _enabled(self) -> tuple[Scheduled, ...]:
        config = self.config
        return tuple(slot for slot in SCHEDULED if config.enabled and getattr(config, slot))

    def _take_note(self, found: Sequence[Described]) -> None:
        """Know how old the last good one is, counted from now on by a clock that nobody sets."""
        now = self.clock.time()
        ages = [now - each.backup.made_at for each in found if each.known.is_good and each.backup.type in SCHEDULED]
        ages = [age for age in ages if age >= -SLACK]
        if ages:
            good_at = self.clock.monotonic() - max(0.0, min(ages))
            self._good_at = good_at if self._good_at is None else max(self._good_at, good_at)

    # -- making them -----------------------------------------------------------------------------------

    async def now(self, type: Type = "manual", tell: Tell = silent) -> Made:
        """Make a backup and verify it.

        :raises BackupError: the subclass says what is wrong; what was written of it is gone, or listed as damaged
        """
        async with self._one_at_a_time(tell):
            return await self._make(type, tell)

    async def make_due(self) -> None:
        """Make what is due: one backup, of the longest of the types that are.

        :raises Exception: what went wrong, some minutes after the owner was told of it
        """
        try:
            made = await self._make_due()
        # Whatever keeps backups from being made is told, whoever made the mistake.
        except Exception as error:
            await self._failed(_reason(error))
            await self._wait_to_retry()
            raise
        if made is not None:
            await self._record("backup", made.backup.name)
            await self._succeeded()
            await self.prune()

    async def _make_due(self) -> Made | None:
        async with self._by_schedule():
            due = self.due(await self._listed())
            return await self._make(due[-1], silent) if due else None

    def due(self, found: Sequence[Described]) -> tuple[Scheduled, ...]:
        """The types that are due, shortest first."""
        return due((each.known for each in found), self._enabled, self.clock.time())

    async def _make(self, type: Type, tell: Tell) -> Made:
        started = self.clock.monotonic()
        head = await self._database.read(_audit_head)
        await tell("Reading the store and packing…")
        name, manifest = await self._off_loop(lambda work: self._packed(type, head, work), "Packing", tell)
        backup = await self._off_loop(lambda work: self.shelf.find(name))
        try:
            await tell("Verifying…")
            report = await self._verified(backup, tell)
            if not report.intact:
                raise Damaged(*first_fault(report))
        except BaseException:  # what could not be verified here and now is no backup
            with anyio.CancelScope(shield=True):
                await self._delete([backup])
            raise
        if type in SCHEDULED:
            self._good_at = self.clock.monotonic()
        elsewhere = "" if type == "pre_restore" else await self._copied(backup, tell)
        return Made(backup, manifest, self.clock.monotonic() - started, elsewhere)

    def _packed(self, type: Type, head: str, work: Work) -> tuple[str, Manifest]:
        """On a worker's thread."""
        self.shelf.make_folder()
        now, config = self.clock.time(), self.config
        name, path = self.shelf.next_name(type, now)
        manifest = back_up(
            path, Info(type, now, VERSION, head), self._storage, tuple(self._files()), keys=self.shelf.keys,
            seal=config.encryption, level=config.level, progress=work.progress, cancelled=work.cancelled,
        )  # fmt: skip
        return name, manifest

    def _files(self) -> Iterable[Source]:
        yield from paths.sources(self.config.paths)
        key_file = self._place.key_file
        if self.config.encryption and key_file.is_file():
            yield Source(KEY_NAME, key_file)

    # -- the second place ------------------------------------------------------------------------------

    async def _copied(self, backup: Backup, tell: Tell) -> str:
        """Copy a backup, which was verified, to the second place; what went wrong, or nothing. Told once."""
        if not self.config.s3.bucket:
            self._elsewhere = ""
            return ""
        await tell("Copying to the second place…")
        try:
            bucket = Bucket(self.config.s3)
            await bucket.put(backup.path, backup.path.name)
            count = await self._prune_elsewhere(bucket)
        except BackupError as error:
            return await self._not_copied(redact(str(error)))
        self._elsewhere, self._told_elsewhere = f"{count} backups, {backup.name} the newest", False
        return ""

    async def _not_copied(self, reason: str) -> str:
        self._elsewhere = f"The copy in the second place failed: {reason}"
        if not self._told_elsewhere:
            self._told_elsewhere = True
            await self._tell_all("Backup Not Copied", escape(self._elsewhere, 500), "warning")
        return self._elsewhere

    async def _prune_elsewhere(self, bucket: Target) -> int:
        """Keep there what the retention keeps of what is there, all of which was verified; how many that are."""
        stored = {each.name: described_by_name(each.name, each.size) for each in await bucket.list()}
        files = {backup.name: file for file, backup in stored.items() if backup is not None}
        known = (
            Known(each.name, each.type, each.made_at, each.stamp, verified_at=each.made_at)
            for each in stored.values()
            if each is not None
        )
        verdicts = judge(known, self.config.retention)
        for verdict in verdicts:
            if not verdict.kept:
                await bucket.delete(files[verdict.backup.name])
        return sum(verdict.kept for verdict in verdicts)

    # -- verifying -------------------------------------------------------------------------------------

    async def verify(self, name: str, tell: Tell = silent, *, unsigned: bool = False) -> tuple[Backup, Report]:
        """Read every byte of a backup, and say of each thing whether it is as it was packed.

        :raises InvalidArgument: if there is none of that name
        :raises BackupError: if it cannot be told, such as for lack of the key
        """
        backup = await self._off_loop(lambda work: self.shelf.find(name))
        return backup, await self._verified(backup, tell, unsigned=unsigned)

    async def _verified(self, backup: Backup, tell: Tell, *, unsigned: bool = False) -> Report:
        report = await self._off_loop(
            lambda work: read_all(backup, self.shelf, work, unsigned=unsigned), "Verifying", tell
        )
        now = self.clock.time()
        problem = "" if report.intact else _problem(report)
        await self._mark(backup, lambda mark: Mark(now if report.intact else None, mark.proven_at, problem))
        return report

    async def _mark(self, backup: Backup, change: Callable[[Mark], Mark]) -> None:
        def write(connection: Connection) -> None:
            records.set_mark(connection, backup, change(records.marks(connection).get(backup.name, Mark())))

        await self._database.write(write)

    # -- keeping them ----------------------------------------------------------------------------------

    async def prune(self, *, dry_run: bool = False) -> tuple[Verdict, ...]:
        """Delete what the retention does not keep; what became of each, and why.

        :raises BackupError: if the folder cannot be read, or something not be deleted
        """
        found = await self.list()
        verdicts = judge((each.known for each in found), self.config.retention)
        gone = [verdict.backup.name for verdict in verdicts if not verdict.kept]
        if gone and not dry_run:
            await self._delete([each.backup for each in found if each.backup.name in gone])
            await self._record("prune backups", ", ".join(gone))
        return verdicts

    async def _delete(self, backups: Sequence[Backup]) -> None:
        def delete(work: Work) -> None:
            for backup in backups:
                backup.path.unlink(missing_ok=True)

        await self._off_loop(delete)
        await self._database.write(lambda connection: records.forget(connection, [each.name for each in backups]))

    # -- restoring -------------------------------------------------------------------------------------

    async def restore(self, name: str, tell: Tell = silent, *, unsigned: bool = False) -> Restored:
        """Put a backup in the place of what is there: all of it, or, if anything goes wrong, nothing.

        :raises InvalidArgument: if there is none of that name
        :raises BackupError, StoreError: the subclass says what is wrong; everything is as it was
        """
        with _os_errors("Nothing was restored"):
            return await self._by_itself(lambda: self._restore(name, tell, unsigned))

    async def undo(self, tell: Tell = silent) -> Restored:
        """Put back what was there before the last restore.

        :raises BackupError: if there is nothing to undo, or it cannot be done; everything is as it was
        """
        with _os_errors("Nothing was undone"):
            return await self._by_itself(lambda: self._undo(tell))

    async def _restore(self, name: str, tell: Tell, unsigned: bool) -> Restored:
        async with self._one_at_a_time(tell):
            started = self.clock.monotonic()
            backup = await self._off_loop(lambda work: self.shelf.find(name))
            self._step("verify")
            await tell(f"Verifying `{backup.name}`…")
            report = await self._verified(backup, tell, unsigned=unsigned)
            if not report.intact:
                raise Damaged(*first_fault(report))
            self._step("back up what is there")
            await tell("Backing up what is there…")
            before = (await self._make("pre_restore", tell)).backup.name
            await tell("Staging…")
            place, keys = self._place, self.shelf.keys
            try:
                staged = await self._off_loop(
                    lambda work: restore.stage(
                        backup.path, place, keys, unsigned=unsigned, step=self._step,
                        progress=work.progress, cancelled=work.cancelled,
                    ),
                    "Unpacking", tell,
                )  # fmt: skip
                await tell("Swapping…")
                problems = await self._swap(backup.name, before, staged.store, staged.files)
            finally:
                await self._clear(place)
            seconds = self.clock.monotonic() - started
            return Restored(backup.name, before, staged.restored, staged.left_out, problems, seconds)

    async def _undo(self, tell: Tell) -> Restored:
        async with self._one_at_a_time(tell):
            started, place = self.clock.monotonic(), self._place
            journal = await self._undoable()
            before = (await self._make("pre_restore", tell)).backup.name
            try:
                store, moves = await self._off_loop(lambda work: self._former(journal, place))
                problems = await self._swap(f"undo {journal.name}", before, store, moves)
            finally:
                await self._clear(place)
            files = tuple(Path(move.live).name for move in moves)
            return Restored(f"before {journal.name}", before, files, (), problems, self.clock.monotonic() - started)

    def _former(self, journal: Journal, place: Place) -> tuple[Path, tuple[Move, ...]]:
        store, moves = restore.stage_former(journal, place, self._step)
        if store is None:  # on PostgreSQL the former store is in the backup that was made of it
            staged = restore.stage(self.shelf.find(journal.before).path, place, self.shelf.keys, step=self._step)
            store = staged.store
        return store, moves

    async def _swap(
        self, name: str, before: str, store: Path, files: tuple[Move, ...]
    ) -> tuple[str, ...]:  # fmt: skip
        """Exchange what is there, and have all systems go by it; what could not be put in force."""
        with anyio.CancelScope(shield=True):  # what has begun to change is not left so
            async with self._host.held():
                await self._exchange(name, before, store, files)
                try:
                    problems = await self._host.restored()
                    await self._mark_settled()
                # Whatever a system cannot go by, it is given back what it went by before.
                except Exception as error:
                    _log.exception("the bot cannot go by %s; everything is put back", name)
                    await self._put_back(before)
                    await self._host.restored()
                    raise BackupError(
                        f"The bot cannot go by what is in it ({escape(_reason(error), 300)}). Everything is as it was."
                    ) from error
        return problems

    async def _exchange(self, name: str, before: str, store: Path, files: tuple[Move, ...]) -> None:
        place = self._place
        if place.store is None:
            await self._exchange_rows(name, before, store, files)
            return

        def swap() -> None:
            self._step("carry over")
            restore.carry(store, place)
            journal = Journal(name, before, (*files, *restore.moves_of_store(store, place)))
            swaps.carry_out(place.journal, journal, self._step)

        with _os_errors("Nothing was restored"):
            await self._database.apart(swap)

    async def _exchange_rows(self, name: str, before: str, store: Path, files: tuple[Move, ...]) -> None:
        """On PostgreSQL: the files first, then all tables in one transaction; which of the two there is decides."""
        place = self._place
        journal = Journal(name, before, files)
        await self._database.write(_unmark)
        with _os_errors("Nothing was restored"):
            await self._off_loop(lambda work: swaps.carry_out(place.journal, journal, self._step))
        try:
            await self._database.write(lambda connection: _refill(connection, store, self._step))
        except BaseException:
            if not await self._is_committed():
                await self._off_loop(lambda work: swaps.revert(place.journal, self._step))
                raise

    async def _is_committed(self) -> bool:
        """Whether the tables were refilled after all: a connection can be lost between a commit and its answer.

        :raises BackupError: if nobody can tell
        """
        try:
            return await self._database.read(_is_marked)
        except StoreError as error:
            raise BackupError(
                "The database does not answer, so that nobody knows which state it is in. Start the bot again: it "
                "finds out, and puts the files in the same."
            ) from error

    async def _put_back(self, before: str) -> None:
        place = self._place
        if place.store is not None:
            await self._database.apart(lambda: swaps.revert(place.journal, self._step))
            return
        path = (await self._off_loop(lambda work: self.shelf.find(before))).path
        store = await self._off_loop(lambda work: restore.unpack_store(path, place.scratch, self.shelf.keys))
        await self._database.write(lambda connection: _refill(connection, store, self._step, mark=False))
        await self._off_loop(lambda work: swaps.revert(place.journal, self._step))
        await self._off_loop(lambda work: swaps.discard(place.scratch))

    async def _mark_settled(self) -> None:
        self._step("settle")
        await self._off_loop(lambda work: swaps.settle(self._place.journal))
        if self._place.store is None:
            await self._database.write(_unmark)

    async def _recover_files(self) -> None:
        journal = self._place.journal
        if not swaps.is_open(journal):
            return
        committed = await self._database.read(_is_marked)
        finish = swaps.recover if committed else swaps.revert
        await self._off_loop(lambda work: finish(journal))
        await self._off_loop(lambda work: swaps.settle(journal))
        await self._database.write(_unmark)

    async def _clear(self, place: Place) -> None:
        with anyio.CancelScope(shield=True), suppress(BackupError, OSError):
            await self._off_loop(lambda work: restore.clear(place))

    # -- drills ----------------------------------------------------------------------------------------

    async def drill(self, name: str | None = None, tell: Tell = silent) -> Drill:
        """Restore a backup, the newest unless named, into a scratch folder, and try a bot on it.

        :raises InvalidArgument: if there is none of that name
        :raises BackupError: if there is none at all
        """
        if self._rehearse is None:
            raise BackupError("There is no bot here that could be tried on it.")
        async with self._one_at_a_time(tell):
            return await self._drill(name, tell)

    async def drill_due(self) -> None:
        """Try the newest backup, if the last drill is ``backup.drill_interval`` ago; the owner is told if it fails."""
        if self._rehearse is None or not self.config.enabled:
            return
        async with self._by_schedule():
            last = await self._database.read(records.last_drill)
            interval = self.config.drill_interval
            if last is not None:
                if not last.passed:
                    interval = min(interval, DRILL_RETRY)
                if 0 <= self.clock.time() - last.at < interval:
                    return
            if not await self._listed():
                return
            done = await self._drill(None, silent)
        if not done.passed:
            worst = next(step for step in done.steps if not step.passed)
            why = f"{escape(worst.step)}: {escape(worst.result)}"
            await self._tell_all(
                "Restore Drill Failed",
                f"`{done.name}` could not be restored into a bot that works: {why}",
                "critical",
            )

    async def _drill(self, name: str | None, tell: Tell) -> Drill:
        assert self._rehearse is not None
        backup = await self._off_loop(lambda work: self._wanted(name))
        scratch = self._place.scratch
        done = await drill(backup, self.shelf, scratch, self.config.drill_commands, self._rehearse, self.clock, tell)
        await self._database.write(lambda connection: records.add_drill(connection, done))
        if done.passed:
            await self._mark(backup, lambda mark: Mark(done.at, done.at, ""))
        else:
            await self._mark(backup, lambda mark: Mark(mark.verified_at, None, mark.problem))
        return done

    def _wanted(self, name: str | None) -> Backup:
        if name is not None:
            return self.shelf.find(name)
        backups = self.shelf.backups()
        if not backups:
            raise BackupError("There is no backup yet; `backup_now` makes one.")
        return backups[0]

    # -- when they stop --------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Tell the owner, once, that there has been no good backup for too long."""
        if self._good_at is None:
            await self._listed()
        age = self.age_intervals
        if age is not None and age < LATE and self._told and not self._failure:
            await self._succeeded()
        if age is None or age < LATE or self._told:
            return
        hours = age * (self._interval or 0) / 3600
        reason = f" The last try failed: {escape(self._failure, 300)}" if self._failure else ""
        self._told = True
        await self._tell_all(
            "Backups Have Stopped", f"There has been no good backup for {hours:.1f} hours.{reason}", "critical"
        )

    async def _failed(self, reason: str) -> None:
        self._failure = reason
        _log.error("a backup failed: %s", reason)
        if not self._told:
            self._told = True
            await self._tell_all("Backup Failed", escape(reason, 500), "critical")

    async def _succeeded(self) -> None:
        self._failure = ""
        if self._told:
            self._told = False
            await self._tell_all("Backups Work Again", "A backup was made and verified.", "info")

    async def _tell_all(self, title: str, text: str, severity: Severity) -> None:
        tone: Tone = "ok" if severity == "info" else "warn" if severity == "warning" else "error"
        await self._host.notify(Reply(text, title, tone=tone, private=True))
        if self._signals is not None:
            try:
                await self._signals.raise_("backup", title, text, severity=severity, source="backup")
            except StoreError as error:  # the owner has been told; what is broken may be the store itself
                _log.warning("the signal %r could not be written: %s", title, error)

    async def _wait_to_retry(self) -> None:
        """Return after a while, or when the bot ends: a failure is not repeated as fast as a job may be."""
        async with anyio.create_task_group() as tasks:

            async def end() -> None:
                await self._closing.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(end)
            await self.clock.sleep(RETRY)
            tasks.cancel_scope.cancel()

    # -- how it is run ---------------------------------------------------------------------------------

    @property
    def _place(self) -> Place:
        return place_of(self._storage, self.config)

    async def _listed(self) -> tuple[Described, ...]:
        found = await self.list()
        self._take_note(found)
        return found

    async def _off_loop(self, function: Callable[[Work], T], what: str = "", tell: Tell = silent) -> T:
        with _os_errors("That could not be done"):
            return await on_a_thread(function, self.clock, what, tell)

    @asynccontextmanager
    async def _one_at_a_time(self, tell: Tell) -> AsyncIterator[None]:
        """Wait for what is made by schedule; what somebody has asked for is not waited for.

        :raises BackupError: if that is under way, or the other takes very long
        """
        held = False
        if self._scheduled:
            await tell("Waiting for the scheduled backup or drill to end…")
            with anyio.move_on_after(PATIENCE):
                await self._busy.acquire()
                held = True
        else:
            with suppress(anyio.WouldBlock):
                self._busy.acquire_nowait()
                held = True
        if not held:
            raise BackupError("A backup, a restore or a drill is under way. Try again when it has ended.")
        try:
            yield
        finally:
            self._busy.release()

    @asynccontextmanager
    async def _by_schedule(self) -> AsyncIterator[None]:
        self._scheduled += 1
        try:
            async with self._busy:
                yield
        finally:
            self._scheduled -= 1

    async def _record(self, action: str, what: str) -> None:
        if self._audit is not None:
            await self._audit.record(action, what, "backup")

    async def _by_itself(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run ``work`` as a task of its own: a command that is ended must not end it in the middle of a swap."""
        if self._tasks is None:
            return await work()
        ended, outcome = anyio.Event(), _Outcome[T]()
        scope = anyio.CancelScope()

        async def run() -> None:
            try:
                with scope:
                    outcome.result = await work()
                    outcome.error = None
            # Carried to the one who waits; the task group is not to end for it.
            except Exception as error:
                outcome.error = error
            finally:
                ended.set()

        self._tasks.start_soon(run)
        try:
            await ended.wait()
        finally:
            scope.cancel()
        return outcome.get()


class _Outcome(Generic[T]):
    """What became of a task; that it was cancelled, unless it says otherwise."""

    result: T
    error: Exception | None

    def __init__(self) -> None:
        self.error = Cancelled()

    def get(self) -> T:
        if self.error is not None:
            raise self.error
        return self.result


def place_of(storage: StorageConfig, config: BackupConfig) -> Place:
    """Where a restore puts things."""
    key_file = key_path(storage)
    if storage.url.startswith("sqlite:"):
        store = Path(storage.url.removeprefix("sqlite:///"))
        return Place(store.with_name(store.name + ".restore"), store, config.paths, key_file)
    return Place(Path(config.folder) / "postgresql.restore", None, config.paths, key_file)


def read_all(backup: Backup, shelf: Shelf, work: Work, *, unsigned: bool = False) -> Report:
    """Verify ``backup``, on a worker's thread."""
    scratch = shelf.folder / f".verifying-{os.getpid()}"
    swaps.discard(scratch)
    try:
        scratch.mkdir(mode=0o700)
        return verify(
            backup.path, shelf.keys, unsigned=unsigned, scratch=scratch, progress=work.progress,
            cancelled=work.cancelled,
        )  # fmt: skip
    finally:
        swaps.discard(scratch)


def restore_over(name: str, shelf: Shelf, place: Place, clock: Clock, *, unsigned: bool = False) -> Restored:
    """Restore where the store cannot be opened: it is put aside as it is. This process must have possession of it.

    :raises BackupError, StoreError: the subclass says what is wrong; everything is as it was
    """
    started, backup = clock.monotonic(), shelf.find(name)
    report = read_all(backup, shelf, Work(), unsigned=unsigned)
    if not report.intact:
        raise Damaged(*first_fault(report))
    with _os_errors("Nothing was restored"):
        staged = restore.stage(backup.path, place, shelf.keys, unsigned=unsigned)
        try:
            problems = tuple(restore.swap_over(backup.name, staged, place))
        finally:
            restore.clear(place)
    return Restored(backup.name, "", staged.restored, staged.left_out, problems, clock.monotonic() - started)


def first_fault(report: Report) -> tuple[str, str]:
    """The file, and what is wrong with it."""
    fault = report.faults[0] if report.faults else None
    return ("", "it cannot be read") if fault is None else (fault.file, fault.text or f"{fault.what} is wrong")


def _problem(report: Report) -> str:
    file, problem = first_fault(report)
    return f"{file}: {problem}" if file else problem


def _last_good(found: Sequence[Described], type: Type) -> Described | None:
    return next((each for each in found if each.backup.type == type and each.known.is_good), None)


def _audit_head(connection: Connection) -> str:
    rows = connection.execute("SELECT hash FROM audit ORDER BY id DESC LIMIT 1")
    return str(rows[0][0]) if rows else ""


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


def _reason(error: Exception) -> str:
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    known = isinstance(error, (BackupError, StoreError))
    return redact(str(error) if known else f"{type(error).__name__}: {error}")[:500]


@contextmanager
def _os_errors(text: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f" ({Path(str(error.filename)).name})" if error.filename else ""
        raise BackupError(f"{text}: {error.strerror or error}{where}.") from error


# -- PostgreSQL: whether the tables were refilled decides whether the files are exchanged --------------

_MARK: Final = "restore"


def _refill(connection: Connection, store: Path, step: Step, *, mark: bool = True) -> None:
    """Empty the tables and fill them from ``store``, and say so; how long that takes is not bounded."""
    connection.execute("SET LOCAL statement_timeout = 0")
    step("refill the tables")
    fill(connection, store, frozenset(CARRIED))
    _unmark(connection)
    if mark:
        connection.change("INSERT INTO heartbeats (name, at) VALUES (:name, 0)", {"name": _MARK})
    step("commit")


def _is_marked(connection: Connection) -> bool:
    return bool(connection.execute("SELECT 1 FROM heartbeats WHERE name = :name", {"name": _MARK}))


def _unmark(connection: Connection) -> None:
    connection.change("DELETE FROM heartbeats WHERE name = :name", {"name": _MARK})
