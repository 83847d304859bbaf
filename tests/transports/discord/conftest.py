import pytest


@pytest.fixture
def anyio_backend() -> str:
    """discord.py and aiohttp run on asyncio alone."""
    return "asyncio"
