"""One moment of the store, taken while it is being written to, and made into a store again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct

from socbot.config import StorageConfig
from socbot.storage.connection import Connection, Dialect
from socbot.storage.migrations import RELEASED, Revisions

Form: TypeAlias = Literal["pages", "rows"]


class Source(Struct, frozen=True):
    """What goes into a backup under ``name``, which is "/"-separated: a file, or what is in memory."""

    name: str
    path: Path | None = None
    content: bytes = b""


class Moment(Struct, frozen=True):
    """One moment of the store; ``sources`` are read once, in their order, before it ends."""

    dialect: Dialect
    form: Form
    revision: str
    size: int
    sources: Iterator[Source]


@contextmanager
def moment(config: StorageConfig, staging: Path | None, step: Callable[[], object] = lambda: None) -> Iterator[Moment]:
    """Hold one moment of the store, on this thread; whoever writes meanwhile is not held up.

    :param staging: a private folder for SQLite's pages; without one nothing is written anywhere, and the moment is
        handed over as rows
    :param step: called every few milliseconds; what it raises ends the moment
    :raises StoreError: if the store cannot be read
    """
    raise NotImplementedError
    yield


def stage(folder: Path, target: Path, revisions: Revisions = RELEASED) -> None:
    """Make of an extracted moment, in ``folder``, a SQLite store at ``target``, of the newest revision and checked.

    :raises StoreDamaged: if what is there is no sound store
    :raises StoreTooNew: if a newer socbot made it
    """
    raise NotImplementedError


def fill(connection: Connection, staged: Path, leave: frozenset[str] = frozenset()) -> dict[str, int]:
    """Within the caller's transaction, empty the tables and fill them from the SQLite store at ``staged``.

    :param leave: tables that are left as they are
    :returns: the rows of each table that was filled
    """
    raise NotImplementedError
