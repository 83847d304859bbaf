"""Timeouts on Discord, as the stand-in has them."""

from collections.abc import AsyncIterator

import discord
import pytest

from socbot.dispatch.clock import SystemClock
from socbot.dispatch.messages import Identity
from socbot.testing import FakeClock, said
from socbot.transports.discord.moderation import LONGEST, MemberTimeouts
from tests.conftest import MakeBot
from tests.standin import Guild, Permission, Person, Standin
from tests.transports.discord.connected import Client, connected

MEMBERS = "/guilds/*/members/*"


@pytest.fixture
def mallory(standin: Standin) -> Person:
    return standin.user("mallory")


@pytest.fixture
def guild(standin: Standin, mallory: Person) -> Guild:
    return standin.guild("g", members=[mallory])


@pytest.fixture
async def client(standin: Standin, guild: Guild) -> AsyncIterator[Client]:
    async with connected(standin) as client:
        yield client


@pytest.fixture
def timeouts(client: Client) -> MemberTimeouts:
    return MemberTimeouts(client, SystemClock())


def identity(person: Person) -> Identity:
    return ("discord", person.id)


def asked(standin: Standin) -> list[str]:
    """The requests about members."""
    return [f"{seen.method} {seen.status}" for seen in standin.limits.requests("*", "/guilds/*/members/*")]


async def test_a_member_is_timed_out_with_one_request_and_let_off_again(
    standin: Standin, guild: Guild, mallory: Person, timeouts: MemberTimeouts
) -> None:
    clock = SystemClock()
    assert await timeouts.time_out(identity(mallory), guild.id, 300, "2 rate limit violations") is None
    assert mallory.is_timed_out_in(guild)
    (request,) = standin.requested("PATCH", MEMBERS)
    ends = discord.utils.parse_time(request.body["communication_disabled_until"]).timestamp()
    assert 295 < ends - clock.time() <= 300
    assert asked(standin) == ["PATCH 200"]
    assert await timeouts.lift(identity(mallory), guild.id, ends) is None
    assert not mallory.is_timed_out_in(guild)


async def test_a_timeout_is_never_longer_than_discord_takes(
    standin: Standin, guild: Guild, mallory: Person, timeouts: MemberTimeouts
) -> None:
    assert await timeouts.time_out(identity(mallory), guild.id, 10 * LONGEST, "spam") is None
    assert mallory.is_timed_out_in(guild)


async def test_without_the_permission_nothing_is_asked_for(
    standin: Standin, guild: Guild, mallory: Person, client: Client, timeouts: MemberTimeouts
) -> None:
    me = client.guild(guild).me
    guild.bot_may(Permission.BOT & ~Permission.MODERATE_MEMBERS)
    await standin.until(lambda: not me.guild_permissions.moderate_members)
    assert "permission" in str(await timeouts.time_out(identity(mallory), guild.id, 300, "spam"))
    assert "permission" in str(await timeouts.lift(identity(mallory), guild.id, 0))
    assert asked(standin) == []


async def test_the_owner_of_the_guild_is_not_tried(standin: Standin, guild: Guild, timeouts: MemberTimeouts) -> None:
    owner = ("discord", guild.owner_id)
    assert await timeouts.time_out(owner, guild.id, 300, "spam") == "the owner of the guild"
    assert asked(standin) == []


@pytest.mark.parametrize(
    ("permissions", "why_not"),
    [(Permission.ADMINISTRATOR, "an administrator"), (0, "a role as high as the bot's")],
)
async def test_who_is_known_to_stand_above_the_bot_is_not_tried(
    standin: Standin, guild: Guild, mallory: Person, permissions: int, why_not: str
) -> None:
    guild.role("mods", permissions, mallory)
    async with connected(standin, members=True) as client:
        await standin.until(lambda: client.guild(guild).get_member(int(mallory.id)))
        timeouts = MemberTimeouts(client, SystemClock())
        assert await timeouts.time_out(identity(mallory), guild.id, 300, "spam") == why_not
    assert asked(standin) == []


async def test_what_discord_refuses_is_said(
    standin: Standin, guild: Guild, mallory: Person, timeouts: MemberTimeouts
) -> None:
    guild.role("mods", 0, mallory)  # not known to the client without the members intent
    refused = await timeouts.time_out(identity(mallory), guild.id, 300, "spam")
    assert refused == "Discord refused it (403, code 50013)"
    await mallory.leaves(guild)
    assert await timeouts.time_out(identity(mallory), guild.id, 300, "spam") == "no longer a member"
    assert await timeouts.lift(identity(mallory), guild.id, 0) == "no longer a member"


async def test_an_error_of_discords_leaves_it_unknown(
    standin: Standin, guild: Guild, mallory: Person, timeouts: MemberTimeouts
) -> None:
    standin.limits.answer("PATCH", MEMBERS, 503, times=10)
    with pytest.raises(discord.DiscordServerError):
        await timeouts.time_out(identity(mallory), guild.id, 300, "spam")


async def test_while_discord_takes_no_requests_it_is_not_waited_for(
    standin: Standin, guild: Guild, mallory: Person, timeouts: MemberTimeouts
) -> None:
    standin.limits.refuse("PATCH", MEMBERS, retry_after=100)
    refused = await timeouts.time_out(identity(mallory), guild.id, 300, "spam")
    assert refused == "Discord takes no more requests for now"
    assert not mallory.is_timed_out_in(guild)


async def test_elsewhere_or_switched_off_nothing_is_done(
    standin: Standin, guild: Guild, mallory: Person, client: Client, timeouts: MemberTimeouts
) -> None:
    assert await timeouts.time_out(identity(mallory), "123", 300, "spam") == "the bot is not in that guild"
    assert await timeouts.lift(identity(mallory), "123", 0) == "the bot is not in that guild"
    off = MemberTimeouts(client, SystemClock(), lambda: False)
    assert "time_out_members" in str(await off.time_out(identity(mallory), guild.id, 300, "spam"))
    assert asked(standin) == []


async def test_a_longer_timeout_of_a_moderators_stays(
    standin: Standin, guild: Guild, mallory: Person, client: Client
) -> None:
    clock = FakeClock(SystemClock().time())
    timeouts = MemberTimeouts(client, clock)
    ours = clock.time() + 300
    assert await timeouts.lift(identity(mallory), guild.id, ours) is None  # none there any more
    assert standin.requested("PATCH", MEMBERS) == []
    assert await timeouts.time_out(identity(mallory), guild.id, 3_600, "by hand") is None
    assert await timeouts.lift(identity(mallory), guild.id, ours) == "a moderator has set a longer timeout"
    assert mallory.is_timed_out_in(guild)


async def test_a_longer_timeout_is_not_made_shorter(standin: Standin, guild: Guild, mallory: Person) -> None:
    async with connected(standin, members=True) as client:
        timeouts = MemberTimeouts(client, SystemClock())
        await timeouts.time_out(identity(mallory), guild.id, 3_600, "by hand")
        member = client.guild(guild).get_member(int(mallory.id))
        assert member is not None
        await standin.until(lambda: member.timed_out_until)
        assert await timeouts.time_out(identity(mallory), guild.id, 300, "spam") == "timed out for longer already"


async def test_a_spammer_is_timed_out_on_discord_and_the_reset_lets_them_off(
    make_bot: MakeBot, standin: Standin, guild: Guild, mallory: Person, timeouts: MemberTimeouts
) -> None:
    clock = FakeClock(SystemClock().time())

    async def spam() -> list[str]:
        titles = []
        for _ in range(5):
            message = said("!ping", mallory.id, platform="discord", guild=guild.id)
            reply = (await bot.dispatch(message)).reply
            titles.append("" if reply is None else reply.title)
        clock.forward(40)
        return titles

    async with make_bot(clock=clock, owners=[("discord", "1")]) as bot:
        bot.rate_limiter.enforce_with("discord", timeouts)
        assert "⚠️ Rate Limit Warning" in await spam()
        assert "🔇 Timed Out" in await spam()
        assert mallory.is_timed_out_in(guild)
        assert (await bot.rate_limiter.standing(identity(mallory))).enforced == "discord timeout"
        reset = await bot.dispatch(said(f"!reset_violations {mallory.id}", "1", platform="discord"))
        assert reset.reply is not None
        assert not mallory.is_timed_out_in(guild)
        assert reset.reply.items == (f"The timeout in `{guild.id}` is lifted.",)
