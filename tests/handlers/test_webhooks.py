"""Conversations about webhooks, each with a receiver that is really there."""

import base64

import pytest
from standardwebhooks import Webhook as Verifier

from socbot.bot import Bot
from socbot.config import RateLimitConfig, WebhooksConfig
from socbot.dispatch.messages import Message, User
from socbot.dispatch.replies import Reply
from socbot.testing import OWNER, owner_said, said
from tests.conftest import MakeBot
from tests.receiver import Receiver, answer

LOOPBACK = WebhooksConfig(allow=("127.0.0.0/8",), timeout=2.0)
OPEN = {"webhooks": LOOPBACK, "rate_limit": RateLimitConfig(cooldown=0.0, burst=1_000)}
SECRET = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def anyio_backend() -> str:
    """The receiver's."""
    return "asyncio"


async def ask(bot: Bot, text: str, status: str = "ok") -> Reply:
    outcome = await bot.dispatch(owner_said(text))
    assert outcome.status == status, outcome
    assert outcome.reply is not None
    return outcome.reply


def fields(reply: Reply) -> dict[str, str]:
    return {field.name: field.value for field in reply.fields}


async def test_a_webhook_is_added_and_its_address_is_not_shown(make_bot: MakeBot) -> None:
    url = "https://discord.com/api/webhooks/123456789012345678/aVerySecretTokenOfTheWebhook1a2b"
    async with make_bot(**OPEN) as bot:
        reply = await ask(bot, f"!add_webhook Ops discord {url} error alert")
        assert reply.private
        assert (fields(reply)["Type"], fields(reply)["Triggers"]) == ("discord", "error, alert")
        said_of_it = [reply]
        for text in ("list_webhooks", "webhook_info ops", "webhook_config ops", "webhook_stats", "signals"):
            said_of_it.append(await ask(bot, f"!{text}"))
        said_of_it.append(await ask(bot, f"!add_webhook ops discord {url}", "invalid"))
        assert "in use" in str(said_of_it[-1])
        assert not any("aVerySecretToken" in str(each) for each in said_of_it)
        assert fields(said_of_it[2])["Address"].endswith("1a2b")
    async with make_bot(**OPEN) as bot:
        assert "ops" in str(await ask(bot, "!list_webhooks"))


@pytest.mark.promise("P11")
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ops custom http://192.168.0.1/s3cr3t-path", "url: what was given is not allowed"),
        ("ops discord https://evil.example/s3cr3t-path", "url: what was given is not allowed"),
        ("ops https://hooks.slack.com/services/T0/B0/s3cr3t-path slack", "type: what was given is not one of"),
        ("ops custom https://example.org/s3cr3t-path nonsense", "triggers: what was given is not one of"),
        ("https://example.org/s3cr3t-path custom ops", "name: what was given is not"),
    ],
)
async def test_what_is_wrong_with_an_address_is_said_without_it(
    make_bot: MakeBot, caplog: pytest.LogCaptureFixture, text: str, told: str
) -> None:
    async with make_bot(rate_limit=OPEN["rate_limit"]) as bot:
        reply = await ask(bot, f"!add_webhook {text}", "invalid")
        assert told in str(reply)
        assert bot.webhooks.all() == ()
        assert "s3cr3t-path" not in str(reply) + caplog.text


async def test_a_test_says_how_it_went(make_bot: MakeBot) -> None:
    async with Receiver() as receiver, make_bot(**OPEN) as bot:
        await ask(bot, f"!add_webhook ops custom {receiver.url('/hook')}")
        receiver.on("/hook", answer(204), answer(500, body=b"out of `order` @everyone"))
        reply = await ask(bot, "!test_webhook ops")
        assert (reply.text, reply.tone, fields(reply)["Status"]) == ("Delivered.", "ok", "204")
        assert fields(reply)["Time"].endswith(" ms")
        reply = await ask(bot, "!test_webhook ops")
        assert (reply.text, reply.tone, fields(reply)["Status"]) == ("Not delivered.", "error", "500")
        assert "@everyone" not in str(reply)
        assert "`" not in fields(reply)["Answer"]


async def test_what_is_set_is_in_force_and_a_secret_is_written_only(make_bot: MakeBot) -> None:
    async with Receiver() as receiver, make_bot(**OPEN) as bot:
        await ask(bot, f"!add_webhook ops custom {receiver.url('/hook')}")
        assert "all → alert drill" in str(await ask(bot, "!webhook_config ops triggers alert drill"))
        assert "info → critical" in str(await ask(bot, "!webhook_config ops severity high"))
        reply = await ask(bot, f"!webhook_config ops secret {SECRET}")
        assert SECRET not in str(reply)
        assert reply.private
        shown = [await ask(bot, "!webhook_config ops"), await ask(bot, "!webhook_info ops")]
        assert not any(SECRET in str(each) for each in shown)
        assert fields(shown[1])["Signed"] == "by 1 secret"
        await ask(bot, "!test_webhook ops")
        [request] = receiver.requests
        Verifier(SECRET).verify(request.body, request.headers)
        wrong = await ask(bot, "!webhook_config ops secret tooshort-s3cret", "invalid")
        assert "s3cret" not in str(wrong)
        for text in (f"{SECRET} secret ops", f"ops {SECRET}", f"secret ops {SECRET}", "s3cret secret ops"):
            wrong = await ask(bot, f"!webhook_config {text}", "invalid")
            assert SECRET not in str(wrong)
            assert "s3cret" not in str(wrong)
        assert "value: missing" in str(await ask(bot, "!webhook_config ops rate", "invalid"))
        await ask(bot, "!webhook_config ops enabled off")
        assert "switched off" in str(await ask(bot, "!list_webhooks"))


async def test_what_is_dead_is_shown_and_sent_again(make_bot: MakeBot) -> None:
    async with Receiver() as receiver, make_bot(**OPEN, jobs=True) as bot:
        receiver.on("/hook", answer(400, body=b"what is this"), answer(200))
        await ask(bot, f"!add_webhook ops custom {receiver.url('/hook')}")
        await ask(bot, "!alert critical raid")
        await receiver.wait_for(1)
        while not (await bot.webhooks.deliveries(state="dead")):
            await bot.clock.sleep(0.005)
        for text in ("!webhook_deliveries", "!webhook_deliveries ops", "!webhook_deliveries dead"):
            [line] = (await ask(bot, text)).items
            assert "alert raid – dead" in line
            assert "1 try" in line
            assert "400" in line
        assert (await ask(bot, "!webhook_deliveries ops waiting")).items == ()
        assert "ops: dead" in str(await ask(bot, "!signals"))
        assert "1 dead" in str(await ask(bot, "!webhook_stats"))
        assert "1 delivery is sent again" in str(await ask(bot, "!webhook_retry ops"))
        await receiver.wait_for(2)
        while not (await bot.webhooks.deliveries(state="delivered")):
            await bot.clock.sleep(0.005)
        assert receiver.requests[0].json()["id"] == receiver.requests[1].json()["id"]
        assert fields(await ask(bot, "!webhook_stats"))["Sent"] == "1 messages"
        assert str(await ask(bot, "!webhook_retry ops")) == "Nothing of it is dead."
        await ask(bot, "!webhook_retry 4711", "invalid")


async def test_removing_asks_first_and_says_what_would_be_lost(make_bot: MakeBot) -> None:
    async with Receiver() as receiver, make_bot(**OPEN) as bot:
        await ask(bot, f"!add_webhook ops custom {receiver.url('/hook')}")
        await ask(bot, "!alert critical raid")
        asked = await ask(bot, "!remove_webhook ops")
        assert asked.question is not None
        assert "1 deliveries to it wait" in str(asked)
        assert len(bot.webhooks.all()) == 1
        await ask(bot, f"confirm {asked.question.code}")
        assert bot.webhooks.all() == ()
        assert "There are none" in str(await ask(bot, "!list_webhooks"))


async def test_a_name_that_is_none_gets_the_nearest(make_bot: MakeBot) -> None:
    async with make_bot(**OPEN) as bot:
        await ask(bot, "!add_webhook ops custom https://hooks.invalid/x")
        for text in ("webhook_info opps", "test_webhook opps", "remove_webhook opps", "webhook_config opps"):
            assert "did you mean `ops`" in str(await ask(bot, f"!{text}", "invalid"))


async def test_names_are_offered(make_bot: MakeBot) -> None:
    async with make_bot(**OPEN) as bot:
        await ask(bot, "!add_webhook ops custom https://hooks.invalid/x")
        await ask(bot, "!incident open high raid")
        assert await bot.completions.find("webhook", "o") == ("ops",)
        assert await bot.completions.find("severity", "") == ("info", "warning", "critical")
        assert len(await bot.completions.find("incident", "")) == 2
        assert len(await bot.completions.find("incident", "", guild="local:g1")) == 2
        assert await bot.completions.find("incident", "", guild="local:g2") == ("last",)


async def test_on_a_form_the_address_is_asked_for(make_bot: MakeBot) -> None:
    """Where a platform has forms, the address is never an option that others see."""
    async with make_bot(**OPEN) as bot:
        options = {"name": "ops", "type": "custom", "triggers": "alert drill"}
        asked = await bot.dispatch(
            Message("!add_webhook", User(OWNER[1]), OWNER[0], "c1", "g1", options=options, forms=True)
        )
        assert asked.reply is not None
        assert asked.reply.form is not None
        assert [(each.name, each.secret) for each in asked.reply.form.inputs] == [("url", True)]


async def test_they_are_the_owners_alone(make_bot: MakeBot) -> None:
    async with make_bot(**OPEN) as bot:
        for text in ("add_webhook ops custom https://hooks.invalid/x", "list_webhooks", "webhook_deliveries"):
            outcome = await bot.dispatch(said(f"!{text}", "70", admin=True))
            assert (outcome.status, outcome.refused_by) == ("refused", "permission")
