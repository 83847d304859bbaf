"""What went wrong, as programs are told it: problem details, as RFC 9457 has them."""

import math
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Struct

TYPE = "application/problem+json"


class Problem(Struct, frozen=True, omit_defaults=True):
    """What went wrong.

    :param title: the name of the status
    :param detail: what was wrong here, and what would be right
    :param error_id: under which a failure was captured
    :param outcome: how the command ended, where one was dispatched
    """

    status: int
    title: str
    detail: str = ""
    error_id: str = ""
    outcome: Any = None


def whole_seconds(seconds: float) -> str:
    """As ``Retry-After`` has them: never fewer than it takes."""
    return str(max(1, math.ceil(seconds)))


class Turned(Exception):
    """The request is not answered but by a problem.

    :param retry_after: seconds after which it may be tried again
    """

    def __init__(self, status: int, detail: str, *, retry_after: float | None = None, **more: Any) -> None:
        self.status, self.detail, self.retry_after, self.more = status, detail, retry_after, more
        super().__init__(detail)


def problem(
    status: int, detail: str, *, retry_after: float | None = None, headers: dict[str, str] | None = None, **more: Any
) -> web.Response:
    """The response that says so.

    :param more: further members of ``Problem``
    """
    headers = dict(headers or {})
    if retry_after is not None:
        headers["Retry-After"] = whole_seconds(retry_after)
    body = msgspec.json.encode(Problem(status, HTTPStatus(status).phrase, detail, **more))
    return web.Response(status=status, body=body, content_type=TYPE, headers=headers)
