"""What several processes append to one table on PostgreSQL: each row is noticed once, in whatever order they commit."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from msgspec import Struct

from socbot.dispatch.clock import Clock
from socbot.storage.connection import Connection
from socbot.storage.errors import StoreError

FOLLOWING: Final = 1.0
"""Seconds between two looks at what other processes have changed."""

_UNDER_WAY: Final = (
    "SELECT CAST(CAST(pg_snapshot_xmin(s) AS text) AS bigint), CAST(CAST(pg_snapshot_xmax(s) AS text) AS bigint)"
    " FROM pg_current_snapshot() AS s"
)


async def follow(clock: Clock, catch_up: Callable[[], Awaitable[object]]) -> None:
    """Take over what other processes change, until cancelled; what a store that is away hides, the next look finds."""
    while True:
        await clock.sleep(FOLLOWING)
        with suppress(StoreError):
            await catch_up()


class Mark(Struct, frozen=True):
    """How far a table has been read.

    Rows may become visible after others with higher ids, as long as the transaction that adds them is under way. So
    they are looked for from ``settled`` on, below which none can come any more, and those seen above it are kept.

    :param top: the highest id when ``until`` was noted; settled once every transaction before that one has ended
    :param whole: whether none can have been missed below ``settled``
    """

    settled: int
    seen: frozenset[int]
    top: int
    until: int
    whole: bool


def here(connection: Connection, table: str, before: Mark | None = None) -> Mark:
    """A mark after everything that this transaction sees.

    :param before: a mark that is not whole; this one is, if what was under way then has ended
    """
    oldest, following = _under_way(connection)
    if before is not None and oldest >= before.until:
        seen = frozenset(_ids(connection, table, before.top))
        return Mark(before.top, seen, max(seen, default=before.top), following, whole=True)
    [(top,)] = connection.execute(f"SELECT COALESCE(MAX(id), 0) FROM {table}")
    return Mark(top, frozenset(), top, following, whole=oldest == following)


def read_on(connection: Connection, table: str, mark: Mark) -> tuple[list[int], Mark] | None:
    """The ids that were added since, and the mark after them; None if everything is to be read again.

    That is so once after a mark that is not whole, and after ids have gone back, as those of a restored store do.

    :param connection: of a transaction that sees one moment, as those of ``Database.read`` do
    """
    oldest, following = _under_way(connection)
    over = oldest >= mark.until
    [(top,)] = connection.execute(f"SELECT COALESCE(MAX(id), 0) FROM {table}")
    if (over and not mark.whole) or top < max(mark.seen, default=mark.settled):
        return None
    new = [each for each in _ids(connection, table, mark.settled) if each not in mark.seen]
    seen = mark.seen.union(new)
    if not over:
        return new, Mark(mark.settled, seen, mark.top, mark.until, mark.whole)
    return new, Mark(mark.top, frozenset(each for each in seen if each > mark.top), top, following, whole=True)


def _ids(connection: Connection, table: str, after: int) -> list[int]:
    rows = connection.execute(f"SELECT id FROM {table} WHERE id > :after ORDER BY id", {"after": after})
    return [each for (each,) in rows]


def _under_way(connection: Connection) -> tuple[int, int]:
    """The oldest transaction that has not ended, and the one that would be next."""
    [(oldest, following)] = connection.execute(_UNDER_WAY)
    return oldest, following
