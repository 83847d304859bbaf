"""What every test can have: a whole bot on a scratch store, and a clock in hand."""

import gc
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import settings

from socbot.bot import Bot
from socbot.config import BackupConfig, Config, StorageConfig
from socbot.dispatch.replies import Reply
from socbot.testing import OWNER, FakeClock
from tests.postgresql import Server, running_server

os.environ.setdefault("SOCBOT_WEB__PORT", "0")  # bots that tests run as processes do not want the same one

# The same examples in every run; `make nightly` looks for others, and prints how to see again what failed. A test sets
# its number of examples only where a promise names it or where each costs much. What failed is kept as an @example.
settings.register_profile("ci", derandomize=True, deadline=None, max_examples=200, stateful_step_count=50)
settings.register_profile("nightly", deadline=None, max_examples=2_000, stateful_step_count=50, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

MakeBot: TypeAlias = Callable[..., AbstractAsyncContextManager[Bot]]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What does not ask for trio itself runs on it in the slow stage: the engine and the jobs ask for it."""
    for item in items:
        asked = any("anyio_backend" in mark.args[0] for mark in item.iter_markers("parametrize"))
        chosen = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if chosen.get("anyio_backend") == "trio" and not asked:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _only_its_own_memory(request: pytest.FixtureRequest) -> Iterator[None]:
    """What measures time does not wait while what earlier tests left is looked through: as in ``socbot run``."""
    if request.node.get_closest_marker("alone") is None:
        yield
        return
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


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


@pytest.fixture
def notices() -> list[Reply]:
    """What the owner was told."""
    return []


@pytest.fixture
def make_bot(tmp_path: Path, notices: list[Reply], monkeypatch: pytest.MonkeyPatch) -> MakeBot:
    """Make bots on one store: ``async with make_bot(clock=clock, rate_limit=RateLimitConfig(…)) as bot``.

    Keywords named like a section of the configuration replace it; the others go to the bot. Jobs do not run unless
    ``jobs=True``, and backups are not made by themselves. What a bot writes beside its store is in a scratch folder.
    """
    monkeypatch.chdir(tmp_path)

    async def notify(reply: Reply) -> None:
        notices.append(reply)

    @asynccontextmanager
    async def make(config: Config | Path | None = None, **options: Any) -> AsyncIterator[Bot]:
        sections = {name: options.pop(name) for name in Config.__struct_fields__ if name in options and name != "jobs"}
        if not isinstance(config, Path):
            sections.setdefault("storage", StorageConfig(url=f"sqlite:///{tmp_path}/data/socbot.db"))
            sections.setdefault("backup", BackupConfig(enabled=False, folder=f"{tmp_path}/backups", paths=()))
            config = msgspec.structs.replace(config or Config(), **sections)
        defaults: dict[str, Any] = {"owners": [OWNER], "notify": notify, "random": Random(1), "jobs": False}
        options = defaults | options
        async with Bot.from_config(config, **options) as bot:
            yield bot

    return make
