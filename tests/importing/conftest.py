from collections.abc import Iterator
from pathlib import Path

import pytest

from socbot.config import StorageConfig
from tests.postgresql import Server, running_server


@pytest.fixture
def anyio_backend() -> str:
    """Where a test does not ask for both."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def storage(tmp_path: Path) -> StorageConfig:
    return StorageConfig(url=f"sqlite:///{tmp_path}/data/socbot.db")


@pytest.fixture(params=["sqlite", "postgresql"])
def either_storage(request: pytest.FixtureRequest, tmp_path: Path) -> StorageConfig:
    """A store with nothing in it, on each database."""
    if request.param == "sqlite":
        return StorageConfig(url=f"sqlite:///{tmp_path}/data/socbot.db")
    server: Server = request.getfixturevalue("postgresql")
    return StorageConfig(url=server.new_database())
