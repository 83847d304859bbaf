"""Answers that Discord does not take: they wait in a bounded number, and no more is begun."""

import math
from collections import Counter

import pytest

from socbot.config import BotConfig
from socbot.dispatch.arguments import Rest
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.dispatcher import UNANSWERED
from socbot.dispatch.outcomes import Outcome
from tests.transports.discord.conversation import MakeScene

ROOM = 4


@command("repeat", permission="public", metered=False)
async def repeat(ctx: Context, text: Rest) -> str:
    """Say it again."""
    return text


@pytest.mark.promise("P55")
async def test_answers_that_discord_does_not_take_do_not_pile_up(make_scene: MakeScene) -> None:
    outcomes: list[Outcome] = []
    async with make_scene(commands=[repeat], bot=BotConfig(max_running=ROOM)) as scene:
        scene.bot.dispatcher.observe(outcomes.append)
        scene.standin.limits.slow("POST", "/channels/*/messages", 1.0, times=math.inf)
        for number in range(10 * UNANSWERED * ROOM):
            await scene.stranger.says(f"!repeat {number}")
        await scene.owner.says("!repeat the owner gets through")
        await scene.standin.until(lambda: len(outcomes) > 10 * UNANSWERED * ROOM, what="the outcomes")
        assert scene.bot.dispatcher.unanswered == UNANSWERED * ROOM + 1
        scene.standin.limits.clear()
        await scene.standin.until(lambda: not scene.bot.dispatcher.unanswered, seconds=20, what="the answers")
        answers = [message.text for message in scene.place.messages if message.by_bot]
        assert (await scene.says("!repeat again", scene.stranger)).text == "again"
    told = Counter((outcome.status, outcome.refused_by) for outcome in outcomes)
    assert told == {("ok", None): UNANSWERED * ROOM + 2, ("refused", "admission"): 9 * UNANSWERED * ROOM}
    assert outcomes[-2].message.text == "!repeat the owner gets through"
    assert len(answers) == UNANSWERED * ROOM + 1
