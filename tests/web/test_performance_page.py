"""How long commands take, and which got slower."""

import pytest

from socbot.testing import FakeClock
from tests.web.conftest import MakeSite, Site
from tests.web.given import DAY, commands_on, give, trace_of


async def many(site: Site, clock: FakeClock, milliseconds: int, count: int = 20) -> None:
    for number in range(count):
        await give(site, clock, f"!take {milliseconds}", str(number))


async def test_a_command_that_got_slower_stands_out(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=commands_on(clock)) as site:
        assert "No run was measured in the last 7 days." in await site.page("/performance")
        await many(site, clock, 100)
        clock.forward(7 * DAY)
        await many(site, clock, 200)
        facts = await site.facts("/performance")
        (slower,) = facts["slower"]
        assert (slower["command"], slower["runs"]) == ("take", 20)
        assert (slower["before"], slower["p95"]) == (pytest.approx(0.1, rel=0.01), pytest.approx(0.2, rel=0.01))
        assert facts["faster"] == []
        assert (facts["times"]["count"], facts["before"]["count"]) == (20, 20)
        page = await site.page("/performance")
        assert "take got slower." in page
        assert "P95 100 ms → 200 ms" in page
        clock.forward(7 * DAY)
        await many(site, clock, 50)
        facts = await site.facts("/performance")
        assert (facts["slower"], [each["command"] for each in facts["faster"]]) == ([], ["take"])


async def test_too_few_runs_and_differences_too_small_are_not_compared(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=commands_on(clock)) as site:
        await many(site, clock, 100, 19)
        clock.forward(7 * DAY)
        await many(site, clock, 200)
        facts = await site.facts("/performance")
        assert facts["slower"] == []
        assert facts["speeds"][0]["before"] is None
        clock.forward(7 * DAY)
        await many(site, clock, 240)
        facts = await site.facts("/performance")
        assert facts["slower"] == []
        assert facts["speeds"][0]["before"] == pytest.approx(0.2, rel=0.01)


async def test_commands_are_ranked_by_what_they_take_in_all(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=commands_on(clock)) as site:
        slow = trace_of(await give(site, clock, "!take 1500", "7"))
        await give(site, clock, "!broken", "8")
        facts = await site.facts("/performance?days=1")
        first, second = facts["speeds"]
        assert (first["command"], first["rating"], first["total"]) == ("take", "Slow", pytest.approx(1.5))
        assert (second["command"], second["rating"], second["runs"]) == ("broken", "Excellent", 1)
        assert (facts["times"]["count"], facts["times"]["total"]) == (2, pytest.approx(1.55))
        assert facts["before"] is None
        assert [(run["command"], run["trace_id"]) for run in facts["slow"]] == [("take", slow)]
        assert facts["parts"][0]["name"] == "handler"
        assert facts["parts"][0]["share"] == pytest.approx(1.0)
        assert {part["name"] for part in facts["parts"]} == {
            "handler",
            *(each.name for each in site.bot.pipeline.layers),
        }
        page = await site.page("/performance?days=1")
        assert f'href="/traces/{slow}"' in page
        assert page.index('href="/commands/take"') < page.index('href="/commands/broken"')
        assert (await site.owner.get("/api/v1/performance?days=2")).status_code == 422
