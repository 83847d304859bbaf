"""The SQLite file and those beside it: who may open it, whether it is sound, and how it comes to be."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from socbot.folders import make_private_folder, sync_folder
from socbot.storage.errors import StoreDamaged, StoreError, StoreFull, StoreReadOnly
from socbot.storage.filelock import FileLock
from socbot.storage.migrations import Revisions, snapshot, standing, upgrade
from socbot.storage.sqlite import SqliteSession
from socbot.storage.swaps import Journal, recover, settle

if TYPE_CHECKING:
    from sqlalchemy import Engine

APPLICATION_ID: Final = 0x50C_B07
CHECKED_UP_TO: Final = 64 * 1024 * 1024
"""Files smaller than this are checked whole whenever they are opened: that takes a fraction of a second."""

_MAGIC: Final = b"SQLite format 3\0"
_WAL_MAGIC: Final = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")


class SqliteFile:
    """The database file and the files beside it, as ``storage.url`` names them.

    Opening takes possession of the store for this process; ``release`` gives it back.

    :ivar journal: that of a restore; whatever is written there is finished when the store is next opened
    :ivar recovered: the restore that was finished so
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.journal = self.path.with_name(self.path.name + ".restore")
        self.recovered: Journal | None = None
        self._lock = FileLock(self.path.with_name(self.path.name + ".lock"))

    @property
    def wal(self) -> Path:
        return _wal(self.path)

    def open(self, patience: float, revisions: Revisions) -> SqliteSession:
        """The session that may write, on a store that is sound and at the newest revision; it is made if there is none.

        :raises StoreLocked: if another process owned the store for ``patience`` seconds
        :raises StoreDamaged: if what is there is no sound store; nothing of it was changed
        """
        held = self._lock.held  # this is not the first session
        try:
            self.claim(patience)
            return self._open(revisions)
        except BaseException:
            if not held:
                self.release()
            raise

    def claim(self, patience: float) -> None:
        """Take possession of the store without opening it, and finish a restore that was interrupted.

        :raises StoreLocked: if another process owned the store for ``patience`` seconds
        :raises StoreError: if the restore cannot be finished
        """
        with _os_errors(self.path):
            if not self._lock.held:
                make_private_folder(self.path.parent)
                self._lock.acquire(patience)
                settle(self.journal)
            self.recovered = recover(self.journal) or self.recovered

    def release(self) -> None:
        self._lock.release()

    def _open(self, revisions: Revisions) -> SqliteSession:
        with _os_errors(self.path):
            self._prepare()
        session = SqliteSession(self.path)
        try:
            self._bring_up_to_date(session, revisions)
        except BaseException:
            session.close()
            raise
        with _os_errors(self.path):
            # From now on a missing or empty file is a loss, not a beginning.
            self._lock.mark("created")
        return session

    def _bring_up_to_date(self, session: SqliteSession, revisions: Revisions) -> None:
        revision = standing(session, revisions)
        if revision is None:
            _create(session)
        elif revision != revisions.head:
            self._keep_copy(session, revisions.head)
        if standing(session, revisions) != revisions.head:
            upgrade(engine(session), revisions)

    def _keep_copy(self, session: SqliteSession, revision: str) -> None:
        """Copy the store as it is, and check the copy, before anything in it is changed."""
        copy = self.path.with_name(f"{self.path.name}.before-{revision}")
        draft = copy.with_name(copy.name + ".part")
        with _os_errors(draft):
            draft.unlink(missing_ok=True)
            _make_file(draft)
        session.copy_to(draft)
        reader = SqliteSession(draft, read_only=True)
        try:
            check_whole(reader, draft)
        finally:
            reader.close()
        with _os_errors(copy):
            draft.replace(copy)
            sync_folder(copy.parent)

    def _prepare(self) -> None:
        created = self._lock.marked("created")
        size = self.path.stat().st_size if self.path.exists() else 0
        if size:
            _restrict(self.path)
            self._check()
        elif created or (_wal(self.path).exists() and _wal(self.path).stat().st_size):
            raise StoreDamaged(
                f"{self.path} is {'empty' if self.path.exists() else 'missing'}, but it held a store: restore a backup "
                f"or delete {self._lock.path} to begin with an empty one"
            )
        else:
            _make_file(self.path)

    def _check(self) -> None:
        with self.path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise StoreDamaged(f"{self.path} is not a SQLite database, or its header is damaged: restore a backup")
        _check_wal(_wal(self.path))
        # On a connection that cannot write: closing a writing one would copy a damaged log into the database.
        session = SqliteSession(self.path, read_only=True)
        try:
            self._check_contents(session)
        finally:
            session.close()

    def _check_contents(self, session: SqliteSession) -> None:
        [(application,)] = session.execute("PRAGMA application_id")
        [(tables,)] = session.execute("SELECT count(*) FROM sqlite_master")
        # A process that was killed while it made the store leaves a database with nothing in it.
        if application != APPLICATION_ID and (application or tables or self._lock.marked("created")):
            raise StoreDamaged(f"{self.path} is not a socbot store (its application id is {application:#x})")
        if self.path.stat().st_size < CHECKED_UP_TO:
            check_whole(session, self.path)


def check_whole(session: SqliteSession, path: Path) -> None:
    """Look at every page.

    :raises StoreDamaged: naming the first thing that is wrong
    """
    [(verdict,)] = session.execute("PRAGMA quick_check(1)")
    if verdict != "ok":
        raise StoreDamaged(f"{path} is damaged ({str(verdict).strip()}): restore a backup")


def _create(session: SqliteSession) -> None:
    """Fill an empty file, wholly or not at all."""
    session.begin(0.0)
    try:
        for statement in snapshot.SCHEMA.split(";\n"):
            session.execute(statement)
        session.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        session.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        session.execute("INSERT INTO alembic_version VALUES (:revision)", {"revision": snapshot.REVISION})
        session.commit()
    except BaseException:
        session.rollback()
        raise


def engine(session: SqliteSession) -> "Engine":
    """SQLAlchemy on the very connection that writes: there must be no other."""
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import StaticPool

    engine = create_engine("sqlite://", creator=lambda: session.connection, poolclass=StaticPool)
    # The driver is told to begin nothing by itself, so that the tables change in one transaction.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


# -- the files ----------------------------------------------------------------------------------------


@contextmanager
def _os_errors(path: Path) -> Iterator[None]:
    import errno

    try:
        yield
    except OSError as error:
        text = f"{path}: {error.strerror or error}"
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreReadOnly(text) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(text) from error
        raise StoreError(text) from error


def _make_file(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)
    sync_folder(path.parent)


def _restrict(path: Path) -> None:
    """Take from others what an earlier umask may have given them."""
    for file in (path, _wal(path), path.with_name(path.name + "-shm")):
        if file.exists() and file.stat().st_mode & 0o077:
            file.chmod(0o600)


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _check_wal(wal: Path) -> None:
    """Refuse a log that begins with anything but a log's header: SQLite would throw it away without a word.

    A log that was cut off is what every crash leaves: what was acknowledged is before the cut.
    """
    if not wal.exists():
        return
    with wal.open("rb") as file:
        header = file.read(32)
    if len(header) < 32 or not any(header):  # a power cut before the first commit was on the disk
        return
    if header[:4] not in _WAL_MAGIC or _wal_sum(header) != header[24:]:
        raise StoreDamaged(f"{wal} is damaged, and with it the latest changes: restore a backup")


def _wal_sum(header: bytes) -> bytes:
    """The checksum of a log's header, as SQLite's file format defines it."""
    order: Literal["big", "little"] = "big" if header[3] & 1 else "little"
    words = [int.from_bytes(header[at : at + 4], order) for at in range(0, 24, 4)]
    first = second = 0
    for at in range(0, 6, 2):
        first = (first + words[at] + second) & 0xFFFFFFFF
        second = (second + words[at + 1] + first) & 0xFFFFFFFF
    return first.to_bytes(4, "big") + second.to_bytes(4, "big")
