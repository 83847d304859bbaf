"""The pages of errors: what fails, how often, and what is known of each."""

import pytest

from socbot.config import RateLimitConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.replies import Reply
from socbot.testing import FakeClock, owner_said, said
from tests.web.conftest import MakeSite, Site

UNLIMITED = RateLimitConfig(cooldown=0.0, burst=10_000, window=0.001)
HOSTILE = "<img src=x onerror=alert(1)>"


@command("fail", permission="public")
async def fail(ctx: Context, kind: str = "value", what: str = "broken") -> str:
    """Fails."""
    raise {"value": ValueError, "os": OSError, "key": KeyError}[kind](what)


async def failed(site: Site, text: str = "!fail", author: str = "42") -> str:
    outcome = await site.bot.dispatch(said(text, author))
    assert outcome.error_id is not None
    return outcome.error_id


async def owner(site: Site, text: str) -> Reply:
    outcome = await site.bot.dispatch(owner_said(text))
    assert outcome.status == "ok", str(outcome.reply)
    assert outcome.reply is not None
    return outcome.reply


async def test_a_bot_in_which_nothing_fails_says_so(make_site: MakeSite) -> None:
    async with make_site() as site:
        page = await site.page("/errors")
        assert "No error in the last 24 hours; none in the last 5m, 5 would be too many." in page
        assert "Nothing has failed yet." in page
        assert (await site.facts("/errors"))["groups"] == []


async def test_groups_stand_newest_or_most_frequent_first(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=[fail], rate_limit=UNLIMITED) as site:
        for author in ("1", "2", "2"):
            await failed(site, "!fail value", author)
        clock.forward(2 * 3600)
        await failed(site, "!fail os")
        newest = (await site.facts("/errors"))["groups"]
        assert [each["group"]["type"] for each in newest] == ["OSError", "ValueError"]
        often = (await site.facts("/errors?order=frequent"))["groups"]
        assert [(each["group"]["type"], each["within"], each["group"]["users"]) for each in often] == [
            ("ValueError", 3, 2),
            ("OSError", 1, 1),
        ]
        facts = await site.facts("/errors")
        assert facts["total"] == 4
        assert [count for _, count in facts["hours"]][-3:] == [3, 0, 1]
        assert facts["by_command"] == [["fail", 4]]
        clock.forward(23 * 3600)
        assert [each["within"] for each in (await site.facts("/errors"))["groups"]] == [1, 0]
        assert [each["within"] for each in (await site.facts("/errors?range=7d"))["groups"]] == [1, 3]


async def test_a_group_stands_as_it_was_dealt_with(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=[fail], rate_limit=UNLIMITED) as site:
        names = {}
        for kind in ("value", "os", "key"):
            error = await site.bot.errors.find(await failed(site, f"!fail {kind}"))
            assert error is not None
            names[kind] = error.group_id
        await owner(site, f"!error_resolve {names['value']}")
        await owner(site, f"!error_resolve {names['os']}")
        await owner(site, f"!error_mute {names['key']} 1h")
        await failed(site, "!fail os")
        facts = await site.facts("/errors")
        assert facts["standings"] == {"resolved": 1, "came back": 1, "muted": 1}
        for state, kind in (("resolved", "value"), ("came back", "os"), ("muted", "key")):
            found = (await site.facts(f"/errors?state={state}"))["groups"]
            assert [each["group"]["group_id"] for each in found] == [names[kind]]
            assert (await site.facts(f"/errors/{names[kind]}"))["standing"] == state
        clock.forward(3601)
        assert (await site.facts("/errors"))["standings"]["open"] == 1  # the mute is over
        assert [each["group"]["type"] for each in (await site.facts("/errors?severity=info"))["groups"]] == ["OSError"]
        assert (await site.facts("/errors?command=ping"))["groups"] == []
        assert "No group of errors is like that." in await site.page("/errors?command=ping")


async def test_too_many_errors_at_a_time_are_said_first(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=[fail], rate_limit=UNLIMITED) as site:
        for _ in range(4):
            await failed(site)
        assert (await site.facts("/errors"))["pace"] == {
            "count": 4, "threshold": 5, "window": 300.0, "since": None, "counted": 0,
        }  # fmt: skip
        await failed(site)
        pace = (await site.facts("/errors"))["pace"]
        assert (pace["count"], pace["since"], pace["counted"]) == (5, clock.time(), 5)
        assert "too many at a time since" in await site.page("/errors")


async def test_one_error_is_found_by_its_id_in_either_case(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=[fail], rate_limit=UNLIMITED) as site:
        error_id = await failed(site, "!fail value", "7")
        facts = await site.facts(f"/errors/{error_id.lower()}")
        record = facts["record"]
        assert (record["error_id"], record["subject"], record["command"]) == (error_id, "7", "fail")
        assert "ValueError: broken" in facts["traceback"]
        assert [step["name"] for step in facts["steps"]][-1] == "error_capture"
        page = await site.page(f"/errors/{error_id}")
        assert f'href="/traces/{record["trace_id"]}"' in page
        assert 'href="/abuse/local/user/7"' in page
        assert "in test_errors_page" not in page.partition("<pre")[0]
        assert "A fault in the code" in page
        group = await site.facts(f"/errors/{record['group_id']}")
        assert group["is_group"]
        assert group["record"]["error_id"] == error_id
        assert [each["error_id"] for each in group["occurrences"]] == [error_id]


async def test_who_only_looks_gets_neither_the_traceback_nor_a_button(make_site: MakeSite) -> None:
    async with make_site(commands=[fail], rate_limit=UNLIMITED) as site:
        error_id = await failed(site)
        token = await site.bot.access.add("looker", "viewer", "test")
        site.visitor.headers["Authorization"] = f"Bearer {token}"
        facts = (await site.visitor.get(f"/api/v1/errors/{error_id}")).json()
        assert (facts["traceback"], facts["record"]["traceback"]) == ("", "")
        assert facts["record"]["error_id"] == error_id
        page = (await site.visitor.get(f"/errors/{error_id}")).text
        assert "Tracebacks are shown to owners." in page
        assert "Traceback (most" not in page
        assert "resolve_group" not in page
        assert "resolve_group" in await site.page(f"/errors/{error_id}")


async def test_what_is_not_there_is_not_found_and_what_cannot_be_is_named(make_site: MakeSite) -> None:
    async with make_site() as site:
        for name in ("E-000000", "G-000000", "x", "%2e%2e%2f"):
            assert (await site.owner.get(f"/errors/{name}")).status_code == 404, name
            assert (await site.owner.get(f"/api/v1/errors/{name}")).status_code == 404, name
        for query in ("range=1y", "order=x", "page=-1", "page=x", "state=bad", "severity=1"):
            answer = await site.owner.get(f"/api/v1/errors?{query}")
            assert answer.status_code == 422, query
            assert query.partition("=")[0] in answer.text


@pytest.mark.promise("P38")
async def test_what_errors_say_is_shown_and_never_run(make_site: MakeSite) -> None:
    async with make_site(commands=[fail], rate_limit=UNLIMITED) as site:
        error_id = await failed(site, f'!fail value "{HOSTILE}"')
        for path in ("/errors", f"/errors/{error_id}"):
            page = await site.page(path)
            assert "<img" not in page
            assert "onerror" in page


async def test_pages_of_many_groups_are_bounded(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=[fail], rate_limit=UNLIMITED) as site:
        for number in range(45):
            clock.forward(10)
            await failed(site, f"!fail os {'abcdefghij'[number % 10]}{'klmnop'[number // 10]}")
        first = await site.facts("/errors")
        second = await site.facts("/errors?page=1")
        assert (len(first["groups"]), first["more"]) == (40, True)
        assert (len(second["groups"]), second["more"]) == (5, False)
        assert 'href="?page=1"' in await site.page("/errors")
        page = await site.owner.get("/errors")
        assert len(page.content) < 300_000


async def test_answers_lead_the_owner_to_the_page_and_a_stranger_nowhere(
    make_site: MakeSite, clock: FakeClock, notices: list[Reply]
) -> None:
    async with make_site(clock=clock, commands=[fail], rate_limit=UNLIMITED) as site:
        base = site.bot.links.base
        strange = await site.bot.dispatch(said("!fail"))
        assert strange.reply is not None
        assert base not in str(strange.reply)
        own = await site.bot.dispatch(owner_said("!fail"))
        assert own.reply is not None
        assert f"{base}/errors/{own.error_id}" in own.reply.text
        assert (await site.owner.get(own.reply.text.rpartition(" ")[2])).status_code == 200
        details = await owner(site, f"!error_details {own.error_id}")
        assert f"{base}/errors/{own.error_id}" in str(details)
        await site.bot.errors.check()
        assert f"{base}/errors/{strange.error_id}" in str(notices[0])


async def test_without_a_dashboard_nothing_leads_anywhere(make_site: MakeSite) -> None:
    async with make_site(commands=[fail]) as site:
        site.bot.links.base = ""
        own = await site.bot.dispatch(owner_said("!fail"))
        assert str(own.reply) == f"That failed. Quote `{own.error_id}` to the operator."
        assert "Page" not in [field.name for field in (await owner(site, f"!error_details {own.error_id}")).fields]
