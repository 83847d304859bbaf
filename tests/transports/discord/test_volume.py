"""The whole bot under many people, while its gateway breaks again and again."""

from collections import Counter
from itertools import cycle
from random import Random

import pytest

from socbot.dispatch.arguments import Rest
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from tests.transports.discord.conversation import MakeScene


@command("repeat", permission="public", metered=False)
async def repeat(ctx: Context, text: Rest) -> Reply:
    """Say it again."""
    return Reply(text)


@pytest.mark.promise("P51")
@pytest.mark.parametrize(
    ("commands", "people", "drops"), [(500, 50, 10), pytest.param(10_000, 500, 200, marks=pytest.mark.slow)]
)
async def test_every_command_is_answered_once_however_often_the_gateway_breaks(
    make_scene: MakeScene, commands: int, people: int, drops: int
) -> None:
    random = Random(drops)
    breaking = set(random.sample(range(commands), drops))
    outcomes: list[Outcome] = []
    async with make_scene(commands=[repeat]) as scene:
        scene.bot.dispatcher.observe(outcomes.append)
        await scene.says("!uptime")
        channels = [scene.place, *(scene.guild.channel(f"channel-{number}") for number in range(9))]
        everybody = [scene.joined(f"p{number}") for number in range(people)]
        gateway = scene.standin.gateway

        def answered() -> int:
            return sum(message.by_bot for channel in channels for message in channel.messages)

        async def all_are_answered_but(last: int, said: int) -> None:
            """Wait for that: more than can wait for Discord would be refused."""
            await scene.standin.until(lambda: answered() > said - last, seconds=60, what="answers to those before")

        for number, person, channel in zip(range(commands), cycle(everybody), cycle(channels), strict=False):
            await person.says(f"!repeat {number}", in_=channel)
            if number in breaking:
                await gateway.ready()
                assert gateway.drop() == 1
            if number % 100 == 99:
                await all_are_answered_but(1_000, number)
        await scene.standin.until(
            lambda: answered() > commands,
            seconds=10 + commands / 20,
            what="as many answers as commands",
        )
        assert await scene.nothing_follows(scene.place.messages[-1])
        answers = [message for channel in channels for message in channel.messages if message.by_bot]
        assert len(gateway.identifies) == 1
        assert len(gateway.resumes) == drops
    said = Counter(f"!repeat {number}" for number in range(commands))
    assert Counter(f"!repeat {answer.text}" for answer in answers if answer.text.isdigit()) == said
    assert Counter(answer.reference.content for answer in answers if answer.reference) == said + Counter({"!uptime": 2})
    assert Counter(outcome.message.text for outcome in outcomes) == said + Counter({"!uptime": 2})
    assert {outcome.status for outcome in outcomes} == {"ok"}
