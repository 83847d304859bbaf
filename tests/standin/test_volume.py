"""Many people, many messages, and a gateway that breaks all the while."""

from collections import Counter
from itertools import cycle

import pytest

from tests.standin import Standin
from tests.standin.conftest import Connect


@pytest.mark.parametrize(
    ("messages", "people", "drops"), [(500, 50, 10), pytest.param(10_000, 500, 200, marks=pytest.mark.slow)]
)
async def test_every_message_is_heard_and_answered_once_whatever_breaks(
    standin: Standin, connect: Connect, messages: int, people: int, drops: int
) -> None:
    everybody = [standin.user(f"u{number}") for number in range(people)]
    guild = standin.guild("g", members=everybody)
    async with connect() as client:
        for number, person in zip(range(messages), cycle(everybody), strict=False):
            await person.says(f"!ping {number}", in_=guild.general)
            if number % (messages // drops) == 0:
                await standin.gateway.ready()
                assert standin.gateway.drop() == 1
        await standin.until(lambda: len(guild.general.messages) == 2 * messages, seconds=60)
        assert len(standin.gateway.resumes) == drops
        heard = Counter(client.texts)
    assert heard == Counter(f"!ping {number}" for number in range(messages))
    answers = [message.text for message in guild.general.messages if message.by_bot]
    assert Counter(answers) == Counter(f"pong {number}" for number in range(messages))
