"""What tests of jobs stand on: a store that answers at once, so that a ``FakeClock`` tells the whole story."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Protocol, TypeVar

import pytest
from sqlalchemy import create_engine

from socbot.config import JobsConfig
from socbot.dispatch.replies import Reply
from socbot.jobs.job import Job
from socbot.jobs.records import Store
from socbot.jobs.supervisor import Supervisor
from socbot.storage.connection import Connection
from socbot.storage.schema import metadata
from socbot.storage.sqlite import SqliteSession
from socbot.testing import FakeClock

T = TypeVar("T")


class InlineStore:
    """A real SQLite file, used on the spot instead of on a thread of its own."""

    def __init__(self, path: Path) -> None:
        engine = create_engine(f"sqlite:///{path}")
        metadata.create_all(engine)
        engine.dispose()
        self.session = SqliteSession(path)
        self.session.connection.execute("PRAGMA synchronous = OFF")
        self.error: Exception | None = None

    async def write(self, work: Callable[[Connection], T], /) -> T:
        if self.error is not None:
            raise self.error
        self.session.begin(0)
        try:
            result = work(self.session)
        except BaseException:
            self.session.rollback()
            raise
        self.session.commit()
        return result

    async def read(self, work: Callable[[Connection], T], /) -> T:
        return await self.write(work)

    def clear(self) -> None:
        self.session.connection.executescript("DELETE FROM jobs; DELETE FROM job_runs;")


@pytest.fixture(scope="module")
def module_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InlineStore]:
    store = InlineStore(tmp_path_factory.mktemp("jobs") / "jobs.db")
    yield store
    store.session.close()


@pytest.fixture
def store(module_store: InlineStore) -> InlineStore:
    module_store.clear()
    module_store.error = None
    return module_store


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Notices(list[Reply]):
    """What the owner was told."""

    async def __call__(self, notice: Reply) -> None:
        self.append(notice)


@pytest.fixture
def notices() -> Notices:
    return Notices()


class MakeSupervisor(Protocol):
    def __call__(
        self, *jobs: Job, config: JobsConfig = ..., zone: tzinfo = ..., on: Store | None = ..., drain: float = ...
    ) -> Supervisor: ...


@pytest.fixture
def make(store: InlineStore, clock: FakeClock, notices: Notices) -> MakeSupervisor:
    def make(
        *jobs: Job,
        config: JobsConfig = JobsConfig(),  # noqa: B008 (frozen)
        zone: tzinfo = UTC,
        on: Store | None = None,
        drain: float = 10.0,
    ) -> Supervisor:
        supervisor = Supervisor(on or store, clock, random.Random(7), config, zone, notices, drain)
        supervisor.add(*jobs)
        return supervisor

    return make
