"""From a signal to a request, and what follows from the answer."""

from tests.receiver import Receiver, answer
from tests.systems.webhooks.conftest import MakePost


async def test_a_signal_is_delivered(make_post: MakePost, receiver: Receiver) -> None:
    async with make_post() as post:
        await post.webhooks.add("siem", "custom", receiver.url("/hook"), ("alert",), "local:owner")
        signal = await post.signals.raise_("alert", "Door open", "The back door", severity="critical")
        await post.signals.raise_("error", "Not wanted here")
        await post.settled()
        (request,) = receiver.requests
        assert request.json()["id"] == request.headers["webhook-id"] == signal.id
        (delivery,) = await post.webhooks.deliveries()
        assert (delivery.state, delivery.attempts, delivery.last_status) == ("delivered", 1, 200)
        assert post.webhooks.get("siem").sent == 1
        assert post.webhooks.backlog == 0
