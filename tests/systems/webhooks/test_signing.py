"""Signatures that the published library of the scheme verifies."""

import base64
from datetime import UTC, datetime
from random import Random

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from socbot.systems.webhooks.signing import parse_secret, signed
from tests.receiver import Received, Receiver, answer, fail
from tests.systems.webhooks.conftest import MakePost

NEW, OLD, OTHER = (f"whsec_{base64.b64encode(bytes([number]) * 32).decode()}" for number in range(3))


def is_verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


def with_one_bit_changed(text: bytes, chance: Random, bits: int = 8) -> bytes:
    changed = bytearray(text)
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(bits)
    return bytes(changed)


@pytest.mark.promise("P39")
def test_a_thousand_are_verified_and_none_with_one_bit_changed() -> None:
    chance, now = Random(1), datetime.now(tz=UTC).timestamp()
    for number in range(1_000):
        body = b'{"number": %d, "text": "%s"}' % (number, b"x" * chance.randrange(200))
        headers = signed((NEW,), f"S-{number:012}", now, body)
        assert is_verified(NEW, headers, body)
        assert not is_verified(OTHER, headers, body)
        assert not is_verified(NEW, headers, with_one_bit_changed(body, chance, bits=7))  # it reads text
        for name in ("webhook-id", "webhook-timestamp"):
            tampered = with_one_bit_changed(headers[name].encode(), chance, bits=7).decode()
            assert not is_verified(NEW, headers | {name: tampered}, body), (name, tampered)
        signature = base64.b64decode(headers["webhook-signature"].removeprefix("v1,"))
        tampered = f"v1,{base64.b64encode(with_one_bit_changed(signature, chance)).decode()}"
        assert not is_verified(NEW, headers | {"webhook-signature": tampered}, body)


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        (NEW, True), (NEW.removeprefix("whsec_"), True), (f" {NEW}\n", True), ("whsec_", False), ("", False),
        (base64.b64encode(bytes(23)).decode(), False), (base64.b64encode(bytes(24)).decode(), True),
        (base64.b64encode(bytes(64)).decode(), True), (base64.b64encode(bytes(65)).decode(), False),
        ("not base64!", False), ("ключ", False),
    ],
)  # fmt: skip
def test_what_is_a_secret(text: str, taken: bool) -> None:
    assert (parse_secret(text) is not None) is taken


@pytest.mark.promise("P39")
async def test_what_is_received_is_verified_with_both_secrets_while_they_rotate(
    make_post: MakePost, receiver: Receiver
) -> None:
    async with make_post() as post:
        await post.webhooks.add("siem", "custom", receiver.url("/hook"), (), "local:owner")
        assert await post.webhooks.set("siem", "secret", OLD, "local:owner") == ("none", "set")
        await post.signals.raise_("alert", "First")
        (first,) = await receiver.wait_for(1)
        assert await post.webhooks.set("siem", "secret", NEW, "local:owner") == (
            "set",
            "set, and the one before signs too",
        )
        await post.signals.raise_("alert", "Zweite Tür \u202e \0 \ud800 \n 🚪", "x" * 5_000)
        second = (await receiver.wait_for(2))[1]
        assert [is_verified(secret, first.headers, first.body) for secret in (NEW, OLD)] == [False, True]
        assert [is_verified(secret, second.headers, second.body) for secret in (NEW, OLD)] == [True, True]
        assert len(second.headers["webhook-signature"].split()) == 2
        await post.webhooks.set("siem", "secret", OTHER, "local:owner")
        await post.signals.raise_("alert", "Third")
        third = (await receiver.wait_for(3))[2]
        assert not is_verified(OLD, third.headers, third.body), "the one before the last signs no more"


@pytest.mark.promise("P39")
async def test_on_every_try_the_id_is_the_same_and_the_time_fresh(make_post: MakePost, receiver: Receiver) -> None:
    receiver.on("/hook", *fail(1, 429, {"Retry-After": "1.1"}), answer(200))
    async with make_post() as post:
        await post.webhooks.add("siem", "custom", receiver.url("/hook"), (), "local:owner")
        await post.webhooks.set("siem", "secret", NEW, "local:owner")
        await post.signals.raise_("alert", "Again")
        first, second = await receiver.wait_for(2)
        assert [is_verified(NEW, each.headers, each.body) for each in (first, second)] == [True, True]
        assert _pick(first, "webhook-id") == _pick(second, "webhook-id")
        assert int(_pick(second, "webhook-timestamp")) > int(_pick(first, "webhook-timestamp"))
        assert first.body == second.body


def _pick(request: Received, name: str) -> str:
    return request.headers[name]
