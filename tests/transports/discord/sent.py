"""What the bot sent to the stand-in, as it came over HTTP."""

from collections.abc import Iterator
from typing import Any

from tests.standin import Standin
from tests.standin.rest import Request


def messages_in(request: Request) -> Iterator[dict[str, Any]]:
    """The messages that a request sends or changes."""
    if request.method not in ("POST", "PATCH") or request.body is None:
        return
    if request.path.endswith("/callback"):
        if request.body["type"] in (4, 7):
            yield request.body["data"]
    elif "/messages" in request.path or request.path.startswith("/webhooks"):
        yield request.body


def check_nobody_is_notified(standin: Standin) -> None:
    """Every message that was sent or changed, by whatever path, said itself that it notifies nobody."""
    for request in standin.requests:
        for body in messages_in(request):
            assert body.get("allowed_mentions", {}).get("parse") == [], (request.method, request.path, body)
            assert not {"users", "roles"} & {name for name, ids in body["allowed_mentions"].items() if ids}
