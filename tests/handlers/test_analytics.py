import json
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from socbot.config import StorageConfig
from socbot.dispatch.replies import Reply
from socbot.systems.exports import from_csv
from socbot.testing import FakeClock
from tests.observed import Observed, observed

MONDAY_NOON = 1_700_481_600.0  # 2023-11-20 12:00 UTC


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def storage(tmp_path: Path) -> StorageConfig:
    return StorageConfig(url=f"sqlite:///{tmp_path}/data/socbot.db")


async def a_mixed_day(world: Observed) -> None:
    for _ in range(3):
        await world.say("!ping", "7")
    await world.say("!broken", "8")
    await world.say("!ping", "banned")
    await world.say("!nonsense", "8")


def fields(reply: Reply) -> dict[str, str]:
    return {field.name: field.value for field in reply.fields}


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_analytics_tells_what_the_bot_was_used_for(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await a_mixed_day(world)
        reply = await world.ask("!analytics")
        told = fields(reply)
        assert (told["commands"], told["errors"], told["error rate"], told["refused"]) == ("5", "1", "25.0%", "1")
        assert told["top commands"].splitlines()[0] == "1. `ping` 4"
        assert told["top users"].splitlines()[0] == "1. `7` 3"
        assert told["tracking since"] == "<t:1700000000>"
        assert reply.chart is not None
        assert len(reply.chart.labels) == 24
        assert reply.chart.series == {"commands": (*[0.0] * 23, 5.0)}


async def test_analytics_before_the_first_command_is_all_zero(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        told = fields(await world.ask("!analytics 7"))
        assert (told["commands"], told["tracking since"], told["top users"]) == ("0", "nothing counted yet", "none")


async def test_a_command_is_found_by_any_of_its_spellings(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await a_mixed_day(world)
        for name in ("ping", "PING", "!ping"):
            reply = await world.ask(f"!command_stats {name}")
            told = fields(reply)
            assert (reply.title, told["uses"], told["refused"], told["unique users"]) == ("ping", "4", "1", "2")
        assert "has not been used yet" in str(await world.ask("!command_stats take"))
        assert "did you mean `ping`?" in str(await world.ask("!command_stats pinng"))


async def test_user_stats_are_ones_own_without_a_user(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await a_mixed_day(world)
        told = fields(await world.ask("!user_stats <@7>"))
        assert (told["commands"], told["unique commands"], told["rank"]) == ("3", "1", "1 of 3")
        assert told["favourites"] == "1. `ping` 3"
        own = await world.ask("!user_stats")
        assert (own.title, fields(own)["favourites"]) == ("User 1", "1. `user_stats` 1")


async def test_guild_stats_need_a_guild(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await a_mixed_day(world)
        assert fields(await world.ask("!guild_stats"))["commands"] == "5"
        assert fields(await world.ask("!guild_stats elsewhere"))["commands"] == "0"
        reply = await world.ask("!guild_stats", guild=None)
        assert reply.tone == "warn"
        assert "direct message" in reply.text
        assert fields(await world.ask("!guild_stats g1", guild=None))["commands"] == "7"


async def test_the_heatmap_names_the_busiest_hour_and_the_zone(storage: StorageConfig) -> None:
    async with observed(storage, clock=FakeClock(MONDAY_NOON), zone=ZoneInfo("Asia/Tokyo")) as world:
        assert "No command" in (await world.ask("!analytics_heatmap")).text
        await a_mixed_day(world)
        reply = await world.ask("!analytics_heatmap 7")
        assert reply.text == "Busiest: Monday 21:00–22:00 with 6 commands. Times are in Asia/Tokyo (JST)."
        assert reply.chart is not None
        assert reply.chart.series["Monday"][21] == 6.0


async def test_the_export_is_the_whole_of_it_in_private(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await a_mixed_day(world)
        reply = await world.ask("!export_analytics")
        (file,) = reply.files
        assert reply.private
        assert file.name == "analytics_export_20231114_221320.json"
        document = json.loads(file.content)
        assert (document["total_commands"], document["total_errors"]) == (5, 1)
        assert sum(row["count"] for row in document["usage"]) == 6
        (file,) = (await world.ask("!export_analytics 30 --csv")).files
        header, rows = from_csv(file.content)
        assert file.name.endswith(".csv")
        assert sum(int(row[header.index("count")]) for row in rows) == 7


@pytest.mark.promise("P22")
async def test_a_hostile_id_is_no_formula_in_the_export(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await world.say("!ping", "=HYPERLINK(1)", guild="+1")
        (file,) = (await world.ask("!export_analytics --csv")).files
        assert b'"\'=HYPERLINK(1)"' in file.content
        assert b'"\'+1"' in file.content


async def test_a_reset_asks_first_and_hands_over_everything(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await a_mixed_day(world)
        reply = await world.confirm("!reset_analytics")
        (file,) = reply.files
        assert file.name.startswith("analytics_backup_")
        assert sum(row["count"] for row in json.loads(file.content)["usage"]) == 7  # with the question itself
        assert (await world.analytics.usage()).tally.commands == 1  # the answer was counted after the reset


async def test_top_errors_rank_commands_by_rate(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        assert "No command has failed" in (await world.ask("!top_errors")).text
        await a_mixed_day(world)
        assert (await world.ask("!top_errors 5")).items == ("`broken` 100.0%: 1 of 1 attempt",)


async def test_a_user_is_forgotten_after_a_yes_and_told_where(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await a_mixed_day(world)
        reply = await world.confirm("!forget_user 7")
        assert reply.items == ("commands counted: 1 erased", "traces: 3 erased")
        assert (await world.analytics.of_user(("local", "7"))).tally.commands == 0
        assert "Nothing was stored" in (await world.confirm("!forget_user 7")).text


@pytest.mark.parametrize(
    "text",
    [
        "!analytics 0", "!analytics 9999", "!analytics many", "!analytics_heatmap -1", "!top_errors 101",
        "!command_stats", "!command_stats `@everyone`", "!command_stats " + "x" * 65, "!user_stats <@everyone>",
        "!export_analytics --xml", "!forget_user", "!guild_stats a b",
    ],
)  # fmt: skip
async def test_a_wrong_argument_is_answered_and_does_nothing(storage: StorageConfig, text: str) -> None:
    async with observed(storage) as world:
        outcome = await world.say(text, "1")
        assert outcome.status == "invalid"
        assert "@everyone" not in str(outcome.reply)


async def test_hostile_ids_cannot_break_out_of_an_answer(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await world.say("!ping", "`@everyone\n# big")
        told = fields(await world.ask("!analytics"))["top users"]
        assert "@everyone" not in told
        assert len(told.splitlines()) == 1


async def test_nobody_but_the_owner_may_ask(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        for name in ("analytics", "command_stats ping", "user_stats", "export_analytics", "forget_user 1"):
            outcome = await world.say(f"!{name}", "7", admin=True)
            assert (outcome.status, outcome.refused_by) == ("refused", "permission")
