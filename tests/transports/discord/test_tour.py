"""Every command on Discord, by text and by slash: it works, and nothing of it pings, leaks, or obeys a stranger."""

import json
import logging
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import pytest

from socbot.config import LogsConfig, RateLimitConfig
from socbot.dispatch.arguments import Secret
from socbot.dispatch.commands import Command, command
from socbot.dispatch.context import Context
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Field, Reply, plain
from socbot.logs import logging_to
from socbot.redaction import Redactor
from socbot.testing import said
from socbot.transports.discord.slash import USER_MENU
from tests.canary import CANARIES, leaks
from tests.standin import Message, Permission, Person, Standin
from tests.test_secrets import read_all
from tests.test_tour import stored
from tests.tour import TOUR, Call, Names, logged, message
from tests.transports.discord.conversation import MakeScene, Scene
from tests.transports.discord.sent import messages_in
from tests.transports.discord.tour import Guide, Options, Stop

Surface: TypeAlias = Literal["text", "slash"]


@command("fail", permission="public", metered=False)
async def fail(ctx: Context) -> str:
    """Fails."""
    raise ValueError("broken")


async def names_in(scene: Scene) -> Names:
    """An error to look at; it came up on another platform."""
    failed = await scene.bot.dispatch(said("!fail", "900"))
    assert failed.trace is not None
    assert failed.error_id is not None
    record = await scene.bot.errors.find(failed.error_id)
    assert record is not None
    return Names(failed.trace.id, failed.error_id, record.group_id)


Tour: TypeAlias = Callable[..., AbstractAsyncContextManager[Scene]]


@pytest.fixture
def tour(make_scene: MakeScene, standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tour:
    """A scene in which every command of the tour finds what it needs."""
    monkeypatch.setenv("DISCORD_TOKEN", standin.token)
    monkeypatch.setenv("SOCBOT_DISCORD__NOTIFY_START", "false")
    path = tmp_path / "config.yaml"
    path.write_text(f"storage: {{url: 'sqlite:///{tmp_path}/data/socbot.db'}}\n")

    @asynccontextmanager
    async def make(**options: Any) -> AsyncIterator[Scene]:
        defaults: dict[str, Any] = {"config": path, "commands": [fail], "jobs": True}
        async with make_scene(**defaults | options) as scene:
            with logged(scene.bot, tmp_path / "logs" / "tour.log"):
                yield scene

    return make


async def taken(guide: Guide, surface: Surface) -> list[Stop]:
    visit = {"text": guide.by_text, "slash": guide.by_slash}[surface]
    names = await names_in(guide.scene)
    return [await visit(call, names) for call in TOUR]


@pytest.mark.parametrize("surface", ["text", "slash"])
async def test_every_command_works_and_its_answer_arrives_where_it_belongs(surface: Surface, tour: Tour) -> None:
    async with tour() as scene:
        stops = await taken(Guide(scene), surface)
        assert [(stop.text, stop.status) for stop in stops if stop.status] == []
        assert scene.bot.lifecycle.stopping.is_set()
        for stop in stops:
            check(stop)


NOTES: tuple[list[str], ...] = ([], ["📬 I answered you in a direct message."])
"""What a channel may see besides answers for all."""


def check(stop: Stop) -> None:
    """What was shown is what was answered, and who was to see it saw it."""
    assert len(stop.outcomes) == len(stop.shown), stop.text
    for outcome, shown in zip(stop.outcomes, stop.shown, strict=True):
        assert outcome.reply is not None, stop.text
        assert shown.text or shown.files, stop.text
        assert plain(outcome.reply.title) in shown.text, stop.text
        assert {file.name for file in outcome.reply.files} <= {*shown.files}, stop.text
        is_private = shown.ephemeral or shown.channel.is_dm
        assert is_private == outcome.reply.private, stop.text
    assert [each.text for each in stop.public if each not in stop.shown] in NOTES, stop.text


# -- only the owner runs what is the owner's ------------------------------------------------------------

Say: TypeAlias = Callable[[str], Awaitable[Any]]

UNLIMITED = RateLimitConfig(cooldown=0.0, burst=10_000, cooldowns={})
"""Nobody is refused for another reason than who they are."""


def administrator(scene: Scene) -> Person:
    person = scene.joined("administrator")
    scene.guild.role("staff too", Permission.ADMINISTRATOR, person)
    return person


def guild_owner(scene: Scene) -> Person:
    person = scene.standin.world.users[scene.guild.owner_id]
    assert isinstance(person, Person)
    return person


PEOPLE: dict[str, Callable[[Scene], Person]] = {
    "a stranger": lambda scene: scene.stranger,
    "an administrator": administrator,
    "the guild's owner": guild_owner,
    "somebody of the owner's name": lambda scene: scene.joined(scene.owner.name),
}


def another_bot(scene: Scene) -> Say:
    other = scene.standin.user("other", bot=True)
    scene.guild.joined_by(other)
    return partial(other.says, in_=scene.place)


def webhook_in_the_owners_name(scene: Scene) -> Say:
    hook = scene.guild.webhook(scene.place, scene.owner.name)

    async def say(text: str) -> None:
        hook.says(text)

    return say


def edited_message(scene: Scene) -> Say:
    async def say(text: str) -> None:
        said = await scene.owner.says("hello", in_=scene.place)
        await scene.owner.edits(said, text)

    return say


def forwarded_message(scene: Scene) -> Say:
    elsewhere = scene.guild.thread("elsewhere")

    async def say(text: str) -> None:
        original = scene.guild.webhook(elsewhere).says(text)
        await scene.owner.forwards(original, in_=scene.place)

    return say


IMPERSONAL: dict[str, Callable[[Scene], Say]] = {
    "another bot": another_bot,
    "a webhook in the owner's name": webhook_in_the_owners_name,
    "an edited message": edited_message,
    "a forwarded message": forwarded_message,
}


def owners_calls(scene: Scene) -> list[Call]:
    registry = scene.bot.dispatcher.registry
    found = [(call, registry.find(call.text[1:])[0]) for call in TOUR]
    return [call for call, command in found if command is not None and command.permission == "owner"]


@pytest.mark.promise("P01")
@pytest.mark.parametrize("surface", ["text", "slash"])
@pytest.mark.parametrize("actor", PEOPLE)
async def test_nobody_but_the_owner_runs_owner_commands(actor: str, surface: Surface, make_scene: MakeScene) -> None:
    async with make_scene(commands=[fail], rate_limit=UNLIMITED) as scene:
        names, before = await names_in(scene), await stored(scene.bot)
        for each in scene.standin.world.commands[""]:
            each["default_member_permissions"] = None  # as a guild's administrators may set it
        guide = Guide(scene, PEOPLE[actor](scene))
        visit = {"text": guide.by_text, "slash": guide.by_slash}[surface]
        for call in owners_calls(scene):
            stop = await visit(call, names)
            (outcome,) = stop.outcomes
            assert (outcome.status, outcome.refused_by) == ("refused", "permission"), stop.text
            assert outcome.trace is not None
            assert not outcome.trace.handler_reached, stop.text
        assert await stored(scene.bot) == before


@pytest.mark.promise("P01")
@pytest.mark.parametrize("actor", PEOPLE)
async def test_nobody_but_the_owner_uses_owner_commands_by_a_menu(actor: str, make_scene: MakeScene) -> None:
    async with make_scene(rate_limit=UNLIMITED) as scene:
        outcomes: list[Outcome] = []
        scene.bot.dispatcher.observe(outcomes.append)
        who = PEOPLE[actor](scene)
        menus = [each for each in scene.standin.world.commands[""] if each["type"] == USER_MENU]
        for each in menus:
            owners_own = each["default_member_permissions"] == "0"
            each["default_member_permissions"] = None
            shown = await (await who.menu(each["name"], target=scene.owner, in_=scene.place)).answer()
            assert ("Only the owner" in shown.text) == owners_own, each["name"]
            assert (outcomes[-1].refused_by == "permission") == owners_own, each["name"]
        assert len(outcomes) == len(menus) > 0


@pytest.mark.promise("P01")
@pytest.mark.parametrize("actor", IMPERSONAL)
async def test_what_is_not_the_owners_own_new_message_runs_nothing(actor: str, make_scene: MakeScene) -> None:
    async with make_scene(commands=[fail], rate_limit=UNLIMITED) as scene:
        names, before = await names_in(scene), await stored(scene.bot)
        outcomes: list[Outcome] = []
        scene.bot.dispatcher.observe(outcomes.append)
        say = IMPERSONAL[actor](scene)
        for call in owners_calls(scene):
            await say(message(call, names).text)
        assert (await scene.says("!uptime")).text.startswith("Up for")
        assert [outcome.command for outcome in outcomes] == ["uptime"]
        assert sum(each.by_bot for each in scene.place.messages) == 1
        assert await stored(scene.bot) == before


# -- nobody is pinged, and nothing of anybody's text is live -----------------------------------------------

HOSTILE = (
    "@everyone @here @\u200beveryone @\u2060here",
    "<@&111111111111111111> <@!111111111111111111> <#111111111111111111> </ping:1>",
    "x``` MARK [a bank](https://evil.example) ```",
    "x`MARK`\n[a bank](<https://evil.example>) @everyone",
)
LIVE = re.compile(r"@everyone|@here|<@[&!]|<#|</|\]\(|``` MARK|x`MARK|[\u200b\u2060]")


@command("fail_loudly", permission="public", metered=False)
async def fail_loudly(ctx: Context) -> str:
    """Fails with all of it in its mouth."""
    raise ValueError(" ".join(HOSTILE))


def called_names(scene: Scene) -> None:
    """Give everybody and everything a name that wants to do harm."""
    scene.owner.name, scene.stranger.name = HOSTILE[0], HOSTILE[3]
    scene.guild.name = HOSTILE[2]
    scene.standin.world.emit("GUILD_UPDATE", scene.guild.payload(()), scene.guild)


def attacks_by_text() -> Iterator[Call]:
    """The tour with each of its words replaced in turn, and one too many."""
    hostile = cycle(HOSTILE)
    for call in TOUR:
        words = call.text.split()
        for at in range(1, len(words) + 1):
            text = " ".join([*words[:at], f'"{next(hostile)}"', *words[at + 1 :]])
            yield Call(text.replace("{", "{{").replace("}", "}}"), call.attachments)


def attacks_by_slash(guide: Guide, names: Names) -> Iterator[tuple[Command, Options, list[tuple[str, bytes]]]]:
    """The tour with every option that takes any text replaced in turn, those left out too."""
    hostile = cycle(HOSTILE)
    for call in TOUR:
        command, options = guide.taken_apart(call, names)
        for parameter in command.parameters:
            if parameter.type is str and not parameter.choices:
                yield command, options | {parameter.name: next(hostile)}, []


async def attacked(guide: Guide, surface: Surface) -> None:
    names = await names_in(guide.scene)
    if surface == "text":
        for call in attacks_by_text():
            await guide.by_text(call, names)
    else:
        for command, options, files in attacks_by_slash(guide, names):
            await guide.choose(command, options, files)


LISTINGS = """
!help !blacklist !blacklist_check_user_900 !blacklist_history_user_900 !blacklist_stats !top_errors !recent_errors
!error_dashboard !error_stats !config !maintenance_off !pipeline !tasks !task_stats !rate_limit_exempt !analytics
!user_stats !guild_stats !command_stats_ping !bot_stats
""".split()  # noqa: SIM905 (a list that is read, not code)


@pytest.mark.promise("P36")
@pytest.mark.parametrize("surface", ["text", "slash"])
async def test_nothing_of_anybodys_text_is_live_in_what_is_sent(surface: Surface, tour: Tour) -> None:
    async with tour(commands=[fail, fail_loudly]) as scene:
        called_names(scene)
        guide = Guide(scene)
        await scene.says("!fail_loudly", scene.stranger)
        await attacked(guide, surface)
        for text in HOSTILE:
            await scene.owner.says(f"!{text}", in_=scene.place)
            await scene.stranger.says(f"!{text}", in_=scene.place)
        for text in LISTINGS:
            await guide.by_text(
                Call(text.replace("_user_", " user ").replace("_off", " off").replace("_ping", " ping")),
                Names("", "", ""),
            )
        check_sent(scene.standin)


@pytest.mark.promise("P36")
async def test_the_name_of_a_guild_is_not_live_in_a_notice(
    make_scene: MakeScene, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "soc_bot"):
        async with make_scene() as scene:
            await scene.standin.until(lambda: "Bot ready" in caplog.text, what="the client's having all guilds")
            guild = scene.standin.guild(HOSTILE[3])
            await scene.bot.blacklist.add("guild", ("discord", guild.id), reason=HOSTILE[0], by="test")
            guild.loses_bot()
            guild.has_bot = True
            news = guild.payload([guild.joined_by(scene.standin.bot)])
            del news["unavailable"]  # as for a guild that the bot has just joined
            scene.standin.world.emit("GUILD_CREATE", news, guild)
            notice = await scene.standin.message(in_=scene.owner.dm)
            assert "Guild Blacklisted" in notice.text
            assert "MARK" in notice.text
            assert not LIVE.search(notice.text)
            assert notice.pings == []


def check_sent(standin: Standin) -> None:
    """Nobody is pinged by anything that was sent, and nothing in it is live that came from somebody."""
    bodies = [body for request in standin.requests for body in messages_in(request)]
    for body in bodies:
        assert body["allowed_mentions"]["parse"] == []
        assert [text for text in strings(body) if LIVE.search(text)] == []
    # It was tried all the same: there are answers to see it in.
    assert sum("＠" in text or "］(" in text for body in bodies for text in strings(body)) > 40
    assert [message.pings for message in said_by_bot(standin) if message.pings] == []


GRAPHEME = "👩‍👩‍👧‍👦"
LONG: dict[str, Reply] = {
    "text": Reply(GRAPHEME * 2_000),
    "lines": Reply(title="Lines", items=tuple(f"{number} {GRAPHEME * 20}" for number in range(100))),
    "fields": Reply(title="Fields", fields=tuple(Field(f"f{number}", GRAPHEME * 90) for number in range(20))),
}


@command("recite", permission="public", metered=False)
async def recite(ctx: Context, what: str) -> Reply:
    """Something long."""
    return LONG[what]


@pytest.mark.promise("P36")
@pytest.mark.parametrize("what", LONG)
async def test_long_answers_are_cut_between_characters_and_nothing_is_lost(what: str, make_scene: MakeScene) -> None:
    async with make_scene(commands=[recite]) as scene:
        shown = await scene.says(f"!recite {what}", scene.stranger)
        pages = [read(shown)]
        while "›" in shown.buttons:
            await turn_to(len(pages) + 1, shown, scene)
            pages.append(read(shown))
        assert len(pages) > 2
        whole = LONG[what].text + "".join(LONG[what].items) + "".join(field.value for field in LONG[what].fields)
        assert "".join(pages) == whole
        for page in pages:
            assert page.replace(GRAPHEME, "").isascii()


async def turn_to(number: int, shown: Message, scene: Scene) -> None:
    await scene.stranger.clicks(shown, "›")
    await scene.standin.until(lambda: f"Page {number} of" in shown.text, what=f"page {number}")


def read(shown: Message) -> str:
    """What is on a page, without line ends."""
    (embed,) = shown.embeds
    parts = [embed.get("description", ""), *(field["value"] for field in embed.get("fields", ()))]
    return "".join(parts).replace("\n", "")


def strings(value: object) -> Iterator[str]:
    """All texts in a body."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


def said_by_bot(standin: Standin) -> Iterator[Message]:
    for channel in standin.world.channels.values():
        yield from (each for each in channel.messages if each.by_bot)
    for used in standin.world.interactions.values():
        yield from (each for each in (used.original, *used.followups) if each is not None)


# -- no secret leaves ------------------------------------------------------------------------------------

BY_SHAPE = tuple(name for name in CANARIES if name not in ("database password", "ops token"))
TYPED = "words " + "cAnAry13without any shape"


@command("leak", permission="public", metered=False)
async def leak(ctx: Context) -> str:
    """Fails with every secret in its mouth."""
    raise ValueError("\n".join((*(CANARIES[name] for name in BY_SHAPE), os.environ["DISCORD_TOKEN"])))


@command("keep", sensitive=True, private=True)
async def keep(ctx: Context, name: str, secret: Annotated[str, Secret()]) -> str:
    """Keep a secret."""
    return f"{name} is kept."


async def is_deleted(said: Message, scene: Scene) -> None:
    await scene.standin.until(lambda: said.deleted, what="the message's being deleted")


async def told_secrets(scene: Scene) -> None:
    """Give the bot secrets in all ways that there are, right and wrong."""
    typed = " ".join(CANARIES[name] for name in BY_SHAPE)
    for text in (f'!keep mine "{TYPED}"', f'!keep mine "{typed}"', f"!keep mine {TYPED} and {typed}"):
        said = await scene.owner.says(text, in_=scene.place)
        await is_deleted(said, scene)
    form = await (await scene.owner.slash("keep", name="mine")).answer()
    assert "is kept" in (await (await scene.owner.submits(form, secret=TYPED)).answer()).text


@pytest.mark.promise("P11")
async def test_no_secret_leaves_over_the_whole_tour(
    tour: Tour, standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = standin.guild("for notices").webhook()
    hook.token = "cAnAry14" + 2 * hook.token  # as long as Discord's
    url = "https://discord.com/api/webhooks/" + f"{hook.id}/{hook.token}"
    monkeypatch.setenv("SOCBOT_DISCORD__NOTICE_WEBHOOK", url)
    monkeypatch.setenv("SOCBOT_LOGS__LEVEL", "DEBUG")
    own = {"own token": standin.token, "typed": TYPED, "notices": url, "their token": hook.token}
    secrets = {**CANARIES, **own}
    redactor = Redactor((standin.token, url))
    with logging_to(LogsConfig(file=f"{tmp_path}/logs/bot.log", level="DEBUG"), redactor):
        async with tour(commands=[fail, leak, keep]) as scene:
            assert repr(scene.bot.redactor) == repr(redactor)
            await scene.says("!leak", scene.stranger)
            for surface in ("text", "slash"):
                assert [stop.status for stop in await taken(Guide(scene), surface) if stop.status] == []
            await told_secrets(scene)
            scene.owner.closes_dms()
            await scene.bot.notify(Reply("by the last way"))
            assert [each.text for each in hook.channel.messages] == ["by the last way"]
            shown = map(repr, (scene.bot, scene.bot.config, scene.transport, *vars(scene.transport).values()))
            assert leaks("\n".join(shown), secrets) == []
    sent = [request for request in standin.requests if request.path != f"/webhooks/{hook.id}/{hook.token}"]
    assert len(standin.requests) == len(sent) + 1
    assert leaks(json.dumps([(request.path, request.body) for request in sent]), secrets) == []
    assert leaks(b"\n".join(file.content for each in said_by_bot(standin) for file in each.attachments), secrets) == []
    assert leaks(read_all(tmp_path / "data"), secrets) == []
    assert leaks(read_all(tmp_path / "logs"), secrets) == []
