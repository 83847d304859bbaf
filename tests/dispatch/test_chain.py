"""The rules of the chain, whatever its middleware do."""

import asyncio
import re
from collections.abc import Callable
from random import Random
from typing import TypeAlias

import anyio
import anyio.lowlevel
import pytest

from socbot.dispatch.chain import Chain, Layer, Placement, compose
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context, Handler, Middleware
from socbot.dispatch.dispatcher import Dispatcher
from socbot.dispatch.errors import GuardFailed, MiddlewareFault, Refused, UserError
from socbot.dispatch.outcomes import Kind, Mode, Outcome
from socbot.dispatch.replies import Reply
from socbot.testing import said

both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

DONE = Reply("done")
KINDS: tuple[Kind, ...] = ("guard", "observer")


async def passes(ctx: Context, call_next: Handler) -> Reply | None:
    return await call_next(ctx)


def layer(middleware: Middleware, kind: Kind = "guard", mode: Mode = "enforce", name: str = "") -> Layer:
    return Layer(name or middleware.__name__, middleware, Placement(kind), mode)


class Bench:
    """A dispatcher with one command, whose runs it counts."""

    def __init__(self, *layers: Layer) -> None:
        self.runs = 0

        @command("go", permission="public")
        async def go(ctx: Context) -> Reply:
            self.runs += 1
            return DONE

        @command("stop", permission="public")
        async def stop(ctx: Context) -> Reply:
            self.runs += 1
            raise ValueError("broken")

        self.told: list[Outcome] = []
        self.dispatcher = Dispatcher([go, stop], chain=layers)
        self.dispatcher.observe(self.told.append)

    async def say(self, text: str = "!go") -> Outcome:
        outcome = await self.dispatcher.dispatch(said(text))
        assert self.told[-1:] == [outcome]
        return outcome


def steps_of(outcome: Outcome) -> dict[str, str]:
    assert outcome.trace is not None
    return {step.name: step.verdict for step in outcome.trace.steps}


# -- composing ----------------------------------------------------------------------------------------


async def test_the_first_layer_is_the_outermost() -> None:
    order: list[str] = []

    def named(name: str) -> Layer:
        async def middleware(ctx: Context, call_next: Handler) -> Reply | None:
            order.append(f"into {name}")
            reply = await call_next(ctx)
            order.append(f"out of {name}")
            return reply

        return layer(middleware, name=name)

    bench = Bench(named("a"), named("b"))
    assert (await bench.say()).reply == DONE
    assert order == ["into a", "into b", "out of b", "out of a"]


async def test_no_layers_leave_the_handler_as_it_is() -> None:
    async def handler(ctx: Context) -> Reply | None:
        return DONE

    assert compose([], handler, lambda: 1.0) is handler


def test_two_layers_of_one_name_are_refused() -> None:
    async def handler(ctx: Context) -> Reply | None:
        return DONE

    with pytest.raises(ValueError, match="'passes' stands in the chain twice"):
        Chain([layer(passes), layer(passes)], handler, lambda: 1.0, 1)


async def test_a_trace_has_each_stage_with_its_own_time() -> None:
    bench = Bench(layer(passes, name="a"), layer(passes, "observer", name="b"))
    trace = (await bench.say()).trace
    assert trace is not None
    assert [step.verdict for step in trace.steps] == ["passed", "passed"]
    first, second = trace.steps
    assert first.seconds >= second.seconds >= trace.handler_seconds > 0
    assert first.own_seconds <= first.seconds
    assert trace.handler_reached


async def test_facts_of_the_trace_survive_words_that_cannot_be_found() -> None:
    class Wordless:
        def __str__(self) -> str:
            raise RuntimeError("no words")

    async def notes(ctx: Context, call_next: Handler) -> Reply | None:
        ctx.trace.note("notes", Wordless())
        ctx.trace.note("notes", 7)
        return await call_next(ctx)

    outcome = await Bench(layer(notes)).say()
    assert outcome.trace is not None
    assert outcome.trace.steps[0].note == "a Wordless that cannot be put into words; 7"


# -- guards fail closed, observers fail open ----------------------------------------------------------


class NotAnException(BaseException):
    pass


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


FAILURES: list[Callable[[], BaseException]] = [
    lambda: ValueError("wrong"),
    NotAnException,
    lambda: ExceptionGroup("several", [ValueError("one"), KeyError("two")]),
    lambda: BaseExceptionGroup("several", [NotAnException(), KeyError("two")]),
    lambda: SystemExit(3),
    asyncio.CancelledError,
    Wordless,
    StopAsyncIteration,
]


def breaking(error: BaseException, when: str) -> Middleware:
    async def breaks(ctx: Context, call_next: Handler) -> Reply | None:
        if when == "before":
            raise error
        await call_next(ctx)
        raise error

    return breaks


@both_backends
@pytest.mark.promise("P24")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("make", FAILURES)
async def test_a_guard_that_breaks_refuses(make: Callable[[], BaseException], when: str) -> None:
    error = make()
    bench = Bench(layer(passes, name="outer"), layer(breaking(error, when)), layer(passes, name="inner"))
    outcome = await bench.say()
    assert (outcome.status, outcome.refused_by, outcome.reason) == ("refused", "breaks", "guard failed")
    assert outcome.faults == (("breaks", error),)
    assert isinstance(outcome.error, GuardFailed)
    assert outcome.trace is not None
    assert outcome.trace.blamed == ("breaks",)
    assert steps_of(outcome)["breaks"] == "failed"
    assert bench.runs == (when == "after")
    assert outcome.reply is not None
    assert ("may have run" in outcome.reply.text) == (when == "after")
    assert len(bench.told) == 1


@both_backends
@pytest.mark.promise("P24")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("make", FAILURES)
async def test_an_observer_that_breaks_is_as_if_it_were_not_there(make: Callable[[], BaseException], when: str) -> None:
    error = make()
    bench = Bench(layer(passes, name="outer"), layer(breaking(error, when), "observer"), layer(passes, name="inner"))
    outcome = await bench.say()
    assert (outcome.status, outcome.reply) == ("ok", DONE)
    assert outcome.faults == (("breaks", error),)
    assert outcome.trace is not None
    assert outcome.trace.blamed == ("breaks",)
    assert bench.runs == 1
    assert len(bench.told) == 1


@pytest.mark.promise("P24")
@pytest.mark.parametrize("kind", KINDS)
async def test_what_breaks_after_a_failure_does_not_take_its_place(kind: Kind) -> None:
    async def breaks(ctx: Context, call_next: Handler) -> Reply | None:
        try:
            return await call_next(ctx)
        except ValueError as error:
            raise KeyError("while handling it") from error

    outcome = await Bench(layer(breaks, kind)).say("!stop")
    assert (outcome.status, outcome.reason) == ("failed", "ValueError")
    assert [name for name, _ in outcome.faults] == ["breaks"]


@pytest.mark.parametrize("kind", KINDS)
async def test_what_comes_from_inside_is_nobodys_fault_on_the_way_out(kind: Kind) -> None:
    async def groups(ctx: Context, call_next: Handler) -> Reply | None:
        replies: list[Reply | None] = []

        async def rest() -> None:
            replies.append(await call_next(ctx))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rest)
        return replies[0]

    bench = Bench(layer(groups, kind))
    assert (await bench.say()).reply == DONE
    outcome = await bench.say("!stop")
    assert (outcome.status, outcome.reason, outcome.faults) == ("failed", "ValueError", ())


async def test_an_answer_in_place_of_a_failure_leaves_it_a_failure() -> None:
    async def soothes(ctx: Context, call_next: Handler) -> Reply | None:
        try:
            return await call_next(ctx)
        except ValueError:
            return Reply("never mind")

    outcome = await Bench(layer(passes, name="outer"), layer(soothes)).say("!stop")
    assert (outcome.status, outcome.reason, outcome.reply) == ("failed", "ValueError", Reply("never mind"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", [None, Reply("too slow")])
async def test_ending_the_rest_early_is_no_success(kind: Kind, answer: Reply | None) -> None:
    async def impatient(ctx: Context, call_next: Handler) -> Reply | None:
        with anyio.move_on_after(0):
            return await call_next(ctx)
        return answer

    async def waits(ctx: Context, call_next: Handler) -> Reply | None:
        await anyio.sleep_forever()
        return await call_next(ctx)

    bench = Bench(layer(impatient, kind), layer(waits))
    outcome = await bench.say()
    assert (outcome.status, outcome.reason, bench.runs) == ("failed", "MiddlewareFault", 0)
    assert "'impatient' ended the rest of the chain" in str(outcome.error)
    if answer is not None:
        assert outcome.reply == answer


async def test_a_refusal_that_was_not_built_right_is_still_one() -> None:
    class Careless(Refused):
        def __init__(self) -> None:
            pass

    async def refuses(ctx: Context, call_next: Handler) -> Reply | None:
        raise Careless

    outcome = await Bench(layer(refuses)).say()
    assert (outcome.status, outcome.refused_by, outcome.reply) == ("refused", "refuses", None)


@pytest.mark.parametrize("error", [Wordless, UserError])
async def test_an_error_without_words_still_ends_in_one_outcome(error: type[Exception]) -> None:
    class Speechless(UserError):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    @command("bad", permission="public")
    async def bad(ctx: Context) -> None:
        raise Speechless if error is UserError else error

    dispatcher = Dispatcher([bad])
    outcome = await dispatcher.dispatch(said("!bad"))
    assert outcome.status == ("invalid" if error is UserError else "failed")
    assert outcome.reply == Reply.error("That failed.")
    assert dispatcher.running == 0


# -- shadow and off -----------------------------------------------------------------------------------


async def refuses(ctx: Context, call_next: Handler) -> Reply | None:
    raise Refused("not today", Reply("no"))


async def answers(ctx: Context, call_next: Handler) -> Reply | None:
    return Reply("mine")


async def changes(ctx: Context, call_next: Handler) -> Reply | None:
    await call_next(ctx)
    return Reply("changed")


async def forgets(ctx: Context, call_next: Handler) -> Reply | None:
    call_next(ctx)  # type: ignore[unused-coroutine]
    return None


async def forgets_and_breaks(ctx: Context, call_next: Handler) -> Reply | None:
    call_next(ctx)  # type: ignore[unused-coroutine]
    raise ValueError("broken")


@both_backends
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("middleware", "verdict", "note"),
    [
        (refuses, "would refuse", "would have refused: not today"),
        (answers, "passed", "would have answered"),
        (changes, "passed", ""),
        (forgets, "failed", ""),
        (forgets_and_breaks, "failed", ""),
        (breaking(SystemExit(), "before"), "failed", ""),
        (breaking(KeyError(), "after"), "failed", ""),
    ],
)
async def test_what_is_in_shadow_mode_is_told_and_overruled(
    middleware: Middleware, verdict: str, note: str, kind: Kind
) -> None:
    bench = Bench(layer(middleware, kind, "shadow", "shaded"), layer(passes, name="inner"))
    outcome = await bench.say()
    assert (outcome.status, outcome.reply, bench.runs) == ("ok", DONE, 1)
    assert outcome.trace is not None
    (step, _) = outcome.trace.steps
    assert (step.verdict, step.note, step.mode) == (verdict, note, "shadow")
    assert outcome.trace.would_refuse == (("shaded",) if verdict == "would refuse" else ())


async def test_shadow_mode_does_not_soothe_what_fails_inside() -> None:
    async def soothes(ctx: Context, call_next: Handler) -> Reply | None:
        try:
            return await call_next(ctx)
        except ValueError:
            return Reply("never mind")

    outcome = await Bench(layer(soothes, mode="shadow")).say("!stop")
    assert (outcome.status, outcome.reason, outcome.faults) == ("failed", "ValueError", ())


async def test_what_is_off_is_not_in_the_chain() -> None:
    bench = Bench(layer(refuses, mode="off"), layer(passes))
    outcome = await bench.say()
    assert outcome.status == "ok"
    assert list(steps_of(outcome)) == ["passes"]
    assert [each.name for each in bench.dispatcher.chain.layers] == ["refuses", "passes"]


# -- call_next runs the rest at most once -------------------------------------------------------------


async def twice(ctx: Context, call_next: Handler) -> Reply | None:
    await call_next(ctx)
    return await call_next(ctx)


async def never(ctx: Context, call_next: Handler) -> Reply | None:
    return None


async def at_once(ctx: Context, call_next: Handler) -> Reply | None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call_next, ctx)
        tasks.start_soon(call_next, ctx)
    return None


async def later(ctx: Context, call_next: Handler) -> Reply | None:
    reply = await call_next(ctx)
    LATER.append((ctx, call_next))
    return reply


async def nonsense(ctx: Context, call_next: Handler) -> Reply | None:
    return 42  # type: ignore[return-value]


async def nonsense_after(ctx: Context, call_next: Handler) -> Reply | None:
    return str(await call_next(ctx))  # type: ignore[return-value]


async def swallows(ctx: Context, call_next: Handler) -> Reply | None:
    try:
        return await call_next(ctx)
    except Exception:
        return Reply("swallowed")


async def forgets_and_answers(ctx: Context, call_next: Handler) -> Reply | None:
    call_next(ctx)  # type: ignore[unused-coroutine]
    return Reply("mine")


LATER: list[tuple[Context, Handler]] = []
BEHAVIOURS: list[Middleware] = [
    passes, twice, never, at_once, later, forgets, nonsense, nonsense_after, swallows, changes, answers, refuses,
    forgets_and_answers, forgets_and_breaks,
]  # fmt: skip

Model: TypeAlias = tuple[str, str, Reply | None, int, list[str]]
"""Status, who refused, the reply, the handler's runs, and who is blamed."""


def expected(chain: list[tuple[Middleware, Kind, str]]) -> Model:
    """What the rules say of a chain, worked out from its inside."""
    if not chain:
        return ("ok", "", DONE, 1, [])
    (middleware, kind, name), inner = chain[0], expected(chain[1:])
    status, refused_by, reply, runs, blamed = inner
    raises = status != "ok" and reply is None
    blamed_too = [*blamed, name]
    if middleware is passes or middleware is later:
        return inner
    if middleware is answers:
        return ("ok", "", Reply("mine"), 0, [])
    if middleware is refuses:
        return ("refused", name, None, 0, [])
    if middleware in (never, nonsense, forgets, forgets_and_answers, forgets_and_breaks):
        return (
            (status, refused_by, reply, runs, blamed_too) if kind == "observer" else ("refused", name, None, 0, [name])
        )
    if middleware is swallows:
        return (status, refused_by, Reply("swallowed"), runs, blamed) if raises else inner
    if raises:
        return inner
    if middleware is changes:
        return (status, refused_by, Reply("changed"), runs, blamed)
    # What is left breaks once the rest has ended: twice, at_once, nonsense_after.
    if status != "ok":
        return (status, refused_by, reply if kind == "observer" else None, runs, blamed_too)
    return (
        (status, refused_by, reply, runs, blamed_too)
        if kind == "observer"
        else ("refused", name, None, runs, blamed_too)
    )


def compare(outcome: Outcome, runs: int, chain: list[tuple[Middleware, Kind, str]]) -> None:
    status, refused_by, reply, expected_runs, blamed = expected(chain)
    shown = [(middleware.__name__, kind) for middleware, kind, _ in chain]
    assert (outcome.status, outcome.refused_by or "") == (status, refused_by), shown
    assert runs == expected_runs, shown
    assert sorted(name for name, _ in outcome.faults) == sorted(blamed), shown
    assert outcome.trace is not None
    assert sorted(outcome.trace.blamed) == sorted(blamed), shown
    if reply is not None:
        assert outcome.reply == reply, shown


def generated(random: Random) -> list[tuple[Middleware, Kind, str]]:
    return [
        (random.choice(BEHAVIOURS) if random.random() < 0.5 else passes, random.choice(KINDS), f"m{position}")
        for position in range(random.randint(0, 8))
    ]


@both_backends
@pytest.mark.promise("P25")
async def test_5000_generated_chains_do_what_the_rules_say(anyio_backend: str) -> None:
    random = Random(25)
    LATER.clear()
    for _ in range(5_000 if anyio_backend == "asyncio" else 1_000):
        chain = generated(random)
        bench = Bench(*(layer(middleware, kind, name=name) for middleware, kind, name in chain))
        compare(await bench.say(), bench.runs, chain)
    assert len(LATER) > 50
    for ctx, call_next in LATER:
        with pytest.raises(MiddlewareFault, match="called call_next after it had returned"):
            await call_next(ctx)
    LATER.clear()


@pytest.mark.promise("P25")
@pytest.mark.parametrize("middleware", [twice, at_once])
async def test_calling_twice_is_an_error_that_names_the_middleware(middleware: Middleware) -> None:
    bench = Bench(layer(middleware, name="greedy"))
    outcome = await bench.say()
    assert (outcome.status, outcome.refused_by, bench.runs) == ("refused", "greedy", 1)
    ((name, fault),) = outcome.faults
    assert name == "greedy"
    single = fault.exceptions[0] if isinstance(fault, BaseExceptionGroup) else fault
    assert isinstance(single, MiddlewareFault)
    assert single.layer == "greedy"
    assert str(single) == "middleware 'greedy' called call_next twice"


@both_backends
@pytest.mark.promise("P25")
async def test_concurrent_calls_run_a_slow_handler_once() -> None:
    runs = 0

    @command("slow", permission="public")
    async def slow(ctx: Context) -> str:
        nonlocal runs
        runs += 1
        await anyio.sleep(0.01)
        return "slow"

    dispatcher = Dispatcher([slow], chain=[layer(at_once)])
    outcome = await dispatcher.dispatch(said("!slow"))
    assert (outcome.status, runs) == ("failed", 1)
    assert [name for name, _ in outcome.faults] == ["at_once"]


@pytest.mark.promise("P25")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_rest_that_is_left_running_reaches_no_handler_once_there_is_an_outcome(kind: Kind) -> None:
    tasks: list[asyncio.Task[Reply | None]] = []

    async def leaves(ctx: Context, call_next: Handler) -> Reply | None:
        tasks.append(asyncio.create_task(call_next(ctx)))
        await asyncio.sleep(0)
        return Reply("mine")

    async def pauses(ctx: Context, call_next: Handler) -> Reply | None:
        await asyncio.sleep(0.01)
        return await call_next(ctx)

    bench = Bench(layer(leaves, kind), layer(pauses))
    outcome = await bench.say()
    assert (outcome.status, [name for name, _ in outcome.faults]) == ("failed", ["leaves"])
    with pytest.raises(RuntimeError, match="had ended before its handler was reached"):
        await tasks[0]
    assert bench.runs == 0


@both_backends
@pytest.mark.promise("P25")
async def test_one_chain_serves_100_messages_at_once_unmixed() -> None:
    @command("echo", permission="public")
    async def echo(ctx: Context, word: str) -> str:
        await anyio.lowlevel.checkpoint()
        return word

    async def labels(ctx: Context, call_next: Handler) -> Reply | None:
        await anyio.lowlevel.checkpoint()
        ctx.trace.note("labels", ctx.argument_text)
        reply = await call_next(ctx)
        await anyio.lowlevel.checkpoint()
        return Reply(f"{ctx.identity[1]}: {reply.text if reply else ''}")

    async def odd_ones_out(ctx: Context, call_next: Handler) -> Reply | None:
        await anyio.lowlevel.checkpoint()
        if int(ctx.argument_text) % 2:
            raise Refused("odd", Reply(ctx.argument_text))
        return await call_next(ctx)

    dispatcher = Dispatcher([echo], chain=[layer(odd_ones_out), layer(labels, "observer")])
    outcomes: dict[int, Outcome] = {}

    async def say(number: int) -> None:
        outcomes[number] = await dispatcher.dispatch(said(f"!echo {number}", f"u{number}"))

    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(say, number)
    for number, outcome in outcomes.items():
        assert outcome.reply is not None
        if number % 2:
            assert (outcome.status, outcome.reply.text) == ("refused", str(number))
        else:
            assert (outcome.status, outcome.reply.text) == ("ok", f"u{number}: {number}")
            assert outcome.trace is not None
            assert outcome.trace.steps[1].note == str(number)
    ids = {outcome.trace.id for outcome in outcomes.values() if outcome.trace}
    assert len(ids) == 100
    assert all(re.fullmatch(r"T-[0-9A-Z]{6,8}", each) for each in ids)
