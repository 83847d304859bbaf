"""Several processes on one PostgreSQL: who is listed by one is refused by all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import psycopg
import pytest

from socbot.config import BlacklistConfig, StorageConfig
from socbot.storage.database import Database
from socbot.storage.errors import StoreError
from socbot.systems.blacklist import Blacklist
from socbot.testing import FakeClock, owner_said, said
from tests.conftest import MakeBot
from tests.postgresql import Server

MALLORY, TRUDY = ("local", "900"), ("local", "901")


@asynccontextmanager
async def blacklist_on(url: str, clock: FakeClock) -> AsyncIterator[Blacklist]:
    async with Database.open(StorageConfig(url=url), clock) as database:
        blacklist = Blacklist(database, clock, BlacklistConfig(), lambda identity: False)
        await blacklist.load()
        yield blacklist


@pytest.fixture
def url(postgresql: Server) -> str:
    return postgresql.new_database()


def list_by_hand(connection: "psycopg.Connection[tuple[object, ...]]", subject: str) -> None:
    """What another process writes in a transaction that ends when it pleases."""
    connection.execute(
        "INSERT INTO blacklist (platform, kind, subject, reason, added_by, added_at, source)"
        " VALUES ('local', 'user', %s, '', 'other', 0, 'manual')",
        (subject,),
    )
    connection.execute(
        "INSERT INTO blacklist_history (platform, kind, subject, action, done_by, at, reason, source)"
        " VALUES ('local', 'user', %s, 'added', 'other', 0, '', 'manual')",
        (subject,),
    )


@pytest.mark.alone
@pytest.mark.promise("P23")
async def test_what_one_process_changes_is_in_force_in_the_other_within_two_seconds(
    url: str, make_bot: MakeBot
) -> None:
    storage = StorageConfig(url=url)
    async with make_bot(storage=storage, jobs=True) as here, make_bot(storage=storage, jobs=True) as there:

        async def until(refused: bool) -> None:
            with anyio.fail_after(2.0):
                while ((await there.dispatch(said("!ping", "900"))).refused_by == "blacklist") is not refused:  # noqa: ASYNC110 (as a person does)
                    await anyio.sleep(0.05)

        for _ in range(3):
            assert (await here.dispatch(owner_said("!blacklist_add user 900 spam"))).status == "ok"
            await until(refused=True)
            assert (await here.dispatch(owner_said("!blacklist_remove user 900 appealed"))).status == "ok"
            await until(refused=False)


async def test_a_change_and_an_import_are_followed(url: str, clock: FakeClock) -> None:
    async with blacklist_on(url, clock) as here, blacklist_on(url, clock) as there:
        await here.add("user", MALLORY, reason="spam", by="local:1", duration=60.0)
        await here.add("guild", ("local", "g1"), reason="raid", by="local:1")
        await there.catch_up()
        assert there.listed(MALLORY, None) == "user"
        assert there.listed(TRUDY, "g1") == "guild"
        await here.add("user", MALLORY, reason="more spam", by="local:1", duration=3_600.0)
        await there.catch_up()
        clock.forward(120.0)
        assert there.listed(MALLORY, None) == "user"
        await here.take_over([each for each in await here.entries() if each.kind == "guild"], "local:1")
        await there.catch_up()
        assert there.listed(TRUDY, "g1") == "guild"


async def test_nobody_ends_an_entry_that_another_has_prolonged(url: str, clock: FakeClock) -> None:
    async with blacklist_on(url, clock) as here, blacklist_on(url, clock) as there:
        await here.add("user", MALLORY, reason="spam", by="local:1", duration=60.0)
        await there.catch_up()
        await here.add("user", MALLORY, reason="more spam", by="local:1", duration=3_600.0)
        clock.forward(61.0)
        await there.sweep()  # it does not know yet
        await there.catch_up()
        assert there.listed(MALLORY, None) == "user"
        assert [change.action for change in await here.history("user", MALLORY)] == ["changed", "added"]
        clock.forward(3_600.0)
        await here.sweep()
        await there.sweep()
        assert [change.action for change in await here.history("user", MALLORY)] == ["expired", "changed", "added"]


async def test_ones_own_entries_count_from_when_they_were_made(url: str, clock: FakeClock) -> None:
    async with blacklist_on(url, clock) as blacklist:
        await blacklist.add("user", MALLORY, reason="spam", by="local:1", duration=60.0)
        clock.step(-3_600.0)  # the host's clock is set back before the entry is seen in the history
        await blacklist.catch_up()
        clock.forward(61.0)
        assert blacklist.listed(MALLORY, None) is None


async def test_what_is_committed_late_is_followed_although_a_later_row_was_seen(url: str, clock: FakeClock) -> None:
    async with blacklist_on(url, clock) as here, blacklist_on(url, clock) as there:
        with psycopg.connect(url) as other:
            list_by_hand(other, "900")  # the lower id
            await here.add("user", TRUDY, reason="spam", by="local:1")
            await there.catch_up()
            assert (there.listed(MALLORY, None), there.listed(TRUDY, None)) == (None, "user")
            await there.catch_up()
        await there.catch_up()
        assert there.listed(MALLORY, None) == "user"
        with psycopg.connect(url) as other:
            other.execute("DELETE FROM blacklist")  # what is not in the history is not looked for again
        await there.catch_up()
        assert there.listed(MALLORY, None) == "user"


async def test_what_was_under_way_at_the_start_is_followed(url: str, clock: FakeClock) -> None:
    async with blacklist_on(url, clock) as here:
        with psycopg.connect(url) as other:
            list_by_hand(other, "900")
            await here.add("user", TRUDY, reason="spam", by="local:1")
            async with blacklist_on(url, clock) as there:
                await there.catch_up()
                assert (there.listed(MALLORY, None), there.listed(TRUDY, None)) == (None, "user")
                other.commit()
                await there.catch_up()
                assert (there.listed(MALLORY, None), there.listed(TRUDY, None)) == ("user", "user")
                await here.remove("user", TRUDY, reason="appeal", by="local:1")
                await there.catch_up()
                assert there.listed(TRUDY, None) is None


async def test_a_restored_list_is_read_whole(url: str, clock: FakeClock) -> None:
    async with blacklist_on(url, clock) as here, blacklist_on(url, clock) as there:
        await here.add("user", MALLORY, reason="spam", by="local:1")
        await there.catch_up()
        with psycopg.connect(url) as other:
            other.execute("DELETE FROM blacklist")
            other.execute("DELETE FROM blacklist_history")
        await there.catch_up()
        assert there.listed(MALLORY, None) is None


async def test_while_the_store_is_away_what_is_known_stays_in_force(url: str, clock: FakeClock) -> None:
    async with blacklist_on(url, clock) as here, blacklist_on(url, clock) as there:
        await here.add("user", MALLORY, reason="spam", by="local:1")
        await there.catch_up()
        with psycopg.connect(url) as other:
            other.execute("ALTER TABLE blacklist_history RENAME TO gone")
            other.commit()
            with pytest.raises(StoreError):
                await there.catch_up()
            assert there.available
            assert there.listed(MALLORY, None) == "user"
            other.execute("ALTER TABLE gone RENAME TO blacklist_history")
        await here.add("user", TRUDY, reason="spam", by="local:1")
        await there.catch_up()
        assert there.listed(TRUDY, None) == "user"
