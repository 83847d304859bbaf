"""Webhooks of type apprise: a hundred services more, where the operator has switched them on."""

import logging

import pytest
from msgspec import structs

from socbot.config import WebhooksConfig
from socbot.dispatch.errors import InvalidArgument
from tests.receiver import Receiver, answer, hang
from tests.systems.webhooks.conftest import WHERE, MakePost

# what one of its plugins imports
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

TOKEN = "apprise-token-1234567890"


async def test_it_is_off_unless_it_is_switched_on(make_post: MakePost, receiver: Receiver) -> None:
    url = f"json://127.0.0.1:{receiver.port}/{TOKEN}"
    async with make_post() as post:
        with pytest.raises(InvalidArgument, match=r"webhooks\.apprise"):
            await post.webhooks.add("more", "apprise", url, (), "local:owner")
    async with make_post(apprise=True) as post:
        await post.webhooks.add("more", "apprise", url, (), "local:owner")
        assert TOKEN not in post.webhooks.get("more").address
        post.webhooks.configure(WebhooksConfig())
        attempt = await post.webhooks.test("more")
        assert (attempt.delivered, receiver.requests) == (False, [])
        assert "switched off" in attempt.answer


async def test_what_it_does_not_know_is_refused(make_post: MakePost) -> None:
    async with make_post(apprise=True) as post:
        with pytest.raises(InvalidArgument, match="an address that Apprise knows") as caught:
            await post.webhooks.add("more", "apprise", f"nonsense://{TOKEN}", (), "local:owner")
        assert TOKEN not in str(caught.value)


@pytest.mark.promise("P36")
async def test_a_signal_is_delivered_by_it_and_nothing_of_it_acts(
    make_post: MakePost, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.otherwise = answer(200)
    async with make_post(apprise=True, timeout=10.0) as post:
        await post.webhooks.add("more", "apprise", f"json://127.0.0.1:{receiver.port}/{TOKEN}", (), "local:owner")
        await post.signals.raise_("drill", "@everyone <!channel> **out**", "[Your bank](https://evil.example)")
        await post.settled("delivered", 1)
        (request,) = receiver.requests
        sent = request.json()
        assert sent["title"].startswith("🧪 [DRILL]")
        assert sent["type"] == "info"
        for text in (sent["title"], sent["message"]):
            assert not any(active in text for active in ("@everyone", "<!", "]("))
    assert TOKEN not in caplog.text


async def test_what_it_could_not_deliver_is_tried_again(make_post: MakePost, receiver: Receiver) -> None:
    receiver.on(f"/{TOKEN}/", hang, answer(500), answer(200))
    receiver.on(f"/{TOKEN}", hang, answer(500), answer(200))
    async with make_post(apprise=True, timeout=1.0, tries=50, span=60.0) as post:
        await post.webhooks.add("more", "apprise", f"json://127.0.0.1:{receiver.port}/{TOKEN}", (), "local:owner")
        attempt = await post.webhooks.test("more")
        assert (attempt.delivered, attempt.answer) == (False, "no answer within 1 s")
        assert attempt.seconds < 3
        post.webhooks.configure(structs.replace(WHERE, apprise=True, tries=50, span=60.0))
        await post.signals.raise_("alert", "Door")
        await post.settled("delivered", 1)
        assert post.webhooks.get("more").failed == 1
