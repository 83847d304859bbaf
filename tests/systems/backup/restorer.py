"""A process that restores a backup and is killed on the way.

``python -m tests.systems.backup.restorer`` reads lines ``ROOT NAME FAIL KILL`` and forks for each: the child restores
backup ``NAME`` (or undoes the last restore, for ``undo``), finds no room at step ``FAIL`` and kills itself at step
``KILL``, each counted from 0, or -1 for never. For each line it prints how the child ended: ``killed``, ``done`` or
``failed``.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

import socbot.systems.backup.unpacking  # noqa: F401 (what would be imported late is imported before the fork)
from socbot.config import BackupConfig, StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.dispatch.errors import UserError
from socbot.dispatch.replies import Reply
from socbot.storage.database import Database
from socbot.storage.errors import StoreError
from socbot.systems.backup import Backups
from tests.killing import at_step, die, find_no_room

PATHS = ("config.yaml", "attachments")


class Host:
    """A bot around it that has nothing to say."""

    def __init__(self) -> None:
        self.notices: list[Reply] = []
        self.told = anyio.Event()

    async def notify(self, reply: Reply) -> None:
        self.notices.append(reply)
        self.told.set()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        yield

    async def restored(self) -> tuple[str, ...]:
        return ()


def storage(root: Path) -> StorageConfig:
    return StorageConfig(url=f"sqlite:///{root}/data/socbot.db")


def backup_config(root: Path) -> BackupConfig:
    return BackupConfig(folder=str(root / "backups"), paths=tuple(str(root / path) for path in PATHS))


async def restore(root: Path, name: str, fail: int, kill: int) -> None:
    at_fail, at_kill = at_step(fail, find_no_room), at_step(kill, die)

    def step(name: str) -> None:
        at_kill(name)
        at_fail(name)

    async with Database.open(storage(root), SystemClock()) as database:
        backups = Backups(database, SystemClock(), storage(root), backup_config(root), Host(), step=step)
        async with backups:
            await (backups.undo() if name == "undo" else backups.restore(name))


def main() -> None:
    for line in sys.stdin:
        root, name, fail, kill = line.split()
        child = os.fork()
        if not child:
            try:
                anyio.run(restore, Path(root), name, int(fail), int(kill))
            except (UserError, StoreError):
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print("killed" if os.WIFSIGNALED(status) else "failed" if status else "done", flush=True)


if __name__ == "__main__":
    main()
