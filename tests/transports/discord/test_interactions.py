"""Slash commands, menus, buttons and forms on Discord."""

from typing import Annotated, Literal

import anyio
import pytest

from socbot.dispatch.arguments import Completes, Secret
from socbot.dispatch.commands import command
from socbot.dispatch.context import Confirm, Context
from socbot.dispatch.messages import Attachment
from socbot.dispatch.replies import Chart, Reply
from socbot.testing import FakeClock
from tests.standin import Permission
from tests.transports.discord.conversation import MakeScene, Scene

gates: dict[str, anyio.Event] = {}


@command("wait", permission="public", metered=False)
async def wait(ctx: Context) -> str:
    """Wait until told."""
    await gates["wait"].wait()
    return "waited"


@command("wait_privately", permission="public", private=True, metered=False)
async def wait_privately(ctx: Context) -> str:
    """Wait until told."""
    await gates["wait"].wait()
    return "waited"


@command("secretly", permission="public", metered=False)
async def secretly(ctx: Context) -> Reply:
    """A private answer that nobody expected."""
    await gates["wait"].wait()
    return Reply("for you", private=True)


@command("many", permission="public", metered=False)
async def many(ctx: Context) -> Reply:
    """A long list."""
    return Reply(title="Many", items=tuple(f"line {number}" for number in range(100)))


@command("hook_add", group="hook", sensitive=True, private=True)
async def hook_add(ctx: Context, name: str, kind: Literal["discord", "slack"], url: Annotated[str, Secret()]) -> str:
    """Add a hook."""
    return f"{name} ({kind}) is kept, {len(url)} characters."


@command("burn", permission="public", metered=False)
async def burn(ctx: Context, what: str) -> Confirm:
    """Burn something."""

    async def action(ctx: Context) -> Reply:
        return Reply.ok(f"{what} is ashes")

    return Confirm(f"Burn {what}?", action)


@command("burn_slowly", permission="public", metered=False)
async def burn_slowly(ctx: Context) -> Confirm:
    """Burn something, and say how far it is."""

    async def action(ctx: Context) -> Reply:
        await ctx.send("it smokes")
        await ctx.send("it glows")
        return Reply.ok("ashes")

    return Confirm("Burn it?", action)


@command("secret_burn", permission="public", private=True, metered=False)
async def secret_burn(ctx: Context) -> Confirm:
    """Burn something in private."""

    async def action(ctx: Context) -> Reply:
        return Reply.ok("ashes")

    return Confirm("Burn it?", action)


@command("measure", permission="public", metered=False)
async def measure(ctx: Context, file: Attachment, times: int = 1, *, loud: bool = False) -> str:
    """Measure a file."""
    return f"{len(await file.read()) * times} {loud}"


@command("graph", permission="public", metered=False)
async def graph(ctx: Context) -> Reply:
    """A chart."""
    return Reply(title="Graph", chart=Chart("bar", ("a", "b"), {"x": (1.0, 2.0)}, "commands"))


@command("quiet", permission="public", metered=False)
async def quiet(ctx: Context) -> None:
    """Says nothing."""


@command("of_job", metered=False)
async def of_job(ctx: Context, job: Annotated[str, Completes("job")]) -> str:
    """Something of a job."""
    return job


COMMANDS = (
    wait,
    wait_privately,
    secretly,
    many,
    hook_add,
    burn,
    burn_slowly,
    secret_burn,
    measure,
    graph,
    quiet,
    of_job,
)


@pytest.fixture(autouse=True)
def gate() -> anyio.Event:
    gates["wait"] = anyio.Event()
    return gates["wait"]


async def test_a_slash_command_is_answered(scene: Scene) -> None:
    answer = await (await scene.stranger.slash("ping")).answer()
    assert answer.text.startswith("Pong!")
    assert not answer.ephemeral
    assert not answer.deferred


async def test_groups_and_options_lead_to_the_same_commands(scene: Scene) -> None:
    answer = await (await scene.owner.slash("blacklist add", kind="user", id="900", reason="spam")).answer()
    assert "Added to the blacklist" in answer.text
    assert scene.bot.blacklist.is_listed("user", ("discord", "900"))


async def test_files_numbers_and_flags(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        used = await scene.stranger.slash("measure", file=("a.txt", b"12345"), times=3, loud=True)
        assert (await used.answer()).text == "15 True"


async def test_a_slow_handler_is_acknowledged_in_time_and_answered_later(
    make_scene: MakeScene, gate: anyio.Event
) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        for name, private in (("wait", False), ("wait_privately", True)):
            used = await scene.stranger.slash(name)
            await used.acknowledged()
            gate.set()
            answer = await used.answer()
            assert (answer.text, answer.deferred, answer.ephemeral) == ("waited", True, private)
            gate = gates["wait"] = anyio.Event()


async def test_what_turns_out_private_after_the_acknowledgement_is_not_shown_to_all(
    make_scene: MakeScene, gate: anyio.Event
) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        used = await scene.stranger.slash("secretly")
        await used.acknowledged()
        gate.set()
        shown = await used.answer()
        assert (shown.text, shown.ephemeral) == ("for you", True)
        assert not any("for you" in message.text for message in scene.place.messages)


async def test_after_a_quarter_of_an_hour_the_answer_is_a_message(
    make_scene: MakeScene, gate: anyio.Event, clock: FakeClock
) -> None:
    async with make_scene(commands=COMMANDS, clock=clock) as scene:
        scene.bot.dispatcher.timeout = 10_000.0
        used = await scene.stranger.slash("wait")
        await scene.standin.until(lambda: scene.bot.dispatcher.running, what="the command's run")
        await anyio.wait_all_tasks_blocked()
        clock.forward(1.6)
        await used.acknowledged()
        clock.forward(901.0)
        gate.set()
        await scene.standin.until(lambda: scene.place.messages[-1].text == "waited", what="the answer")
        assert scene.place.messages[-1].interaction is None


async def test_a_silent_handler_is_acknowledged(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        answer = await (await scene.stranger.slash("quiet")).answer()
        assert (answer.text, answer.ephemeral) == ("Done.", True)


async def test_pages_are_turned_by_who_asked_and_die_visibly(make_scene: MakeScene, clock: FakeClock) -> None:
    async with make_scene(commands=COMMANDS, clock=clock) as scene:
        shown = await scene.says("!many", scene.stranger)
        assert "line 0" in shown.text
        await (await scene.stranger.clicks(shown, "›")).acknowledged()
        await scene.standin.until(lambda: "Page 2 of" in shown.text, what="the second page")
        other = await (await scene.owner.clicks(shown, "›")).answer()
        assert other.ephemeral
        assert "Only whoever asked" in other.text
        form = await (await scene.stranger.clicks(shown, next(b for b in shown.buttons if "/" in b))).answer()
        await (await scene.stranger.submits(form, page="9")).acknowledged()
        await scene.standin.until(lambda: "Page 9 of" in shown.text, what="the ninth page")
        wrong = await (await scene.stranger.clicks(shown, next(b for b in shown.buttons if "/" in b))).answer()
        told = await (await scene.stranger.submits(wrong, page="70")).answer()
        assert "Type a page from 1 to 9" in told.text
        clock.forward(601.0)
        await scene.standin.until(lambda: not shown.buttons, what="greyed buttons")
        assert "Page 9 of" in shown.text


async def test_pages_can_be_closed(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        shown = (await (await scene.stranger.slash("many")).answer()).message
        await (await scene.stranger.clicks(shown, "✕ Close")).acknowledged()
        await scene.standin.until(lambda: not shown.components, what="no buttons")
        assert "line 0" in shown.text


async def test_buttons_from_before_a_restart_say_so(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        shown = await scene.says("!many", scene.stranger)
        shown.components[0]["components"][3]["custom_id"] = "b:00000000ffffffffffffffff:next"
        told = await (await scene.stranger.clicks(shown, "›")).answer()
        assert "before a restart" in told.text
        shown.components[0]["components"][3]["custom_id"] = "from:another:age"
        assert "no longer known" in (await (await scene.stranger.clicks(shown, "›")).answer()).text


async def test_a_question_is_answered_by_who_was_asked_once(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        question = await scene.says("!burn letters", scene.stranger)
        assert question.buttons == ["Yes", "No"]
        other = await (await scene.owner.clicks(question, "Yes")).answer()
        assert (other.text, other.ephemeral) == ("Only whoever was asked can answer.", True)
        assert question.buttons == ["Yes", "No"]
        await scene.stranger.clicks(question, "Yes")
        done = await scene.standin.message(in_=scene.place, after=question)
        assert done.text == "letters is ashes"
        assert question.buttons == []


async def test_no_is_an_answer_and_silence_ends_the_question(make_scene: MakeScene, clock: FakeClock) -> None:
    async with make_scene(commands=COMMANDS, clock=clock) as scene:
        question = (await (await scene.stranger.slash("burn", what="letters")).answer()).message
        await scene.stranger.clicks(question, "No")
        assert (await scene.standin.message(in_=scene.place, after=question)).text == "Nothing was done."
        again = (await (await scene.stranger.slash("burn", what="letters")).answer()).message
        clock.forward(31.0)
        await scene.standin.until(lambda: not again.buttons, what="greyed buttons")
        assert "expired" in str(again.components)


async def test_what_comes_of_a_yes_is_shown_in_one_place(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        question = await scene.says("!burn_slowly", scene.stranger)
        used = (await scene.stranger.clicks(question, "Yes")).interaction
        await scene.standin.until(lambda: used.followups and used.followups[0].text == "ashes", what="the end")
        assert len(used.followups) == 1


async def test_a_private_question_is_asked_and_answered_in_private(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        await scene.says("!secret_burn", scene.stranger)
        question = await scene.standin.message(in_=scene.stranger.dm)
        assert question.buttons == ["Yes", "No"]
        await scene.stranger.clicks(question, "Yes")
        assert (await scene.standin.message(in_=scene.stranger.dm, after=question)).text == "ashes"


async def test_a_secret_is_given_in_a_form(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        asked = await (await scene.owner.slash("hook add", name="mine", kind="slack")).answer()
        assert asked.modal is not None
        done = await (await scene.owner.submits(asked, url="https://hooks.example.org/s3cr3t")).answer()
        assert done.text == "mine (slack) is kept, 32 characters."
        assert done.ephemeral


async def test_the_menu_of_a_user_leads_to_commands(scene: Scene) -> None:
    answer = await (await scene.owner.menu("Statistics", target=scene.stranger)).answer()
    assert "unique commands" in answer.text.lower() or "total" in answer.text.lower()


async def test_names_are_offered_while_they_are_typed_to_who_may_use_the_command(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        assert "monitor" in await scene.owner.completes("task run", job="mon")
        scene.guild.role("staff", Permission.ADMINISTRATOR, scene.stranger)
        assert await scene.stranger.completes("task run", job="mon") == {}
        assert "help" in await scene.stranger.completes("help", topic="he")
        await scene.bot.blacklist.add("user", ("discord", scene.stranger.id), reason="", by="test")
        assert await scene.stranger.completes("help", topic="he") == {}


async def test_members_are_not_offered_what_they_cannot_use(scene: Scene) -> None:
    assert "blacklist" not in scene.stranger.offered()
    assert {"help", "ping", "uptime"} <= set(scene.stranger.offered())
    scene.guild.role("staff", Permission.ADMINISTRATOR, scene.stranger)
    assert "blacklist" in scene.stranger.offered()
    refused = await (await scene.stranger.slash("blacklist add", kind="user", id="900")).answer()
    assert "Only the owner" in refused.text


async def test_a_listed_user_gets_nothing(scene: Scene) -> None:
    await scene.bot.blacklist.add("user", ("discord", scene.stranger.id), reason="", by="test")
    before = len(scene.standin.requests)
    await scene.stranger.slash("ping")
    await scene.stranger.says("!ping")
    await scene.says("!uptime")
    assert [request.path for request in scene.standin.requests[before:]] == [f"/channels/{scene.place.id}/messages"]


async def test_a_chart_is_a_picture(make_scene: MakeScene) -> None:
    async with make_scene(commands=COMMANDS) as scene:
        answer = await (await scene.stranger.slash("graph")).answer(seconds=15)
        assert answer.message.files["chart.png"].startswith(b"\x89PNG")
