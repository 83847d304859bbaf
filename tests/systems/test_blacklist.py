import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from socbot.config import BlacklistConfig, StorageConfig
from socbot.dispatch.messages import Identity
from socbot.dispatch.outcomes import Outcome
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.errors import StoreError
from socbot.systems.blacklist import REASONS, Blacklist, Entry, NotListed, Protected
from socbot.testing import FakeClock, said

OWNER: Identity = ("local", "1")
MALLORY: Identity = ("local", "42")
GUILD: Identity = ("local", "g1")


@asynccontextmanager
async def opened(storage: StorageConfig, clock: FakeClock) -> AsyncIterator[Blacklist]:
    """A blacklist as it is after a start."""
    async with Database.open(storage, clock) as database:
        blacklist = Blacklist(database, clock, BlacklistConfig(), lambda identity: identity == OWNER)
        await blacklist.load()
        yield blacklist


@pytest.fixture
async def blacklist(storage: StorageConfig, clock: FakeClock) -> AsyncIterator[Blacklist]:
    async with opened(storage, clock) as blacklist:
        yield blacklist


async def break_store(blacklist: Blacklist) -> None:
    await blacklist._database.write(lambda connection: connection.change("ALTER TABLE blacklist RENAME TO gone"))


async def mend_store(blacklist: Blacklist) -> None:
    await blacklist._database.write(lambda connection: connection.change("ALTER TABLE gone RENAME TO blacklist"))


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_whoever_is_added_is_listed_at_once_and_after_a_restart(
    storage: StorageConfig, clock: FakeClock, anyio_backend: str
) -> None:
    async with opened(storage, clock) as blacklist:
        entry, replaced = await blacklist.add("user", MALLORY, reason="spam", by="local:1")
        assert replaced is None
        assert blacklist.listed(MALLORY, None) == "user"
        assert await blacklist.find("user", MALLORY) == entry
    async with opened(storage, clock) as blacklist:
        assert blacklist.listed(MALLORY, "g1") == "user"
        assert await blacklist.entries() == (entry,)


async def test_the_store_keeps_it_on_each_database(either_storage: StorageConfig, clock: FakeClock) -> None:
    async with opened(either_storage, clock) as blacklist:
        await blacklist.add("user", MALLORY, reason="100 % :spam", by="local:1", duration=3600)
        await blacklist.add("guild", GUILD, reason="", by="local:1")
        await blacklist.add("user", MALLORY, reason="more", by="local:1")
        await blacklist.remove("guild", GUILD, reason="appeal", by="local:1")
        with pytest.raises(NotListed):
            await blacklist.remove("user", ("local", "421"), reason="", by="local:1")
        await blacklist._database.write(lambda db: blacklist.write(db, [refused(REASONS["user"])] * 3))
    async with opened(either_storage, clock) as blacklist:
        assert [(entry.identity, entry.reason, entry.expires_at) for entry in await blacklist.entries()] == [
            (MALLORY, "more", None)
        ]
        assert [change.action for change in await blacklist.history("user", MALLORY)] == ["changed", "added"]
        assert [change.action for change in await blacklist.history("guild", GUILD)] == ["removed", "added"]
        stats = await blacklist.stats()
        assert (stats.permanent, stats.temporary, stats.expired, stats.blocked) == (1, 0, 0, 3)


async def test_a_listed_guild_shuts_out_whoever_writes_in_it(blacklist: Blacklist) -> None:
    await blacklist.add("guild", GUILD, reason="raid", by="local:1")
    assert blacklist.listed(MALLORY, "g1") == "guild"
    assert blacklist.listed(MALLORY, "g2") is None
    assert blacklist.listed(MALLORY, None) is None
    assert blacklist.listed(("discord", "42"), "g1") is None


async def test_an_id_is_listed_on_its_own_platform_alone(blacklist: Blacklist) -> None:
    await blacklist.add("user", MALLORY, reason="", by="local:1")
    assert blacklist.listed(("discord", "42"), None) is None


@pytest.mark.promise("P23")
async def test_an_entry_ends_to_the_second_on_the_clock(blacklist: Blacklist, clock: FakeClock) -> None:
    await blacklist.add("user", MALLORY, reason="", by="local:1", duration=60)
    clock.forward(59.5)
    assert blacklist.listed(MALLORY, None) == "user"
    clock.forward(0.5)
    assert blacklist.listed(MALLORY, None) is None
    assert await blacklist.find("user", MALLORY) is None
    assert await blacklist.entries() == ()


@pytest.mark.promise("P33")
@pytest.mark.parametrize("step", [-3600.0, 3600.0, -1.0, -1_700_000_000.0, 86_400.0])
@pytest.mark.parametrize("at", range(50))
async def test_a_step_of_the_wall_clock_neither_frees_nor_traps(
    blacklist: Blacklist, clock: FakeClock, step: float, at: int
) -> None:
    await blacklist.add("user", MALLORY, reason="", by="local:1", duration=50)
    clock.forward(at)
    clock.step(step)
    clock.forward(49.5 - at)
    await blacklist.sweep()
    assert blacklist.listed(MALLORY, None) == "user"
    clock.forward(0.5)
    await blacklist.sweep()
    assert blacklist.listed(MALLORY, None) is None
    assert [change.action for change in await blacklist.history("user", MALLORY)] == ["expired", "added"]


@pytest.mark.promise("P33")
@pytest.mark.parametrize("step", [-3600.0, 3600.0, -1.0, -1_700_000_000.0, 86_400.0])
async def test_a_step_of_the_wall_clock_while_an_entry_is_stored_does_not_either(
    blacklist: Blacklist, clock: FakeClock, step: float
) -> None:
    await blacklist.add(
        "user", MALLORY, reason="", by="local:1", duration=50, also=lambda connection, entry: clock.step(step)
    )
    clock.forward(49.5)
    assert blacklist.listed(MALLORY, None) == "user"
    clock.forward(0.5)
    assert blacklist.listed(MALLORY, None) is None


@pytest.mark.promise("P33")
async def test_after_a_restart_the_stored_end_counts(storage: StorageConfig, clock: FakeClock) -> None:
    async with opened(storage, clock) as blacklist:
        await blacklist.add("user", MALLORY, reason="", by="local:1", duration=100)
        clock.forward(40)
    later = FakeClock(clock.time() + 59.5, monotonic=5.0)
    async with opened(storage, later) as blacklist:
        assert blacklist.listed(MALLORY, None) == "user"
        later.forward(0.5)
        assert blacklist.listed(MALLORY, None) is None


async def test_the_sweep_moves_what_has_expired_to_the_history(blacklist: Blacklist, clock: FakeClock) -> None:
    await blacklist.add("user", MALLORY, reason="spam", by="local:1", duration=60)
    await blacklist.add("user", ("local", "43"), reason="spam", by="local:1")
    clock.forward(61)
    await blacklist.sweep()
    assert [change.action for change in await blacklist.history("user", MALLORY)] == ["expired", "added"]
    stats = await blacklist.stats()
    assert (stats.permanent, stats.temporary, stats.expired) == (1, 0, 1)


async def test_the_sweep_leaves_an_entry_that_was_made_longer(blacklist: Blacklist, clock: FakeClock) -> None:
    await blacklist.add("user", MALLORY, reason="", by="local:1", duration=60)
    await blacklist.add("user", MALLORY, reason="", by="local:1", duration=600)
    clock.forward(61)
    await blacklist.sweep()
    assert blacklist.listed(MALLORY, None) == "user"
    clock.forward(540)
    await blacklist.sweep()
    assert blacklist.listed(MALLORY, None) is None
    assert [change.action for change in await blacklist.history("user", MALLORY)] == ["expired", "changed", "added"]


async def test_a_sweep_that_could_not_be_stored_is_made_up_for(blacklist: Blacklist, clock: FakeClock) -> None:
    await blacklist.add("user", MALLORY, reason="", by="local:1", duration=60)
    clock.forward(61)
    await break_store(blacklist)
    with pytest.raises(StoreError):
        await blacklist.sweep()
    await mend_store(blacklist)
    await blacklist.sweep()
    assert (await blacklist.stats()).expired == 1


@pytest.mark.promise("P35")
async def test_the_owner_cannot_be_listed(blacklist: Blacklist) -> None:
    with pytest.raises(Protected):
        await blacklist.add("user", OWNER, reason="", by="rate_limit")
    assert blacklist.listed(OWNER, None) is None
    assert await blacklist.history("user", OWNER) == ()


async def test_removing_who_is_not_listed_names_the_nearest(blacklist: Blacklist) -> None:
    await blacklist.add("user", ("local", "123456789"), reason="", by="local:1")
    with pytest.raises(NotListed) as raised:
        await blacklist.remove("user", ("local", "123456780"), reason="", by="local:1")
    assert raised.value.nearest == ("123456789",)
    assert "123456789" in str(raised.value)


async def test_what_could_not_be_stored_has_not_happened(blacklist: Blacklist) -> None:
    await break_store(blacklist)
    with pytest.raises(StoreError):
        await blacklist.add("user", MALLORY, reason="", by="local:1")
    assert blacklist.listed(MALLORY, None) is None


async def test_a_store_that_cannot_be_read_is_said_and_read_again(storage: StorageConfig, clock: FakeClock) -> None:
    async with opened(storage, clock) as blacklist:
        await blacklist.add("user", MALLORY, reason="", by="local:1")
        await break_store(blacklist)
        started = Blacklist(blacklist._database, clock, BlacklistConfig(), lambda identity: False)
        await started.load()
        assert not started.available
        with pytest.raises(StoreError):
            await started.entries()
        with pytest.raises(StoreError):
            await started.remove("user", MALLORY, reason="", by="local:1")
        await started.sweep()
        assert not started.available
        await mend_store(blacklist)
        await started.sweep()
        assert started.available
        assert started.listed(MALLORY, None) == "user"


async def test_an_import_adds_changes_and_refuses_with_reasons(blacklist: Blacklist, clock: FakeClock) -> None:
    now = clock.time()
    await blacklist.add("user", ("local", "2"), reason="old", by="local:1")
    await blacklist.add("user", ("local", "3"), reason="same", by="local:1")
    entries = [
        Entry("local", "user", "1", "the owner", "x", now),
        Entry("local", "user", "2", "new", "x", now),
        Entry("local", "user", "3", "same", "x", now),
        Entry("local", "user", "4", "gone", "x", now, now - 1),
        Entry("local", "guild", "5", "raid", "x", now, now + 60),
    ]
    plan = await blacklist.plan_import(entries)
    assert blacklist.listed(("local", "9"), "5") is None
    assert [[entry.id for entry in part] for part in (plan.added, plan.changed, plan.unchanged)] == [
        ["5"],
        ["2"],
        ["3"],
    ]
    assert [(entry.id, why) for entry, why in plan.refused] == [
        ("1", "an owner or the bot itself"),
        ("4", "expired already"),
    ]
    assert await blacklist.take_over(entries, "local:1") == plan
    assert blacklist.listed(("local", "9"), "5") == "guild"
    found = await blacklist.find("user", ("local", "2"))
    assert found is not None
    assert (found.reason, found.source) == ("new", "import")
    clock.forward(60)
    assert blacklist.listed(("local", "9"), "5") is None


async def test_the_hot_path_looks_up_nothing_but_the_two(blacklist: Blacklist) -> None:
    for number in range(1_000):
        blacklist._ends["user"]["local", str(number)] = math.inf
    assert blacklist.listed(("local", "999"), "g1") == "user"
    assert blacklist.listed(("local", "1000"), "g1") is None


async def test_blocked_attempts_count_for_the_entry_that_stopped_them(blacklist: Blacklist) -> None:
    outcomes = [refused(REASONS["user"]), refused(REASONS["guild"]), refused(REASONS["guild"], by="rate_limit")]

    def write(connection: Connection) -> list[tuple[object, ...]]:
        blacklist.write(connection, outcomes)
        blacklist.write(connection, outcomes[:1])
        return connection.execute("SELECT kind, subject, count FROM blacklist_attempts ORDER BY kind")

    assert await blacklist._database.write(write) == [("guild", "g1", 1), ("user", "42", 2)]


def refused(reason: str, by: str = "blacklist") -> Outcome:
    return Outcome("refused", said("!ping", guild="g1"), "ping", refused_by=by, reason=reason)


async def test_a_listing_is_bounded_searched_and_counts_what_was_stopped(
    either_storage: StorageConfig, clock: FakeClock
) -> None:
    async with opened(either_storage, clock) as blacklist:
        for number in range(5):
            clock.forward(1)
            await blacklist.add("user", ("local", f"Bob{number}"), reason="spam", by="local:1")
        await blacklist.add("guild", GUILD, reason="raid", by="local:1", duration=60)
        refused = Outcome("refused", said("!ping", "Bob3"), refused_by="blacklist", reason=REASONS["user"])
        await blacklist._database.write(lambda connection: blacklist.write(connection, [refused, refused]))

        async def listed(*arguments: object, **bounds: int) -> list[tuple[str, int]]:
            found = await blacklist.listing(*arguments, **bounds)  # type: ignore[arg-type]
            return [(each.entry.id, each.blocked) for each in found]

        assert await listed(limit=3) == [("Bob4", 0), ("g1", 0), ("Bob3", 2)]
        assert await listed(limit=3, skip=3) == [("Bob2", 0), ("Bob1", 0), ("Bob0", 0)]
        assert await listed("guild") == [("g1", 0)]
        assert await listed(None, "LOCAL:bob3") == [("Bob3", 2)]
        assert await listed(None, "b_b") == []
        assert (blacklist.count("user"), blacklist.count("guild")) == (5, 1)
        assert await blacklist.blocked("user", ("local", "Bob3")) == (2, clock.time())
        assert await blacklist.blocked("guild", ("local", "Bob3")) == (0, None)
        clock.forward(61)
        assert await listed("guild") == []
