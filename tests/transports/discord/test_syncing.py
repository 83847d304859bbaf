"""Slash commands are put where Discord keeps them: by discord.py, on the stand-in."""

import copy
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import discord
import pytest
from anyio.lowlevel import checkpoint

from socbot.bot import COMMANDS
from socbot.config import StorageConfig
from socbot.storage.database import Database
from socbot.testing import FakeClock
from socbot.transports.discord.slash import application_commands
from socbot.transports.discord.slash_options import JSON
from socbot.transports.discord.syncing import (
    GLOBAL,
    MOST_PUTS,
    RETRY_AFTER,
    OverHTTP,
    Synced,
    keep_in_sync,
    sync,
    sync_all,
)
from tests.standin import Standin

ALL = application_commands(COMMANDS)
FEW = [each for each in ALL if each["name"] in ("ping", "blacklist")]
DAY = 86_400.0


class HastyClock(FakeClock):
    """A fake clock for one task alone: time passes as soon as somebody sleeps."""

    async def sleep(self, seconds: float) -> None:
        self.forward(seconds)
        await checkpoint()


@pytest.fixture
def clock() -> HastyClock:
    return HastyClock()


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Database]:
    async with Database.open(StorageConfig(url=f"sqlite:///{tmp_path}/data/socbot.db"), clock) as database:
        yield database


@pytest.fixture
async def discord_(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Standin]:
    async with Standin() as standin:
        standin.point_discord_py(monkeypatch)
        yield standin


@pytest.fixture
async def client(discord_: Standin) -> AsyncIterator[discord.Client]:
    client = discord.Client(intents=discord.Intents.none(), max_ratelimit_timeout=30.0)
    await client.login(discord_.token)
    yield client
    await client.close()


@pytest.fixture
def remote(client: discord.Client) -> OverHTTP:
    return OverHTTP(client.http, str(client.application_id))


def asked(discord_: Standin) -> list[str]:
    """What Discord was asked about commands so far."""
    return [each.method for each in discord_.limits.requests(pattern="/applications/**") if "commands" in each.path]


def names(discord_: Standin, scope: str = "") -> set[str]:
    return {each["name"] for each in discord_.world.commands.get(scope, ())}


def changed(number: int) -> list[JSON]:
    commands = copy.deepcopy(FEW)
    commands[0]["description"] = f"Description {number}."
    return commands


async def test_all_commands_are_put_once_and_then_nothing_is_asked(
    discord_: Standin, remote: OverHTTP, store: Database, clock: FakeClock
) -> None:
    assert await sync(ALL, GLOBAL, remote, store, clock) == Synced(GLOBAL, "put")
    assert names(discord_) == {each["name"] for each in ALL}
    assert asked(discord_) == ["GET", "PUT"]
    for _ in range(5):
        assert await sync(ALL, GLOBAL, remote, store, clock) == Synced(GLOBAL, "unchanged")
    assert asked(discord_) == ["GET", "PUT"]


@pytest.mark.parametrize("scope", ["global", "guild"])
async def test_what_discord_has_already_is_not_put_again(
    scope: str, discord_: Standin, remote: OverHTTP, store: Database, clock: FakeClock
) -> None:
    place = GLOBAL if scope == "global" else discord_.guild("home").id
    await sync(ALL, place, remote, store, clock)
    await store.write(lambda connection: connection.change("DELETE FROM command_syncs"))
    assert await sync(ALL, place, remote, store, clock) == Synced(place, "same")
    assert asked(discord_) == ["GET", "PUT", "GET"]
    assert await sync(ALL, place, remote, store, clock) == Synced(place, "unchanged")


async def test_what_discord_adds_or_leaves_out_is_no_change(
    discord_: Standin, remote: OverHTTP, store: Database, clock: FakeClock
) -> None:
    await sync(ALL, GLOBAL, remote, store, clock)
    there = discord_.world.commands[""]
    there.reverse()
    for each in there:
        each |= {"dm_permission": True, "name_localizations": None, "contexts": [1, 0]}
        if each["type"] == 1:
            del each["type"]
        for option in each.get("options", ()):
            option |= {"required": option.get("required", False), "autocomplete": option.get("autocomplete", False)}
    await store.write(lambda connection: connection.change("DELETE FROM command_syncs"))
    assert await sync(ALL, GLOBAL, remote, store, clock) == Synced(GLOBAL, "same")


@pytest.mark.parametrize(
    "change",
    [
        lambda command: command.update(default_member_permissions="8"),
        lambda command: command.update(description="Another."),
        lambda command: command["options"].reverse(),
        lambda command: command["options"][0]["options"][0].update(required=False),
        lambda command: command["options"][0]["options"][0]["choices"].pop(),
        lambda command: command.update(contexts=[0]),
    ],
)
async def test_any_difference_that_people_could_see_is_put_right(
    change: Any, discord_: Standin, remote: OverHTTP, store: Database, clock: FakeClock
) -> None:
    await sync(FEW, GLOBAL, remote, store, clock)
    change(next(each for each in discord_.world.commands[""] if each["name"] == "blacklist" and each["type"] == 1))
    await store.write(lambda connection: connection.change("DELETE FROM command_syncs"))
    assert await sync(FEW, GLOBAL, remote, store, clock) == Synced(GLOBAL, "put")


async def test_another_application_with_the_same_store_gets_its_commands(
    remote: OverHTTP, store: Database, clock: FakeClock, client: discord.Client
) -> None:
    await sync(FEW, GLOBAL, remote, store, clock)
    other = OverHTTP(client.http, "1")
    assert (await sync(FEW, GLOBAL, other, store, clock)).status == 403  # it was asked, which is what counts


async def test_what_starts_an_activity_stays(client: discord.Client, store: Database, clock: FakeClock) -> None:
    sent: list[Sequence[JSON]] = []

    class WithActivity(OverHTTP):
        async def get(self, scope: str) -> Sequence[JSON]:
            return [*await super().get(scope), {"type": 4, "id": "7", "name": "launch", "handler": 2}]

        async def put(self, scope: str, commands: list[JSON]) -> None:
            sent.append(commands)
            await super().put(scope, [each for each in commands if each["type"] != 4])

    activity = WithActivity(client.http, str(client.application_id))
    await sync(FEW, GLOBAL, activity, store, clock)
    assert [each["name"] for each in sent[0] if each["type"] == 4] == ["launch"]
    await store.write(lambda connection: connection.change("DELETE FROM command_syncs"))
    assert (await sync(FEW, GLOBAL, activity, store, clock)).state == "same"


# -- in guilds only -----------------------------------------------------------------------------------


async def test_in_guilds_only_and_then_everywhere_nothing_is_offered_twice(
    discord_: Standin, remote: OverHTTP, store: Database, clock: FakeClock
) -> None:
    one, two = discord_.guild("one").id, discord_.guild("two").id
    await sync_all(FEW, (), remote, store, clock)
    assert names(discord_)
    results = await sync_all(FEW, (one, two, one), remote, store, clock)
    assert results == (Synced(one, "put"), Synced(two, "put"), Synced(GLOBAL, "put"))
    assert names(discord_) == set()
    assert names(discord_, one) == names(discord_, two) == {each["name"] for each in FEW}
    before = asked(discord_)
    assert {result.state for result in await sync_all(FEW, (one, two), remote, store, clock)} == {"unchanged"}
    assert asked(discord_) == before
    await sync_all(FEW, (), remote, store, clock)
    assert names(discord_, one) == names(discord_, two) == set()
    assert names(discord_)


async def test_where_nothing_was_put_nothing_is_taken_away(
    discord_: Standin, remote: OverHTTP, store: Database, clock: FakeClock
) -> None:
    guild = discord_.guild("one").id
    assert await sync_all(FEW, (guild,), remote, store, clock) == (Synced(guild, "put"),)
    assert all(guild in each.path for each in discord_.limits.requests("PUT", "/applications/**"))


async def test_a_guild_that_was_left_is_forgotten(
    discord_: Standin, remote: OverHTTP, store: Database, clock: FakeClock
) -> None:
    guild = discord_.guild("one").id
    await sync_all(FEW, (guild,), remote, store, clock)
    del discord_.world.guilds[guild]
    assert (await sync_all(FEW, (), remote, store, clock))[1] == Synced(guild, "unchanged")
    before = asked(discord_)
    await sync_all(FEW, (), remote, store, clock)
    assert asked(discord_) == before


# -- when it does not work ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "told"),
    [(403, "socbot invite"), (400, "status 400"), (401, "status 401"), (404, "status 404")],
)
async def test_what_discord_refuses_is_told_and_not_tried_again_at_once(
    status: int, told: str, discord_: Standin, remote: OverHTTP, store: Database, clock: FakeClock
) -> None:
    discord_.limits.always("PUT", "/applications/**", status)
    result = await sync(FEW, GLOBAL, remote, store, clock)
    assert (result.state, result.status, result.retry_after) == ("failed", status, RETRY_AFTER)
    assert told in result.reason
    assert asked(discord_) == ["GET", "PUT"]


async def test_a_long_wait_is_not_waited_for(
    discord_: Standin, remote: OverHTTP, store: Database, clock: FakeClock
) -> None:
    discord_.limits.refuse("PUT", "/applications/**", retry_after=20_000)
    result = await sync(FEW, GLOBAL, remote, store, clock)
    assert (result.status, result.retry_after) == (429, 20_000)
    assert "enough changes" in result.reason


async def test_no_connection_is_told(discord_: Standin, remote: OverHTTP, store: Database, clock: FakeClock) -> None:
    discord_.limits.hang_up("GET", "/applications/**", times=10)
    result = await sync(FEW, GLOBAL, remote, store, clock)
    assert (result.state, result.status, result.retry_after) == ("failed", 0, RETRY_AFTER)
    assert "not reached" in result.reason


async def test_it_is_tried_again_each_hour_and_told_once(
    discord_: Standin, remote: OverHTTP, store: Database, clock: FakeClock
) -> None:
    discord_.limits.answer("PUT", "/applications/**", 403, times=3)
    told: list[Synced] = []
    began = clock.monotonic()
    await keep_in_sync(FEW, (), remote, store, clock, told.append)
    assert [result.state for result in told] == ["failed", "put"]
    assert clock.monotonic() - began == 3 * RETRY_AFTER
    assert names(discord_)


async def test_commands_that_change_at_every_start_are_put_so_often_a_day_at_most(
    discord_: Standin, remote: OverHTTP, store: Database, clock: FakeClock
) -> None:
    puts: list[float] = []
    for number in range(300):
        if (await sync(changed(number), GLOBAL, remote, store, clock)).state == "put":
            puts.append(clock.time())
        clock.forward(600.0)
    assert all(sum(start <= at < start + DAY for at in puts) <= 2 * MOST_PUTS for start in puts)
    assert len(puts) == 3 * MOST_PUTS


async def test_a_put_that_kills_the_bot_counts(
    discord_: Standin, remote: OverHTTP, store: Database, clock: FakeClock
) -> None:
    discord_.limits.hang_up("PUT", "/applications/**", times=1_000)
    for _ in range(3 * MOST_PUTS):
        await sync(FEW, GLOBAL, remote, store, clock)
    discord_.limits.clear()
    result = await sync(FEW, GLOBAL, remote, store, clock)
    assert result.state == "postponed"
    assert result.retry_after == DAY
    assert "tomorrow" in result.reason
    clock.forward(result.retry_after)
    assert (await sync(FEW, GLOBAL, remote, store, clock)).state == "put"


async def test_a_clock_that_is_set_back_allows_no_more(remote: OverHTTP, store: Database, clock: FakeClock) -> None:
    results = []
    for number in range(2 * MOST_PUTS):
        results.append(await sync(changed(number), GLOBAL, remote, store, clock))
        clock.step(-3_600.0)
    assert [result.state for result in results] == ["put"] * MOST_PUTS + ["postponed"] * MOST_PUTS
    assert results[-1].retry_after <= DAY
