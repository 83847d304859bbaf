"""The schema: what the revisions build, what the snapshot builds, and how an old store becomes a new one."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.schema import MetaData

from socbot.config import StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.storage.connection import Connection
from socbot.storage.database import Database, StoreDamaged, StoreError, StoreTooNew
from socbot.storage.migrations import HEAD, RELEASED, Revisions, snapshot, upgrade
from socbot.storage.migrations.__main__ import snapshot as newest_snapshot
from socbot.storage.schema import metadata
from tests.storage.released import nothing_first

CLOCK = SystemClock()
STEPS = 30

NEXT = '''
import os, signal
from alembic import op

revision = "next"
down_revision = "{head}"

def upgrade():
    """Takes 30 steps, and is killed before the one that the environment names."""
    for step in range({steps}):
        if os.environ.get("KILL_BEFORE") == str(step):
            os.kill(os.getpid(), signal.SIGKILL)
        if os.environ.get("FAIL_BEFORE") == str(step):
            raise LookupError("this revision is wrong")
        op.execute("CREATE TABLE step_%d (x BIGINT)" % step)
        op.execute("INSERT INTO step_%d SELECT count(*) FROM settings" % step)
        op.execute("UPDATE settings SET value = value || '%d,'" % step)
    if os.environ.get("KILL_BEFORE") == "commit":
        os.kill(os.getpid(), signal.SIGKILL)
'''

OPEN = """
import anyio, sys
from pathlib import Path
from socbot.config import StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.storage.database import Database
from socbot.storage.migrations import Revisions

async def main():
    config = StorageConfig(url=sys.argv[1], busy_timeout=30)
    revisions = Revisions(tuple(sys.argv[3].split()), Path(sys.argv[2]))
    async with Database.open(config, SystemClock(), revisions, lambda *_: None):
        print("open", flush=True)

anyio.run(main)
"""


@pytest.fixture
def newer(tmp_path: Path) -> Revisions:
    """The released revisions and one more."""
    folder = tmp_path / "100% new" / "versions"
    shutil.copytree(RELEASED.folder, folder)
    (folder / "next.py").write_text(NEXT.format(head=HEAD, steps=STEPS))
    return Revisions((*RELEASED.names, "next"), folder)


def open_in_child(config: StorageConfig, revisions: Revisions, **environment: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", OPEN, config.url, str(revisions.folder), " ".join(revisions.names)]
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE)


async def fill(config: StorageConfig) -> None:
    def add(connection: Connection) -> None:
        rows = [{"key": str(number)} for number in range(50)]
        connection.execute_many("INSERT INTO settings (key, value, set_by, set_at) VALUES (:key, '', '', 0)", rows)

    async with Database.open(config, CLOCK) as database:
        await database.write(add)


def state(connection: Connection) -> tuple[str, int, set[str]]:
    """Revision, tables of the new revision, and what it made of the rows."""
    [(revision,)] = connection.execute("SELECT version_num FROM alembic_version")
    sql = {
        "sqlite": "SELECT count(*) FROM sqlite_master WHERE name LIKE 'step_%'",
        "postgresql": "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'step_%'",
    }
    [(steps,)] = connection.execute(sql[connection.dialect])
    values = [value for (value,) in connection.execute("SELECT value FROM settings")]
    assert len(values) == 50
    return revision, steps, set(values)


OLD = (HEAD, 0, {""})
NEW = ("next", STEPS, {"".join(f"{step}," for step in range(STEPS))})


# -- the same schema by every way ---------------------------------------------------------------------


def differences(url: str) -> list[object]:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.connect() as connection:
            return list(compare_metadata(MigrationContext.configure(connection), metadata))
    finally:
        engine.dispose()


async def test_a_new_store_has_the_schema_that_the_code_declares(config: StorageConfig) -> None:
    async with Database.open(config, CLOCK):
        pass
    assert differences(config.url) == []


def test_the_revisions_build_the_schema_that_the_code_declares(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/socbot.db"
    engine = create_engine(url)
    upgrade(engine, RELEASED)
    engine.dispose()
    assert differences(url) == []
    assert tables(tmp_path / "socbot.db") == snapshot_tables(tmp_path / "snapshot.db")


def tables(path: Path) -> dict[str, object]:
    """Every column of every table and index, as SQLite itself describes them."""
    connection = sqlite3.connect(path)
    names = connection.execute("SELECT name, type FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    described: dict[str, object] = {
        name: connection.execute(f"PRAGMA {'table_xinfo' if kind == 'table' else 'index_xinfo'}({name})").fetchall()
        for name, kind in names
        if name != "alembic_version"
    }
    connection.close()
    return described


def snapshot_tables(path: Path) -> dict[str, object]:
    connection = sqlite3.connect(path)
    connection.executescript(snapshot.SCHEMA)
    connection.close()
    return tables(path)


def test_the_snapshot_is_what_the_code_declares() -> None:
    assert Path(str(snapshot.__file__)).read_text() == newest_snapshot()
    assert snapshot.REVISION == HEAD


def test_the_named_revisions_are_those_in_the_folder() -> None:
    script = ScriptDirectory(str(RELEASED.folder.parent), version_locations=[str(RELEASED.folder)])
    found = [revision.revision for revision in script.walk_revisions()]
    assert tuple(reversed(found)) == RELEASED.names
    assert RELEASED.head == HEAD


def test_no_column_has_a_type_that_only_one_database_knows() -> None:
    assert isinstance(metadata, MetaData)
    kinds = {type(column.type).__name__ for table in metadata.tables.values() for column in table.columns}
    assert kinds <= {"Text", "BigInteger", "Integer", "Double", "LargeBinary"}


# -- P21: wholly or not at all ------------------------------------------------------------------------


@pytest.mark.promise("P21")
async def test_an_old_store_becomes_a_new_one_with_its_rows(config: StorageConfig, newer: Revisions) -> None:
    await fill(config)
    async with Database.open(config, CLOCK, newer, nothing_first) as database:
        assert await database.read(state) == NEW
    async with Database.open(config, CLOCK, newer, nothing_first) as database:
        assert await database.read(state) == NEW


@pytest.mark.promise("P21")
async def test_a_new_store_may_begin_at_a_revision_that_the_snapshot_lacks(
    config: StorageConfig, newer: Revisions
) -> None:
    async with Database.open(config, CLOCK, newer, nothing_first) as database:
        assert await database.read(
            lambda connection: connection.execute("SELECT version_num FROM alembic_version")
        ) == [("next",)]


@pytest.mark.promise("P21")
async def test_an_old_program_refuses_a_new_store(config: StorageConfig, newer: Revisions) -> None:
    async with Database.open(config, CLOCK, newer, nothing_first):
        pass
    with pytest.raises(StoreTooNew, match="next"):
        async with Database.open(config, CLOCK):
            pass


@pytest.mark.promise("P21")
async def test_a_revision_that_fails_changes_nothing(
    config: StorageConfig, newer: Revisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(config)
    monkeypatch.setenv("FAIL_BEFORE", str(STEPS - 1))
    with pytest.raises(LookupError, match="this revision is wrong"):
        async with Database.open(config, CLOCK, newer, nothing_first):
            pass
    async with Database.open(config, CLOCK) as database:
        assert await database.read(state) == OLD


async def killed_at(config: StorageConfig, newer: Revisions, point: str) -> None:
    """A store that is killed at ``point`` of its upgrade is an old one, and a new one when it is opened again."""
    await fill(config)
    with open_in_child(config, newer, KILL_BEFORE=point) as process:
        assert await anyio.to_thread.run_sync(process.wait) == -9
    async with Database.open(config, CLOCK) as database:
        assert await database.read(state) == OLD
    async with Database.open(config, CLOCK, newer, nothing_first) as database:
        assert await database.read(state) == NEW


@pytest.mark.promise("P21")
async def test_a_kill_in_the_midst_of_an_upgrade_leaves_the_old_store(config: StorageConfig, newer: Revisions) -> None:
    await killed_at(config, newer, str(STEPS - 1))


@pytest.mark.slow
@pytest.mark.promise("P21")
@pytest.mark.parametrize("point", [*map(str, range(STEPS)), "commit"])
async def test_a_kill_at_any_step_leaves_the_old_store(config: StorageConfig, newer: Revisions, point: str) -> None:
    await killed_at(config, newer, point)


@pytest.mark.slow
@pytest.mark.promise("P21")
async def test_a_kill_at_any_moment_leaves_the_old_store_or_the_new(tmp_path: Path, newer: Revisions) -> None:
    chance = random.Random(21)
    for number in range(30):
        config = StorageConfig(url=f"sqlite:///{tmp_path}/{number}/socbot.db")
        await fill(config)
        with open_in_child(config, newer) as process:
            with anyio.move_on_after(chance.uniform(0.1, 2.5)):
                await anyio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
            process.kill()
        try:
            async with Database.open(config, CLOCK) as database:
                assert await database.read(state) == OLD
        except StoreTooNew:
            pass
        async with Database.open(config, CLOCK, newer, nothing_first) as database:
            assert await database.read(state) == NEW


@pytest.mark.promise("P21")
async def test_of_two_processes_one_upgrades_and_both_go_on(config: StorageConfig, newer: Revisions) -> None:
    await fill(config)
    with open_in_child(config, newer) as one, open_in_child(config, newer) as other:
        for process in (one, other):
            output, _ = await anyio.to_thread.run_sync(process.communicate)
            assert (output, process.returncode) == (b"open\n", 0)
    async with Database.open(config, CLOCK, newer, nothing_first) as database:
        assert await database.read(state) == NEW


@pytest.mark.promise("P21")
async def test_a_checked_copy_exists_before_the_first_statement(
    sqlite: StorageConfig, newer: Revisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(sqlite)
    folder = Path(sqlite.url.removeprefix("sqlite:///")).parent
    monkeypatch.setenv("FAIL_BEFORE", "0")
    with pytest.raises(LookupError):
        async with Database.open(sqlite, CLOCK, newer):
            pass
    copies = await anyio.to_thread.run_sync(lambda: [path.name for path in folder.glob("*.before-*")])
    assert copies == ["socbot.db.before-next"]
    assert await anyio.to_thread.run_sync(lambda: (folder / copies[0]).stat().st_mode & 0o777) == 0o600
    copy = StorageConfig(url=f"sqlite:///{folder / copies[0]}")
    async with Database.open(copy, CLOCK) as database:
        assert await database.read(state) == OLD


@pytest.mark.promise("P21")
async def test_a_store_that_cannot_be_copied_is_not_upgraded(sqlite: StorageConfig, newer: Revisions) -> None:
    await fill(sqlite)
    folder = Path(sqlite.url.removeprefix("sqlite:///")).parent
    await anyio.Path(folder / "socbot.db.before-next").mkdir()
    with pytest.raises(StoreError, match="before-next"):
        async with Database.open(sqlite, CLOCK, newer):
            pass
    async with Database.open(sqlite, CLOCK) as database:
        assert await database.read(state) == OLD


async def test_a_store_that_does_not_say_its_revision_is_damaged(config: StorageConfig) -> None:
    async with Database.open(config, CLOCK) as database:
        await database.write(lambda connection: connection.change("DELETE FROM alembic_version"))
    with pytest.raises(StoreDamaged, match="revision"):
        async with Database.open(config, CLOCK):
            pass


def test_opening_a_store_that_is_up_to_date_imports_neither_sqlalchemy_nor_alembic(tmp_path: Path) -> None:
    program = OPEN + "print(sorted({'alembic', 'sqlalchemy', 'psycopg'} & set(sys.modules)))"
    command = [sys.executable, "-c", program, f"sqlite:///{tmp_path}/socbot.db", str(RELEASED.folder), HEAD]
    for _ in range(2):  # made, then opened
        assert subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout == b"open\n[]\n"
