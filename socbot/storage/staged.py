"""A SQLite store that is to take the place of the live one: whether it is one, and what it keeps of the live one."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from socbot.folders import sync_file, sync_folder
from socbot.storage.errors import StoreDamaged, StoreError
from socbot.storage.migrations import RELEASED, Revisions, standing, upgrade
from socbot.storage.sqlite import SqliteSession
from socbot.storage.sqlite_file import APPLICATION_ID, engine


def make_ready(path: Path, revisions: Revisions = RELEASED) -> None:
    """Check the store at ``path`` whole, and bring it to the newest revision, all of it in the one file.

    :raises StoreTooNew: if a newer socbot wrote it
    :raises StoreDamaged: if it is no sound store
    """
    session = SqliteSession(path)
    try:
        _check(session, path)
        if standing(session, revisions) != revisions.head:
            upgrade(engine(session), revisions)
        session.execute("PRAGMA journal_mode = DELETE")
    finally:
        session.close()
    sync(path)


def _check(session: SqliteSession, path: Path) -> None:
    [(application,)] = session.execute("PRAGMA application_id")
    if application != APPLICATION_ID:
        raise StoreDamaged(f"{path.name} is no socbot store")
    # What would run by itself when the store is written: no socbot makes any.
    active = session.execute("SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index')")
    if active:
        raise StoreDamaged(f"{path.name} holds what no socbot store holds: {len(active)} triggers or views")
    faults = [str(row[0]) for row in session.execute("PRAGMA integrity_check(5)")]
    if faults != ["ok"]:
        raise StoreDamaged(f"{path.name} is damaged: {'; '.join(faults)}")


def carry_over(live: Path, staged: Path, tables: Iterable[str]) -> None:
    """Put what is in ``tables`` of the store at ``live`` in the place of what is in those of the one at ``staged``.

    Neither may be open anywhere else.

    :raises StoreError: if ``live`` cannot be read; then nothing has changed
    """
    try:
        connection = sqlite3.connect(f"{staged.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
        try:
            _carry_over(connection, live, tables)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StoreError(f"the live store cannot be read ({error})") from error
    sync(staged)


def empty(staged: Path, tables: Iterable[str]) -> None:
    """Take everything out of ``tables`` of the store at ``staged``, which may not be open anywhere else."""
    connection = sqlite3.connect(f"{staged.absolute().as_uri()}?mode=rw", uri=True)
    try:
        for table in tables:
            connection.execute(f'DELETE FROM "{table}"')
        connection.commit()
    finally:
        connection.close()
    sync(staged)


def _carry_over(connection: sqlite3.Connection, live: Path, tables: Iterable[str]) -> None:
    connection.execute("ATTACH :live AS live", {"live": f"{live.absolute().as_uri()}?mode=ro"})
    connection.execute("BEGIN IMMEDIATE")
    for table in tables:
        columns = ", ".join(f'"{name}"' for name in _columns(connection, "live", table))
        if columns:
            connection.execute(f'DELETE FROM main."{table}"')
            connection.execute(f'INSERT INTO main."{table}" ({columns}) SELECT {columns} FROM live."{table}"')
    connection.execute("COMMIT")


def _columns(connection: sqlite3.Connection, schema: str, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f'PRAGMA "{schema}".table_info("{table}")')]


def sync(path: Path) -> None:
    sync_file(path)
    sync_folder(path.parent)
