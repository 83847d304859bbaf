import json
from pathlib import Path

import pytest

from socbot.config import StorageConfig
from socbot.dispatch.replies import Reply
from socbot.handlers.performance import took
from socbot.systems.exports import from_csv
from tests.observed import Observed, observed


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def storage(tmp_path: Path) -> StorageConfig:
    return StorageConfig(url=f"sqlite:///{tmp_path}/data/socbot.db")


async def some_runs(world: Observed) -> None:
    for milliseconds in (100, 200, 1_500):
        await world.say(f"!take {milliseconds}", "7")
    for _ in range(4):
        await world.say("!ping", "7")
    await world.say("!broken", "7")
    await world.say("!ping", "banned")


def fields(reply: Reply) -> dict[str, str]:
    return {field.name: field.value for field in reply.fields}


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_performance_names_the_slowest_and_the_most_used(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        assert "No run" in (await world.ask("!performance")).text
        await some_runs(world)
        told = fields(await world.ask("!performance"))
        assert told["slowest by mean"].splitlines()[0] == "`take` 600.0 ms, P95 1.50 s, Acceptable"
        assert told["most used"].splitlines()[0] == "`ping` 4 runs, mean 20.0 ms"
        assert told["P50"] == "19.9 ms"  # 20 ms, within half a percent
        assert told["in the chain itself"] == "0.5% of the time, 1.0 ms a run"
        assert told["event loop"] == "lag not measured"


async def test_a_profile_has_every_figure_and_part(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await some_runs(world)
        slow = await world.say("!take 3000", "7")
        reply = await world.ask("!profile_command take")
        told = fields(reply)
        assert [told[name] for name in ("count", "min", "mean", "max", "total", "rating")] == [
            "4", "100.0 ms", "1.20 s", "3.00 s", "4.80 s", "Slow",
        ]  # fmt: skip
        assert "door: mean 1.0 ms, P99 1.0 ms" in told["time in each part"]
        assert slow.trace is not None
        assert f"3.00 s `{slow.trace.id}` `7`" in told["slow runs"].splitlines()[0]
        assert reply.chart is not None
        assert reply.chart.series["mean"] == (1200.0,)
        assert fields(await world.ask("!profile_command ping"))["endings"] == "ok 4, refused 1"


async def test_a_command_without_runs_says_so(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await some_runs(world)
        assert "has not run yet" in str(await world.ask("!profile_command secret"))
        assert "did you mean `ping`?" in str(await world.ask("!profile_command pingg"))


@pytest.mark.parametrize(
    ("threshold", "items"), [("", 1), ("1.5", 1), ("1501ms", 0), ("100ms", 1), ("19ms", 3), ("2h", None)]
)
async def test_slow_commands_take_a_threshold(storage: StorageConfig, threshold: str, items: int | None) -> None:
    async with observed(storage) as world:
        await some_runs(world)
        outcome = await world.say(f"!slow_commands {threshold}", "1")
        if items is None:
            assert outcome.status == "invalid"
        else:
            assert outcome.reply is not None
            assert len(outcome.reply.items) == items
            assert not items or outcome.reply.items[0].startswith("`take`")


async def test_the_export_has_every_part(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await some_runs(world)
        (file,) = (await world.ask("!performance_export")).files
        rows = json.loads(file.content)["profile"]
        assert {row["part"] for row in rows} == {"door", "profiler", "analytics", "command", "handler"}
        (file,) = (await world.ask("!performance_export --csv")).files
        header, table = from_csv(file.content)
        assert header[:5] == ("hour", "command", "part", "status", "count")
        assert len(list(table)) >= len(rows)


async def test_a_profile_is_reset_after_a_yes(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await some_runs(world)
        reply = await world.confirm("!reset_profile take")
        assert reply.text == "The times of `take` are forgotten: 3 runs, 1 slow run."
        assert fields(await world.ask("!performance"))["most used"].splitlines()[0].startswith("`ping`")
        assert (await world.say("!reset_profile nothing", "1")).status == "invalid"


async def test_two_commands_are_compared_with_ratios(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await some_runs(world)
        told = fields(await world.ask("!performance_compare ping take"))
        assert told["runs"] == "4 and 3 (0.75 times)"
        assert told["mean"] == "20.0 ms and 600.0 ms (30.00 times)"
        assert told["rating"] == "Excellent and Acceptable"
        assert "has not run yet" in (await world.ask("!performance_compare ping secret")).text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0 µs"), (0.0000123, "12 µs"), (0.0123, "12.3 ms"), (12.3, "12.30 s")]
)
def test_times_are_told_with_their_unit(seconds: float, text: str) -> None:
    assert took(seconds) == text


@pytest.mark.parametrize(
    ("asked", "page"),
    [
        ("!performance", "performance"),
        ("!profile_command take", "commands/take"),
        ("!slow_commands 0.001", "performance"),
        ("!performance_compare take ping", "performance"),
        ("!analytics", "commands"),
        ("!command_stats take", "commands/take"),
        ("!user_stats local:4/2", "abuse/local/user/4%2F2"),
        ("!guild_stats", "abuse/local/guild/g1"),
        ("!analytics_heatmap", "commands"),
        ("!top_errors", "errors"),
    ],
)
async def test_an_answer_leads_to_its_page_where_a_dashboard_is_served(
    storage: StorageConfig, asked: str, page: str
) -> None:
    async with observed(storage) as world:
        for text in ("!take 100", "!ping", "!broken"):
            await world.say(text)
        assert "Page" not in {field.name for field in (await world.ask(asked)).fields}
        world.links.base = "https://ops.example"
        fields = {field.name: field.value for field in (await world.ask(asked)).fields}
        assert fields["Page"] == f"https://ops.example/{page}"
