"""The chain's own commands."""

from collections.abc import Callable
from typing import Any

import pytest

from socbot.config import StorageConfig
from socbot.dispatch.chain import Layer, Placement
from socbot.dispatch.context import Context, Handler
from socbot.dispatch.messages import Message
from socbot.dispatch.replies import Chart, Reply
from socbot.handlers.pipeline import way
from socbot.testing import FakeClock, owner_said, said
from tests.conftest import MakeBot
from tests.observed import observed
from tests.systems.test_traces import found, trace_id


def rows(chart: Chart) -> dict[str, dict[str, Any]]:
    """What of each row is not nothing, by the row's name."""
    return {
        label.partition(" ")[0].rstrip(":"): {
            name: pytest.approx(values[place]) for name, values in chart.series.items() if values[place]
        }
        for place, label in enumerate(chart.labels)
    }


async def test_the_way_of_a_command_is_drawn_as_it_went(storage: StorageConfig, clock: FakeClock) -> None:
    async def slow(ctx: Context, call_next: Handler) -> Reply | None:
        clock.forward(0.002)
        try:
            return await call_next(ctx)
        finally:
            clock.forward(0.003)

    async def closed(ctx: Context, call_next: Handler) -> Reply | None:
        clock.forward(0.001)
        return await call_next(ctx)

    chain = [Layer("slow", slow, Placement("observer")), Layer("gate", closed)]
    async with observed(storage, clock=clock, chain=chain) as world:
        chart = way(await found(world, trace_id(await world.say("!take 10"))))
        assert (chart.kind, chart.unit) == ("spans", "ms")
        assert chart.labels == ("slow 5.0 ms", "gate 1.0 ms", "handler 10.0 ms")
        assert rows(chart) == {
            "slow": {"before it passed on": 2.0, "inside": 11.0, "after": 3.0},
            "gate": {"begins": 2.0, "before it passed on": 1.0, "inside": 10.0},
            "handler": {"begins": 3.0, "handler": 10.0},
        }


async def test_who_said_no_stands_out_and_who_was_not_reached_is_named(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        chart = way(await found(world, trace_id(await world.say("!ping", "banned"))))
        assert rows(chart) == {"door": {"said no or broke": 1.0}, "profiler": {}, "analytics": {}}
        assert chart.labels[1:] == ("profiler: not reached", "analytics: not reached")


async def test_why_shows_the_way_and_leads_the_owner_to_its_page(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        asked = trace_id(await bot.dispatch(said("!ping", "7")))

        async def why(message_of: Callable[[str], Message]) -> Reply:
            outcome = await bot.dispatch(message_of(f"!why {asked}"))
            assert outcome.reply is not None
            return outcome.reply

        reply = await why(owner_said)
        assert reply.chart is not None
        names = [label.split()[0] for label in reply.chart.labels]
        assert names == [*(each.name for each in bot.pipeline.layers), "handler"]
        assert "Page" not in {field.name for field in reply.fields}  # no dashboard is served
        bot.links.base = "http://127.0.0.1:8787"
        assert f"http://127.0.0.1:8787/traces/{asked}" in str(await why(owner_said))
        clock.forward(60)
        theirs = await why(lambda text: said(text, "7"))
        assert asked in theirs.title
        assert "127.0.0.1" not in str(theirs)
