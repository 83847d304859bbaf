"""What an answer means."""

import json

import pytest

from socbot.systems.webhooks.answers import Verdict, judge
from socbot.systems.webhooks.model import WebhookType
from tests.systems.webhooks.forms import FORMS, NOW, Form


@pytest.mark.promise("P40")
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_wait_is_read_in_every_form(form: Form) -> None:
    verdict = judge("custom", 429, form.headers, form.body, NOW)
    assert verdict == Verdict("again", wait=form.wait, limited=True)


def test_there_are_as_many_forms_as_promised() -> None:
    assert len(FORMS) >= 60


@pytest.mark.promise("P41")
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413])
@pytest.mark.parametrize("type", ["discord", "slack", "custom"])
def test_what_no_further_try_changes(type: WebhookType, status: int) -> None:
    verdict = judge(type, status, {"retry-after": "5"}, b"", NOW)
    assert verdict == Verdict("never", gone=status in (404, 410))


@pytest.mark.parametrize(
    ("type", "status", "taken"),
    [
        ("discord", 200, True), ("discord", 204, True), ("discord", 201, False), ("slack", 200, True),
        ("slack", 204, False), ("custom", 200, True), ("custom", 201, True), ("custom", 204, True),
        ("custom", 202, True), ("custom", 301, False), ("custom", 302, False), ("custom", 500, False),
        ("custom", 408, False), ("custom", 100, False), ("slack", 503, False), ("discord", 502, False),
    ],
)  # fmt: skip
def test_what_is_taken(type: WebhookType, status: int, taken: bool) -> None:
    assert judge(type, status, {}, b"", NOW).meaning == ("taken" if taken else "again")


@pytest.mark.promise("P40")
@pytest.mark.parametrize(
    ("headers", "body", "everywhere"),
    [
        ({"x-ratelimit-global": "true"}, {"retry_after": 1, "global": True}, True),
        ({"x-ratelimit-scope": "global"}, {"retry_after": 1}, True),
        ({}, {"retry_after": 1, "global": True}, True),
        ({"x-ratelimit-scope": "user", "x-ratelimit-bucket": "b"}, {"retry_after": 1, "global": False}, False),
        ({"x-ratelimit-scope": "shared"}, {"retry_after": 1, "global": False}, False),
        ({"x-ratelimit-bucket": "b"}, None, False),
        ({"retry-after": "600"}, None, True),
    ],
)
def test_a_limit_of_discord_holds_for_one_bucket_or_for_all(
    headers: dict[str, str], body: object, everywhere: bool
) -> None:
    content = b"<html>error 1015</html>" if body is None else json.dumps(body).encode()
    assert judge("discord", 429, {"retry-after": "1"} | headers, content, NOW).everywhere is everywhere
    assert not judge("custom", 429, {"retry-after": "1"} | headers, content, NOW).everywhere


@pytest.mark.parametrize("body", [b"[" * 100_000, b"\xff\xfe", b'{"retry_after": NaN}', b"null", b"", b'{"a":'])
def test_a_hostile_body_is_no_body(body: bytes) -> None:
    assert judge("discord", 500, {}, body, NOW) == Verdict("again")
