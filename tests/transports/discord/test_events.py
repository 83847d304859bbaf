"""The log lines, and guilds that are left."""

import logging
from collections.abc import AsyncIterator, Callable

import discord
import pytest

from socbot.config import BlacklistConfig, StorageConfig
from socbot.dispatch.messages import Message, User
from socbot.dispatch.outcomes import Outcome, Status
from socbot.dispatch.replies import Reply
from socbot.redaction import Redactor
from socbot.storage.database import Database
from socbot.systems.blacklist import Blacklist
from socbot.testing import FakeClock
from socbot.transports.discord import events
from tests.standin import Standin
from tests.transports.discord.connected import Client, connected


@pytest.fixture
async def client(standin: Standin) -> AsyncIterator[Client]:
    async with connected(standin, members=True) as client:
        yield client


@pytest.fixture
async def blacklist(tmp_path_factory: pytest.TempPathFactory, clock: FakeClock) -> AsyncIterator[Blacklist]:
    storage = StorageConfig(url=f"sqlite:///{tmp_path_factory.mktemp('store')}/socbot.db")
    async with Database.open(storage, clock) as database:
        blacklist = Blacklist(database, clock, BlacklistConfig(), lambda identity: False)
        await blacklist.load()
        yield blacklist


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.DEBUG, "soc_bot")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "soc_bot"]


def test_ready_is_logged_as_the_older_bot_did(lines: Callable[[], list[str]]) -> None:
    events.ready([])
    assert lines() == ["Bot ready - 0 guilds, 0 users"]


async def test_guilds_and_their_users_are_counted(standin: Standin, lines: Callable[[], list[str]]) -> None:
    standin.guild("a", members=[standin.user("alice"), standin.user("bob")])
    standin.guild("b")
    async with connected(standin) as client:
        events.ready(client.guilds)
    assert lines() == ["Bot ready - 2 guilds, 6 users"]


async def test_a_guild_that_is_listed_is_left_and_the_owner_is_told(
    standin: Standin,
    client: Client,
    blacklist: Blacklist,
    notices: list[Reply],
    lines: Callable[[], list[str]],
) -> None:
    async def notify(reply: Reply) -> None:
        notices.append(reply)

    joined: list[discord.Guild] = []

    @client.event
    async def on_guild_join(guild: discord.Guild) -> None:
        await events.guild_joined(guild, blacklist, notify)
        joined.append(guild)

    guild = standin.guild("b\na`d @everyone")
    await standin.until(lambda: joined)
    assert (guild.has_bot, notices) == (True, [])
    await blacklist.add("guild", ("discord", guild.id), reason="raids", by="local:1")
    await events.guild_joined(joined[0], blacklist, notify)
    assert not guild.has_bot
    (notice,) = notices
    assert notice.title == "🚫 Guild Blacklisted"
    facts = {field.name: field.value for field in notice.fields}
    assert facts == {"Guild": "b�aˋd ＠everyone", "Id": f"`{guild.id}`", "Members": "2"}
    named = f"b\\naˋd ＠everyone ({guild.id})"
    joining = f"[GUILD_JOIN] {named}, 2 members"
    assert lines() == [joining, joining, f"[GUILD_BLACKLISTED] {named}: left"]


async def test_a_listed_guild_that_cannot_be_left_is_told_too(
    standin: Standin, client: Client, blacklist: Blacklist, notices: list[Reply]
) -> None:
    async def notify(reply: Reply) -> None:
        notices.append(reply)

    guild = standin.guild("g")
    await standin.until(lambda: client.get_guild(int(guild.id)))
    await blacklist.add("guild", ("discord", guild.id), reason="raids", by="local:1")
    standin.limits.answer("DELETE", "/users/@me/guilds/*", 400)
    await events.guild_joined(client.guild(guild), blacklist, notify)
    assert "could not be left: Discord answered 400" in notices[0].text
    standin.limits.answer("DELETE", "/users/@me/guilds/*", 404)
    await events.guild_joined(client.guild(guild), blacklist, notify)
    assert "it has left" in notices[1].text


async def test_members_and_guilds_that_come_and_go_are_logged(
    standin: Standin, client: Client, lines: Callable[[], list[str]]
) -> None:
    @client.event
    async def on_member_join(member: discord.Member) -> None:
        events.member_joined(member)

    @client.event
    async def on_raw_member_remove(payload: discord.RawMemberRemoveEvent) -> None:
        events.member_left(payload, client.get_guild(payload.guild_id))

    @client.event
    async def on_guild_remove(guild: discord.Guild) -> None:
        events.guild_left(guild)

    guild, eve = standin.guild("home"), standin.user("e\x1bve\n[COMMAND] owner")
    await standin.until(lambda: client.get_guild(int(guild.id)))
    await eve.joins(guild)
    await eve.leaves(guild)
    await standin.until(lambda: len(lines()) == 2)
    guild.loses_bot()
    await standin.until(lambda: len(lines()) == 3)
    shown = f"e\\x1bve\\n[COMMAND] owner ({eve.id}) in home ({guild.id})"
    assert lines() == [
        f"[MEMBER_JOIN] {shown}",
        f"[MEMBER_LEAVE] {shown}",
        f"[GUILD_LEAVE] home ({guild.id})",
    ]


async def test_messages_are_logged_at_debug_only_and_their_beginnings_only(
    standin: Standin, client: Client, caplog: pytest.LogCaptureFixture, lines: Callable[[], list[str]]
) -> None:
    heard: list[discord.Message] = []

    @client.event
    async def on_message(message: discord.Message) -> None:
        heard.append(message)

    redacted: list[str] = []
    redactor = Redactor(["hunter2hunter2"])

    def redact(text: str, limit: int) -> str:
        redacted.append(text)
        return redactor(text, limit)

    def seen() -> list[str]:
        caplog.clear()
        redacted.clear()
        for message in heard:
            events.message_seen(message, "!", redact)
        return lines()

    alice = standin.user("alice")
    guild = standin.guild("home", members=[alice])
    await standin.until(lambda: client.get_guild(int(guild.id)))
    for text in ("x" * 60, "a\nb `c` @everyone hunter2hunter2", "!add_webhook ops secret", f"{alice.mention} ping me"):
        await alice.says(text, in_=guild.general)
    await alice.says("hello", in_=alice.dm)
    await standin.until(lambda: len(heard) == 5)
    start, place = f"[MESSAGE] alice ({alice.id}) in", f"home ({guild.id})"
    assert seen() == [
        f"{start} {place}: {'x' * 49}…",
        f"{start} {place}: a\\nb ˋcˋ ＠everyone [redacted]",
        f"{start} {place}: !add_webhook …",
        f"{start} {place}: ping …",
        f"{start} None: hello",
    ]
    caplog.set_level(logging.INFO, "soc_bot")
    assert seen() == []
    assert redacted == []  # nor does it cost anything


def outcome(status: Status, platform: str = "discord", guild: str | None = "7", name: str = "alice") -> Outcome:
    return Outcome(status, Message("!ping", User("42", name), platform, "c", guild), "ping")


def test_commands_that_ran_are_logged_with_names_that_cannot_forge_a_line(
    caplog: pytest.LogCaptureFixture, lines: Callable[[], list[str]]
) -> None:
    observe = events.command_log({"7": "ho\nme"}.__getitem__)
    observe(outcome("ok"))
    observe(outcome("failed", guild=None, name="eve\r\n[COMMAND] owner"))
    for unlogged in (outcome("refused"), outcome("unknown"), outcome("ignored"), outcome("ok", platform="local")):
        observe(unlogged)
    assert lines() == [
        "[COMMAND] alice (42) -> ping in ho\\nme (7)",
        "[COMMAND] eve\\r\\n[COMMAND] owner (42) -> ping in None",
    ]
    caplog.set_level(logging.WARNING, "soc_bot")
    observe(outcome("ok"))
    assert len(lines()) == 2
