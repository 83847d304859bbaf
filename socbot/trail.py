"""``socbot audit``: reads the audit trail, also beside a running bot."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec

from socbot.config import Loaded, StorageConfig
from socbot.dispatch.replies import moment, plain, printable
from socbot.exit_codes import EXIT_FAILURE, EXIT_OK
from socbot.storage.connection import Connection, Session
from socbot.storage.errors import StatementError, StoreError
from socbot.systems import audit
from socbot.systems.audit import Flaw, Head, Record

T = TypeVar("T")


def list_trail(loaded: Loaded, count: int, before: int | None, *, as_json: bool) -> int:
    """Print the newest ``count`` records, or of those before record ``before``, oldest first.

    :raises StoreError: if there is no store, or it cannot be read
    """
    records = _read(loaded, lambda connection: audit.newest(connection, count, before))[::-1]
    if as_json:
        print(msgspec.json.encode(records).decode())
        return EXIT_OK
    zone = ZoneInfo(loaded.config.bot.time_zone)
    for record in records:
        print(printable(_line(record, zone), ""))
    return EXIT_OK


def verify_trail(loaded: Loaded, anchor: str, *, as_json: bool) -> int:
    """Print whether every record is as it was written; exit code 1 and the first that is not.

    :param anchor: the hash of a record that has to be among them; empty for none
    :raises StoreError: if there is no store, or it cannot be read
    """

    def look(connection: Connection) -> tuple[Head, Flaw | None]:
        return audit.head_of(connection), audit.verify(connection, anchor)

    head, flaw = _read(loaded, look)
    if as_json:
        print(msgspec.json.encode({"records": head.count, "hash": head.hash, "flaw": flaw}).decode())
    elif flaw is not None:
        print(printable(f"The audit trail was changed: {flaw}.", ""))
    else:
        print(f"{head.count} records, each as it was written." + (f" The last: {head.hash}" if head.count else ""))
    return EXIT_OK if flaw is None else EXIT_FAILURE


def _line(record: Record, zone: ZoneInfo) -> str:
    what = f" {record.what}" if record.what else ""
    return f"{record.id} · {plain(moment(record.at), zone)} · {record.who} · {record.action}{what} · {record.result}"


def _read(loaded: Loaded, work: Callable[[Connection], T]) -> T:
    with reading(loaded.config.storage) as session:
        session.begin(loaded.config.storage.busy_timeout)
        try:
            return work(session)
        except StatementError:
            raise StoreError("the store has no audit trail yet: it was last opened by an older socbot") from None
        finally:
            session.rollback()


@contextmanager
def reading(config: StorageConfig) -> Iterator[Session]:
    """A session that only reads; it takes the store from nobody.

    :raises StoreError: if there is no store, or it cannot be opened
    """
    session = _opened(config)
    try:
        yield session
    finally:
        session.close()


def _opened(config: StorageConfig) -> Session:
    if config.file is None:
        try:
            from socbot.storage.postgresql import PostgresSession
        except ImportError:
            raise StoreError("PostgreSQL needs its driver: pip install 'socbot[postgresql]'") from None

        return PostgresSession(config.url, config.busy_timeout, read_only=True)
    from socbot.storage.sqlite import SqliteSession

    if not config.file.exists():
        raise StoreError(f"{config.file}: there is no store yet; `socbot run` makes it")
    return SqliteSession(config.file, read_only=True)
