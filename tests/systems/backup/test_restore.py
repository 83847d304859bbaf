"""A restore is all or nothing, whenever the process ends, and it can be taken back."""

import errno
import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import anyio
import anyio.from_thread
import pytest
from anyio.lowlevel import checkpoint, current_token
from msgspec.structs import replace

from socbot.config import StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.dispatch.errors import InvalidArgument
from socbot.storage import swaps
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.errors import StoreError, StoreTooNew
from socbot.storage.snapshots import PAGES, Moment, Source
from socbot.storage.sqlite_file import SqliteFile
from socbot.systems.backup import Backups, Restored
from socbot.systems.backup.archive import write_archive
from socbot.systems.backup.errors import BackupError
from socbot.systems.backup.manifest import TRAILER
from socbot.systems.backup.restore import CARRIED, place_of
from socbot.systems.backup.restoring import restore_over
from socbot.systems.backup.shelf import Shelf
from socbot.systems.webhooks import outbox
from socbot.systems.webhooks.endpoint import Row
from tests.killing import at_step, find_no_room
from tests.systems.backup.packed import INFO, keyring
from tests.systems.backup.restorer import Host, backup_config, storage

pytestmark = pytest.mark.promise("P07")

NAMED = re.compile(r"store/|files/|backup itself")
"""What a refusal says is wrong."""


def put(name: str, value: str, connection: Connection) -> None:
    connection.change(
        "INSERT INTO settings (key, value, set_by, set_at) VALUES (:name, :value, '', 0) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        {"name": name, "value": value},
    )


def tables(connection: Connection) -> list[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return [name for (name,) in rows if not name.startswith("sqlite_") and name not in CARRIED]


def contents(connection: Connection) -> Any:
    return {table: sorted(map(repr, connection.execute(f'SELECT * FROM "{table}"'))) for table in tables(connection)}


def files(root: Path) -> dict[str, bytes]:
    found = [root / "config.yaml", *(root / "attachments").rglob("*")]
    return {str(path.relative_to(root)): path.read_bytes() for path in found if path.is_file()}


async def state(root: Path) -> Any:
    """All that a restore exchanges, from a store that must open and be sound."""
    async with Database.open(storage(root), SystemClock()) as database:
        assert await database.read(lambda connection: connection.execute("PRAGMA integrity_check")) == [("ok",)]
        return await database.read(contents), files(root)


def write_files(root: Path, text: str) -> None:
    (root / "attachments" / "deep").mkdir(parents=True, exist_ok=True)
    (root / "config.yaml").write_text(f"# {text}\n")
    (root / "attachments" / "deep" / "a ä.txt").write_text(text)
    (root / "attachments" / f"{text}.txt").write_text(text)


def leftovers(root: Path) -> list[str]:
    """What a restore must not leave behind, beside what it keeps of the state before."""
    endings = (".restoring", ".restore", ".back", ".done", ".part", ".drill")
    return [path.name for path in root.rglob("*") if path.name.endswith(endings)]


class World:
    """A folder with a store, files, and a backup of a state that was before."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = ""
        self.old: Any = None  # what is there
        self.new: Any = None  # what is in the backup

    async def make(self) -> "World":
        async with Database.open(storage(self.root), SystemClock()) as database:
            backups = Backups(database, SystemClock(), storage(self.root), backup_config(self.root), Host())
            await database.write(lambda connection: put("a", "1", connection))
            write_files(self.root, "first")
            self.name = (await backups.now()).backup.name
        self.new = await state(self.root)
        async with Database.open(storage(self.root), SystemClock()) as database:
            await database.write(lambda connection: put("b", "2" * 100_000, connection))
        write_files(self.root, "second")
        self.old = await state(self.root)
        assert self.old != self.new
        return self


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return await World(tmp_path).make()


class Killer:
    """Restores in processes of its own that are killed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def restore(self, root: Path, name: str, *, kill: int = -1, fail: int = -1) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{root} {name} {fail} {kill}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    command, root = [sys.executable, "-m", "tests.systems.backup.restorer"], Path(__file__).parents[3]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Killer(process)
        assert process.stdin is not None
        process.stdin.close()


async def restore(world: World, name: str, step: Any = lambda step: None) -> Restored:
    root = world.root
    async with (
        Database.open(storage(root), SystemClock()) as database,
        Backups(database, SystemClock(), storage(root), backup_config(root), Host(), step=step) as backups,
    ):
        return await (backups.undo() if name == "undo" else backups.restore(name))


async def steps_of(world: World) -> list[str]:
    """What a restore does, in order; it is undone again."""
    steps: list[str] = []
    await restore(world, world.name, steps.append)
    await restore(world, "undo")
    assert await state(world.root) == world.old
    return steps


async def test_all_of_it_is_there_again_and_can_be_taken_back(world: World) -> None:
    done = await restore(world, world.name)
    assert await state(world.root) == world.new
    assert [Path(path).name for path in done.files] == ["config.yaml", "attachments"]
    assert done.before.startswith("backup_pre_restore_")
    assert done.problems == done.left_out == ()
    await restore(world, "undo")
    assert await state(world.root) == world.old
    await restore(world, "undo")
    assert await state(world.root) == world.new, "and that can be undone too"
    assert leftovers(world.root) == []


async def kill_at_each_step(world: World, killer: Killer) -> set[str]:
    """Kill a restore at each of its steps; which of the two states was there afterwards."""
    count, found = len(await steps_of(world)), set()
    for number in range(count):
        assert killer.restore(world.root, world.name, kill=number) == "killed"
        there = await state(world.root)
        assert there in (world.old, world.new), f"step {number} left a mixture"
        found.add("old" if there == world.old else "new")
        if there == world.new:
            await restore(world, "undo")
            assert await state(world.root) == world.old
    assert killer.restore(world.root, world.name) == "done", "nothing that is left keeps the next from working"
    assert await state(world.root) == world.new
    assert leftovers(world.root) == []
    assert count > 15
    return found


async def test_killed_at_any_step_it_is_wholly_old_or_wholly_new(world: World, killer: Killer) -> None:
    assert await kill_at_each_step(world, killer) == {"old", "new"}


@pytest.mark.slow
async def test_killed_at_any_step_ten_times_over(world: World, killer: Killer) -> None:
    for _ in range(10):
        await kill_at_each_step(world, killer)
        await restore(world, "undo")


async def test_without_room_at_any_step_everything_is_as_it_was(world: World) -> None:
    for number, name in enumerate(await steps_of(world)):
        async with Database.open(storage(world.root), SystemClock()) as database:
            backups = Backups(
                database, SystemClock(), storage(world.root), backup_config(world.root), Host(),
                step=at_step(number, find_no_room),
            )  # fmt: skip
            with pytest.raises(BackupError, match=r"No space|Everything is as it was"):
                await backups.restore(world.name)
            await database.write(lambda connection: put("a", "1", connection))  # it goes on working
        assert await state(world.root) == world.old, name
        assert leftovers(world.root) == [], name


@pytest.mark.slow
async def test_killed_while_it_is_being_taken_back(world: World, killer: Killer) -> None:
    steps = await steps_of(world)
    first = steps.index("write the journal") + 1
    for fail in range(first, len(steps)):
        for kill in range(fail + 1, fail + 20):
            ended = killer.restore(world.root, world.name, fail=fail, kill=kill)
            there = await state(world.root)
            assert there == world.old, f"no room at {steps[fail]}, killed {kill - fail} steps later"
            if ended == "failed":
                break
            assert ended == "killed"


async def test_killed_while_an_undo_goes_on(world: World, killer: Killer) -> None:
    await restore(world, world.name)
    for number in range(4, 30):
        ended = killer.restore(world.root, "undo", kill=number)
        there = await state(world.root)
        assert there in (world.old, world.new)
        if there == world.old:
            break
        assert ended == "killed"
    else:
        pytest.fail("it never came so far")


class Reading(Host):
    """A bot that awaits something when its systems read their state again."""

    async def restored(self) -> tuple[str, ...]:
        await checkpoint()
        return ()


@pytest.mark.parametrize(("moment", "expected"), [("make the store ready", "old"), ("close the journal", "new")])
async def test_who_stops_waiting_ends_it_before_the_swap_and_not_within(
    world: World, moment: str, expected: str
) -> None:
    root, token, scope = world.root, current_token(), anyio.CancelScope()
    gone, went_first = threading.Event(), []

    def step(name: str) -> None:
        if name == moment:
            anyio.from_thread.run_sync(scope.cancel, token=token)
            went_first.append(gone.wait(10.0))

    async with (
        Database.open(storage(root), SystemClock()) as database,
        Backups(database, SystemClock(), storage(root), backup_config(root), Reading(), step=step) as backups,
    ):
        with scope:
            await backups.restore(world.name)
        gone.set()
        async with backups._turns.by_schedule():
            assert went_first == [True], "who stops waiting does not wait for the end"
            assert not swaps.is_open(place_of(storage(root), backup_config(root)).journal)
    assert await state(root) == getattr(world, expected)
    assert leftovers(root) == []


# -- what is refused ----------------------------------------------------------------------------------


def damages(packed: bytes, count: int) -> Iterator[bytes]:
    """The backup with one bit flipped, here and there and within what stands at its end; and cut, and emptied."""
    anywhere = Random(6).sample(range(len(packed) * 8), count)
    for bit in (*anywhere, *range((len(packed) - TRAILER) * 8, len(packed) * 8, 40)):
        flipped = bytearray(packed)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)
    for size in (0, 1, len(packed) // 2, len(packed) - 1):
        yield packed[:size]


@pytest.mark.promise("P06")
@pytest.mark.parametrize("count", [40, pytest.param(1_000, marks=pytest.mark.slow)])
async def test_a_damaged_backup_is_not_restored_and_what_is_live_is_not_touched(world: World, count: int) -> None:
    root = world.root
    path = next((root / "backups").glob(f"{world.name}*"))
    async with (
        Database.open(storage(root), SystemClock()) as database,
        Backups(database, SystemClock(), storage(root), backup_config(root), Host()) as backups,
    ):
        for packed in damages(path.read_bytes(), count):
            path.write_bytes(packed)
            with pytest.raises(BackupError) as refused:
                await backups.restore(world.name)
            assert world.name in str(refused.value) or NAMED.search(str(refused.value)), str(refused.value)
            assert (await database.read(contents), files(root)) == world.old
    assert await state(root) == world.old
    assert not list((root / "backups").glob("*pre_restore*"))
    assert leftovers(root) == []


def forged(world: World, statement: str) -> str:
    """The name of a backup that is right in every byte, of a store on which somebody ran ``statement``."""
    live = world.root / "data" / "socbot.db"
    copy = world.root / "copy.db"
    with closing(sqlite3.connect(live)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute(statement)
        target.commit()
        target.execute("PRAGMA journal_mode = DELETE")
    name = "backup_manual_20200101_000000"
    now = Moment("sqlite", "pages", "9999", copy.stat().st_size, iter([Source(PAGES, copy)]))
    write_archive(world.root / "backups" / f"{name}.tar.zst", INFO, now, keys=keyring(), seal=False)
    return name


async def test_a_backup_of_a_newer_schema_is_refused(world: World) -> None:
    name = forged(world, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreTooNew, match="9999"):
        await restore(world, name)
    assert await state(world.root) == world.old
    assert leftovers(world.root) == []


async def test_a_store_that_would_act_by_itself_is_refused(world: World) -> None:
    name = forged(world, "CREATE TRIGGER t AFTER INSERT ON audit BEGIN DELETE FROM audit; END")
    with pytest.raises(StoreError, match="triggers"):
        await restore(world, name)
    assert await state(world.root) == world.old
    assert leftovers(world.root) == []


async def test_a_name_that_is_none_is_answered_with_the_nearest(world: World) -> None:
    with pytest.raises(InvalidArgument, match=world.name):
        await restore(world, world.name[:-1] + "x")


async def test_where_there_is_nothing_to_undo_that_is_said(world: World) -> None:
    with pytest.raises(BackupError, match="no restore that could be undone"):
        await restore(world, "undo")


# -- what stays as it is ------------------------------------------------------------------------------


async def test_the_audit_trail_the_outbox_and_what_is_known_of_backups_are_carried_over(world: World) -> None:
    def fill(connection: Connection) -> None:
        connection.execute(
            "INSERT INTO audit (at, who, action, what, result, trace_id, previous, hash) "
            "VALUES (1, 'me', 'ban', 'them', 'ok', '', '', 'abc')"
        )
        connection.execute(
            "INSERT INTO deliveries (webhook, event_id, event, state, at, next_at, last_answer, message_id, reason) "
            "VALUES ('ops', 'S-1', '{}', 'delivered', 1, 1, '', '', '')"
        )

    def kept(connection: Connection) -> Any:
        return {table: connection.execute(f"SELECT * FROM {table}") for table in CARRIED}

    async with Database.open(storage(world.root), SystemClock()) as database:
        await database.write(fill)
        before = await database.read(kept)
    await restore(world, world.name)
    async with Database.open(storage(world.root), SystemClock()) as database:
        after = await database.read(kept)
    assert len(after["audit"]) == len(after["deliveries"]) == 1
    assert after["audit"] == before["audit"]
    assert after["deliveries"] == before["deliveries"]
    assert {row[0] for row in after["backups"]} > {row[0] for row in before["backups"]}


async def test_files_that_config_yaml_does_not_name_are_not_written(world: World) -> None:
    root = world.root
    narrower = replace(backup_config(root), paths=(str(root / "config.yaml"),))
    async with Database.open(storage(root), SystemClock()) as database:
        backups = Backups(database, SystemClock(), storage(root), narrower, Host())
        done = await backups.restore(world.name)
    assert done.left_out == (str(root / "attachments"),)
    there = files(root)
    assert there["config.yaml"] == b"# first\n"
    assert there["attachments/second.txt"] == b"second"


async def test_modes_and_links_are_kept(world: World) -> None:
    root = world.root
    (root / "config.yaml").chmod(0o600)
    (root / "real.yaml").write_text("# real\n")
    async with Database.open(storage(root), SystemClock()) as database:
        backups = Backups(database, SystemClock(), storage(root), backup_config(root), Host())
        name = (await backups.now()).backup.name
    (root / "config.yaml").unlink()
    (root / "config.yaml").symlink_to("real.yaml")
    await restore(world, name)
    assert (root / "config.yaml").is_symlink()
    assert (root / "real.yaml").read_text() == "# second\n"
    assert (root / "real.yaml").stat().st_mode & 0o777 == 0o600


# -- a store that cannot be opened --------------------------------------------------------------------


async def test_a_store_that_cannot_be_opened_is_put_aside_byte_for_byte(world: World) -> None:
    path = place_of(storage(world.root), backup_config(world.root)).store
    assert path is not None
    broken = b"no database at all" + os.urandom(5_000)
    path.write_bytes(broken)
    config = backup_config(world.root)
    file = SqliteFile(str(path))
    file.claim(1.0)
    done = restore_over(world.name, Shelf(config), place_of(storage(world.root), config), SystemClock())
    file.release()
    assert done.before == ""
    assert any("audit" in problem for problem in done.problems)
    assert await state(world.root) == world.new
    assert path.with_name(path.name + ".before-restore").read_bytes() == broken


# -- PostgreSQL ---------------------------------------------------------------------------------------


class OnPostgres:
    """The same on PostgreSQL, where the files and the tables are exchanged by two means."""

    def __init__(self, root: Path, config: StorageConfig) -> None:
        self.root, self.config = root, config

    def backups(self, database: Database, step: Any = lambda step: None) -> Backups:
        return Backups(database, SystemClock(), self.config, backup_config(self.root), Host(), step=step)

    async def state(self) -> Any:
        async with Database.open(self.config, SystemClock()) as database:
            await self.backups(database).load()
            return await database.read(_rows), files(self.root)


def _rows(connection: Connection) -> Any:
    names = ("settings", "blacklist", "jobs", "signals", "heartbeats")
    return {name: sorted(connection.execute(f"SELECT * FROM {name}")) for name in names}


@pytest.fixture
async def on_postgres(tmp_path: Path, postgresql: Any) -> OnPostgres:
    return OnPostgres(tmp_path, StorageConfig(url=postgresql.new_database()))


class Times:
    """What was done on PostgreSQL, and the two states."""

    def __init__(self, on_postgres: OnPostgres, name: str, old: Any, new: Any, steps: list[str]) -> None:
        self.on_postgres, self.name, self.old, self.new, self.steps = on_postgres, name, old, new, steps

    async def fail_at(self, number: int) -> None:
        """Find no room at a step; everything is as it was."""
        there = self.on_postgres
        async with Database.open(there.config, SystemClock()) as database:
            with pytest.raises(BackupError):
                await there.backups(database, at_step(number, find_no_room)).restore(self.name)
            await database.write(lambda connection: put("b", "2", connection))
        assert await there.state() == self.old, self.steps[number]
        assert leftovers(there.root) == [], self.steps[number]


@pytest.fixture
async def times(on_postgres: OnPostgres) -> Times:
    root, config = on_postgres.root, on_postgres.config
    async with Database.open(config, SystemClock()) as database:
        await database.write(lambda connection: put("a", "1", connection))
        write_files(root, "first")
        name = (await on_postgres.backups(database).now()).backup.name
    new = await on_postgres.state()
    async with Database.open(config, SystemClock()) as database:
        await database.write(lambda connection: put("b", "2", connection))
    write_files(root, "second")
    old = await on_postgres.state()
    steps: list[str] = []
    async with Database.open(config, SystemClock()) as database:
        await on_postgres.backups(database, steps.append).restore(name)
    assert await on_postgres.state() == new
    async with Database.open(config, SystemClock()) as database:
        await on_postgres.backups(database).undo()
    assert await on_postgres.state() == old
    return Times(on_postgres, name, old, new, steps)


async def test_on_postgresql_it_is_whole_too(times: Times) -> None:
    for step in ("close the journal", "commit", "settle"):
        await times.fail_at(times.steps.index(step))


@pytest.mark.slow
async def test_on_postgresql_it_is_whole_at_every_step(times: Times) -> None:
    for number in range(len(times.steps)):
        await times.fail_at(number)


async def test_on_postgresql_the_tables_decide_for_the_files(on_postgres: OnPostgres) -> None:
    """What a process leaves that ends between the exchange of the files and the commit, and one that ends after it."""
    root, config = on_postgres.root, on_postgres.config
    place = place_of(config, backup_config(root))
    place.journal.parent.mkdir(parents=True)
    for committed, expected in ((False, "old"), (True, "new")):
        live, staged = root / "config.yaml", root / "config.yaml.restoring"
        live.write_text("old")
        staged.write_text("new")
        former = root / f"config.yaml.before-{expected}"
        swaps.carry_out(place.journal, swaps.Journal("x", "", (swaps.plan(live, staged, former),)))
        async with Database.open(config, SystemClock()) as database:
            if committed:
                await database.write(lambda c: c.execute("INSERT INTO heartbeats (name, at) VALUES ('restore', 0)"))
            await on_postgres.backups(database).load()
            assert await database.read(lambda c: c.execute("SELECT * FROM heartbeats")) == []
        assert live.read_text() == expected
        assert not swaps.is_open(place.journal)


async def test_on_postgresql_what_is_put_back_waits_again(on_postgres: OnPostgres) -> None:
    def fill(connection: Connection) -> None:
        outbox.keep(connection, Row("ops", "custom", "", "", ("all",), "info", True, "", 0.0, "me", 1.0))
        connection.execute(
            "INSERT INTO deliveries (webhook, event_id, event, state, at, next_at, last_answer, message_id, reason) "
            "VALUES ('ops', 'S-1', '{}', 'waiting', 1, 1, '', '', '')"
        )

    def fail(step: str) -> None:
        if step == "settle":
            find_no_room()

    async with Database.open(on_postgres.config, SystemClock()) as database:
        name = (await on_postgres.backups(database).now()).backup.name
        await database.write(fill)
        with pytest.raises(BackupError):
            await on_postgres.backups(database, fail).restore(name)
        rows = await database.read(lambda connection: connection.execute("SELECT state, reason FROM deliveries"))
    assert rows == [("waiting", "")]


def test_enospc_is_what_it_says() -> None:
    with pytest.raises(OSError, match="No space") as raised:
        find_no_room()
    assert raised.value.errno == errno.ENOSPC
