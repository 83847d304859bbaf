"""Stores as each revision left them, with rows in every table: frozen, whatever becomes of the revisions.

``python -m tests.storage.released`` adds that of a revision which has none.
"""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

from socbot.storage.connection import Connection
from socbot.storage.migrations import RELEASED, Revisions, upgrade
from socbot.storage.sqlite_file import APPLICATION_ID

FOLDER = Path(__file__).with_name("released")
ROWS = 3

_HOURS = ("hour", "month", "upto")
_STATUS = ("ok", "failed", "refused")


def up_to(revision: str) -> Revisions:
    """The revisions that a program of that time knew."""
    return Revisions(RELEASED.names[: RELEASED.names.index(revision) + 1], RELEASED.folder)


def nothing_first(connection: Connection, abandoned: threading.Event) -> None:
    """For an upgrade of which the backup is not what matters."""


def put(revision: str, path: Path) -> None:
    """Make the store of ``revision`` at ``path``."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript((FOLDER / f"{revision}.sql").read_text())
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.close()


def rows_of(revision: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """What is in each table of the store of ``revision``."""
    connection = sqlite3.connect(":memory:")
    connection.executescript((FOLDER / f"{revision}.sql").read_text())
    connection.row_factory = sqlite3.Row
    for name in _tables(connection):
        yield name, [dict(row) for row in connection.execute(f"SELECT * FROM {name}")]
    connection.close()


def _tables(connection: sqlite3.Connection) -> list[str]:
    sql = (
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'alembic_version'"
    )
    return [name for (name,) in connection.execute(sql).fetchall()]


def _value(table: str, column: str, kind: str, number: int) -> object:
    if kind in ("TEXT", "BLOB"):
        text = _STATUS[number] if column == "status" else f"{table} 'é' \"{column}\"; {number}"
        return text if kind == "TEXT" else text.encode() + b"\0\xff"
    return 450_000 + 30 * number if column in _HOURS else number + (0.25 if kind not in ("BIGINT", "INTEGER") else 0)


def _fill(connection: sqlite3.Connection) -> None:
    for table in _tables(connection):
        columns = [(name, kind) for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})")]
        for number in range(ROWS):
            values = [_value(table, name, kind, number) for name, kind in columns]
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)
    connection.commit()


def _freeze(revision: str) -> None:
    path = FOLDER / f"{revision}.db"
    engine = create_engine(f"sqlite:///{path}")
    upgrade(engine, up_to(revision))
    engine.dispose()
    connection = sqlite3.connect(path)
    _fill(connection)
    (FOLDER / f"{revision}.sql").write_text("\n".join(connection.iterdump()) + "\n")
    connection.close()
    path.unlink()


if __name__ == "__main__":
    for name in RELEASED.names:
        if not (FOLDER / f"{name}.sql").exists():
            _freeze(name)
