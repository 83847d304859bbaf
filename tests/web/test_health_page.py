"""The page of health: whether everything does its work, since when it does not, and what has been."""

import pytest

from socbot.bot import Bot
from socbot.config import HealthConfig, Threshold
from socbot.dispatch.replies import Reply
from socbot.systems.health import Check, Measured
from socbot.testing import FakeClock, owner_said
from tests.web.conftest import MakeSite

OTHERS = (
    "audit", "backup", "canary", "cpu", "database", "dead_mans_switch", "disk", "event_loop", "jobs", "machine_cpu",
    "memory", "telemetry", "transport", "wal", "webhooks",
)  # fmt: skip
QUIET = HealthConfig(off=OTHERS)


class Gauge:
    """A check whose figure is in hand."""

    def __init__(self, bot: Bot, text: str = "") -> None:
        self.figure, self.text = 0.0, text
        bot.health.add(Check("gauge", self.measure, "%", Threshold(50, 80)))

    async def measure(self) -> Measured:
        return Measured(self.figure, self.text)


async def test_before_the_first_round_it_says_when_that_is(make_site: MakeSite) -> None:
    async with make_site() as site:
        assert "Nothing has been checked yet; the first round is made within 5m" in await site.page("/health")
        assert (await site.facts("/health"))["checked_at"] is None
        answer = await site.owner.get("/api/v1/health?range=1y")
        assert answer.status_code == 422
        assert "range" in answer.text


async def test_trouble_is_told_in_words_with_its_beginning_and_end(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, health=QUIET) as site:
        gauge = Gauge(site.bot)

        async def rounds(figure: float, count: int) -> None:
            gauge.figure = figure
            for _ in range(count):
                clock.forward(300)
                await site.bot.health.check()

        await rounds(10, 12)
        assert "Everything does its work." in await site.page("/health")
        await rounds(90, 1)
        check = (await site.facts("/health"))["checks"][0]
        assert (check["status"], check["settled"], check["agreeing"]) == ("unhealthy", "healthy", [1, 2])
        assert "counts as healthy;<br>1 of 2 rounds agree" in await site.page("/health")
        began = clock.time()
        await rounds(90, 11)
        facts = await site.facts("/health")
        assert [(each["check"], each["started_at"], each["ended_at"]) for each in facts["lasting"]] == [
            ("gauge", began, None)
        ]
        assert "gauge has been unhealthy for 55m" in await site.page("/health")
        check = facts["checks"][0]
        assert check["name"] == "gauge"  # the worst comes first
        assert check["threshold"] == {"degraded": 50, "unhealthy": 80}
        assert (check["share"], check["since"]) == (0.5, began)
        assert (facts["rounds"], facts["well"]) == (24, 12)
        seen = [(part["status"], part["rounds"], part["healthy"]) for part in check["parts"] if part["rounds"]]
        assert seen == [("healthy", 5, 5), ("healthy", 6, 6), ("unhealthy", 6, 1), ("unhealthy", 7, 0)]
        figures = [part["figure"] for part in check["parts"] if part["rounds"]]
        assert figures == pytest.approx([10, 10, (10 + 5 * 90) / 6, 90])
        await rounds(10, 6)
        facts = await site.facts("/health")
        assert facts["lasting"] == []
        assert facts["episodes"][0]["ended_at"] - began == 12 * 300
        page = await site.page("/health")
        assert "Everything does its work." in page
        assert 'class="strip-bad"' in page
        clock.forward(2 * 86_400)
        await rounds(10, 1)
        assert (await site.facts("/health"))["rounds"] == 1
        assert (await site.facts("/health"))["episodes"] == []
        assert (await site.facts("/health?range=7d"))["rounds"] == 31
        assert len((await site.facts("/health?range=30d"))["episodes"]) == 1


async def test_the_loop_that_stood_still_is_named(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        site.bot.health.note_stall("/srv/weather.py:41 in fetch", "stack")
        assert (await site.facts("/health"))["stalls"] == [{"at": clock.time(), "where": "/srv/weather.py:41 in fetch"}]
        assert "/srv/weather.py:41 in fetch" in await site.page("/health")


async def test_live_and_ready_are_there_with_their_facts(make_site: MakeSite) -> None:
    async with make_site() as site:
        facts = await site.facts("/health")
        assert facts["live"]["ok"]
        assert (facts["ready"]["ok"], facts["ready"]["facts"][1]["text"]) == (False, "not made yet")
        await site.bot.health.ask()
        assert (await site.facts("/health"))["ready"]["ok"]


async def test_the_dead_mans_switch_is_told_without_its_address(make_site: MakeSite) -> None:
    health = HealthConfig(dead_mans_switch="https://hc.example/ping/s3cret")
    async with make_site(health=health) as site:
        site.bot.health.switch.failing = "NotAnswered: it answered 500"
        facts = await site.facts("/health")
        assert facts["switch"] == {"is_set": True, "called_at": None, "failing": "NotAnswered: it answered 500"}
        assert "s3cret" not in await site.page("/health")


@pytest.mark.promise("P38")
async def test_what_a_check_says_is_shown_and_never_run(make_site: MakeSite) -> None:
    async with make_site(health=QUIET) as site:
        Gauge(site.bot, "<img src=x onerror=alert(1)>").figure = 99
        await site.bot.health.check()
        page = await site.page("/health")
        assert "onerror" in page
        assert "<img" not in page


async def test_answers_and_notices_lead_to_the_page(
    make_site: MakeSite, clock: FakeClock, notices: list[Reply]
) -> None:
    async with make_site(clock=clock, health=QUIET) as site:
        gauge = Gauge(site.bot)
        outcome = await site.bot.dispatch(owner_said("!health"))
        assert f"{site.bot.links.base}/health" in str(outcome.reply)
        for gauge.figure in (99, 99, 99):
            clock.forward(300)
            await site.bot.health.check()
        assert f"{site.bot.links.base}/health" in str(notices[0])
