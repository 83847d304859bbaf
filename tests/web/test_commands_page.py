"""What is used, when and how it ends; and one command by itself."""

from datetime import UTC, datetime

from socbot.config import RateLimitConfig
from socbot.testing import FakeClock
from tests.web.conftest import MakeSite
from tests.web.given import DAY, HOSTILE, commands_on, give, trace_of


async def test_what_was_used_is_counted_and_compared(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=commands_on(clock)) as site:
        assert "No command was given in the last 7 days." in await site.page("/commands")
        for author in "78":
            await give(site, clock, "!take 1", author)
        clock.forward(8 * DAY)
        for text, author in (("!take 1", "7"), ("!take x", "7"), ("!broken", "8"), ("!shutdown", "9"), ("!nope", "9")):
            await give(site, clock, text, author)
        facts = await site.facts("/commands")
        assert facts["tally"] == {"ok": 1, "failed": 1, "refused": 1, "invalid": 1, "unknown": 1}
        assert (facts["before"]["ok"], facts["people"], facts["names"]) == (2, 3, 3)
        take = facts["used"][0]
        assert (take["command"], take["uses"], take["ok"], take["invalid"]) == ("take", 2, 1, 1)
        assert {"ping", "health"} <= set(facts["unused"])
        assert not {"take", "broken", "shutdown"} & set(facts["unused"])
        assert sum(tally["ok"] for _, tally in facts["steps"]) == 1
        page = await site.page("/commands")
        assert "4 commands in the last 7 days, by 3 people; 50% of those that ran failed." in page
        assert "+100% against the 7 days before" in page
        assert 'href="/commands/broken"' in page
        assert (await site.facts("/commands?days=30"))["tally"]["ok"] == 3
        assert (await site.facts("/commands?days=1"))["before"]["ok"] == 0


async def test_the_week_is_told_in_the_reader_s_zone(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=commands_on(clock)) as site:
        await give(site, clock, "!take 1")
        at = datetime.fromtimestamp(clock.time(), UTC)
        counts = (await site.facts("/commands"))["heatmap"]["counts"]
        assert counts[at.weekday()][at.hour] == 1
        assert sum(map(sum, counts)) == 1
        assert "Hours in UTC." in await site.page("/commands")


async def test_other_spans_are_refused(make_site: MakeSite) -> None:
    async with make_site() as site:
        for asked in ("days=2", "days=x", "days=-1"):
            answer = await site.owner.get(f"/api/v1/commands?{asked}")
            assert answer.status_code == 422
            assert "days" in answer.json()["detail"]


async def test_one_command_tells_what_it_is_and_how_it_goes(make_site: MakeSite, clock: FakeClock) -> None:
    limits = RateLimitConfig(cooldowns={"take": 90.0})
    async with make_site(clock=clock, commands=commands_on(clock), rate_limit=limits) as site:
        taken = trace_of(await give(site, clock, "!take 100", "7"))
        clock.forward(60)
        await give(site, clock, "!take 300", "7")
        await give(site, clock, "!take 1", "7")
        facts = await site.facts("/commands/TAKES")
        about = facts["about"]
        assert (facts["name"], about["description"], about["permission"]) == ("take", "Take some time.", "public")
        assert (about["aliases"], about["cooldown"], about["group"]) == (["takes"], 90.0, "work")
        assert (facts["usage"]["uses"], facts["usage"]["refused"], facts["people"]) == (3, 1, 1)
        assert facts["times"]["runs"] == 2
        assert 0.198 <= facts["times"]["mean"] <= 0.202
        assert (facts["parts"][0]["name"], facts["parts"][0]["share"]) == ("handler", 1.0)
        assert sum(each["count"] for each in facts["course"]) == 2
        assert facts["top"] == [{"platform": "local", "subject": "7", "commands": 3}]
        assert len(facts["recent"]) == 3
        page = await site.page("/commands/take")
        assert "Take some time." in page
        assert "1m 30s" in page
        assert f'href="/traces/{taken}"' in page


async def test_its_failures_are_led_to(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=commands_on(clock)) as site:
        broken = await give(site, clock, "!broken")
        for _ in range(25):
            await give(site, clock, "!broken nonsense")
        facts = await site.facts("/commands/broken")
        assert [each["error_id"] for each in facts["failed"]] == [broken.error_id]
        assert facts["usage"]["error_rate"] == 1.0
        assert f'href="/errors/{broken.error_id}"' in await site.page("/commands/broken")


async def test_a_command_that_is_gone_keeps_what_is_known_of_it(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, commands=commands_on(clock)) as site:
        await give(site, clock, "!take 1")
    async with make_site(clock=clock) as site:
        assert "There is no such command any more" in await site.page("/commands/take")
        assert (await site.facts("/commands/take"))["about"] is None
        for name in ("nosuch", "%22%3E%3Cscript%3E", "..%2f..%2fetc"):
            answer = await site.owner.get(f"/commands/{name}")
            assert answer.status_code == 404
            assert "<script>" not in answer.text


async def test_a_command_that_nobody_used_says_so(make_site: MakeSite) -> None:
    async with make_site() as site:
        page = await site.page("/commands/backup_now")
        assert "not used yet" in page
        assert "No run was measured yet." in page
        assert HOSTILE not in page
