"""Erasure: forgetting one person, wherever something is stored of them."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from socbot.dispatch.clock import Clock
from socbot.dispatch.messages import Identity
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.systems import analytics, traces
from socbot.systems.identities import Pseudonyms

_PLACES = {
    "slow_runs": "slow runs",
    "errors": "errors",
    "rate_limit_state": "rate limit state",
    "rate_limit_cooldowns": "cooldowns",
    "rate_limit_shared": "shared limits",
    "rate_limit_violations": "violations",
    "rate_limit_exemptions": "rate limit exemption",
}
_LISTED = {
    "blacklist": "blacklist entry",
    "blacklist_history": "blacklist history",
    "blacklist_attempts": "blocked attempts",
}
_BY_THEM = (
    ("signals", "source", "alerts and signals by them"),
    ("timeline", "done_by", "entries in timelines by them"),
    ("audit", "who", "audit trail"),
)


class Erased(Struct, frozen=True):
    """One place that held something of a person: how much, and whether it had to stay."""

    place: str
    count: int
    kept: bool = False


class Erasure:
    """Deletes what is stored of one person.

    An active blacklist entry stays, with its history: it protects others. So does what a person did to others as an
    owner or an administrator, whose name stands in the histories, alerts and incidents, and the audit trail, of which
    nothing can be taken out unseen.

    :param flush: writes what was recorded and is still in memory
    """

    def __init__(
        self, database: Database, flush: Callable[[], Awaitable[None]], clock: Clock, pseudonyms: Pseudonyms
    ) -> None:
        self._database = database
        self._flush = flush
        self._clock = clock
        self._pseudonyms = pseudonyms
        self._others: list[Callable[[Identity], object]] = []

    def tell(self, forget: Callable[[Identity], object]) -> None:
        """Have ``forget`` called with whom to forget, for what a system keeps of them in memory."""
        self._others.append(forget)

    async def forget(self, identity: Identity) -> tuple[Erased, ...]:
        """Forget ``identity``; the result names every place that held anything.

        :raises StoreError: if it failed; then nothing was erased from the store
        """
        await self._flush()
        for forget in self._others:
            forget(identity)
        subject, pseudonym = self._pseudonyms.all_of(identity)
        person = {"platform": identity[0], "subject": subject, "pseudonym": pseudonym, "now": self._clock.time()}
        return await self._database.write(lambda connection: _erase(connection, person))


def _erase_signals(connection: Connection, written: dict[str, str]) -> int:
    """Drop the signals that are about a person, with what was sent of them or is to be; how many."""
    theirs = "SELECT signal_id FROM signals WHERE subject IN (:name, :pseudonym)"
    connection.change(f"DELETE FROM deliveries WHERE event_id IN ({theirs})", written)
    return connection.change("DELETE FROM signals WHERE subject IN (:name, :pseudonym)", written)


def _count(connection: Connection, rows: str, values: dict[str, str]) -> int:
    [(count,)] = connection.execute(f"SELECT COUNT(*) FROM {rows}", values)
    return int(count)


def _erase(connection: Connection, person: dict[str, object]) -> tuple[Erased, ...]:
    theirs = "platform = :platform AND subject IN (:subject, :pseudonym)"
    names = (str(person["subject"]), str(person["pseudonym"]))
    erased = [Erased("commands counted", analytics.erase(connection, str(person["platform"]), names))]
    erased += [
        Erased(place, connection.change(f"DELETE FROM {table} WHERE {theirs}", person))
        for table, place in _PLACES.items()
    ]
    erased.append(Erased("traces", traces.erase(connection, str(person["platform"]), names)))
    theirs += " AND kind = 'user'"
    active = connection.execute(
        f"SELECT 1 FROM blacklist WHERE {theirs} AND (expires_at IS NULL OR expires_at > :now)", person
    )
    for table, place in _LISTED.items():
        if active:
            count = connection.execute(f"SELECT COUNT(*) FROM {table} WHERE {theirs}", person)[0][0]
        else:
            count = connection.change(f"DELETE FROM {table} WHERE {theirs}", person)
        erased.append(Erased(place, count, kept=bool(active)))
    written = {"name": f"{person['platform']}:{names[0]}", "pseudonym": f"{person['platform']}:{names[1]}"}
    erased.append(Erased("signals about them", _erase_signals(connection, written)))
    erased += [
        Erased(place, _count(connection, f"{table} WHERE {column} IN (:name, :pseudonym)", written), kept=True)
        for table, column, place in _BY_THEM
    ]
    return tuple(each for each in erased if each.count)
