"""SQLite: one session on a database file."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from socbot.storage.connection import NOTHING, Row, Values
from socbot.storage.errors import (
    StatementError,
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreReadOnly,
)

_PAGES: Final = 1024
"""How many are copied between two steps."""

_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def has_wal_reset_bug(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite can damage a database that two connections write or checkpoint at once.

    socbot lets one connection do both, so that it is safe with any version; a tool that opens the database beside
    a running bot is not.
    """
    if version < (3, 7, 0) or version >= (3, 51, 3):
        return False
    return not ((3, 44, 6) <= version < (3, 45, 0) or (3, 50, 7) <= version < (3, 51, 0))


class SqliteSession:
    """One connection to a SQLite file, on the thread that made it."""

    dialect: Literal["sqlite"] = "sqlite"
    broken = False

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        mode = "ro" if read_only else "rw"
        with _sqlite_errors():
            self.connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, cached_statements=256
            )
            self._begin_with = "BEGIN" if read_only else "BEGIN IMMEDIATE"
            self._patience = -1.0
            try:
                self._configure(read_only)
            except BaseException:
                self.connection.close()
                raise

    def _configure(self, read_only: bool) -> None:
        run = self.connection.execute
        run("PRAGMA foreign_keys = ON")
        if read_only:
            run("PRAGMA query_only = ON")
            run("PRAGMA wal_autocheckpoint = 0")
            return
        [(mode,)] = run("PRAGMA journal_mode = WAL")  # it answers with the old mode where it fails
        if mode != "wal":
            raise StoreError(f"the database cannot keep a write-ahead log here (its journal mode stays {mode!r})")
        run("PRAGMA synchronous = FULL")
        run("PRAGMA wal_autocheckpoint = 1000")
        run("PRAGMA journal_size_limit = 16777216")

    def execute(self, sql: str, values: Values = NOTHING, /) -> list[Row]:
        return self._run(sql, values).fetchall()

    def change(self, sql: str, values: Values = NOTHING, /) -> int:
        cursor = self._run(sql, values)
        cursor.fetchall()  # RETURNING: the rows are changed as they are read
        return max(0, cursor.rowcount)

    def execute_many(self, sql: str, rows: Sequence[Values], /) -> None:
        with _sqlite_errors():
            self.connection.executemany(sql, [_storable(row) for row in rows])

    def limit_idling(self, seconds: float, /) -> None:
        """There is no server."""

    def begin(self, patience: float) -> None:
        with _sqlite_errors():
            if patience != self._patience:
                self.connection.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}")
                self._patience = patience
            self.connection.execute(self._begin_with)

    def commit(self) -> None:
        with _sqlite_errors():
            if not self.connection.in_transaction:
                raise StoreError("SQLite ended the transaction by itself; nothing of it was kept")
            self.connection.execute("COMMIT")

    def rollback(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def copy_to(self, path: Path, step: Callable[[], object] | None = None) -> None:
        """Copy what is committed into the file at ``path``, all of it into that one; return once it is on the disk.

        :param step: called every few megabytes, and what it raises ends it; with one, the copy need not outlive the
            machine, and is not waited for
        """
        with _sqlite_errors():
            target = sqlite3.connect(path, isolation_level=None)
            try:
                if step is None:
                    self.connection.backup(target)
                else:
                    target.execute("PRAGMA journal_mode = OFF")
                    target.execute("PRAGMA synchronous = OFF")
                    self.connection.backup(target, pages=_PAGES, progress=lambda *_: step())
                target.execute("PRAGMA journal_mode = DELETE")
            finally:
                target.close()

    def read_in_pieces(self, sql: str, count: int) -> tuple[tuple[str, ...], Iterator[list[Row]]]:
        """The columns, and the rows, ``count`` at a time."""
        cursor = self._run(sql, NOTHING)
        return tuple(column[0] for column in cursor.description), self._pieces(cursor, count)

    def _pieces(self, cursor: sqlite3.Cursor, count: int) -> Iterator[list[Row]]:
        while True:
            with _sqlite_errors():
                rows = cursor.fetchmany(count)
            if not rows:
                return
            yield rows

    def close(self) -> None:
        with _sqlite_errors():
            self.connection.close()

    def _run(self, sql: str, values: Values) -> sqlite3.Cursor:
        with _sqlite_errors():
            try:
                return self.connection.execute(sql, values)
            except UnicodeEncodeError:
                return self.connection.execute(sql, _storable(values))


@contextmanager
def _sqlite_errors() -> Iterator[None]:
    """Raise what the driver raises as a ``StoreError``."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(error) from error
    except OverflowError as error:
        raise StatementError(str(error)) from error


def _translated(error: sqlite3.Error) -> StoreError:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return StatementError(str(error))
    primary = code & 0xFF
    if primary in _BUSY:
        return StoreBusy("another process is writing to the database")
    if primary in _DAMAGED:
        return StoreDamaged(f"the database is damaged ({error}): restore a backup")
    if primary == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE:  # the file that connections share
        return StoreFull("no room is left on the disk for the database")
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreReadOnly(f"the database cannot be written ({error})")
    if primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT):
        return StoreError(f"the database failed ({error}, {error.sqlite_errorname})")
    return StatementError(str(error))


def _storable(values: Values) -> Values:
    """``values`` without what UTF-8 cannot hold: half of a surrogate pair, which hostile clients send."""
    for value in values.values():
        if isinstance(value, str) and not value.isascii():
            break
    else:
        return values
    return {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in values.items()
    }
