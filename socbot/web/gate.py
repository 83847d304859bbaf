"""The gate: who is let in, and with which answer everybody else is turned away."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from aiohttp import web
from aiohttp.typedefs import Handler

from socbot.systems.access import Session
from socbot.web.host import Host
from socbot.web.view import Viewer

if TYPE_CHECKING:
    from socbot.web.rendering import Pages

COOKIE: Final = "socbot_session"
ZONE: Final = "socbot_zone"
_VIEWER: Final = web.RequestKey("viewer", Viewer)
_SESSION: Final = web.RequestKey("session", Session)

OPEN: Final = ("/livez", "/readyz", "/startupz", "/healthz", "/login", "/static/")


class Gate:
    """A middleware of aiohttp's before everything that is served."""

    def __init__(self, host: Host, ask: Callable[..., Awaitable[Any]]) -> None:
        self._host, self._ask = host, ask

    def add_to(self, app: web.Application, pages: "Pages") -> None:
        """Serve signing in and out."""
        self._pages = pages
        app.router.add_get("/login", self._form)
        app.router.add_post("/login", self._sign_in)
        app.router.add_post("/logout", self._sign_out)

    def viewer(self, request: web.Request) -> Viewer:
        """Who looks."""
        return request.get(_VIEWER) or Viewer(self._host.zone)

    def session(self, request: web.Request) -> Session | None:
        """The session that the request belongs to, if it came from a browser that is signed in."""
        return request.get(_SESSION)

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(OPEN):
            session = self._host.access.session(request.cookies.get(COOKIE, ""))
            kind, _, text = request.headers.get("Authorization", "").partition(" ")
            token = self._host.access.token(text) if kind.lower() == "bearer" else None
            if session is None and token is None:
                if request.path.startswith(("/api/", "/metrics")):
                    return web.Response(status=401)
                raise web.HTTPSeeOther("/login")
            if session is not None:
                request[_SESSION] = session
                request[_VIEWER] = Viewer(self._zone(request), session.role, session.token)
            elif token is not None:
                request[_VIEWER] = Viewer(self._host.zone, token.role, token.name)
        return await handler(request)

    def _zone(self, request: web.Request) -> Any:
        try:
            return ZoneInfo(request.cookies.get(ZONE, ""))
        except (ValueError, OSError):
            return self._host.zone

    async def _form(self, request: web.Request) -> web.Response:
        return self._pages.plain(request, "login.html", "Sign in")

    async def _sign_in(self, request: web.Request) -> web.Response:
        token = self._host.access.token(str((await request.post()).get("token", "")).strip())
        if token is None:
            return self._pages.plain(request, "login.html", "Sign in", status=401, wrong=True)
        id = await self._ask(self._host.access.sign_in, token)
        response = web.Response(status=303, headers={"Location": "/"})
        response.set_cookie(COOKIE, id, httponly=True, samesite="Strict", path="/")
        return response

    async def _sign_out(self, request: web.Request) -> web.Response:
        await self._ask(self._host.access.sign_out, request.cookies.get(COOKIE, ""))
        response = web.Response(status=303, headers={"Location": "/login"})
        response.del_cookie(COOKIE)
        return response
