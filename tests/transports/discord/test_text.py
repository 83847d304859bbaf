"""Text commands on Discord: who is answered, where, and exactly once."""

import logging
from typing import Annotated

import anyio
import httpx
import pytest

from socbot.config import DiscordConfig
from socbot.dispatch.arguments import Rest, Secret
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.messages import Attachment
from socbot.dispatch.replies import Field, File, Reply
from tests.standin import Permission, Standin
from tests.transports.discord.conversation import MakeScene, Scene


@command("repeat", permission="public", metered=False)
async def repeat(ctx: Context, text: Rest) -> Reply:
    """Say it again."""
    return Reply(text)


@command("whisper", permission="public", private=True, metered=False)
async def whisper(ctx: Context) -> Reply:
    """For one person alone."""
    return Reply("The password is hunter2.")


@command("keep", sensitive=True, private=True)
async def keep(ctx: Context, name: str, secret: Annotated[str, Secret()]) -> str:
    """Keep a secret."""
    return f"{name} is kept."


@command("facts", permission="public", metered=False)
async def facts(ctx: Context) -> Reply:
    """In an embed."""
    return Reply("All is well.", "Facts", (Field("Guilds", "3"),), tone="ok")


@command("steps", permission="public", metered=False)
async def steps(ctx: Context) -> str:
    """Tells how far it is."""
    await ctx.send("one of two")
    await ctx.send("two of two")
    return "done"


@command("size", permission="public", metered=False)
async def size(ctx: Context, file: Attachment) -> Reply:
    """Read a file, and give one back."""
    content = await file.read()
    return Reply(f"{file.name}: {len(content)} bytes", files=(File("copy.txt", content),))


@command("private_steps", permission="public", private=True, metered=False)
async def private_steps(ctx: Context) -> str:
    """Tells how far it is, to one person alone."""
    await ctx.send("hunter2, one of two")
    return "hunter2, done"


COMMANDS = (private_steps, repeat, whisper, keep, facts, steps, size)


async def test_a_command_in_a_guild_is_answered_below_it(scene: Scene) -> None:
    answer = await scene.says("!ping", scene.stranger)
    assert answer.text.startswith("Pong! transport ")
    assert answer.reference is not None
    assert answer.reference.content == "!ping"
    assert answer.pings == []


async def test_guilds_threads_and_direct_messages_are_answered_once(scene: Scene) -> None:
    thread = scene.guild.thread("a thread")
    for place in (scene.place, thread, scene.owner.dm):
        said = await scene.owner.says("!uptime", in_=place)
        assert (await scene.standin.message(in_=place, after=said)).text.startswith("Up for")
        assert await scene.nothing_follows(place.messages[-1])


@pytest.mark.promise("P41")
@pytest.mark.parametrize("place", ["in the channel", "in private", "to the owner"])
async def test_what_is_sent_again_since_its_answer_was_lost_is_there_once(make_scene: MakeScene, place: str) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        await scene.says("!uptime")
        channel = scene.place if place == "in the channel" else scene.owner.dm
        before = len(channel.messages)
        scene.standin.limits.answer("POST", f"/channels/{channel.id}/messages", 502, done=True)
        if place == "to the owner":
            await scene.bot.notify(Reply("The disk is nearly full."))
        else:
            await scene.says("!repeat once" if place == "in the channel" else "!whisper", in_=scene.place)
        said = [message for message in channel.messages[before:] if message.by_bot]
        assert len(said) == 1
        assert said[0].nonce
        assert len(scene.standin.limits.requests("POST", f"/channels/{channel.id}/messages", 502)) == 1


async def test_the_bot_can_be_addressed_by_a_mention(scene: Scene) -> None:
    me = scene.standin.bot.id
    for text in (f"<@{me}> uptime", f"<@!{me}>  uptime", f"<@{me}> !uptime"):
        assert (await scene.says(text)).text.startswith("Up for")
    assert "help COMMAND" in (await scene.says(f"<@{me}>")).text


async def test_what_is_not_a_persons_new_message_runs_nothing(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        other = scene.standin.user("another bot", bot=True)
        scene.guild.joined_by(other)
        first = await other.says("!repeat by a bot", in_=scene.place)
        hook = scene.guild.webhook(scene.place, name=scene.owner.name)
        async with httpx.AsyncClient() as http:
            await http.post(hook.url, json={"content": "!repeat by a hook", "allowed_mentions": {"parse": []}})
        edited = await scene.owner.says("hello", in_=scene.place)
        await scene.owner.edits(edited, "!repeat by an edit")
        await scene.owner.says(f"<@{scene.stranger.id}> !repeat to somebody else", in_=scene.place)
        original = await scene.owner.says("not for the bot", in_=scene.guild.thread("elsewhere"))
        await scene.owner.forwards(original, in_=scene.place)
        answer = await scene.says("!repeat done")
        said = [message.text for message in scene.place.messages[first.index :] if message.author is scene.standin.bot]
        assert said == [answer.text] == ["done"]


@pytest.mark.promise("P51")
async def test_an_event_that_comes_twice_runs_once(scene: Scene) -> None:
    answer = await scene.says("!uptime")
    scene.standin.gateway.repeat()
    scene.standin.gateway.repeat()
    assert await scene.nothing_follows(answer)


async def test_without_the_message_content_intent_all_but_the_prefix_works_and_it_is_said(
    make_scene: MakeScene, standin: Standin, caplog: pytest.LogCaptureFixture
) -> None:
    standin.application.message_content = False
    with caplog.at_level(logging.WARNING, "soc_bot"):
        async with make_scene() as scene:
            unseen = await scene.owner.says("!uptime", in_=scene.place)
            assert (await scene.says(f"<@{standin.bot.id}> uptime")).index == unseen.index + 2
            dm = await scene.owner.says("!uptime", in_=scene.owner.dm)
            assert (await standin.message(in_=scene.owner.dm, after=dm)).text.startswith("Up for")
            assert (await (await scene.owner.slash("uptime")).answer()).text.startswith("Up for")
    assert "Prefix commands need the message content intent" in caplog.text


async def test_where_the_bot_may_not_write_the_answer_comes_in_private(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        scene.place.denies(scene.guild.everyone, Permission.SEND_MESSAGES)
        scene.place.allows(scene.stranger, Permission.SEND_MESSAGES)
        await scene.stranger.says("!repeat hello", in_=scene.place)
        answer = await scene.standin.message(in_=scene.stranger.dm)
        assert answer.text.endswith("hello")
        assert "may not write in the channel" in answer.text
        assert not [request for request in scene.standin.requests if request.status == 403]


async def test_where_the_bot_may_not_embed_the_words_come_as_text(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        scene.place.denies(scene.guild.everyone, Permission.EMBED_LINKS)
        answer = await scene.says("!facts", scene.stranger)
        assert answer.embeds == []
        assert answer.content == "**Facts**\nAll is well.\nGuilds: 3"


async def test_what_is_private_comes_as_a_direct_message_with_a_note(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        note = await scene.says("!whisper", scene.stranger)
        assert "direct message" in note.text
        assert "hunter2" not in note.text
        assert "hunter2" in (await scene.standin.message(in_=scene.stranger.dm)).text
        in_private = await scene.says("!whisper", scene.stranger, in_=scene.stranger.dm)
        assert "hunter2" in in_private.text


async def test_with_direct_messages_closed_what_is_private_is_not_shown(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        scene.stranger.closes_dms()
        note = await scene.says("!whisper", scene.stranger)
        assert "cannot send you direct messages" in note.text
        assert "hunter2" not in "".join(message.text for message in scene.place.messages)


async def test_a_message_that_carried_a_secret_is_deleted(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        said = await scene.owner.says("!keep mine s3cr3t", in_=scene.place)
        await scene.standin.until(lambda: said.deleted, what="the message's being deleted")
        wrong = await scene.owner.says("!keep mine s3cr3t and more", in_=scene.place)
        await scene.standin.until(lambda: wrong.deleted, what="the wrong one's, too")
        assert not [message for message in scene.place.messages if message.by_bot and "s3cr3t" in message.text]


async def test_where_the_bot_may_not_delete_it_does_not_try(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        scene.guild.bot_may(Permission.VIEW_CHANNEL | Permission.SEND_MESSAGES | Permission.EMBED_LINKS)
        said = await scene.owner.says("!keep mine s3cr3t", in_=scene.place)
        assert "kept" in (await scene.standin.message(in_=scene.owner.dm)).text
        await scene.says("!uptime")
        assert not said.deleted
        assert scene.standin.requested("DELETE", "/channels/*/messages/*") == []


async def test_progress_gives_way_to_the_answer(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        answer = await scene.says("!steps")
        await scene.standin.until(lambda: answer.text == "done", what="the answer")
        assert [state["content"] for state in answer.history] == ["one of two", "two of two"]


async def test_the_progress_of_what_is_private_is_not_shown_to_all(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        note = await scene.says("!private_steps", scene.stranger)
        assert "direct message" in note.text
        assert (await scene.standin.message(in_=scene.stranger.dm)).text == "hunter2, done"
        assert "hunter2" not in str([(message.text, message.history) for message in scene.place.messages])
        steps = await (await scene.stranger.slash("private_steps", in_=scene.place)).answer()
        assert steps.ephemeral
        progress = await scene.says("!private_steps", scene.stranger, in_=scene.stranger.dm)
        await scene.standin.until(lambda: progress.text == "hunter2, done")
        assert progress.history[0]["content"] == "hunter2, one of two"


async def test_that_a_secret_cannot_be_taken_away_keeps_nobody_from_the_answer(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        scene.standin.limits.answer("DELETE", "/channels/*/messages/*", 400)
        await scene.owner.says("!keep mine s3cr3t", in_=scene.place)
        assert "mine is kept" in (await scene.standin.message(in_=scene.owner.dm)).text
        (error,) = await scene.bot.errors.newest(10)
        assert (error.command, error.type) == ("keep", "HTTPException")


async def test_files_come_and_go(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        answer = await scene.says("!size", files={"notes.txt": b"12345"})
        assert answer.text == "notes.txt: 5 bytes"
        assert answer.files == {"copy.txt": b"12345"}


async def test_a_user_who_is_limited_is_told_in_passing(scene: Scene) -> None:
    await scene.says("!uptime", scene.stranger)
    told = await scene.says("!uptime", scene.stranger)
    assert "Rate Limit Exceeded" in told.text
    assert scene.stranger.dm.messages == []


@pytest.mark.promise("P36")
@pytest.mark.parametrize(
    "text", ["@everyone", "@here", "<@&{role}>", "<@{user}>", "@\u200beveryone", "@everyone " * 300]
)
async def test_nobody_is_pinged_by_what_is_said_again(text: str, make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        role = scene.guild.role("everybody else")
        answer = await scene.says("!repeat " + text.format(role=role.id, user=scene.stranger.id))
        assert answer.pings == []
        for request in scene.standin.requests:
            if request.method in ("POST", "PATCH") and "messages" in request.path:
                assert request.body["allowed_mentions"] == {"parse": []}


async def test_a_burst_is_answered_whole(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        people = [scene.joined(f"p{number}") for number in range(20)]
        async with anyio.create_task_group() as tasks:
            for person in people:
                tasks.start_soon(person.says, f"!repeat {person.name}")
        await scene.standin.until(lambda: sum(m.by_bot for m in scene.place.messages) == 20, what="twenty answers")
        assert {m.text for m in scene.place.messages if m.by_bot} == {person.name for person in people}


async def test_slash_commands_can_be_switched_off(make_scene: MakeScene, standin: Standin) -> None:
    async with make_scene(DiscordConfig(token=standin.token, slash=False, notify_start=False)) as scene:
        assert (await scene.says("!uptime")).text.startswith("Up for")
        assert not standin.world.commands
