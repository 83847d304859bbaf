"""Probes: whether the bot lives, has started, and can serve. Answered from memory, whatever the bot's loop does."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import web

from socbot.systems.health import Health, Probe

Answer = Callable[[web.Request], Awaitable[web.Response]]


def paths(health: Health) -> Mapping[str, Answer]:
    """What is asked, and what answers it."""
    return {
        "/livez": _answering(lambda: health.live),
        "/readyz": _answering(lambda: health.ready),
        "/startupz": _answering(lambda: health.ready),
        "/healthz": _answering(lambda: health.live),
    }


def _answering(read: Callable[[], Probe]) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        found = read()
        body = msgspec.json.encode(found)
        return web.Response(status=200 if found.ok else 503, body=body, content_type="application/json")

    return answer
