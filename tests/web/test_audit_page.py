"""The page of the audit trail: who did what, and whether it is as it was written."""

import pytest

from socbot.storage.connection import Connection
from socbot.testing import FakeClock, owner_said, said
from tests.web.conftest import MakeSite


async def test_who_did_what_can_be_found_and_leads_to_its_trace(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        await site.bot.dispatch(owner_said("!blacklist_add user 77 <b>spam</b>"))
        denied = await site.bot.dispatch(said("!shutdown", "66"))
        page = await site.page("/audit")
        assert "&lt;b&gt;spam&lt;/b&gt;" in page
        assert denied.trace is not None
        assert f'href="/traces/{denied.trace.id}"' in page
        [record] = (await site.facts("/audit?who=local:66"))["records"]
        assert (record["action"], record["result"], record["trace_id"]) == ("shutdown", "denied", denied.trace.id)
        assert [e["what"] for e in (await site.facts("/audit?action=blacklist_add"))["records"]] == [
            "user 77 <b>spam</b>"
        ]
        assert {e["result"] for e in (await site.facts("/audit?result=ok"))["records"]} == {"ok"}
        assert "No record fits" in await site.page("/audit?who=nobody%25")


async def test_it_goes_on_where_the_page_ends_with_the_same_filter(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        for number in range(120):
            site.bot.audit.remember("odd" if number % 2 else "even", str(number))
        first = await site.facts("/audit?action=odd")
        assert [each["what"] for each in first["records"]] == [str(n) for n in range(119, 19, -2)]
        rest = await site.facts(f"/audit?action=odd&before={first['older']}")
        assert [each["what"] for each in rest["records"]] == [str(n) for n in range(19, 0, -2)]
        assert rest["older"] is None
        assert f"?action=odd&amp;before={first['older']}" in await site.page("/audit?action=odd")


async def test_a_record_that_was_changed_is_found_and_said(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        for number in range(5):
            await site.bot.audit.record("act", str(number))
        facts = await site.facts("/audit")
        assert (facts["inspection"]["flaw"], facts["inspection"]["done"]) == ("", True)
        assert facts["head"]["hash"] in await site.page("/audit")
        assert "The chain holds" in await site.page("/audit")

        def change(connection: Connection) -> None:
            connection.change("UPDATE audit SET who = 'somebody else' WHERE what = '2' AND action = 'act'")

        await site.bot.database.write(change)
        assert "The chain holds" in await site.page("/audit")  # it is not verified again for a minute
        clock.forward(61)
        assert "is not as it was written" in await site.page("/audit")


@pytest.mark.parametrize(("query", "told"), [("before=0", "before"), ("result=odd", "result"), ("verify=x", "verify")])
async def test_what_is_no_question_is_said(make_site: MakeSite, query: str, told: str) -> None:
    async with make_site() as site:
        answer = await site.owner.get(f"/audit?{query}")
        assert answer.status_code == 422
        assert told in answer.text
