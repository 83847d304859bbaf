"""Guilds and members that come and go, what is written of it, and what the bot tells of itself there."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator

import anyio
import anyio.lowlevel
import pytest

from socbot.config import DiscordConfig
from tests.conftest import MakeBot
from tests.standin import Guild, Standin
from tests.transports.discord.conversation import MakeScene, Scene

HOSTILE = "eve\r\n\x1b[31m[COMMAND] owner (1)\u2028@everyone `x`"
SHOWN = "eve\\r\\n\\x1b[31m[COMMAND] owner (1)\\u2028＠everyone ˋxˋ"


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The lines of the log that the older bot wrote too."""
    caplog.set_level(logging.INFO, "soc_bot")

    def find() -> list[str]:
        messages = (record.getMessage() for record in caplog.records if record.name == "soc_bot")
        return [message for message in messages if message.startswith(("[", "Bot ready"))]

    return find


def named(guild: Guild) -> str:
    return f"{guild.name} ({guild.id})"


async def test_the_start_is_logged(scene: Scene, lines: Callable[[], list[str]]) -> None:
    await settled(scene, lines)
    assert "Bot ready - 1 guilds, 4 users" in lines()


async def settled(scene: Scene, lines: Callable[[], list[str]]) -> None:
    """Wait until the library takes a guild that it hears of for one that is joined, not one that it is in."""
    await scene.standin.until(lambda: any(line.startswith("Bot ready") for line in lines()), what="its being ready")


# -- guilds --------------------------------------------------------------------------------------------


async def test_a_guild_that_is_listed_is_left_at_once_and_the_owner_is_told(
    scene: Scene, lines: Callable[[], list[str]], standin: Standin
) -> None:
    await settled(scene, lines)
    bad = next_guild_id(standin)
    await scene.says(f"!blacklist_add guild {bad} raids")
    guild = standin.guild("bad\n@everyone guild")
    assert guild.id == bad
    await standin.until(lambda: not guild.has_bot, what="the bot's leaving")
    notice = await standin.message(in_=scene.owner.dm)
    assert "Guild Blacklisted" in notice.text
    assert f"`{bad}`" in notice.text
    assert notice.pings == []
    shown = f"bad\\n＠everyone guild ({bad})"
    await standin.until(lambda: any(line.startswith("[GUILD_LEAVE]") for line in lines()))
    about = [line for line in lines() if "guild" in line and "GUILD" in line]
    assert sorted(about) == [
        f"[GUILD_BLACKLISTED] {shown}: left",
        f"[GUILD_JOIN] {shown}, 2 members",
        f"[GUILD_LEAVE] {shown}",
    ]


def next_guild_id(standin: Standin) -> str:
    """The id that the next guild will have."""
    last = max(standin.world.guilds, key=int)
    return str(((int(last) >> 22) + 1) << 22)


async def test_a_guild_that_is_not_listed_is_stayed_in_and_served(
    scene: Scene, lines: Callable[[], list[str]], standin: Standin
) -> None:
    await settled(scene, lines)
    guild = standin.guild("friends", members=[scene.stranger])
    assert (await scene.says("!uptime", scene.stranger, in_=guild.general)).text.startswith("Up for")
    assert f"[GUILD_JOIN] {named(guild)}, 3 members" in lines()
    guild.loses_bot()
    await standin.until(lambda: f"[GUILD_LEAVE] {named(guild)}" in lines())
    assert scene.bot.vitals.communities().startswith("1 guild,")


async def test_an_outage_is_no_coming_and_going(scene: Scene, lines: Callable[[], list[str]], standin: Standin) -> None:
    world, guild = standin.world, scene.guild
    await scene.says("!uptime")
    world.emit("GUILD_DELETE", {"id": guild.id, "unavailable": True}, guild)
    world.emit("GUILD_CREATE", guild.payload([guild.bot]), guild)
    await scene.says("!uptime")
    assert not [line for line in lines() if "GUILD" in line]


# -- members -------------------------------------------------------------------------------------------


async def test_members_that_come_and_go_are_logged(
    scene: Scene, lines: Callable[[], list[str]], standin: Standin
) -> None:
    eve = standin.user(HOSTILE)
    await eve.joins(scene.guild)
    await eve.leaves(scene.guild)
    shown = f"{SHOWN} ({eve.id}) in guild ({scene.guild.id})"
    await standin.until(lambda: f"[MEMBER_LEAVE] {shown}" in lines(), what=f"it in {lines()}")
    assert f"[MEMBER_JOIN] {shown}" in lines()
    assert not any("\n" in line or "\x1b" in line for line in lines())


async def test_without_the_members_intent_nobody_is_seen_and_it_is_said(
    make_scene: MakeScene, standin: Standin, lines: Callable[[], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    standin.application.members = False
    async with make_scene() as scene:
        eve = standin.user("eve")
        await eve.joins(scene.guild)
        assert (await scene.says("!uptime", eve)).text.startswith("Up for")
        await eve.leaves(scene.guild)
        await scene.says("!uptime")
        assert not [line for line in lines() if "MEMBER" in line]
    assert "needs the server members intent" in caplog.text or "server members intent" in caplog.text


# -- commands ------------------------------------------------------------------------------------------


async def test_commands_that_ran_are_logged_however_they_were_given(
    scene: Scene, lines: Callable[[], list[str]], standin: Standin
) -> None:
    owner, place = scene.owner, f"guild ({scene.guild.id})"
    await scene.says("!uptime extra")
    await scene.says("!uptime")
    await (await owner.slash("ping", in_=scene.place)).answer()
    await scene.says("!uptime", in_=owner.dm)
    await scene.says("!bot_stats", scene.stranger)
    start = f"[COMMAND] owner ({owner.id}) ->"
    assert [line for line in lines() if line.startswith("[COMMAND]")] == [
        f"{start} uptime in {place}",
        f"{start} uptime in {place}",
        f"{start} ping in {place}",
        f"{start} uptime in None",
    ]


async def test_no_name_forges_a_line(scene: Scene, lines: Callable[[], list[str]], standin: Standin) -> None:
    eve = standin.user(HOSTILE)
    den = standin.guild(HOSTILE, members=[eve])
    await scene.says("!uptime", eve, in_=den.general)
    (line,) = (line for line in lines() if line.startswith("[COMMAND]"))
    assert line == f"[COMMAND] {SHOWN} ({eve.id}) -> uptime in {SHOWN} ({den.id})"


# -- what breaks ---------------------------------------------------------------------------------------


class Breaking(logging.Handler):
    """A host's own handler of the log, which breaks at lines of one kind."""

    def __init__(self, start: str) -> None:
        super().__init__()
        self._start = start

    def handle(self, record: logging.LogRecord) -> bool:
        if record.getMessage().startswith(self._start):
            raise LookupError("the host's log is broken")
        return False


@pytest.fixture
def broken_log() -> Iterator[None]:
    handler, log = Breaking("[GUILD_LEAVE]"), logging.getLogger("soc_bot")
    log.addHandler(handler)
    yield
    log.removeHandler(handler)


@pytest.mark.usefixtures("broken_log")
async def test_what_an_event_of_the_library_breaks_is_an_error_with_an_id(scene: Scene, standin: Standin) -> None:
    guild = standin.guild("friends")
    await standin.until(lambda: scene.bot.vitals.communities().startswith("2 guilds"))
    guild.loses_bot()
    await standin.until(lambda: scene.bot.vitals.communities().startswith("1 guild,"))
    with anyio.fail_after(5):
        while not await scene.bot.errors.newest(5):
            await anyio.lowlevel.checkpoint()
    recent = await scene.says("!recent_errors", in_=scene.owner.dm)
    assert "LookupError" in recent.text
    (record,) = await scene.bot.errors.newest(5)
    assert (record.command, record.platform) == ("discord:on_guild_remove", "discord")
    assert record.error_id in recent.text
    details = await scene.says(f"!error_details {record.error_id}", in_=scene.owner.dm)
    assert "the host's log is broken" in details.text


# -- figures -------------------------------------------------------------------------------------------


@pytest.fixture
async def lively(make_scene: MakeScene, standin: Standin) -> AsyncIterator[Scene]:
    """A scene whose connection is asked for a sign of life all the time."""
    standin.gateway.heartbeat = 0.05
    async with make_scene(DiscordConfig(token=standin.token, slash=False, notify_start=False)) as scene:
        yield scene


async def test_latency_and_communities_are_told(lively: Scene, standin: Standin) -> None:
    standin.guild("friends", members=[lively.stranger])
    await standin.until(lambda: lively.bot.vitals.communities().startswith("2 guilds"))
    await standin.until(lambda: lively.bot.vitals.transport_latency("discord"), what="a latency")
    ping = (await lively.says("!ping")).text
    assert "transport " in ping
    assert " ms, chain" in ping
    stats = (await lively.says("!bot_stats", in_=lively.owner.dm)).text
    assert "guilds and users\n2 guilds, 7 users" in stats
    latency = stats.partition("latency\n")[2].partition("\n")[0]
    assert latency.endswith(" ms")


async def test_a_guild_that_was_listed_while_the_bot_was_away_is_left_at_its_start(
    make_bot: MakeBot, make_scene: MakeScene, standin: Standin
) -> None:
    for_a_time, for_good = standin.guild("for a time"), standin.guild("for good")
    async with make_bot() as bot:
        await bot.blacklist.add("guild", ("discord", for_a_time.id), reason="raids", by="test", duration=7200.0)
        await bot.blacklist.add("guild", ("discord", for_good.id), reason="raids", by="test")
    async with make_scene() as scene:
        await standin.until(lambda: not for_good.has_bot, what="the bot's leaving")
        assert for_a_time.has_bot
        assert scene.guild.has_bot
