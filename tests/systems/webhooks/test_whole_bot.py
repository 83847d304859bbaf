"""A whole bot: what it signals reaches a receiver, over a restart too."""

import pytest

from socbot.config import WebhooksConfig
from tests.conftest import MakeBot
from tests.receiver import Receiver, answer, fail

CONFIG = WebhooksConfig(allow=("127.0.0.0/8",))


@pytest.mark.promise("P41")
async def test_a_signal_reaches_the_receiver(make_bot: MakeBot, receiver: Receiver) -> None:
    async with make_bot(webhooks=CONFIG, jobs=True) as bot:
        await bot.webhooks.add("siem", "custom", receiver.url("/hook"), ("alert",), "local:owner")
        signal = await bot.signals.raise_("alert", "Door open")
        await receiver.wait_for(1)
    assert receiver.requests[0].json()["id"] == signal.id


@pytest.mark.promise("P41")
async def test_what_was_not_delivered_is_delivered_after_a_restart(make_bot: MakeBot, receiver: Receiver) -> None:
    receiver.on("/hook", *fail(1), answer(200))
    async with make_bot(webhooks=CONFIG, jobs=False) as bot:
        await bot.webhooks.add("siem", "custom", receiver.url("/hook"), (), "local:owner")
        signals = [await bot.signals.raise_("alert", f"Door {number} open") for number in range(3)]
        assert bot.webhooks.backlog == 3
    assert not receiver.requests
    async with make_bot(webhooks=CONFIG, jobs=True) as bot:
        assert bot.webhooks.backlog == 3
        await receiver.wait_for(4)
    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert ids == [signals[0].id, *(signal.id for signal in signals)], "in order, the first one again"


async def test_config_that_changes_is_followed(make_bot: MakeBot, receiver: Receiver) -> None:
    async with make_bot(webhooks=WebhooksConfig(enabled=False), jobs=True) as bot:
        await bot.signals.raise_("alert", "Nobody is told")
        assert bot.webhooks.backlog == 0
