"""Backups: made by a schedule, verified as soon as they are made, kept by slots, restored whole or not at all."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio
from msgspec import Struct

from socbot.config import BackupConfig, StorageConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.replies import escape
from socbot.jobs.job import Job
from socbot.jobs.schedules import Every
from socbot.storage.database import Database
from socbot.storage.swaps import Step
from socbot.systems.audit import Audit
from socbot.systems.backup import paths, records
from socbot.systems.backup.archive import Report
from socbot.systems.backup.drill import Drills, Rehearse
from socbot.systems.backup.errors import os_errors, reason_of
from socbot.systems.backup.host import Host
from socbot.systems.backup.making import Maker
from socbot.systems.backup.manifest import Manifest, Type
from socbot.systems.backup.own_tasks import OwnTasks
from socbot.systems.backup.records import Described, Drill, Mark
from socbot.systems.backup.restore import place_of
from socbot.systems.backup.restoring import Restored, Restorer
from socbot.systems.backup.retention import SCHEDULED, TYPES, Scheduled, Verdict, due, due_at, enabled, judge
from socbot.systems.backup.second_place import SecondPlace
from socbot.systems.backup.shelf import Backup, Shelf
from socbot.systems.backup.telling import Alarm, Watch
from socbot.systems.backup.threads import OffLoop, Tell, silent
from socbot.systems.backup.turns import Turns
from socbot.systems.signals import Signals

ROUND: Final = 3_600.0
"""Seconds between two looks at what is due."""

RETRY: Final = 300.0
"""Seconds until a backup that failed is tried again."""


class Made(Struct, frozen=True):
    """A backup that was made and verified; sizes in bytes.

    :param elsewhere: how it went with the second place: empty if there is none, or all is well
    """

    backup: Backup
    manifest: Manifest
    seconds: float
    elsewhere: str = ""


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
    """Makes, keeps, checks and restores backups, one thing at a time.

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
        self._database, self.clock, self._storage, self._audit = database, clock, storage, audit
        self.shelf = shelf = Shelf(config)
        self._alarm = Alarm(host.notify, signals)
        self._watch = Watch(clock, shelf, self._alarm)
        self._second_place = SecondPlace(shelf, self._alarm)
        self._maker = Maker(database, clock, storage, shelf)
        self._restorer = Restorer(database, clock, storage, shelf, self._maker, host, step)
        self._drills = Drills(database, clock, storage, shelf, rehearse)
        self._turns, self._own_tasks, self._off_loop = Turns(), OwnTasks(), OffLoop(clock)
        self._closing = anyio.Event()

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
                scope="fleet",
            ),
            Job("backup_watch", self.watch, Every(300.0), "Tells the owner when backups have stopped", scope="fleet"),
            Job(
                "drill", self.drill_due, Every(ROUND), "Tries whether the newest backup can be restored", scope="fleet"
            ),
        )

    async def __aenter__(self) -> Self:
        await self._own_tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self.close()
        return await self._own_tasks.__aexit__(kind, error, trace)

    def close(self) -> None:
        """Wait no more for a better time."""
        self._closing.set()

    async def load(self) -> None:
        """Finish what an earlier process has left of a restore.

        :raises StoreError, BackupError: if that cannot be done
        """
        await self._restorer.recover()

    async def adopt(self, backup: Backup | None) -> None:
        """Put on record the backup that was made and verified before the store was upgraded, if it was."""
        if backup is not None:
            mark = Mark(verified_at=self.clock.time())
            await self._database.write(lambda connection: records.set_mark(connection, backup, mark))
            await self._record("backup", backup.name)

    # -- what there is ---------------------------------------------------------------------------------

    async def list(self, type: Type | None = None) -> tuple[Described, ...]:
        """All backups, newest first.

        :raises BackupError: if the folder cannot be read
        """
        backups = await self._off_loop(lambda work: self.shelf.backups())
        return records.describe(backups, await self._database.read(records.marks), type)

    async def find(self, name: str) -> Described:
        """The backup of that name; ``newest`` is one, too.

        :raises InvalidArgument: with the nearest names, if there is none
        """
        backup = await self._off_loop(lambda work: self.shelf.find(name))
        [found] = records.describe([backup], await self._database.read(records.marks))
        return found

    async def undoable(self) -> str:
        """The name of the backup whose restore can be undone.

        :raises BackupError: if there is none
        """
        return (await self._restorer.undoable()).name

    async def status(self) -> Status:
        """How the backups stand.

        :raises BackupError: if the folder cannot be read
        """
        found = await self._listed()
        free = await self._off_loop(lambda work: shutil.disk_usage(_existing(self.shelf.folder)).free)
        return Status(
            {type: _last_good(found, type) for type in TYPES},
            len(found),
            sum(each.backup.size for each in found),
            free,
            found[-1] if found else None,
            found[0] if found else None,
            await self._database.read(records.last_drill),
            self._watch.age,
            self._watch.failure,
            self._second_place.standing,
        )

    @property
    def age_intervals(self) -> float | None:
        """Time since the last good backup, in intervals of the shortest schedule; None if none is due yet."""
        return self._watch.age

    @property
    def age(self) -> float | None:
        """Seconds since the last good backup that was made by schedule; None if none has been seen."""
        return self._watch.seconds

    @property
    def failure(self) -> str:
        """Why the last backup that was due failed; empty if it did not."""
        return self._watch.failure

    async def watch(self) -> None:
        """Tell the owner, once, that there has been no good backup for too long."""
        if not self._watch.knows_one:
            await self._listed()
        await self._watch.look()

    async def _listed(self) -> tuple[Described, ...]:
        found = await self.list()
        self._watch.take_note(found)
        return found

    # -- making and keeping them -----------------------------------------------------------------------

    async def now(self, type: Type = "manual", tell: Tell = silent) -> Made:
        """Make a backup and verify it.

        :raises BackupError: the subclass says what is wrong; what was written of it is gone, or listed as damaged
        """
        async with self._turns.asked_for(tell):
            return await self._make(type, tell)

    async def make_due(self) -> None:
        """Make what is due: one backup, of the longest of the types that are.

        :raises Exception: what went wrong, some minutes after the owner was told of it
        """
        try:
            made = await self._make_due()
        # Whatever keeps backups from being made is told, whoever made the mistake.
        except Exception as error:
            await self._watch.failed(reason_of(error))
            await self._wait_to_retry()
            raise
        if made is not None:
            await self._record("backup", made.backup.name)
            await self._watch.succeeded()
            await self.prune()

    async def _make_due(self) -> Made | None:
        async with self._turns.by_schedule():
            due = self.due(await self._listed())
            return await self._make(due[-1], silent) if due else None

    def due(self, found: Sequence[Described]) -> tuple[Scheduled, ...]:
        """The types that are due, shortest first."""
        return due((each.known for each in found), enabled(self.config), self.clock.time())

    def due_at(self, found: Sequence[Described]) -> dict[Scheduled, float]:
        """From when on each type that is made by schedule is due, shortest first; made at the next look after that."""
        return due_at((each.known for each in found), enabled(self.config), self.clock.time())

    async def _make(self, type: Type, tell: Tell) -> Made:
        started = self.clock.monotonic()
        backup, manifest = await self._maker.make(type, tell)
        if type in SCHEDULED:
            self._watch.made_one()
        elsewhere = "" if type == "pre_restore" else await self._second_place.copy(backup, tell)
        return Made(backup, manifest, self.clock.monotonic() - started, elsewhere)

    async def verify(self, name: str, tell: Tell = silent, *, unsigned: bool = False) -> tuple[Backup, Report]:
        """Read every byte of a backup, and say of each thing whether it is as it was packed.

        :raises InvalidArgument: if there is none of that name
        :raises BackupError: if it cannot be told, such as for lack of the key
        """
        backup = await self._off_loop(lambda work: self.shelf.find(name))
        return backup, await self._maker.verify(backup, tell, unsigned=unsigned)

    async def prune(self, *, dry_run: bool = False) -> tuple[Verdict, ...]:
        """Delete what the retention does not keep; what became of each, and why.

        :raises BackupError: if the folder cannot be read, or something not be deleted
        """
        found = await self.list()
        verdicts = self.judge(found)
        gone = [verdict.backup.name for verdict in verdicts if not verdict.kept]
        if gone and not dry_run:
            await self._maker.delete([each.backup for each in found if each.backup.name in gone])
            await self._record("prune backups", ", ".join(gone))
        return verdicts

    async def _record(self, action: str, what: str) -> None:
        if self._audit is not None:
            await self._audit.record(action, what, "backup")

    async def _wait_to_retry(self) -> None:
        """Return after a while, or when the bot ends: a failure is not repeated as fast as a job may be."""
        async with anyio.create_task_group() as tasks:

            async def end() -> None:
                await self._closing.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(end)
            await self.clock.sleep(RETRY)
            tasks.cancel_scope.cancel()

    # -- restoring them, and trying to -----------------------------------------------------------------

    async def restore(self, name: str, tell: Tell = silent, *, unsigned: bool = False) -> Restored:
        """Put a backup in the place of what is there: all of it, or, if anything goes wrong, nothing.

        :raises InvalidArgument: if there is none of that name
        :raises BackupError, StoreError: the subclass says what is wrong; everything is as it was
        """

        async def restore() -> Restored:
            async with self._turns.asked_for(tell):
                return await self._restorer.restore(name, tell, unsigned=unsigned)

        with os_errors("Nothing was restored"):
            return await self._own_tasks.run(restore)

    async def undo(self, tell: Tell = silent) -> Restored:
        """Put back what was there before the last restore.

        :raises BackupError: if there is nothing to undo, or it cannot be done; everything is as it was
        """

        async def undo() -> Restored:
            async with self._turns.asked_for(tell):
                return await self._restorer.undo(tell)

        with os_errors("Nothing was undone"):
            return await self._own_tasks.run(undo)

    async def drill(self, name: str | None = None, tell: Tell = silent) -> Drill:
        """Restore a backup, the newest unless named, into a scratch folder, and try a bot on it.

        :raises InvalidArgument: if there is none of that name
        :raises BackupError: if there is none at all
        """
        async with self._turns.asked_for(tell):
            return await self._drills.run(name, tell)

    async def drills(self, limit: int = 10) -> tuple[Drill, ...]:
        """The last drills, newest first."""
        return await self._database.read(lambda connection: records.drills(connection, limit))

    def judge(self, found: Sequence[Described]) -> tuple[Verdict, ...]:
        """What the retention would do with each of ``found``, all that there are."""
        return judge((each.known for each in found), self.config.retention)

    async def drill_due(self) -> None:
        """Try the newest backup, if the last drill is ``backup.drill_interval`` ago; the owner is told if it fails."""
        if not (self._drills.are_possible and self.config.enabled):
            return
        async with self._turns.by_schedule():
            if not await self._drills.is_due() or not await self._listed():
                return
            done = await self._drills.run(None)
        if not done.passed:
            worst = next(step for step in done.steps if not step.passed)
            why = f"{escape(worst.step)}: {escape(worst.result)}"
            await self._alarm.raise_(
                "Restore Drill Failed",
                f"`{done.name}` could not be restored into a bot that works: {why}",
                "critical",
            )


def _last_good(found: Sequence[Described], type: Type) -> Described | None:
    return next((each for each in found if each.backup.type == type and each.known.is_good), None)


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
