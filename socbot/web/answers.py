"""Answers to programs: JSON, or a problem."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TypeAlias

import msgspec
from aiohttp import web

from socbot.storage.errors import StoreError
from socbot.web.problems import Turned
from socbot.web.reading import JSON

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]

STORE_DOWN = "The store does not answer. Try again in a moment."


def answering(handler: Handler) -> Handler:
    """``handler``, with its problems as responses."""

    @wraps(handler)
    async def answer(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except Turned as turned:
            return turned.response()
        except StoreError:
            return Turned(503, STORE_DOWN, retry_after=5.0).response()

    return answer


def answered(status: int, content: object) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(content), content_type=JSON)
