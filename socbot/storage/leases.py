"""Who may act for all processes that share a PostgreSQL: a lease, and a number that each of its writes shows.

Moments are the server's alone, and nothing outlives a transaction, so that neither wrong clocks nor a pooler matter.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from msgspec import Struct

from socbot.storage.connection import Connection
from socbot.storage.errors import StoreFenced

T = TypeVar("T")

_SERVER_TIME = "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


class Fence(Struct, frozen=True):
    """The right that one term of a lease gives.

    :param number: higher for each new term
    :param idle: seconds after which the server ends a transaction of its holder in which nothing happens
    """

    lease: str
    number: int
    idle: float


class Standing(Struct, frozen=True):
    """A lease as it stands.

    :param fence: the asker's right; None if somebody else holds it
    :param remaining: seconds, by the server, until it ends unless it is renewed
    """

    holder: str
    fence: Fence | None
    remaining: float


_fence: ContextVar[Fence | None] = ContextVar("fence", default=None)


@contextmanager
def fenced(fence: Fence | None) -> Iterator[None]:
    """Within the block, and the tasks begun in it, all that is written is kept only while ``fence`` is the newest."""
    token = _fence.set(fence)
    try:
        yield
    finally:
        _fence.reset(token)


def current_fence() -> Fence | None:
    """What the caller's writes have to show; None for what every process does for itself."""
    return _fence.get()


def guarded(work: Callable[[Connection], T]) -> Callable[[Connection], T]:
    """``work``, behind a look in the same transaction at whether the caller's fence still holds."""
    fence = _fence.get()
    if fence is None:
        return work

    def check_and_work(connection: Connection) -> T:
        if connection.dialect == "sqlite":  # a store of this process's own, such as one that a drill tries
            return work(connection)
        connection.limit_idling(fence.idle)
        # Shared with other writes of the holder; whoever would take the lease waits until the transaction has ended.
        if not connection.execute(
            "SELECT 1 FROM leases WHERE name = :name AND fence = :fence FOR SHARE",
            {"name": fence.lease, "fence": fence.number},
        ):
            raise StoreFenced(f"another process has taken over ({fence.lease}, {fence.number}): nothing was kept")
        return work(connection)

    return check_and_work


def take(connection: Connection, name: str, holder: str, held: int, seconds: float) -> Standing:
    """Take the lease if it is free, or renew it; how it stands then.

    :param holder: unique to the process
    :param held: the number of the term that the holder is in; 0 if in none, and then what it takes is a new one
    """
    values = {"name": name, "holder": holder, "held": held, "seconds": seconds}
    found = connection.execute(
        f"SELECT holder, fence, until - {_SERVER_TIME} FROM leases WHERE name = :name", {"name": name}
    )
    if found and found[0][0] != holder and found[0][2] > 0:
        return Standing(found[0][0], None, found[0][2])  # not even a lock, for which its writes would have to wait
    connection.limit_idling(seconds)
    taken = connection.execute(
        "INSERT INTO leases (name, holder, fence, until)"
        f" VALUES (:name, :holder, 1, {_SERVER_TIME} + CAST(:seconds AS double precision))"
        " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until,"
        " fence = CASE WHEN leases.holder = :holder AND leases.fence = :held THEN leases.fence"
        " ELSE leases.fence + 1 END"
        f" WHERE leases.holder = :holder OR leases.until < {_SERVER_TIME}"
        " RETURNING fence",
        values,
    )
    if not taken:  # somebody was faster
        return Standing("", None, 0.0)
    return Standing(holder, Fence(name, taken[0][0], seconds), seconds)


def give_up(connection: Connection, fence: Fence) -> None:
    """End the term, so that the next need not wait."""
    connection.change(
        "UPDATE leases SET until = 0 WHERE name = :name AND fence = :fence",
        {"name": fence.lease, "fence": fence.number},
    )
