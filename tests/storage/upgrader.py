"""A process that upgrades stores, each in a process of its own that is killed before its N-th statement.

``python upgrader.py REVISION FOLDER``, and on stdin lines ``N URL``: 0 is the first statement, -1 the commit, and a
number that is never reached lets it end. Each is answered by the number of statements that were begun, and how the
process ended. FOLDER is for the backups, see ``backups_of``.
"""

import os
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

import anyio
from sqlalchemy import event
from sqlalchemy.engine import Engine

from socbot.config import BackupConfig, StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.storage.database import Database
from socbot.systems.backup.upgrading import BeforeUpgrade
from tests.storage.released import up_to


def backups_of(url: str, folder: Path) -> Path:
    """Where in ``folder`` the backups of that store go."""
    return folder / "backups" / urlsplit(url).path.strip("/").replace("/", "_")


async def _open(url: str, revision: str, folder: Path) -> None:
    config, clock = StorageConfig(url=url, busy_timeout=30), SystemClock()
    before = BeforeUpgrade(config, BackupConfig(folder=str(backups_of(url, folder)), paths=()), clock)
    async with Database.open(config, clock, up_to(revision), before):
        pass


def _upgrade(url: str, revision: str, folder: Path, last: int, counted: int) -> None:
    """Open the store; what is counted goes to the descriptor ``counted``."""

    begun = 0

    def before_statement(*arguments: object) -> None:
        nonlocal begun
        if begun == last:
            os.kill(os.getpid(), signal.SIGKILL)
        begun += 1
        os.write(counted, b".")

    def before_commit(connection: object) -> None:
        if last == -1:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", before_statement)
    event.listen(Engine, "commit", before_commit)
    anyio.run(_open, url, revision, folder)


def _in_a_process(url: str, revision: str, folder: Path, last: int) -> str:
    counts, counted = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _upgrade(url, revision, folder, last, counted)
            code = 0
        finally:
            os._exit(code)
    os.close(counted)
    with os.fdopen(counts, "rb") as file:
        begun = len(file.read())
    _, status = os.waitpid(pid, 0)
    return f"{begun} {os.waitstatus_to_exitcode(status)}"


if __name__ == "__main__":
    import alembic.command  # noqa: F401  (what each of them would import again)

    for line in sys.stdin:
        number, _, url = line.strip().partition(" ")
        print(_in_a_process(url, sys.argv[1], Path(sys.argv[2]), int(number)), flush=True)
