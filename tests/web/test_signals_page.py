"""The pages of signals, incidents and drills."""

import pytest

from socbot.dispatch.replies import Reply
from socbot.testing import FakeClock, owner_said
from tests.web.conftest import MakeSite, Site

HOSTILE = "<img src=x onerror=alert(1)>"


async def owner(site: Site, text: str) -> Reply:
    outcome = await site.bot.dispatch(owner_said(text))
    assert outcome.status == "ok", str(outcome.reply)
    assert outcome.reply is not None
    return outcome.reply


async def test_where_nothing_was_told_it_says_so(make_site: MakeSite) -> None:
    async with make_site() as site:
        page = await site.page("/signals")
        assert "No incident is open." in page
        assert "Nothing had to be told yet." in page


async def test_signals_stand_newest_first_and_are_filtered(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        await owner(site, "!alert high nitro links")
        clock.forward(1)
        await owner(site, "!alert low odd names")
        clock.forward(1)
        await owner(site, "!alert high nitro links")  # the same again
        facts = await site.facts("/signals")
        assert [(each["signal"]["title"], each["signal"]["count"]) for each in facts["signals"]] == [
            ("nitro links", 2),
            ("odd names", 1),
        ]
        assert len((await site.facts("/signals?severity=info"))["signals"]) == 1
        assert (await site.facts("/signals?kind=drill"))["signals"] == []
        before = facts["signals"][0]["signal"]["last_at"]
        assert [each["signal"]["title"] for each in (await site.facts(f"/signals?before={before}"))["signals"]] == [
            "odd names"
        ]
        id = facts["signals"][0]["signal"]["id"]
        assert (await site.facts(f"/signals/{id.lower()}"))["signal"]["title"] == "nitro links"
        assert "No webhook takes it." in await site.page(f"/signals/{id}")
        assert (await site.owner.get("/signals/S-0")).status_code == 404


async def test_an_incident_is_followed_in_its_timeline(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        await owner(site, "!incident open critical Raid in the lobby")
        assert "An incident is open." in await site.page("/signals")
        [incident] = (await site.facts("/signals"))["incidents"]
        clock.forward(60)
        await owner(site, "!incident note last invites are paused")
        clock.forward(60)
        path = f"/incidents/{incident['id']}"
        assert "It has been open for 2m." in await site.page(path.lower().replace("/incidents", "/incidents"))
        await owner(site, "!incident close last calm")
        facts = await site.facts(path)
        assert [(entry["action"], entry["text"]) for entry in facts["timeline"]] == [
            ("closed", "calm"),
            ("note", "invites are paused"),
            ("opened", ""),
        ]
        assert (facts["seconds"], facts["incident"]["state"]) == (120.0, "closed")
        assert (await site.facts("/signals"))["incidents"] == []
        assert [each["id"] for each in (await site.facts("/signals"))["closed"]] == [incident["id"]]
        assert (await site.owner.get("/incidents/I-000000")).status_code == 404


async def test_a_drill_looks_like_no_alert(make_site: MakeSite) -> None:
    async with make_site() as site:
        await owner(site, "!drill start phishing report the odd message")
        facts = await site.facts("/signals")
        assert facts["incidents"] == []
        [drill] = facts["drills"]
        page = await site.page("/signals")
        assert "No incident is open. A drill is on: an exercise, not the real thing." in page
        for path in ("/signals", f"/incidents/{drill['id']}", f"/signals/{facts['signals'][0]['signal']['id']}"):
            page = await site.page(path)
            assert "an exercise" in page or "exercises" in page
            assert 'class="badge bad"' not in page
            assert 'class="badge warn"' not in page
            assert 'class="stat bad"' not in page


async def test_a_long_timeline_goes_on_on_further_pages(make_site: MakeSite) -> None:
    async with make_site() as site:
        opened = await site.bot.incidents.open("raid", "critical", "local:owner", "")
        for number in range(44):
            await site.bot.incidents.note(opened.id, f"{number} " + "x" * 3_900, "local:owner", None)
        first = await site.facts(f"/incidents/{opened.id}")
        assert (len(first["timeline"]), first["entries"], first["more"]) == (40, 45, True)
        last = await site.facts(f"/incidents/{opened.id}?page=1")
        assert [entry["action"] for entry in last["timeline"]][-1] == "opened"
        assert len((await site.owner.get(f"/incidents/{opened.id}")).content) < 300_000


@pytest.mark.promise("P38")
async def test_what_people_write_is_shown_and_never_run(make_site: MakeSite) -> None:
    async with make_site() as site:
        await owner(site, f"!alert high {HOSTILE}")
        await owner(site, f"!incident open high {HOSTILE}")
        await owner(site, f"!incident note last {HOSTILE}")
        [incident] = (await site.facts("/signals"))["incidents"]
        signal = (await site.facts("/signals"))["signals"][0]["signal"]["id"]
        for path in ("/signals", f"/incidents/{incident['id']}", f"/signals/{signal}"):
            page = await site.page(path)
            assert "<img" not in page
            assert "onerror" in page


async def test_answers_lead_the_owner_to_the_page(make_site: MakeSite) -> None:
    async with make_site() as site:
        base = site.bot.links.base
        assert f"{base}/signals/S-" in str(await owner(site, "!alert high nitro"))
        opened = await site.bot.incidents.open("raid", "critical", "local:owner", "local:g1")
        assert f"{base}/incidents/{opened.id}" in str(await owner(site, f"!incident show {opened.id}"))
        assert f"{base}/signals" in str(await owner(site, "!signals"))
