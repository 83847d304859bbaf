"""What the server answers: which path leads where."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from aiohttp import web

from socbot.web import assets, probes
from socbot.web.actions import Actions
from socbot.web.api import Api
from socbot.web.gate import Gate
from socbot.web.host import Host
from socbot.web.live import Live
from socbot.web.problems import Turned
from socbot.web.rendering import Pages
from socbot.web.view import View
from socbot.web.views import VIEWS

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MOST_FORM = 64 * 1024
"""Bytes of a form."""


class Ask(Protocol):
    """Calls a function on the bot's loop; see ``Web.ask``."""

    async def __call__(self, function: Callable[..., Awaitable[T]], *arguments: object) -> T: ...


class App:
    """The routes, and what they need."""

    def __init__(self, host: Host, ask: Ask) -> None:
        self.host, self.ask = host, ask
        self.probes = probes.Probes(host.health)
        self.gate = Gate(host, ask)
        self.pages = Pages(host, self.gate)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self.gate.admit], client_max_size=MOST_FORM)
        add = app.router.add_route
        for path, read in probes.paths(self.probes).items():
            add("GET", path, read)
            add("HEAD", path, read)
        from socbot.web.metrics import Metrics  # Prometheus' client is for a server alone

        app.router.add_get("/metrics", Metrics(self.host, self.ask).answer, allow_head=False)
        assets.add_to(app)
        self.gate.add_to(app, self.pages)
        for view in VIEWS:
            app.router.add_get(view.path, self._page(view))
        Api(self.host, self.ask, self.gate).add_to(app)
        Actions(self.host, self.ask, self.gate, self.pages).add_to(app)
        Live(self.host, self.gate).add_to(app)
        return app

    def _page(self, view: View[Any, Any]) -> Handler:
        async def page(request: web.Request) -> web.Response:
            viewer = self.gate.viewer(request)
            if not viewer.may(view.needs):
                raise Turned(403, f"This page is for the {view.needs}.")
            # A form sends what was left empty too, and a link may carry what another site has added to it.
            known = set(view.query.__struct_encode_fields__) - {*request.match_info}
            given = {name: value for name, value in request.query.items() if value and name in known}
            query, result = await view.answer(self.ask, self.host, given, request.match_info, viewer)
            return self.pages.page(request, view, result, query, viewer)

        return page
