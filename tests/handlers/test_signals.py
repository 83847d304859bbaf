"""Conversations about alerts, incidents and drills."""

import json
import re

import anyio
import pytest

from socbot.bot import Bot
from socbot.config import LadderStep, RateLimitConfig, WebhooksConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.messages import Message
from socbot.dispatch.replies import Reply
from socbot.jobs.job import Job
from socbot.jobs.schedules import Continuous
from socbot.systems.webhooks import payloads
from socbot.testing import FakeClock, owner_said, said
from tests.conftest import MakeBot
from tests.receiver import Receiver, answer

LOOPBACK = WebhooksConfig(allow=("127.0.0.0/8",), timeout=2.0)
UNLIMITED = RateLimitConfig(cooldown=0.0, burst=1_000)
HOSTILE = (
    "@everyone @here <@&1> <@42> <#7> <!channel> <!here> <@U1> [click](https://evil.example) `rm` **b** "
    "\u202e\u200b@everyone"
)


@pytest.fixture
def anyio_backend() -> str:
    """The receiver's."""
    return "asyncio"


def admin_said(text: str, guild: str | None = "g1", author: str = "70") -> Message:
    return said(text, author, admin=True, guild=guild)


async def answered(bot: Bot, message: Message, status: str = "ok") -> Reply:
    outcome = await bot.dispatch(message)
    assert outcome.status == status, outcome
    assert outcome.reply is not None
    return outcome.reply


def fields(reply: Reply) -> dict[str, str]:
    return {field.name: field.value for field in reply.fields}


def id_in(reply: Reply) -> str:
    found = re.search(r"[IDS]-[0-9A-Z]+", str(reply))
    assert found is not None
    return found[0]


async def delivered(bot: Bot) -> None:
    """Return once no webhook has anything waiting."""
    with anyio.fail_after(10):
        while await bot.webhooks.deliveries(state="waiting"):
            await bot.clock.sleep(0.002)


async def test_an_alert_of_an_administrator_is_kept_delivered_and_shown(make_bot: MakeBot) -> None:
    async with Receiver() as receiver, make_bot(webhooks=LOOPBACK, rate_limit=UNLIMITED, jobs=True) as bot:
        await answered(bot, owner_said(f"!add_webhook ops custom {receiver.url('/hook')} alert"))
        reply = await answered(bot, admin_said("!alert critical Somebody is raiding us\nTen accounts an hour old"))
        assert fields(reply)["Severity"] == "critical"
        [request] = await receiver.wait_for(1)
        event = request.json()
        assert (event["event"], event["severity"], event["title"]) == ("alert", "critical", "Somebody is raiding us")
        assert event["id"] == id_in(reply)
        assert event["text"].endswith("Ten accounts an hour old")
        assert event["drill"] is False
        await delivered(bot)
        [line] = (await answered(bot, owner_said("!signals"))).items
        assert "alert critical: Somebody is raiding us" in line
        assert line.endswith("ops: delivered")
        [theirs] = (await answered(bot, admin_said("!signals alert"))).items
        assert theirs.endswith("1 delivered")  # what the webhook is called is the owner's business
        assert (await answered(bot, admin_said("!signals drill"))).items == ()


async def test_the_same_alert_again_is_one_signal(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, rate_limit=UNLIMITED) as bot:
        await answered(bot, admin_said("!alert low raid"))
        reply = await answered(bot, admin_said("!alert high raid", author="71"))
        assert reply.title == "🚨 Alert raised again (2 times)"
        [line] = (await answered(bot, admin_said("!signals"))).items
        assert "alert critical: raid (2 times)" in line
        assert line.endswith("no webhook takes it")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("!alert", "severity: missing: info, warning or critical"),
        ("!alert huge raid", "severity: `huge` is not info, warning or critical"),
        ("!alert critical", "message: missing"),
        ("!signals nonsense", "kind: `nonsense` is not one of error, alert"),
        ("!incident open high", "title: missing"),
        ("!incident note I-NONE x", "id: `I-NONE` is not the id of an incident"),
        ("!incident note last x", "id: `last` is not there: no incident is open"),
        ("!incident nonsense", "state: `nonsense` is not one of open, closed, all"),
        ("!drill end", "No drill is on here"),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_is_raised(make_bot: MakeBot, text: str, told: str) -> None:
    async with make_bot() as bot:
        assert told in str(await answered(bot, admin_said(text), "invalid"))
        assert await bot.signals.recent() == ()


async def test_help_tells_of_a_whole_family_and_of_each(make_bot: MakeBot) -> None:
    async with make_bot(rate_limit=UNLIMITED) as bot:
        lines = (await answered(bot, admin_said("!help incident"))).items
        assert [line.split()[1] for line in lines] == ["open", "note", "close", "list", "show"]
        assert "administrators in their guild" in str(await answered(bot, admin_said("!help incident open")))
        assert "topic" in str(await answered(bot, said("!help incident", "900"), "invalid"))


async def test_an_incident_from_its_opening_to_its_end(make_bot: MakeBot, clock: FakeClock) -> None:
    async with Receiver() as receiver, make_bot(webhooks=LOOPBACK, rate_limit=UNLIMITED, jobs=True) as bot:
        await answered(bot, owner_said(f"!add_webhook ops custom {receiver.url('/hook')} incident"))
        id = id_in(await answered(bot, admin_said("!incident open high The database is down")))
        await answered(bot, admin_said(f"!incident note {id} the disk was full", author="71"))
        [line] = (await answered(bot, admin_said("!incident"))).items
        assert id in line
        assert id in str(await answered(bot, admin_said("!incident close last freed some")))
        shown = await answered(bot, admin_said(f"!incident show {id.lower()}"))
        assert (shown.text, fields(shown)["State"], fields(shown)["Severity"]) == (
            "The database is down", "closed", "critical",
        )  # fmt: skip
        words = [re.sub(r"^<t:\d+> ", "", item) for item in shown.items]
        assert words == [
            "opened by `70`",
            "note by `71`: the disk was full",
            "closed by `70`: freed some",
        ]
        requests = await receiver.wait_for(3)
        assert [each.json()["message"] for each in requests] == [
            "Incident opened: The database is down",
            "Incident updated: The database is down\nthe disk was full",
            "Incident closed: The database is down\nfreed some",
        ]
        assert {each.json()["subject"] for each in requests} == {id}
        assert (await answered(bot, admin_said("!incident list"))).text == "There are no open incidents."
        assert len((await answered(bot, admin_said("!incident list all"))).items) == 1


async def test_a_drill_says_everywhere_that_it_is_one(make_bot: MakeBot, clock: FakeClock) -> None:
    async with Receiver() as receiver, make_bot(webhooks=LOOPBACK, rate_limit=UNLIMITED, jobs=True) as bot:
        await answered(bot, owner_said(f"!add_webhook all custom {receiver.url('/all')}"))
        await answered(bot, owner_said(f"!add_webhook alerts custom {receiver.url('/alerts')} alert"))
        started = await answered(bot, admin_said("!drill start phishing click on nothing"))
        assert "this is an exercise" in started.title
        assert "A drill is on." in str(await answered(bot, admin_said("!drill")))
        await answered(bot, admin_said("!drill start raid"), "invalid")
        ended = await answered(bot, admin_said("!drill end nobody clicked"))
        assert "Lasted" in fields(ended)
        assert "lasted" in str(await answered(bot, admin_said("!drill status")))
        requests = await receiver.wait_for(2)
        assert [(each.path, each.json()["drill"], each.json()["severity"]) for each in requests] == [
            ("/all", True, "info")
        ] * 2
        assert all(each.json()["message"].startswith("DRILL") for each in requests)
        assert (await answered(bot, admin_said("!signals alert"))).items == ()


async def test_each_guild_has_its_own_and_the_owner_all(make_bot: MakeBot) -> None:
    async with make_bot(rate_limit=UNLIMITED) as bot:
        id = id_in(await answered(bot, admin_said("!incident open low leak", "g1")))
        await answered(bot, admin_said("!drill start raid", "g1"))
        await answered(bot, admin_said("!alert low raid", "g1"))
        for text in ("!signals", "!incident list all", "!drill status"):
            assert (await answered(bot, admin_said(text, "g2"))).items == ()
        for text in (f"!incident show {id}", f"!incident note {id} x", f"!incident close {id}", "!drill end"):
            await answered(bot, admin_said(text, "g2"), "invalid")
        for text, count in (("!signals", 3), ("!incident list", 1), ("!drill status", 1)):
            for guild in ("g2", None):
                assert len((await answered(bot, owner_said(text, guild=guild))).items) == count
        assert "local:g1" in str(await answered(bot, owner_said(f"!incident show {id}", guild=None)))
        await answered(bot, owner_said("!alert low from the console", guild=None))
        assert len((await answered(bot, admin_said("!signals", "g1"))).items) == 3
        assert (await bot.dispatch(admin_said("!signals", None))).refused_by == "permission"


@pytest.mark.promise("P36")
@pytest.mark.parametrize("type", ["discord", "slack", "custom"])
async def test_hostile_text_in_an_alert_notifies_and_links_nothing(make_bot: MakeBot, type: str) -> None:
    async with make_bot(rate_limit=UNLIMITED) as bot:
        for text in (f"!alert high {HOSTILE}", f"!incident open high {HOSTILE}", f"!drill start raid {HOSTILE}"):
            assert inert(str(await answered(bot, admin_said(text))))
        for text in ("!signals", "!incident list", "!incident show last", "!drill status"):
            assert inert(str(await answered(bot, admin_said(text))))
        for raised in await bot.signals.recent():
            if type == "custom":
                assert json.loads(payloads.custom(raised.signal))["text"] == raised.signal.text
                assert "\u202e" not in raised.signal.text
                continue
            sent = {"discord": payloads.discord, "slack": payloads.slack}[type]((raised.signal,))
            body = json.loads(sent)
            assert inert(json.dumps(body, ensure_ascii=False)) or type == "slack"
            if type == "discord":
                assert body["allowed_mentions"] == {"parse": []}
            else:
                assert not re.search(r"<[!@#]|@(everyone|here|channel)", json.dumps(body, ensure_ascii=False))


def inert(text: str) -> bool:
    return not re.search(r"@(everyone|here)|<[@#!]|\]\(|\u202e|\u200b", text)


async def test_a_job_that_failed_for_good_is_signalled(make_bot: MakeBot, clock: FakeClock) -> None:
    async def broken() -> None:
        raise RuntimeError("no disk")

    async with make_bot(clock=clock, jobs=True) as bot:
        await bot._job_failed(Job("work", broken, Continuous()), "RuntimeError: no disk")
        await bot._job_failed(Job("deliver", broken, Continuous()), "RuntimeError: no network")
        [raised] = await bot.signals.recent()
        assert (raised.signal.kind, raised.signal.title) == ("job", "Job work has failed")


@command("fail", permission="public")
async def fail(ctx: Context) -> str:
    """Fails."""
    raise KeyError("no such host")


@pytest.mark.promise("P44")
async def test_that_an_error_cannot_be_delivered_makes_no_new_event(make_bot: MakeBot) -> None:
    async with (
        Receiver() as receiver,
        make_bot(webhooks=LOOPBACK, rate_limit=UNLIMITED, jobs=True, commands=[fail]) as bot,
    ):
        receiver.on("/hook", answer(400))
        await answered(bot, owner_said(f"!add_webhook ops custom {receiver.url('/hook')}"))
        await answered(bot, said("!fail", "900"), "failed")
        await receiver.wait_for(1)
        await delivered(bot)
        [dead] = await bot.webhooks.deliveries(state="dead")
        [raised] = await bot.signals.recent()
        assert (raised.signal.kind, raised.signal.title, dead.event.id) == (
            "error", "Critical error: KeyError", raised.signal.id,
        )  # fmt: skip
        assert await bot.errors.size() == (1, 1)
        assert len(receiver.requests) == 1


async def test_whom_the_ladder_lists_is_told_to_webhooks(make_bot: MakeBot) -> None:
    ladder = RateLimitConfig(cooldown=0.0, burst=1, ladder=(LadderStep("blacklist", 3600.0),))
    async with Receiver() as receiver, make_bot(webhooks=LOOPBACK, rate_limit=ladder, jobs=True) as bot:
        await answered(bot, owner_said(f"!add_webhook ops custom {receiver.url('/hook')} security"))
        for _ in range(30):
            await bot.dispatch(said("!ping", "900"))
            if bot.blacklist.is_listed("user", ("local", "900")):
                break
        [request] = await receiver.wait_for(1)
        event = request.json()
        assert (event["event"], event["subject"], event["source"]) == ("security", "local:900", "rate_limit")
