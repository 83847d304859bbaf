"""Erasure: forgetting one person, wherever something is stored of them."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from socbot.dispatch.clock import Clock
from socbot.dispatch.messages import Identity
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.systems import traces
from socbot.systems.identities import Pseudonyms

_PLACES = {
    "usage": "commands counted",
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


class Erased(Struct, frozen=True):
    """One place that held something of a person: how much, and whether it had to stay."""

    place: str
    count: int
    kept: bool = False


class Erasure:
    """Deletes what is stored of one person.

    An active blacklist entry stays, with its history: it protects others. So does what a person did to others as an
    owner, whose name stands in the histories, and the audit trail, of which nothing can be taken out unseen.

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


def _erase(connection: Connection, person: dict[str, object]) -> tuple[Erased, ...]:
    theirs = "platform = :platform AND subject IN (:subject, :pseudonym)"
    erased = [
        Erased(place, connection.change(f"DELETE FROM {table} WHERE {theirs}", person))
        for table, place in _PLACES.items()
    ]
    names = (str(person["subject"]), str(person["pseudonym"]))
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
    written = [f"{person['platform']}:{name}" for name in names]
    [(count,)] = connection.execute(
        "SELECT COUNT(*) FROM audit WHERE who IN (:name, :pseudonym)", {"name": written[0], "pseudonym": written[1]}
    )
    erased.append(Erased("audit trail", count, kept=True))
    return tuple(each for each in erased if each.count)
