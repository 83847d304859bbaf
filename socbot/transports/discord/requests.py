"""What keeps this host from being banned by Discord: one gate for every request of the process.

Discord bans an address for 10,000 invalid answers (401, 403, 429) in ten minutes. The gate closes at 500, and obeys
every time that an answer says to wait. It stands in the connector (``gate.connector()``), so everything passes that
a client asks for. An ``aiohttp.TraceConfig`` could stand there too, but then the gate costs more than twice as much.
"""

import asyncio
import contextvars
import json
import logging
import math
import re
from collections import deque
from collections.abc import Awaitable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from typing import Any, TypeAlias

import aiohttp
import anyio
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from discord.http import Route as _Library
from msgspec import Struct
from yarl import URL

from socbot.dispatch.clock import Clock
from socbot.dispatch.replies import Reply, Tone
from socbot.transports.discord.logins import Tell

_log = logging.getLogger("soc_bot")

MOST_INVALID, WINDOW = 500, 600.0
"""Invalid answers in so many seconds at which the gate closes; it opens when half of them are older."""
MOST_IDLE = 64
"""Connections to Discord that are kept open while nothing is asked over them."""
LONGEST_WAIT = 60.0
"""Seconds that a request waits; where it had to wait longer, it is refused. Discord.py's ``max_ratelimit_timeout``."""
PARKED = 3600.0
"""Seconds beyond which a time that Discord names is told to the owner; it is obeyed all the same."""
SHIELD_PAUSE = 600.0
UNNAMED_WAIT = 5.0
"""Seconds to wait after a 429 that names no time that can be read."""

Body: TypeAlias = dict[str, Any]

_NUMBER = re.compile(r"\d{1,20}(\.\d{0,20})?([eE]\+?\d{1,3})?")


class RequestsPaused(aiohttp.ClientError):
    """A request to Discord was not sent, or was refused, because nothing may be sent there for ``seconds``."""

    def __init__(self, seconds: float, reason: str) -> None:
        self.seconds = seconds
        super().__init__(f"nothing is sent to Discord for {seconds:.0f} s: {reason}")


# -- when to try again ------------------------------------------------------------------------------------


def retry_after(headers: Mapping[str, str], body: Body | None, now: float) -> float | None:
    """Seconds that an answer says to wait: the later of its header and its body; None if neither can be read.

    :param now: seconds since 1970, for a header that is a date
    """
    named = [_header_seconds(headers.get("Retry-After", ""), now), _body_seconds(body)]
    return max((seconds for seconds in named if seconds is not None), default=None)


def _header_seconds(text: str, now: float) -> float | None:
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return _usable(float(text))
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None


def _body_seconds(body: Body | None) -> float | None:
    value = body.get("retry_after") if body else None
    if isinstance(value, str):
        return _usable(float(value)) if _NUMBER.fullmatch(value) else None
    try:
        return _usable(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except OverflowError:
        return None


def _usable(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _json(content: bytes) -> Body | None:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


# -- where a request goes ---------------------------------------------------------------------------------


class Route(Struct, frozen=True):
    """What Discord limits together: ``name`` without ids, ``major`` the resource whose own limit it is.

    ``is_global`` is False where the limit on everything does not apply: answers to interactions, webhooks by token.
    """

    name: str
    major: str = ""
    is_global: bool = True


def route_of(method: str, url: URL) -> Route | None:
    """The route of a request, or None if it does not go to Discord's API."""
    start, text = _start_of(_Library.BASE), str(url)
    if not text.startswith(start):
        return None
    parts = text[len(start) :].partition("?")[0].split("/")
    if parts[0] in ("webhooks", "interactions") and len(parts) > 2:
        return _route(method, parts, parts[:3], by_token=True)
    return _route_without_token(method, tuple(parts))


@lru_cache(maxsize=8)
def _start_of(base: str) -> str:
    return str(URL(base)).rstrip("/") + "/"


@lru_cache(maxsize=1024)
def _route_without_token(method: str, parts: tuple[str, ...]) -> Route:
    return _route(method, parts, parts[:2] if parts[0] in ("channels", "guilds") else (), by_token=False)


def _route(method: str, parts: Sequence[str], major: Sequence[str], by_token: bool) -> Route:
    return Route(f"{method} /{'/'.join(_nameless(parts, by_token))}", "/".join(major), not by_token)


def _nameless(parts: Sequence[str], by_token: bool) -> list[str]:
    hidden = [
        part.isdecimal() or (by_token and index == 2) or (index > 0 and parts[index - 1] == "reactions")
        for index, part in enumerate(parts)
    ]
    return ["{}" if is_hidden else part for part, is_hidden in zip(parts, hidden, strict=True)]


# -- the gate ---------------------------------------------------------------------------------------------


class RequestGate:
    """Lets requests to Discord's API through, waits, or raises ``RequestsPaused``. All clients of a process share one.

    :param tell: is told when the gate closes and opens, and of a very long wait; not through Discord's API
    """

    def __init__(self, clock: Clock, tell: Tell) -> None:
        self._clock, self._tell = clock, tell
        self._invalid: deque[float] = deque()
        self._under_way = 0
        self._ended: anyio.Event | None = None
        self._closed_until, self._reason = 0.0, ""
        self._everything_until = 0.0
        self._until: dict[str, float] = {}
        self._buckets: dict[str, str] = {}

    def connector(self) -> "GatedConnector":
        """A connector that leads through this gate, for one client, which closes it."""
        return GatedConnector(self)

    @property
    def closed_for(self) -> float:
        """Seconds for which nothing at all is sent."""
        return max(0.0, self._closed_until - self._clock.monotonic()) if self._reason else 0.0

    @property
    def invalid(self) -> int:
        """Invalid answers within the last ten minutes."""
        if not self._invalid:
            return 0
        now = self._clock.monotonic()
        while self._invalid and self._invalid[0] <= now - WINDOW:
            self._invalid.popleft()
        return len(self._invalid)

    # -- before a request -----------------------------------------------------------------------------

    async def enter(self, route: Route) -> "Passage":
        """Wait until a request may start.

        :raises RequestsPaused: where that is too long to wait for
        """
        while True:
            if self._reason:
                self._open_in_time()
            if (wait := self._wait_of(route)) > LONGEST_WAIT:
                raise RequestsPaused(wait, self._reason or f"Discord asked for that at {route.name}")
            if wait > 0:
                await self._clock.sleep(wait)
            elif self._under_way + self.invalid < MOST_INVALID:
                self._under_way += 1
                return Passage(self, route)
            else:  # each of those that are under way may turn out to be invalid
                self._ended = self._ended or anyio.Event()
                await self._ended.wait()

    def _wait_of(self, route: Route) -> float:
        if not (self._reason or self._everything_until or self._until):
            return 0.0
        until = max(self._until.get(self._key(route), 0.0), self._everything_until if route.is_global else 0.0)
        return max(self.closed_for, until - self._clock.monotonic())

    def _key(self, route: Route) -> str:
        return f"{self._buckets.get(route.name, route.name)} {route.major}"

    # -- after it ---------------------------------------------------------------------------------------

    def leave(self) -> None:
        """A request that had entered is over, with or without an answer."""
        self._under_way -= 1
        if self._ended is not None:
            self._ended.set()
            self._ended = None

    async def judge(self, route: Route, response: aiohttp.ClientResponse) -> None:
        """Learn from an answer.

        :raises RequestsPaused: if discord.py would not cope with what it says
        """
        if bucket := response.headers.get("X-RateLimit-Bucket"):
            self._buckets[route.name] = bucket
        if response.status in (401, 403):
            self._count()
        elif response.status == 429:
            await self._limited(route, response)

    def _count(self) -> None:
        now = self._clock.monotonic()
        self._invalid.append(now)
        if (count := self.invalid) >= MOST_INVALID and not self.closed_for:
            seconds = self._invalid[count - MOST_INVALID // 2 - 1] + WINDOW - now
            self._close(seconds, f"Discord gave {count} invalid answers within ten minutes, and bans a host for 10,000")

    async def _limited(self, route: Route, response: aiohttp.ClientResponse) -> None:
        body = await _body_of(response)
        if response.headers.get("X-RateLimit-Scope") != "shared":
            self._count()
        named = retry_after(response.headers, body, self._clock.time())
        if body is None or "Via" not in response.headers:
            self._close(max(SHIELD_PAUSE, named or 0.0), "the shield in front of Discord refused this host")
            return
        seconds = UNNAMED_WAIT if named is None else named
        self._pause(route, seconds, _is_global(response, body))
        # Discord.py sleeps for what the body says, be it a year, and breaks if that is no number.
        if seconds > LONGEST_WAIT or _body_seconds(body) is None or isinstance(body["retry_after"], str):
            raise RequestsPaused(seconds, f"Discord asked for that at {route.name}")

    def _pause(self, route: Route, seconds: float, everything: bool) -> None:
        now = self._clock.monotonic()
        if everything:
            self._everything_until = max(self._everything_until, now + seconds)
        else:
            self._until = {key: until for key, until in self._until.items() if until > now}
            key = self._key(route)
            self._until[key] = max(self._until.get(key, 0.0), now + seconds)
        if seconds > PARKED:
            what = "anything" if everything else f"`{route.name}`"
            self._say(
                f"Discord asks that {what} be left alone for {seconds / 3600:.1f} h. A restart tries again.", "warn"
            )

    # -- closed and open --------------------------------------------------------------------------------

    def _close(self, seconds: float, reason: str) -> None:
        was_closed = self.closed_for > 0
        self._closed_until = max(self._closed_until, self._clock.monotonic() + seconds)
        self._reason = reason
        if not was_closed:
            self._say(f"Nothing is sent to Discord for {self.closed_for / 60:.0f} min: {reason}.", "error")

    def _open_in_time(self) -> None:
        if self.closed_for <= 0:
            self._reason = ""
            self._say("Requests to Discord are sent again.", "ok")

    def _say(self, text: str, tone: Tone) -> None:
        _log.warning("%s", text)
        self._tell(Reply(text, "Requests to Discord", tone=tone))


async def _body_of(response: aiohttp.ClientResponse) -> Body | None:
    try:
        return _json(await response.read())
    except (aiohttp.ClientError, TimeoutError):  # whoever reads it next gets the same error
        return None


def _is_global(response: aiohttp.ClientResponse, body: Body) -> bool:
    scope = response.headers.get("X-RateLimit-Scope")
    return scope == "global" or "X-RateLimit-Global" in response.headers or body.get("global") is True


# -- where it stands --------------------------------------------------------------------------------------


class Passage:
    """One try of a request that the gate has let through. Until it is over, its answer may turn out to be invalid."""

    __slots__ = ("_gate", "_is_awaited", "_is_over", "_route")

    def __init__(self, gate: RequestGate, route: Route) -> None:
        self._gate, self._route = gate, route
        self._is_awaited = self._is_over = False

    async def judged(self, answer: Awaitable[aiohttp.ClientResponse]) -> aiohttp.ClientResponse:
        """The answer, as soon as the gate has learned from it.

        :raises RequestsPaused: if discord.py would not cope with what it says
        """
        self._is_awaited = True
        try:
            response = await answer
            await self._gate.judge(self._route, response)
        finally:
            self._end()
        return response

    def disconnected(self) -> None:
        """Its connection has ended. An answer may be there already, and is judged first."""
        if not self._is_awaited:
            self._end()

    def _end(self) -> None:
        if not self._is_over:  # a connection that broke while the request was written has ended it already
            self._is_over = True
            self._gate.leave()


class GatedConnector(aiohttp.TCPConnector):
    """What discord.py makes for itself, behind the gate. Each try passes: a redirect, and aiohttp's own second try."""

    def __init__(self, gate: RequestGate) -> None:
        super().__init__(limit=0)
        self._gate = gate

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        # Idle ones take turns, so that as many as a burst once needed would stay open for as long as the bot runs.
        enough = len(self._conns.get(key, ())) >= MOST_IDLE
        super()._release(key, protocol, should_close=should_close or enough)

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 -- aiohttp's name for it
    ) -> Connection:
        if (route := route_of(req.method, req.url)) is None:
            return await super().connect(req, traces, timeout)
        passage = await self._gate.enter(route)
        req.response_class = partial(_Answer, passage)  # type: ignore[assignment] # it is only ever called
        try:
            connection = await super().connect(req, traces, timeout)
        except BaseException:
            passage.disconnected()
            raise
        connection.add_callback(passage.disconnected)
        return connection

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 -- aiohttp's name for it
    ) -> ResponseHandler:
        # Kept for others, it would keep whatever is known of the command that needs it first, if it were made there.
        making = super()._create_connection(req, traces, timeout)
        return await asyncio.create_task(making, context=contextvars.Context())


class _Answer(aiohttp.ClientResponse):
    def __init__(self, passage: Passage, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._passage = passage

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        return await self._passage.judged(super().start(connection))
