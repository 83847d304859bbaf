"""The gate: who is let in, and with which answer everybody else is turned away."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aiohttp import web
from aiohttp.typedefs import Handler

from socbot.storage.errors import StoreError
from socbot.systems.access import PLATFORM, Session
from socbot.systems.errors import Where
from socbot.web import hosts
from socbot.web.connections import Crowd, quiet
from socbot.web.host import Host
from socbot.web.probes import PATHS as PROBES
from socbot.web.problems import Turned, problem, whole_seconds
from socbot.web.throttle import Throttle
from socbot.web.view import Viewer

if TYPE_CHECKING:
    from multidict import MultiDictProxy

    from socbot.web.rendering import Pages

ZONE: Final = "socbot_zone"
CSRF: Final = "X-CSRF-Token"
"""The header in which a script sends what a form sends as ``csrf``."""

BODY: Final = 10.0
"""Seconds in which a form has to be sent."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)

_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: browsers then call the origin of our own forms "null", and nobody can tell whose they are.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PRIVATE: Final = "no-store"

_VIEWER: Final = web.RequestKey("viewer", Viewer)
_SESSION: Final = web.RequestKey("session", Session)
_BEGUN: Final = web.RequestKey("begun", bool)

_LOGIN, _LOGOUT, _STATIC, _SIGNALS = "/login", "/logout", "/static/", "/api/v1/signals"
_READS: Final = ("GET", "HEAD")
_FORM: Final = "application/x-www-form-urlencoded"
_FORMS: Final = (_FORM, "multipart/form-data")
_OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]{0,500}")
_TRICKS = re.compile(r"/\.{1,2}(?:/|$)|//|\\|[\x00-\x20\x7f]")
_HIDDEN = re.compile(r"%(?:00|2e)", re.IGNORECASE)
_MOST_TOKEN = 200
_REPORTED = 60.0

_log = logging.getLogger("socbot.web")


class LoopBusy(Exception):
    """The bot's loop did not answer in time."""


class Gate:
    """A middleware of aiohttp's before everything that is served.

    :ivar crowd: the connections, if they are counted
    """

    def __init__(self, host: Host, ask: Callable[..., Awaitable[Any]]) -> None:
        self._host, self._ask = host, ask
        self._throttle = Throttle(host.clock.monotonic)
        self._turned_away, self._reported = 0, host.clock.monotonic() - _REPORTED
        self.crowd: Crowd | None = None

    def add_to(self, app: web.Application, pages: "Pages") -> None:
        """Serve signing in and out, and seal every response."""
        self._pages = pages
        app.router.add_get(_LOGIN, self._form)
        app.router.add_post(_LOGIN, self._sign_in)
        app.router.add_post(_LOGOUT, self._sign_out)
        app.on_response_prepare.append(self._seal)

    def viewer(self, request: web.Request) -> Viewer:
        """Who looks."""
        return request.get(_VIEWER) or Viewer(self._host.zone)

    def session(self, request: web.Request) -> Session | None:
        """The session that the request belongs to, if it came from a browser that is signed in."""
        return request.get(_SESSION)

    def still_admits(self, request: web.Request) -> bool:
        """Whether whoever began a long answer is let in even now; their waiting for it is no use of the session."""
        if self.session(request) is not None:
            return self._host.access.session(request.cookies.get(self._cookie, ""), used=False) is not None
        return self._host.access.token(request.headers.get("Authorization", "").partition(" ")[2].strip()) is not None

    # -- every request --------------------------------------------------------------------------------

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            place = _place(request)
            if place not in PROBES:
                self._require_known_host(request)
            if place in PROBES or place.startswith(_STATIC):
                return await handler(request)
            if place == _LOGIN:
                self._recognise(request)
                if request.method == "POST":
                    self._require_own_origin(request)
                return await handler(request)
            if not self._recognise(request):
                return self._show_the_door(request)
            if self.crowd is not None:
                self.crowd.trust(request.transport)
            self._require_role(request, place)
            if request.method not in _READS:
                await self._require_intent(request)
            return await handler(request)
        except Turned as turned:
            return self._tell(request, turned)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return self._tell(request, Turned(error.status, _WORDS.get(error.status, "")), _kept(error))
        except LoopBusy as error:
            return self._tell(request, Turned(503, f"{error} {self._doing()}".strip(), retry_after=5.0))
        except StoreError:
            return self._tell(
                request, Turned(503, "The store does not answer. Try again in a moment.", retry_after=5.0)
            )
        except ConnectionError:  # whoever asked is gone
            raise
        except Exception as error:  # the last one who can answer: what fails in a page ends no server
            return await self._failed(request, error)

    def _require_known_host(self, request: web.Request) -> None:
        named = request.headers.getall("Host", [])
        config = self._host.config.web
        absolute = not request.raw_path.startswith("/")
        if len(named) == 1 and not absolute and hosts.is_known(named[0], config):
            return
        raise Turned(421, "This server does not answer under that name. The one that it has is set as web.url.")

    def _recognise(self, request: web.Request) -> bool:
        """Note who asks.

        :raises Turned: if a token is shown that is none
        """
        shown = request.headers.getall("Authorization", [])
        kind, _, text = shown[0].partition(" ") if shown else ("", "", "")
        if kind.lower() == "bearer":
            text = text.strip()
            token = self._host.access.token(text) if len(shown) == 1 and len(text) <= _MOST_TOKEN else None
            if token is None:
                self._note_stranger(request)
                raise Turned(401, "That is no token of this bot.")
            request[_VIEWER] = Viewer(self._host.zone, token.role, token.name)
            return True
        # A page that keeps itself fresh is nobody who sits before it.
        is_used = "X-Refresh" not in request.headers
        session = self._host.access.session(request.cookies.get(self._cookie, ""), used=is_used)
        if session is None:
            return False
        request[_SESSION] = session
        request[_VIEWER] = Viewer(self._zone(request), session.role, session.token)
        return True

    def _show_the_door(self, request: web.Request) -> web.StreamResponse:
        """Turn away whoever shows nothing: people can sign in, programs are told what is needed."""
        if _is_api(request) or "Authorization" in request.headers:
            raise Turned(401, "A token is needed: Authorization: Bearer TOKEN")
        if request.method not in _READS:
            raise Turned(401, "You are not signed in any more, and nothing was done. Sign in, and do it again.")
        asked = request.raw_path
        query = "" if asked == "/" or not _OWN_PATH.fullmatch(asked) else "?" + urlencode({"next": asked})
        return web.Response(status=303, headers={"Location": _LOGIN + query})

    def _require_role(self, request: web.Request, place: str) -> None:
        role, reads = self.viewer(request).role, request.method in _READS
        if place == _LOGOUT or role == "owner" or (role == "viewer" and reads):
            return
        if role == "sender" and not reads and (place == _SIGNALS or place.startswith(_SIGNALS + "/")):
            return
        may = "look, and change nothing" if role == "viewer" else "raise signals, and nothing else"
        raise Turned(403, f"This token may {may}.")

    async def _require_intent(self, request: web.Request) -> None:
        """See to it that what is done is done by who is signed in, and not by a page of somebody else's."""
        session = self.session(request)
        if session is None:  # a token is sent by nobody's browser by itself
            return
        self._require_own_origin(request)
        given = request.headers.get(CSRF)
        if given is None and not _is_api(request) and request.content_type in _FORMS:
            given = str((await _form_of(request)).get("csrf", ""))
        if given is None or not _is_same(given, session.csrf):
            raise Turned(403, "This was not sent by a page of this session, and nothing was done. Load the page again.")

    def _require_own_origin(self, request: web.Request) -> None:
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        if site not in (None, "same-origin", "none"):
            raise Turned(403, "This was sent by a page of another site, and nothing was done.")
        if origin is not None and not hosts.is_own(origin, request.headers["Host"], self._host.config.web):
            if origin == "null" and site == "same-origin":
                return
            raise Turned(403, "This was sent by a page of another site, and nothing was done.")

    # -- answers --------------------------------------------------------------------------------------

    async def _seal(self, request: web.Request, response: web.StreamResponse) -> None:
        request[_BEGUN] = True
        quiet(response)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", _PRIVATE)
        if self._host.config.web.is_https:
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")

    def _tell(
        self, request: web.Request, turned: Turned, headers: dict[str, str] | None = None
    ) -> web.StreamResponse:  # fmt: skip
        """A problem, for programs or for people."""
        if _is_api(request) or _place(request, strict=False) in PROBES:
            more = {"outcome": turned.more["outcome"]} if "outcome" in turned.more else {}
            error_id = turned.more.get("error_id", "")
            response: web.Response = problem(turned.status, turned.detail, error_id=error_id, **more)
        else:
            response = self._page_of(request, turned)
        for name, value in (headers or {}).items():
            response.headers[name] = value
        if turned.status == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="socbot"'
        if turned.retry_after is not None:
            response.headers["Retry-After"] = whole_seconds(turned.retry_after)
        return response

    def _page_of(self, request: web.Request, turned: Turned) -> web.Response:
        try:
            return self._pages.problem(request, turned.status, turned.detail)
        except Exception:
            # The page itself may be what fails.
            _log.exception("the page of a problem could not be drawn")
            return web.Response(status=turned.status, text=turned.detail)

    async def _failed(self, request: web.Request, error: Exception) -> web.StreamResponse:
        where = Where(f"{request.method} {_place(request, strict=False)}"[:200], PLATFORM, self.viewer(request).name)
        _log.error("%s failed", where.command, exc_info=error)
        try:
            error_id = await self._ask(self._host.errors.capture, error, where)
        except (LoopBusy, StoreError):
            error_id = ""
        if request.get(_BEGUN):
            raise ConnectionError("the response cannot be ended") from error
        told = f"That failed, and was kept as error {error_id}." if error_id else "That failed; the log says how."
        return self._tell(request, Turned(500, told, error_id=error_id))

    def _doing(self) -> str:
        """What holds the bot up, as far as that is known on this thread."""
        stall = self._host.health.last_stall
        if self._host.health.live.ok or stall is None:
            return ""
        return f"Its event loop stands still; it last did at {stall.where.rpartition('/')[2]}."

    def _note_stranger(self, request: web.Request) -> None:
        """Have the log tell of wrong tokens, however many there are, once a minute."""
        self._turned_away += 1
        now = self._host.clock.monotonic()
        if now - self._reported >= _REPORTED:
            _log.warning("%d requests with a wrong token, the last from %s", self._turned_away, request.remote)
            self._turned_away, self._reported = 0, now

    def _zone(self, request: web.Request) -> Any:
        try:
            return ZoneInfo(request.cookies.get(ZONE, "")[:100])
        except (ValueError, OSError, ZoneInfoNotFoundError):
            return self._host.zone

    # -- signing in and out ---------------------------------------------------------------------------

    @property
    def _cookie(self) -> str:
        """The session cookie's name; browsers take the longer one over https alone, and from nobody beside us."""
        return "__Host-socbot_session" if self._host.config.web.is_https else "socbot_session"

    async def _form(self, request: web.Request) -> web.Response:
        ticket = request.query.get("ticket", "")[:_MOST_TOKEN]
        if self.session(request) is not None and not ticket:
            return web.Response(status=303, headers={"Location": own_path(request.query.get("next", ""))})
        # Of a link only the form is shown: what looks at links by itself, as chats do, uses up none.
        return self._login(request, ticket=ticket, next=request.query.get("next", ""))

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != _FORM:
            raise Turned(415, f"A form is expected: {_FORM}.")
        form = await _form_of(request)
        ticket, text, next = (str(form.get(name, "")).strip() for name in ("ticket", "token", "next"))
        if ticket:
            id = await self._ask(self._host.access.redeem, ticket[:_MOST_TOKEN])
            if id is None:
                return self._login(request, status=401, next=next, spent=True)
        else:
            if wait := self._throttle.wait(request.remote or ""):
                response = self._login(request, status=429, next=next, wait=wait)
                response.headers["Retry-After"] = str(int(wait) + 1)
                return response
            token = self._host.access.token(text) if len(text) <= _MOST_TOKEN else None
            if token is None:
                self._throttle.wrong(request.remote or "")
                self._note_stranger(request)
                return self._login(request, status=401, next=next, wrong=True)
            if token.role == "sender":
                return self._login(request, status=403, next=next, sends=True)
            id = await self._ask(self._host.access.sign_in, token)
        former = request.cookies.get(self._cookie, "")
        if former:
            await self._ask(self._host.access.sign_out, former)
        response = web.Response(status=303, headers={"Location": own_path(next)})
        response.set_cookie(
            self._cookie, id, httponly=True, samesite="Strict", path="/", secure=self._host.config.web.is_https
        )
        return response

    async def _sign_out(self, request: web.Request) -> web.Response:
        await self._ask(self._host.access.sign_out, request.cookies.get(self._cookie, ""))
        response = web.Response(status=303, headers={"Location": _LOGIN})
        response.del_cookie(
            self._cookie, path="/", httponly=True, samesite="Strict", secure=self._host.config.web.is_https
        )
        return response

    def _login(self, request: web.Request, *, status: int = 200, next: str = "", **more: Any) -> web.Response:
        shown = {"ticket": "", "wrong": False, "spent": False, "sends": False, "wait": 0.0} | more
        request.pop(_SESSION, None)  # this page is nobody's
        return self._pages.plain(request, "login.html", "Sign in", status=status, next=own_path(next), **shown)


def own_path(next: str) -> str:
    """``next``, if it is a path of ours; the overview otherwise."""
    return next if _OWN_PATH.fullmatch(next) else "/"


_WORDS: Final = {
    404: "There is nothing at this address.",
    405: "That cannot be done at this address.",
    413: "That is more than is taken.",
}


async def _form_of(request: web.Request) -> "MultiDictProxy[Any]":
    try:
        async with asyncio.timeout(BODY):
            return await request.post()
    except TimeoutError:
        raise Turned(408, "The form was not sent in time.") from None


def _kept(error: web.HTTPException) -> dict[str, str]:
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}


def _place(request: web.Request, *, strict: bool = True) -> str:
    """Which of our addresses is meant, as the router sees it: whoever is let in goes where the router leads.

    :raises Turned: if the path is written so that others may see another one in it
    """
    path = request.raw_path.partition("?")[0]
    if strict and (_TRICKS.search(path) or _HIDDEN.search(path)):
        raise Turned(404, "There is nothing at this address.")
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def _is_api(request: web.Request) -> bool:
    return request.path.startswith(("/api/", "/metrics"))


def _is_same(one: str, other: str) -> bool:
    from hmac import compare_digest

    return compare_digest(one.encode("utf-8", "surrogatepass"), other.encode())
