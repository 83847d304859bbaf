"""The pages of the webhooks: what was not told to whom, and nothing of where they are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from socbot.config import WebhooksConfig
from socbot.storage.connection import Connection
from socbot.testing import FakeClock, owner_said
from tests.web.conftest import MakeSite, Site

SECRET = "abcdefghijklmnopqrstuvwxyz-0123456789"
URL = f"https://hooks.example.org/services/{SECRET}"


@asynccontextmanager
async def with_webhook(make_site: MakeSite, clock: FakeClock, name: str = "ops") -> AsyncIterator[Site]:
    async with make_site(clock=clock, webhooks=WebhooksConfig()) as site:
        await site.bot.webhooks.add(name, "custom", URL, (), "local:owner")
        yield site


async def raised(site: Site, count: int) -> None:
    for number in range(count):
        await site.bot.signals.raise_("alert", f"<b>disk {number}</b>", key=str(number))


async def given_up(site: Site, *ids: int) -> None:
    def work(connection: Connection) -> None:
        for id in ids:
            connection.change(
                "UPDATE deliveries SET state = 'dead', attempts = 10, last_at = at, last_status = 500,"
                " last_answer = 'out of <order>', reason = '10 tries failed' WHERE id = :id",
                {"id": id},
            )

    await site.bot.database.write(work)
    await site.bot.webhooks.load()


async def test_nothing_is_there_at_first_and_it_is_said_what_to_do(make_site: MakeSite) -> None:
    async with make_site() as site:
        assert "add_webhook ops discord" in await site.page("/webhooks")
        assert (await site.facts("/webhooks"))["webhooks"] == []


async def test_dead_letters_come_first_and_can_be_sent_again(make_site: MakeSite, clock: FakeClock) -> None:
    async with with_webhook(make_site, clock) as site:
        await raised(site, 3)
        await given_up(site, 2)
        facts = await site.facts("/webhooks")
        assert [(each["id"], each["title"], each["last_status"]) for each in facts["dead"]] == [
            (2, "<b>disk 1</b>", 500)
        ]
        assert facts["webhooks"][0]["dead"] == 1
        page = await site.page("/webhooks")
        assert page.index("Dead letters") < page.index(">Webhooks</h2>")
        assert "&lt;b&gt;disk 1&lt;/b&gt;" in page
        assert "out of &lt;order&gt;" in page
        assert '<input type="hidden" name="what" value="2">' in page
        answer = await site.owner.post("/api/v1/actions/retry_delivery", json={"what": 2})
        assert answer.status_code == 200
        assert (await site.facts("/webhooks"))["dead"] == []


@pytest.mark.promise("P11")
async def test_no_address_is_ever_shown(make_site: MakeSite, clock: FakeClock) -> None:
    async with with_webhook(make_site, clock) as site:
        await raised(site, 1)
        for path in ("/webhooks", "/webhooks/ops"):
            for shown in (await site.page(path), str(await site.facts(path))):
                assert SECRET not in shown
                assert "https://hooks.example.org/" in shown


async def test_deliveries_are_found_by_webhook_and_state_and_go_on(make_site: MakeSite, clock: FakeClock) -> None:
    async with with_webhook(make_site, clock) as site:
        await site.bot.webhooks.add("other", "custom", URL, ("drill",), "local:owner")
        await raised(site, 54)
        await given_up(site, 5, 50)
        first = await site.facts("/webhooks/ops?state=waiting")
        assert [each["id"] for each in first["deliveries"]] == [54, 53, 52, 51, *range(49, 5, -1), 4, 3]
        rest = await site.facts(f"/webhooks/ops?state=waiting&before={first['older']}")
        assert ([each["id"] for each in rest["deliveries"]], rest["older"]) == ([2, 1], None)
        assert [e["id"] for e in (await site.facts("/webhooks?state=dead"))["deliveries"]] == [50, 5]
        assert [e["id"] for e in (await site.facts("/webhooks?state=failed&before=50"))["deliveries"]] == [5]
        assert (await site.facts("/webhooks?webhook=other"))["deliveries"] == []
        assert f"state=waiting&amp;before={first['older']}" in await site.page("/webhooks/ops?state=waiting")


async def test_one_that_is_paused_says_why_and_can_be_used_again(make_site: MakeSite, clock: FakeClock) -> None:
    async with with_webhook(make_site, clock) as site:
        await site.bot.database.write(
            lambda connection: connection.change(
                "UPDATE webhooks SET state = 'paused', state_reason = '<gone> for 12h'"
            )
        )
        await site.bot.webhooks.load()
        page = await site.page("/webhooks")
        assert "is paused: &lt;gone&gt; for 12h" in page
        assert 'action="/actions/resume_webhook"' in page
        answer = await site.owner.post("/api/v1/actions/resume_webhook", json={"name": "ops"})
        assert answer.status_code == 200
        assert (await site.facts("/webhooks/ops"))["webhook"]["standing"] == "active"


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/webhooks/nobody", 404, "nobody"),
        ("/webhooks?webhook=nobody", 404, "nobody"),
        ("/webhooks?state=odd", 422, "state"),
        ("/webhooks?before=x", 422, "before"),
    ],
)
async def test_what_is_not_there_or_no_question_is_said(make_site: MakeSite, path: str, status: int, told: str) -> None:
    async with make_site() as site:
        for answer in (await site.owner.get(path), await site.owner.get("/api/v1" + path)):
            assert answer.status_code == status
            assert told in answer.text


async def test_an_owner_is_led_from_the_chat_to_the_page(make_site: MakeSite, clock: FakeClock) -> None:
    async with with_webhook(make_site, clock) as site:
        for command, path in (("webhook_info ops", "/webhooks/ops"), ("list_webhooks", "/webhooks")):
            outcome = await site.bot.dispatch(owner_said(f"!{command}"))
            assert f"{site.web.address}{path}" in str(outcome.reply)
