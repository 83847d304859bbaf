"""Bodies of requests: bounded, of one content type, and decoded into what is expected."""

from typing import TypeVar

import msgspec
from aiohttp import web

from socbot.dispatch.errors import describe
from socbot.web.problems import Turned

T = TypeVar("T")

JSON = "application/json"


async def body(request: web.Request, limit: int) -> bytes:
    """What was sent.

    :param limit: bytes
    :raises Turned: if it is more than that
    """
    if (request.content_length or 0) > limit:
        raise Turned(413, f"At most {limit:,} bytes are taken.")
    content = bytearray()
    async for chunk in request.content.iter_any():
        content += chunk
        if len(content) > limit:
            raise Turned(413, f"At most {limit:,} bytes are taken.")
    return bytes(content)


async def decoded(request: web.Request, kind: type[T], limit: int, *, empty: bytes = b"") -> T:
    """The JSON that was sent, as ``kind``.

    :param empty: stands for a body that is empty
    :raises Turned: if it is not that
    """
    content = await body(request, limit) or empty
    if request.content_type != JSON and not (content is empty and empty):
        raise Turned(415, f"The content type has to be {JSON}.")
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise Turned(422, describe(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Turned(400, "The body has to be JSON in UTF-8, and not nested deeply.") from None
