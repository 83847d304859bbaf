"""Timeouts as a platform carries them out, and what really became of each."""

from collections.abc import Awaitable, Sequence
from typing import Final, Protocol

import anyio
from msgspec import Struct

from socbot.dispatch.messages import Identity
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.systems.identities import storable

MUTE_ONLY: Final = "bot mute only"
UNKNOWN: Final = "unknown"
"""How the words begin for a timeout that the platform did not, or may not have, carried out."""

_LIFTED = ", lifted"


class Enforcer(Protocol):
    """What a platform can do about a member. Each returns None once it is done; otherwise why it was not, in words."""

    async def time_out(self, identity: Identity, guild: str, seconds: float, reason: str) -> str | None:
        """Silence the member in ``guild`` for ``seconds``."""

    async def lift(self, identity: Identity, guild: str, until: float) -> str | None:
        """End the member's timeout, which would last until ``until`` in seconds since 1970."""


class Lift(Struct, frozen=True):
    """A timeout in ``guild`` that was to be ended; ``why_not`` is empty once it is."""

    guild: str
    why_not: str = ""


class Timeout(Struct, frozen=True):
    """A timeout that a platform may be carrying out; ``key`` is that of its violation."""

    key: int
    guild: str
    until: float
    enforced: str


class Enforcement:
    """Has platforms silence people, and writes down what they really did."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._enforcers: dict[str, tuple[Enforcer, float]] = {}

    def use(self, platform: str, enforcer: Enforcer, patience: float) -> None:
        self._enforcers[platform] = (enforcer, patience)

    def at_first(self, platform: str, guild: str | None, *, admin: bool) -> str:
        """What a timeout is recorded as before anything was done: why nothing will be, or that it is not known yet."""
        if platform not in self._enforcers:
            return f"{MUTE_ONLY}: this platform has no other"
        if guild is None:
            return f"{MUTE_ONLY}: direct message"
        return f"{MUTE_ONLY}: an administrator" if admin else UNKNOWN

    async def time_out(self, identity: Identity, key: int, guild: str, seconds: float, reason: str) -> str:
        """Have the platform silence the person, and write what became of it to violation ``key``.

        :raises StoreError: if it could not be written; the violation goes on saying that it is not known
        """
        enforcer, patience = self._enforcers[identity[0]]
        enforced = f"{UNKNOWN}: cut short"
        try:
            why_not = await _answer(enforcer.time_out(identity, guild, seconds, reason), patience)
            enforced = _in_words(identity[0], why_not)
        finally:
            await self._note(key, enforced)
        return enforced

    async def lift(self, identity: Identity, timeouts: Sequence[Timeout]) -> tuple[Lift, ...]:
        """End the platform's ``timeouts`` of one person.

        :raises StoreError: if it could not be written that one was ended; it is then ended again the next time
        """
        return tuple([Lift(each.guild, await self._lift(identity, each)) for each in timeouts])

    async def _lift(self, identity: Identity, running: Timeout) -> str:
        """Why it could not be ended; empty if it was."""
        if identity[0] not in self._enforcers:
            return f"{identity[0]} is not connected"
        enforcer, patience = self._enforcers[identity[0]]
        why_not = await _answer(enforcer.lift(identity, running.guild, running.until), patience)
        if why_not is None:
            await self._note(running.key, running.enforced + _LIFTED)
        return why_not or ""

    async def _note(self, key: int, enforced: str) -> None:
        with anyio.CancelScope(shield=True):
            await self._database.write(
                lambda connection: connection.change(
                    "UPDATE rate_limit_violations SET enforced = :enforced WHERE id = :key",
                    {"key": key, "enforced": storable(enforced)},
                )
            )


def is_silenced(enforced: str) -> bool:
    """Whether the platform did it."""
    return bool(enforced) and not enforced.startswith((MUTE_ONLY, UNKNOWN))


def running_timeouts(connection: Connection, identity: Identity, now: float) -> list[Timeout]:
    """Those that the platform may be carrying out now; also cleared ones, which may not have been lifted then."""
    rows = connection.execute(
        "SELECT id, guild, until, enforced FROM rate_limit_violations WHERE platform = :platform"
        " AND subject = :subject AND action = 'timeout' AND until > :now AND guild <> '' ORDER BY id",
        {"platform": identity[0], "subject": storable(identity[1]), "now": now},
    )
    timeouts = (Timeout(*row) for row in rows)
    return [each for each in timeouts if _may_be_running(each.enforced)]


def _may_be_running(enforced: str) -> bool:
    return not enforced.startswith(MUTE_ONLY) and not enforced.endswith(_LIFTED)


def last_enforced(connection: Connection, identity: Identity, now: float) -> str:
    """What became of the timeout that holds ``identity`` now; empty if none does."""
    rows = connection.execute(
        "SELECT enforced FROM rate_limit_violations WHERE platform = :platform AND subject = :subject"
        " AND action = 'timeout' AND until > :now AND cleared_at IS NULL ORDER BY id DESC LIMIT 1",
        {"platform": identity[0], "subject": storable(identity[1]), "now": now},
    )
    return str(rows[0][0]) if rows else ""


async def _answer(call: Awaitable[str | None], patience: float) -> str | None:
    """What an enforcer says; if it does not, that nothing is known."""
    try:
        with anyio.fail_after(patience):
            return await call
    except TimeoutError:
        return f"{UNKNOWN}: no answer within {patience:g} s"
    except Exception as error:  # a platform's code: whatever it does, the bot's own mute holds and the person is told
        return f"{UNKNOWN}: {type(error).__name__}"


def _in_words(platform: str, why_not: str | None) -> str:
    if why_not is None:
        return f"{platform} timeout"
    return why_not if why_not.startswith(UNKNOWN) else f"{MUTE_ONLY}: {why_not}"
