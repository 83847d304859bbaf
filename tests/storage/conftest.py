import pytest

from socbot.config import StorageConfig
from tests.postgresql import Server


@pytest.fixture
def anyio_backend() -> str:
    """Where a test does not ask for both."""
    return "asyncio"


@pytest.fixture
def server(postgresql: Server) -> Server:
    return postgresql


@pytest.fixture
def config(either_storage: StorageConfig) -> StorageConfig:
    """A store with nothing in it, on each database."""
    return either_storage


@pytest.fixture
def sqlite(storage: StorageConfig) -> StorageConfig:
    return storage
