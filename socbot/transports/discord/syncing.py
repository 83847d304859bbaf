"""Putting the slash commands where Discord keeps them: only when they have changed, and never in a loop.

Discord lets a bot create 200 commands a day in each place. What was put there last is remembered, so that a start
with the same commands asks Discord nothing; with others, what is there is read first; and a place is written to at
most ``MOST_PUTS`` times in a window of a day, which is twice that in any day.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Literal, Protocol, TypeAlias, TypeVar

import aiohttp
import anyio
import discord
import msgspec
from msgspec import Struct

from socbot.dispatch.clock import Clock
from socbot.dispatch.replies import printable
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.transports.discord.slash_options import JSON

GLOBAL = "global"
"""The scope of every guild and of direct messages; the others are guilds, by id."""

MOST_PUTS = 10
RETRY_AFTER = 3_600.0
PATIENCE = 120.0
"""Seconds for one request, with whatever Discord lets the bot wait."""

_DAY = 86_400.0
_ENTRY_POINT = 4

State: TypeAlias = Literal["unchanged", "same", "put", "failed", "postponed"]
Tell: TypeAlias = Callable[["Synced"], None]


class SyncRefused(Exception):
    """Discord did not do it.

    :ivar status: of HTTP; 0 if there was no answer
    :ivar retry_after: seconds that Discord asked to wait, if it did
    """

    def __init__(self, status: int, text: str, retry_after: float = 0.0) -> None:
        self.status, self.text, self.retry_after = status, text, retry_after
        super().__init__(status, text)


class Remote(Protocol):
    """What Discord has. Both raise ``SyncRefused``."""

    @property
    def application(self) -> str:
        """The id of the bot's application."""

    async def get(self, scope: str) -> Sequence[JSON]: ...

    async def put(self, scope: str, commands: list[JSON]) -> None: ...


class Synced(Struct, frozen=True):
    """How it went in one scope.

    :param state: ``unchanged``: nothing was asked; ``same``: Discord had them; ``postponed``: enough for today
    :param reason: why not, and what to do about it
    :param retry_after: seconds until it is worth another try; 0 if it need not be tried again
    :param status: of HTTP, where Discord refused
    """

    scope: str
    state: State
    reason: str = ""
    retry_after: float = 0.0
    status: int = 0


class _Last(Struct, frozen=True):
    """What was put in a scope, and how often since ``since``."""

    digest: str = ""
    puts: int = 0
    since: float = 0.0


async def keep_in_sync(
    commands: Sequence[JSON], guilds: Sequence[str], remote: Remote, store: Database, clock: Clock, tell: Tell
) -> None:
    """Have Discord offer ``commands``; return once it does.

    What does not work is tried again an hour later, or when Discord says; ``tell`` gets every result that is not
    the one before it.
    """
    before: dict[str, Synced] = {}
    while True:
        results = await sync_all(commands, guilds, remote, store, clock)
        for result in results:
            earlier = before.get(result.scope)
            if earlier is None or (earlier.state, earlier.reason) != (result.state, result.reason):
                tell(result)
        before = {result.scope: result for result in results}
        waits = [result.retry_after for result in results if result.retry_after]
        if not waits:
            return
        await clock.sleep(min(waits))


async def sync_all(
    commands: Sequence[JSON], guilds: Sequence[str], remote: Remote, store: Database, clock: Clock
) -> tuple[Synced, ...]:
    """Put ``commands`` in ``guilds`` only, or everywhere if there are none.

    Where they were put before and are not wanted any more they are taken away, so that none is offered twice.
    """
    wanted = tuple(dict.fromkeys(guilds)) or (GLOBAL,)
    results = [await sync(commands, scope, remote, store, clock) for scope in wanted]
    for scope in await store.read(_scopes):
        if scope not in wanted:
            results.append(await _withdraw(scope, remote, store, clock))
    return tuple(results)


async def sync(commands: Sequence[JSON], scope: str, remote: Remote, store: Database, clock: Clock) -> Synced:
    """Put ``commands`` in ``scope``, unless they are there."""
    own = [_for_scope(command, scope) for command in commands]
    digest = digest_of(own, remote.application)
    last = await store.read(lambda connection: _last(connection, scope))
    if last.digest == digest:
        return Synced(scope, "unchanged")
    try:
        there = await remote.get(scope)
        if _alike(own, there):
            await store.write(lambda connection: _keep(connection, scope, digest, last, clock.time()))
            return Synced(scope, "same")
        # What starts the application's activity, if it has one, is not ours, and must not be missing.
        entry = [command for command in there if command.get("type") == _ENTRY_POINT]
        return await _put(own + entry, digest, scope, last, remote, store, clock)
    except SyncRefused as refused:
        again = max(RETRY_AFTER, refused.retry_after)
        return Synced(scope, "failed", _reason(refused, scope), again, refused.status)


async def _put(
    commands: list[JSON], digest: str, scope: str, last: _Last, remote: Remote, store: Database, clock: Clock
) -> Synced:
    now = clock.time()
    counted = _counted(last, now)
    if counted.puts > MOST_PUTS:
        reason = (
            f"The slash commands ({_named(scope)}) have changed {MOST_PUTS} times within a day. They stay as they are, "
            "because Discord allows only so many changes; they are brought up to date tomorrow."
        )
        return Synced(scope, "postponed", reason, counted.since + _DAY - now)
    # Counted before it is tried: a bot that dies of it, again and again, must not do it without end.
    await store.write(lambda connection: _keep(connection, scope, last.digest, counted, now))
    await remote.put(scope, commands)
    await store.write(lambda connection: _keep(connection, scope, digest, counted, clock.time()))
    return Synced(scope, "put")


async def _withdraw(scope: str, remote: Remote, store: Database, clock: Clock) -> Synced:
    result = await sync((), scope, remote, store, clock)
    if result.status not in (403, 404):
        return result
    # The bot is no longer in that guild: nobody is offered anything there, and it is not asked again.
    digest, last = digest_of((), remote.application), await store.read(lambda connection: _last(connection, scope))
    await store.write(lambda connection: _keep(connection, scope, digest, last, clock.time()))
    return Synced(scope, "unchanged")


def digest_of(commands: Sequence[JSON], application: str) -> str:
    """What stands for these commands of this application."""
    return hashlib.sha256(msgspec.json.encode([application, commands], order="sorted")).hexdigest()


# -- comparing ----------------------------------------------------------------------------------------

_GLOBAL_ONLY = ("contexts", "integration_types")
_LISTS = ("options", "choices")
_COMPARED = frozenset(
    (
        "type", "name", "description", "default_member_permissions", "required", "autocomplete", "value",
        "min_value", "max_value", "min_length", "max_length",
    )
)  # fmt: skip


def _for_scope(command: JSON, scope: str) -> JSON:
    return command if scope == GLOBAL else {key: command[key] for key in command if key not in _GLOBAL_ONLY}


def _alike(commands: Iterable[JSON], there: Iterable[JSON]) -> bool:
    return _in_order(commands) == _in_order(there)


def _in_order(commands: Iterable[JSON]) -> list[JSON]:
    # Discord leaves the type of a slash command out, or not.
    known = [_compared({"type": 1} | command) for command in commands if command.get("type") != _ENTRY_POINT]
    return sorted(known, key=lambda command: (command["type"], command["name"]))


def _compared(part: JSON) -> JSON:
    """What of a command, option or choice is ours, without what says as much as its absence."""
    kept = {key: value for key, value in part.items() if key in _COMPARED and value not in (None, False, "")}
    kept |= {key: [_compared(each) for each in part[key]] for key in _LISTS if part.get(key)}
    return kept | {key: sorted(part[key]) for key in _GLOBAL_ONLY if part.get(key)}


# -- what went wrong ----------------------------------------------------------------------------------


def _reason(refused: SyncRefused, scope: str) -> str:
    where, said = _named(scope), printable(refused.text[:500])
    if refused.status == 403:
        return (
            f"Discord does not let the bot offer slash commands ({where}). Invite it again with the scope "
            "applications.commands: `socbot invite` prints the link."
        )
    if refused.status == 429:
        return f"Discord has had enough changes of slash commands ({where}) for now."
    if refused.status == 0:
        return f"Discord was not reached about the slash commands ({where}): {said}"
    return f"Discord refused the slash commands ({where}) with status {refused.status}: {said}"


def _named(scope: str) -> str:
    return "everywhere" if scope == GLOBAL else f"guild {scope}"


# -- remembering --------------------------------------------------------------------------------------


def _scopes(connection: Connection) -> list[str]:
    return [str(scope) for (scope,) in connection.execute("SELECT scope FROM command_syncs ORDER BY scope")]


def _last(connection: Connection, scope: str) -> _Last:
    rows = connection.execute(
        "SELECT digest, puts, puts_since FROM command_syncs WHERE scope = :scope", {"scope": scope}
    )
    return _Last(*rows[0]) if rows else _Last()


def _counted(last: _Last, now: float) -> _Last:
    """``last`` and one put more."""
    since = min(last.since, now)  # a clock that was set back
    if now - since >= _DAY:
        return _Last(last.digest, 1, now)
    return _Last(last.digest, last.puts + 1, since)


def _keep(connection: Connection, scope: str, digest: str, last: _Last, now: float) -> None:
    connection.change(
        "INSERT INTO command_syncs (scope, digest, at, puts, puts_since) "
        "VALUES (:scope, :digest, :at, :puts, :since) ON CONFLICT (scope) DO UPDATE SET "
        "digest = :digest, at = :at, puts = :puts, puts_since = :since",
        {"scope": scope, "digest": digest, "at": now, "puts": last.puts, "since": last.since},
    )


# -- over discord.py ----------------------------------------------------------------------------------

_Answer = TypeVar("_Answer")


class OverHTTP:
    """Discord's commands over the client's own HTTP."""

    def __init__(self, http: discord.http.HTTPClient, application: str) -> None:
        self._http, self._application = http, application

    @property
    def application(self) -> str:
        return self._application

    async def get(self, scope: str) -> Sequence[JSON]:
        """:raises SyncRefused: with Discord's reason"""
        if scope == GLOBAL:
            return [dict(each) for each in await _asked(self._http.get_global_commands(self._application))]
        return [dict(each) for each in await _asked(self._http.get_guild_commands(self._application, scope))]

    async def put(self, scope: str, commands: list[JSON]) -> None:
        """:raises SyncRefused: with Discord's reason"""
        if scope == GLOBAL:
            await _asked(self._http.bulk_upsert_global_commands(self._application, commands))
        else:
            await _asked(self._http.bulk_upsert_guild_commands(self._application, scope, commands))


async def _asked(request: Awaitable[_Answer]) -> _Answer:
    try:
        with anyio.fail_after(PATIENCE):
            return await request
    except discord.RateLimited as error:
        raise SyncRefused(429, str(error), error.retry_after) from error
    except discord.HTTPException as error:
        raise SyncRefused(error.status, error.text) from error
    except TimeoutError as error:
        raise SyncRefused(0, f"no answer within {PATIENCE:.0f} s") from error
    except (OSError, aiohttp.ClientError) as error:
        raise SyncRefused(0, str(error) or type(error).__name__) from error
