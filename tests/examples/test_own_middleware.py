"""An operator's own middleware, found by the import paths of its config.yaml."""

from pathlib import Path

import pytest

from socbot import Bot
from socbot.testing import OWNER, FakeClock, owner_said, said

FOLDER = Path(__file__).parents[2] / "examples" / "own_middleware"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example's file, as read by a bot whose store is in a scratch folder."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setenv("SOCBOT_STORAGE__URL", f"sqlite:///{tmp_path}/socbot.db")
    return FOLDER / "config.yaml"


async def test_the_classes_option_comes_from_the_file(config: Path, clock: FakeClock) -> None:
    async with Bot.from_config(config, clock=clock, jobs=False) as bot:
        first = await bot.dispatch(said("!ping"))
        clock.forward(10)
        second = await bot.dispatch(said("!ping"))
    assert str(first.reply).startswith("Welcome! Pong!")
    assert str(second.reply).startswith("Pong!")


async def test_the_function_refuses_and_the_outcome_names_it(config: Path, clock: FakeClock) -> None:
    async with Bot.from_config(config, clock=clock, owners=[OWNER], jobs=False) as bot:
        refused = await bot.dispatch(said("!ping", channel="quiet"))
        allowed = await bot.dispatch(owner_said("!ping", channel="quiet"))
        pipeline = await bot.dispatch(owner_said("!pipeline"))
    assert (refused.status, refused.refused_by, refused.reason) == ("refused", "quiet_channel", "quiet channel")
    assert str(refused.reply) == "This channel stays quiet."
    assert allowed.status == "ok"
    assert "Greeter" in str(pipeline.reply)
    assert "quiet_channel" in str(pipeline.reply)


async def test_what_the_class_declares_is_held_against_the_order(config: Path, tmp_path: Path) -> None:
    swapped = tmp_path / "config.yaml"
    swapped.write_text("middleware:\n- {use: 'chain:Greeter', with: {greeting: Hi}}\n- blacklist\n- rate_limit\n")
    async with Bot.from_config(swapped, jobs=False) as bot:
        assert [finding.text for finding in bot.pipeline.findings] == [
            "Greeter stands before blacklist: a listed person would use up the greeting without being answered"
        ]
