"""One of the processes of a fleet: a bot whose job ``singleton`` writes down each of its runs.

``python -m tests.jobs.fleet URL FOLDER``. A file in the folder has whichever process runs the job stop itself, once:
``run`` in the middle of a run, ``transaction`` in the middle of the transaction that is its effect, between two rows.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio

from socbot.bot import Bot
from socbot.config import BackupConfig, Config, JobsConfig, Loaded, StorageConfig
from socbot.jobs.job import Job
from socbot.jobs.schedules import Every
from socbot.storage.connection import Connection, Values
from socbot.storage.errors import StoreFenced
from socbot.storage.leases import current_fence, fenced

LEASE = 1.0
INTERVAL = 0.3

TABLES = (
    "CREATE TABLE effects (slot double precision, process bigint, fence bigint, id bigserial)",
    "CREATE TABLE refused (process bigint, fence bigint)",
    "CREATE TABLE ready (process bigint)",
    "CREATE TABLE notes (process bigint)",
)
_NOW = {"process": os.getpid()}


class Rows(Sequence[Values]):
    """Two rows; between them the process may be stopped."""

    def __init__(self, stop: Callable[[str], None]) -> None:
        self._stop = stop

    def __len__(self) -> int:
        return 2

    def __getitem__(self, place: Any) -> Any:
        if place == 1:
            self._stop("transaction")
        return [_NOW, _NOW][place]


class Member(Bot):
    """A bot with a job of the fleet."""

    folder = Path()

    def jobs(self) -> tuple[Job, ...]:
        return (*super().jobs(), Job("singleton", self.work, Every(INTERVAL), scope="fleet"))

    async def work(self) -> None:
        await anyio.sleep(0.05)
        self.stop("run")
        fence = current_fence()
        assert fence is not None
        values = {**_NOW, "fence": fence.number}
        with anyio.CancelScope(shield=True):  # nothing but the fence keeps it from being written
            try:
                await self.database.write(lambda connection: self.effect(connection, values))
            except StoreFenced:
                with fenced(None):
                    await self.database.write(
                        lambda connection: connection.change("INSERT INTO refused VALUES (:process, :fence)", values)
                    )
                raise

    def effect(self, connection: Connection, values: dict[str, int]) -> None:
        connection.change(
            "INSERT INTO effects (slot, process, fence)"
            " SELECT settled, :process, :fence FROM jobs WHERE name = 'singleton'",
            values,
        )
        connection.execute_many("INSERT INTO notes VALUES (:process)", Rows(self.stop))

    def stop(self, where: str) -> None:
        try:
            (self.folder / where).unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGSTOP)


async def main(url: str, folder: str) -> None:
    Member.folder = Path(folder)
    config = Config(
        storage=StorageConfig(url=url, busy_timeout=LEASE),
        jobs=JobsConfig(lease=LEASE, max_restarts=1_000, within=1.0),
        backup=BackupConfig(enabled=False, folder=f"{folder}/backups", paths=()),
    )
    async with Member(Loaded(config)) as bot:
        await bot.database.write(lambda connection: connection.change("INSERT INTO ready VALUES (:process)", _NOW))
        with anyio.open_signal_receiver(signal.SIGTERM) as signals:
            async for _ in signals:
                return


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
