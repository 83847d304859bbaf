"""The revisions of the schema, and how a store gets to the newest one.

A new table or column: change ``socbot/storage/schema.py``, then ``python -m socbot.storage.migrations "what for"``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from socbot.storage.connection import Connection
from socbot.storage.errors import StoreDamaged, StoreTooNew

if TYPE_CHECKING:
    from sqlalchemy import Engine

HEAD: Final = "0007"


class Revisions(Struct, frozen=True):
    """Every revision by name, oldest first, and the folder of their files."""

    names: tuple[str, ...]
    folder: Path

    @property
    def head(self) -> str:
        return self.names[-1]


RELEASED: Final = Revisions(
    ("0001", "0002", "0003", "0004", "0005", "0006", HEAD), Path(__file__).with_name("versions")
)


def standing(connection: Connection, revisions: Revisions) -> str | None:
    """The revision that the store is at; None for one with nothing in it.

    :raises StoreTooNew: if it is none of ``revisions``
    :raises StoreDamaged: if there are tables, but not that of the revision
    """
    tables = _tables(connection)
    if not tables:
        return None
    if "alembic_version" not in tables:
        if connection.dialect == "postgresql":  # a database that others use too
            return None
        raise StoreDamaged("the database holds tables, but not those of socbot")
    rows = connection.execute("SELECT version_num FROM alembic_version")
    if not rows:
        raise StoreDamaged("the store does not say which revision it is at: restore a backup")
    [(revision,)] = rows
    if revision not in revisions.names:
        raise StoreTooNew(revision)
    return str(revision)


def upgrade(engine: "Engine", revisions: Revisions, first: Callable[[], object] = lambda: None) -> None:
    """Bring the store to the newest revision, in one transaction.

    :param first: done before anything is changed, when no other process can begin to; what it raises ends the upgrade

    Importing alembic takes longer than all the rest of a start, so it is done only when there is something to do.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", _option(Path(__file__).parent))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", _option(revisions.folder))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # Two processes that start at once: the second finds the work done.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(5295879)")
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        first()
        config.attributes["connection"] = connection
        command.upgrade(config, revisions.head)


def _option(path: Path) -> str:
    return str(path).replace("%", "%%")


def _tables(connection: Connection) -> set[str]:
    if connection.dialect == "sqlite":
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    else:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    return {name for (name,) in rows}
