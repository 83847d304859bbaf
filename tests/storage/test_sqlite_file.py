"""The SQLite file: private, sound or refused, in the hands of one process and one connection."""

import errno
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import anyio
import pytest
from msgspec import structs

from socbot.config import StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.storage.connection import Connection
from socbot.storage.database import (
    Database,
    StoreBusy,
    StoreDamaged,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
)
from socbot.storage.sqlite import has_wal_reset_bug

CLOCK = SystemClock()


def add(key: str, value: str = "") -> Callable[[Connection], int]:
    """The work that stores ``key``."""
    sql = "INSERT INTO settings (key, value, set_by, set_at) VALUES (:key, :value, '', 0)"
    return lambda connection: connection.change(sql, {"key": key, "value": value})


def keys(connection: Connection) -> list[str]:
    return [key for (key,) in connection.execute("SELECT key FROM settings ORDER BY key")]


async def fill(config: StorageConfig, count: int = 200) -> Path:
    """Make a store with rows in it; return the path of its file."""
    async with Database.open(config, CLOCK) as database:
        for number in range(count):
            await database.write(add(str(number), "x" * 300))
    return Path(config.url.removeprefix("sqlite:///"))


@pytest.fixture(params=[0o000, 0o022])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


# -- P18: private -------------------------------------------------------------------------------------


@pytest.mark.promise("P18")
@pytest.mark.usefixtures("umask")
async def test_whatever_the_umask_nobody_else_may_read_the_store(sqlite: StorageConfig) -> None:
    path = Path(sqlite.url.removeprefix("sqlite:///"))
    async with Database.open(sqlite, CLOCK) as database:
        await database.write(add("a"))
        await database.read(keys)
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(
        (".gitignore", "socbot.db", "socbot.db-wal", "socbot.db-shm", "socbot.db.lock"), 0o600
    )
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert (path.parent / ".gitignore").read_text() == "*\n"


@pytest.mark.promise("P18")
async def test_a_store_that_others_could_read_is_closed_to_them(sqlite: StorageConfig) -> None:
    path = await fill(sqlite, 1)
    path.chmod(0o666)
    async with Database.open(sqlite, CLOCK):
        assert path.stat().st_mode & 0o777 == 0o600


async def test_a_folder_that_was_there_is_left_as_it_is(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o755)
    async with Database.open(StorageConfig(url=f"sqlite:///{tmp_path}/socbot.db"), CLOCK):
        pass
    assert os.stat(tmp_path).st_mode & 0o777 == 0o755
    assert not [name for name in os.listdir(tmp_path) if name == ".gitignore"]


# -- P20: sound, or refused and left alone ------------------------------------------------------------


def overwritten(at: int, data: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(at)
            file.write(data)

    return damage


def cut(size: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, size)


def replaced(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def garbage_log(path: Path) -> None:
    path.with_name(path.name + "-wal").write_bytes(bytes(range(256)) * 40)


def log_changed(at: int) -> Callable[[Path], None]:
    """A change that is in the log alone, whose header has one bit changed."""

    def damage(path: Path) -> None:
        log = path.with_name(path.name + "-wal")
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("INSERT INTO settings (key, value, set_by, set_at) VALUES ('latest', '', '', 0)")
        kept = {file: file.read_bytes() for file in (path, log)}
        connection.close()
        for file, content in kept.items():
            file.write_bytes(content)
        overwritten(at, bytes([kept[log][at] ^ 1]))(log)

    return damage


def foreign(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE diary (entry TEXT)")
    connection.commit()
    connection.close()


def foreign_and_empty(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA application_id = 77")
    connection.commit()
    connection.close()


def without_tables(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


CUTS = (
    0,
    1,
    15,
    16,
    50,
    99,
    100,
    512,
    1000,
    4095,
    4096,
    4097,
    5000,
    8191,
    8192,
    12_288,
    20_000,
    30_000,
    40_000,
    60_000,
)
DAMAGES: dict[str, Callable[[Path], object]] = {
    **{f"byte {at} of the header": overwritten(at, b"\xa5\x5a") for at in (0, 5, 14)},
    **{f"page size {size}": overwritten(16, size.to_bytes(2, "big")) for size in (0, 3, 77)},
    **{f"page {page} zeroed": overwritten(page * 4096, bytes(4096)) for page in range(1, 9)},
    **{f"page {page} overwritten": overwritten(page * 4096, b"\xff" * 4096) for page in range(9)},
    **{f"cut to {size} bytes": cut(size) for size in CUTS},
    **{f"{size} zero bytes": replaced(bytes(size)) for size in (1, 100, 4096, 50_000)},
    **{f"text {text!r}": replaced(text) for text in (b"{}", b"\xef\xbb\xbf", b"SQLite")},
    "another application's": foreign,
    "another application's, and empty": foreign_and_empty,
    "a database without tables": without_tables,
    "application id changed": overwritten(68, b"\0\0\0\x07"),
    "application id zeroed": overwritten(68, bytes(4)),
    "missing": Path.unlink,
    "a log of garbage": garbage_log,
    **{f"byte {at} of the log": log_changed(at) for at in (0, 2, 4, 8, 12, 16, 20, 24, 31)},
}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that holds data; the index of the log and the lock hold none."""
    names = (path for path in folder.iterdir() if not path.name.endswith(("-shm", ".lock")))
    return {path.name: path.read_bytes() for path in names if path.stat().st_size}


@pytest.mark.promise("P20")
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_a_damaged_store_is_refused_and_left_as_it_is(
    sqlite: StorageConfig, damage: Callable[[Path], object]
) -> None:
    path = await fill(sqlite)
    damage(path)
    before = contents(path.parent)
    for _ in range(2):
        with pytest.raises(StoreDamaged):
            async with Database.open(sqlite, CLOCK):
                pass
    assert contents(path.parent) == before


async def test_a_store_begun_by_a_process_that_was_killed_is_finished(tmp_path: Path) -> None:
    config = StorageConfig(url=f"sqlite:///{tmp_path}/socbot.db")
    without_tables_at = tmp_path / "socbot.db"
    without_tables_at.touch()
    without_tables(without_tables_at)
    await fill(config, 1)


@pytest.mark.promise("P20")
async def test_a_log_without_its_database_is_not_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "socbot.db-wal").write_bytes(b"precious" * 100)
    with pytest.raises(StoreDamaged, match="missing"):
        async with Database.open(StorageConfig(url=f"sqlite:///{tmp_path}/socbot.db"), CLOCK):
            pass
    assert (tmp_path / "socbot.db-wal").read_bytes() == b"precious" * 100


# -- P04, P48: one process, one writing connection ----------------------------------------------------


@pytest.mark.promise("P04")
@pytest.mark.parametrize(
    ("version", "bad"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
    ],
)
async def test_a_sqlite_that_can_damage_itself_is_known(
    sqlite: StorageConfig, version: tuple[int, int, int], bad: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert has_wal_reset_bug(version) is bad
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    async with Database.open(sqlite, CLOCK) as database:
        assert database.wal_reset_bug is bad


@pytest.mark.promise("P04")
async def test_one_connection_alone_writes_and_checkpoints(
    sqlite: StorageConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    opened: list[tuple[str, sqlite3.Connection]] = []
    ran: list[tuple[int, int, str]] = []

    def note(number: int, sql: str) -> None:
        ran.append((number, threading.get_ident(), sql))

    def watched(database: str, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(database, **options)  # type: ignore[call-overload]
        number = len(opened)
        opened.append((database, connection))
        connection.set_trace_callback(partial(note, number))
        return connection

    monkeypatch.setattr(sqlite3, "connect", watched)
    await fill(sqlite, 1)
    opened.clear()
    ran.clear()
    async with Database.open(sqlite, CLOCK) as database:

        async def work(name: int) -> None:
            for number in range(100):
                await database.write(add(f"{name}.{number}", "x" * 20_000))
                await database.read(keys)

        async with anyio.create_task_group() as tasks:
            for name in range(4):
                tasks.start_soon(work, name)
        checkpoints = await database.read(lambda connection: connection.execute("PRAGMA wal_autocheckpoint"))
        assert checkpoints == [(0,)]
    writing = [number for number, (uri, _) in enumerate(opened) if uri.endswith("?mode=rw")]
    assert len(writing) == 1
    writes = {(number, thread) for number, thread, sql in ran if sql.startswith(("INSERT", "BEGIN IMMEDIATE"))}
    assert len(writes) == 1
    assert {number for number, _ in writes} == set(writing)
    assert not [sql for _, _, sql in ran if "checkpoint" in sql.lower() and "autocheckpoint" not in sql.lower()]


async def test_the_log_stays_small_and_is_gone_after_closing(sqlite: StorageConfig) -> None:
    path = Path(sqlite.url.removeprefix("sqlite:///"))
    async with Database.open(sqlite, CLOCK) as database:
        for number in range(300):
            await database.write(add(str(number), "x" * 100_000))
        assert path.with_name("socbot.db-wal").stat().st_size < 8_000_000
    assert not path.with_name("socbot.db-wal").exists()


HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
"""


def child(program: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """Another process that runs ``program``."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


async def longest_pause(stop: anyio.Event) -> float:
    """How long the event loop was held up at most until ``stop``."""
    longest = 0.0
    while not stop.is_set():
        before = anyio.current_time()
        await anyio.sleep(0.005)
        longest = max(longest, anyio.current_time() - before - 0.005)
    return longest


@pytest.mark.promise("P48")
@pytest.mark.parametrize(
    ("held", "patience", "kept"),
    [
        pytest.param(0.1, 5.0, True, id="a moment"),
        pytest.param(30.0, 0.5, False, id="too long"),
        pytest.param(4.0, 5.0, True, id="4 s", marks=pytest.mark.slow),
        pytest.param(30.0, 5.0, False, id="30 s", marks=pytest.mark.slow),
    ],
)
@pytest.mark.alone
async def test_a_locked_store_waits_then_says_so(
    sqlite: StorageConfig, held: float, patience: float, kept: bool
) -> None:
    path = await fill(sqlite, 1)
    config = structs.replace(sqlite, busy_timeout=patience)
    answers: list[float] = []
    stop = anyio.Event()

    async def write(database: Database, key: str, delay: float) -> None:
        await anyio.sleep(delay)
        began = anyio.current_time()
        if kept:
            await database.write(add(key))
        else:
            with pytest.raises(StoreBusy):
                await database.write(add(key))
            answers.append(anyio.current_time() - began)

    async with Database.open(config, CLOCK) as database:
        await database.read(keys)
        with child(HOLD, str(path), str(held)) as holder:
            assert holder.stdout is not None
            await anyio.to_thread.run_sync(holder.stdout.readline)
            pauses: list[float] = []

            async def watch() -> None:
                pauses.append(await longest_pause(stop))

            async with anyio.create_task_group() as watching:
                watching.start_soon(watch)
                async with anyio.create_task_group() as tasks:
                    for number in range(6):
                        tasks.start_soon(write, database, f"k{number}", number * patience / 20)
                    assert await database.read(keys) == ["0"]  # reading goes on all the while
                stop.set()
            holder.kill()
        assert await database.read(keys) == (["0", *(f"k{number}" for number in range(6))] if kept else ["0"])
        await database.write(add("later"))
    assert pauses[0] < 0.05
    for seconds in answers:
        assert patience - 0.05 <= seconds <= patience + 0.5


OPEN = """
import anyio, sys
from socbot.config import StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.storage.database import Database

async def main():
    async with Database.open(StorageConfig(url=sys.argv[1]), SystemClock()):
        print("open", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)

anyio.run(main)
"""


async def test_a_second_process_waits_for_the_first_and_says_whose_the_store_is(sqlite: StorageConfig) -> None:
    impatient = structs.replace(sqlite, busy_timeout=0.1)
    with child(OPEN, sqlite.url) as first:
        assert first.stdout is not None
        assert first.stdin is not None
        await anyio.to_thread.run_sync(first.stdout.readline)
        with pytest.raises(StoreLocked, match=f"process {first.pid} has socbot.db open") as caught:
            async with Database.open(impatient, CLOCK):
                pass
        assert caught.value.pid == first.pid
        first.stdin.write(b"end\n")
        first.stdin.close()
        async with Database.open(sqlite, CLOCK) as database:
            assert await database.read(keys) == []


async def test_a_store_cannot_be_opened_twice_in_one_process(sqlite: StorageConfig) -> None:
    async with Database.open(sqlite, CLOCK):
        with pytest.raises(StoreLocked):
            async with Database.open(structs.replace(sqlite, busy_timeout=0.0), CLOCK):
                pass


# -- no room, no right --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.EROFS, StoreReadOnly), (errno.EACCES, StoreReadOnly), (errno.ENOSPC, StoreFull), (errno.EDQUOT, StoreFull)],
)
async def test_a_place_that_cannot_hold_a_store_is_told_apart(
    sqlite: StorageConfig, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception]
) -> None:
    def refuse(*arguments: object, **options: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(expected, match=r"socbot\.db"):
        async with Database.open(sqlite, CLOCK):
            pass


async def test_a_full_store_says_so_keeps_what_it_had_and_goes_on_once_there_is_room(sqlite: StorageConfig) -> None:
    def limit(pages: int) -> Callable[[Connection], object]:
        return lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}")

    async with Database.open(sqlite, CLOCK) as database:
        await database.write(add("a"))
        await database.write(limit(1))
        with pytest.raises(StoreFull):
            await database.write(add("b", "x" * 1_000_000))
        assert await database.read(keys) == ["a"]
        await database.write(limit(1_000_000))
        await database.write(add("c"))
        assert await database.read(keys) == ["a", "c"]
