"""For a folder whose tests run on the stand-in: its conftest takes these."""

from collections.abc import AsyncIterator

import pytest

from tests.standin.standin import Standin


@pytest.fixture
def anyio_backend() -> str:
    """discord.py and aiohttp run on asyncio alone."""
    return "asyncio"


@pytest.fixture
async def standin(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Standin]:
    async with Standin() as standin:
        standin.point_discord_py(monkeypatch)
        yield standin
