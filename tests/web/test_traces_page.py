"""The last commands, and the way that one took."""

import pytest

from socbot.config import MiddlewareConfig
from socbot.testing import FakeClock
from tests.web.conftest import MakeSite
from tests.web.given import HOSTILE, commands_on, give, trace_of


async def test_what_was_given_is_listed_newest_first(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=commands_on(clock)) as site:
        assert "No command has been given yet" in await site.page("/traces")
        good = await give(site, clock, "!take 250", "7")
        bad = await give(site, clock, "!broken", "8", guild=None)
        facts = await site.facts("/traces")
        assert [each["trace_id"] for each in facts["traces"]] == [trace_of(bad), trace_of(good)]
        newest, oldest = facts["traces"]
        assert (newest["status"], newest["error_id"], newest["guild"]) == ("failed", bad.error_id, "")
        assert (oldest["command"], oldest["subject"], oldest["seconds"]) == ("take", "7", pytest.approx(0.25))
        page = await site.page("/traces")
        for address in (f"traces/{trace_of(good)}", f"errors/{bad.error_id}", "commands/take", "abuse/local/user/7"):
            assert f'href="/{address}"' in page
        assert "250 ms" in page
        assert "2 commands: 1 failed, 1 went well." in page


async def test_they_can_be_asked_for_by_how_they_ended_what_and_who(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=commands_on(clock)) as site:
        taken = trace_of(await give(site, clock, "!take 1", "7"))
        broken = trace_of(await give(site, clock, "!broken", "7"))
        refused = trace_of(await give(site, clock, "!shutdown", "8"))

        async def found(asked: str) -> list[str]:
            return [each["trace_id"] for each in (await site.facts(f"/traces?{asked}"))["traces"]]

        assert await found("status=failed") == [broken]
        assert await found("command=TAKES") == [taken]
        assert await found("middleware=permission") == [refused]
        assert await found("person=local:7") == [broken, taken]
        assert await found("person=local:7&status=ok") == [taken]
        assert await found("seconds=0.04") == [broken]
        assert await found("status=invalid") == []
        page = await site.page("/traces?status=&command=&middleware=permission&person=")
        assert refused in page
        assert f">{taken}<" not in page
        assert "No command that is still kept fits" in await site.page("/traces?status=invalid")


async def test_older_ones_are_a_page_further(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=commands_on(clock)) as site:
        first = trace_of(await give(site, clock, "!take 1", "7"))
        for _ in range(50):
            await give(site, clock, "!take 1", "7")
        facts = await site.facts("/traces?command=take")
        assert len(facts["traces"]) == 50
        page = await site.page("/traces?command=take")
        assert f">{first}<" not in page
        assert f"command=take&amp;before={facts['older']}" in page
        older = await site.facts(f"/traces?command=take&before={facts['older']}")
        assert ([each["trace_id"] for each in older["traces"]], older["older"]) == ([first], "")


async def test_what_cannot_be_asked_for_is_named(make_site: MakeSite) -> None:
    async with make_site() as site:
        for asked in ("status=good", "person=7", "before=x", "command=" + "x" * 65):
            answer = await site.owner.get(f"/api/v1/traces?{asked}")
            assert answer.status_code == 422
            assert asked.partition("=")[0] in answer.json()["detail"]
            assert (await site.owner.get(f"/traces?{asked}")).status_code == 422


async def test_one_is_shown_as_it_went(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=commands_on(clock)) as site:
        taken = await give(site, clock, "!take 250", "7")
        facts = await site.facts(f"/traces/{trace_of(taken).lower()}")
        assert [step["name"] for step in facts["steps"]] == [layer.name for layer in site.bot.pipeline.layers]
        assert {step["verdict"] for step in facts["steps"]} == {"passed"}
        assert (facts["handler_seconds"], facts["seconds"]) == (pytest.approx(0.25), pytest.approx(0.25))
        page = await site.page(f"/traces/{trace_of(taken)}")
        assert "It went all the way and took 250 ms." in page
        assert "handler 250.0 ms</text>" in page  # drawn, as !why draws it
        assert "/commands/take" in page


async def test_one_is_found_by_its_error_and_leads_to_it(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=commands_on(clock)) as site:
        broken = await give(site, clock, "!broken")
        assert broken.error_id is not None
        assert (await site.facts(f"/traces/{broken.error_id}"))["trace_id"] == trace_of(broken)
        page = await site.page(f"/traces/{trace_of(broken)}")
        assert f'href="/errors/{broken.error_id}"' in page
        assert "It failed with KeyError after 50 ms." in page


async def test_a_refusal_says_who_and_why(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=commands_on(clock)) as site:
        page = await site.page(f"/traces/{trace_of(await give(site, clock, '!shutdown', '8'))}")
        assert "Refused by permission: the owner only." in page


async def test_what_a_middleware_in_shadow_mode_would_have_done_is_told(make_site: MakeSite, clock: FakeClock) -> None:
    chain = (MiddlewareConfig("blacklist", mode="shadow"), MiddlewareConfig("rate_limit"))
    async with make_site(clock=clock, commands=commands_on(clock), middleware=chain) as site:
        await site.bot.blacklist.add("user", ("local", "8"), reason=HOSTILE, by="test")
        would = await give(site, clock, "!take 1", "8")
        assert would.status == "ok"
        (listed,) = (await site.facts("/traces?middleware=blacklist"))["traces"]
        assert listed["trace_id"] == trace_of(would)
        page = await site.page(f"/traces/{trace_of(would)}")
        assert "would refuse" in page
        assert "blacklist (shadow)" in page
        assert "<script>alert" not in page


async def test_what_is_not_there_is_said_to_be_not_there(make_site: MakeSite) -> None:
    async with make_site() as site:
        for path in ("/traces/T-NONE", "/traces/%22%3E%3Cscript%3E", "/traces/' OR 1=1 --"):
            answer = await site.owner.get(path)
            assert answer.status_code == 404
            assert "There is no trace" in answer.text
            assert "<script>" not in answer.text.replace("<script src=", "")
            assert (await site.owner.get("/api/v1" + path)).status_code == 404


async def test_hostile_words_are_shown_and_nothing_more(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=commands_on(clock)) as site:
        outcome = await give(site, clock, f"!take {HOSTILE}", HOSTILE, guild=HOSTILE)
        asked = "person=local:%3Cscript%3E&command=%3Cscript%3E&middleware=%3Cscript%3E"
        for path in ("/traces", f"/traces/{trace_of(outcome)}", f"/traces?{asked}"):
            page = await site.page(path)
            assert "&lt;script&gt;" in page
            assert "<script>" not in page
