"""PostgreSQL leaves and returns: what was acknowledged is there, commands end in time, and nothing piles up."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random

import anyio
import psycopg
import pytest
from msgspec.structs import replace

from socbot.bot import Bot
from socbot.config import StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.dispatch.context import Context
from socbot.dispatch.outcomes import Outcome
from socbot.storage.connection import Connection
from socbot.storage.database import Database, StoreError
from socbot.testing import owner_said, said
from tests.conftest import MakeBot
from tests.faults import Proxy, proxied
from tests.postgresql import Server, running_server

pytestmark = pytest.mark.alone

CLOCK = SystemClock()
PATIENCE = 1.0
DEFAULT = StorageConfig().busy_timeout
MOST = 5
"""Three connections that are kept, one of them lost and not yet closed, and one that asks what became of a commit."""


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server that is stopped and started, which the other tests' is not."""
    with running_server() as server:
        yield server


@pytest.fixture
def url(own_server: Server) -> str:
    return own_server.new_database()


@pytest.fixture
def proxy(own_server: Server) -> Iterator[Proxy]:
    with proxied(own_server.socket) as proxy:
        yield proxy


def through(proxy: Proxy, url: str) -> StorageConfig:
    name = url.partition("@/")[2].partition("?")[0]
    address = f"postgresql://socbot:Canary-5ecret@127.0.0.1:{proxy.port}/{name}?sslmode=disable"
    return StorageConfig(url=address, busy_timeout=PATIENCE)


def add(connection: Connection, key: str) -> None:
    connection.change("INSERT INTO settings (key, value, set_by, set_at) VALUES (:key, '', '', 0)", {"key": key})


def keys_in(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {key for (key,) in connection.execute("SELECT key FROM settings")}


def listed_in(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {subject for (subject,) in connection.execute("SELECT subject FROM blacklist")}


@asynccontextmanager
async def opened(config: StorageConfig) -> AsyncIterator[Database]:
    async with Database.open(config, CLOCK) as database:
        await database.write(lambda connection: add(connection, "first"))
        yield database


@pytest.mark.promise("P47")
async def test_a_commit_whose_answer_was_lost_is_known_by_its_id(proxy: Proxy, url: str) -> None:
    async with opened(through(proxy, url)) as database:
        proxy.loses_answer_to = b"COMMIT"
        await database.write(lambda connection: add(connection, "committed"))  # it raises nothing: it is kept
        assert proxy.loses_answer_to == b""
        assert keys_in(url) == {"first", "committed"}
        await database.write(lambda connection: add(connection, "later"))
    assert keys_in(url) == {"first", "committed", "later"}


@pytest.mark.promise("P47")
async def test_a_commit_of_which_nobody_can_tell_is_told_as_uncertain(proxy: Proxy, url: str) -> None:
    async with opened(through(proxy, url)) as database:

        def lose(connection: Connection) -> None:
            add(connection, "lost")
            proxy.swallows = True  # from now on nothing arrives, and a new connection does not either

        began = anyio.current_time()
        with pytest.raises(StoreError):
            await database.write(lose)
        assert anyio.current_time() - began < 3 * PATIENCE + 2
        proxy.swallows = False
        proxy.reset()
        await database.write(lambda connection: add(connection, "later"))
    assert keys_in(url) == {"first", "later"}


@pytest.mark.promise("P47")
@pytest.mark.parametrize(
    ("fault", "patience"),
    [
        ("reset", PATIENCE),
        ("down", PATIENCE),
        pytest.param("half open", DEFAULT, marks=pytest.mark.slow),
        pytest.param("3 s late", DEFAULT, marks=pytest.mark.slow),
    ],
)
async def test_a_command_ends_in_time_and_the_store_is_back_soon(
    fault: str, patience: float, proxy: Proxy, url: str, make_bot: MakeBot
) -> None:
    async with make_bot(storage=replace(through(proxy, url), busy_timeout=patience)) as bot:
        assert (await bot.dispatch(owner_said("!blacklist_add user 900 spam"))).status == "ok"
        if fault == "reset":
            proxy.reset()
        elif fault == "down":
            proxy.down()
        elif fault == "half open":
            proxy.swallows = True
        else:
            proxy.latency = 3.0
        outcomes = [await timely(bot, text) for text in ("!blacklist_add user 901 more spam", "!signals")]
        refused = await bot.dispatch(said("!ping", "900"))
        assert (refused.status, refused.refused_by) == ("refused", "blacklist")  # from memory
        assert (await bot.dispatch(said("!ping", "902"))).status == "ok"
        proxy.swallows, proxy.latency = False, 0.0
        if fault == "down":
            proxy.up()
        with anyio.fail_after(5):
            while (await timely(bot, "!blacklist_add user 903 spam again")).status != "ok":  # noqa: ASYNC110 (as an owner does)
                await anyio.sleep(0.1)
        assert proxy.most <= MOST
    if fault == "reset":
        assert [outcome.status for outcome in outcomes] == ["ok", "ok"]
        return
    for outcome in outcomes:
        assert outcome.reply is not None
        assert outcome.reply.text.startswith("That failed, because the store does not work just now")
    assert listed_in(url) == {"900", "903"}, "what is said to have failed is not done later"


@pytest.mark.promise("P47")
async def test_a_change_that_had_begun_is_told_as_uncertain(proxy: Proxy, url: str, make_bot: MakeBot) -> None:
    async with make_bot(storage=through(proxy, url)) as bot:

        def lose(connection: Connection) -> None:
            add(connection, "lost")
            proxy.swallows = True

        @bot.dispatcher.command("change")
        async def change(ctx: Context) -> None:
            "Changes something."
            await bot.database.write(lose)

        outcome = await timely(bot, "!change")
        proxy.swallows = False
        proxy.reset()
        assert outcome.reply is not None
        assert outcome.reply.text.startswith("The store has not answered: look whether that was done")


@pytest.mark.slow
@pytest.mark.promise("P47")
async def test_a_command_that_says_how_long_it_takes_is_waited_for(proxy: Proxy, url: str, make_bot: MakeBot) -> None:
    async with make_bot(storage=through(proxy, url)) as bot:

        @bot.dispatcher.command("change", timeout=20.0)
        async def change(ctx: Context) -> str:
            "Changes something."
            await bot.database.write(lambda connection: add(connection, "slowly"))
            return "done"

        proxy.latency = 0.7 * PATIENCE  # for each of its statements, and half of it is a command's patience
        outcome = await bot.dispatch(owner_said("!change"))
        proxy.latency = 0.0
        assert outcome.status == "ok"
    assert "slowly" in keys_in(url)


async def timely(bot: Bot, text: str) -> Outcome:
    with anyio.fail_after(5):
        return await bot.dispatch(owner_said(text))


async def bounced(server: Server, config: StorageConfig, times: int, random: Random) -> tuple[set[str], set[str]]:
    """What was acknowledged and what was refused while the server was stopped ``times`` times at once."""
    acknowledged: set[str] = set()
    refused: set[str] = set()
    done = anyio.Event()

    async def write(database: Database) -> None:
        number = 0
        while not done.is_set():
            number += 1
            key = f"k{number}"
            try:
                with anyio.fail_after(5.5):
                    await database.write(lambda connection, key=key: add(connection, key))  # type: ignore[misc]
                acknowledged.add(key)
            except StoreError:
                refused.add(key)
            await anyio.sleep(0.02)

    async with opened(config) as database, anyio.create_task_group() as tasks:
        tasks.start_soon(write, database)
        for _ in range(times):
            before = len(acknowledged)
            await anyio.sleep(random.random() * 0.3)
            await anyio.to_thread.run_sync(server.stop, "immediate")
            await anyio.to_thread.run_sync(server.start)
            with anyio.fail_after(5):  # the store is back by itself
                while len(acknowledged) <= before:  # noqa: ASYNC110 (the writer has its own pace)
                    await anyio.sleep(0.02)
        done.set()
    return acknowledged, refused


@pytest.mark.promise("P47")
async def test_what_was_acknowledged_survives_stops_of_the_server(own_server: Server, proxy: Proxy, url: str) -> None:
    acknowledged, refused = await bounced(own_server, through(proxy, url), 2, Random(1))
    there = keys_in(url)
    assert acknowledged <= there
    assert not refused & there
    assert proxy.most <= MOST


@pytest.mark.slow
@pytest.mark.promise("P47")
async def test_fifty_stops_of_the_server(own_server: Server, proxy: Proxy, url: str) -> None:
    acknowledged, refused = await bounced(own_server, through(proxy, url), 50, Random(2))
    there = keys_in(url)
    assert len(acknowledged) > 200
    assert acknowledged <= there
    assert not refused & there
    assert proxy.most <= MOST
