"""How Discord refuses for other reasons than the request itself: rate limits and faults, in front of the stand-in.

Nothing of it is on until a test asks: then requests meet, in this order, the faults that the test wrote down, the
global limit, and the bucket of their route. Every answer carries ``Via``, as those of Discord do; those of the shield
in front of it do not.

Paths are written without what comes before the API's version (``/channels/1/messages``); in a pattern ``*`` is one part
of a path and ``**`` any number of them.
"""

import asyncio
import json
import math
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeAlias

from aiohttp import web

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
Act: TypeAlias = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]

HUNG_UP = 0  # the status of a request whose answer never came

_API = re.compile(r"^/api(/v\d+)?(?=/)")
_SHIELD_PAGE = "<html><head><title>Access denied</title></head><body>error code: 1015</body></html>"


class _HungUp(Exception):
    """The connection was closed instead of answered."""


@dataclass(slots=True)
class Seen:
    """A request that came, and what became of it."""

    method: str
    path: str
    at: float  # monotonic, when it came
    status: int | None = None  # None while it is being answered
    scope: str = ""  # whose limit refused it: user, shared or global

    @property
    def invalid(self) -> bool:
        """Whether it counts towards the 10,000 within ten minutes after which an address is banned."""
        return self.status in (401, 403) or (self.status == 429 and self.scope != "shared")


@dataclass(slots=True)
class _Fault:
    """What happens instead of an answer, so many times."""

    method: str
    path: re.Pattern[str]
    act: Act
    left: float

    def takes(self, method: str, path: str) -> bool:
        return self.left > 0 and self.method in ("*", method) and bool(self.path.fullmatch(path))


@dataclass(slots=True)
class _Rule:
    """Requests of a route that are let through in each window."""

    method: str
    path: re.Pattern[str]
    limit: int
    per: float


@dataclass(slots=True)
class _Window:
    """What is left of a bucket until it fills again; it starts with the first request."""

    name: str
    limit: int
    per: float
    remaining: int = 0
    ends: float = -math.inf

    def take(self, now: float) -> bool:
        if now >= self.ends:
            self.remaining, self.ends = self.limit, now + self.per
        if self.remaining == 0:
            return False
        self.remaining -= 1
        return True

    def headers(self, now: float) -> dict[str, str]:
        after = max(0.0, self.ends - now)
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": f"{time.time() + after:.3f}",
            "X-RateLimit-Reset-After": f"{after:.3f}",
            "X-RateLimit-Bucket": self.name,
        }


class Limits:
    """Rate limits and faults, and the record of every request with when it came and how it was answered."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._faults: list[_Fault] = []
        self._rules: list[_Rule] = []
        self._windows: dict[tuple[str, str], _Window] = {}
        self._everything: _Window | None = None
        self.seen: list[Seen] = []

    # -- what a test asks for -----------------------------------------------------------------------------

    def bucket(self, method: str = "*", pattern: str = "/**", *, limit: int = 5, per: float = 5.0) -> None:
        """Let ``limit`` requests through in each ``per`` seconds, for each route and channel, guild or webhook.

        Of several that fit, the one asked for last holds.
        """
        self._rules.insert(0, _Rule(method, _compiled(pattern), limit, per))

    def everything(self, limit: int = 50, per: float = 1.0) -> None:
        """Let so many requests through in all; answers to interactions and webhooks do not count."""
        self._everything = _Window("", limit, per)

    def answer(
        self,
        method: str,
        pattern: str,
        status: int,
        *,
        body: Any = None,
        headers: dict[str, str] | None = None,
        done: bool = False,
        times: float = 1,
    ) -> None:
        """Answer the next ``times`` such requests so, without looking at them.

        :param body: text is sent as a page, anything else as JSON; without one, an error as Discord words it
        :param done: whether what was asked for happens nonetheless
        """
        error = {"message": f"{status}: an error", "code": 0} if body is None else body
        answer = _answering(lambda: _response(status, error, headers or {}))

        async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
            if done:
                await handler(request)
            return await answer(request, handler)

        self._add(method, pattern, times, act)

    def always(
        self, method: str, pattern: str, status: int, *, body: Any = None, headers: dict[str, str] | None = None
    ) -> None:
        """As ``answer``, until ``clear``."""
        self.answer(method, pattern, status, body=body, headers=headers, times=math.inf)

    def refuse(self, method: str, pattern: str, *, retry_after: float, scope: str = "user", times: float = 1) -> None:
        """Answer 429 as if a limit were exhausted.

        :param retry_after: seconds
        :param scope: ``user`` (a bucket), ``shared`` (a resource's limit, for which nobody is to blame) or ``global``
        """
        self._add(method, pattern, times, _answering(lambda: _refusal(retry_after, scope)))

    def shield(self, method: str = "*", pattern: str = "/**", *, times: float = math.inf) -> None:
        """Answer as the shield in front of Discord does for a banned address: 429, a page, no ``Via``, no hint."""
        self._add(method, pattern, times, _answering(_shielded))

    def slow(self, method: str, pattern: str, seconds: float, *, times: float = 1) -> None:
        """Wait before the request is looked at."""

        async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
            await asyncio.sleep(seconds)
            return await handler(request)

        self._add(method, pattern, times, act)

    def hang_up(self, method: str, pattern: str, *, done: bool = False, times: float = 1) -> None:
        """Close the connection instead of answering.

        :param done: whether what was asked for happens nonetheless
        """

        async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
            await (handler(request) if done else request.read())
            if request.transport is not None:
                request.transport.abort()
            raise _HungUp

        self._add(method, pattern, times, act)

    def clear(self) -> None:
        """No limits and no faults from now on; the record stays."""
        self._faults.clear()
        self._rules.clear()
        self._windows.clear()
        self._everything = None

    # -- what a test looks at -----------------------------------------------------------------------------

    def requests(self, method: str = "*", pattern: str = "/**", status: int | None = None) -> list[Seen]:
        """The requests of that kind, in order."""
        path = _compiled(pattern)
        return [
            seen
            for seen in self.seen
            if method in ("*", seen.method) and status in (None, seen.status) and path.fullmatch(seen.path)
        ]

    def times(self, method: str = "*", pattern: str = "/**", status: int | None = None) -> list[float]:
        """When they came, monotonic seconds."""
        return [seen.at for seen in self.requests(method, pattern, status)]

    @property
    def statuses(self) -> Counter[int]:
        """How many requests were answered how; ``HUNG_UP`` are those that were not."""
        return Counter(seen.status for seen in self.seen if seen.status is not None)

    @property
    def invalid(self) -> int:
        """How many requests count towards a ban of the address."""
        return sum(seen.invalid for seen in self.seen)

    # -- in front of the stand-in -------------------------------------------------------------------------

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await handler(request)
        seen = Seen(request.method, _API.sub("", request.path), self.clock())
        self.seen.append(seen)
        try:
            response = await self._answered(seen, request, handler)
        except web.HTTPException as error:
            _sign(seen, error)
            raise
        except _HungUp:
            seen.status = HUNG_UP
            return web.Response()  # goes nowhere
        _sign(seen, response)
        return response

    async def _answered(self, seen: Seen, request: web.Request, handler: Handler) -> web.StreamResponse:
        for fault in self._faults:
            if fault.takes(seen.method, seen.path):
                fault.left -= 1
                return await fault.act(request, handler)
        return await self._limited(seen, request, handler)

    async def _limited(self, seen: Seen, request: web.Request, handler: Handler) -> web.StreamResponse:
        now = self.clock()
        if self._everything and not _is_exempt(seen.path) and not self._everything.take(now):
            return _refusal(self._everything.ends - now, "global")
        window = self._window(seen.method, seen.path)
        if window is None:
            return await handler(request)
        if not window.take(now):
            return _refusal(window.ends - now, "user", window.headers(now))
        return await self._counted(window, request, handler)

    async def _counted(self, window: _Window, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(window.headers(self.clock()))
            raise
        response.headers.update(window.headers(self.clock()))
        return response

    def _window(self, method: str, path: str) -> _Window | None:
        rule = next((rule for rule in self._rules if rule.method in ("*", method) and rule.path.fullmatch(path)), None)
        if rule is None:
            return None
        route, major = route_of(method, path)
        if (route, major) not in self._windows:
            self._windows[route, major] = _Window(_name(route), rule.limit, rule.per)
        return self._windows[route, major]

    def _add(self, method: str, pattern: str, times: float, act: Act) -> None:
        self._faults.append(_Fault(method, _compiled(pattern), act, times))


def route_of(method: str, path: str) -> tuple[str, str]:
    """The route that a bucket is for, and the resource whose own bucket it is.

    >>> route_of("POST", "/channels/1/messages")
    ('POST /channels/{}/messages', '1')
    """
    parts = path.strip("/").split("/")
    major = parts[1:2] if parts[0] in ("channels", "guilds") else parts[1:3] if parts[0] == "webhooks" else []
    return f"{method} /{'/'.join(_nameless(parts))}", "/".join(major)


def _nameless(parts: list[str]) -> Iterator[str]:
    for index, part in enumerate(parts):
        is_token = index == 2 and parts[0] in ("webhooks", "interactions")
        yield "{}" if is_token or part.isdecimal() else part


def _name(route: str) -> str:
    return blake2b(route.encode(), digest_size=16).hexdigest()


def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*)", pattern)
    return re.compile("".join({"**": ".*", "*": "[^/]+"}.get(part, re.escape(part)) for part in parts))


def _is_exempt(path: str) -> bool:
    return path.startswith(("/interactions/", "/webhooks/"))


def _answering(make: Callable[[], web.Response]) -> Act:
    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        await request.read()
        return make()

    return act


def _response(status: int, body: Any, headers: dict[str, str]) -> web.Response:
    page = isinstance(body, str)
    # Exactly these words: with a charset beside it, discord.py would not read it as JSON
    content_type = "text/html" if page else "application/json"
    content = body if page else json.dumps(body)
    return web.Response(status=status, body=content.encode(), headers={"Content-Type": content_type} | headers)


def _refusal(retry_after: float, scope: str, bucket: dict[str, str] | None = None) -> web.Response:
    headers = {"Retry-After": str(math.ceil(retry_after)), "X-RateLimit-Scope": scope} | (bucket or {})
    if scope == "global":
        headers["X-RateLimit-Global"] = "true"
    subject = "The resource is" if scope == "shared" else "You are"
    body = {
        "message": f"{subject} being rate limited.",
        "retry_after": round(retry_after, 3),
        "global": scope == "global",
    }
    return _response(429, body, headers)


class _Shielded(web.Response):
    """An answer that did not come from Discord itself."""


def _shielded() -> web.Response:
    return _Shielded(status=429, text=_SHIELD_PAGE, content_type="text/html")


def _sign(seen: Seen, response: web.StreamResponse) -> None:
    seen.status = response.status
    seen.scope = response.headers.get("X-RateLimit-Scope", "")
    if not isinstance(response, _Shielded):
        response.headers["Via"] = "1.1 google"
