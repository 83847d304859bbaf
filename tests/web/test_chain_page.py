"""The chain as it is in force, and what each middleware on it did."""

from socbot.config import MiddlewareConfig
from socbot.testing import FakeClock, owner_said
from tests.web.conftest import MakeSite
from tests.web.given import commands_on, give, trace_of


async def test_each_middleware_stands_in_its_place_with_what_it_did(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=commands_on(clock)) as site:
        good = await give(site, clock, "!take 250", "7")
        await site.bot.dispatch(good.message.__class__("!take 1", good.message.author, "local", "c1", "g1"))
        facts = await site.facts("/chain")
        assert [each["name"] for each in facts["chain"]] == [layer.name for layer in site.bot.pipeline.layers]
        limit = next(each for each in facts["chain"] if each["name"] == "rate_limit")
        assert (limit["kind"], limit["mode"], limit["calls"], limit["refusals"]) == ("guard", "enforce", 2, 1)
        inner = next(each for each in facts["chain"] if each["name"] == "error_capture")
        assert (inner["calls"], inner["cost"]["runs"]) == (1, 1)
        assert facts["beside"] == []  # what the limiter refused stands at the limiter
        assert (facts["handler"]["runs"], facts["handler"]["share"]) == (1, 1.0)
        page = await site.page("/chain")
        places = [page.index(f"<h3>{each['name']}</h3>") for each in facts["chain"]]
        assert places == sorted(places)
        assert "middleware=rate_limit&amp;status=refused" in page


async def test_a_change_of_mode_and_what_it_costs_are_told(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=commands_on(clock)) as site:
        before = await site.facts("/chain")
        assert before["findings"] == []
        await site.bot.dispatch(owner_said("!pipeline_mode blacklist shadow"))
        await site.bot.blacklist.add("user", ("local", "8"), reason="spam", by="test")
        would = await give(site, clock, "!take 1", "8")
        facts = await site.facts("/chain")
        assert facts["generation"] == before["generation"] + 1
        blacklist = next(each for each in facts["chain"] if each["name"] == "blacklist")
        assert (blacklist["mode"], blacklist["would_refuse"], blacklist["refusals"]) == ("shadow", 1, 0)
        page = await site.page("/chain")
        assert "blacklist is in mode shadow: it decides but lets everything pass" in page
        assert trace_of(would) in page


async def test_refusals_beside_the_chain_and_the_last_of_each_kind_are_led_to(
    make_site: MakeSite, clock: FakeClock
) -> None:
    async with make_site(clock=clock, commands=commands_on(clock)) as site:
        assert "none that is still kept" in await site.page("/chain")
        slow = trace_of(await give(site, clock, "!take 900", "7"))
        refused = trace_of(await give(site, clock, "!shutdown", "8"))
        ok = trace_of(await give(site, clock, "!take 1", "7"))
        facts = await site.facts("/chain")
        assert facts["beside"] == [{"by": "permission", "reason": "NotPermitted", "count": 1}]
        assert [facts[name]["trace_id"] for name in ("slow", "refused", "ok")] == [slow, refused, ok]
        page = await site.page("/chain")
        assert all(f'href="/traces/{id}"' in page for id in (slow, refused, ok))


async def test_only_an_owner_is_offered_to_change_it(make_site: MakeSite) -> None:
    async with make_site() as site:
        token = await site.bot.access.add("watcher", "viewer", "test")
        viewed = await site.visitor.get("/chain", headers={"Authorization": f"Bearer {token}"})
        assert viewed.status_code == 200
        assert "/actions/set_mode" not in viewed.text
        assert 'name="middleware" value="blacklist"' in await site.page("/chain")


async def test_a_chain_without_anything_measured_says_so(make_site: MakeSite) -> None:
    chain = (MiddlewareConfig("blacklist", mode="off"), MiddlewareConfig("rate_limit", mode="off"))
    async with make_site(middleware=chain) as site:
        page = await site.page("/chain")
        assert "blacklist is in mode off: it refuses nobody" in page
        assert "Nobody was refused by permission" in page
