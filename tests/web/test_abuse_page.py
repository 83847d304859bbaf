"""The pages of abuse: who is held back, why, and what was done about whom."""

import re
from urllib.parse import quote

import httpx
import pytest

from socbot.config import RateLimitConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.replies import Reply
from socbot.testing import FakeClock, owner_said, said
from tests.web.conftest import MakeSite, Site

HOSTILE = "<img src=x onerror=alert(1)>"
STRICT = RateLimitConfig(cooldown=0.0, burst=1, window=60.0, tolerance=1)


@command("fail", permission="public")
async def fail(ctx: Context) -> str:
    """Fails."""
    raise ValueError("broken")


async def owner(site: Site, text: str) -> Reply:
    outcome = await site.bot.dispatch(owner_said(text))
    assert outcome.status == "ok", str(outcome.reply)
    assert outcome.reply is not None
    return outcome.reply


async def test_where_nobody_is_held_back_it_says_so(make_site: MakeSite) -> None:
    async with make_site() as site:
        page = await site.page("/abuse")
        assert "0 of 0 commands refused in the last 24 hours; 0 people are timed out, 0 are listed." in page
        assert "Nobody is listed." in page
        assert "Nobody is timed out." in page
        assert (await site.owner.get("/abuse/local/robot/1")).status_code == 404
        site.bot.blacklist.problem = "disk I/O error"
        assert "everybody but the owner is kept out: disk I/O error" in await site.page("/abuse")


async def test_a_spammer_climbs_the_ladder_in_sight(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, rate_limit=STRICT) as site:
        for _ in range(3):
            for _ in range(2):
                await site.bot.dispatch(said("!ping", "666"))
            facts = await site.facts("/abuse")
            clock.forward(301)
        assert [each["action"] for each in facts["violations"]] == ["blacklist", "timeout", "warn"]
        assert facts["violations"][1]["enforced"] == "bot mute only: this platform has no other"
        assert facts["offenders"] == [{"platform": "local", "id": "666", "violations": 3}]
        assert (facts["users"], facts["guilds"]) == (1, 0)
        assert facts["listed"][0]["entry"]["added_by"] == "rate_limit"
        assert facts["refused"] == 3
        assert sum(count for _, count in facts["by_hour"]) == 3
        assert facts["refusals"][0]["command"] == "ping"
        page = await site.page("/abuse")
        assert page.count('href="/abuse/local/user/666"') >= 4
        assert "3 in this hour" in page
        known = await site.facts("/abuse/local/user/666")
        assert [each["action"] for each in known["violations"]] == ["blacklist", "timeout", "warn"]
        assert [each["action"] for each in known["history"]] == ["added"]
        assert known["entry"]["source"] == "rate_limit"
        assert (known["standing"]["violations"], known["standing"]["steps"]) == (3, 3)
        assert known["usage"]["tally"]["refused"] == 3


async def test_who_is_timed_out_is_there_until_it_ends(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        for _ in range(2):
            await site.bot.rate_limiter.violate(("local", "555"), "ping")
        clock.forward(100)
        facts = await site.facts("/abuse")
        assert facts["timed_out"] == [{"platform": "local", "id": "555", "seconds": 200.0}]
        assert "Timed out for 3m 20s still." in await site.page("/abuse/local/user/555")
        clock.forward(201)
        assert (await site.facts("/abuse"))["timed_out"] == []


async def test_the_blacklist_is_searched_by_id(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        for id in ("1234", "1299", "5512"):
            clock.forward(1)
            await owner(site, f"!blacklist_add user {id} spam")
        await owner(site, "!blacklist_temp guild 12000 1h raid")

        async def ids(query: str) -> list[str]:
            return [each["entry"]["id"] for each in (await site.facts(f"/abuse?{query}"))["listed"]]

        assert await ids("search=12") == ["12000", "5512", "1299", "1234"]
        assert await ids("search=12&kind=user") == ["5512", "1299", "1234"]
        assert await ids("search=LOCAL:12") == ["12000", "1299", "1234"]
        assert await ids("search=%25") == []  # which is no pattern
        assert 'href="/abuse/local/user/999"' in await site.page("/abuse?search=local:999")
        clock.forward(3601)
        assert "12000" not in await ids("")


async def test_blocked_attempts_are_counted_by_who_stopped_them(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        await owner(site, "!blacklist_add user 777 spam")
        await owner(site, "!blacklist_add guild g9 raid")
        for _ in range(3):
            await site.bot.dispatch(said("!ping", "777"))
        await site.bot.dispatch(said("!ping", "1", guild="g9"))
        await site.bot.telemetry.flush()
        known = await site.facts("/abuse/local/user/777")
        assert (known["blocked"], known["blocked_at"]) == (3, clock.time())
        guild = await site.facts("/abuse/local/guild/g9")
        assert (guild["blocked"], guild["standing"]) == (1, None)
        assert {each["entry"]["id"]: each["blocked"] for each in (await site.facts("/abuse"))["listed"]} == {
            "777": 3, "g9": 1,
        }  # fmt: skip


async def test_somebody_is_told_of_wholly(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=[fail]) as site:
        await owner(site, "!blacklist_add user 7 rude")
        await owner(site, "!blacklist_remove user 7 sorry")
        await owner(site, "!rate_limit_exempt 7 1h")
        failed = await site.bot.dispatch(said("!fail", "7"))
        known = await site.facts("/abuse/local/user/7")
        assert [(each["action"], each["reason"]) for each in known["history"]] == [
            ("removed", "sorry"),
            ("added", "rude"),
        ]
        assert known["entry"] is None
        assert known["exemption"]["until"] == clock.time() + 3600
        assert [each["error_id"] for each in known["errors"]] == [failed.error_id]
        assert (await site.facts("/abuse"))["exempt"][0]["id"] == "7"
        assert (await site.facts("/abuse/local/user/owner"))["protected"]


async def test_the_forms_of_a_page_do_what_they_say(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        browser = await signed_in(site)
        page = (await browser.get("/abuse/local/user/77")).text
        await sent(browser, page, "blacklist_add", reason="scam <links>", duration="2h")
        entry = await site.bot.blacklist.find("user", ("local", "77"))
        assert entry is not None
        assert (entry.reason, entry.expires_at) == ("scam <links>", clock.time() + 7200)
        page = (await browser.get("/abuse/local/user/77")).text
        await sent(browser, page, "blacklist_remove")
        assert not site.bot.blacklist.is_listed("user", ("local", "77"))
        page = (await browser.get("/abuse/local/guild/g7")).text
        await sent(browser, page, "blacklist_add", reason="raid")
        assert site.bot.blacklist.is_listed("guild", ("local", "g7"))
        for _ in range(2):
            await site.bot.rate_limiter.violate(("local", "55"), "ping")
        await sent(browser, (await browser.get("/abuse")).text, "clear_violations")
        assert site.bot.rate_limiter.timed_out() == ()


async def signed_in(site: Site) -> httpx.AsyncClient:
    """The owner's browser."""
    browser = site.visitor
    page = (await browser.get("/login")).text
    token = await site.bot.access.add("browser", "owner", "test")
    csrf = dict(re.findall(r'name="(csrf)" value="(\w+)"', page))
    answer = await browser.post("/login", data={"token": token} | csrf)
    assert answer.status_code == 303
    return browser


async def sent(browser: httpx.AsyncClient, page: str, action: str, **filled: str) -> None:
    """Fill in and send the first form of ``action`` in ``page``."""
    [form] = re.findall(rf'<form[^>]* action="/actions/{action}">(.*?)</form>', page, re.DOTALL)[:1]
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))
    assert all(f'name="{name}"' in form for name in filled)
    answer = await browser.post(f"/actions/{action}", data=hidden | filled)
    assert answer.status_code == 303, answer.text


@pytest.mark.promise("P38")
async def test_hostile_names_and_reasons_are_shown_and_never_run(make_site: MakeSite) -> None:
    id = HOSTILE + "/../x"
    async with make_site() as site:
        await site.bot.blacklist.add("user", ("local", id), reason=HOSTILE, by=f"local:{HOSTILE}")
        address = f"/abuse/local/user/{quote(id, safe='')}"
        assert f'href="{address}"' in await site.page("/abuse")
        for path in ("/abuse", address, f"/abuse?search={quote(HOSTILE)}"):
            assert "<img" not in await site.page(path)
        assert (await site.facts(address))["entry"]["reason"] == HOSTILE


async def test_long_lists_go_on_on_further_pages(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, rate_limit=RateLimitConfig(ladder=())) as site:
        for number in range(43):
            clock.forward(1)
            await site.bot.blacklist.add("user", ("local", f"u{number}"), reason="x", by="local:owner")
            await site.bot.rate_limiter.violate(("local", f"v{number}"), "ping")
        facts = await site.facts("/abuse")
        assert (len(facts["listed"]), len(facts["violations"])) == (40, 40)
        older = await site.facts(f"/abuse?page=1&before={facts['older']}")
        assert [each["entry"]["id"] for each in older["listed"]] == ["u2", "u1", "u0"]
        assert [each["id"] for each in older["violations"]] == ["v2", "v1", "v0"]
        assert older["older"] is None
        assert len((await site.owner.get("/abuse")).content) < 300_000


async def test_answers_lead_the_owner_to_the_page(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, rate_limit=STRICT) as site:
        address = f"{site.bot.links.base}/abuse/local/user/42"
        for text in (
            "!blacklist_add user 42 spam",
            "!blacklist_check user 42",
            "!blacklist_history user 42",
            "!rate_limit_status 42",
        ):
            assert address in str(await owner(site, text)), text
        await site.bot.blacklist.remove("user", ("local", "42"), reason="", by="local:owner")
        own = await site.bot.dispatch(said("!blacklist_check"))
        assert own.status == "ok"
        assert "http" not in str(own.reply)
        for _ in range(3):
            await site.bot.rate_limiter.violate(("local", "42"), "ping")
        [raised] = await site.bot.signals.recent("security")
        assert ("Page", address) in raised.signal.fields
