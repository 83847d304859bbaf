"""Middleware that need not wrap every command do the same, and are told of in the same way, as if each did."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import anyio.lowlevel
import pytest
from msgspec.structs import replace

from socbot.dispatch.chain import Decision, Layer, Placement, pass_if
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context, Failure, Handler
from socbot.dispatch.dispatcher import Dispatcher
from socbot.dispatch.errors import InvalidArgument, Refused, UserError
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.testing import said


class Guard:
    """A guard that can be asked, or wrapped around a command."""

    placement = Placement("guard", acts="before")

    def __init__(self, decide: Callable[[Context], Decision]) -> None:
        self.decide = decide

    async def __call__(self, ctx: Context, call_next: Handler) -> Reply | None:
        return await pass_if(self.decide(ctx), ctx, call_next)


class OnFailure:
    placement = Placement("observer", acts="on failure")

    def __init__(self, act: Callable[[Context, Exception], Reply]) -> None:
        self._act = act

    async def __call__(self, ctx: Context, call_next: Handler) -> Reply | None:
        try:
            return await call_next(ctx)
        except UserError:
            raise
        except Exception as error:
            await anyio.lowlevel.checkpoint()
            return self._act(ctx, error)


class Mark:
    placement = Placement("observer", acts="never")

    async def __call__(self, ctx: Context, call_next: Handler) -> Reply | None:
        return await call_next(ctx)


class Around:
    placement = Placement("observer")

    async def __call__(self, ctx: Context, call_next: Handler) -> Reply | None:
        reply = await call_next(ctx)
        return Reply(f"{reply.text}!") if reply else None


class Speechless(Refused):
    def reply(self) -> Reply | None:
        raise RuntimeError("no words")


def passes(ctx: Context) -> Decision:
    return None


def refuses(ctx: Context) -> Decision:
    return Refused("no", Reply("no"))


def refuses_without_words(ctx: Context) -> Decision:
    return Speechless("no")


def raises_its_refusal(ctx: Context) -> Decision:
    raise Refused("raised", Reply("no"))


def breaks(ctx: Context) -> Decision:
    raise ValueError("broken guard")


def exits(ctx: Context) -> Decision:
    raise SystemExit


def refuses_later(ctx: Context) -> Decision:
    async def refusal() -> Refused:
        await anyio.lowlevel.checkpoint()
        return Refused("later", Reply("no"))

    return refusal()


def passes_later(ctx: Context) -> Decision:
    async def nothing() -> None:
        await anyio.lowlevel.checkpoint()

    return nothing()


def breaks_later(ctx: Context) -> Decision:
    async def refusal() -> Refused:
        await anyio.lowlevel.checkpoint()
        raise KeyError("broken guard")

    return refusal()


def captures(ctx: Context, error: Exception) -> Reply:
    ctx.failure = Failure("E-1", error)
    return Reply("quote E-1")


def answers(ctx: Context, error: Exception) -> Reply:
    return Reply("never mind")


def breaks_too(ctx: Context, error: Exception) -> Reply:
    raise KeyError("while handling it")


def looks_on(ctx: Context, error: Exception) -> Reply:
    raise error


GUARDS = [refuses, refuses_without_words, raises_its_refusal, breaks, exits, refuses_later, breaks_later]
PARTS: list[Callable[[], Any]] = [
    *[lambda decide=decide: Guard(decide) for decide in [passes] * 12 + [passes_later] * 2 + GUARDS],
    *[lambda act=act: OnFailure(act) for act in [captures, answers, breaks_too, looks_on] * 2],
    *[Mark, Around] * 4,
]


def chain(parts: Sequence[Any], *, light: bool) -> list[Layer]:
    return [
        Layer(f"m{position}", part, part.placement if light else replace(part.placement, acts="around"))
        for position, part in enumerate(parts)
    ]


async def told(parts: Sequence[Any], text: str, *, light: bool) -> list[object]:
    runs = 0

    @command("go", permission="public")
    async def go(ctx: Context, how: str) -> Reply:
        nonlocal runs
        runs += 1
        if how == "fail":
            raise ValueError("broken handler")
        if how == "mistake":
            raise InvalidArgument("how", how, "right")
        return Reply("done")

    dispatcher, outcomes = Dispatcher([go], chain=chain(parts, light=light)), list[Outcome]()
    dispatcher.observe(outcomes.append)
    outcome = await dispatcher.dispatch(said(text))
    assert outcomes == [outcome]
    assert dispatcher.running == 0
    assert outcome.trace is not None
    return [
        outcome.status,
        outcome.refused_by,
        outcome.reason,
        outcome.error_id,
        outcome.reply,
        type(outcome.error),
        runs,
        [(name, type(error)) for name, error in outcome.faults],
        outcome.trace.blamed,
        outcome.trace.handler_reached,
        [(step.name, step.verdict, step.fault) for step in outcome.trace.steps],
    ]


@pytest.mark.promise("P24")
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_2000_chains_end_as_they_would_with_each_middleware_wrapped(
    anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    random = Random(24)
    for _ in range(2_000 if anyio_backend == "asyncio" else 500):
        parts = [random.choice(PARTS)() for _ in range(random.randint(0, 7))]
        text = f"!go {random.choice(['well', 'fail', 'mistake'])}"
        shown = (text, [getattr(part, "decide", getattr(part, "_act", part)) for part in parts])
        assert await told(parts, text, light=True) == await told(parts, text, light=False), shown


async def test_times_are_kept_of_what_is_not_wrapped() -> None:
    dispatcher = Dispatcher(chain=chain([Guard(passes), Mark(), OnFailure(captures), Around()], light=True))

    @dispatcher.command("go", permission="public")
    async def go(ctx: Context) -> None:
        await anyio.sleep(0.002)

    trace = (await dispatcher.dispatch(said("!go"))).trace
    assert trace is not None
    assert all(step.seconds >= trace.handler_seconds >= 0.001 for step in trace.steps)
    assert all(step.own_seconds < 0.001 for step in trace.steps)
