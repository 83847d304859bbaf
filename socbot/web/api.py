"""The API beside the views: everything that can be seen as JSON, and signals that come from outside."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from socbot.web import openapi, reports
from socbot.web.gate import Gate
from socbot.web.host import Host
from socbot.web.problems import Turned
from socbot.web.reading import JSON, answered, decoded
from socbot.web.reports import Alerts, Limiter, Report, Taken, TakenAlerts
from socbot.web.view import View, Viewer
from socbot.web.views import VIEWS

if TYPE_CHECKING:
    from socbot.web.app import Ask

MOST_REPORT = 16 * 1024
"""Bytes of a signal."""

MOST_ALERTS = 1024 * 1024
"""Bytes of a notification of Alertmanager's."""


class Api:
    """What is read and reported by programs."""

    def __init__(self, host: Host, ask: "Ask", gate: Gate) -> None:
        self._host, self._ask, self._gate = host, ask, gate
        self._limiter = Limiter(host.clock.monotonic)
        self._document: bytes | None = None

    def add_to(self, app: web.Application) -> None:
        """Serve it."""
        app.router.add_get("/api/v1/openapi.json", self._describe)
        app.router.add_post("/api/v1/signals", self._report)
        app.router.add_post("/api/v1/signals/alertmanager", self._alerts)
        for view in VIEWS:
            app.router.add_get(view.api_path, self._reading(view))

    def _reading(self, view: View[Any, Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def read(request: web.Request) -> web.Response:
            viewer = self._viewer(request)
            if not viewer.may(view.needs):
                raise Turned(403, f"This needs the role {view.needs}; this token has the role {viewer.role}.")
            given = dict(request.query)
            if len(given) != len(request.query):
                raise Turned(422, "Each argument can be given once.")
            _, result = await view.answer(self._ask, self._host, given, request.match_info, viewer)
            return answered(200, result)

        return read

    async def _describe(self, request: web.Request) -> web.Response:
        if not self._viewer(request).may("viewer"):
            raise Turned(403, "This needs the role viewer.")
        if self._document is None:
            # It takes some milliseconds, once, and nobody else is to wait for that.
            document = await asyncio.to_thread(openapi.document, self._host.dispatcher.registry)
            self._document = msgspec.json.encode(document)
        return web.Response(body=self._document, content_type=JSON)

    async def _report(self, request: web.Request) -> web.Response:
        name = self._sender(request)
        report = await decoded(request, Report, MOST_REPORT)
        self._limiter.take(name, 1)
        (signal,) = await self._ask(reports.take, self._host, name, (report.draft(name),))
        return answered(202, Taken(signal.id, signal.count))

    async def _alerts(self, request: web.Request) -> web.Response:
        name = self._sender(request)
        drafts = (await decoded(request, Alerts, MOST_ALERTS)).drafts(name)
        self._limiter.take(name, max(1, len(drafts)))
        signals = await self._ask(reports.take, self._host, name, drafts)
        return answered(202, TakenAlerts(tuple(signal.id for signal in signals)))

    def _sender(self, request: web.Request) -> str:
        """The name of the token that reports."""
        viewer = self._viewer(request)
        if viewer.role not in ("sender", "owner"):
            raise Turned(403, f"This needs the role sender or owner; this token has the role {viewer.role}.")
        return viewer.name

    def _viewer(self, request: web.Request) -> Viewer:
        return self._gate.viewer(request)
