"""JSON, read from requests, bounded and as what is expected, and written into responses."""

import asyncio
from typing import TypeVar

import msgspec
from aiohttp import web

from socbot.dispatch.errors import describe
from socbot.documents import UNDECODABLE
from socbot.web.problems import Turned

T = TypeVar("T")

JSON = "application/json"

MOST_NAMED = 65_536
"""Values with a name in one body; colons in text are counted too."""

PATIENCE = 10.0
"""Seconds in which a body has to be sent."""


async def body(request: web.Request, limit: int) -> bytes:
    """What was sent.

    :param limit: bytes
    :raises Turned: if it is more than that, or takes too long
    """
    if (request.content_length or 0) > limit:
        raise Turned(413, f"At most {limit:,} bytes are taken.")
    content = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.content.iter_any():
                content += chunk
                if len(content) > limit:
                    raise Turned(413, f"At most {limit:,} bytes are taken.")
    except TimeoutError:
        raise Turned(408, f"The body was not sent within {PATIENCE:g} s.") from None
    return bytes(content)


async def decoded(request: web.Request, kind: type[T], limit: int, *, empty: bytes = b"") -> T:
    """The JSON that was sent, as ``kind``.

    :param empty: stands for a body that is empty
    :raises Turned: if it is not that
    """
    content = await body(request, limit) or empty
    if request.content_type != JSON and not (content is empty and empty):
        raise Turned(415, f"The content type has to be {JSON}.")
    if content.count(b":") > MOST_NAMED:  # before each takes many times its own bytes of memory
        raise Turned(413, f"At most {MOST_NAMED:,} values are taken.")
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise Turned(422, describe(error)) from None
    except UNDECODABLE:
        raise Turned(400, "The body has to be JSON in UTF-8, and not nested deeply.") from None


def answered(status: int, content: object) -> web.Response:
    """``content`` as JSON."""
    return web.Response(status=status, body=msgspec.json.encode(content), content_type=JSON)
