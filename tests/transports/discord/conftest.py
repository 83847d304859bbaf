"""A stand-in for Discord, and whole bots on it."""

from collections.abc import AsyncIterator
from functools import partial

import pytest

from tests.conftest import MakeBot
from tests.standin import Standin
from tests.standin.fixtures import anyio_backend as anyio_backend
from tests.transports.discord.conversation import MakeScene, Scene, on_stage
from tests.transports.discord.sent import check_nobody_is_notified


@pytest.fixture
async def standin(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Standin]:
    """A stand-in; a test fails that had the bot send anything which does not say that it notifies nobody."""
    async with Standin() as standin:
        standin.point_discord_py(monkeypatch)
        yield standin
    check_nobody_is_notified(standin)


@pytest.fixture
def make_scene(make_bot: MakeBot, standin: Standin) -> MakeScene:
    """``async with make_scene(commands=[…]) as scene``; keywords are those of ``make_bot``, or ``discord=``."""
    return partial(on_stage, make_bot, standin)


@pytest.fixture
async def scene(make_scene: MakeScene) -> AsyncIterator[Scene]:
    async with make_scene() as scene:
        yield scene
