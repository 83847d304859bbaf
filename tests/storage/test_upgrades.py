"""Each released schema becomes the next and the newest with all that it held, wholly or not at all."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import anyio.to_thread
import pytest

from socbot.config import BackupConfig, StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.storage.connection import Connection
from socbot.storage.database import Database, StoreTooNew
from socbot.storage.migrations import HEAD, RELEASED
from socbot.storage.snapshots import stage
from socbot.systems.backup.archive import extract
from socbot.systems.backup.shelf import Shelf
from socbot.systems.backup.upgrading import BeforeUpgrade
from tests.postgresql import Server
from tests.storage.released import nothing_first, put, rows_of, up_to
from tests.storage.upgrader import backups_of

CLOCK = SystemClock()
POINTS = {"sqlite": 30, "postgresql": 8}
"""At PostgreSQL all is one transaction of the server's own, and a database takes seconds to make."""

STEPS = list(zip(RELEASED.names, RELEASED.names[1:], strict=False))

Rows: TypeAlias = dict[str, list[tuple[Any, ...]]]
MakeStore: TypeAlias = Callable[[str], StorageConfig]
"""A store as a revision left it, whenever it is asked for."""


@pytest.fixture(params=["sqlite", "postgresql"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> MakeStore:
    numbers = iter(range(10_000))

    def on_sqlite(revision: str) -> StorageConfig:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        put(revision, folder / "socbot.db")
        return StorageConfig(url=f"sqlite:///{folder}/socbot.db")

    def on_postgresql(revision: str) -> StorageConfig:
        server: Server = request.getfixturevalue("postgresql")
        return StorageConfig(url=server.new_database())

    return on_sqlite if request.param == "sqlite" else on_postgresql


async def filled(config: StorageConfig, revision: str) -> StorageConfig:
    """On PostgreSQL the store is made by the revisions themselves, and gets the rows of the other."""
    if config.url.startswith("postgresql"):
        async with Database.open(config, CLOCK, up_to(revision)) as database:
            await database.write(partial(_put_rows, revision=revision))
    return config


def _put_rows(connection: Connection, revision: str) -> None:
    for table, rows in rows_of(revision):
        columns = ", ".join(rows[0])
        values = ", ".join(f":{name}" for name in rows[0])
        connection.execute_many(f"INSERT INTO {table} ({columns}) VALUES ({values})", rows)


async def state(config: StorageConfig, revision: str, columns: str) -> Rows:
    """All rows of a store that is at ``revision``, in the columns that it had at ``columns``."""

    def read(connection: Connection) -> Rows:
        [(standing,)] = connection.execute("SELECT version_num FROM alembic_version")
        assert standing == revision
        return {
            table: sorted(connection.execute(f"SELECT {', '.join(rows[0])} FROM {table}"), key=repr)
            for table, rows in rows_of(columns)
        }

    async with Database.open(config, CLOCK, up_to(revision), nothing_first) as database:
        return await database.read(read)


def held(revision: str) -> Rows:
    """What was put there."""
    return {table: sorted((tuple(row.values()) for row in rows), key=repr) for table, rows in rows_of(revision)}


@pytest.mark.promise("P21")
@pytest.mark.parametrize("revision", RELEASED.names)
async def test_each_released_store_becomes_the_newest_with_all_that_it_held(
    make_store: MakeStore, revision: str
) -> None:
    config = await filled(make_store(revision), revision)
    assert await state(config, HEAD, revision) == held(revision)
    assert await state(config, HEAD, revision) == held(revision)


@pytest.mark.promise("P21")
@pytest.mark.parametrize("revision", RELEASED.names[:-1])
async def test_no_released_program_touches_a_newer_store(make_store: MakeStore, revision: str) -> None:
    config = await filled(make_store(HEAD), HEAD)
    with pytest.raises(StoreTooNew, match=HEAD):
        async with Database.open(config, CLOCK, up_to(revision)):
            pass
    assert await state(config, HEAD, HEAD) == held(HEAD)


# -- killed at each statement ------------------------------------------------------------------------


class Upgrader:
    """A process that upgrades stores and is killed at it, over and over."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    async def upgrade(self, config: StorageConfig, killed_before: int) -> tuple[int, int]:
        """How many statements were begun, and the exit code."""
        begun, code = (await anyio.to_thread.run_sync(self._ask, f"{killed_before} {config.url}\n")).split()
        return int(begun), int(code)

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()
        return self._process.stdout.readline()


@contextmanager
def upgrading(revision: str, folder: Path) -> Iterator[Upgrader]:
    command = [sys.executable, "-m", "tests.storage.upgrader", revision, str(folder)]
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Upgrader(process)
        assert process.stdin is not None
        process.stdin.close()


BEFORE_THE_BACKUP = 2
"""Statements on PostgreSQL: who takes its turn at upgrading asks for it, and says that it may take long."""


def backed_up(config: StorageConfig, revision: str, newer: str, folder: Path) -> StorageConfig:
    """The copy that was made of a store of ``revision`` before it was upgraded, as a store of that revision."""
    if config.file is not None:
        kept = config.file.with_name("copy.db")
        shutil.copy(config.file.with_name(f"{config.file.name}.before-{newer}"), kept)
    else:
        shelf = Shelf(BackupConfig(folder=str(backups_of(config.url, folder))))
        [backup] = shelf.backups()
        assert (backup.type, backup.problem) == ("pre_upgrade", "")
        out, kept = folder / "out", shelf.folder.with_name(f"{shelf.folder.name}.db")
        extract(backup.path, out, shelf.keys)
        stage(out, kept, up_to(revision))
        shutil.rmtree(out)
    return StorageConfig(url=f"sqlite:///{kept}")


async def killed_at_each(make_store: MakeStore, folder: Path, older: str, newer: str, points: dict[str, int]) -> None:
    """Wherever the upgrade is killed, the store is wholly as it was, has a checked copy, and can be upgraded then."""
    with upgrading(newer, folder) as upgrader:
        config = await filled(make_store(older), older)
        statements, code = await upgrader.upgrade(config, 10_000)
        assert code == 0
        assert statements > 3
        step = max(1, statements // points[config.url.partition(":")[0]])
        for point in {-1, *range(statements - 1, -1, -step)}:
            config = await filled(make_store(older), older)
            begun, code = await upgrader.upgrade(config, point)
            assert (code, begun) == (-9, point if point >= 0 else statements)
            if config.file is not None or point not in range(BEFORE_THE_BACKUP):
                kept = backed_up(config, older, newer, folder)
                assert await state(kept, older, older) == held(older), "the copy was there before the first statement"
            assert await state(config, older, older) == held(older)
            assert await state(config, newer, older) == held(older)


@pytest.mark.promise("P21")
async def test_a_kill_in_the_newest_migration_leaves_the_older_store_whole(
    make_store: MakeStore, tmp_path: Path
) -> None:
    await killed_at_each(make_store, tmp_path, *STEPS[-1], points={"sqlite": 3, "postgresql": 1})


@pytest.mark.slow
@pytest.mark.promise("P21")
@pytest.mark.parametrize(("older", "newer"), STEPS)
async def test_a_kill_at_any_statement_of_any_migration_leaves_the_older_store_whole(
    make_store: MakeStore, tmp_path: Path, older: str, newer: str
) -> None:
    await killed_at_each(make_store, tmp_path, older, newer, points=POINTS)


# -- the backup before it, on PostgreSQL --------------------------------------------------------------


@pytest.mark.promise("P21")
@pytest.mark.parametrize("revision", RELEASED.names[:-1])
async def test_each_released_store_is_backed_up_whole_before_it_is_upgraded(
    revision: str, postgresql: Server, tmp_path: Path
) -> None:
    config = await filled(StorageConfig(url=postgresql.new_database()), revision)
    folder = backups_of(config.url, tmp_path)
    before = BeforeUpgrade(config, BackupConfig(folder=str(folder), paths=()), CLOCK)
    async with Database.open(config, CLOCK, back_up=before):
        pass
    assert await state(backed_up(config, revision, HEAD, tmp_path), revision, revision) == held(revision)
    before.made = None
    async with Database.open(config, CLOCK, back_up=before):
        assert before.made is None, "what is up to date is not backed up"
    assert await state(config, HEAD, revision) == held(revision)
