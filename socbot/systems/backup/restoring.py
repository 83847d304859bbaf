"""A backup restored, and a restore undone: verified, secured against, staged, exchanged, and gone by; or nothing."""

import logging
from contextlib import suppress
from pathlib import Path

import anyio
from msgspec import Struct

from socbot.config import StorageConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.replies import escape
from socbot.storage.database import Database
from socbot.storage.swaps import Journal, Move, Step
from socbot.systems.backup import restore
from socbot.systems.backup.errors import BackupError, os_errors, reason_of
from socbot.systems.backup.exchange import Exchange, PostgresqlExchange, SqliteExchange
from socbot.systems.backup.host import Host
from socbot.systems.backup.making import Maker, read_all, refuse_damaged
from socbot.systems.backup.restore import Place, Staged, place_of
from socbot.systems.backup.shelf import Backup, Shelf
from socbot.systems.backup.threads import OffLoop, Tell, Work

_log = logging.getLogger(__name__)


class Restored(Struct, frozen=True):
    """What a restore did.

    :param before: the backup that was made of the state before; empty if there was nothing sound to back up
    :param files: those of ``backup.paths`` that are now as in the backup
    :param left_out: what was in it and is none of them
    :param problems: what could not be put in force, or not be kept
    :param orphans: deliveries that waited for a webhook that is there no more, and are dead now
    """

    name: str
    before: str
    files: tuple[str, ...]
    left_out: tuple[str, ...]
    problems: tuple[str, ...]
    seconds: float
    orphans: int = 0


class _Swapped(Struct, frozen=True):
    """See ``Restored``."""

    before: str
    problems: tuple[str, ...]
    orphans: int


class Restorer:
    """Puts the state of a backup in the place of the one that is there, under a bot that is running.

    :param step: told each step, on a worker's thread
    """

    def __init__(
        self, database: Database, clock: Clock, storage: StorageConfig, shelf: Shelf, maker: Maker, host: Host,
        step: Step,
    ) -> None:  # fmt: skip
        self._clock, self._storage, self._shelf, self._maker = clock, storage, shelf, maker
        self._host, self._step = host, step
        self._off_loop = OffLoop(clock)
        self._exchange: Exchange
        if database.dialect == "postgresql":
            self._exchange = PostgresqlExchange(database, shelf, self._off_loop, step)
        else:
            self._exchange = SqliteExchange(database, self._off_loop, step)

    @property
    def _place(self) -> Place:
        return place_of(self._storage, self._shelf.config)

    async def recover(self) -> None:
        """Finish what an earlier process has left of a restore."""
        await self._exchange.recover(self._place)

    async def undoable(self) -> Journal:
        """:raises BackupError: if there is no restore that can be undone"""
        journal = await self._off_loop(lambda work: restore.undoable(self._place))
        if journal is None:
            raise BackupError("There is no restore that could be undone.")
        return journal

    async def restore(self, name: str, tell: Tell, *, unsigned: bool = False) -> Restored:
        """Put a backup in the place of what is there.

        :raises BackupError, StoreError: the subclass says what is wrong; everything is as it was
        """
        started = self._clock.monotonic()
        backup = await self._off_loop(lambda work: self._shelf.find(name))
        self._step("verify")
        await tell(f"Verifying `{backup.name}`…")
        await self._maker.require_intact(backup, tell, unsigned=unsigned)
        before = await self._back_up_early(tell)
        await tell("Staging…")
        place = self._place
        try:
            staged = await self._staged(backup, place, tell, unsigned)
            await tell("Swapping…")
            swapped = await self._swap(backup.name, before, staged.store, staged.files, place, tell)
        finally:
            await self._clear(place)
        seconds = self._clock.monotonic() - started
        return Restored(
            backup.name, swapped.before, staged.restored, staged.left_out, swapped.problems, seconds, swapped.orphans
        )

    async def undo(self, tell: Tell) -> Restored:
        """Put back what was there before the last restore.

        :raises BackupError: if there is nothing to undo, or it cannot be done; everything is as it was
        """
        started, place = self._clock.monotonic(), self._place
        journal = await self.undoable()
        before = await self._back_up_early(tell)
        try:
            store, moves = await self._off_loop(lambda work: self._former(journal, place))
            swapped = await self._swap(f"undo {journal.name}", before, store, moves, place, tell)
        finally:
            await self._clear(place)
        files = tuple(Path(move.live).name for move in moves)
        seconds = self._clock.monotonic() - started
        return Restored(f"before {journal.name}", swapped.before, files, (), swapped.problems, seconds, swapped.orphans)

    async def _back_up_early(self, tell: Tell) -> str:
        """The backup of what is there, made while commands go on; empty where it has to have all that they did.

        SQLite's former file is kept as it is. On PostgreSQL the backup is all that there will be of it.
        """
        return "" if self._exchange.goes_back_by_backup else await self._back_up(tell)

    async def _back_up(self, tell: Tell) -> str:
        self._step("back up what is there")
        await tell("Backing up what is there…")
        backup, _ = await self._maker.make("pre_restore", tell)
        return backup.name

    async def _staged(self, backup: Backup, place: Place, tell: Tell, unsigned: bool) -> Staged:
        def stage(work: Work) -> Staged:
            return restore.stage(
                backup.path, place, self._shelf.keys, unsigned=unsigned, step=self._step, progress=work.progress,
                cancelled=work.cancelled,
            )  # fmt: skip

        return await self._off_loop(stage, "Unpacking", tell)

    def _former(self, journal: Journal, place: Place) -> tuple[Path, tuple[Move, ...]]:
        store, moves = restore.stage_former(journal, place, self._step)
        if store is None:  # on PostgreSQL the former store is in the backup that was made of it
            before = self._shelf.find(journal.before)
            store = restore.stage(before.path, place, self._shelf.keys, step=self._step).store
        return store, moves

    async def _swap(
        self, name: str, before: str, store: Path, files: tuple[Move, ...], place: Place, tell: Tell
    ) -> _Swapped:
        """Exchange what is there, and have all systems go by it.

        :param before: that backup, if it has been made
        """
        async with self._host.held():
            before = before or await self._back_up(tell)
            with anyio.CancelScope(shield=True):  # what has begun to change is not left so
                orphans = await self._exchange.carry_out(name, before, store, files, place)
                try:
                    problems = await self._host.restored()
                    await self._exchange.settle(place)
                # Whatever a system cannot go by, it is given back what it went by before.
                except Exception as error:
                    _log.exception("the bot cannot go by %s; everything is put back", name)
                    await self._exchange.put_back(before, place)
                    await self._host.restored()
                    raise BackupError(
                        f"The bot cannot go by what is in it ({escape(reason_of(error), 300)}). "
                        "Everything is as it was."
                    ) from error
        return _Swapped(before, problems, orphans)

    async def _clear(self, place: Place) -> None:
        with anyio.CancelScope(shield=True), suppress(BackupError, OSError):
            await self._off_loop(lambda work: restore.clear(place))


def restore_over(name: str, shelf: Shelf, place: Place, clock: Clock, *, unsigned: bool = False) -> Restored:
    """Restore where the store cannot be opened: it is put aside as it is. This process must have possession of it.

    :raises BackupError, StoreError: the subclass says what is wrong; everything is as it was
    """
    started, backup = clock.monotonic(), shelf.find(name)
    refuse_damaged(read_all(backup, shelf, Work(), unsigned=unsigned))
    with os_errors("Nothing was restored"):
        staged = restore.stage(backup.path, place, shelf.keys, unsigned=unsigned)
        try:
            problems = tuple(restore.swap_over(backup.name, staged, place))
        finally:
            restore.clear(place)
    return Restored(backup.name, "", staged.restored, staged.left_out, problems, clock.monotonic() - started)
