"""Alerts, incidents and drills: each change is in a timeline and is told, or it did not happen."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from socbot.config import SignalsConfig, StorageConfig
from socbot.dispatch.errors import InvalidArgument, UserError
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.errors import StatementError
from socbot.systems.incidents import (
    EVERYWHERE,
    MOST_ENTRIES,
    MOST_OPEN,
    MOST_TOLD,
    WINDOW,
    AlreadyOpen,
    Incidents,
    NotOpen,
    TooMuchTold,
)
from socbot.systems.signals import Signal, Signals
from socbot.testing import FakeClock

HERE, ELSEWHERE = "discord:1", "discord:2"
ADA, BOB = "discord:70", "discord:71"


class World:
    def __init__(self, database: Database, clock: FakeClock) -> None:
        self.database = database
        self.signals = Signals(database, clock, Random(1), SignalsConfig())
        self.incidents = Incidents(database, clock, Random(2), self.signals)

    async def told(self) -> list[Signal]:
        """Oldest first."""
        return [each.signal for each in reversed(await self.signals.recent())]

    def refuse_signals(self) -> None:
        def refuse(connection: Connection, signal: Signal) -> None:
            connection.change("INSERT INTO nowhere VALUES (1)")

        self.signals.deliver_by(refuse, lambda: None)


@asynccontextmanager
async def opened(storage: StorageConfig, clock: FakeClock) -> AsyncIterator[World]:
    async with Database.open(storage, clock) as database:
        yield World(database, clock)


@pytest.fixture
async def world(storage: StorageConfig, clock: FakeClock) -> AsyncIterator[World]:
    async with opened(storage, clock) as world:
        yield world


async def test_an_incident_has_a_timeline_and_each_entry_is_told(
    either_storage: StorageConfig, clock: FakeClock
) -> None:
    async with opened(either_storage, clock) as world:
        incidents = world.incidents
        opened_ = await incidents.open("The database is down\nsince noon", "critical", ADA, HERE)
        clock.forward(60)
        await incidents.note(opened_.id, "the disk was full", BOB, HERE)
        await incidents.note(opened_.id.lower(), "the disk was full", BOB, HERE)  # the same words are another entry
        clock.forward(60)
        closed = await incidents.close(opened_.id, "freed some", ADA, HERE)
        assert (closed.state, closed.closed_by, closed.seconds) == ("closed", ADA, 120)
        found, timeline = await incidents.find(opened_.id)
        assert found == closed
        assert [(each.by, each.action, each.text) for each in timeline] == [
            (ADA, "opened", "The database is down\nsince noon"),
            (BOB, "note", "the disk was full"),
            (BOB, "note", "the disk was full"),
            (ADA, "closed", "freed some"),
        ]
        told = await world.told()
        assert sorted((each.title, each.severity) for each in told) == [
            ("Incident closed: The database is down", "critical"),
            ("Incident opened: The database is down", "critical"),
            ("Incident updated: The database is down", "critical"),
            ("Incident updated: The database is down", "critical"),
        ]
        assert {(each.kind, each.subject, each.count) for each in told} == {("incident", opened_.id, 1)}
        assert told[-1].fields == (
            ("Guild", HERE),
            ("Incident", opened_.id),
            ("By", ADA),
            ("Duration", "2m"),
        )


async def test_what_cannot_be_told_has_not_happened(world: World) -> None:
    incident = await world.incidents.open("Raid", "warning", ADA, HERE)
    world.refuse_signals()
    with pytest.raises(StatementError):
        await world.incidents.open("Another", "warning", ADA, HERE)
    with pytest.raises(StatementError):
        await world.incidents.note(incident.id, "lost", ADA, HERE)
    with pytest.raises(StatementError):
        await world.incidents.close(incident.id, "", ADA, HERE)
    assert await world.incidents.newest("incident") == (incident,)
    assert len((await world.incidents.find(incident.id))[1]) == 1
    assert len(await world.told()) == 1


async def test_incidents_outlive_a_restart(storage: StorageConfig, clock: FakeClock) -> None:
    async with opened(storage, clock) as world:
        incident = await world.incidents.open("Raid", "warning", ADA, HERE)
    async with opened(storage, clock) as world:
        assert (await world.incidents.find("last", HERE))[0] == incident


async def test_a_guild_has_its_own(world: World, clock: FakeClock) -> None:
    here = await world.incidents.open("Raid", "warning", ADA, HERE)
    clock.forward(1)
    elsewhere = await world.incidents.open("Raid", "warning", BOB, ELSEWHERE)
    assert await world.incidents.newest("incident", within=HERE) == (here,)
    assert await world.incidents.newest("incident") == (elsewhere, here)
    assert (await world.incidents.find("last"))[0] == elsewhere
    for call in (world.incidents.note, world.incidents.close):
        with pytest.raises(InvalidArgument):
            await call(here.id, "mine now", BOB, ELSEWHERE)
    with pytest.raises(InvalidArgument):
        await world.incidents.find(here.id, ELSEWHERE)
    assert len(await world.signals.recent(guild=HERE)) == 1


async def test_one_of_a_title_is_open_at_once(world: World) -> None:
    incident = await world.incidents.open("Raid", "warning", ADA, HERE)
    with pytest.raises(AlreadyOpen) as refused:
        await world.incidents.open("Raid", "critical", BOB, HERE)
    assert incident.id in str(refused.value)
    await world.incidents.close(incident.id, "", ADA, HERE)
    with pytest.raises(NotOpen):
        await world.incidents.close(incident.id, "", ADA, HERE)
    await world.incidents.note(incident.id, "found out later", ADA, HERE)
    assert (await world.incidents.open("Raid", "critical", BOB, HERE)).id != incident.id


async def test_there_is_a_bound_to_what_is_open_and_to_a_timeline(world: World) -> None:
    first = await world.incidents.open("Raid 0", "info", ADA, HERE)
    for number in range(1, MOST_OPEN):
        await world.incidents.open(f"Raid {number}", "info", ADA, HERE)
    with pytest.raises(UserError, match="incident close"):
        await world.incidents.open("One more", "info", ADA, HERE)
    await world.incidents.open("One more", "info", ADA, ELSEWHERE)
    await world.database.write(
        lambda connection: connection.execute_many(
            "INSERT INTO timeline (incident_id, at, done_by, action, text) VALUES (:id, 0, '', 'note', '')",
            [{"id": first.id}] * MOST_ENTRIES,
        )
    )
    with pytest.raises(UserError, match="full"):
        await world.incidents.note(first.id, "one more", ADA, EVERYWHERE)
    await world.incidents.close(first.id, "it can be closed all the same", ADA, EVERYWHERE)


async def test_one_guild_cannot_flood_what_others_are_told(world: World, clock: FakeClock) -> None:
    incident = await world.incidents.open("Raid", "info", ADA, HERE)
    for number in range(1, MOST_TOLD):
        await world.incidents.alert(f"Raid {number}", "critical", ADA, HERE)
    for more in (
        world.incidents.alert("Raid", "critical", ADA, HERE),
        world.incidents.start_drill("raid", "", ADA, HERE),
        world.incidents.note(incident.id, "more", ADA, HERE),
    ):
        with pytest.raises(TooMuchTold, match="Go on in 10m"):
            await more
    await world.incidents.alert("Raid", "critical", ADA, ELSEWHERE)
    await world.incidents.close(incident.id, "by the owner", "discord:1", EVERYWHERE)
    clock.forward(WINDOW)
    await world.incidents.alert("Raid", "critical", ADA, HERE)


@pytest.mark.parametrize("id", ["I-NONE", "last", "", "' OR 1=1 --", "\0", "x" * 5_000])
async def test_what_is_no_id_finds_nothing(world: World, id: str) -> None:
    with pytest.raises(InvalidArgument):
        await world.incidents.find(id)


# -- drills -------------------------------------------------------------------------------------------


async def test_a_drill_is_never_taken_for_the_real_thing(world: World, clock: FakeClock) -> None:
    drill = await world.incidents.start_drill("phishing", "click on nothing", ADA, HERE)
    clock.forward(90)
    ended = await world.incidents.end_drill("nobody clicked", BOB, HERE)
    assert (ended.id, ended.seconds) == (drill.id, 90)
    told = await world.told()
    assert [(each.kind, each.severity, each.title) for each in told] == [
        ("drill", "info", "DRILL started: phishing"),
        ("drill", "info", "DRILL ended: phishing"),
    ]
    assert ("Duration", "1m30s") in told[1].fields
    assert await world.signals.recent("alert") == ()
    assert await world.signals.recent("incident") == ()
    assert await world.incidents.newest("incident") == ()
    assert [each.text for each in (await world.incidents.find(drill.id))[1]] == ["click on nothing", "nobody clicked"]


async def test_one_drill_is_on_in_a_guild_at_once(world: World) -> None:
    with pytest.raises(NotOpen):
        await world.incidents.end_drill("", ADA, HERE)
    await world.incidents.start_drill("phishing", "", ADA, HERE)
    with pytest.raises(AlreadyOpen, match="drill end"):
        await world.incidents.start_drill("raid", "", ADA, HERE)
    await world.incidents.start_drill("raid", "", ADA, ELSEWHERE)
    await world.incidents.end_drill("", ADA, HERE)
    assert len(await world.incidents.newest("drill", "open")) == 1


# -- alerts -------------------------------------------------------------------------------------------


async def test_an_alert_is_a_signal_of_its_guild(world: World) -> None:
    raised = await world.incidents.alert("Raid in #general\nTen accounts", "critical", ADA, HERE)
    assert (raised.kind, raised.severity, raised.title, raised.source) == ("alert", "critical", "Raid in #general", ADA)
    assert raised.text == "Raid in #general\nTen accounts"
    assert [each.signal for each in await world.signals.recent("alert", guild=HERE)] == [raised]


async def test_the_same_alert_again_is_counted_and_another_is_not(world: World) -> None:
    await world.incidents.alert("Raid\nby ten", "warning", ADA, HERE)
    again = await world.incidents.alert("Raid\nby ten", "critical", BOB, HERE)
    assert (again.count, again.severity) == (2, "critical")
    assert (await world.incidents.alert("Raid\nby a hundred", "warning", ADA, HERE)).count == 1
    assert (await world.incidents.alert("Raid\nby ten", "warning", ADA, ELSEWHERE)).count == 1
