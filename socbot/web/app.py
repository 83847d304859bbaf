"""What the server answers: which path leads where."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import msgspec
from aiohttp import web

from socbot.web import assets, probes
from socbot.web.gate import Gate
from socbot.web.host import Host
from socbot.web.rendering import Pages
from socbot.web.view import NotFound, View, Viewer
from socbot.web.views import VIEWS

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Ask(Protocol):
    """Calls a function on the bot's loop; see ``Web.ask``."""

    async def __call__(self, function: Callable[..., Awaitable[T]], *arguments: object) -> T: ...


class App:
    """The routes, and what they need."""

    def __init__(self, host: Host, ask: Ask) -> None:
        self.host, self.ask = host, ask
        self.gate = Gate(host, ask)
        self.pages = Pages(host, self.gate)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self.gate.admit], client_max_size=64 * 1024)
        add = app.router.add_route
        for path, read in probes.paths(self.host.health).items():
            add("GET", path, read)
        assets.add_to(app)
        self.gate.add_to(app, self.pages)
        for view in VIEWS:
            add("GET", view.path, self._page(view))
            add("GET", "/api/v1" + (view.path if view.path != "/" else "/overview"), self._json(view))
        return app

    def _page(self, view: View[Any, Any]) -> Handler:
        async def page(request: web.Request) -> web.Response:
            viewer = self.gate.viewer(request)
            try:
                query, result = await self._read(view, request, viewer)
            except (msgspec.ValidationError, NotFound) as error:
                return self.pages.problem(request, 404, str(error))
            return self.pages.page(request, view, result, query, viewer)

        return page

    def _json(self, view: View[Any, Any]) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            try:
                _, result = await self._read(view, request, self.gate.viewer(request))
            except msgspec.ValidationError as error:
                return _problem(422, str(error))
            except NotFound as error:
                return _problem(404, error.text)
            return web.Response(body=msgspec.json.encode(result), content_type="application/json")

        return answer

    async def _read(self, view: View[Any, Any], request: web.Request, viewer: Viewer) -> tuple[Any, Any]:
        given = {**request.query, **request.match_info}
        query = msgspec.convert(given, view.query, strict=False)
        return query, await self.ask(view.read, self.host, query, viewer)


def _problem(status: int, text: str) -> web.Response:
    """As RFC 9457 has it."""
    body = msgspec.json.encode({"status": status, "title": web_reason(status), "detail": text})
    return web.Response(status=status, body=body, content_type="application/problem+json")


def web_reason(status: int) -> str:
    from http import HTTPStatus

    return HTTPStatus(status).phrase
