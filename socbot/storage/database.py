"""The one relational store: SQLite by default, PostgreSQL by changing ``storage.url``."""

import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import anyio
import anyio.to_thread

from socbot.config import StorageConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.current import current
from socbot.storage.connection import Connection, Dialect
from socbot.storage.errors import (
    StatementError,
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFenced,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreTooNew,
    StoreTooOld,
    StoreUncertain,
    StoreUnreachable,
)
from socbot.storage.lane import Lane
from socbot.storage.leases import guarded
from socbot.storage.migrations import RELEASED, Revisions, standing

if TYPE_CHECKING:
    from socbot.storage.sqlite_file import SqliteFile

__all__ = [
    "Connection",
    "Database",
    "StatementError",
    "StoreBusy",
    "StoreDamaged",
    "StoreError",
    "StoreFenced",
    "StoreFull",
    "StoreLocked",
    "StoreReadOnly",
    "StoreTooNew",
    "StoreTooOld",
    "StoreUncertain",
    "StoreUnreachable",
]

T = TypeVar("T")

BackUp: TypeAlias = Callable[[Connection, threading.Event], object]
"""Backs up an older store, on the database's thread, or raises a ``StoreError``.

It is given a connection outside of any transaction, and what is set when nobody waits for it any more.
"""

_ALONE = 2.0
"""Seconds after which what does not answer is given up on the connection of ``alone``, since somebody waits for it."""


class Database:
    """Transactions off the event loop: on one thread those that write, on another those that only read.

    Work is a function of a ``Connection``. It runs on that thread, so it must not touch what the event loop
    owns, and it must not wait for anything else.

    :ivar file: where the store is, on SQLite
    :param within: seconds that a command waits for a server that does not answer, or answers slowly
    """

    def __init__(
        self,
        dialect: Dialect,
        writer: Lane,
        reader: Lane,
        alone: Lane | None = None,
        lessor: Lane | None = None,
        file: "SqliteFile | None" = None,
        within: float | None = None,
    ) -> None:
        self.dialect = dialect
        self.file = file
        self._within = within
        self._alone, self._lessor = alone, lessor
        self._writer = writer
        self._reader = reader

    @classmethod
    @asynccontextmanager
    async def open(
        cls, config: StorageConfig, clock: Clock, revisions: Revisions = RELEASED, back_up: BackUp | None = None
    ) -> AsyncIterator["Database"]:
        """Open the store that ``config.url`` names, making it if there is none, bringing it up to date if it is old.

        Before that a SQLite file is copied beside itself, and the copy checked.

        :param back_up: on PostgreSQL called instead; without it, an old store is not brought up to date
        :raises StoreError: the subclass says what is wrong
        """
        opener = _OPENERS.get(re.split(r"[:+]", config.url, maxsplit=1)[0])
        if opener is None:
            raise StoreError("storage.url must begin with sqlite:/// or postgresql://")
        async with opener(config, clock, revisions, back_up) as database:
            yield database

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction of its own and return what it returns, once that is on the disk.

        What ``work`` raises is raised here, and nothing that it did is kept. If the caller is cancelled, work that
        has begun is finished and committed all the same, and work that has not is dropped.

        :raises StoreError: if the transaction failed; nothing was kept, unless the text says otherwise
        """
        return await self._writer.run(guarded(work), self._patience())

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work``, which only reads, on one moment's state of the store: the newest committed.

        :raises StoreReadOnly: if ``work`` tries to write
        :raises StoreBusy: as ``write`` does
        """
        try:
            return await self._reader.run(work, self._patience())
        except StoreUncertain:
            raise StoreBusy("the database has not answered in time") from None

    async def alone(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction that it shares with no other, so that its locks wait for nobody's here.

        :raises StoreError: as ``write`` does, and on SQLite, where there is no other process to agree with
        """
        if self._alone is None:
            raise StoreError("only PostgreSQL can be shared by several processes")
        return await self._alone.run(guarded(work))

    async def lease(self, work: Callable[[Connection], T]) -> T:
        """Run ``work``, which takes or renews a lease, on a connection that nothing else is done on.

        :raises StoreError: as ``alone`` does
        """
        if self._lessor is None:
            raise StoreError("only PostgreSQL can be shared by several processes")
        return await self._lessor.run(work)

    def _patience(self) -> float | None:
        """Seconds that the caller waits for a database that does not answer; None for as long as it takes."""
        ctx = current.get()
        return None if ctx is None or ctx.ended or ctx.command.timeout is not None else self._within

    async def apart(self, work: Callable[[], T]) -> T:
        """Run ``work`` on a thread of its own while the store is not open.

        What was asked of the store before is done first; what is asked meanwhile waits, and finds what is there then.
        """
        with anyio.CancelScope(shield=True):
            async with self._reader.parked(), self._writer.parked():
                result = await anyio.to_thread.run_sync(work)
        return result

    @property
    def recovered(self) -> bool:
        """Whether opening it finished a restore that another process had begun."""
        return self.file is not None and self.file.recovered is not None

    async def size(self) -> int:
        """Bytes of the store: on SQLite of the file and of what is not yet in it, on PostgreSQL as the server says.

        :raises StoreError: if it cannot be told
        """
        file = self.file

        def measure(connection: Connection) -> int:
            if file is None:
                return int(connection.execute("SELECT pg_database_size(current_database())")[0][0])
            return sum(each.stat().st_size for each in (file.path, file.wal) if each.exists())

        return await self.read(measure)

    @property
    def wal_size(self) -> int | None:
        """Bytes of SQLite's write-ahead log, which cannot be emptied while somebody reads an old state of the store.

        None on PostgreSQL, which keeps its own in order.
        """
        if self.file is None:
            return None
        try:
            return self.file.wal.stat().st_size
        except OSError:  # not made yet, or somebody has removed it
            return 0

    @property
    def waiting(self) -> int:
        """How many writes have not begun."""
        return self._writer.waiting

    @property
    def wal_reset_bug(self) -> bool:
        """Whether this SQLite can damage the store if another program writes to it beside the bot."""
        from socbot.storage.sqlite import has_wal_reset_bug

        return self.dialect == "sqlite" and has_wal_reset_bug(sqlite3.sqlite_version_info[:3])


@asynccontextmanager
async def _sqlite(
    config: StorageConfig, clock: Clock, revisions: Revisions, back_up: BackUp | None
) -> AsyncIterator[Database]:
    from socbot.storage.sqlite import SqliteSession
    from socbot.storage.sqlite_file import SqliteFile

    patience = config.busy_timeout
    assert config.file is not None
    file = SqliteFile(config.file)
    writer = Lane("database", lambda: file.open(patience, revisions), clock, patience)
    reader = Lane("database-reader", lambda: SqliteSession(file.path, read_only=True), clock, patience)
    try:
        await writer.run(lambda connection: None)
        yield Database("sqlite", writer, reader, file=file)
    finally:
        # In this order: the last to close tidies up, and that must be the one that may write.
        await reader.close()
        await writer.close()
        file.release()


@asynccontextmanager
async def _postgresql(
    config: StorageConfig, clock: Clock, revisions: Revisions, back_up: BackUp | None
) -> AsyncIterator[Database]:
    try:
        from socbot.storage.postgresql import PostgresSession, brought_up_to_date
    except ImportError:
        raise StoreError("PostgreSQL needs its driver: pip install 'socbot[postgresql]'") from None

    patience, abandoned = config.busy_timeout, threading.Event()

    def before(connection: Connection) -> None:
        if back_up is None:
            raise StoreTooOld(str(standing(connection, revisions)), revisions.head)
        back_up(connection, abandoned)

    def open_to_write() -> PostgresSession:
        return brought_up_to_date(PostgresSession(config.url, patience), revisions, before)

    writer = Lane("database", open_to_write, clock, patience)
    reader = Lane("database-reader", lambda: PostgresSession(config.url, patience, read_only=True), clock, patience)
    hurried = min(patience, _ALONE)
    alone = Lane("database-alone", lambda: PostgresSession(config.url, hurried), clock, hurried, group=1)
    lessor = Lane("database-lease", lambda: PostgresSession(config.url, patience), clock, patience, group=1)
    try:
        await writer.run(lambda connection: None)
        # Half of it: how the command ended is to be kept, too, before it is answered.
        yield Database("postgresql", writer, reader, alone, lessor, within=patience / 2)
    finally:
        abandoned.set()
        await lessor.close()
        await alone.close()
        await reader.close()
        await writer.close()


_OPENERS = {"sqlite": _sqlite, "postgresql": _postgresql, "postgres": _postgresql}
