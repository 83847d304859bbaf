"""Connections to checked addresses. The only module that imports httpx and httpcore, when the first request is sent.

httpcore's own pool is not used: a request that is cancelled while it waits there, as a deadline does, can keep its
place for ever. Here a connection belongs to one request or to none.
"""

import logging
import os
import selectors
import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from math import inf

import anyio
import httpcore
import httpx
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSStream

from socbot.egress.client import Resolve
from socbot.egress.errors import Blocked, TimedOut, Unreachable, Unreadable
from socbot.egress.policy import Origin, Policy, Target

MOST_AT_ONCE = 16
"""Connections to one host; a request beyond waits for one, within its own time."""

MOST_HOSTS = 128
KEPT_FOR = 30.0
"""Seconds for which a connection that nobody uses is kept."""

_PACKET = 65_536
_MOST_ADDRESSES = 6
_TURN = 4.0
"""Seconds that one address of several is given to take the connection."""


_in_private: ContextVar[bool] = ContextVar("in_private", default=False)


class _StepsAlone(logging.Filter):
    """Leaves of what httpcore logs of our requests only which step it was.

    Receivers tell back what they were asked for, in headers too, and an address is a secret.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if _in_private.get():
            record.msg, record.args = record.getMessage().partition(" ")[0], None
        return True


_steps_alone = _StepsAlone()


@contextmanager
def in_private() -> Iterator[None]:
    """Have nothing that is sent or received within the block logged by the library below."""
    before = _in_private.set(True)
    try:
        yield
    finally:
        _in_private.reset(before)


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the host's own resolver."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Stream(httpcore.AsyncNetworkStream):
    """A socket. What is written goes out together, before the first read: a request is one packet where it fits.

    Nothing here has a time of its own: the request has one, for all of it.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._socket: socket.socket = stream.extra(SocketAttribute.raw_socket)
        self._unsent = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        await self._flush()
        try:
            return await self._stream.receive(max_bytes)
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise httpcore.ReadError from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        self._unsent += buffer
        if len(self._unsent) > _PACKET:
            await self._flush()

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> "Stream":
        try:
            wrapped = await TLSStream.wrap(
                self._stream, hostname=server_hostname, ssl_context=ssl_context, standard_compatible=False
            )
        except (anyio.BrokenResourceError, anyio.EndOfStream, ssl.SSLError) as error:
            raise httpcore.ConnectError from error
        return Stream(wrapped)

    def get_extra_info(self, info: str) -> object:
        if info == "ssl_object":
            return self._stream.extra(TLSAttribute.ssl_object, None)
        return self._is_readable() if info == "is_readable" else None

    async def _flush(self) -> None:
        unsent, self._unsent = self._unsent, b""
        if unsent:
            # Who closes while it is being written to may have answered before.
            with suppress(anyio.BrokenResourceError):
                await self._stream.send(unsent)

    def _is_readable(self) -> bool:
        # Of a connection that nobody uses: whether the other side has closed it.
        if self._socket.fileno() < 0:
            return True
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            return bool(selector.select(0))


class Dialler(httpcore.AsyncNetworkBackend):
    """Connects to ``origin`` at a checked address, once; keeps what it opened, so that it can be closed."""

    def __init__(self, origin: Origin, policy: Policy, resolve: Resolve) -> None:
        self._origin, self._policy, self._ask = origin, policy, resolve
        self._stream: Stream | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: "Iterable[httpcore.SOCKET_OPTION] | None" = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = (await self._addresses(host, port))[:_MOST_ADDRESSES]
        problem: OSError | None = None
        for number, address in enumerate(addresses, 1):
            # The last one may take what is left of the request's time.
            with anyio.move_on_after(_TURN if number < len(addresses) else inf):
                try:
                    self._stream = Stream(await anyio.connect_tcp(address, port))
                except OSError as error:
                    problem = error
                else:
                    return self._stream
        raise httpcore.ConnectError from problem

    async def aclose(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()

    async def _addresses(self, host: str, port: int) -> list[str]:
        if (host, port) != (self._origin.host, self._origin.port):
            raise Blocked(f"{self._origin.netloc} is not where the request was about to go")
        found = [host] if self._origin.literal else await self._resolved(host, port)
        return self._policy.admitted(self._origin, found)

    async def _resolved(self, host: str, port: int) -> Sequence[str]:
        try:
            found = await self._ask(host, port)
        except OSError:
            found = ()
        if not found:
            raise Unreachable(f"no address was found for {host}")
        return found


class ProxyDialler(Dialler):
    """Connects to the operator's proxy, wherever it is."""

    async def _addresses(self, host: str, port: int) -> list[str]:
        return list(await self._resolved(host, port))


class Line:
    """One connection, and the socket under it: httpcore forgets a socket whose TLS was cancelled."""

    __slots__ = ("_dialler", "connection")

    def __init__(self, connection: httpcore.AsyncConnectionInterface, dialler: Dialler) -> None:
        self.connection, self._dialler = connection, dialler

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await self.connection.aclose()
            await self._dialler.aclose()


class Endpoint:
    """The connections to one host: as many as are used, and those that are kept for the next request."""

    def __init__(self) -> None:
        self._slots = anyio.Semaphore(MOST_AT_ONCE, fast_acquire=True)
        self._kept: list[Line] = []
        self._retired = False

    @property
    def in_use(self) -> bool:
        return self._slots.value < MOST_AT_ONCE

    async def enter(self) -> None:
        """Wait for a place; ``leave`` gives it back."""
        await self._slots.acquire()

    async def kept(self) -> Line | None:
        """The connection that was used last, if one can be used again."""
        while self._kept:
            line = self._kept.pop()
            if not line.connection.has_expired():
                return line
            await line.aclose()
        return None

    async def leave(self, line: Line | None, *, usable: bool) -> None:
        try:
            if line is not None and usable and not self._retired and line.connection.is_idle():
                self._kept.append(line)
            elif line is not None:
                await line.aclose()
        finally:
            self._slots.release()

    async def sweep(self) -> None:
        """Close what was kept too long, or was closed from the other side."""
        old = [line for line in self._kept if line.connection.has_expired()]
        self._kept = [line for line in self._kept if line not in old]
        for line in old:
            await line.aclose()

    async def retire(self) -> None:
        """Keep nothing, now or later."""
        self._retired = True
        kept, self._kept = self._kept, []
        for line in kept:
            await line.aclose()


class Connections(httpx.AsyncBaseTransport):
    """Sends a request, whose ``target`` has been checked, over a connection to a checked address."""

    def __init__(self, policy: Policy, proxy: str, tls: ssl.SSLContext, ask: Resolve | None) -> None:
        self._tls, self._ask = tls, ask or resolve
        self._endpoints: dict[Origin, Endpoint] = {}
        self._retired: list[Endpoint] = []
        for part in ("connection", "http11", "proxy"):
            logging.getLogger(f"httpcore.{part}").addFilter(_steps_alone)
        self.configure(policy, proxy)

    def configure(self, policy: Policy, proxy: str) -> None:
        """Use no connection again that was opened by other rules."""
        self._policy, self._proxy = policy, _proxy(proxy)
        self._retired += self._endpoints.values()
        self._endpoints = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        origin = request.extensions["target"].origin
        endpoint = await self._endpoint(origin)
        await endpoint.enter()
        line: Line | None = None
        try:
            line = await endpoint.kept() or await self._open(origin)
            response = await line.connection.handle_async_request(_as_httpcore(request))
        except BaseException:
            await endpoint.leave(line, usable=False)
            raise
        return httpx.Response(response.status, headers=response.headers, stream=Body(response, line, endpoint))

    async def aclose(self) -> None:
        for endpoint in (*self._endpoints.values(), *self._retired):
            await endpoint.retire()

    async def _endpoint(self, origin: Origin) -> Endpoint:
        # The one that was used last stands last.
        endpoint = self._endpoints.pop(origin) if origin in self._endpoints else Endpoint()
        self._endpoints[origin] = endpoint
        if self._retired or len(self._endpoints) > MOST_HOSTS:
            await self._retire()
        return endpoint

    async def _retire(self) -> None:
        surplus = len(self._endpoints) - MOST_HOSTS
        idle = [origin for origin, endpoint in [*self._endpoints.items()][:-1] if not endpoint.in_use]
        self._retired += [self._endpoints.pop(origin) for origin in idle[: max(surplus, 0)]]
        while self._retired:
            await self._retired.pop().retire()

    async def _open(self, origin: Origin) -> Line:
        for endpoint in [*self._endpoints.values()]:
            await endpoint.sweep()
        where = httpcore.Origin(origin.scheme.encode(), origin.host.encode(), origin.port)
        if self._proxy is None:
            dialler = Dialler(origin, self._policy, self._ask)
            connection = httpcore.AsyncHTTPConnection(where, self._tls, KEPT_FOR, network_backend=dialler)
            return Line(connection, dialler)
        dialler = ProxyDialler(origin, self._policy, self._ask)
        pool = httpcore.AsyncConnectionPool(
            self._tls, self._proxy, keepalive_expiry=KEPT_FOR, network_backend=dialler
        )  # for how it connects through a proxy; nothing is kept in it
        return Line(pool.create_connection(where), dialler)


class Body(httpx.AsyncByteStream):
    """An answer's body; the connection is given back when it is closed."""

    def __init__(self, response: httpcore.Response, line: Line, endpoint: Endpoint) -> None:
        self._response, self._line, self._endpoint = response, line, endpoint

    def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._response.stream, AsyncIterable)
        return aiter(self._response.stream)

    async def cut(self) -> None:
        """End the connection, so that no more comes than was received already."""
        await self._line.aclose()

    async def aclose(self) -> None:
        try:
            await self._response.aclose()
        finally:
            await self._endpoint.leave(self._line, usable=True)


# -- a request, its answer, and what can go wrong between ------------------------------------------------


def prepare(method: str, target: Target, body: bytes, headers: Mapping[str, str]) -> httpx.Request:
    # A compressed answer is not asked for, since what it would become is not known.
    own = {"Accept-Encoding": "identity", "User-Agent": "socbot", "Accept": "*/*"}
    url, _ = _urls(target)
    return httpx.Request(method, url, headers=own | dict(headers), content=body, extensions={"target": target})


async def read(response: httpx.Response, limit: int) -> tuple[bytes, bool]:
    """The first ``limit`` bytes of the body, and whether they are all; nothing of one that is compressed."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        return b"", False
    content = bytearray()
    try:
        async for part in response.stream:  # type: ignore[union-attr]
            content += part[: limit + 1 - len(content)]
            if len(content) > limit and isinstance(response.stream, Body):
                await response.stream.cut()
    except (httpcore.NetworkError, httpcore.ProtocolError):
        if len(content) <= limit:
            raise
    return bytes(content[:limit]), len(content) <= limit


def explained(error: Exception, target: Target) -> Exception:
    """``error`` in words that hold nothing of what was sent or received; itself, if it is none of the network's."""
    where = target.netloc
    if isinstance(error, (httpcore.LocalProtocolError, httpx.LocalProtocolError)):
        return ValueError("the request has a header that cannot be sent")
    if isinstance(error, (httpcore.TimeoutException, httpx.TimeoutException)):
        return TimedOut(f"{where} did not answer in time")
    if isinstance(error, (httpcore.ProxyError, httpx.ProxyError)):
        return Unreachable(f"the proxy did not let {where} be reached")
    if isinstance(error, (httpcore.ProtocolError, httpx.ProtocolError)):
        return Unreadable(f"{where} did not answer in HTTP, or with more than 100 KB of headers")
    if isinstance(error, (httpcore.ConnectError, httpx.ConnectError)):
        return Unreachable(f"{where} cannot be connected to: {_cause(error)}")
    if isinstance(error, _BROKEN):
        return Unreachable(f"{where} broke the connection: {_cause(error)}")
    return error


_BROKEN = (
    httpcore.NetworkError,
    httpx.NetworkError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    OSError,
)


def _cause(error: BaseException) -> str:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({seen.verify_message.rstrip('.')})"
        if isinstance(seen, ssl.SSLError):
            return f"TLS failed ({seen.reason or 'no reason given'})"
        if isinstance(seen, OSError) and seen.errno:
            return os.strerror(seen.errno).lower()
        seen = seen.__cause__ or seen.__context__
    return "it closed"


def _as_httpcore(request: httpx.Request) -> httpcore.Request:
    _, url = _urls(request.extensions["target"])
    return httpcore.Request(request.method.encode(), url, headers=request.headers.raw, content=request.stream)


@lru_cache(maxsize=256)
def _urls(target: Target) -> tuple[httpx.URL, httpcore.URL]:
    url = httpx.URL(target.url)
    origin = target.origin
    return url, httpcore.URL(
        scheme=origin.scheme.encode(), host=origin.host.encode(), port=origin.port, target=url.raw_path
    )


def _proxy(url: str) -> httpcore.Proxy | None:
    if not url:
        return None
    proxy = httpx.Proxy(url)
    where = httpcore.URL(
        scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target=proxy.url.raw_path
    )
    return httpcore.Proxy(where, auth=proxy.raw_auth)
