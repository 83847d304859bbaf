"""PostgreSQL: one session on it, over psycopg."""

import math
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import unquote

import psycopg
from psycopg.adapt import Buffer, Dumper, Loader
from psycopg.types.numeric import IntDumper

from socbot.dispatch.clock import SystemClock
from socbot.storage.connection import NOTHING, Connection, Row, Values
from socbot.storage.errors import (
    StatementError,
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUncertain,
    StoreUnreachable,
)
from socbot.storage.migrations import Revisions, standing, upgrade

_GRACE: Final = 0.5  # seconds in which the server's own word on a statement that took too long arrives
_ASK_AGAIN: Final = 0.1

Before: TypeAlias = Callable[[Connection], object]

_now = SystemClock.monotonic  # what the network does takes real time

_TOKENS: Final = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|::|:([A-Za-z_]\w*)|%")
_BUSY: Final = ("55P03", "57014", "40001", "40P01")  # lock or statement timeout, serialization, deadlock
_WRONG: Final = ("22", "23", "42", "0A", "21")  # values, constraints, syntax, unsupported


class PostgresSession:
    """One connection to a PostgreSQL server, on the thread that made it.

    What is set is set for each transaction, and statements are not prepared where a pooler stands between: the next
    transaction may then be on another of the server's connections.

    :param patience: seconds; the bound on connecting, on waiting for a lock and on any one statement, and on a
        transaction that writes in which nothing happens
    """

    dialect: Literal["postgresql"] = "postgresql"

    def __init__(self, url: str, patience: float, *, read_only: bool = False) -> None:
        self._url, self._patience, self._is_limited = url, patience, False
        try:
            self.connection = psycopg.connect(
                libpq_url(url),
                autocommit=True,  # transactions are begun and ended in plain SQL
                connect_timeout=max(2, round(patience)),
            )
        except psycopg.Error as error:
            raise _unreachable(error, url) from None
        self._line = Line(self.connection.fileno(), patience + _GRACE)
        adapters = self.connection.adapters
        adapters.register_dumper(str, _TextDumper)
        adapters.register_dumper(bool, _BoolDumper)
        adapters.register_loader("numeric", _NumberLoader)
        [(process, commits)] = self.execute("SELECT pg_backend_pid(), current_setting('synchronous_commit')")
        if process != self.connection.info.backend_pid:
            self.connection.prepare_threshold = None
        self._begin_with = _beginning(patience, read_only=read_only, commits=commits)

    @property
    def broken(self) -> bool:
        return self.connection.closed

    def execute(self, sql: str, values: Values = NOTHING, /) -> list[Row]:
        cursor = self._run(sql, values)
        return cursor.fetchall() if cursor.description else []

    def change(self, sql: str, values: Values = NOTHING, /) -> int:
        return max(0, self._run(sql, values).rowcount)

    def execute_many(self, sql: str, rows: Sequence[Values], /) -> None:
        if self._is_limited:
            # Sent all at once they are, for the server, one that goes on: it would not end it where its client stops.
            for row in rows:
                self._run(sql, row)
        elif rows:
            with self._errors(), self._line:
                self.connection.cursor().executemany(psycopg_sql(sql), rows)

    def limit_idling(self, seconds: float, /) -> None:
        self._is_limited = True
        limit = {"limit": str(max(1, int(seconds * 1000)))}
        self.execute("SELECT set_config('idle_in_transaction_session_timeout', :limit, true)", limit)

    def begin(self, patience: float) -> None:
        self._is_limited = False
        self.execute(self._begin_with)

    def commit(self) -> None:
        """Return once it is kept. Where the connection is lost over it, the server is asked what became of it."""
        if self.connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
            raise StoreError("a statement failed within the transaction; nothing of it was kept")
        [(transaction,)] = self.execute("SELECT CAST(pg_current_xact_id_if_assigned() AS text)")
        try:
            self.execute("COMMIT")
        except StoreError as error:
            if self.broken and transaction is not None:
                self._find_out(transaction, error)
                return
            raise

    def _find_out(self, transaction: str, lost: StoreError) -> None:
        """Return if the transaction was kept.

        :raises StoreError: if it was not, or if that cannot be found out within the patience
        """
        deadline, waiting = _now() + self._patience, threading.Event()
        while _now() < deadline:
            status = _status_of(transaction, self._url)
            if status == "committed":
                return
            if status == "aborted":
                raise StoreError(f"the connection was lost during the commit; nothing was kept ({lost})") from lost
            waiting.wait(_ASK_AGAIN)
        raise StoreUncertain(
            f"the connection was lost during the commit: the change may or may not be kept ({lost})"
        ) from lost

    def rollback(self) -> None:
        if self.connection.closed:
            return
        try:
            self.connection.execute("ROLLBACK")
        except psycopg.Error:  # the connection is lost, and the server rolls back by itself
            self.connection.close()

    def close(self) -> None:
        self._line.close()
        self.connection.close()

    def upgrade(self, revisions: Revisions, before: Before) -> None:
        """Bring the store to the newest revision, on another connection, because SQLAlchemy must rule its own.

        :param before: called before anything is changed, if there is something in the store
        """
        from sqlalchemy import create_engine
        from sqlalchemy.exc import DBAPIError
        from sqlalchemy.pool import NullPool

        _, _, rest = self._url.partition("://")
        engine = create_engine(
            f"postgresql+psycopg://{rest}", poolclass=NullPool, connect_args={"prepare_threshold": None}
        )

        def first() -> None:
            # Another process may have upgraded it while this one waited for its turn.
            if standing(self, revisions) not in (None, revisions.head):
                before(self)

        try:
            upgrade(engine, revisions, first)
        except DBAPIError as error:
            raise StoreError(_without_password(f"the store could not be upgraded ({error.orig})", self._url)) from None

    def _run(self, sql: str, values: Values) -> psycopg.Cursor[Row]:
        with self._errors(), self._line:
            return self.connection.execute(psycopg_sql(sql), values)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise what the driver raises as a ``StoreError``, without the URL, which may hold a password."""
        try:
            yield
        except psycopg.Error as error:
            raise _translated_error(error, self._url) from None


def _beginning(patience: float, *, read_only: bool, commits: str) -> str:
    """What begins a transaction, with all that holds in it, in one message to the server."""
    limit = max(1, int(patience * 1000))
    steps = [
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if read_only else "BEGIN",
        f"SET LOCAL statement_timeout = {limit}",
        f"SET LOCAL lock_timeout = {limit}",
        "SET LOCAL TimeZone = 'UTC'",
    ]
    if not read_only:  # whoever is stopped in the middle of one must not keep its locks
        steps.append(f"SET LOCAL idle_in_transaction_session_timeout = {limit}")
    if commits == "off":  # an acknowledged change is on the disk, whatever the server's default
        steps.append("SET LOCAL synchronous_commit = 'on'")
    return "; ".join(steps)


class Line:
    """Cuts a connection whose other end has not answered for ``limit`` seconds, which nothing else would notice.

    The server's own limit on a statement is of no use where its answer does not arrive.
    """

    def __init__(self, descriptor: int, limit: float) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._limit, self._deadline = limit, math.inf
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="database-line", daemon=True).start()

    def __enter__(self) -> None:
        self._deadline = _now() + self._limit

    def __exit__(self, *error: object) -> None:
        self._deadline = math.inf

    def close(self) -> None:
        self._ended.set()

    def _watch(self) -> None:
        with self._socket:
            while not self._ended.wait(min(1.0, self._limit / 4)):
                if _now() > self._deadline:
                    with suppress(OSError):  # it was closed meanwhile
                        self._socket.shutdown(socket.SHUT_RDWR)
                    return


def _status_of(transaction: str, url: str) -> str | None:
    """What became of a transaction, by its id; None while the server does not say."""
    try:
        with psycopg.connect(libpq_url(url), connect_timeout=2) as connection:
            connection.execute("SET LOCAL statement_timeout = 1000")
            row = connection.execute("SELECT pg_xact_status(CAST(%s AS xid8))", (transaction,)).fetchone()
    except psycopg.Error:  # the server is not back yet
        return None
    return None if row is None else row[0]


def brought_up_to_date(session: PostgresSession, revisions: Revisions, before: Before) -> PostgresSession:
    """``session``, on a store at the newest revision; closed if that cannot be had.

    :param before: see ``PostgresSession.upgrade``
    """
    try:
        if standing(session, revisions) != revisions.head:
            session.upgrade(revisions, before)
    except BaseException:
        session.close()
        raise
    return session


def libpq_url(url: str) -> str:
    """``url`` as the driver wants it: SQLAlchemy's ``postgresql+psycopg://`` is taken too."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"


@lru_cache(maxsize=512)
def psycopg_sql(sql: str) -> bytes:
    """``:name`` as the driver's ``%(name)s``, outside of quotes; everything else as it is."""

    def token(match: re.Match[str]) -> str:
        return f"%({match[1]})s" if match[1] else match[0].replace("%", "%%")

    return _TOKENS.sub(token, sql).encode()


def _translated_error(error: psycopg.Error, url: str) -> StoreError:
    state = error.sqlstate or ""
    text = _without_password(str(error).strip(), url)
    if state in _BUSY:
        return StoreBusy(f"the database did not answer in time ({text})")
    if state in ("53100", "53200"):
        return StoreFull(f"the database server has no room left ({text})")
    if state == "25006":
        return StoreReadOnly(f"the database cannot be written ({text})")
    if state in ("XX001", "XX002"):
        return StoreDamaged(f"the database is damaged ({text}): restore a backup")
    if state[:2] in _WRONG or (not state and not isinstance(error, psycopg.OperationalError)):
        return StatementError(text)
    return StoreError(f"the database failed ({text})")


def _unreachable(error: psycopg.Error, url: str) -> StoreError:
    text = " ".join(_without_password(str(error), url).split())
    try:
        known = psycopg.conninfo.conninfo_to_dict(libpq_url(url))
    except psycopg.ProgrammingError:
        return StoreError(f"storage.url is no address of a PostgreSQL server ({text})")
    host, port = known.get("host") or "this host's socket", known.get("port")
    where = f"{host}:{port}" if port else host
    return StoreUnreachable(
        f"PostgreSQL at {where}, database {known.get('dbname') or known.get('user')}, takes no connection ({text}). "
        "See that it runs and lets the bot in, and try again"
    )


def _without_password(text: str, url: str) -> str:
    text = text.replace(libpq_url(url), "storage.url").replace(url, "storage.url")
    credentials = re.search(r"://[^:]*:(.*)@", url)
    for secret in {credentials[1], unquote(credentials[1])} if credentials and credentials[1] else ():
        text = text.replace(secret, "…")
    return text


class _TextDumper(Dumper):
    """Text without what PostgreSQL cannot hold: NUL, and half of a surrogate pair."""

    oid = psycopg.adapters.types["text"].oid

    def dump(self, obj: str) -> bytes:
        return obj.encode("utf-8", "replace").replace(b"\0", b"\xef\xbf\xbd")


class _BoolDumper(IntDumper):
    """Truth as 0 and 1, which is what the tables hold on both databases."""

    def dump(self, obj: Any) -> bytes:
        return b"1" if obj else b"0"


class _NumberLoader(Loader):
    """Sums of whole numbers as whole numbers, and others as floats, as SQLite returns them."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data).decode()
        return int(text) if text.lstrip("-").isdecimal() else float(text)
