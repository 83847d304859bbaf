"""The log as it is written, for whoever watches: server-sent events, which never hold up who logs or who writes."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
from aiohttp import web

from socbot.logs.entries import Entry, Wanted, entry_of
from socbot.systems.logs import NoLogFile
from socbot.web.gate import Gate
from socbot.web.host import Host
from socbot.web.problems import Turned
from socbot.web.view import BadQuery
from socbot.web.views.logs import LOG, Query, short

PATH: Final = "/logs/stream"

MOST: Final = 20
"""Streams at once."""

HEARTBEAT: Final = 15.0
"""Seconds after which a stream that has nothing to say says that it is there."""

WAITING: Final = 2_000
"""Lines that wait for the server's thread, and for each stream; beyond it the oldest are left out, and counted."""

_PAUSE = 0.1  # between two looks: so many lines go in one piece
_LOOK = 1.0  # how often it is seen whether whoever watches may still
_BATCH, _SLICE = 200, 50
_UNREAD = 30.0  # seconds for which a stream is kept that is not read


class Tail:
    """Lines on their way to one stream, the newest of them.

    :ivar dropped: how many were left out since ``take`` was last called
    """

    def __init__(self, wanted: Wanted, most: int) -> None:
        self.wanted = wanted
        self._entries: deque[Entry] = deque(maxlen=most)
        self._more = asyncio.Event()
        self.dropped = 0

    def offer(self, line: str, entry: Entry) -> None:
        """Take ``line``, which says ``entry``, if it is wanted."""
        if self.wanted.fits(line, entry):
            self.dropped += len(self._entries) == self._entries.maxlen
            self._entries.append(entry)
            self._more.set()

    def missed(self, count: int) -> None:
        """So many lines were left out before anybody saw whether they are wanted."""
        self.dropped += count
        self._more.set()

    async def wait(self, seconds: float) -> None:
        """Return once there is something to take, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._more.wait()

    def take(self) -> tuple[int, list[Entry]]:
        """How many were left out, and what the next lines after those say."""
        dropped, self.dropped = self.dropped, 0
        entries = [self._entries.popleft() for _ in range(min(_BATCH, len(self._entries)))]
        if not self._entries:
            self._more.clear()
        return dropped, entries


class Hub:
    """Carries lines from the thread that writes the log to the streams. It follows the log while there are any.

    :param follow: begins to follow, and returns what ends it; raises NoLogFile where there is no log
    """

    def __init__(self, follow: Callable[[Callable[[str], None]], Callable[[], None]]) -> None:
        self._follow = follow
        self._leave: Callable[[], None] | None = None
        self._arrived: deque[str] = deque()
        self._missed = self._told = 0  # each is changed on one thread alone
        self._called = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.tails: list[Tail] = []

    def add(self, tail: Tail) -> None:
        """:raises NoLogFile: if there is no log to be followed"""
        self._loop = asyncio.get_running_loop()
        if self._leave is None:
            self._leave = self._follow(self._arrive)
        self.tails.append(tail)

    def remove(self, tail: Tail) -> None:
        self.tails.remove(tail)
        if not self.tails and self._leave is not None:
            self._leave()
            self._leave = None
            self._arrived.clear()

    def _arrive(self, line: str) -> None:
        """On the thread that writes, which must not wait: the loop is woken once for all that comes until it looks."""
        if len(self._arrived) >= WAITING:
            self._missed += 1
            return
        self._arrived.append(line)
        if not self._called and self._loop is not None:
            self._called = True
            with suppress(RuntimeError):  # the loop has ended, and nobody watches any more
                self._loop.call_soon_threadsafe(self._distribute)

    def _distribute(self) -> None:
        self._called = False
        for _ in range(min(_SLICE, len(self._arrived))):
            line = self._arrived.popleft()
            entry = entry_of(line)
            for tail in self.tails:
                tail.offer(line, entry)
        if missed := self._missed - self._told:
            self._told += missed
            for tail in self.tails:
                tail.missed(missed)
        if self._arrived and self._loop is not None and not self._called:
            # In pieces, with everybody else's turn between them: probes are answered by this loop.
            self._called = True
            self._loop.call_soon(self._distribute)


class Live:
    """Serves ``/logs/stream``."""

    def __init__(self, host: Host, gate: Gate) -> None:
        self._gate = gate
        self._hub = Hub(host.logs.follow)
        self._ending = False

    def add_to(self, app: web.Application) -> None:
        app.router.add_get(PATH, self.stream, allow_head=False)
        app.on_shutdown.append(self._end)

    async def _end(self, app: web.Application) -> None:
        self._ending = True
        for tail in self._hub.tails:
            tail.missed(0)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Lines as they are written, until whoever watches goes, or may not any more."""
        if not self._gate.viewer(request).may("owner"):
            raise Turned(403, "The log is for owners.")
        tail = Tail(_asked(request).wanted, WAITING)
        if len(self._hub.tails) >= MOST:
            raise Turned(503, f"{MOST} are watching already; close one, or try again later.", retry_after=30.0)
        try:
            self._hub.add(tail)
        except NoLogFile as error:
            raise Turned(404, str(error)) from None
        try:
            response = web.StreamResponse(
                headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
            )
            await response.prepare(request)
            await self._send(response, tail, request)
        finally:
            self._hub.remove(tail)
        return response

    async def _send(self, response: web.StreamResponse, tail: Tail, request: web.Request) -> None:
        clock = asyncio.get_running_loop().time
        await self._write(response, request, b"retry: 3000\n\n: here\n\n")
        last = clock()
        while True:
            await tail.wait(_LOOK)
            if self._ending or not self._gate.still_admits(request):
                await self._write(response, request, b"event: end\ndata: {}\n\n")
                return
            if request.transport is None or request.transport.is_closing():
                return
            dropped, entries = tail.take()
            piece = (_event("dropped", dropped) if dropped else b"") + b"".join(map(_line_event, entries))
            if not piece and clock() - last >= HEARTBEAT:
                piece = b": still here\n\n"
            if piece:
                await self._write(response, request, piece)
                last = clock()
                await asyncio.sleep(_PAUSE)

    @staticmethod
    async def _write(response: web.StreamResponse, request: web.Request, piece: bytes) -> None:
        """Write ``piece``; whoever does not read for too long is left.

        :raises ConnectionError: if they are gone
        """
        try:
            async with asyncio.timeout(_UNREAD):
                await response.write(piece)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionError("the stream was not read") from None


def _asked(request: web.Request) -> Query:
    """What the page of the log takes, but how many lines of the past."""
    try:
        return LOG.ask_for({name: value for name, value in request.query.items() if value}, {})
    except BadQuery as error:
        raise Turned(422, error.text) from None


def _line_event(entry: Entry) -> bytes:
    return _event("line", short(entry))


def _event(kind: str, data: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode(data))
