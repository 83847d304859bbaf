"""Keeping shards connected: each on its own, and resuming for as long as there is a session to resume.

discord.py's own loop logs in anew, which loses what happened meanwhile, as soon as the gateway is not there at the
first try; it has one shard wait for another, and an event that it cannot read ends the program.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from random import Random

import aiohttp
import anyio
import discord
from discord.gateway import DiscordWebSocket, ReconnectWebSocket

from socbot.dispatch.clock import Clock
from socbot.jobs.backoff import delay
from socbot.transports.discord.faults import explain

CONNECT_TIMEOUT = 60.0
"""Seconds that a connection may take to be made."""

MOST_RESUMES = 10
"""Tries to resume without an event between them, a few minutes in all, after which a session is given up."""

_CLOSING_TIMEOUT = 1.0
_ENDED = (OSError, aiohttp.ClientError, discord.ConnectionClosed, ReconnectWebSocket)

_log = logging.getLogger("soc_bot")


_making: ContextVar["list[Socket]"] = ContextVar("making")


class Socket(DiscordWebSocket):
    """A connection that is known from its first moment, so that one which is never finished can be closed.

    The library forgets it, and its thread goes on sending heartbeats.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(socket, loop=loop)
        _making.get().append(self)


async def _given_up(half_made: list[Socket]) -> None:
    with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSING_TIMEOUT):
        for ws in half_made:
            await ws.close()


class ShardConnection:
    """One shard, and its place in Discord's stream of events.

    :param logging_in: held while a shard logs in, by all of a process
    :param login_turn: returns when this shard may log in
    :param adopt: takes each connection that was made
    :param report: takes what an event broke in the library
    """

    def __init__(
        self,
        client: discord.Client,
        shard_id: int,
        clock: Clock,
        random: Random,
        *,
        logging_in: anyio.Lock,
        login_turn: Callable[[int], Awaitable[None]],
        adopt: Callable[[int, DiscordWebSocket], None],
        report: Callable[[BaseException], Awaitable[None]],
    ) -> None:
        self._client, self._shard_id, self._clock, self._random = client, shard_id, clock, random
        self._logging_in, self._login_turn, self._adopt, self._report = logging_in, login_turn, adopt, report
        self._ws: DiscordWebSocket | None = None
        self._may_resume = False
        self._failures = 0
        self._lost_at: float | None = -float("inf")

    @property
    def lost_for(self) -> float | None:
        """Seconds since there was a connection with a session; None while there is, infinity before the first."""
        return None if self._lost_at is None else self._clock.monotonic() - self._lost_at

    async def keep(self) -> None:
        """Connect again whenever the connection ends, until cancelled; not at once if two in a row were of no use.

        :raises discord.ConnectionClosed: if Discord ends it with a code that no new attempt can mend
        """
        while True:
            before = self._place
            await self._follow()
            self._failures = 0 if self._place != before else self._failures + 1
            if self._failures > 1:
                await self._clock.sleep(self._pause())

    @property
    def _place(self) -> tuple[str | None, int | None]:
        return (None, None) if self._ws is None else (self._ws.session_id, self._ws.sequence)

    def _pause(self) -> float:
        seconds = delay(self._failures - 1, self._random)
        log = _log.warning if self._failures == 2 else _log.info
        log("shard %d finds no way to Discord's gateway; it tries again in %.0f s", self._shard_id, seconds)
        return seconds

    async def _follow(self) -> None:
        """Connect, and handle events until that ends."""
        try:
            await self._listen(await self._connected())
        except ReconnectWebSocket as ended:
            self._may_resume = ended.resume
        except _ENDED as error:
            if explain(error) is not None:
                raise
            _log.info("shard %d lost its connection (%s: %s)", self._shard_id, type(error).__name__, error)
        except Exception as error:  # whatever it is that the library did not expect, the shard must come back
            await self._report(error)
        await self._part()

    async def _part(self) -> None:
        """Close what is left of a connection, in a way that leaves the session."""
        if self._lost_at is None:
            self._lost_at = self._clock.monotonic()
        if self._ws is not None and self._ws.open:
            with anyio.move_on_after(_CLOSING_TIMEOUT):
                await self._ws.close()

    async def _connected(self) -> DiscordWebSocket:
        half_made: list[Socket] = []
        _making.set(half_made)
        try:
            ws = await self._made()
        except BaseException:
            await _given_up(half_made)
            raise
        finally:
            half_made.clear()  # whatever is begun on this connection copies the context, and may outlive it by far
        self._ws, self._may_resume = ws, True
        self._adopt(self._shard_id, ws)
        return ws

    async def _made(self) -> DiscordWebSocket:
        last = self._ws
        if last is not None and last.session_id and self._may_resume and self._failures < MOST_RESUMES:
            with anyio.fail_after(CONNECT_TIMEOUT):
                return await self._resumed(last)
        await self._login_turn(self._shard_id)
        async with self._logging_in:
            return await Socket.from_client(self._client, shard_id=self._shard_id)

    async def _resumed(self, last: DiscordWebSocket) -> DiscordWebSocket:
        return await Socket.from_client(
            self._client,
            gateway=last.gateway,
            shard_id=self._shard_id,
            session=last.session_id,
            sequence=last.sequence,
            resume=True,
        )

    async def _listen(self, ws: DiscordWebSocket) -> None:
        while await self._heard(ws):
            pass

    async def _heard(self, ws: DiscordWebSocket) -> bool:
        """Handle one event; whether the next one can be."""
        before = ws.sequence
        try:
            await ws.poll_event()
        except _ENDED:
            raise
        except Exception as error:  # an event that the library cannot read costs that event alone
            await self._report(error)
            return ws.sequence != before
        if ws.session_id:
            self._lost_at = None
        return True
