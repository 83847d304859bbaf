"""What work on the database is given, and what lies behind it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

Dialect: TypeAlias = Literal["sqlite", "postgresql"]
Values: TypeAlias = Mapping[str, Any]
Row: TypeAlias = tuple[Any, ...]

NOTHING: Values = {}


class Connection(Protocol):
    """A transaction in progress.

    SQL is written once, in the subset that SQLite and PostgreSQL share, its values as ``:name``.
    Every method raises a ``StoreError``; a ``StatementError`` if the statement itself is at fault.
    """

    @property
    def dialect(self) -> Dialect: ...

    def execute(self, sql: str, values: Values = NOTHING, /) -> list[Row]:
        """Return the rows; none for a statement that has no rows to return."""

    def change(self, sql: str, values: Values = NOTHING, /) -> int:
        """Return how many rows were inserted, updated or deleted."""

    def execute_many(self, sql: str, rows: Sequence[Values], /) -> None:
        """Run one statement for each of ``rows``."""

    def limit_idling(self, seconds: float, /) -> None:
        """Have the server end this transaction once nothing has happened in it for so long: its process may be stopped.

        Where there is no server this does nothing.
        """


class Session(Connection, Protocol):
    """A connection with its transactions. It lives on one thread, where all of this is called."""

    @property
    def broken(self) -> bool:
        """Whether it was lost, so that a new one must be made."""

    def begin(self, patience: float) -> None:
        """Begin a transaction.

        :param patience: seconds to wait for somebody else's
        :raises StoreBusy: if that was not enough
        """

    def commit(self) -> None:
        """Return once what was written is on the disk."""

    def rollback(self) -> None:
        """Undo everything since ``begin``. Raises nothing, also when there is nothing to undo."""

    def close(self) -> None: ...
