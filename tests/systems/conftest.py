import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Where a test does not ask for both."""
    return "asyncio"
