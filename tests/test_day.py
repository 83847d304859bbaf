"""A day in the life of a bot on real parts, on Discord and another platform at once; at its end the books balance."""

import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import anyio
import anyio.to_thread
import pytest

from tests.day.host import PLATFORM, Line
from tests.day.town import Hook, Host, Said, Store, Town, id_in, until
from tests.postgresql import Server, running_server
from tests.receiver import answer
from tests.standin import Person, Standin

CHAIN = ("blacklist", "rate_limit", "profiler", "analytics", "error_capture")
REORDERED = ("analytics", "error_capture", "blacklist", "profiler", "rate_limit")
CONFIG = """
bot: {{owners: ["wire:mayor"], shutdown_timeout: 5s}}
middleware: [{chain}]
storage: {{url: "{url}", busy_timeout: 2s}}
rate_limit: {{cooldown: 0s, burst: 10, window: 2s, tolerance: 2, ladder: [{{action: warn}}, {{action: blacklist}}]}}
webhooks: {{allow: ["127.0.0.0/8"], tries: 50, span: 120s}}
"""
MAYOR = "mayor"
"""The owner on the wire, as ``Day.owner`` is on Discord."""

EVERYDAY = ("!ping", "!uptime", "!nap 0.05", "!ping too many", "!shutdown", "!price bread")
"""What people say: what is answered at once and later, what is not understood, and what is not for them."""

LOST = 0.25
"""Seconds of telemetry that a kill may cost."""

STATE = (
    "blacklist", "blacklist_history", "rate_limit_violations", "rate_limit_exemptions", "error_groups",
    "errors", "signals", "incidents", "timeline",
)  # fmt: skip
"""Tables that nothing changes but what somebody asks for, or does wrong."""

SELECTED = {
    "settings": "SELECT * FROM settings WHERE key NOT LIKE 'starts.%'",
    "webhooks": "SELECT name, type, address, triggers, severity, enabled FROM webhooks",
}
"""Of these tables, what is so of them."""

Bounce: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]


@dataclass
class Day:
    """The parts of the day, and what somebody was promised in the course of it.

    :ivar listed: who is on the blacklist, by (platform, id), and was told to be
    :ivar denied: who was tried to be listed, with a failure for an answer
    :ivar restored: from when to when, in seconds since 1970, the bot lived on the restored store
    """

    host: Host
    store: Store
    town: Town
    standin: Standin
    siem: Hook
    pager: Hook
    bounce: Bounce
    owner: Person
    people: list[Person]
    townsfolk: list[str]
    random: Random = field(default_factory=lambda: Random(7))
    listed: set[tuple[str, str]] = field(default_factory=set)
    denied: set[tuple[str, str]] = field(default_factory=set)
    incidents: set[str] = field(default_factory=set)
    backup: str = ""
    noon: dict[str, Any] = field(default_factory=dict)
    restored: tuple[float, float] = (0.0, 0.0)

    def some(self, count: int) -> list[Person | str]:
        """So many people on each platform, none of whom will spam."""
        return [*self.people[:-1][:count], *self.townsfolk[:-1][:count]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.promise("P02")
@pytest.mark.promise("P07")
@pytest.mark.promise("P28")
@pytest.mark.promise("P41")
@pytest.mark.promise("P42")
@pytest.mark.promise("P49")
@pytest.mark.promise("P51")
@pytest.mark.promise("P53")
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("sqlite", marks=pytest.mark.promise("P48")),
        pytest.param("postgresql", marks=pytest.mark.promise("P47")),
    ],
)
async def test_a_day_in_the_life(kind: str, tmp_path: Path) -> None:
    async with dawn(kind, tmp_path) as day:
        for hour in (
            six_the_bot_starts,
            seven_its_owners_set_it_up,
            eight_people_use_it_and_the_gateway_breaks,
            nine_somebody_spams_on_each_platform,
            ten_a_bug_breaks_out_and_is_mended,
            eleven_one_webhook_is_down_and_another_is_gone,
            noon_it_is_backed_up,
            one_the_database_bounces,
            two_the_chain_is_reordered,
            three_the_webhook_is_back,
            four_it_is_killed,
            five_it_is_started_again,
            eight_noon_is_restored_and_taken_back,
            eleven_it_is_shut_down,
        ):
            began = time.monotonic()
            await hour(day)
            print(f"{time.monotonic() - began:6.2f} {hour.__name__}")
        balance(day)


# -- the hours ------------------------------------------------------------------------------------------


async def six_the_bot_starts(day: Day) -> None:
    arrange(day, CHAIN)
    await start(day)
    await until(lambda: told(day, "Startup Complete") == 1, "the owner to be told")
    assert await day.host.ready() == 200
    assert await chain_of(day) == CHAIN


async def seven_its_owners_set_it_up(day: Day) -> None:
    for name, receiver in (("siem", day.siem), ("pager", day.pager)):
        await day.town.ask(MAYOR, f"!add_webhook {name} custom {receiver.url()}", "Webhook added")
    await list_user(day, day.owner, "900000000000000001")
    await list_user(day, MAYOR, "rowdy")
    await until(lambda: day.standin.world.commands, "the slash commands")
    assert (await day.town.use(day.owner, "uptime")).startswith("Up for")


async def eight_people_use_it_and_the_gateway_breaks(day: Day) -> None:
    async with traffic(day):
        await anyio.sleep(1.0)
        assert day.standin.gateway.drop() == 1
        await day.standin.gateway.resumed()
        await anyio.sleep(1.0)


async def nine_somebody_spams_on_each_platform(day: Day) -> None:
    for spammer in (day.people[-1], day.townsfolk[-1]):
        said: list[Said] = []
        while not listed_in(day, spammer):
            assert len(said) < 200
            said.append(await day.town.say(spammer, "!ping"))
            await anyio.sleep(0.02)
        day.listed.add(identity(spammer))
        await everything_has_its_outcome(day)
        await day.town.say(spammer, "!ping")
        await everything_has_its_outcome(day)
        assert day.host.outcomes[-1].refused_by == "blacklist"


async def ten_a_bug_breaks_out_and_is_mended(day: Day) -> None:
    day.host.break_something()
    for person in day.some(4):
        await day.town.ask(person, "!price bread", "That failed")
    day.host.mend()
    assert await day.town.ask(day.people[0], "!price bread") == "bread is 3"
    assert "KeyError" in await day.town.ask(MAYOR, "!error_dashboard")


async def eleven_one_webhook_is_down_and_another_is_gone(day: Day) -> None:
    await until(lambda: not waiting(day, "siem") and not waiting(day, "pager"), "the deliveries of the morning")
    await day.siem.stop()
    day.pager.otherwise = answer(410)
    await day.town.ask(day.owner, "!alert critical The front door is open", "Alert raised")
    for number in range(4):
        await day.town.ask(MAYOR, f"!alert warning Window {number} is open", "Alert raised")
    await open_incident(day, MAYOR)
    await until(lambda: told(day, "Webhook Paused") == 1, "the owner to be told that the pager is gone")
    assert waiting(day, "siem") == 6


async def noon_it_is_backed_up(day: Day) -> None:
    async with traffic(day):
        made = await day.town.ask(MAYOR, "!backup_now", "Backup made and verified")
        day.noon = state(day)
    day.backup = made.partition("Name: `")[2].partition("`")[0]


async def one_the_database_bounces(day: Day) -> None:
    async with traffic(day), day.bounce():
        for number in range(2):
            await list_user(day, MAYOR, f"noon{number}", must=False)
    await until_listed(day, MAYOR, "one")


async def two_the_chain_is_reordered(day: Day) -> None:
    async with traffic(day):
        arrange(day, REORDERED)
        await day.town.ask(day.owner, "!reload", "Reloaded")
        assert await chain_of(day) == REORDERED
        await anyio.sleep(0.5)


async def three_the_webhook_is_back(day: Day) -> None:
    await day.siem.__aenter__()
    await day.town.ask(day.owner, "!alert info The windows are shut again", "Alert raised")
    await until(lambda: not waiting(day, "siem"), "what waited for the siem")


async def four_it_is_killed(day: Day) -> None:
    listed, opened = len(day.listed) + 15, len(day.incidents) + 15
    async with traffic(day), anyio.create_task_group() as tasks:
        tasks.start_soon(list_many, day, day.owner)
        tasks.start_soon(open_many, day, MAYOR)
        await until(lambda: len(day.listed) > listed and len(day.incidents) > opened, "fifteen changes of each kind")
        await anyio.sleep(day.random.uniform(0.0, LOST))
        await day.host.kill()
        tasks.cancel_scope.cancel()


async def five_it_is_started_again(day: Day) -> None:
    await start(day)
    every_change_is_there(day)
    rowdy = await day.town.say("rowdy", "!ping")
    async with traffic(day):
        await anyio.sleep(1.0)
    assert line_of(day, rowdy).refused_by == "blacklist"
    await until(lambda: not waiting(day, "siem"), "what waited for the siem")
    assert "paused" in await day.town.ask(MAYOR, "!list_webhooks")
    assert "410" in await day.town.ask(MAYOR, "!webhook_deliveries pager dead")


async def eight_noon_is_restored_and_taken_back(day: Day) -> None:
    evening, kept = state(day), carried(day)
    restored = await day.town.confirm(day.owner, f"!restore_backup {day.backup}", "Restored")
    assert state(day) == day.noon
    assert await chain_of(day) == CHAIN
    assert carried(day) >= kept
    undone = await day.town.confirm(day.owner, "!restore_backup undo", "Restored")
    assert state(day) == evening
    assert await chain_of(day) == REORDERED
    assert carried(day) >= kept
    day.restored = (line_of(day, restored).at, line_of(day, undone).at)


async def eleven_it_is_shut_down(day: Day) -> None:
    naps = [await day.town.say(person, "!nap 1.5") for person in day.some(3)]
    await anyio.sleep(0.5)
    day.host.terminate()
    assert await day.host.ready_no_more() == 503
    assert not any(map(day.town.answers, naps))
    assert "shutting down" in await day.town.ask(day.people[5], "!ping")
    await until(lambda: day.host.ended is not None, "the bot's end")
    assert day.host.ended == 0
    assert [day.town.answers(nap) for nap in naps] == [["slept 1.5"]] * len(naps)
    assert told(day, "Shutting Down") == 1


# -- the balance ----------------------------------------------------------------------------------------


def balance(day: Day) -> None:
    """Every command has one outcome, every promise is kept, every signal was delivered or is seen to be dead."""
    every_command_has_one_outcome_and_one_answer(day)
    every_outcome_is_in_the_store_once(day)
    every_change_is_there(day)
    every_signal_was_delivered_once_or_is_dead(day)
    assert "Traceback" not in day.host.printed
    assert "never retrieved" not in day.host.printed


def every_command_has_one_outcome_and_one_answer(day: Day) -> None:
    lines = day.host.outcomes
    outcomes = Counter(line.key for line in lines)
    assert outcomes.keys() <= day.town.said.keys()
    assert set(outcomes.values()) == {1}
    unheard = [said for key, said in day.town.said.items() if key not in outcomes]
    assert [said for said in unheard if not day.host.was_down(said.at)] == []
    for line in lines:
        answers = len(day.town.answers(day.town.said[line.key]))
        assert answers <= 1
        assert answers or not line.spoken or day.host.was_down(line.at), line


def every_outcome_is_in_the_store_once(day: Day) -> None:
    """But for the last quarter of a second before the kill, and what was done on the store that was taken back."""
    (killed,) = day.host.killed_at
    counted = [line for line in day.host.outcomes if not day.restored[0] <= line.at < day.restored[1]]
    stored = Counter(day.store.traces())
    assert set(stored.values()) == {1}
    traced = [line for line in counted if line.trace]  # what is decided at the door has none
    lost = [line for line in traced if line.trace not in stored]
    assert lost == [line for line in traced if lost and lost[0].at <= line.at <= killed], "a gap"
    assert not lost or killed - lost[0].at <= LOST + day.host.last_write(killed)
    kept = [line for line in counted if line not in lost]
    assert stored.keys() == {line.trace for line in kept if line.trace}
    assert usage(day) == Counter((line.platform, line.who, line.command, line.status, line.refused_by) for line in kept)
    oldest = killed - lost[0].at if lost else 0.0
    print(f"{len(counted)} outcomes, {len(lost)} lost by the kill, the oldest {oldest * 1000:.0f} ms before it")


def every_change_is_there(day: Day) -> None:
    assert listed(day) >= day.listed
    assert not listed(day) & day.denied
    assert {id for (id,) in day.store.rows("SELECT incident_id FROM incidents")} >= day.incidents


def every_signal_was_delivered_once_or_is_dead(day: Day) -> None:
    """Once to each webhook, or twice with the same id if the kill came between a request and its note."""
    signals = {id for (id,) in day.store.rows("SELECT signal_id FROM signals")}
    for name, hook in (("siem", day.siem), ("pager", day.pager)):
        rows = day.store.rows(f"SELECT event_id, state FROM deliveries WHERE webhook = '{name}'")
        twice = sum(hook.taken.values()) - len(hook.taken)
        print(f"{name}: {len(signals)} signals, {dict(Counter(state for _, state in rows))}, {twice} twice")
        assert {id for id, _ in rows} == signals
        assert {id.partition(".")[0] for id in hook.taken} == {id for id, state in rows if state == "delivered"}
        assert twice <= len(day.host.killed_at)
    assert not waiting(day, "siem")
    assert day.store.rows("SELECT name, state FROM webhooks ORDER BY name") == [("pager", "paused"), ("siem", "active")]


# -- what an hour is made of ----------------------------------------------------------------------------


@asynccontextmanager
async def dawn(kind: str, folder: Path) -> AsyncIterator[Day]:
    """A world with a bot that has yet to be started."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        standin, siem, pager = await enter(Standin()), await enter(Hook()), await enter(Hook())
        server = stack.enter_context(running_server()) if kind == "postgresql" else None
        store = Store("sqlite:///data/socbot.db" if server is None else server.new_database(), folder)
        owner, people = standin.user("owner"), [standin.user(f"p{number}") for number in range(9)]
        owner.at = standin.guild("guild", owner=owner, members=people).general
        host = Host(folder, standin.environment() | {"BOT_OWNER_ID": owner.id})
        stack.push_async_callback(host.close)
        town = Town(standin, await enter(anyio.create_task_group()))
        stack.push_async_callback(town.leave_the_wire)
        bounce = (lambda: locked(store)) if server is None else (lambda: stopped(server))
        townsfolk = [f"t{number}" for number in range(9)]
        try:
            yield Day(host, store, town, standin, siem, pager, bounce, owner, people, townsfolk)
        finally:
            print(host.printed)


@asynccontextmanager
async def stopped(server: Server) -> AsyncIterator[None]:
    """A server that goes away at once, and is back after the block."""
    await anyio.to_thread.run_sync(server.stop, "immediate")
    yield
    await anyio.to_thread.run_sync(server.start)


@asynccontextmanager
async def locked(store: Store) -> AsyncIterator[None]:
    """Another program that holds the store's lock."""
    with closing(sqlite3.connect(store.file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@asynccontextmanager
async def traffic(day: Day) -> AsyncIterator[None]:
    """Everybody talks to the bot, on both platforms; after the block all of it has its outcome."""

    async def talk() -> None:
        for text in cycle(EVERYDAY):
            for person in day.some(8):
                await day.town.say(person, text)
                await anyio.sleep(0.02)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(talk)
        yield
        tasks.cancel_scope.cancel()
    if day.host.ended is None:
        await everything_has_its_outcome(day)


async def everything_has_its_outcome(day: Day) -> None:
    """Wait until every command has ended that the bot was given."""
    lacking = {key: said for key, said in day.town.said.items() if not day.host.was_down(said.at)}

    def none_is_lacking() -> bool:
        for line in day.host.outcomes:
            lacking.pop(line.key, None)
        return not lacking

    await until(none_is_lacking, lacking)


def arrange(day: Day, chain: tuple[str, ...]) -> None:
    text = CONFIG.format(chain=", ".join(chain), url=day.store.url)
    (day.host.folder / "config.yaml").write_text(text)


async def start(day: Day) -> None:
    await day.host.start()
    await day.town.join_the_wire(day.host.port)
    await day.standin.gateway.identified(1 + len(day.host.killed_at), seconds=30)
    await day.standin.gateway.ready(seconds=10)


async def chain_of(day: Day) -> tuple[str, ...]:
    told = await day.town.ask(MAYOR, "!pipeline")
    return tuple(sorted(CHAIN, key=told.index))


def identity(person: Person | str) -> tuple[str, str]:
    return (PLATFORM, person) if isinstance(person, str) else ("discord", person.id)


def told(day: Day, title: str) -> int:
    """How often the owner was told that."""
    return sum(title in message.text for message in day.owner.dm.messages)


async def list_user(day: Day, by: Person | str, whom: str, *, must: bool = True) -> bool:
    """Blacklist somebody; whether that was acknowledged."""
    platform = identity(by)[0]
    said = await day.town.ask(by, f"!blacklist_add user {whom} spam", "Added" if must else "")
    acknowledged = "Added to the blacklist" in said
    (day.listed if acknowledged else day.denied).add((platform, whom))
    return acknowledged


async def until_listed(day: Day, by: str, prefix: str) -> None:
    number = 0
    while not await list_user(day, by, f"{prefix}{number}", must=False):
        number += 1
        assert number < 50
        await anyio.sleep(0.1)


async def list_many(day: Day, by: Person) -> None:
    for number in range(1_000):
        await list_user(day, by, f"9100000000000{number:05}")


async def open_incident(day: Day, by: str) -> None:
    opened = await day.town.ask(by, f"!incident open high Burglary {len(day.town.said)}", "Opened")
    day.incidents.add(id_in(opened, "I"))


async def open_many(day: Day, by: str) -> None:
    while True:
        await open_incident(day, by)


def listed(day: Day) -> set[tuple[str, str]]:
    return {(platform, id) for platform, id in day.store.rows("SELECT platform, subject FROM blacklist")}


def listed_in(day: Day, person: Person | str) -> bool:
    return identity(person) in listed(day)


def waiting(day: Day, webhook: str) -> int:
    rows = day.store.rows(f"SELECT count(*) FROM deliveries WHERE state = 'waiting' AND webhook = '{webhook}'")
    return int(rows[0][0])


def state(day: Day) -> dict[str, Any]:
    """What a restore brings back, by table."""
    selected = {table: f"SELECT * FROM {table}" for table in STATE} | SELECTED
    return {table: sorted(map(repr, day.store.rows(statement))) for table, statement in selected.items()}


def carried(day: Day) -> set[tuple[Any, ...]]:
    """What no restore takes away: who did what, what was delivered or waits, and the logins at Discord."""
    selected = (
        "'audit', hash FROM audit WHERE id > 0",
        "'deliveries', event_id FROM deliveries",
        "'logins', at FROM gateway_logins",
    )
    return {row for each in selected for row in day.store.rows(f"SELECT {each}")}


def usage(day: Day) -> Counter[tuple[str, ...]]:
    rows = day.store.rows(
        "SELECT platform, subject, command, status, refused_by, sum(count) FROM usage"
        " GROUP BY platform, subject, command, status, refused_by"
    )
    return Counter({tuple(row[:-1]): int(row[-1]) for row in rows})


def line_of(day: Day, said: Said) -> Line:
    return next(line for line in day.host.outcomes if line.key == said.key)
