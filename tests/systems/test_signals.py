"""What the bot has to tell other systems is written down once, with what is to be sent of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.config import SignalsConfig, StorageConfig
from socbot.dispatch.replies import printable
from socbot.redaction import Redactor
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.errors import StatementError
from socbot.systems.signals import MOST_TEXT, MOST_TITLE, Draft, Signal, Signals, severity_of
from socbot.testing import FakeClock

TOKEN = "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs"
DAY = 86_400.0


@asynccontextmanager
async def opened(storage: StorageConfig, clock: FakeClock, *secrets: str) -> AsyncIterator[Signals]:
    async with Database.open(storage, clock) as database:
        yield Signals(database, clock, Random(1), SignalsConfig(), Redactor(secrets))


@pytest.fixture
async def signals(storage: StorageConfig, clock: FakeClock) -> AsyncIterator[Signals]:
    async with opened(storage, clock) as signals:
        yield signals


class Outbox:
    """Takes what is to be sent, as the webhooks do: in the transaction."""

    def __init__(self, signals: Signals) -> None:
        self.woken = 0
        self.seen: list[Signal] = []
        signals.deliver_by(self.enqueue, self.wake)

    def enqueue(self, connection: Connection, signal: Signal) -> None:
        self.seen.append(signal)
        connection.change(
            "INSERT INTO deliveries (webhook, event_id, event, state, at, next_at, last_answer, message_id, reason) "
            "VALUES ('ops', :id, '', 'waiting', :at, 0, '', '', '')",
            {"id": signal.id, "at": signal.at},
        )

    def wake(self) -> None:
        self.woken += 1


async def kept(signals: Signals) -> list[Signal]:
    return [each.signal for each in await signals.recent()]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_it_is_kept_with_what_is_to_be_sent_and_then_delivered(signals: Signals, clock: FakeClock) -> None:
    outbox = Outbox(signals)
    raised = await signals.raise_(
        "health", "The store is slow", "300 ms", severity="critical", fields=(("p99", "1 s"),)
    )
    assert (raised.kind, raised.severity, raised.at, raised.count) == ("health", "critical", clock.time(), 1)
    assert outbox.seen == [raised]
    assert outbox.woken == 1
    [found] = await signals.recent()
    assert found.signal == raised
    assert found.deliveries == (("ops", "waiting"),)


async def test_nothing_is_kept_of_what_cannot_be_put_in_the_outbox(signals: Signals) -> None:
    def refuse(connection: Connection, signal: Signal) -> None:
        connection.change("INSERT INTO nowhere VALUES (1)")

    outbox = Outbox(signals)
    signals.deliver_by(refuse, outbox.wake)
    with pytest.raises(StatementError):
        await signals.raise_("alert", "Lost")
    assert await kept(signals) == []
    assert outbox.woken == 0


async def test_the_same_within_five_minutes_is_counted(either_storage: StorageConfig, clock: FakeClock) -> None:
    async with opened(either_storage, clock) as signals:
        outbox = Outbox(signals)
        first = await signals.raise_("health", "Slow", "300 ms", severity="warning")
        clock.forward(299)
        second = await signals.raise_("health", "Slow", "800 ms", severity="critical")
        assert (second.id, second.count, second.at, second.last_at) == (first.id, 2, first.at, clock.time())
        assert second.severity == "critical"  # the worst of them
        clock.forward(299)
        assert (await signals.raise_("health", "Slow", severity="info")).severity == "critical"
        clock.forward(300)
        fourth = await signals.raise_("health", "Slow", severity="info")
        assert (fourth.count, fourth.severity) == (1, "info")
        assert [each.count for each in await kept(signals)] == [1, 3]
        assert [each.count for each in outbox.seen] == [1, 2, 3, 1]


async def test_what_is_not_the_same_is_not_counted_together(signals: Signals) -> None:
    for draft in (
        Draft("health", "Slow"),
        Draft("job", "Slow"),
        Draft("health", "Slow", guild="discord:1"),
        Draft("health", "Slow", guild="discord:2"),
        Draft("health", "Slow", subject="I-1"),
        Draft("health", "Slow", key="another"),
    ):
        assert (await signals.send(draft)).count == 1
    assert len(await kept(signals)) == 6


async def test_a_clock_that_steps_back_hides_nothing(signals: Signals, clock: FakeClock) -> None:
    await signals.raise_("health", "Slow")
    clock.step(-3600)
    assert (await signals.raise_("health", "Slow")).count == 1


async def test_they_are_counted_by_kind_and_severity(either_storage: StorageConfig, clock: FakeClock) -> None:
    async with opened(either_storage, clock) as signals:
        await signals.raise_("alert", "Long ago", severity="critical")
        clock.forward(1_000)
        since = clock.time()
        for title in ("One", "Two", "Two"):
            await signals.raise_("alert", title, severity="warning")
        await signals.raise_("job", "Three", severity="critical")
        assert await signals.counts(since) == {("alert", "warning"): 3, ("job", "critical"): 1}


@pytest.mark.promise("P11")
async def test_no_secret_is_kept_or_sent(either_storage: StorageConfig, clock: FakeClock) -> None:
    async with opened(either_storage, clock, "correct horse battery") as signals:
        outbox = Outbox(signals)
        await signals.raise_(
            "alert",
            f"leaked {TOKEN}",
            "the passphrase is correct horse battery",
            fields=(("https://discord.com/api/webhooks/1/abcdefghijklmnopqrstuvwxyz", f"password={TOKEN}"),),
        )
        rows = await signals._database.read(lambda connection: connection.execute("SELECT * FROM signals"))
        for text in (str(rows), str(outbox.seen)):
            assert TOKEN not in text
            assert "horse battery" not in text
            assert "password=[redacted]" in text


@pytest.mark.parametrize("hostile", ["\0", "\ud800", "\x1b[2J", "a\r\nb", "\u202e", "\u2028", "x" * 10_000])
async def test_whatever_is_raised_can_be_kept_and_printed(
    either_storage: StorageConfig, clock: FakeClock, hostile: str
) -> None:
    async with opened(either_storage, clock) as signals:
        raised = await signals.raise_(
            "alert",
            hostile,
            hostile,
            source=hostile,
            key=hostile,
            subject=hostile,
            guild=hostile,
            fields=((hostile, hostile),) * 50,
        )
        assert await kept(signals) == [raised]
        assert [each.signal for each in await signals.recent(guild=hostile)] == [raised]
        assert printable(raised.title + raised.text + str(raised.fields[1:])) == raised.title + raised.text + str(
            raised.fields[1:]
        )
        assert len(raised.title) <= MOST_TITLE
        assert len(raised.text) <= MOST_TEXT
        assert len(raised.fields) <= 21
        assert len(raised.key) <= 200


async def test_a_guild_is_shown_its_own(either_storage: StorageConfig, clock: FakeClock) -> None:
    async with opened(either_storage, clock) as signals:
        for guild in ("discord:1", "discord:12", "discord:2", "", 'discord:1"],["x'):
            clock.forward(1)
            await signals.raise_("alert", "Raid", guild=guild)
        await signals.raise_("error", "Elsewhere", fields=(("guild", "discord:1"),))
        own = await signals.recent(guild="discord:1")
        assert [each.signal.fields for each in own] == [(("Guild", "discord:1"),)]
        assert len(await signals.recent()) == 6
        assert len(await signals.recent("alert")) == 5
        assert len(await signals.recent("alert", limit=2)) == 2
        assert await signals.recent("drill") == ()


async def test_what_is_old_is_dropped(either_storage: StorageConfig, clock: FakeClock) -> None:
    async with opened(either_storage, clock) as signals:
        await signals.raise_("alert", "Old")
        clock.forward(364 * DAY)
        await signals.raise_("alert", "New")
        await signals.tidy()
        assert len(await kept(signals)) == 2
        clock.forward(2 * DAY)
        await signals.tidy()
        assert [each.title for each in await kept(signals)] == ["New"]
        signals.configure(SignalsConfig(retention_days=1))
        await signals.tidy()
        assert await kept(signals) == []


@pytest.mark.parametrize(
    ("names", "severity"),
    [
        ("info Low minor INFORMATIONAL 1", "info"),
        ("warning warn Medium moderate 3", "warning"),
        ("critical CRITICAL high severe emergency 5", "critical"),
    ],
)
def test_a_severity_has_many_names(names: str, severity: str) -> None:
    assert {severity_of(f" {name} ") for name in names.split()} == {severity}


@given(st.text(max_size=20))
def test_no_word_is_a_severity_by_chance(text: str) -> None:
    assert severity_of(text) in (None, "info", "warning", "critical")


async def test_they_are_asked_for_by_severity_by_time_and_by_id(
    either_storage: StorageConfig, clock: FakeClock
) -> None:
    async with opened(either_storage, clock) as signals:
        raised = []
        for severity in ("info", "critical", "warning"):
            clock.forward(1)
            raised.append(await signals.raise_("alert", severity, severity=severity))
        assert [each.signal.title for each in await signals.recent(severity="critical")] == ["critical"]
        assert [each.signal.title for each in await signals.recent(before=raised[2].at)] == ["critical", "info"]
        found = await signals.find(raised[0].id.lower())
        assert found is not None
        assert found.signal == raised[0]
        assert await signals.find("S-0") is None
