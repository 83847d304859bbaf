"""Connections: how many there are, how long they may take, and which one makes room for another."""

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import web

MOST: Final = 256
"""Connections at once: few enough to leave the bot the files that it needs."""

HEAD: Final = 10.0
"""Seconds in which a connection sends its first request's head, and for which it is kept between two requests."""

MOST_LINE: Final = 8_190
"""Bytes of a request's first line, and of one header."""


class Crowd:
    """The connections there are. Beyond ``most`` the oldest one that nobody has signed in on makes room.

    Whoever holds connections open, or does not read what is answered, keeps nobody else from being served.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._open: dict[asyncio.Transport, bool] = {}  # the oldest first; whether somebody has signed in on it

    def __len__(self) -> int:
        self._sweep()
        return len(self._open)

    def take(self, transport: asyncio.Transport) -> None:
        """There is another one."""
        self._open[transport] = False
        if len(self._open) > self._most:
            self._sweep()
        while len(self._open) > self._most:
            # Where all are trusted, that is the new one itself.
            oldest = next(each for each, trusted in self._open.items() if not trusted)
            del self._open[oldest]
            oldest.abort()

    def trust(self, transport: asyncio.BaseTransport | None) -> None:
        """Somebody has signed in on this one."""
        if isinstance(transport, asyncio.Transport) and transport in self._open:
            self._open[transport] = True

    def close(self) -> None:
        """Close them all at once, and those that were accepted and are still to be told of."""
        self._most = 0
        for transport in self._open:
            transport.abort()
        self._open.clear()

    def _sweep(self) -> None:
        self._open = {each: trusted for each, trusted in self._open.items() if not each.is_closing()}


class Door(asyncio.Protocol):
    """A new connection, until something comes over it: then what ``serve`` makes takes it over.

    :param serve: makes the protocol that serves it
    """

    def __init__(self, crowd: Crowd, serve: Callable[[], asyncio.Protocol]) -> None:
        self._crowd, self._serve = crowd, serve
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._deadline = asyncio.get_running_loop().call_later(HEAD, _close_if_silent, transport)
        self._crowd.take(transport)

    def connection_lost(self, error: BaseException | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        served = self._serve()
        transport.set_protocol(served)
        served.connection_made(transport)
        served.data_received(data)


class Connection(web.RequestHandler):
    """aiohttp's protocol, but that what it cannot read is turned away without a word of ours or of theirs."""

    @property
    def has_asked(self) -> bool:
        """Whether a whole head of a request has come over it."""
        return self._request_count > 0

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the response has begun, and cannot be another one")
        response = _Curt(status=status, text=f"{status}\n")
        response.force_close()
        return response


class _Curt(web.Response):
    """A response that does not say what serves it."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        quiet(self)
        self.headers["X-Content-Type-Options"] = "nosniff"


def quiet(response: web.StreamResponse) -> None:
    """Take out what says which software answers."""
    response.headers.popall("Server", None)


def serving(server: web.Server) -> Callable[[], Connection]:
    """What makes the protocol of each connection to an application that was set up as ``server``."""
    loop = asyncio.get_running_loop()

    def serve() -> Connection:
        return Connection(
            server,
            loop=loop,
            keepalive_timeout=HEAD,
            access_log=None,  # type: ignore[arg-type]    # which is what their own server passes, too
            lingering_time=1.0,
            max_line_size=MOST_LINE,
            max_field_size=MOST_LINE,
        )

    return serve


def _close_if_silent(transport: asyncio.Transport) -> None:
    protocol = transport.get_protocol()
    if isinstance(protocol, Door) or (isinstance(protocol, Connection) and not protocol.has_asked):
        transport.abort()
