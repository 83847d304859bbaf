"""A stand-in for Discord, and whole bots on it."""

from collections.abc import AsyncIterator
from functools import partial

import pytest

from tests.conftest import MakeBot
from tests.standin import Standin
from tests.standin.fixtures import anyio_backend as anyio_backend
from tests.standin.fixtures import standin as standin
from tests.transports.discord.conversation import MakeScene, Scene, on_stage


@pytest.fixture
def make_scene(make_bot: MakeBot, standin: Standin) -> MakeScene:
    """``async with make_scene(commands=[…]) as scene``; keywords are those of ``make_bot``, or ``discord=``."""
    return partial(on_stage, make_bot, standin)


@pytest.fixture
async def scene(make_scene: MakeScene) -> AsyncIterator[Scene]:
    async with make_scene() as scene:
        yield scene
