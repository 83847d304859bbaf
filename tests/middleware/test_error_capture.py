"""Failures in a whole bot: a message in; the answer, the outcome and what is kept out."""

import re
import threading
from collections.abc import Callable

import anyio
import pytest

from socbot.bot import Bot
from socbot.config import BotConfig, ErrorsConfig, MiddlewareConfig, RateLimitConfig, StorageConfig, WebhooksConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Confirm, Context, Handler
from socbot.dispatch.errors import UserError
from socbot.dispatch.order import check_order
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.middleware.error_capture import ErrorCapture
from socbot.testing import owner_said, said
from tests.conftest import MakeBot
from tests.receiver import Receiver, in_a_thread
from tests.receiver import answer as fail_with

ANSWER = re.compile(r"That failed\. Quote `(E-[0-9A-HJKMNP-TV-Z]{6})` to the operator\.")
ORDER = ("blacklist", "rate_limit", "profiler", "analytics", "error_capture")
UNLIMITED = RateLimitConfig(cooldown=0.0, burst=10_000, window=0.001)


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Rootless(Exception):
    """Its cause is itself, at one remove."""

    def __init__(self) -> None:
        other = ValueError("the other")
        self.__cause__, other.__cause__ = other, self


class Quitting(Exception):
    """Ends the program of whoever reads it."""

    def __str__(self) -> str:
        raise SystemExit(3)


class Barred(Exception):
    """Does not let anybody look at what led to it, or where."""

    def __getattribute__(self, name: str) -> object:
        raise LookupError(name)


class Odd(BaseException):
    """None that anything is meant to catch."""


def cyclic() -> list[object]:
    data: list[object] = []
    data.append({"again": data})
    return data


def nest(depth: int) -> list[object]:
    data: list[object] = []
    for _ in range(depth):
        data = [data]
    return data


HOSTILE: dict[str, Callable[[], BaseException]] = {
    "plain": lambda: ValueError("broken"),
    "unspeakable": Unspeakable,
    "quitting": Quitting,
    "barred": Barred,
    "cyclic": Rootless,
    "cyclic data": lambda: ValueError(cyclic()),
    "1,000 deep": lambda: ValueError(nest(1_000)),
    "deep": lambda: ValueError(nest(100_000)),
    "10 MB": lambda: ValueError("x" * 10_000_000),
    "1,000 leaves": lambda: ExceptionGroup("many", [ValueError(number) for number in range(1_000)]),
    "not an Exception": lambda: Odd("gone"),
    "half a surrogate": lambda: ValueError("\ud800\0"),
}


@command("fail", permission="public")
async def fail(ctx: Context, how: str = "plain") -> str:
    """Fails."""
    raise HOSTILE[how]()


@command("mistake", permission="public")
async def mistake(ctx: Context) -> str:
    """Is used wrongly."""
    raise UserError("Not like that.")


@command("dawdle", permission="public", timeout=0.05)
async def dawdle(ctx: Context) -> str:
    """Takes too long."""
    await anyio.sleep(60)
    return "at last"


@command("ask", permission="public")
async def ask(ctx: Context) -> Confirm:
    """Asks, and then fails."""

    async def act(ctx: Context) -> Reply:
        raise ValueError("broken after all")

    return Confirm("Sure?", act)


async def say(bot: Bot, text: str, author: str = "42") -> Outcome:
    return await bot.dispatch(said(text, author))


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_failure_is_answered_with_an_id_under_which_the_owner_finds_it(make_bot: MakeBot) -> None:
    async with make_bot(commands=[fail]) as bot:
        outcome = await say(bot, "!fail")
        match = ANSWER.fullmatch(str(outcome.reply))
        assert match is not None
        assert (outcome.status, outcome.error_id) == ("failed", match[1])
        assert outcome.trace is not None
        record = await bot.errors.find(match[1])
        assert record is not None
        assert (record.command, record.subject, record.trace_id) == ("fail", "42", outcome.trace.id)
        details = await bot.dispatch(owner_said(f"!error_details {match[1]}"))
        assert "ValueError" in str(details.reply)
        why = await bot.dispatch(owner_said(f"!why {match[1]}"))
        assert outcome.trace.id in str(why.reply)


async def test_a_mistake_is_no_error(make_bot: MakeBot) -> None:
    async with make_bot(commands=[fail, mistake], rate_limit=UNLIMITED) as bot:
        assert str((await say(bot, "!mistake")).reply) == "Not like that."
        assert (await say(bot, "!fail one two")).status == "invalid"
        await bot.errors.check()
        assert await bot.errors.newest(10) == []


async def test_a_mistake_passes_it_also_outside_the_engines_chain(make_bot: MakeBot) -> None:
    seen: list[Context] = []

    @command("look", permission="public")
    async def look(ctx: Context) -> str:
        """Keeps its context."""
        seen.append(ctx)
        return "kept"

    async def errs(ctx: Context) -> Reply | None:
        raise UserError("Not like that.")

    async with make_bot(commands=[look]) as bot:
        await say(bot, "!look")
        with pytest.raises(UserError):
            await ErrorCapture(bot.errors, bot.links)(seen[0], errs)
        assert await bot.errors.newest(10) == []


@pytest.mark.promise("P44")
@pytest.mark.parametrize("how", HOSTILE)
async def test_whatever_is_raised_the_answer_is_the_same(how: str, make_bot: MakeBot) -> None:
    async with make_bot(commands=[fail]) as bot:
        outcome = await say(bot, f'!fail "{how}"')
        match = ANSWER.fullmatch(str(outcome.reply))
        assert match is not None
        assert (outcome.status, outcome.error_id) == ("failed", match[1])
        record = await bot.errors.find(match[1])
        assert record is not None
        assert len(record.message) < 3_000
        assert len(record.traceback) < 20_000


@pytest.mark.promise("P44")
@pytest.mark.parametrize("table", ["errors", "error_groups", "signals"])
async def test_a_store_that_fails_changes_no_answer(table: str, make_bot: MakeBot) -> None:
    config = ErrorsConfig(max_errors=1_000)
    async with make_bot(commands=[fail], rate_limit=UNLIMITED, errors=config, jobs=True) as bot:
        await bot.database.write(lambda connection: connection.execute(f"DROP TABLE {table}"))
        for _ in range(20):
            assert ANSWER.fullmatch(str((await say(bot, "!fail")).reply))
        assert (await say(bot, "!ping", "43")).status == "ok"


@pytest.mark.promise("P44")
async def test_a_webhook_that_fails_changes_no_answer_and_makes_no_new_error(make_bot: MakeBot) -> None:
    webhooks = WebhooksConfig(allow=("127.0.0.0/8",))
    seen = []
    with in_a_thread(Receiver()) as receiver:
        receiver.otherwise = fail_with(500)
        for name, config in (
            ("without", StorageConfig("sqlite:///one.db")),
            ("with", StorageConfig("sqlite:///two.db")),
        ):
            async with make_bot(
                commands=[fail], rate_limit=UNLIMITED, webhooks=webhooks, storage=config, jobs=True
            ) as bot:
                if name == "with":
                    await bot.webhooks.add("broken", "custom", receiver.url("/hook"), (), "local:owner")
                for _ in range(20):
                    assert ANSWER.fullmatch(str((await say(bot, "!fail")).reply))
                await bot.errors.check()
                if name == "with":
                    await anyio.to_thread.run_sync(receiver.wait, 1)
                signals = await bot.database.read(
                    lambda c: c.execute("SELECT kind, title FROM signals ORDER BY kind, title")
                )
                seen.append((signals, [(group.type, group.count) for group in await bot.errors.groups()]))
    assert seen[0] == seen[1]
    assert seen[0][1] == [("ValueError", 20)]


@pytest.mark.promise("P44")
async def test_a_store_that_stalls_changes_no_answer_and_loses_no_error(make_bot: MakeBot) -> None:
    go_on = threading.Event()

    def stall(connection: object, outcomes: object) -> None:
        go_on.wait(10)

    async with make_bot(commands=[fail], rate_limit=UNLIMITED) as bot, anyio.create_task_group() as tasks:
        bot.telemetry.add_sink(stall)
        await say(bot, "!ping")
        tasks.start_soon(bot.telemetry.flush)
        await anyio.wait_all_tasks_blocked()
        started = anyio.current_time()
        outcomes = [await say(bot, "!fail") for _ in range(20)]
        assert anyio.current_time() - started < 1.0
        assert all(ANSWER.fullmatch(str(outcome.reply)) for outcome in outcomes)
        go_on.set()
        await bot.errors.check()
        assert {record.error_id for record in await bot.errors.newest(100)} == {each.error_id for each in outcomes}


async def test_a_timeout_is_kept_as_well(make_bot: MakeBot) -> None:
    async with make_bot(commands=[dawdle]) as bot:
        outcome = await say(bot, "!dawdle")
        assert outcome.status == "failed"
        assert "too long" in str(outcome.reply) or "longer" in str(outcome.reply)
        await bot.errors.check()
        (record,) = await bot.errors.newest(10)
        assert (record.type, record.command) == ("CommandTimeout", "dawdle")
        assert outcome.trace is not None
        assert record.trace_id == outcome.trace.id


async def test_what_fails_after_a_yes_is_kept_as_well(make_bot: MakeBot) -> None:
    async with make_bot(commands=[ask]) as bot:
        question = await say(bot, "!ask")
        assert question.reply is not None
        assert question.reply.question is not None
        outcome = await say(bot, f"!confirm {question.reply.question.code}")
        if outcome.status in ("unknown", "ignored"):
            outcome = await say(bot, f"confirm {question.reply.question.code}")
        assert outcome.status == "failed"
        assert outcome.error_id is not None
        record = await bot.errors.find(outcome.error_id)
        assert record is not None
        assert record.message == "broken after all"


async def broken_observer(ctx: Context, call_next: Handler) -> Reply | None:
    raise KeyError("out of order")


@pytest.mark.parametrize("kind", ["observer", "guard"])
async def test_a_middleware_that_breaks_is_kept_as_an_error(kind: str, make_bot: MakeBot) -> None:
    chain = (
        MiddlewareConfig(f"{__name__}:broken_observer", kind="observer" if kind == "observer" else "guard"),
        *map(MiddlewareConfig, ORDER),
    )
    async with make_bot(middleware=chain) as bot:
        outcome = await say(bot, "!ping")
        assert outcome.status == ("ok" if kind == "observer" else "refused")
        await bot.errors.check()
        (record,) = await bot.errors.newest(10)
        assert (record.type, record.command) == ("KeyError", "ping")


async def test_without_the_middleware_a_failure_is_kept_all_the_same(make_bot: MakeBot) -> None:
    chain = tuple(MiddlewareConfig(name) for name in ORDER[:-1])
    async with make_bot(middleware=chain, commands=[fail]) as bot:
        outcome = await say(bot, "!fail")
        assert (str(outcome.reply), outcome.error_id) == ("That failed.", None)
        await bot.errors.check()
        assert [record.type for record in await bot.errors.newest(10)] == ["ValueError"]


async def test_in_the_default_order_nothing_is_said_against_it(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        assert [finding.text for finding in check_order(bot.pipeline.layers) if "error_capture" in finding.text] == []


async def test_a_command_that_its_host_cancels_is_no_error(make_bot: MakeBot) -> None:
    async with make_bot(commands=[dawdle], bot=BotConfig(command_timeout=60)) as bot:
        with anyio.move_on_after(0.01):
            await say(bot, "!dawdle")
        await bot.errors.check()
        assert await bot.errors.newest(10) == []
