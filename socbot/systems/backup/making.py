"""Making a backup, which is one as soon as every byte of it was read again and found to be right."""

import os
from collections.abc import Iterator, Sequence

import anyio

from socbot.config import BackupConfig, StorageConfig
from socbot.dispatch.clock import Clock
from socbot.storage import swaps
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.snapshots import Source
from socbot.systems.backup import paths, records
from socbot.systems.backup.archive import Report, back_up, verify
from socbot.systems.backup.errors import Damaged
from socbot.systems.backup.manifest import Info, Manifest, Type
from socbot.systems.backup.records import Mark
from socbot.systems.backup.restore import KEY_NAME
from socbot.systems.backup.shelf import Backup, Shelf
from socbot.systems.backup.threads import OffLoop, Tell, Work, silent
from socbot.systems.webhooks.system import key_path
from socbot.version import VERSION


class Maker:
    """Makes backups, reads them again, and deletes them; the store knows of it."""

    def __init__(self, database: Database, clock: Clock, storage: StorageConfig, shelf: Shelf) -> None:
        self._database, self._clock, self._storage, self._shelf = database, clock, storage, shelf
        self._off_loop = OffLoop(clock)

    async def make(self, type: Type, tell: Tell = silent) -> tuple[Backup, Manifest]:
        """Make a backup and verify it.

        :raises BackupError: the subclass says what is wrong; what was written of it is gone
        """
        head = await self._database.read(audit_head)
        await tell("Reading the store and packing…")
        name, manifest = await self._off_loop(lambda work: self._pack(type, head, work), "Packing", tell)
        backup = await self._off_loop(lambda work: self._shelf.find(name))
        try:
            await tell("Verifying…")
            await self.require_intact(backup, tell)
        except BaseException:  # what could not be verified here and now is no backup
            with anyio.CancelScope(shield=True):
                await self.delete([backup])
            raise
        return backup, manifest

    async def verify(self, backup: Backup, tell: Tell = silent, *, unsigned: bool = False) -> Report:
        """Read every byte of ``backup``; what was found is on record.

        :raises BackupError: if it cannot be told, such as for lack of the key
        """
        report = await self._off_loop(
            lambda work: read_all(backup, self._shelf, work, unsigned=unsigned), "Verifying", tell
        )
        now, problem = self._clock.time(), problem_in(report)

        def found(mark: Mark) -> Mark:
            return Mark(now if report.intact else None, mark.proven_at, problem)

        await self._database.write(lambda connection: records.change_mark(connection, backup, found))
        return report

    async def require_intact(self, backup: Backup, tell: Tell = silent, *, unsigned: bool = False) -> None:
        """:raises Damaged: if not every byte of ``backup`` is right"""
        refuse_damaged(await self.verify(backup, tell, unsigned=unsigned))

    async def delete(self, backups: Sequence[Backup]) -> None:
        def delete(work: Work) -> None:
            for backup in backups:
                backup.path.unlink(missing_ok=True)

        await self._off_loop(delete)
        await self._database.write(lambda connection: records.forget(connection, [each.name for each in backups]))

    def _pack(self, type: Type, head: str, work: Work) -> tuple[str, Manifest]:
        return pack(type, head, self._storage, self._shelf, self._clock, work)


def pack(
    type: Type, head: str, storage: StorageConfig, shelf: Shelf, clock: Clock, work: Work
) -> tuple[str, Manifest]:  # fmt: skip
    """Write a backup, on a worker's thread; its name. It is to be read again before anybody relies on it.

    :param head: the newest hash of the audit's chain
    :raises BackupError, StoreError: the subclass says what is wrong; what was written of it is gone
    """
    shelf.make_folder()
    now, config = clock.time(), shelf.config
    name, path = shelf.next_name(type, now)
    manifest = back_up(
        path, Info(type, now, VERSION, head), storage, tuple(_files(config, storage)), keys=shelf.keys,
        seal=config.encryption, level=config.level, progress=work.progress, cancelled=work.cancelled,
    )  # fmt: skip
    return name, manifest


def _files(config: BackupConfig, storage: StorageConfig) -> Iterator[Source]:
    key_file = key_path(storage)
    yield from paths.sources(config.paths)
    if config.encryption and key_file.is_file():
        yield Source(KEY_NAME, key_file)


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


def refuse_damaged(report: Report) -> None:
    """:raises Damaged: naming the first fault, if there is one"""
    if not report.intact:
        raise Damaged(*_first_fault(report))


def problem_in(report: Report) -> str:
    """What is wrong with a backup, on one line; empty if nothing is."""
    if report.intact:
        return ""
    file, problem = _first_fault(report)
    return f"{file}: {problem}" if file else problem


def _first_fault(report: Report) -> tuple[str, str]:
    """The file, and what is wrong with it."""
    fault = report.faults[0] if report.faults else None
    return ("", "it cannot be read") if fault is None else (fault.file, fault.text or f"{fault.what} is wrong")


def audit_head(connection: Connection) -> str:
    """The newest hash of the audit's chain; empty if there is none."""
    rows = connection.execute("SELECT hash FROM audit ORDER BY id DESC LIMIT 1")
    return str(rows[0][0]) if rows else ""
