"""What is PostgreSQL's own: the connection that gets lost, and the password that must not get out."""

import traceback
from collections.abc import Callable

import anyio
import psycopg
import pytest
from msgspec import structs

from socbot.config import StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.storage.connection import Connection
from socbot.storage.database import Database, StoreBusy, StoreError, StoreReadOnly
from socbot.storage.postgresql import psycopg_sql
from tests.postgresql import Server

CLOCK = SystemClock()
SECRET = "Canary-5ecret"
LOSE_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


@pytest.fixture
def config(server: Server) -> StorageConfig:
    return StorageConfig(url=server.new_database())


def database_name(config: StorageConfig) -> str:
    return config.url.partition("@/")[2].partition("?")[0]


def add(key: str) -> Callable[[Connection], int]:
    sql = "INSERT INTO settings (key, value, set_by, set_at) VALUES (:key, '', '', 0)"
    return lambda connection: connection.change(sql, {"key": key})


def keys(connection: Connection) -> list[str]:
    return [key for (key,) in connection.execute("SELECT key FROM settings ORDER BY key")]


async def test_a_connection_lost_while_idle_is_made_again(config: StorageConfig, server: Server) -> None:
    async with Database.open(config, CLOCK) as database:
        await database.write(add("a"))
        assert await database.read(keys) == ["a"]
        server.sql(LOSE_CONNECTIONS)
        await database.write(add("b"))
        assert await database.read(keys) == ["a", "b"]


async def test_work_whose_connection_is_lost_fails_and_is_not_repeated(config: StorageConfig, server: Server) -> None:
    runs: list[int] = []

    def lose(connection: Connection) -> None:
        runs.append(1)
        add("half")(connection)
        server.sql(LOSE_CONNECTIONS)
        add("other half")(connection)

    async with Database.open(config, CLOCK) as database:
        with pytest.raises(StoreError, match="the database failed"):
            await database.write(lose)
        await database.write(add("later"))
        assert await database.read(keys) == ["later"]
    assert runs == [1]


async def test_of_a_commit_that_was_lost_with_the_connection_it_is_found_out_what_became(config: StorageConfig) -> None:
    def arrange(connection: Connection) -> None:
        connection.execute(
            "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'"
        )
        connection.execute(
            "CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON settings DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW WHEN (NEW.key = 'lose') EXECUTE FUNCTION lose()"
        )

    async with Database.open(config, CLOCK) as database:
        await database.write(arrange)
        with pytest.raises(StoreError, match="nothing was kept"):
            await database.write(add("lose"))
        await database.write(add("later"))
        assert await database.read(keys) == ["later"]


@pytest.mark.promise("P03")
async def test_what_was_acknowledged_survives_a_server_that_crashes(config: StorageConfig, server: Server) -> None:
    async with Database.open(config, CLOCK) as database:
        await database.write(lambda connection: connection.execute("SELECT 1"))
        for number in range(100):
            await database.write(add(f"{number:03}"))
        server.stop("immediate")
        try:
            with pytest.raises(StoreError):
                await database.write(add("while down"))
            with pytest.raises(StoreError):
                await database.read(keys)
        finally:
            server.start()
        await database.write(add("later"))
        assert await database.read(keys) == [*(f"{number:03}" for number in range(100)), "later"]


@pytest.mark.promise("P03")
async def test_commits_wait_for_the_disk_whatever_the_servers_default(config: StorageConfig, server: Server) -> None:
    server.sql(f"ALTER DATABASE {database_name(config)} SET synchronous_commit = off")
    async with Database.open(config, CLOCK) as database:
        assert await database.write(lambda connection: connection.execute("SHOW synchronous_commit")) == [("on",)]


@pytest.mark.promise("P48")
async def test_a_locked_table_waits_then_says_so(config: StorageConfig) -> None:
    config = structs.replace(config, busy_timeout=0.3)
    async with Database.open(config, CLOCK) as database:
        with psycopg.connect(config.url) as other:
            other.execute("LOCK TABLE settings")
            began = anyio.current_time()
            with pytest.raises(StoreBusy):
                await database.write(add("a"))
            assert 0.25 <= anyio.current_time() - began <= 1.0
        await database.write(add("b"))
        assert await database.read(keys) == ["b"]


async def test_a_server_that_takes_no_writes_is_read_only(config: StorageConfig, server: Server) -> None:
    async with Database.open(config, CLOCK):
        pass
    server.sql(f"ALTER DATABASE {database_name(config)} SET default_transaction_read_only = on")
    async with Database.open(config, CLOCK) as database:
        with pytest.raises(StoreReadOnly):
            await database.write(add("a"))
        assert await database.read(keys) == []


@pytest.mark.promise("P11")
@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://socbot:{SECRET}@127.0.0.1:1/x",
        f"postgresql+psycopg://socbot:{SECRET}@127.0.0.1:1/x",
        f"postgresql://socbot:{SECRET}@[bad/x",
        f"postgresql://socbot:{SECRET}@127.0.0.1:port/x",
        f"postgresql://socbot:{SECRET}@127.0.0.1/x?nonsense=1",
        f"postgresql://socbot:{SECRET}%zz@127.0.0.1/x",
        f"postgresql:socbot:{SECRET}@127.0.0.1/x",
    ],
)
async def test_no_error_shows_the_password(url: str) -> None:
    config = StorageConfig(url=url, busy_timeout=0.5)
    with pytest.raises(StoreError) as caught:
        async with Database.open(config, CLOCK):
            pass
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(config)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT :a, :b_2", "SELECT %(a)s, %(b_2)s"),
        ("x LIKE '%:a''%' AND y = :a", "x LIKE '%%:a''%%' AND y = %(a)s"),
        ("a::text || :a::text", "a::text || %(a)s::text"),
        ('"odd:name" % :a', '"odd:name" %% %(a)s'),
        ("a[1:2]", "a[1:2]"),
    ],
)
def test_named_values_are_translated_outside_of_quotes_only(sql: str, expected: str) -> None:
    assert psycopg_sql(sql) == expected.encode()
