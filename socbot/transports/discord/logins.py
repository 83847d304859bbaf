"""How often the bot logs in at Discord's gateway, kept on disk so that a crash loop cannot cost it its token.

Discord allows a bot so many IDENTIFYs a day (1,000 for most) and resets the token of one that needs more. Every
login is recorded and committed before it is sent, and each waits the longer the more there were.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import anyio
from msgspec import Struct
from msgspec.structs import replace

from socbot.dispatch.clock import Clock
from socbot.dispatch.replies import Reply
from socbot.storage.database import Connection, Database, StoreError

_log = logging.getLogger("soc_bot")

HOUR, DAY = 3600.0, 86400.0
BUCKET_SPACING = 5.25
"""Seconds between two logins of one concurrency bucket: Discord asks for 5, and the way there is not always as long."""
FREE_LOGINS = 3
"""So many in an hour cost a shard no wait of its own."""
FIRST_SPACING, SPACING, LONGEST_SPACING = 15.0, 300.0, 3600.0
TOLD_WAIT, TOLD_AGAIN = 60.0, 6 * HOUR
"""Seconds from which on the owner is told of a wait, and until that is said again."""

Tell: TypeAlias = Callable[[Reply], None]
"""Hands a reply on to the owner; it must not block, and not go through Discord's API."""


class SessionLimit(Struct, frozen=True):
    """What Discord still allows: ``remaining`` of ``total`` logins, all of them again in ``reset_after`` seconds."""

    total: int = 1000
    remaining: int = 1000
    reset_after: float = 0.0
    max_concurrency: int = 1

    def reserve(self, shards: int) -> int:
        """The logins that are not touched."""
        return min(max(50, self.total // 20, shards), self.total // 2)

    def wait(self, shards: int) -> float:
        """Seconds to wait because too few are left."""
        # A second more: being early would be the one mistake that counts.
        return self.reset_after + 1.0 if self.remaining <= self.reserve(shards) else 0.0


class Login(Struct, frozen=True):
    """A login of ``shard``, one of ``shards``; ``at`` in seconds since 1970."""

    shard: int
    shards: int
    at: float


def spacing(history: Sequence[Login], now: float, shard: int, shards: int, limit: SessionLimit) -> float:
    """Seconds that must lie between the last login of ``shard`` and its next one."""
    quarter = limit.total / 4
    today = sum(login.at > now - DAY for login in history)
    if today >= quarter:
        return min(LONGEST_SPACING, max(SPACING, DAY / (quarter / shards)))
    if today >= quarter / 2:
        return SPACING
    lately = sum(login.shard == shard and login.at > now - HOUR for login in history)
    return 0.0 if lately < FREE_LOGINS else min(SPACING, FIRST_SPACING * 2 ** min(lately - FREE_LOGINS, 10))


def wait_of_shard(history: Sequence[Login], now: float, shard: int, shards: int, limit: SessionLimit) -> float:
    """Seconds until ``shard`` may log in, as far as its own history goes."""
    last = max((login.at for login in history if login.shard == shard), default=-DAY)
    return max(0.0, last + spacing(history, now, shard, shards, limit) - now)


def wait_of_bucket(history: Sequence[Login], now: float, shard: int, limit: SessionLimit) -> float:
    """Seconds until ``shard`` may log in after another of its concurrency bucket."""
    buckets = max(1, limit.max_concurrency)
    last = max((login.at for login in history if login.shard % buckets == shard % buckets), default=-DAY)
    return max(0.0, last + BUCKET_SPACING - now)


def wait_of(history: Sequence[Login], now: float, shard: int, shards: int, limit: SessionLimit) -> float:
    """Seconds until ``shard`` may log in, for every reason that there is."""
    return max(
        limit.wait(shards),
        wait_of_shard(history, now, shard, shards, limit),
        wait_of_bucket(history, now, shard, limit),
    )


class Logins:
    """Lets shards log in as seldom as they must.

    Moments are counted from the wall clock's time at the making, by the steady clock: a step of the wall clock changes
    nothing while this process lives, and a login that is stored for the future counts as one of now.
    """

    def __init__(self, database: Database, clock: Clock, tell: Tell) -> None:
        self._database, self._clock, self._tell = database, clock, tell
        self._offset = clock.time() - clock.monotonic()
        self._limit, self._limit_at = SessionLimit(), -DAY
        self._history: list[Login] = []
        self._unsaved: list[Login] = []
        self._turn = anyio.Lock()
        self._told: dict[str, float] = {}

    async def ready(self, shards: Iterable[int], count: int, limit: SessionLimit | None) -> None:
        """Return once every one of ``shards`` of ``count`` may log in, but for the few seconds between two.

        To be waited for before a connection is made, since Discord ends one that does not log in.

        :param limit: what Discord says now; without it, what it said last less the logins since
        """
        self._learn(limit)
        numbers = tuple(shards)
        while True:
            now, limit = await self._refresh(), self._known_limit()
            own = (wait_of_shard(self._history, now, number, count, limit) for number in numbers)
            wait = max(limit.wait(count), *own)
            if wait <= 0:
                return
            await self._wait(wait, count)

    async def wait_seconds(self, shard: int, shards: int, limit: SessionLimit | None = None) -> float:
        """Seconds until ``shard`` of ``shards`` may log in."""
        self._learn(limit)
        now = await self._refresh()
        return wait_of(self._history, now, shard, shards, self._known_limit())

    async def take(self, shard: int, shards: int, limit: SessionLimit | None = None) -> None:
        """Wait until ``shard`` may log in, and record that it does. To be called right before the IDENTIFY.

        :param limit: what Discord says now; without it, what it said last less the logins since
        """
        self._learn(limit)
        while (wait := await self._try(shard, shards)) > 0:
            await self._wait(wait, shards)

    async def _try(self, shard: int, shards: int) -> float:
        """Seconds that are still to be waited; if there are none, the login is recorded."""
        async with self._turn:
            login, limit = Login(shard, shards, self._now()), self._known_limit()
            wait = await self._recorded(login, limit)
            if wait <= 0:
                self._history.append(login)
                self._limit = replace(self._limit, remaining=self._limit.remaining - 1)
            return wait

    # -- what Discord says --------------------------------------------------------------------------------

    def _learn(self, limit: SessionLimit | None) -> None:
        if limit is not None:
            self._limit, self._limit_at = limit, self._clock.monotonic()

    def _known_limit(self) -> SessionLimit:
        left = self._limit_at + self._limit.reset_after - self._clock.monotonic()
        if left > 0:
            return replace(self._limit, reset_after=left)
        self._learn(replace(self._limit, remaining=self._limit.total, reset_after=DAY))
        return self._limit

    # -- waiting ------------------------------------------------------------------------------------------

    def _now(self) -> float:
        return self._offset + self._clock.monotonic()

    async def _wait(self, seconds: float, shards: int) -> None:
        limit = self._known_limit()
        if limit.wait(shards) > 0:
            self._say(
                "limit",
                f"Discord allows this bot {limit.remaining} more logins out of {limit.total}, and socbot keeps "
                f"{limit.reserve(shards)} in reserve: Discord resets the token of a bot that uses them up. It logs in "
                f"again in {_length(seconds)}. Is another program using this token, or is a bot crashing again and "
                "again?",
            )
        elif seconds >= TOLD_WAIT:
            self._say(
                "spacing",
                f"The next login at Discord waits for {_length(seconds)}, because there were many of late. "
                "Is the bot crashing or being restarted again and again?",
            )
        await self._clock.sleep(min(seconds, HOUR))

    def _say(self, kind: str, text: str) -> None:
        now = self._clock.monotonic()
        if now - self._told.get(kind, -DAY) >= TOLD_AGAIN:
            self._told[kind] = now
            _log.warning("%s", text)
            self._tell(Reply(text, "Logins at Discord", tone="warn" if kind == "spacing" else "error"))

    # -- what is on disk ----------------------------------------------------------------------------------

    async def _refresh(self) -> float:
        """Read what was recorded, here and by other processes; the moment for which that holds."""
        now = self._now()
        try:
            self._history = [*await self._database.write(lambda connection: _read(connection, now)), *self._unsaved]
        except StoreError as error:
            self._store_failed(error)
        return now

    async def _recorded(self, login: Login, limit: SessionLimit) -> float:
        unsaved = self._unsaved
        try:
            self._history, wait = await self._database.write(
                lambda connection: _read_and_append(connection, login, limit, unsaved)
            )
        except StoreError as error:
            self._store_failed(error)
            wait = wait_of(self._history, login.at, login.shard, login.shards, limit)
            unsaved = [*unsaved, login]
        else:
            unsaved = []
        if wait <= 0:
            self._unsaved = unsaved
        return wait

    def _store_failed(self, error: StoreError) -> None:
        self._say(
            "store",
            f"Logins at Discord cannot be recorded ({error}); they are counted in memory, and a restart forgets them.",
        )


def _read_and_append(
    connection: Connection, login: Login, limit: SessionLimit, unsaved: Sequence[Login]
) -> tuple[list[Login], float]:
    history = [*_read(connection, login.at), *unsaved]
    wait = wait_of(history, login.at, login.shard, login.shards, limit)
    if wait <= 0:
        _append(connection, [*unsaved, login])
    return history, wait


def _read(connection: Connection, now: float) -> list[Login]:
    if connection.dialect == "postgresql":  # the processes of one bot take turns
        connection.execute("LOCK TABLE gateway_logins IN EXCLUSIVE MODE")
    connection.change("DELETE FROM gateway_logins WHERE at <= :gone", {"gone": now - DAY})
    # Once and for all: counted anew at each reading, they would keep the bot of a clock set back from logging in.
    connection.change("UPDATE gateway_logins SET at = :now WHERE at > :now", {"now": now})
    return [Login(*row) for row in connection.execute("SELECT shard, shards, at FROM gateway_logins ORDER BY at")]


def _append(connection: Connection, logins: Sequence[Login]) -> None:
    connection.execute_many(
        "INSERT INTO gateway_logins (shard, shards, at) VALUES (:shard, :shards, :at)",
        [{"shard": login.shard, "shards": login.shards, "at": login.at} for login in logins],
    )


def _length(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"
