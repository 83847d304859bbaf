"""Every command on Discord, by text and by slash: it works, and nothing of it pings, leaks, or obeys a stranger."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pytest

from socbot.config import RateLimitConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import plain
from socbot.testing import said
from tests.standin import Permission, Person, Standin
from tests.test_tour import stored
from tests.tour import TOUR, Call, Names, message
from tests.transports.discord.conversation import MakeScene, Scene
from tests.transports.discord.tour import Guide, Stop

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
