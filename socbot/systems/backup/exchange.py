"""The state that is there, exchanged for one that is staged: on each kind of store by its own means.

Until an exchange is settled it can be put back, by this process or, after it was killed, by the next one.
"""

from pathlib import Path
from typing import Final, Protocol

from socbot.storage import swaps
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.errors import StoreError
from socbot.storage.snapshots import fill
from socbot.storage.swaps import Journal, Move, Step
from socbot.systems.backup import restore
from socbot.systems.backup.errors import BackupError, os_errors
from socbot.systems.backup.restore import CARRIED, Place
from socbot.systems.backup.shelf import Shelf
from socbot.systems.backup.threads import OffLoop
from socbot.systems.webhooks import outbox

_FAILED: Final = "Nothing was restored"


class Exchange(Protocol):
    """The store and the operator's files, which change together or not at all.

    :ivar goes_back_by_backup: whether all that is left of the former state is the backup that was made of it
    """

    goes_back_by_backup: bool

    async def carry_out(self, name: str, before: str, store: Path, files: tuple[Move, ...], place: Place) -> int:
        """Put ``store`` and ``files`` in the place of what is there; to be followed by ``settle`` or ``put_back``.

        :param name: what it is for
        :param before: the backup of what is there
        :returns: how many deliveries waited for a webhook that is there no more, and are dead now
        :raises BackupError, StoreError: if that cannot be done; everything is as it was
        """

    async def settle(self, place: Place) -> None:
        """What was put in place is good."""

    async def put_back(self, before: str, place: Place) -> None:
        """Put back what was there."""

    async def recover(self, place: Place) -> None:
        """Finish what an earlier process has left."""


class SqliteExchange:
    """On SQLite the store is one of the files, so that all of it is one swap."""

    goes_back_by_backup = False

    def __init__(self, database: Database, off_loop: OffLoop, step: Step) -> None:
        self._database, self._off_loop, self._step = database, off_loop, step

    async def carry_out(self, name: str, before: str, store: Path, files: tuple[Move, ...], place: Place) -> int:
        def swap() -> int:
            self._step("carry over")
            orphans = restore.carry(store, place)
            journal = Journal(name, before, (*files, *restore.moves_of_store(store, place)))
            swaps.carry_out(place.journal, journal, self._step)
            return len(orphans)

        with os_errors(_FAILED):
            return await self._database.apart(swap)

    async def settle(self, place: Place) -> None:
        self._step("settle")
        await self._off_loop(lambda work: swaps.settle(place.journal))

    async def put_back(self, before: str, place: Place) -> None:
        await self._database.apart(lambda: swaps.revert(place.journal, self._step))

    async def recover(self, place: Place) -> None:
        """There is nothing to do: the database did it before it opened the store."""


class PostgresqlExchange:
    """On PostgreSQL the files are swapped first, then all tables refilled in one transaction.

    A mark that is written in the same transaction says whether it was committed, and so which of the files belong to
    the tables.
    """

    goes_back_by_backup = True

    def __init__(self, database: Database, shelf: Shelf, off_loop: OffLoop, step: Step) -> None:
        self._database, self._shelf, self._off_loop, self._step = database, shelf, off_loop, step
        self._orphans: tuple[int, ...] = ()  # by the exchange that is not settled

    async def carry_out(self, name: str, before: str, store: Path, files: tuple[Move, ...], place: Place) -> int:
        journal = Journal(name, before, files)
        await self._database.write(_unmark)
        with os_errors(_FAILED):
            await self._off_loop(lambda work: swaps.carry_out(place.journal, journal, self._step))
        try:
            await self._database.write(lambda connection: self._take_over(connection, store))
        except BaseException:
            if not await self._is_committed():
                await self._off_loop(lambda work: swaps.revert(place.journal, self._step))
                raise
        return len(self._orphans)

    def _take_over(self, connection: Connection, store: Path) -> None:
        former = outbox.identities(connection)
        _refill(connection, store, self._step)
        self._orphans = outbox.orphan(connection, former)
        connection.change("INSERT INTO heartbeats (name, at) VALUES (:name, 0)", {"name": _MARK})
        self._step("commit")

    def _give_back(self, connection: Connection, store: Path) -> None:
        _refill(connection, store, self._step)
        outbox.adopt(connection, self._orphans)
        self._step("commit")

    async def settle(self, place: Place) -> None:
        self._step("settle")
        await self._off_loop(lambda work: swaps.settle(place.journal))
        await self._database.write(_unmark)

    async def put_back(self, before: str, place: Place) -> None:
        path = (await self._off_loop(lambda work: self._shelf.find(before))).path
        store = await self._off_loop(lambda work: restore.unpack_store(path, place.scratch, self._shelf.keys))
        await self._database.write(lambda connection: self._give_back(connection, store))
        await self._off_loop(lambda work: swaps.revert(place.journal, self._step))
        await self._off_loop(lambda work: swaps.discard(place.scratch))

    async def recover(self, place: Place) -> None:
        if not swaps.is_open(place.journal):
            return
        committed = await self._database.read(_is_marked)
        finish = swaps.recover if committed else swaps.revert
        await self._off_loop(lambda work: finish(place.journal))
        await self._off_loop(lambda work: swaps.settle(place.journal))
        await self._database.write(_unmark)

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


_MARK: Final = "restore"


def _refill(connection: Connection, store: Path, step: Step) -> None:
    """Empty the tables and fill them from ``store``; how long that takes is not bounded."""
    connection.execute("SET LOCAL statement_timeout = 0")
    connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    step("refill the tables")
    fill(connection, store, frozenset(CARRIED))
    _unmark(connection)


def _is_marked(connection: Connection) -> bool:
    return bool(connection.execute("SELECT 1 FROM heartbeats WHERE name = :name", {"name": _MARK}))


def _unmark(connection: Connection) -> None:
    connection.change("DELETE FROM heartbeats WHERE name = :name", {"name": _MARK})
