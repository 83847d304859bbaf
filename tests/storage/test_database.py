"""What every store promises, on SQLite and on PostgreSQL alike."""

import threading
from pathlib import Path

import anyio
import pytest

from socbot.config import StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.storage.connection import Connection
from socbot.storage.database import Database, StatementError, StoreError, StoreReadOnly, StoreTooNew

CLOCK = SystemClock()
SET = "INSERT INTO settings (key, value, set_by, set_at) VALUES (:key, :value, 'me', 1.5)"


def put(connection: Connection, key: str, value: str = "1") -> int:
    return connection.change(SET, {"key": key, "value": value})


def keys(connection: Connection) -> list[str]:
    return [key for (key,) in connection.execute("SELECT key FROM settings ORDER BY key")]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_what_was_written_is_read_now_and_after_opening_again(config: StorageConfig) -> None:
    async with Database.open(config, CLOCK) as database:
        assert await database.write(lambda connection: put(connection, "a")) == 1
        assert await database.read(keys) == ["a"]
        assert await database.write(keys) == ["a"]
    async with Database.open(config, CLOCK) as database:
        assert await database.read(keys) == ["a"]


async def test_work_that_raises_keeps_nothing(config: StorageConfig) -> None:
    def fail(connection: Connection) -> None:
        put(connection, "half")
        raise LookupError("no")

    async with Database.open(config, CLOCK) as database:
        with pytest.raises(LookupError, match="no"):
            await database.write(fail)
        assert await database.read(keys) == []


async def test_of_works_that_share_a_commit_each_is_kept_or_undone_by_itself(config: StorageConfig) -> None:
    holding, go_on = threading.Event(), threading.Event()
    failures: list[int] = []

    def hold(connection: Connection) -> None:
        holding.set()
        assert go_on.wait(10)

    def work(connection: Connection, number: int) -> None:
        put(connection, f"{number:03}")
        if number % 3 == 0:
            raise LookupError(number)
        if number % 3 == 1:
            put(connection, f"{number:03}")  # a second time: breaks the key

    async def write(database: Database, number: int) -> None:
        try:
            await database.write(lambda connection: work(connection, number))
        except (LookupError, StatementError):
            failures.append(number)

    async with Database.open(config, CLOCK) as database, anyio.create_task_group() as tasks:
        tasks.start_soon(database.write, hold)
        await anyio.to_thread.run_sync(holding.wait)
        for number in range(150):
            tasks.start_soon(write, database, number)
        await anyio.wait_all_tasks_blocked()
        assert database.waiting == 150
        go_on.set()
    async with Database.open(config, CLOCK) as database:
        assert await database.read(keys) == [f"{number:03}" for number in range(150) if number % 3 == 2]
    assert sorted(failures) == [number for number in range(150) if number % 3 != 2]


async def test_a_read_cannot_write(config: StorageConfig) -> None:
    async with Database.open(config, CLOCK) as database:
        with pytest.raises(StoreReadOnly):
            await database.read(lambda connection: put(connection, "a"))
        assert await database.read(keys) == []


async def test_a_long_report_sees_one_moment_and_holds_up_no_write(config: StorageConfig) -> None:
    reading, written = threading.Event(), threading.Event()

    def report(connection: Connection) -> tuple[list[str], list[str]]:
        before = keys(connection)
        reading.set()
        assert written.wait(10)
        return before, keys(connection)

    async with Database.open(config, CLOCK) as database:
        seen: list[tuple[list[str], list[str]]] = []

        async def read() -> None:
            seen.append(await database.read(report))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.to_thread.run_sync(reading.wait)
            await database.write(lambda connection: put(connection, "a"))
            written.set()
        assert seen == [([], [])]
        assert await database.read(keys) == ["a"]


async def test_work_does_not_run_on_the_event_loop(config: StorageConfig) -> None:
    async with Database.open(config, CLOCK) as database:
        here = threading.get_ident()
        assert await database.write(lambda connection: threading.get_ident()) != here
        assert await database.read(lambda connection: threading.get_ident()) != here


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_cancelled_caller_leaves_no_transaction_open(config: StorageConfig) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        put(connection, "begun")
        began.set()
        assert go_on.wait(10)

    async with Database.open(config, CLOCK) as database:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(database.write, slow)
            await anyio.to_thread.run_sync(began.wait)
            tasks.start_soon(database.write, lambda connection: put(connection, "not begun"))
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        go_on.set()
        await database.write(lambda connection: put(connection, "later"))
        assert await database.read(keys) == ["begun", "later"]


async def test_the_portable_sql_means_the_same(config: StorageConfig) -> None:
    add = (
        "INSERT INTO analytics_probe (name, count) VALUES (:name, :count)"
        " ON CONFLICT (name) DO UPDATE SET count = analytics_probe.count + excluded.count RETURNING count"
    )

    def work(connection: Connection) -> None:
        connection.execute("CREATE TABLE analytics_probe (name TEXT PRIMARY KEY, count BIGINT NOT NULL)")
        assert connection.execute(add, {"name": "a", "count": 2}) == [(2,)]
        assert connection.execute(add, {"name": "a", "count": 3}) == [(5,)]
        connection.execute_many(
            add.partition(" RETURNING")[0], [{"name": "b%", "count": 1}, {"name": "c", "count": 2**40}]
        )
        connection.execute_many(add.partition(" RETURNING")[0], [])
        assert connection.execute("SELECT sum(count), ':no %(name)s' FROM analytics_probe") == [
            (2**40 + 6, ":no %(name)s")
        ]
        assert type(connection.execute("SELECT sum(count) FROM analytics_probe")[0][0]) is int
        assert connection.execute("SELECT avg(count) FROM analytics_probe WHERE name <> 'c'") == [(3.0,)]
        assert connection.execute("SELECT name FROM analytics_probe WHERE name LIKE '%\\%' ESCAPE '\\'") == [("b%",)]
        assert connection.execute("SELECT 7 / 2, 7 % 4, CAST(:x AS BIGINT)", {"x": True}) == [(3, 3, 1)]
        assert (
            connection.change("DELETE FROM analytics_probe WHERE name IN (:one, :two)", {"one": "a", "two": "x"}) == 1
        )
        assert connection.change("DELETE FROM analytics_probe WHERE name = :name", {"name": "x"}) == 0

    async with Database.open(config, CLOCK) as database:
        await database.write(work)


@pytest.mark.parametrize(
    "value", ["", "'; DROP TABLE settings; --", ":key %s %(key)s", "a\N{SNOWMAN}\U0001f600", "ﷺ\u202e"]
)
async def test_hostile_text_comes_back_as_it_was(config: StorageConfig, value: str) -> None:
    async with Database.open(config, CLOCK) as database:
        await database.write(lambda connection: put(connection, value, value))
        assert await database.read(lambda connection: connection.execute("SELECT key, value FROM settings")) == [
            (value, value)
        ]


async def test_text_that_no_database_can_hold_is_stored_without_what_it_cannot(config: StorageConfig) -> None:
    rows = [{"key": "many\udfff", "value": ""}]

    def work(connection: Connection) -> None:
        put(connection, "half \ud83d a pair", "a\0b")
        connection.execute_many(SET, rows)

    async with Database.open(config, CLOCK) as database:
        await database.write(work)
        assert await database.read(keys) == ["half ? a pair", "many?"]


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("SELEC 1", {}),
        ("SELECT * FROM nowhere", {}),
        ("SELECT CAST(:x AS BIGINT)", {"x": 2**70}),
        ("SELECT :missing", {}),
        ("INSERT INTO settings (key) VALUES ('without a value')", {}),
    ],
)
async def test_a_wrong_statement_is_told_from_a_failing_store(
    config: StorageConfig, sql: str, values: dict[str, object]
) -> None:
    async with Database.open(config, CLOCK) as database:
        with pytest.raises(StatementError):
            await database.write(lambda connection: connection.execute(sql, values))
        await database.write(lambda connection: put(connection, "still works"))


async def test_a_closed_database_says_so(config: StorageConfig) -> None:
    async with Database.open(config, CLOCK) as database:
        pass
    with pytest.raises(StoreError, match="closed"):
        await database.write(keys)
    with pytest.raises(StoreError, match="closed"):
        await database.read(keys)


async def test_what_is_queued_when_it_closes_is_still_written(config: StorageConfig) -> None:
    async with anyio.create_task_group() as tasks, Database.open(config, CLOCK) as database:
        for number in range(20):
            tasks.start_soon(database.write, lambda connection, key=f"{number:02}": put(connection, key))
        await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
    async with Database.open(config, CLOCK) as database:
        assert len(await database.read(keys)) == 20


async def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(config: StorageConfig) -> None:
    async with Database.open(config, CLOCK) as database:
        await database.write(lambda connection: connection.change("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreTooNew, match="9999"):
        async with Database.open(config, CLOCK):
            pass


async def test_an_unknown_kind_of_store_is_refused() -> None:
    with pytest.raises(StoreError, match=r"storage\.url"):
        async with Database.open(StorageConfig(url="mysql://root:secret@localhost/x"), CLOCK):
            pass


async def test_a_store_in_a_folder_with_a_hostile_name_opens(tmp_path: Path) -> None:
    folder = tmp_path / "a?b#c%20d 'é"
    async with Database.open(StorageConfig(url=f"sqlite:///{folder}/socbot.db"), CLOCK) as database:
        await database.write(lambda connection: put(connection, "a"))
        assert await database.read(keys) == ["a"]
    assert (folder / "socbot.db").stat().st_size


async def test_its_size_is_told(config: StorageConfig) -> None:
    async with Database.open(config, CLOCK) as database:
        assert 10_000 < await database.size() < 1e9
