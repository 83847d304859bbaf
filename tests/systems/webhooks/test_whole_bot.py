"""A whole bot: what it signals reaches a receiver, over a restart too."""

from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from socbot.config import WebhooksConfig
from socbot.dispatch.replies import Reply
from socbot.documents import ConfigError
from tests.conftest import MakeBot
from tests.receiver import Receiver, answer, fail, in_a_thread

CONFIG = WebhooksConfig(allow=("127.0.0.0/8",))


@pytest.mark.promise("P41")
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_signal_reaches_the_receiver(make_bot: MakeBot) -> None:
    with in_a_thread(Receiver()) as receiver:
        async with make_bot(webhooks=CONFIG, jobs=True) as bot:
            await bot.webhooks.add("siem", "custom", receiver.url("/hook"), ("alert",), "local:owner")
            signal = await bot.signals.raise_("alert", "Door open")
            await anyio.to_thread.run_sync(receiver.wait, 1)
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


async def test_a_change_of_the_configuration_is_followed(make_bot: MakeBot, receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    store = f"storage: {{url: 'sqlite:///{tmp_path}/data/socbot.db'}}\n"
    file.write_text(f"{store}webhooks: {{allow: [127.0.0.0/8]}}\n")
    async with make_bot(file, jobs=True) as bot:
        await bot.webhooks.add("siem", "custom", receiver.url("/hook"), (), "local:owner")
        file.write_text(f"{store}webhooks: {{allow: []}}\n")
        await bot.reload()
        attempt = await bot.webhooks.test("siem")
        assert not attempt.delivered
        assert "webhooks.allow" in attempt.answer
        file.write_text(f"{store}webhooks: {{allow: [127.0.0.0/8], enabled: false}}\n")
        await bot.reload()
        await bot.signals.raise_("alert", "Nobody is told")
        assert bot.webhooks.backlog == 0
        file.write_text(f"{store}webhooks: {{allow: [127.0.0.0/8]}}\n")
        await bot.reload()
        await bot.signals.raise_("alert", "Somebody is told")
        (request,) = await receiver.wait_for(1)
        assert request.json()["title"] == "Somebody is told"
        file.write_text(f"{store}webhooks: {{allow: ['not a host!']}}\n")
        with pytest.raises(ConfigError, match=r"webhooks\.allow"):
            await bot.reload()


@pytest.mark.promise("P42")
@pytest.mark.promise("P44")
async def test_what_cannot_be_delivered_makes_no_new_event_and_the_owner_is_told(
    make_bot: MakeBot, receiver: Receiver, notices: list[Reply]
) -> None:
    receiver.on("/hook", answer(404))
    async with make_bot(webhooks=CONFIG, jobs=True) as bot:
        await bot.webhooks.add("siem", "custom", receiver.url("/hook"), (), "local:owner")
        await bot.signals.raise_("error", "Something failed")
        await receiver.wait_for(1)
        with anyio.fail_after(10):
            while not any(notice.title == "⚠️ Webhook Paused" for notice in notices):  # noqa: ASYNC110 - no event of that
                await anyio.sleep(0.005)
        events = await bot.database.read(lambda connection: connection.execute("SELECT count(*) FROM signals"))
        assert events == [(1,)]
        assert bot.webhooks.get("siem").state == "paused"
