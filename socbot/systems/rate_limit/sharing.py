"""One limit for several processes: what is used is kept in PostgreSQL, by the server's clock."""

import logging

import anyio
from msgspec import Struct

from socbot.config import RateLimitConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.messages import Identity
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.errors import StoreError
from socbot.systems.identities import storable
from socbot.systems.rate_limit.quota import TOLERANCE

PATIENCE = 0.1
"""Seconds within which the database must have answered; then the process decides by what it knows itself."""

APART = 1.0
"""Seconds for which it then asks no more, so that nothing waits and a server that comes back is not run against."""

_log = logging.getLogger(__name__)

_NOW = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS double precision)"
_USED = f"LEAST(GREATEST(rate_limit_shared.spent_until, {_NOW}), {_NOW} + :window)"


class Share(Struct, frozen=True):
    """What a command uses of one limit: ``share`` seconds of a ``window``. A cooldown is a window used whole."""

    scope: str
    share: float
    window: float


class Shared(Struct, frozen=True):
    """How a user stands in all processes together: seconds until each limit is wholly free again.

    :param wait: seconds until the command would be admitted; 0.0 if it was
    :param scope: the limit that it waits for
    """

    left: dict[str, float]
    wait: float = 0.0
    scope: str = ""


BURST = ""
COOLDOWN = "#cooldown"  # no command's name


def shares(config: RateLimitConfig, command: str) -> tuple[Share, ...]:
    """What ``command`` uses, always in the same order, so that processes never wait for each other in a circle."""
    needed = [Share(BURST, config.window / config.burst, config.window)]
    for scope, seconds in ((COOLDOWN, config.cooldown), (command, config.cooldowns.get(command, 0.0))):
        if seconds:
            needed.append(Share(scope, seconds, seconds))
    return tuple(needed)


class SharedLimits:
    """Asks the database, and says when it does not answer.

    :ivar apart: whether the limits are not kept together just now, because the database does not answer
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._ask_again = 0.0
        self.apart = False

    @property
    def asks_in(self) -> float:
        """Seconds until the database is asked again."""
        return max(0.0, self._ask_again - self._clock.monotonic())

    async def use(self, identity: Identity, needed: tuple[Share, ...]) -> Shared | None:
        """Use all of ``needed`` or nothing; None if the database did not say."""
        if self._clock.monotonic() < self._ask_again:
            return None
        answer: Shared | None = None
        reason = f"no answer within {PATIENCE:g} s"
        try:
            with anyio.move_on_after(PATIENCE):
                answer = await self._database.alone(lambda connection: _use(connection, identity, needed))
        except _Held as held:
            answer = held.shared
        except StoreError as error:
            reason = str(error)
        self._note(answer is None, reason)
        return answer

    def _note(self, apart: bool, reason: str) -> None:
        if apart:
            self._ask_again = self._clock.monotonic() + APART
            if not self.apart:
                _log.warning("limits are not kept together, and rate_limit.without_store applies: %s", reason)
        elif self.apart:
            _log.info("limits are kept together again")
        self.apart = apart


class _Held(Exception):
    """A limit did not admit it, so that nothing is used of the others."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        super().__init__(shared.scope)


def _use(connection: Connection, identity: Identity, needed: tuple[Share, ...]) -> Shared:
    # What is lost of it in a crash of the server is a few commands more; a disk's wait for each would cost everybody.
    connection.execute("SET LOCAL synchronous_commit = off")
    left: dict[str, float] = {}
    for each in needed:
        values = {
            "platform": identity[0], "subject": storable(identity[1]),
            "scope": each.scope, "share": each.share, "window": each.window, "tolerance": TOLERANCE,
        }  # fmt: skip
        rows = connection.execute(
            "INSERT INTO rate_limit_shared (platform, subject, scope, spent_until) "
            f"VALUES (:platform, :subject, :scope, {_NOW} + :share) "
            f"ON CONFLICT (platform, subject, scope) DO UPDATE SET spent_until = {_USED} + :share "
            f"WHERE {_USED} + :share - {_NOW} - :window <= :tolerance RETURNING spent_until - {_NOW}",
            values,
        )
        if not rows:
            [(owed,)] = connection.execute(
                f"SELECT {_USED} - {_NOW} FROM rate_limit_shared "
                "WHERE platform = :platform AND subject = :subject AND scope = :scope",
                values,
            )
            wait = max(TOLERANCE, owed + each.share - each.window)
            raise _Held(Shared({**left, each.scope: owed}, wait, each.scope))
        left[each.scope] = rows[0][0]
    return Shared(left)


def forget_passed(connection: Connection) -> None:
    """Delete what is wholly free again."""
    if connection.dialect == "postgresql":
        connection.change(f"DELETE FROM rate_limit_shared WHERE spent_until <= {_NOW}")
