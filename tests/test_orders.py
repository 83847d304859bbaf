"""All 120 orders of the five middleware: what holds in each of them, and what depends on the order."""

from itertools import permutations

import msgspec
import pytest

from socbot.config import Config, MiddlewareConfig, RateLimitConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.messages import Message
from socbot.dispatch.outcomes import Outcome
from socbot.testing import FakeClock, owner_said, said
from tests.conftest import MakeBot

FIVE = ("blacklist", "rate_limit", "profiler", "analytics", "error_capture")
ORDERS = list(permutations(FIVE))

reached: list[str] = []


@command("work", permission="public")
async def work(ctx: Context) -> str:
    """Does something."""
    reached.append(ctx.message.author.id)
    return "done"


@command("break", permission="public")
async def break_(ctx: Context) -> str:
    """Fails."""
    reached.append(ctx.message.author.id)
    raise ValueError("broken")


@pytest.mark.promise("P23")
@pytest.mark.promise("P53")
async def test_what_survives_any_order(make_bot: MakeBot, clock: FakeClock) -> None:
    limits = RateLimitConfig(cooldown=3.0, burst=10)
    async with make_bot(clock=clock, rate_limit=limits, commands=[work, break_]) as bot:
        await bot.dispatch(owner_said("!blacklist_add user 666 spam"))
        outcomes: list[Outcome] = []
        bot.dispatcher.observe(outcomes.append)
        for order in ORDERS:
            config = bot.config.middleware
            by_name = {entry.use: entry for entry in config}
            chain = tuple(by_name[name] for name in order)
            bot.pipeline.prepare(_with_middleware(bot.config, chain))()
            assert tuple(layer.name for layer in bot.pipeline.layers) == order
            await clock.advance(60.0)
            reached.clear()
            statuses = [
                (await bot.dispatch(message)).status
                for message in (
                    said("!work", "1"),
                    said("!work", "1"),  # within the cooldown
                    said("!break", "2"),
                    said("!work", "666"),  # listed
                    said("!work surplus", "3"),
                    said("!shutdown", "4"),  # not permitted
                )
            ]
            assert statuses == ["ok", "refused", "failed", "refused", "invalid", "refused"], order
            assert reached == ["1", "2"], order  # the listed user's command reached no handler
        assert len(outcomes) == 6 * len(ORDERS)  # exactly one outcome each
        usage = await bot.analytics.usage()
        tally = usage.tally
        ledger = {
            status: sum(outcome.status == status for outcome in outcomes)
            for status in ("ok", "refused", "failed", "invalid")
        }
        ledger["ok"] += 1  # blacklist_add, before the observer listened
        assert {"ok": tally.ok, "refused": tally.refused, "failed": tally.failed, "invalid": tally.invalid} == ledger


async def test_what_depends_on_the_order(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, commands=[work]) as bot:
        by_name = {entry.use: entry for entry in bot.config.middleware}

        async def steps_of(order: tuple[str, ...], *messages: Message) -> dict[str, str]:
            bot.pipeline.prepare(_with_middleware(bot.config, tuple(by_name[name] for name in order)))()
            await clock.advance(60.0)
            for message in messages:
                outcome = await bot.dispatch(message)
            assert outcome.trace is not None
            return {step.name: step.verdict for step in outcome.trace.steps}

        await bot.dispatch(owner_said("!blacklist_add user 666 spam"))
        usual = await steps_of(FIVE, said("!work", "666"))
        assert usual == dict.fromkeys(FIVE, "not reached") | {"blacklist": "refused"}

        # The limiter in front: a listed user's flood is refused by the limiter, and uses the limiter's memory.
        limited = await steps_of(("rate_limit", "blacklist", *FIVE[2:]), said("!work", "666"), said("!work", "666"))
        assert limited["rate_limit"] == "refused"
        assert limited["blacklist"] == "not reached"

        # The profiler in front: it measures the guards, and commands that never ran.
        profiled = await steps_of(("profiler", *FIVE[:2], *FIVE[3:]), said("!work", "666"))
        assert profiled["profiler"] == "passed"
        assert any("profiler" in finding.text for finding in bot.pipeline.findings)


def _with_middleware(config: Config, chain: tuple[MiddlewareConfig, ...]) -> Config:
    return msgspec.structs.replace(config, middleware=chain)
