"""One moment of the store, taken while it is being written to, and made into a store again.

SQLite hands over its pages, by its own backup interface; a copy of the file would not be a moment of it. Where
nothing may be written in the clear, and on PostgreSQL, the moment is handed over as the rows of its tables.
"""

import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from socbot.config import StorageConfig
from socbot.storage.connection import Connection, Dialect, Row
from socbot.storage.errors import StoreDamaged, StoreError, StoreTooNew, decoding
from socbot.storage.migrations import RELEASED, Revisions, snapshot, standing, upgrade
from socbot.storage.sqlite import SqliteSession

Form: TypeAlias = Literal["pages", "rows"]
Step: TypeAlias = Callable[[], object]

PAGES: Final = "store/socbot.db"
SHAPE: Final = "store/rows.json"
_ROWS: Final = "store/rows/"

FETCHED: Final = 256
"""Rows that are taken at once: the event loop never waits for longer than these take."""

PIECE: Final = 1024 * 1024
"""Bytes of rows that are handed over as one source."""

LARGEST_PIECE: Final = 256 * 1024 * 1024
_LENGTH: Final = struct.Struct("<I")


class Source(Struct, frozen=True):
    """What goes into a backup under ``name``, which is "/"-separated: a file, or what is in memory."""

    name: str
    path: Path | None = None
    content: bytes = b""


class Moment(Struct, frozen=True):
    """One moment of the store.

    :param size: about how many bytes there will be
    :param sources: read once, in their order, before the moment ends
    """

    dialect: Dialect
    form: Form
    revision: str
    size: int
    sources: Iterator[Source]


@contextmanager
def moment(config: StorageConfig, staging: Path | None, step: Step = lambda: None) -> Iterator[Moment]:
    """Hold one moment of the store, on this thread; whoever writes meanwhile is not held up.

    :param staging: a private folder for SQLite's pages; without one nothing is written anywhere, and the moment is
        handed over as rows
    :param step: called every few milliseconds; what it raises ends the moment
    :raises StoreError: if the store cannot be read
    """
    if config.file is not None:
        with _sqlite_moment(config.file, config.busy_timeout, staging, step) as now:
            yield now
    else:
        with _postgresql_moment(config, step) as now:
            yield now


# -- taking it ----------------------------------------------------------------------------------------


@contextmanager
def _sqlite_moment(path: Path, patience: float, staging: Path | None, step: Step) -> Iterator[Moment]:
    # A connection of its own: the store's reader would be busy for as long as it takes.
    session = SqliteSession(path, read_only=True)
    try:
        session.begin(patience)
        # The moment is fixed by the first read; held open, it keeps the copying from beginning anew at every write.
        revision = _revision(session)
        [(size,)] = session.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        if staging is None:
            yield Moment("sqlite", "rows", revision, size, _rows(_SqliteRows(session), revision, step))
        else:
            copy = staging / "socbot.db"
            os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            session.copy_to(copy, step)
            session.rollback()
            yield Moment("sqlite", "pages", revision, size, iter((Source(PAGES, copy),)))
    finally:
        session.rollback()
        session.close()


@contextmanager
def _postgresql_moment(config: StorageConfig, step: Step) -> Iterator[Moment]:
    from socbot.storage.postgresql import PostgresSession

    session = PostgresSession(config.url, max(30.0, config.busy_timeout), read_only=True)
    try:
        session.begin(config.busy_timeout)
        revision = _revision(session)
        [(size,)] = session.execute("SELECT pg_database_size(current_database())")
        yield Moment("postgresql", "rows", revision, size, _rows(_PostgresRows(session), revision, step))
    finally:
        session.rollback()
        session.close()


def _revision(connection: Connection) -> str:
    revision = standing(connection, RELEASED)
    if revision is None:
        raise StoreError("there is nothing in the store")
    return revision


# -- rows ---------------------------------------------------------------------------------------------


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """A table's columns, and how many rows there were."""

    columns: tuple[str, ...]
    rows: int


class Shape(Struct, frozen=True, forbid_unknown_fields=True):
    """What rows belong to: handed over last, when they have been counted."""

    revision: str
    tables: dict[str, Table]


class _Rows(Protocol):
    def tables(self) -> list[str]: ...

    def read(self, table: str) -> tuple[tuple[str, ...], Iterator[list[Row]]]:
        """Its columns, and its rows, some at a time."""


class _SqliteRows:
    def __init__(self, session: SqliteSession) -> None:
        self._session = session

    def tables(self) -> list[str]:
        rows = self._session.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~' "
            "AND name <> 'alembic_version' ORDER BY name"
        )
        return [name for (name,) in rows]

    def read(self, table: str) -> tuple[tuple[str, ...], Iterator[list[Row]]]:
        return self._session.read_in_pieces(f'SELECT * FROM "{table}"', FETCHED)


class _PostgresRows:
    def __init__(self, session: Any) -> None:
        self._session = session

    def tables(self) -> list[str]:
        """Ours alone: others may use the database too."""
        rows = self._session.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        return sorted({name for (name,) in rows} & set(our_tables()))

    def read(self, table: str) -> tuple[tuple[str, ...], Iterator[list[Row]]]:
        columns = self._session.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 "
            "AND NOT attisdropped ORDER BY attnum",
            {"table": f'"{table}"'},
        )
        return tuple(name for (name,) in columns), self._pieces(table)

    def _pieces(self, table: str) -> Iterator[list[Row]]:
        self._session.execute(f'DECLARE backup NO SCROLL CURSOR FOR SELECT * FROM "{table}"')
        while rows := self._session.execute(f"FETCH {FETCHED} FROM backup"):
            yield rows
        self._session.execute("CLOSE backup")


def our_tables() -> list[str]:
    """The tables of the newest revision, without reading their definitions from SQLAlchemy, which takes long."""
    return re.findall(r"^CREATE TABLE (\w+)", snapshot.SCHEMA, re.MULTILINE)


def _rows(rows: _Rows, revision: str, step: Step) -> Iterator[Source]:
    tables: dict[str, Table] = {}
    for table in rows.tables():
        columns, pieces = rows.read(table)
        count = 0
        for number, (content, found) in enumerate(_gathered(pieces, step), 1):
            count += found
            yield Source(f"{_ROWS}{table}/{number:06}", content=content)
        tables[table] = Table(columns, count)
    yield Source(SHAPE, content=msgspec.json.encode(Shape(revision, tables)))


def _gathered(pieces: Iterator[list[Row]], step: Step) -> Iterator[tuple[bytes, int]]:
    """What is written of as many rows as make ``PIECE`` bytes, and how many they are."""
    gathered, count = bytearray(), 0
    for rows in pieces:
        step()
        packed = msgspec.msgpack.encode(rows)
        gathered += _LENGTH.pack(len(packed)) + packed
        count += len(rows)
        if len(gathered) >= PIECE:
            yield bytes(gathered), count
            gathered, count = bytearray(), 0
    if count:
        yield bytes(gathered), count


def _unpacked(content: bytes, name: str) -> Iterator[list[list[Any]]]:
    """:raises StoreDamaged: if those are no rows"""
    at = 0
    while at < len(content):
        end = at + _LENGTH.size + int.from_bytes(content[at : at + _LENGTH.size], "little")
        if end > len(content):
            raise StoreDamaged(f"the rows in {name} were cut off")
        with decoding(f"a part of the rows in {name}"):
            rows = msgspec.msgpack.decode(memoryview(content)[at + _LENGTH.size : end], type=list[list[Any]])
        yield rows
        at = end


class RowCheck:
    """Counts rows as they pass by, and compares with what was counted when they were packed."""

    def __init__(self) -> None:
        self._found: dict[str, int] = {}
        self._widths: dict[str, set[int]] = {}
        self._shape: Shape | None = None

    def see(self, name: str, size: int, contents: Iterator[memoryview]) -> None:
        """:raises StoreDamaged: if what is there is not what belongs there"""
        if not name.startswith("store/"):
            for _ in contents:
                pass
            return
        if size > LARGEST_PIECE:
            raise StoreDamaged("it is larger than any piece of rows")
        content = b"".join(contents)
        if name == SHAPE:
            self._shape = _shape(content)
            return
        table = _table_of(name)
        for rows in _unpacked(content, name):
            self._found[table] = self._found.get(table, 0) + len(rows)
            self._widths.setdefault(table, set()).update(len(row) for row in rows)

    def counted(self) -> int:
        """How many rows there are.

        :raises StoreDamaged: if they are not those that were packed
        """
        if self._shape is None:
            raise StoreDamaged(f"{SHAPE} is missing")
        expected = {name: table.rows for name, table in self._shape.tables.items() if table.rows}
        for name in sorted(expected.keys() | self._found.keys()):
            found, wanted = self._found.get(name, 0), expected.get(name, 0)
            if found != wanted:
                raise StoreDamaged(f"{name} has {found:,} rows, and {wanted:,} were counted")
            if self._widths[name] != {len(self._shape.tables[name].columns)}:
                raise StoreDamaged(f"{name} has rows of other columns")
        return sum(expected.values())


def _shape(content: bytes) -> Shape:
    with decoding(SHAPE):
        return msgspec.json.decode(content, type=Shape)


def _table_of(name: str) -> str:
    found = re.fullmatch(rf"{_ROWS}(\w+)/[0-9]+", name)
    if found is None:
        raise StoreDamaged(f"{name} belongs to no table")
    return found[1]


# -- making it a store --------------------------------------------------------------------------------


def check_pages(path: Path) -> None:
    """:raises StoreError: if what is there is no sound store"""
    from socbot.storage.sqlite_file import APPLICATION_ID

    session = SqliteSession(path, read_only=True)
    try:
        [(application,)] = session.execute("PRAGMA application_id")
        if application != APPLICATION_ID:
            raise StoreDamaged("it is no store of socbot")
        faults = [str(fault) for (fault,) in session.execute("PRAGMA integrity_check(3)")]
        if faults != ["ok"]:
            raise StoreDamaged(f"it is damaged: {'; '.join(faults)}")
    finally:
        session.close()


def stage(folder: Path, target: Path, revisions: Revisions = RELEASED) -> None:
    """Make of an extracted moment, in ``folder``, a SQLite store at ``target``, of the newest revision and checked.

    :raises StoreDamaged: if what is there is no sound store
    :raises StoreTooNew: if a newer socbot made it
    """
    from socbot.storage.staged import make_ready

    pages = folder / PAGES
    if pages.is_file():
        pages.rename(target)
    else:
        _build(folder, target, revisions)
    target.chmod(0o600)
    make_ready(target, revisions)


def _build(folder: Path, target: Path, revisions: Revisions) -> None:
    if not (folder / SHAPE).is_file():
        raise StoreDamaged(f"neither {PAGES} nor {SHAPE} is there")
    shape = _shape((folder / SHAPE).read_bytes())
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    _make_tables(target, shape.revision, revisions)
    session = SqliteSession(target)
    try:
        # Nobody has it yet: if the machine stops, it is built again.
        session.execute("PRAGMA journal_mode = OFF")
        session.execute("PRAGMA synchronous = OFF")
        session.begin(0.0)
        for name, table in shape.tables.items():
            _put(session, name, table, folder / _ROWS / name)
        session.commit()
    finally:
        session.close()


def _make_tables(target: Path, revision: str, revisions: Revisions) -> None:
    """As they were at ``revision``: by the steps that led to it, and by nothing that stands in the backup."""
    from socbot.storage.sqlite_file import APPLICATION_ID, engine

    if revision not in revisions.names:
        raise StoreTooNew(revision)
    names = revisions.names[: revisions.names.index(revision) + 1]
    session = SqliteSession(target)
    try:
        upgrade(engine(session), Revisions(names, revisions.folder))
        session.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    finally:
        session.close()


def _put(session: SqliteSession, name: str, table: Table, folder: Path) -> None:
    known = [column for (column,) in session.execute("SELECT name FROM pragma_table_info(:name)", {"name": name})]
    if set(known) != set(table.columns) or len(known) != len(table.columns):
        raise StoreDamaged(f"the table {name} does not have these columns in revision")
    count = 0
    for path in sorted(folder.iterdir(), key=lambda path: int(path.name)) if folder.is_dir() else ():
        for rows in _unpacked(path.read_bytes(), path.name):
            _insert(session, name, table.columns, rows)
            count += len(rows)
    if count != table.rows:
        raise StoreDamaged(f"{name} has {count:,} rows, and {table.rows:,} were counted")


def _insert(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    names, values = ", ".join(f'"{column}"' for column in columns), ", ".join(f":{column}" for column in columns)
    try:
        named = [dict(zip(columns, row, strict=True)) for row in rows]
    except ValueError:
        raise StoreDamaged(f"{table} has rows of other columns") from None
    connection.execute_many(f'INSERT INTO "{table}" ({names}) VALUES ({values})', named)


def fill(connection: Connection, staged: Path, leave: frozenset[str] = frozenset()) -> dict[str, int]:
    """Within the caller's transaction, empty our tables and fill them from the SQLite store at ``staged``.

    :param leave: tables that are left as they are
    :returns: the rows of each table that was filled
    """
    session = SqliteSession(staged, read_only=True)
    try:
        rows = _SqliteRows(session)
        tables = [table for table in our_tables() if table not in leave]
        return {table: _fill(connection, table, *rows.read(table)) for table in tables}
    finally:
        session.close()


def _fill(connection: Connection, table: str, columns: tuple[str, ...], pieces: Iterator[list[Row]]) -> int:
    count = 0
    connection.change(f'TRUNCATE "{table}"' if connection.dialect == "postgresql" else f'DELETE FROM "{table}"')
    for rows in pieces:
        _insert(connection, table, columns, rows)
        count += len(rows)
    if connection.dialect == "postgresql" and "id" in columns:
        # The rows bring their numbers with them, and the next new one must not be one of those.
        connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), greatest((SELECT max(id) FROM \"{table}\"), 1))"
        )
    return count
