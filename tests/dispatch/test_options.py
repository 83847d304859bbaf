"""Arguments by name, and forms for what is lacking: slash commands, modals, and whatever else has named fields."""

from typing import Annotated, Literal

import pytest

from socbot.dispatch.arguments import Completes, Rest, Secret
from socbot.dispatch.commands import command
from socbot.dispatch.context import Confirm, Context
from socbot.dispatch.dispatcher import Dispatcher
from socbot.dispatch.errors import InvalidArgument
from socbot.dispatch.messages import Answer, Attachment, Message, User
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply

OWNER = ("local", "owner")


@command("add", sensitive=True, private=True)
async def add(
    ctx: Context,
    name: str,
    kind: Literal["discord", "slack"],
    url: Annotated[str, Secret()],
    *triggers: str,
    loud: bool = False,
) -> str:
    """Add a hook."""
    return f"{name} {kind} {len(url)} {triggers} {loud}"


@command("note", permission="public")
async def note(ctx: Context, job: Annotated[str, Completes("job")], text: Rest = "") -> str:
    """Note something."""
    return f"{job}: {text}"


@command("number", permission="public")
async def number(ctx: Context, pin: Annotated[int, Secret()]) -> str:
    """Take a number."""
    return str(pin)


@command("drop", permission="public")
async def drop(ctx: Context, name: str) -> Confirm:
    """Drop something."""

    async def action(ctx: Context) -> Reply:
        return Reply(f"dropped {name}")

    return Confirm("Sure?", action)


@pytest.fixture
def dispatcher() -> Dispatcher:
    return Dispatcher([add, note, number, drop], owners=[OWNER])


def by_name(
    text: str, options: dict[str, str], *, author: str = "owner", forms: bool = False, answer: Answer | None = None
) -> Message:
    return Message(
        text, User(author), OWNER[0], "c", "g", options=options if answer is None else None, forms=forms, answer=answer
    )


async def fill(dispatcher: Dispatcher, asked: Outcome, options: dict[str, str], author: str = "owner") -> Outcome:
    assert asked.reply is not None
    assert asked.reply.form is not None
    return await dispatcher.dispatch(
        by_name("", {}, author=author, answer=Answer(asked.reply.form.token, True, options))
    )


async def test_options_bind_like_a_line(dispatcher: Dispatcher) -> None:
    named = await dispatcher.dispatch(by_name("!note", {"job": 'a "quoted" one', "text": "two  words"}))
    assert str(named.reply) == 'a "quoted" one: two  words'
    all_of_it = {"name": "n", "kind": "SLACK", "url": "https://x", "triggers": 'error "two words"', "loud": "on"}
    outcome = await dispatcher.dispatch(by_name("!add", all_of_it))
    assert str(outcome.reply) == "n slack 9 ('error', 'two words') True"


@pytest.mark.parametrize(
    ("options", "argument"),
    [({}, "job"), ({"job": "a", "nothing": "b"}, "arguments"), ({"job": "a", "text": "x" * 5_000}, "text")],
)
async def test_wrong_options_are_told(dispatcher: Dispatcher, options: dict[str, str], argument: str) -> None:
    outcome = await dispatcher.dispatch(by_name("!note", options))
    assert (outcome.status, outcome.reason) == ("invalid", argument)


async def test_a_form_asks_for_what_is_lacking_and_runs_the_command_once(dispatcher: Dispatcher) -> None:
    asked = await dispatcher.dispatch(by_name("!add", {"name": "n", "kind": "slack"}, forms=True))
    assert asked.status == "ok"
    assert asked.reply is not None
    assert asked.reply.form is not None
    assert [(each.name, each.secret) for each in asked.reply.form.inputs] == [("url", True)]
    done = await fill(dispatcher, asked, {"url": "https://x"})
    assert str(done.reply) == "n slack 9 () False"
    assert done.command == "add"
    again = await fill(dispatcher, asked, {"url": "https://x"})
    assert (again.status, again.refused_by) == ("refused", "confirmation")


async def test_a_form_is_for_one_person(dispatcher: Dispatcher) -> None:
    asked = await dispatcher.dispatch(by_name("!number", {}, author="7", forms=True))
    assert (await fill(dispatcher, asked, {"pin": "1"}, "8")).refused_by == "confirmation"
    assert str((await fill(dispatcher, asked, {"pin": "1"}, "7")).reply) == "1"


async def test_who_may_not_use_the_command_gets_no_form(dispatcher: Dispatcher) -> None:
    outcome = await dispatcher.dispatch(by_name("!add", {}, author="7", forms=True))
    assert outcome.refused_by == "permission"
    assert outcome.reply is not None
    assert outcome.reply.form is None


async def test_what_is_filled_in_passes_the_same_checks_and_a_wrong_secret_is_not_repeated(
    dispatcher: Dispatcher,
) -> None:
    asked = await dispatcher.dispatch(by_name("!number", {}, author="7", forms=True))
    wrong = await fill(dispatcher, asked, {"pin": "canary-secret"}, "7")
    assert wrong.status == "invalid"
    assert isinstance(wrong.error, InvalidArgument)
    assert "canary" not in f"{wrong.reply} {wrong.error!r} {wrong.message!r} {wrong.error.__context__!r}"
    typed = await dispatcher.dispatch(Message("!number canary-secret", User("7"), OWNER[0], "c", "g"))
    assert "canary" not in str(typed.reply)


@pytest.mark.parametrize(
    "line", ["canary-secret n slack", "n canary-secret slack", "n slack https://x --canary-secret"]
)
async def test_a_secret_in_the_wrong_place_is_not_repeated_either(line: str, dispatcher: Dispatcher) -> None:
    outcome = await dispatcher.dispatch(Message(f"!add {line}", User("owner"), OWNER[0], "c", "g"))
    assert isinstance(outcome.error, InvalidArgument)
    assert "canary" not in f"{outcome.reply} {outcome.error!r} {outcome.error.__context__!r}"


async def test_a_question_after_named_arguments(dispatcher: Dispatcher) -> None:
    asked = await dispatcher.dispatch(by_name("!drop", {"name": "this"}, author="7"))
    assert asked.reply is not None
    assert asked.reply.question is not None
    answer = Answer(asked.reply.question.token, True)
    assert str((await dispatcher.dispatch(by_name("", {}, author="7", answer=answer))).reply) == "dropped this"


def test_marks_are_read_from_the_signature() -> None:
    assert [each.completes for each in note.parameters] == ["job", ""]
    assert [each.secret for each in add.parameters] == [False, False, True, False, False]


async def test_a_file_is_fetched_when_it_is_read() -> None:
    fetched = []

    async def fetch() -> bytes:
        fetched.append(1)
        return b"content"

    assert await Attachment("a", 7, fetch=fetch).read() == b"content"
    assert await Attachment("a", 7, content=b"here", fetch=fetch).read() == b"here"
    assert fetched == [1]
    with pytest.raises(FileNotFoundError):
        await Attachment("a", 7).read()
