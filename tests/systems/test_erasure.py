from random import Random

from socbot.config import AnalyticsConfig, ProfilerConfig, SignalsConfig, StorageConfig
from socbot.dispatch.messages import Identity
from socbot.dispatch.outcomes import Outcome
from socbot.storage.connection import Connection
from socbot.systems.erasure import Erased
from socbot.systems.incidents import Incidents
from socbot.systems.signals import Signal, Signals
from tests.observed import Observed, observed

TABLES = (
    "usage", "slow_runs", "errors", "rate_limit_state", "rate_limit_cooldowns", "rate_limit_violations",
    "rate_limit_exemptions", "blacklist", "blacklist_history", "blacklist_attempts",
)  # fmt: skip


def remember(connection: Connection) -> None:
    """Something of user 7 in every table that the other systems keep."""
    for sql in (
        "INSERT INTO errors VALUES ('E', 'G', 0, 'info', 'T', '', '', 'local', '7', '', '', '', '')",
        "INSERT INTO rate_limit_state (platform, subject, spent_until, cooldown_until, silent_until)"
        " VALUES ('local', '7', 0, 0, 0)",
        "INSERT INTO rate_limit_cooldowns VALUES ('local', '7', 'ping', 0)",
        "INSERT INTO rate_limit_violations (platform, subject, at, command, action)"
        " VALUES ('local', '7', 0, 'ping', 'warn')",
        "INSERT INTO rate_limit_exemptions VALUES ('local', '7', NULL, 'local:1', 0)",
        "INSERT INTO blacklist_history (platform, kind, subject, action, done_by, at, reason, source)"
        " VALUES ('local', 'user', '7', 'added', 'local:1', 0, '', 'manual')",
        "INSERT INTO blacklist_attempts VALUES ('local', 'user', '7', 3, 0)",
        "INSERT INTO blacklist_attempts VALUES ('local', 'guild', '7', 3, 0)",
    ):
        connection.change(sql)


def list_them(until: float | None) -> str:
    return (
        "INSERT INTO blacklist VALUES ('local', 'user', '7', 'spam', 'local:1', 0,"
        f" {'NULL' if until is None else until}, 'manual')"
    )


def trace_id(outcome: Outcome) -> str:
    assert outcome.trace is not None
    return outcome.trace.id


async def left_of(world: Observed, subject: str = "7") -> dict[str, int]:
    counts = {table: await world.rows(f"SELECT COUNT(*) FROM {table} WHERE subject = '{subject}'") for table in TABLES}
    return {table: rows[0][0] for table, rows in counts.items() if rows[0][0]}


async def test_everything_of_a_person_is_erased_and_named(either_storage: StorageConfig) -> None:
    async with observed(either_storage, profiler=ProfilerConfig(slow=0.01)) as world:
        theirs, others = [trace_id(await world.say("!ping", user)) for user in "78"]
        await world.database.write(remember)
        erased = await world.erasure.forget(("local", "7"))
        assert len(erased) == 10
        assert not any(each.kept for each in erased)
        assert await left_of(world) == {"blacklist_attempts": 1}  # of the guild 7
        assert await left_of(world, "8") == {"usage": 1, "slow_runs": 1}
        assert await world.traces.find(theirs) is None
        assert await world.traces.find(others) is not None


async def test_what_is_told_about_a_person_is_erased_and_what_a_person_reported_is_kept(
    either_storage: StorageConfig,
) -> None:
    async with observed(either_storage) as world:
        signals = Signals(world.database, world.clock, Random(1), SignalsConfig())
        incidents = Incidents(world.database, world.clock, Random(1), signals)

        def send(connection: Connection, signal: Signal) -> None:
            connection.change(
                "INSERT INTO deliveries (webhook, event_id, event, state, at, next_at, last_answer, message_id, reason)"
                " VALUES ('ops', :id, :event, 'waiting', 0, 0, '', '', '')",
                {"id": signal.id, "event": signal.title},
            )

        signals.deliver_by(send, lambda: None)
        await signals.raise_("security", "Listed", subject="local:7", source="rate_limit")
        await signals.raise_("security", "Listed", subject="local:77", source="rate_limit")
        await incidents.open("raid", "info", "local:7", "")
        assert await world.erasure.forget(("local", "7")) == (
            Erased("signals about them", 1),
            Erased("alerts and signals by them", 1, kept=True),
            Erased("entries in timelines by them", 1, kept=True),
        )
        assert len(await signals.recent()) == 2
        assert await world.rows("SELECT event FROM deliveries ORDER BY id") == [("Listed",), ("Incident opened: raid",)]


async def test_an_active_blacklist_entry_is_kept_and_said_to_be(either_storage: StorageConfig) -> None:
    async with observed(either_storage) as world:
        await world.database.write(remember)
        await world.database.write(lambda connection: connection.change(list_them(None)))
        erased = await world.erasure.forget(("local", "7"))
        assert Erased("blacklist entry", 1, kept=True) in erased
        assert Erased("blacklist history", 1, kept=True) in erased
        assert set(await left_of(world)) == {"blacklist", "blacklist_history", "blacklist_attempts"}


async def test_an_entry_that_has_ended_is_erased(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await world.database.write(lambda connection: connection.change(list_them(world.clock.time() - 1)))
        assert await world.erasure.forget(("local", "7")) == (Erased("blacklist entry", 1),)


async def test_what_was_kept_under_a_pseudonym_is_erased_too(storage: StorageConfig) -> None:
    async with observed(storage, analytics=AnalyticsConfig(hash_ids=True)) as world:
        await world.say("!ping", "7")
        await world.telemetry.flush()
        world.analytics.configure(AnalyticsConfig())
        await world.say("!ping", "7")
        assert await world.erasure.forget(("local", "7")) == (Erased("commands counted", 2), Erased("traces", 2))
        assert await world.rows("SELECT * FROM usage") == []
        assert await world.rows("SELECT * FROM traces") == []


async def test_a_stranger_leaves_nothing_to_erase(storage: StorageConfig) -> None:
    forgotten: list[Identity] = []
    async with observed(storage) as world:
        world.erasure.tell(forgotten.append)
        assert await world.erasure.forget(("local", "' OR 1=1 --\0")) == ()
    assert forgotten == [("local", "' OR 1=1 --\0")]
