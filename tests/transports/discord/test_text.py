"""Text commands on Discord: who is answered, where, and exactly once."""

from tests.transports.discord.conversation import Scene


async def test_a_command_in_a_guild_is_answered_below_it(scene: Scene) -> None:
    answer = await scene.says("!ping", scene.stranger)
    assert answer.text.startswith("Pong! transport ")
    assert answer.reference is not None
    assert answer.reference.content == "!ping"
    assert answer.pings == []
