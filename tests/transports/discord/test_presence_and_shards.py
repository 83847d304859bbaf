"""What is shown beneath the bot's name, and which shards a process serves."""

from pathlib import Path

import pytest

from socbot.config import DiscordConfig
from tests.standin import Standin
from tests.transports.discord.conversation import MakeScene


@pytest.mark.parametrize(
    ("activity", "shown"),
    [
        ("watching the chain", {"type": 3, "name": "the chain"}),
        ("Playing chess", {"type": 0, "name": "chess"}),
        ("listening to you", {"type": 2, "name": "you"}),
        ("competing in a raid", {"type": 5, "name": "a raid"}),
        ("Out for lunch", {"type": 4, "state": "Out for lunch"}),
    ],
)
async def test_status_and_activity_are_those_of_the_configuration(
    activity: str, shown: dict[str, object], make_scene: MakeScene, standin: Standin
) -> None:
    config = DiscordConfig(standin.token, status="idle", activity=activity, slash=False, notify_start=False)
    async with make_scene(config):
        presence = standin.gateway.identifies[-1].presence
        assert presence is not None
        assert presence["status"] == "idle"
        assert presence["game"].items() >= shown.items()


async def test_a_reload_changes_what_is_shown(make_scene: MakeScene, standin: Standin, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    text = f"storage: {{url: 'sqlite:///{tmp_path}/data/socbot.db'}}\n"
    text += f"discord: {{token: {standin.token}, notify_start: false}}\n"
    path.write_text(text)
    async with make_scene(config=path) as scene:
        path.write_text(text.replace("notify_start", "status: dnd, activity: playing chess, notify_start"))
        assert "Reloaded" in (await scene.says("!reload")).text
        await standin.until(lambda: standin.gateway.presences[-1]["status"] == "dnd", what="the new status")
        assert standin.gateway.presences[-1]["activities"][0]["name"] == "chess"


async def test_every_shard_is_served(make_scene: MakeScene, standin: Standin) -> None:
    standin.gateway.recommended_shards, standin.gateway.max_concurrency = 3, 16
    async with make_scene(shards=3) as scene:
        others = [standin.guild(name, members=[scene.owner]) for name in ("second", "third")]
        for guild in (scene.guild, *others):
            assert (await scene.says("!uptime", in_=guild.general)).text.startswith("Up for")


async def test_a_process_serves_its_own_shards_alone_and_only_the_first_puts_slash_commands(
    make_scene: MakeScene, standin: Standin
) -> None:
    config = DiscordConfig(standin.token, shards="1-1/2", notify_start=False)
    async with make_scene(config) as scene:
        assert {(each.shard, each.shards) for each in standin.gateway.identifies} == {(1, 2)}
        other = standin.guild("other", members=[scene.owner])
        unheard = await scene.owner.says("!uptime", in_=scene.guild.general)
        assert (await scene.says("!uptime", in_=other.general)).text.startswith("Up for")
        assert unheard is scene.guild.general.messages[-1]
        assert standin.requested("PUT", "/applications/*/commands") == []
