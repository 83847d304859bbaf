"""A client whose requests reach what may be reached, end in time, and are answered in a few kilobytes."""

import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

import anyio
import anyio.to_thread
from msgspec import Struct

from socbot.egress.errors import EgressError, TimedOut
from socbot.egress.policy import Policy, Target

if TYPE_CHECKING:
    import httpx

    from socbot.egress.connections import Connections

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host's name, in the order in which they are to be tried."""

MOST_READ = 16_384
"""Bytes of an answer's body, where the caller does not ask for more."""

_LONGEST_HEADER = 1_000
_HEADERS = frozenset(("content-type", "content-encoding", "date", "retry-after", "via"))


class Answer(Struct, frozen=True):
    """What came back, of any status: a redirect is an answer like any other, and is not followed.

    :param headers: those that somebody acts on, by lower-case name
    :param body: its beginning, if it is not ``whole``; empty if it is compressed, which nobody asked for
    :param seconds: from the request's beginning to the end of its answer
    """

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool
    seconds: float

    def __repr__(self) -> str:  # what others write stays out of the log
        return f"Answer(status={self.status}, {len(self.body)} bytes, {self.seconds:.3f} s)"

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Client:
    """Sends requests to addresses that people name.

    Each is checked as it is written, then every address that its name leads to; what was checked is what is dialled.
    No redirect is followed, no cookie kept, no proxy taken from the environment. Connections are kept, a few for each
    host.

    :param timeout: seconds for one request in all
    :param proxy: through which all requests go; it resolves the names, so that no more than how an address is written
        can be checked here
    :param resolve: asks for a name's addresses
    :param tls: what is trusted; by default what the host's own store of certificates does
    :param transport: takes the connections' place, for tests
    :raises ValueError: if an entry of ``allow`` is none
    """

    def __init__(
        self,
        allow: Iterable[str] = (),
        *,
        timeout: float = 15.0,
        proxy: str = "",
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        self._resolve = resolve
        self._tls = tls
        self._transport = transport
        self._connections: Connections | None = None
        self._opening = anyio.Lock()
        self.configure(allow, timeout=timeout, proxy=proxy)

    def configure(self, allow: Iterable[str] = (), *, timeout: float = 15.0, proxy: str = "") -> None:
        """Put other rules in force, for what is sent from now on.

        :raises ValueError: if an entry of ``allow`` is none
        """
        self.policy = Policy(allow)
        self._check = lru_cache(maxsize=256)(self.policy.check_url)  # the same few are sent to again and again
        self._timeout, self._proxy = timeout, proxy
        if self._connections is not None:
            self._connections.configure(self.policy, proxy)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections that are kept."""
        if self._connections is not None:
            await self._connections.aclose()

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str] = {}, *, type: str = "", limit: int = MOST_READ
    ) -> Answer:
        """See ``request``."""
        return await self.request("POST", url, body, headers, type=type, limit=limit)

    async def patch(
        self, url: str, body: bytes, headers: Mapping[str, str] = {}, *, type: str = "", limit: int = MOST_READ
    ) -> Answer:
        """See ``request``."""
        return await self.request("PATCH", url, body, headers, type=type, limit=limit)

    async def get(self, url: str, headers: Mapping[str, str] = {}, *, type: str = "", limit: int = MOST_READ) -> Answer:
        """See ``request``."""
        return await self.request("GET", url, b"", headers, type=type, limit=limit)

    async def request(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        headers: Mapping[str, str] = {},
        *,
        type: str = "",
        limit: int = MOST_READ,
    ) -> Answer:
        """Send one request, and read no more than ``limit`` bytes of its answer.

        :param type: of webhook, for the hosts it is held to; see ``Policy.check_url``
        :raises Blocked: if the address may not be reached; nothing was sent then
        :raises EgressError: if no answer came
        """
        target = self._check(url, type)
        started = anyio.current_time()
        with anyio.move_on_after(self._timeout):
            transport = self._transport or self._connections or await self._open()
            status, found, content, whole = await self._exchange(transport, method, target, body, headers, limit)
            return Answer(status, found, content, whole, anyio.current_time() - started)
        raise TimedOut(f"{target.netloc} did not answer within {self._timeout:g} s")

    async def _exchange(
        self,
        transport: "httpx.AsyncBaseTransport",
        method: str,
        target: Target,
        body: bytes,
        headers: Mapping[str, str],
        limit: int,
    ) -> tuple[int, dict[str, str], bytes, bool]:
        from socbot.egress.connections import explained, in_private, prepare, read

        request = prepare(method, target, body, headers)
        try:
            with in_private():
                response = await transport.handle_async_request(request)
                try:
                    content, whole = await read(response, limit)
                finally:
                    await response.aclose()
        except EgressError:
            raise
        except Exception as error:  # the libraries' own, some of which hold what was sent: none of it goes further
            raise explained(error, target) from None
        return response.status_code, _wanted(response.headers), content, whole

    async def _open(self) -> "Connections":
        async with self._opening:
            if self._connections is None:
                # Importing the library and reading the certificates take a tenth of a second that no loop has.
                tls = await anyio.to_thread.run_sync(_prepare, self._tls)
                from socbot.egress.connections import Connections

                self._connections = Connections(self.policy, self._proxy, tls, self._resolve)
        return self._connections


def _prepare(tls: ssl.SSLContext | None) -> ssl.SSLContext:
    import socbot.egress.connections  # noqa: F401

    return tls or ssl.create_default_context()


def _wanted(headers: "httpx.Headers") -> dict[str, str]:
    return {
        name: value[:_LONGEST_HEADER]
        for name, value in headers.items()
        if name in _HEADERS or name.startswith("x-ratelimit-")
    }
