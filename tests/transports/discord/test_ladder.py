"""A spammer on Discord, up the whole ladder: what they are told, what is done to them, and what is written down."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import discord
import pytest

from socbot.config import RateLimitConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Confirm, Context
from socbot.dispatch.messages import UserRef
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.testing import FakeClock
from tests.standin import Message, Permission, Person, Standin
from tests.transports.discord.conversation import MakeScene, Scene

QUIET = 40.0
TIMEOUT = 300.0
_ABOUT = re.compile("in a direct message|Violations")
NO_PERMISSION = "bot mute only: the bot lacks the permission to time out members"


@command("many", permission="public", metered=False)
async def many(ctx: Context) -> Reply:
    """A long list."""
    return Reply(title="Many", items=tuple(f"line {number}" for number in range(100)))


@command("burn", permission="public", metered=False, menu="Burn")
async def burn(ctx: Context, whom: UserRef | None = None) -> Confirm:
    """Burn something."""

    async def action(ctx: Context) -> Reply:
        return Reply.ok("ashes")

    return Confirm("Burn it?", action)


@command("fail", metered=False)
async def fail(ctx: Context) -> None:
    """Fails."""
    raise KeyError("a bug")


@pytest.fixture
async def standin(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> AsyncIterator[Standin]:
    """One that tells the same time as the bot."""
    async with Standin(now=clock.time) as standin:
        standin.point_discord_py(monkeypatch)
        yield standin


@pytest.fixture
async def scene(make_scene: MakeScene, clock: FakeClock) -> AsyncIterator[Scene]:
    async with make_scene(clock=clock, commands=(many, burn, fail)) as scene:
        yield scene


def identity(person: Person) -> tuple[str, str]:
    return ("discord", person.id)


async def steps(scene: Scene) -> list[tuple[Any, ...]]:
    """What is written down of violations."""
    return await scene.bot.database.read(
        lambda db: db.execute("SELECT action, enforced FROM rate_limit_violations ORDER BY id")
    )


async def climb(scene: Scene, clock: FakeClock, who: Person | None = None) -> Message:
    """Five commands at once, after a while: a violation. What is said of it in the channel."""
    who = who or scene.stranger
    clock.forward(QUIET)
    first = await who.says("!uptime", in_=scene.place)
    for _ in range(4):
        await who.says("!uptime", in_=scene.place)
    answers: list[Message] = []

    def arrived() -> bool:
        answers[:] = [m for m in scene.place.messages[first.index :] if m.by_bot and _ABOUT.search(m.text)]
        return bool(answers)

    await scene.standin.until(arrived, what="the answer to a violation")
    return answers[0]


async def climb_to_the_end(scene: Scene, clock: FakeClock) -> None:
    for _ in range(2):
        await climb(scene, clock)
    clock.forward(TIMEOUT)
    await climb(scene, clock)
    await scene.standin.until(lambda: scene.bot.blacklist.is_listed("user", identity(scene.stranger)))


async def is_silent(scene: Scene, said: Message) -> bool:
    """Whether the bot did nothing at all about it: it has answered the owner since, with the one request."""
    before = len(scene.standin.requests)
    await scene.says("!ping", in_=scene.owner.dm)
    paths = [request.path for request in scene.standin.requests[before:] if request.path.endswith("/messages")]
    return paths == [f"/channels/{scene.owner.dm.id}/messages"] and not any(
        message.by_bot for message in said.channel.messages[said.index + 1 :]
    )


async def goes_on(scene: Scene, clock: FakeClock, holds: Callable[[], object]) -> None:
    """Let seconds pass until it holds."""

    def look() -> object:
        clock.forward(1.0)
        return holds()

    await scene.standin.until(look, what="what time brings")


def not_done(scene: Scene) -> list[str]:
    """The requests that Discord did not do."""
    return [f"{each.method} {each.path}" for each in scene.standin.requests if each.status >= 400]


async def test_who_is_too_fast_is_told_in_passing(scene: Scene, clock: FakeClock) -> None:
    await scene.says("!uptime", scene.stranger)
    told = await scene.says("!uptime", scene.stranger)
    assert "Rate Limit Exceeded" in told.text
    assert await scene.nothing_follows(await scene.stranger.says("!uptime", in_=scene.place))
    clock.forward(9.0)
    await scene.says("!uptime")
    assert not told.deleted
    await goes_on(scene, clock, lambda: told.deleted)
    assert (not_done(scene), await steps(scene)) == ([], [])


@pytest.mark.parametrize("status", [404, 429, 500])
async def test_that_it_cannot_be_taken_away_is_of_no_weight(status: int, scene: Scene, clock: FakeClock) -> None:
    limits, path = scene.standin.limits, "/channels/*/messages/*"
    await scene.says("!uptime", scene.stranger)
    await scene.says("!uptime", scene.stranger)
    if status == 429:
        limits.refuse("DELETE", path, retry_after=1_000)
    else:
        limits.answer("DELETE", path, status, times=10)
    await goes_on(scene, clock, lambda: limits.requests("DELETE", path))
    assert (await scene.says("!uptime")).text.startswith("Up for")
    assert await scene.bot.errors.newest(1) == []


async def test_a_spammer_is_warned_timed_out_and_listed(scene: Scene, clock: FakeClock) -> None:
    dm = scene.stranger.dm
    await climb(scene, clock)
    warning = await scene.standin.message(in_=dm)
    assert "Rate Limit Warning" in warning.text
    assert "1 of 3" in warning.text
    assert scene.standin.requested("PATCH", "/guilds/*") == []

    await climb(scene, clock)
    told = await scene.standin.message(in_=dm)
    assert "timed out in this community, and the bot does not answer you anywhere, for 5m" in told.text
    assert scene.stranger.is_timed_out_in(scene.guild)
    (request,) = scene.standin.requested("PATCH", "/guilds/*/members/*")
    ends = discord.utils.parse_time(request.body["communication_disabled_until"]).timestamp()
    assert ends == pytest.approx(clock.time() + TIMEOUT, abs=1.0)
    assert request.reason == "2 rate limit violations within 1d"
    assert await is_silent(scene, await scene.stranger.says("!ping", in_=dm))
    assert "discord timeout" in (await scene.says(f"!rate_limit_status {scene.stranger.id}")).text

    clock.forward(TIMEOUT)
    assert not scene.stranger.is_timed_out_in(scene.guild)
    await climb(scene, clock)
    assert "you are on the blacklist for ever" in (await scene.standin.message(in_=dm)).text
    assert await is_silent(scene, await scene.stranger.says("!ping", in_=dm))
    history = (await scene.says(f"!blacklist_history user {scene.stranger.id}")).text
    assert "3 rate limit violations within 1d" in history
    assert await steps(scene) == [("warn", "by direct message"), ("timeout", "discord timeout"), ("blacklist", "")]
    stats = (await scene.says("!rate_limit_stats")).text
    assert "warnings given by direct message: 1" in stats
    assert "timeouts carried out as discord timeout: 1" in stats
    assert not_done(scene) == []


async def test_a_spammer_by_slash_is_told_alone_and_climbs_the_same_ladder(scene: Scene, clock: FakeClock) -> None:
    for title in ("Rate Limit Warning", "Timed Out", "Access Denied"):
        clock.forward(QUIET)
        used = [await scene.stranger.slash("uptime") for _ in range(4)]
        admitted, passing, punished = [await used[number].answer() for number in (0, 1, 3)]
        assert (admitted.ephemeral, passing.ephemeral, punished.ephemeral) == (False, True, True)
        assert "Rate Limit Exceeded" in passing.text
        assert title in punished.text
        assert used[2].interaction.callback is None
        if scene.stranger.is_timed_out_in(scene.guild):
            assert scene.stranger.offered() == []
            clock.forward(TIMEOUT)
    (warned, *_) = await steps(scene)
    assert warned == ("warn", "by an answer that they alone saw")
    assert [action for action, _ in await steps(scene)] == ["warn", "timeout", "blacklist"]
    assert not [message for message in scene.stranger.dm.messages if message.by_bot]
    assert not_done(scene) == []


async def test_with_direct_messages_closed_a_warning_is_said_in_the_channel(scene: Scene, clock: FakeClock) -> None:
    scene.stranger.closes_dms()
    for title in ("Rate Limit Warning", "Timed Out"):
        warning = await climb(scene, clock)
        assert title in warning.text
        assert warning.pings == []
    assert (await steps(scene))[0] == ("warn", "in the channel")
    assert not any("public channel" in message.text for message in scene.place.messages)
    assert {path.split()[1] for path in not_done(scene)} == {f"/channels/{scene.stranger.dm.id}/messages"}


async def test_who_can_be_reached_nowhere_is_nobodys_error(scene: Scene) -> None:
    scene.place.denies(scene.guild.everyone, Permission.SEND_MESSAGES)
    scene.place.allows(scene.stranger, Permission.SEND_MESSAGES)
    scene.stranger.closes_dms()
    await scene.stranger.says("!uptime", in_=scene.place)
    await scene.standin.until(lambda: not_done(scene), what="the attempt")
    await scene.says("!fail", in_=scene.owner.dm)  # errors are written one after the other
    assert [error.command for error in await scene.bot.errors.newest(10)] == ["fail"]


async def test_without_the_permission_the_bot_mutes_by_itself_and_says_so(scene: Scene, clock: FakeClock) -> None:
    scene.guild.bot_may(Permission.BOT & ~Permission.MODERATE_MEMBERS)
    await climb(scene, clock)
    await climb(scene, clock)
    told = [message.text for message in scene.stranger.dm.messages][-1]
    assert "the bot does not answer you for 5m" in told
    assert "community" not in told
    assert not scene.stranger.is_timed_out_in(scene.guild)
    assert (await steps(scene))[-1] == ("timeout", NO_PERMISSION)
    clock.forward(QUIET)
    assert await is_silent(scene, await scene.stranger.says("!uptime", in_=scene.place))
    assert await is_silent(scene, await scene.stranger.says("!uptime", in_=scene.stranger.dm))
    assert NO_PERMISSION in (await scene.says(f"!rate_limit_status {scene.stranger.id}")).text
    assert f"{NO_PERMISSION}: 1" in (await scene.says("!rate_limit_stats")).text
    assert not_done(scene) == []


@pytest.mark.parametrize("owns", [True, False])
async def test_administrators_and_the_guilds_owner_are_exempt(owns: bool, scene: Scene) -> None:
    who = lord(scene) if owns else administrator(scene)
    answers = [await scene.says("!uptime", who) for _ in range(15)]
    assert all(answer.text.startswith("Up for") for answer in answers)
    assert await steps(scene) == []


@pytest.mark.parametrize("owns", [True, False])
async def test_administrators_and_the_guilds_owner_are_never_timed_out(
    owns: bool, make_scene: MakeScene, clock: FakeClock
) -> None:
    async with make_scene(clock=clock, rate_limit=RateLimitConfig(exempt_admins=False)) as scene:
        who = lord(scene) if owns else administrator(scene)
        await climb(scene, clock, who)
        await climb(scene, clock, who)
        assert [enforced for _, enforced in await steps(scene)][1:] == ["bot mute only: an administrator"]
        assert scene.standin.requested("PATCH", "/guilds/*") == []
        assert not_done(scene) == []


def administrator(scene: Scene) -> Person:
    scene.guild.role("admins", Permission.ADMINISTRATOR, scene.stranger)
    return scene.stranger


def lord(scene: Scene) -> Person:
    found = scene.standin.world.users[scene.guild.owner_id]
    assert isinstance(found, Person)
    return found


async def test_the_reset_lifts_the_timeout(scene: Scene, clock: FakeClock) -> None:
    await climb(scene, clock)
    await climb(scene, clock)
    assert scene.stranger.is_timed_out_in(scene.guild)
    done = await (await scene.owner.menu("Forget violations", target=scene.stranger)).answer()
    assert "2 violations" in done.text
    assert f"The timeout in `{scene.guild.id}` is lifted." in done.text
    assert not scene.stranger.is_timed_out_in(scene.guild)
    assert (await steps(scene))[-1] == ("timeout", "discord timeout, lifted")
    clock.forward(QUIET)
    assert (await scene.says("!uptime", scene.stranger)).text.startswith("Up for")
    assert not_done(scene) == []


async def test_why_tells_what_became_of_a_refused_one(scene: Scene, clock: FakeClock) -> None:
    outcomes: list[Outcome] = []
    scene.bot.dispatcher.observe(outcomes.append)
    await climb(scene, clock)
    await scene.standin.message(in_=scene.stranger.dm)
    refused = next(outcome for outcome in reversed(outcomes) if outcome.reply and outcome.refused_by)
    assert refused.trace
    clock.forward(QUIET)
    why = await (await scene.stranger.slash("why", trace=refused.trace.id)).answer()
    assert why.ephemeral
    assert "refused by\nrate_limit" in why.text
    assert "a violation" in why.text


async def test_for_who_is_listed_everything_is_dead(scene: Scene, clock: FakeClock) -> None:
    stranger = scene.stranger
    book = await scene.says("!many", stranger)
    question = await scene.says("!burn", stranger)
    form = await (await stranger.clicks(book, next(label for label in book.buttons if "/" in label))).answer()
    stale = await scene.says("!many", stranger)
    stale.components[0]["components"][3]["custom_id"] = "from:another:age"
    await scene.bot.blacklist.add("user", identity(stranger), reason="", by="test")
    before = len(scene.standin.requests)

    uses = [
        await stranger.clicks(book, "›"),
        await stranger.clicks(question, "Yes"),
        await stranger.clicks(stale, "from:another:age"),
        await stranger.submits(form, page="2"),
        await stranger.slash("uptime"),
        await stranger.menu("Burn", target=scene.owner),
    ]
    for place in (scene.place, stranger.dm):
        await stranger.says("!uptime", in_=place)
        await stranger.says(f"<@{scene.standin.bot.id}> help", in_=place)
    assert await stranger.completes("help", topic="he", in_=scene.place) == {}
    await scene.says("!ping")

    assert [use.interaction.callback for use in uses] == [None] * len(uses)
    assert "ashes" not in "".join(message.text for message in scene.place.messages)
    assert question.buttons == ["Yes", "No"]
    posts = [f"{each.method} {each.path.split('/')[1]}" for each in scene.standin.requests[before:]]
    assert sorted(posts) == ["POST channels", "POST interactions"]  # to the owner, and no names to complete with


async def test_the_whole_ladder_ends_in_silence(scene: Scene, clock: FakeClock) -> None:
    await climb_to_the_end(scene, clock)
    clock.forward(QUIET)
    assert await is_silent(scene, await scene.stranger.says("!uptime", in_=scene.place))
    assert (await scene.stranger.slash("uptime")).interaction.callback is None
    assert await is_silent(scene, await scene.stranger.says("!uptime", in_=scene.stranger.dm))
