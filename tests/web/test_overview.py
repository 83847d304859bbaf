"""The overview: what a glance tells, and what changed."""

import pytest

from socbot.config import AnalyticsConfig
from socbot.dispatch.context import Context
from socbot.dispatch.messages import Message, User
from socbot.testing import OWNER, FakeClock
from socbot.web.changes import LOOKING
from tests.web.conftest import MakeSite, Site


def owner_says(text: str) -> Message:
    return Message(text, User(OWNER[1]), OWNER[0], "ops", "guild")


async def say(site: Site, *texts: str) -> None:
    for text in texts:
        outcome = await site.bot.dispatch(owner_says(text))
        assert outcome.status in ("ok", "failed"), outcome


async def test_a_bot_that_has_done_nothing_says_what_to_do(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        page = await site.page("/")
        assert "No command in the last 24 hours." in page
        assert "The bot runs on the console alone." in page


async def test_commands_are_counted_as_the_store_has_them(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        await say(site, "!ping", "!ping", "!help")
        facts = await site.facts("/overview")
        assert facts["day"]["ok"] == 3
        assert [each["command"] for each in facts["commands"]] == ["ping", "help"]
        assert facts["p50"] == facts["p95"] == 0  # the clock in hand stood still
        assert sum(tally["ok"] for _, tally in facts["hours"]) == 3
        clock.forward(25 * 3600)
        later = await site.facts("/overview")
        assert (later["day"]["ok"], later["day_before"]["ok"]) == (0, 3)


async def test_what_changed_is_told_and_what_only_looked_is_not(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        await say(site, "!blacklist_add user 666 <b>spam</b>", "!blacklist", "!error_config")
        changes = (await site.facts("/overview"))["changes"]
        assert [change["title"] for change in changes] == ["blacklist_add", "token_add"]
        assert changes[0]["by"] == ":".join(OWNER)
        page = await site.page("/")
        assert "&lt;b&gt;spam" in page
        assert "<b>spam" not in page


async def test_what_wants_somebody_stands_first(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        await site.bot.health.ask()
        assert (await site.facts("/overview"))["troubles"] == []
        await say(site, "!pipeline_mode rate_limit shadow")
        assert (await site.facts("/overview"))["troubles"] == []  # which is somebody's choice
        await say(site, "!maintenance on", "!incident open high raid in #general")
        texts = [trouble["text"] for trouble in (await site.facts("/overview"))["troubles"]]
        assert any("raid in #general" in text for text in texts)
        assert any(text.startswith("Maintenance") for text in texts)
        assert "want somebody" in await site.page("/")


async def test_an_error_is_a_change_and_leads_to_its_page(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:

        @site.bot.dispatcher.command("broken", permission="public")
        async def broken(ctx: Context) -> None:
            """Fails."""
            raise ValueError("it broke")

        outcome = await site.bot.dispatch(Message("!broken", User("1"), "here", "c"))
        await site.bot.errors.flush()
        (change,) = [each for each in (await site.facts("/overview"))["changes"] if each["kind"] == "error"]
        assert change["title"] == "New error: ValueError in broken"
        record = await site.bot.errors.find(outcome.error_id or "")
        assert record is not None
        assert change["to"] == f"/errors/{record.group_id}"


@pytest.mark.parametrize("excluded", [(), ("ping",)])
async def test_what_analytics_leaves_out_is_not_shown(
    make_site: MakeSite, clock: FakeClock, excluded: tuple[str, ...]
) -> None:
    async with make_site(clock=clock, analytics=AnalyticsConfig(excluded_commands=excluded)) as site:
        await say(site, "!ping")
        assert (await site.facts("/overview"))["day"]["ok"] == 1 - len(excluded)


async def test_what_is_said_to_only_look_is_a_command(make_site: MakeSite) -> None:
    async with make_site() as site:
        names = {command.name for command in site.bot.dispatcher.registry}
        assert set(LOOKING) <= names
