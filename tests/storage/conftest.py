from collections.abc import Iterator

import pytest

from socbot.config import StorageConfig
from tests.postgresql import Server, running_server


@pytest.fixture
def anyio_backend() -> str:
    """Where a test does not ask for both."""
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that a test may crash: it comes back the sooner, the fewer databases it has."""
    with running_server() as server:
        yield server


@pytest.fixture
def config(either_storage: StorageConfig) -> StorageConfig:
    """A store with nothing in it, on each database."""
    return either_storage


@pytest.fixture
def sqlite(storage: StorageConfig) -> StorageConfig:
    return storage
