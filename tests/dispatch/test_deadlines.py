"""Every command ends: by itself, by its deadline, or with whoever awaits it."""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import anyio
import anyio.lowlevel
import pytest

from socbot.dispatch import deadlines
from socbot.dispatch.chain import Layer, Placement
from socbot.dispatch.commands import Command, Concurrency, command
from socbot.dispatch.context import Context, Handler
from socbot.dispatch.dispatcher import Dispatcher
from socbot.dispatch.errors import CommandTimeout
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.testing import said

pytestmark = pytest.mark.alone

both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

Work = Callable[[], Awaitable[None]]


async def passes(ctx: Context, call_next: Handler) -> Reply | None:
    return await call_next(ctx)


def bot(work: Work, *layers: Layer, timeout: float = 0.1) -> Dispatcher:
    """A dispatcher whose ``!hang`` does ``work``, one at a time, and which has a quick command beside it."""

    @command("hang", permission="public", timeout=timeout, concurrency=Concurrency(1))
    async def hang(ctx: Context) -> str:
        await work()
        return "done"

    @command("ping", permission="public")
    async def ping(ctx: Context) -> str:
        await anyio.sleep(0.001)
        return "pong"

    return Dispatcher([hang, ping], chain=layers)


over: list[bool] = []


@pytest.fixture(autouse=True)
def bury_the_undead() -> Iterator[None]:
    """What ignores even being closed is kept for ever; here it is let go, so that the run can end in silence."""
    over.clear()
    yield
    over.append(True)
    deadlines._undead.clear()
    gc.collect()


# -- ways to hang -------------------------------------------------------------------------------------


async def for_ever() -> None:
    await anyio.sleep_forever()


async def swallow_once() -> None:
    with contextlib.suppress(BaseException):
        await anyio.sleep_forever()


async def swallow_and_go_on() -> None:
    try:
        await anyio.sleep_forever()
    except BaseException:
        await anyio.sleep_forever()


async def swallow_in_a_loop() -> None:
    while not over:
        with contextlib.suppress(BaseException):
            await anyio.sleep(0.01)


async def swallow_until_closed() -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await anyio.sleep(0.01)


async def shielded() -> None:
    with anyio.CancelScope(shield=True):
        await anyio.sleep(60)


async def break_while_cleaning_up() -> None:
    try:
        await swallow_until_closed()
    finally:
        raise KeyError("clean-up")


async def hang_in_a_group() -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep_forever)
        tasks.start_soon(anyio.sleep_forever)


async def hang_in_a_generator() -> None:
    async def numbers() -> AsyncIterator[int]:
        while True:
            await anyio.sleep_forever()
            yield 1

    async for _ in numbers():
        pass


def timed_out(outcome: Outcome, where: str) -> None:
    assert (outcome.status, outcome.reason) == ("failed", "CommandTimeout")
    assert isinstance(outcome.error, CommandTimeout)
    assert outcome.error.where == where
    assert outcome.reply == Reply.error("That took longer than 0.1 s and was ended.")


@pytest.mark.promise("P26")
@pytest.mark.parametrize(
    "work",
    [
        for_ever, swallow_once, swallow_and_go_on, swallow_in_a_loop, swallow_until_closed, shielded,
        break_while_cleaning_up, hang_in_a_group, hang_in_a_generator,
    ],
)  # fmt: skip
async def test_a_command_that_hangs_ends_and_the_others_do_not_notice(work: Work) -> None:
    dispatcher = bot(work, Layer("outer", passes), Layer("inner", passes, Placement("observer")))
    before = asyncio.all_tasks()
    times: list[float] = []
    ended = anyio.Event()

    async def others() -> None:
        while not ended.is_set():
            started = time.perf_counter()
            assert (await dispatcher.dispatch(said("!ping"))).status == "ok"
            times.append(time.perf_counter() - started)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(others)
        with anyio.fail_after(5):
            outcome = await dispatcher.dispatch(said("!hang"))
        ended.set()
    timed_out(outcome, "handler")
    assert dispatcher.running == 0
    assert sorted(times)[int(len(times) * 0.99)] <= 0.25
    left = asyncio.all_tasks() - before
    assert not left or not (await asyncio.wait(left, timeout=5))[1]
    assert (await dispatcher.dispatch(said("!ping"))).status == "ok"
    with anyio.move_on_after(0.01):  # the slot is free again: it hangs anew, instead of being refused
        assert (await dispatcher.dispatch(said("!hang"))).refused_by is None
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


@both_backends
@pytest.mark.promise("P26")
@pytest.mark.parametrize("work", [for_ever, swallow_once, hang_in_a_group])
async def test_what_hangs_is_ended_and_named_on_both(work: Work) -> None:
    dispatcher = bot(work, Layer("outer", passes))
    with anyio.fail_after(5):
        timed_out(await dispatcher.dispatch(said("!hang")), "handler")
    assert dispatcher.running == 0


@both_backends
@pytest.mark.promise("P26")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["guard", "observer"])
async def test_a_middleware_that_hangs_is_ended_and_named(when: str, kind: str) -> None:
    async def hangs(ctx: Context, call_next: Handler) -> Reply | None:
        if when == "before":
            await anyio.sleep_forever()
        reply = await call_next(ctx)
        await anyio.sleep_forever()
        return reply

    async def at_once() -> None:
        pass

    hanging = Layer("hangs", hangs, Placement("guard" if kind == "guard" else "observer"))
    dispatcher = bot(at_once, Layer("outer", passes), hanging, Layer("inner", passes))
    with anyio.fail_after(5):
        outcome = await dispatcher.dispatch(said("!hang"))
    timed_out(outcome, "hangs")


@both_backends
@pytest.mark.promise("P26")
async def test_two_commands_in_a_deadlock_are_ended_and_let_their_locks_go() -> None:
    first, second = anyio.Lock(), anyio.Lock()

    async def hold_both(one: anyio.Lock, other: anyio.Lock) -> None:
        async with one:
            await anyio.sleep(0.02)
            async with other:
                pass

    @command("ab", permission="public", timeout=0.1)
    async def ab(ctx: Context) -> None:
        await hold_both(first, second)

    @command("ba", permission="public", timeout=0.1)
    async def ba(ctx: Context) -> None:
        await hold_both(second, first)

    dispatcher = Dispatcher([ab, ba])
    outcomes: list[Outcome] = []

    async def say(text: str) -> None:
        outcomes.append(await dispatcher.dispatch(said(text)))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(say, "!ab")
            tasks.start_soon(say, "!ba")
    assert "failed" in [outcome.status for outcome in outcomes]
    assert not first.locked()
    assert not second.locked()


@pytest.mark.promise("P26")
async def test_who_ignores_being_cancelled_is_reported_as_such() -> None:
    outcome = await bot(swallow_in_a_loop).dispatch(said("!hang"))
    assert isinstance(outcome.error, CommandTimeout)
    assert outcome.error.abandoned
    assert str(outcome.error) == "handler did not end within 0.1 s and ignored being cancelled"


async def test_a_late_answer_is_not_shown_as_if_it_had_been_in_time() -> None:
    outcome = await bot(swallow_once).dispatch(said("!hang"))
    assert outcome.status == "failed"
    assert outcome.reply != Reply("done")


async def test_who_stands_around_the_handler_sees_that_it_ran_out_of_time() -> None:
    seen: list[Exception] = []

    async def watches(ctx: Context, call_next: Handler) -> Reply | None:
        try:
            return await call_next(ctx)
        except Exception as error:
            seen.append(error)
            raise

    for work in (for_ever, swallow_once):
        await bot(work, Layer("watches", watches)).dispatch(said("!hang"))
    assert [str(error) for error in seen] == ["handler did not end within 0.1 s"] * 2


async def test_a_middleware_that_swallows_the_deadline_does_not_hide_it() -> None:
    async def swallows(ctx: Context, call_next: Handler) -> Reply | None:
        with contextlib.suppress(asyncio.CancelledError):
            await anyio.sleep_forever()
        return Reply("all is well")

    async def at_once() -> None:
        pass

    timed_out(await bot(at_once, Layer("swallows", swallows)).dispatch(said("!hang")), "swallows")


# -- cancelled by whoever awaits it -------------------------------------------------------------------


@both_backends
@pytest.mark.promise("P27")
@pytest.mark.parametrize("work", [for_ever, swallow_once, shielded])
async def test_a_scope_of_the_host_ends_a_command_and_itself(work: Work, anyio_backend: str) -> None:
    if work is shielded and anyio_backend == "trio":
        work = for_ever  # what is shielded from its host ends by its deadline alone
    dispatcher = bot(work, Layer("outer", passes), timeout=1.0)
    told: list[Outcome] = []
    dispatcher.observe(told.append)
    with anyio.move_on_after(0.05) as scope:
        await dispatcher.dispatch(said("!hang"))
        await anyio.lowlevel.checkpoint()
        raise AssertionError("the host's cancellation was lost")
    assert scope.cancelled_caught
    assert dispatcher.running == 0
    assert len(told) == 1
    assert (await dispatcher.dispatch(said("!ping"))).status == "ok"


@pytest.mark.promise("P26")
async def test_each_command_has_its_own_deadline_whatever_the_order() -> None:
    def hanging(name: str, timeout: float) -> Command:
        @command(name, permission="public", timeout=timeout)
        async def hang(ctx: Context) -> None:
            await anyio.sleep_forever()

        return hang

    dispatcher = Dispatcher([hanging("long", 0.3), hanging("short", 0.1), hanging("between", 0.2)])
    ended: list[tuple[str | None, float]] = []
    began = time.monotonic()
    dispatcher.observe(lambda outcome: ended.append((outcome.command, time.monotonic() - began)))
    async with anyio.create_task_group() as tasks:
        for name in ("long", "short", "between"):
            tasks.start_soon(dispatcher.dispatch, said(f"!{name}"))
    assert [name for name, _ in ended] == ["short", "between", "long"]
    assert all(due <= at < due + 0.09 for due, (_, at) in zip((0.1, 0.2, 0.3), ended, strict=True))


def test_deadlines_hold_on_a_second_loop_though_the_first_was_closed_before_its_timer_rang() -> None:
    @command("quick", permission="public", timeout=0.1)
    async def quick(ctx: Context) -> None:
        await anyio.sleep(0.001)

    dispatcher = bot(for_ever, timeout=0.2)
    dispatcher.add(quick)
    assert asyncio.run(dispatcher.dispatch(said("!quick"))).status == "ok"
    hung = asyncio.run(asyncio.wait_for(dispatcher.dispatch(said("!hang")), 5.0))
    assert (hung.status, hung.reason) == ("failed", "CommandTimeout")


@pytest.mark.promise("P27")
@pytest.mark.parametrize("work", [for_ever, swallow_once, break_while_cleaning_up, shielded])
@pytest.mark.parametrize("also_by_deadline", [False, True])
async def test_a_cancelled_task_stays_cancelled(work: Work, also_by_deadline: bool) -> None:
    dispatcher = bot(work, Layer("outer", passes), timeout=0.1)
    told: list[Outcome] = []
    dispatcher.observe(told.append)
    task = asyncio.create_task(dispatcher.dispatch(said("!hang")))
    await asyncio.sleep(0.05)
    if also_by_deadline:
        dispatcher._waiting.expire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert dispatcher.running == 0
    assert len(told) == 1
    assert told[0].status == "failed"


@pytest.mark.promise("P27")
async def test_a_deadline_inside_a_deadline_ends_the_inner_command_alone() -> None:
    inner = bot(for_ever)

    async def asks_another() -> None:
        timed_out(await inner.dispatch(said("!hang")), "handler")

    outer = bot(asks_another, timeout=5.0)
    assert (await outer.dispatch(said("!hang"))).reply == Reply("done")


@both_backends
@pytest.mark.promise("P27")
async def test_an_outer_deadline_ends_the_inner_command_too() -> None:
    inner = bot(for_ever, timeout=5.0)

    async def asks_another() -> None:
        await inner.dispatch(said("!hang"))

    outer = bot(asks_another)
    timed_out(await outer.dispatch(said("!hang")), "handler")
    assert (inner.running, outer.running) == (0, 0)


@pytest.mark.promise("P27")
async def test_cancelling_at_every_await_leaves_nothing_behind() -> None:
    lock = anyio.Lock()
    stages = [Layer("outer", passes), Layer("inner", passes, Placement("observer"))]
    unraised: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unraised.append(context))

    @command("busy", permission="public", concurrency=Concurrency(1))
    async def busy(ctx: Context) -> str:
        async with lock:
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep, 0.001)
            await anyio.lowlevel.checkpoint()
        with anyio.move_on_after(0.001):
            await anyio.sleep(1)
        return "done"

    dispatcher = Dispatcher([busy], chain=stages)
    told: list[Outcome] = []
    dispatcher.observe(told.append)
    cancelled = 0
    for step in range(1, 200):
        task = asyncio.create_task(dispatcher.dispatch(said("!busy")))
        for _ in range(step):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        cancelled += task.cancelled()
        assert len(told) == step
        assert (dispatcher.running, lock.locked(), dispatcher._waiting.commands) == (0, False, set())
        if not task.cancelled():
            assert task.result().reply == Reply("done")
            break
    assert cancelled > 10
    assert (await dispatcher.dispatch(said("!busy"))).status == "ok"
    gc.collect()
    await asyncio.sleep(0)
    assert unraised == []


async def test_a_cancellation_that_nobody_asked_for_is_an_error_like_any_other() -> None:
    async def await_a_cancelled_task() -> None:
        task = asyncio.create_task(anyio.sleep_forever())
        await asyncio.sleep(0)
        task.cancel()
        await task

    outcome = await bot(await_a_cancelled_task).dispatch(said("!hang"))
    assert (outcome.status, outcome.reason) == ("failed", "RuntimeError")
    assert "CancelledError" in str(outcome.error)


async def test_a_command_that_never_waits_needs_no_timer() -> None:
    async def at_once() -> None:
        assert not dispatcher._waiting.commands

    dispatcher = bot(at_once)
    assert (await dispatcher.dispatch(said("!hang"))).status == "ok"
