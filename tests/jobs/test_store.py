"""Jobs on the real store, on each database."""

from datetime import UTC
from pathlib import Path
from random import Random

import anyio
import anyio.lowlevel
import pytest

from socbot.config import JobsConfig, StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.jobs.job import Job, Run
from socbot.jobs.records import Record, Records
from socbot.jobs.schedules import Cron, Every
from socbot.jobs.supervisor import Supervisor
from socbot.storage.database import Database


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def storage(either_storage: StorageConfig) -> StorageConfig:
    return either_storage


async def fail() -> None:
    raise RuntimeError("50% of :nothing")


def supervised(database: Database) -> Supervisor:
    supervisor = Supervisor(database, SystemClock(), Random(1), JobsConfig(keep_runs=4), UTC)
    supervisor.add(Job("work", anyio.lowlevel.checkpoint, Every(3600)), Job("nightly", fail, Cron("0 3 * * *")))
    return supervisor


async def test_what_was_done_and_decided_is_there_after_a_restart(storage: StorageConfig) -> None:
    async with Database.open(storage, SystemClock()) as database, supervised(database) as supervisor:
        for _ in range(8):
            await supervisor.run_now("nightly")
        await supervisor.stop("work")
        await supervisor.reschedule("nightly", Every(86_400))
    async with Database.open(storage, SystemClock()) as database:
        supervisor = supervised(database)
        await supervisor.load()
        assert supervisor.find("work").state == "stopped"
        status = supervisor.find("nightly")
        assert (str(status.schedule), status.runs, status.failures) == ("every 1d", 8, 8)
        assert status.last_error == "RuntimeError: 50% of :nothing"
        assert [run.outcome for run in await supervisor.history("nightly", 100)] == ["failed"] * 4
        assert "nightly" in {each.job for each in await supervisor.slowest()}


async def test_runs_that_end_at_the_same_time_are_each_recorded_once(tmp_path: Path) -> None:
    config = StorageConfig(url=f"sqlite:///{tmp_path}/socbot.db")
    async with Database.open(config, SystemClock()) as database:
        records = Records(database, keep=100)
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(records.ran, Run(f"job{number}", 1.0 + number, 0.1, "ok", ""), Record(f"job{number}"))
        rows = await database.read(lambda connection: connection.execute("SELECT job FROM job_runs"))
    assert sorted(rows) == sorted((f"job{number}",) for number in range(20))
