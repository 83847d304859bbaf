"""Connections to checked addresses. The only module that imports httpx and httpcore, when the first request is sent.

httpcore's own pool is not used: a request that is cancelled while it waits there, as a deadline does, can keep its
place for ever. Here a connection belongs to one request or to none.
"""

import os
import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence

import anyio
import httpcore
import httpx

from socbot.egress.client import Resolve
from socbot.egress.errors import Blocked, TimedOut, Unreachable, Unreadable
from socbot.egress.policy import Origin, Policy, Target

MOST_AT_ONCE = 16
"""Connections to one host; a request beyond waits for one, within its own time."""

MOST_HOSTS = 128
KEPT_FOR = 30.0
"""Seconds for which a connection that nobody uses is kept."""

_MOST_ADDRESSES = 6
_TURN = 4.0
"""Seconds that one address of several is given to take the connection."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the host's own resolver."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Dialler(httpcore.AsyncNetworkBackend):
    """Connects to ``origin`` at a checked address, once; keeps what it opened, so that it can be closed."""

    def __init__(self, origin: Origin, policy: Policy, resolve: Resolve) -> None:
        self._origin, self._policy, self._ask = origin, policy, resolve
        self._backend = httpcore.AnyIOBackend()
        self._stream: httpcore.AsyncNetworkStream | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's interface, which never gives one here
        local_address: str | None = None,
        socket_options: "Iterable[httpcore.SOCKET_OPTION] | None" = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = (await self._addresses(host, port))[:_MOST_ADDRESSES]
        for address in addresses[:-1]:
            try:
                return await self._dial(address, port, _TURN)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._dial(addresses[-1], port, None)

    async def aclose(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()

    async def _dial(self, address: str, port: int, seconds: float | None) -> httpcore.AsyncNetworkStream:
        self._stream = await self._backend.connect_tcp(address, port, timeout=seconds)
        return self._stream

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
        self._slots = anyio.Semaphore(MOST_AT_ONCE)
        self._kept: list[Line] = []
        self._retired = False

    @property
    def in_use(self) -> bool:
        return self._slots.value < MOST_AT_ONCE

    async def take(self) -> Line | None:
        """A place, and with it a connection that is kept, if there is one. ``give_back`` ends it."""
        await self._slots.acquire()
        try:
            await self.sweep()
        except BaseException:
            self._slots.release()
            raise
        return self._kept.pop() if self._kept else None

    async def give_back(self, line: Line, *, usable: bool) -> None:
        try:
            if usable and not self._retired and line.connection.is_idle():
                self._kept.append(line)
            else:
                await line.aclose()
        finally:
            self._slots.release()

    async def sweep(self) -> None:
        """Close what was kept too long, or was closed from the other side."""
        old = [line for line in self._kept if line.connection.has_expired()]
        if old:
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
        self.configure(policy, proxy)

    def configure(self, policy: Policy, proxy: str) -> None:
        """Use no connection again that was opened by other rules."""
        self._policy, self._proxy = policy, _proxy(proxy)
        self._retired += self._endpoints.values()
        self._endpoints = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        origin = request.extensions["target"].origin
        endpoint = await self._endpoint(origin)
        line = await endpoint.take() or self._open(origin)
        try:
            response = await line.connection.handle_async_request(_as_httpcore(request, origin))
        except BaseException:
            await endpoint.give_back(line, usable=False)
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

    def _open(self, origin: Origin) -> Line:
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
            await self._endpoint.give_back(self._line, usable=True)


# -- a request, its answer, and what can go wrong between ------------------------------------------------


def prepare(method: str, target: Target, body: bytes, headers: Mapping[str, str]) -> httpx.Request:
    # A compressed answer is not asked for, since what it would become is not known.
    own = {"Accept-Encoding": "identity", "User-Agent": "socbot", "Accept": "*/*"}
    return httpx.Request(method, target.url, headers=own | dict(headers), content=body, extensions={"target": target})


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


def _as_httpcore(request: httpx.Request, origin: Origin) -> httpcore.Request:
    url = httpcore.URL(
        scheme=origin.scheme.encode(), host=origin.host.encode(), port=origin.port, target=request.url.raw_path
    )
    return httpcore.Request(request.method.encode(), url, headers=request.headers.raw, content=request.stream)


def _proxy(url: str) -> httpcore.Proxy | None:
    if not url:
        return None
    proxy = httpx.Proxy(url)
    where = httpcore.URL(
        scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target=proxy.url.raw_path
    )
    return httpcore.Proxy(where, auth=proxy.raw_auth)
