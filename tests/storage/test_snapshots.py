"""One moment of the store: taken while others write, without a plain copy where there may be none, and put back."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import pytest
from anyio.abc import TaskStatus
from hypothesis import given
from hypothesis import strategies as st

from socbot.config import StorageConfig
from socbot.storage import snapshots
from socbot.storage.connection import Connection
from socbot.storage.database import Database, StoreDamaged, StoreError, StoreTooNew
from socbot.storage.migrations import HEAD, RELEASED, Revisions
from socbot.storage.snapshots import PAGES, SHAPE, RowCheck, Shape, Table, check_pages, fill, moment, our_tables, stage
from socbot.testing import FakeClock
from tests.postgresql import Server

ROWS: dict[str, list[dict[str, Any]]] = {
    "settings": [
        {"key": "a", "value": '"ä € 𝄞 \\u0000"', "set_by": "", "set_at": 0.1},
        {"key": "b", "value": "x" * 70_000, "set_by": "discord:1", "set_at": -1.5e300},
    ],
    "traces": [{"id": 7, "at": 1.0, "count": 2**62, "ids": " t ", "packed": bytes(range(256))}],
    "blacklist": [
        {"platform": "discord", "kind": "user", "subject": str(n), "reason": "r", "added_by": "o", "added_at": n / 3,
         "expires_at": None if n % 2 else n + 0.25, "source": "manual"}
        for n in range(1_000)
    ],
}  # fmt: skip


def put(connection: Connection) -> None:
    for table, rows in ROWS.items():
        names = ", ".join(rows[0])
        values = ", ".join(f":{name}" for name in rows[0])
        connection.execute_many(f"INSERT INTO {table} ({names}) VALUES ({values})", rows)


def held(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """All that is in the store."""
    return {table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr) for table in our_tables()}


def in_file(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    connection = sqlite3.connect(path)
    try:
        return {table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr) for table in our_tables()}
    finally:
        connection.close()


def laid_out(config: StorageConfig, folder: Path, staging: Path | None) -> None:
    """A moment as it is once it was packed and unpacked."""
    with moment(config, staging) as now:
        for source in now.sources:
            target = folder / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.path.read_bytes() if source.path else source.content)


def staging_in(folder: Path) -> Path:
    path = folder / "staging"
    path.mkdir(exist_ok=True)
    return path


# -- out and in ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["pages", "rows"])
async def test_what_is_in_the_store_comes_back(tmp_path: Path, sqlite: StorageConfig, form: str) -> None:
    async with Database.open(sqlite, FakeClock()) as database:
        await database.write(put)
        live = await database.read(held)
        laid_out(sqlite, tmp_path / "out", staging_in(tmp_path) if form == "pages" else None)
    stage(tmp_path / "out", tmp_path / "staged.db")
    assert in_file(tmp_path / "staged.db") == live
    assert (tmp_path / "staged.db").stat().st_mode & 0o777 == 0o600
    async with Database.open(StorageConfig(url=f"sqlite:///{tmp_path}/staged.db"), FakeClock()) as opened:
        assert await opened.read(held) == live


async def test_postgresql_goes_out_and_comes_back(tmp_path: Path, config: StorageConfig) -> None:
    async with Database.open(config, FakeClock()) as database:
        await database.write(put)
        live = await database.read(held)
        laid_out(config, tmp_path / "out", None)
        stage(tmp_path / "out", tmp_path / "staged.db")
        assert in_file(tmp_path / "staged.db") == live
        await database.write(lambda connection: connection.change("DELETE FROM blacklist"))
        await database.write(lambda connection: connection.change("UPDATE settings SET value = 'changed'"))
        counts = await database.write(lambda connection: fill(connection, tmp_path / "staged.db"))
        assert await database.read(held) == live
        assert {table: count for table, count in counts.items() if count} == {k: len(v) for k, v in ROWS.items()}


async def test_a_store_moves_from_one_database_to_the_other(
    tmp_path: Path, sqlite: StorageConfig, server: Server
) -> None:
    other = StorageConfig(url=server.new_database())
    async with Database.open(sqlite, FakeClock()) as ours, Database.open(other, FakeClock()) as theirs:
        await ours.write(put)
        laid_out(sqlite, tmp_path / "out", staging_in(tmp_path))
        stage(tmp_path / "out", tmp_path / "staged.db")
        await theirs.write(lambda connection: fill(connection, tmp_path / "staged.db"))
        assert await theirs.read(held) == await ours.read(held)


async def test_numbers_go_on_behind_those_that_were_put_back(tmp_path: Path, config: StorageConfig) -> None:
    async with Database.open(config, FakeClock()) as database:
        await database.write(put)
        laid_out(config, tmp_path / "out", None)
        stage(tmp_path / "out", tmp_path / "staged.db")
        await database.write(lambda connection: fill(connection, tmp_path / "staged.db"))
        new = "INSERT INTO traces (at, count, ids, packed) VALUES (1, 1, '', :packed) RETURNING id"
        [(number,)] = await database.write(lambda connection: connection.execute(new, {"packed": b""}))
        assert number == 8


async def test_what_is_to_be_left_is_left_and_a_failure_undoes_all(tmp_path: Path, config: StorageConfig) -> None:
    async with Database.open(config, FakeClock()) as database:
        await database.write(put)
        laid_out(config, tmp_path / "out", None)
        stage(tmp_path / "out", tmp_path / "staged.db")
        await database.write(lambda connection: connection.change("UPDATE settings SET value = 'now'"))
        live = await database.read(held)

        def fail(connection: Connection) -> None:
            fill(connection, tmp_path / "staged.db")
            raise LookupError

        with pytest.raises(LookupError):
            await database.write(fail)
        assert await database.read(held) == live
        await database.write(lambda connection: fill(connection, tmp_path / "staged.db", frozenset(("settings",))))
        assert await database.read(held) == live


def make_older(path: Path, revisions: Revisions) -> None:
    path.parent.mkdir()
    path.touch(0o600)
    snapshots._make_tables(path, revisions.head, revisions)
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO settings VALUES ('a', '1', 'me', 2.5)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("form", ["pages", "rows"])
async def test_an_older_store_is_brought_up_to_date(tmp_path: Path, sqlite: StorageConfig, form: str) -> None:
    first = Revisions(RELEASED.names[:1], RELEASED.folder)
    path = Path(sqlite.url.removeprefix("sqlite:///"))
    make_older(path, first)
    laid_out(sqlite, tmp_path / "out", staging_in(tmp_path) if form == "pages" else None)
    stage(tmp_path / "out", tmp_path / "staged.db")
    connection = sqlite3.connect(tmp_path / "staged.db")
    assert connection.execute("SELECT * FROM settings").fetchall() == [("a", "1", "me", 2.5)]
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
    connection.close()


# -- a moment of it -----------------------------------------------------------------------------------


RATE = 500
"""Writes a second: of the load that is promised."""

TRIED = RATE * 1.2
"""What is tried, so that what is promised is reached although some are late."""

KEPT, SWEPT = 1_000, 100
"""Rows that stay when some are swept away, and after how many writes that is: no moment is much larger."""

MOST_WAITING = 64


TOGETHER = {"sqlite": 1, "postgresql": 4}
"""Writes that are one transaction: at PostgreSQL each statement is a way there and back."""


async def write_on(database: Database, rate: float, *, task_status: TaskStatus[None]) -> None:
    """Writes that each change three tables so that they agree, each begun at its time.

    Those that come while another is committed share the next commit, as everything that is written at once does.
    """
    began, room, together = anyio.current_time(), anyio.Semaphore(MOST_WAITING), TOGETHER[database.dialect]

    async def write(last: int) -> None:
        await database.write(partial(agree, numbers=range(last - together + 1, last + 1)))
        room.release()
        if last == together:
            task_status.started()

    async with anyio.create_task_group() as tasks:
        for last in count(together, together):
            await room.acquire()
            tasks.start_soon(write, last)
            await anyio.sleep(max(0.0, began + last / rate - anyio.current_time()))


def agree(connection: Connection, numbers: range) -> None:
    last = {"text": str(numbers[-1]), "number": numbers[-1], "filler": "x" * 500}
    connection.change(
        "INSERT INTO settings (key, value, set_by, set_at) VALUES ('n', :text, :filler, 0) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        last,
    )
    each = [{"text": str(number), "number": number} for number in numbers]
    connection.execute_many("INSERT INTO log_templates VALUES (:text, 0, 0, :number)", each)
    if numbers[-1] % SWEPT == 0:
        gone = {"gone": numbers[-1] - KEPT}
        connection.change("DELETE FROM log_templates WHERE count <= :gone", gone)
    connection.change(
        "INSERT INTO heartbeats (name, at) VALUES ('n', :number) ON CONFLICT (name) DO UPDATE SET at = excluded.at",
        last,
    )


def agreed(path: Path) -> int:
    """The number on which all three tables agree: how many writes there were before."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        [(value,)] = connection.execute("SELECT value FROM settings") or [(0,)]
        [(at,)] = connection.execute("SELECT at FROM heartbeats")
        counts = [count for (count,) in connection.execute("SELECT count FROM log_templates ORDER BY count")]
    finally:
        connection.close()
    number = int(value)
    assert at == number
    assert counts == list(range(max(1, number - number % SWEPT - KEPT + 1), number + 1))
    return number


async def moments(config: StorageConfig, folder: Path, form: str, times: int, rate: float) -> list[tuple[int, float]]:
    """How many writes there were in each of so many moments, and when they were taken."""
    found = []

    def take() -> tuple[int, float]:
        out, at = folder / "out", monotonic()
        laid_out(config, out, staging_in(folder) if form == "pages" else None)
        stage(out, folder / "staged.db")
        number = agreed(folder / "staged.db")
        for path in (folder / "staged.db", folder / "staging" / "socbot.db", *out.rglob("*.*"), *out.rglob("0*")):
            path.unlink(missing_ok=True)
        return number, at

    async with Database.open(config, FakeClock()) as database, anyio.create_task_group() as tasks:
        await tasks.start(write_on, database, rate)
        for _ in range(times):
            found.append(await anyio.to_thread.run_sync(take))
        tasks.cancel_scope.cancel()
    return found


def reached(found: list[tuple[int, float]]) -> float:
    """Writes a second, by what is in the moments."""
    (first, began), (last, ended) = found[0], found[-1]
    return (last - first) / (ended - began)


@pytest.mark.promise("P05")
@pytest.mark.parametrize("form", ["pages", "rows"])
async def test_each_moment_is_one_moment_while_others_write(tmp_path: Path, sqlite: StorageConfig, form: str) -> None:
    found = await moments(sqlite, tmp_path, form, 20 if form == "pages" else 6, RATE)
    assert found == sorted(found)
    assert found[-1] > found[0]


@pytest.mark.promise("P05")
async def test_each_moment_is_one_moment_on_postgresql(tmp_path: Path, server: Server) -> None:
    found = await moments(StorageConfig(url=server.new_database()), tmp_path, "rows", 6, RATE)
    assert found == sorted(found)
    assert found[-1] > found[0]


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.promise("P05")
@pytest.mark.parametrize("form", ["pages", "rows"])
async def test_two_hundred_moments_while_others_write(tmp_path: Path, sqlite: StorageConfig, form: str) -> None:
    found = await moments(sqlite, tmp_path, form, 200, TRIED)
    assert len({number for number, _ in found}) > 150
    assert reached(found) >= RATE


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.promise("P05")
async def test_two_hundred_moments_on_postgresql(tmp_path: Path, server: Server) -> None:
    found = await moments(StorageConfig(url=server.new_database()), tmp_path, "rows", 200, TRIED)
    assert len({number for number, _ in found}) > 150
    assert reached(found) >= RATE


@pytest.mark.promise("P05")
async def test_copying_does_not_begin_anew_when_others_write(tmp_path: Path, sqlite: StorageConfig) -> None:
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        assert steps < 20  # without the reading that is held open it would never come to an end
        other = sqlite3.connect(sqlite.url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("UPDATE settings SET set_at = set_at + 1")
        other.close()

    async with Database.open(sqlite, FakeClock()) as database:
        row = "INSERT INTO settings VALUES (:key, :value, '', 0)"
        rows = [{"key": str(number), "value": "x" * 3_000} for number in range(8_000)]
        await database.write(lambda connection: connection.execute_many(row, rows))
        with moment(sqlite, staging_in(tmp_path), step) as now:
            assert now.size > 24_000_000
        assert steps > 5
    copy = sqlite3.connect(tmp_path / "staging" / "socbot.db")
    assert copy.execute("SELECT DISTINCT set_at FROM settings").fetchall() == [(0.0,)]
    copy.close()


@pytest.mark.promise("P05")
async def test_the_live_file_is_opened_by_the_database_alone(tmp_path: Path, sqlite: StorageConfig) -> None:
    opened: list[str] = []
    watching = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event in ("open", "os.open", "shutil.copyfile") and "socbot.db" in str(arguments[0]):
            opened.append(str(arguments[0]))

    async with Database.open(sqlite, FakeClock()):
        sys.addaudithook(watch)
        try:
            laid_out(sqlite, tmp_path / "rows", None)
            laid_out(sqlite, tmp_path / "pages", staging_in(tmp_path))
        finally:
            watching = False
    assert {Path(path).parent.name for path in opened} == {"staging", "store"}


@pytest.mark.parametrize("with_staging", [True, False])
async def test_a_step_that_raises_ends_the_moment(tmp_path: Path, sqlite: StorageConfig, with_staging: bool) -> None:
    def stop() -> None:
        raise InterruptedError

    async with Database.open(sqlite, FakeClock()) as database:
        await database.write(put)
        with (
            pytest.raises(InterruptedError),
            moment(sqlite, staging_in(tmp_path) if with_staging else None, stop) as now,
        ):
            list(now.sources)
        await database.write(lambda connection: connection.change("DELETE FROM settings"))  # and nothing is locked


async def test_there_is_no_moment_of_nothing(tmp_path: Path, config: StorageConfig) -> None:
    nowhere = msgspec.structs.replace(config, url="sqlite:///" + str(tmp_path / "none.db"))
    with pytest.raises(StoreError), moment(nowhere, None):
        pass
    assert not (tmp_path / "none.db").exists()
    if config.url.startswith("postgresql"):
        with pytest.raises(StoreError, match="nothing"), moment(config, None):
            pass


# -- nothing plain ------------------------------------------------------------------------------------

CANARY = "the-canary-sings-in-the-clear"

SEALING = """
import os, sys
from pathlib import Path
from socbot.config import StorageConfig
from socbot.systems.backup.archive import back_up
from socbot.systems.backup.keys import Keyring
from socbot.systems.backup.manifest import Info
seal = sys.argv[3] == "seal"
keys = Keyring(b"k" * 32, (), os.urandom)
storage = StorageConfig(url="sqlite:///" + sys.argv[1])
back_up(Path(sys.argv[2]), Info("manual", 1e9, "0"), storage, [], keys=keys, seal=seal)
"""


@pytest.mark.parametrize(("how", "seen"), [("seal", False), ("plain", True)])
async def test_a_sealed_backup_writes_no_plain_byte(
    tmp_path: Path, sqlite: StorageConfig, how: str, seen: bool
) -> None:
    """By every write of the process, as the kernel saw it; and the plain one shows that it would have been seen."""
    async with Database.open(sqlite, FakeClock()) as database:
        row = "INSERT INTO settings VALUES (:key, :value, '', 0)"
        rows = [{"key": str(number), "value": CANARY + os.urandom(300).hex()} for number in range(3_000)]
        await database.write(lambda connection: connection.execute_many(row, rows))
        path, target, trace = sqlite.url.removeprefix("sqlite:///"), tmp_path / "backups/backup_x", tmp_path / "trace"
        calls = "trace=write,pwrite64,writev,pwritev,pwritev2,sendfile,copy_file_range,splice,mmap"
        program = ["strace", "-f", "-y", "-s", "300000", "-e", calls, "-o", str(trace), sys.executable, "-c", SEALING]
        await anyio.run_process([*program, path, str(target), how], cwd=Path.cwd())
    written = [line for line in trace.read_text(errors="replace").splitlines() if CANARY in line]
    assert bool(written) == seen
    assert CANARY.encode() not in target.read_bytes()
    assert (target.read_bytes()[:10] == b"SOCBOTSEAL") != seen
    assert [each.name for each in target.parent.iterdir() if each.name != ".gitignore"] == ["backup_x"]


# -- rows that are none -------------------------------------------------------------------------------


def rows_of(*rows: list[Any]) -> bytes:
    return b"".join(content for content, _ in snapshots._gathered(iter([list(map(tuple, rows))]), lambda: None))


def lay(folder: Path, shape: bytes | Shape, pieces: dict[str, bytes]) -> Path:
    (folder / SHAPE).parent.mkdir(parents=True)
    (folder / SHAPE).write_bytes(shape if isinstance(shape, bytes) else msgspec.json.encode(shape))
    for name, content in pieces.items():
        (folder / "store/rows" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "store/rows" / name).write_bytes(content)
    return folder


SETTINGS = ("key", "value", "set_by", "set_at")
GOOD = rows_of(["a", "1", "me", 0.0])


@pytest.mark.parametrize(
    ("shape", "pieces", "error"),
    [
        (b"{", {}, StoreDamaged),
        (b"[" * 50_000, {}, StoreDamaged),
        (Shape("9999", {}), {}, StoreTooNew),
        (Shape(HEAD, {"nothing": Table(("a",), 0)}), {}, StoreDamaged),
        (Shape(HEAD, {"sqlite_master": Table(("type", "name", "tbl_name", "rootpage", "sql"), 1)}), {}, StoreDamaged),
        (Shape(HEAD, {"alembic_version": Table(("version_num",), 1)}), {}, StoreDamaged),
        (Shape(HEAD, {'settings"; DROP TABLE audit; --': Table(SETTINGS, 0)}), {}, StoreDamaged),
        (Shape(HEAD, {"settings": Table(('key", "value', "value", "set_by", "set_at"), 0)}), {}, StoreDamaged),
        (Shape(HEAD, {"settings": Table(SETTINGS[:3], 1)}), {"settings/1": GOOD}, StoreDamaged),
        (Shape(HEAD, {"settings": Table(SETTINGS, 2)}), {"settings/1": GOOD}, StoreDamaged),
        (Shape(HEAD, {"settings": Table(SETTINGS, 1)}), {"settings/1": rows_of(["a", "1"])}, StoreDamaged),
        (Shape(HEAD, {"settings": Table(SETTINGS, 1)}), {"settings/1": GOOD[:-1]}, StoreDamaged),
        (Shape(HEAD, {"settings": Table(SETTINGS, 1)}), {"settings/1": b"\xff\xff\xff\xff"}, StoreDamaged),
        (Shape(HEAD, {"settings": Table(SETTINGS, 1)}), {"settings/1": rows_of([[], {}, "", 0])}, StoreError),
        (Shape(HEAD, {"settings": Table(SETTINGS, 2)}), {"settings/1": GOOD + GOOD}, StoreError),
    ],
)
def test_rows_that_do_not_belong_there_make_no_store(
    tmp_path: Path, shape: bytes | Shape, pieces: dict[str, bytes], error: type[StoreError]
) -> None:
    with pytest.raises(error):
        stage(lay(tmp_path / "out", shape, pieces), tmp_path / "staged.db")


def test_nothing_makes_no_store(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(StoreDamaged, match="neither"):
        stage(tmp_path / "out", tmp_path / "staged.db")


def test_pages_that_are_no_store_are_found_out(tmp_path: Path, sqlite: StorageConfig) -> None:
    (tmp_path / "out/store").mkdir(parents=True)
    (tmp_path / "out" / PAGES).write_bytes(b"SQLite format 3\0" + bytes(4_000))
    with pytest.raises(StoreError):
        check_pages(tmp_path / "out" / PAGES)
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(StoreDamaged, match="no store of socbot"):
        check_pages(tmp_path / "other.db")


def pieces(content: bytes) -> Iterator[memoryview]:
    yield memoryview(content)


@pytest.mark.parametrize("found", [0, 2])
def test_rows_are_counted_as_they_pass(found: int) -> None:
    check = RowCheck()
    check.see("store/rows/settings/000001", len(GOOD), pieces(GOOD * found))
    shape = msgspec.json.encode(Shape(HEAD, {"settings": Table(SETTINGS, 1)}))
    check.see(SHAPE, len(shape), pieces(shape))
    with pytest.raises(StoreDamaged, match="settings has"):
        check.counted()


values = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary()


@given(st.lists(st.lists(st.tuples(values, values), min_size=1, max_size=5), max_size=6))
def test_rows_come_out_as_they_went_in(batches: list[list[tuple[object, object]]]) -> None:
    packed = list(snapshots._gathered(iter(batches), lambda: None))
    found = [tuple(row) for content, _ in packed for rows in snapshots._unpacked(content, "") for row in rows]
    assert found == [row for batch in batches for row in batch]
    assert sum(count for _, count in packed) == len(found)


@given(st.binary(max_size=100))
def test_no_bytes_raise_anything_else(content: bytes) -> None:
    with suppress(StoreDamaged):
        list(snapshots._unpacked(content, "x"))


def test_our_tables_are_those_of_the_schema() -> None:
    from socbot.storage.schema import metadata

    assert our_tables() == sorted(metadata.tables)


def test_taking_a_moment_imports_nothing_that_takes_long() -> None:
    heavy = "{'sqlalchemy', 'alembic', 'zstandard', 'psycopg'}"
    program = f"import sys, socbot.storage.snapshots; print({heavy} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
