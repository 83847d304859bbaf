"""A question is answered once, by who was asked, where they were asked, in time."""

from collections.abc import Callable
from random import Random

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace

from socbot.dispatch.arguments import MAX_LENGTH
from socbot.dispatch.chain import Layer
from socbot.dispatch.commands import Concurrency, command
from socbot.dispatch.confirmations import MAX_OPEN
from socbot.dispatch.context import Confirm, Context, Handler
from socbot.dispatch.dispatcher import Dispatcher
from socbot.dispatch.errors import Refused
from socbot.dispatch.messages import Answer, Attachment, Message
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Question, Reply
from socbot.testing import FakeClock, said

both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"


class Bench:
    """A dispatcher with a command that asks before it wipes something."""

    def __init__(self, seed: int = 1, *layers: Layer) -> None:
        self.wiped: list[str] = []
        self.clock = FakeClock()

        @command("wipe", permission="public")
        async def wipe(ctx: Context, what: str) -> Confirm:
            async def action(ctx: Context) -> Reply:
                await anyio.lowlevel.checkpoint()
                self.wiped.append(what)
                return Reply(f"{what} is gone")

            return Confirm(f"Wipe {what}?", action)

        self.dispatcher = Dispatcher([wipe], chain=layers, clock=self.clock, random=Random(seed))

    async def say(self, message: Message) -> Outcome:
        return await self.dispatcher.dispatch(message)

    async def ask(self, what: str = "everything", author: str = "42") -> Question:
        return question_of(await self.say(said(f"!wipe {what}", author)))


def question_of(outcome: Outcome) -> Question:
    assert outcome.status == "ok"
    assert outcome.reply is not None
    assert outcome.reply.question is not None
    return outcome.reply.question


def pressed(question: Question, author: str = "42", channel: str = "c1", guild: str | None = "g1") -> Message:
    return replace(said("", author, channel=channel, guild=guild), answer=Answer(question.token, True))


def typed(question: Question, author: str = "42", channel: str = "c1", guild: str | None = "g1") -> Message:
    return said(f"confirm {question.code}", author, channel=channel, guild=guild)


Answering = Callable[..., Message]
either_way = pytest.mark.parametrize("answer", [pressed, typed])


@either_way
@pytest.mark.promise("P17")
async def test_a_yes_runs_the_action_once_and_through_the_chain(answer: Answering) -> None:
    bench = Bench()
    question = await bench.ask()
    outcome = await bench.say(answer(question))
    assert (outcome.status, outcome.command, outcome.reply) == ("ok", "wipe", Reply("everything is gone"))
    assert outcome.trace is not None
    again = await bench.say(answer(question))
    assert again.status in ("refused", "ignored")
    assert bench.wiped == ["everything"]


async def test_a_no_spends_the_question() -> None:
    bench = Bench()
    question = await bench.ask()
    no = replace(said(""), answer=Answer(question.token, False))
    outcome = await bench.say(no)
    assert (outcome.status, outcome.reason, outcome.reply) == ("ok", "declined", Reply("Nothing was done."))
    assert (await bench.say(pressed(question))).refused_by == "confirmation"
    assert bench.wiped == []


@either_way
@pytest.mark.promise("P17")
@pytest.mark.parametrize(
    "elsewhere", [{"author": "43"}, {"channel": "c2"}, {"guild": "g2"}, {"guild": None}], ids=lambda where: str(where)
)
async def test_nobody_and_nowhere_else_can_answer(answer: Answering, elsewhere: dict[str, str]) -> None:
    bench = Bench()
    question = await bench.ask()
    assert (await bench.say(answer(question, **elsewhere))).status in ("refused", "ignored")
    assert bench.wiped == []
    assert (await bench.say(answer(question))).status == "ok"


@either_way
@pytest.mark.promise("P17")
async def test_another_platforms_person_of_the_same_id_can_not_answer(answer: Answering) -> None:
    bench = Bench()
    message = replace(answer(await bench.ask()), platform="other")
    assert (await bench.say(message)).status in ("refused", "ignored")
    assert bench.wiped == []


@either_way
@pytest.mark.promise("P17")
async def test_each_question_runs_what_it_was_asked_for(answer: Answering) -> None:
    bench = Bench()
    one, other = await bench.ask("one"), await bench.ask("other")
    await bench.say(answer(one))
    assert bench.wiped == ["one"]
    await bench.say(answer(other))
    assert bench.wiped == ["one", "other"]


@either_way
@pytest.mark.promise("P17")
@pytest.mark.parametrize("step", [0.0, -3600.0])
async def test_a_question_expires_whatever_the_wall_clock_says(answer: Answering, step: float) -> None:
    bench = Bench()
    question = await bench.ask()
    bench.clock.forward(31)
    bench.clock.step(step)
    assert (await bench.say(answer(question))).status in ("refused", "ignored")
    assert bench.wiped == []


@either_way
@pytest.mark.promise("P17")
async def test_a_question_lives_for_29_seconds(answer: Answering) -> None:
    bench = Bench()
    question = await bench.ask()
    bench.clock.forward(29)
    bench.clock.step(7200)
    assert (await bench.say(answer(question))).status == "ok"


@both_backends
@either_way
@pytest.mark.promise("P17")
async def test_of_100_answers_at_once_exactly_one_wins(answer: Answering) -> None:
    bench = Bench()
    question = await bench.ask()
    outcomes: list[Outcome] = []

    async def say() -> None:
        outcomes.append(await bench.say(answer(question)))

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(say)
    assert len(outcomes) == 100
    assert [outcome.status for outcome in outcomes].count("ok") == 1
    assert bench.wiped == ["everything"]


@pytest.mark.promise("P17")
async def test_10000_guessed_tokens_pass_for_none() -> None:
    bench, random = Bench(), Random(17)
    question = await bench.ask()
    assert len(question.token) == 32
    for _ in range(10_000):
        guess = replace(question, token=f"{random.getrandbits(128):032x}")
        outcome = await bench.say(pressed(guess))
        assert (outcome.status, outcome.reason) == ("refused", "no such question")
    assert bench.wiped == []
    assert (await bench.say(pressed(question))).status == "ok"


@pytest.mark.promise("P17")
async def test_10000_guessed_codes_pass_for_none_as_three_wrong_ones_void_the_question() -> None:
    bench, random = Bench(), Random(17)
    for _ in range(3_334):
        question = await bench.ask()
        for _ in range(3):
            code = "".join(random.choice(LETTERS) for _ in range(6))
            if code != question.code:
                assert (await bench.say(typed(replace(question, code=code)))).reason == "wrong code"
        assert (await bench.say(typed(question))).status == "ignored"
    assert bench.wiped == []


@pytest.mark.parametrize("text", ["confirm", "confirm ", "confirm me", "Confirm \ud800", "confirm " + "x" * 3_000])
async def test_what_only_begins_like_an_answer_confirms_nothing(text: str) -> None:
    bench = Bench()
    await bench.ask()
    outcome = await bench.say(said(text))
    assert (outcome.status, outcome.reason) in [("ignored", None), ("refused", "wrong code")]
    assert bench.wiped == []


async def test_somebody_who_was_asked_nothing_may_chat_about_confirming() -> None:
    bench = Bench()
    await bench.ask()
    assert (await bench.say(said("confirm that we meet at nine?", "43"))).status == "ignored"


async def test_a_code_may_be_typed_in_any_case_and_with_spaces_around() -> None:
    bench = Bench()
    question = await bench.ask()
    assert (await bench.say(said(f"CONFIRM  {question.code.lower()} "))).status == "ok"


@either_way
@pytest.mark.promise("P17")
async def test_a_restart_knows_no_question(answer: Answering) -> None:
    before, after = Bench(1), Bench(2)
    question = await before.ask()
    assert (await after.say(answer(question))).status in ("refused", "ignored")
    await after.ask("another")
    assert (await after.say(answer(question))).status == "refused"
    assert after.wiped == []


@either_way
@pytest.mark.promise("P17")
async def test_a_process_with_other_shards_knows_no_question_of_this_one(answer: Answering) -> None:
    here, there = Bench(1), Bench(2)
    question, another = await here.ask(), await there.ask("another")
    for bench, foreign in ((there, question), (here, another)):
        for elsewhere in ({}, {"guild": "g2"}):
            assert (await bench.say(answer(foreign, **elsewhere))).status in ("refused", "ignored")
    assert here.wiped == there.wiped == []
    assert (await here.say(answer(question))).status == "ok"
    assert here.wiped == ["everything"]


@either_way
@pytest.mark.promise("P17")
async def test_after_a_day_of_steps_of_the_clock_it_is_still_used_up(answer: Answering) -> None:
    bench = Bench()
    question = await bench.ask()
    assert (await bench.say(answer(question))).status == "ok"
    for step in (-3_600.0, 3_600.0, -86_400.0):
        bench.clock.step(step)
        assert (await bench.say(answer(question))).status in ("refused", "ignored")
    assert bench.wiped == ["everything"]


@pytest.mark.promise("P17")
async def test_who_is_refused_meanwhile_can_not_confirm() -> None:
    banned: set[str] = set()

    async def ban(ctx: Context, call_next: Handler) -> Reply | None:
        if ctx.identity[1] in banned:
            raise Refused("banned")
        return await call_next(ctx)

    bench = Bench(1, Layer("ban", ban))
    question = await bench.ask()
    banned.add("42")
    assert (await bench.say(pressed(question))).refused_by == "ban"
    assert bench.wiped == []


@pytest.mark.promise("P17")
async def test_who_is_no_longer_permitted_can_not_confirm() -> None:
    ran: list[str] = []

    @command("admin_only", permission="admin")
    async def admin_only(ctx: Context) -> Confirm:
        async def action(ctx: Context) -> None:
            ran.append(ctx.identity[1])

        return Confirm("Sure?", action)

    dispatcher = Dispatcher([admin_only])
    question = question_of(await dispatcher.dispatch(said("!admin_only", admin=True)))
    assert (await dispatcher.dispatch(pressed(question))).refused_by == "permission"
    assert ran == []


async def test_a_file_that_came_with_the_command_is_there_once_it_is_confirmed() -> None:
    seen: list[object] = []

    @command("restore", permission="public")
    async def restore(ctx: Context, file: Attachment) -> Confirm:
        async def action(ctx: Context) -> Reply:
            seen.extend([file, *ctx.arguments[0]])
            return Reply("restored")

        return Confirm("Sure?", action)

    dispatcher, file = Dispatcher([restore]), Attachment("a.zip", 3)
    question = question_of(await dispatcher.dispatch(said("!restore", attachments=(file,))))
    assert (await dispatcher.dispatch(pressed(question))).reply == Reply("restored")
    assert seen == [file, file]


@both_backends
async def test_what_runs_on_yes_keeps_to_the_commands_concurrency_but_not_its_cooldown() -> None:
    go_on = anyio.Event()

    @command("rebuild", permission="public", cooldown=60, concurrency=Concurrency(1))
    async def rebuild(ctx: Context) -> Confirm:
        async def action(ctx: Context) -> Reply:
            await go_on.wait()
            return Reply("rebuilt")

        return Confirm("Sure?", action)

    dispatcher = Dispatcher([rebuild])
    first = question_of(await dispatcher.dispatch(said("!rebuild", "1")))
    second = question_of(await dispatcher.dispatch(said("!rebuild", "2")))
    outcomes: list[Outcome] = []

    async def say(message: Message) -> None:
        outcomes.append(await dispatcher.dispatch(message))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(say, pressed(first, "1"))
        await anyio.wait_all_tasks_blocked()
        outcome = await dispatcher.dispatch(pressed(second, "2"))
        assert (outcome.status, outcome.refused_by) == ("refused", "concurrency")
        go_on.set()
    assert outcomes[0].reply == Reply("rebuilt")


async def test_open_questions_are_bounded_and_the_oldest_goes_first() -> None:
    bench = Bench()
    oldest = await bench.ask(author="first")
    for number in range(MAX_OPEN - 1):
        newest = await bench.ask(author=f"u{number}")
    assert (await bench.say(pressed(newest, f"u{number}"))).status == "ok"
    await bench.ask(author="x")
    await bench.ask(author="y")
    assert (await bench.say(pressed(oldest, "first"))).status == "refused"


async def test_an_answer_is_as_long_as_a_message_may_be() -> None:
    bench = Bench()
    await bench.ask()
    outcome = await bench.say(said("confirm " + "x" * MAX_LENGTH))
    assert (outcome.status, outcome.reason, outcome.command) == ("invalid", "message", None)
