"""The chain: middleware composed once around a handler, and the rules that hold whatever a middleware does.

- ``call_next`` runs the rest at most once, and never after the middleware has returned.
- A **guard** that breaks fails closed: the command is refused. An **observer** that breaks fails open: the command
  goes on as if the observer were not there. Both are named in the trace.
- A middleware may answer in place of a refusal or a failure, but cannot make it not have happened; nor can it by
  breaking in its turn.
- In **shadow** mode a middleware decides and is overruled: what it would have done is traced.

A middleware that does not have to be wrapped around each command can say so (``Placement.acts``). Neighbours that do
run in one frame, and cost next to nothing; what they see and what they may do is the same as if each were called.
"""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, cast

from msgspec import UNSET, Struct

from socbot.dispatch.context import Context, Handler, Middleware
from socbot.dispatch.deadlines import passes_through
from socbot.dispatch.errors import GuardFailed, MiddlewareFault, Refused, UserError, describe
from socbot.dispatch.outcomes import Kind, Mode, Stage
from socbot.dispatch.replies import Reply

Acts: TypeAlias = Literal["around", "before", "on failure", "never"]

Refusing = TypeVar("Refusing", bound=BaseException)
Decision: TypeAlias = Refused | Awaitable[Refused | None] | None


class Decider(Protocol):
    """A guard that acts ``before`` a command."""

    def decide(self, ctx: Context) -> Decision:
        """None to let the command go on; the refusal; or what to await for it, where that takes time."""


async def pass_if(decision: Decision, ctx: Context, call_next: Handler) -> Reply | None:
    """The ``__call__`` of a guard that decides: refuse, or go on."""
    refusal = decision if decision is None or isinstance(decision, Refused) else await decision
    if refusal is not None:
        raise refusal
    return await call_next(ctx)


class Placement(Struct, frozen=True):
    """What a middleware is, and what an order may break: declared by its class, read by the order check.

    :param may_refuse: it refuses commands
    :param sees_refusals: what it does is about refused commands too, so guards belong inside it
    :param before: names of middleware that should come later, each with the reason
    :param after: names of middleware that should come earlier, each with the reason
    :param acts: when it has something to do: ``around`` every command, as any may; a guard ``before`` it, by its
        ``decide``; an observer only ``on failure``, when it is called with a ``call_next`` that raises what failed
        (a refusal or a person's mistake is no failure); or ``never``, where it marks a place
    """

    kind: Kind = "guard"
    may_refuse: bool = False
    sees_refusals: bool = False
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    acts: Acts = "around"


class Layer(Struct, frozen=True):
    """A middleware in its place."""

    name: str
    middleware: Middleware
    placement: Placement = Placement()
    mode: Mode = "enforce"

    @property
    def is_light(self) -> bool:
        """Whether it need not be wrapped around every command."""
        wanted = "guard" if self.placement.acts == "before" else "observer"
        return self.mode == "enforce" and self.placement.acts != "around" and self.placement.kind == wanted


class Chain:
    """One generation of the composed chain. Immutable: a new configuration makes a new one beside it."""

    __slots__ = ("generation", "layers", "marks", "run", "stages")

    def __init__(self, layers: Sequence[Layer], handler: Handler, clock: Callable[[], float], generation: int) -> None:
        """:raises ValueError: if two layers have one name"""
        names = [layer.name for layer in layers]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"middleware {name!r} stands in the chain twice")
        self.layers = tuple(layers)
        self.generation = generation
        active = [layer for layer in layers if layer.mode != "off"]
        self.stages = tuple(Stage(layer.name, layer.placement.kind, layer.mode) for layer in active)
        self.marks = 2 * len(active) + 2
        self.run = compose(active, handler, clock)


def compose(layers: Sequence[Layer], handler: Handler, clock: Callable[[], float]) -> Handler:
    """Wrap ``handler``; the first layer listed is the outermost."""
    position = len(layers)
    while position:
        end, position = position, position - 1
        if not layers[position].is_light:
            handler = _wrap(layers[position], position, handler, clock)
            continue
        while position and layers[position - 1].is_light:
            position -= 1
        handler = _row(layers[position:end], position, handler, clock)
    return handler


class _Passage:
    """The ``call_next`` of one layer for one command: a door that opens once."""

    __slots__ = ("_inner", "_layer", "closed", "rest")

    def __init__(self, inner: Handler, layer: str) -> None:
        self._inner = inner
        self._layer = layer
        self.closed = False
        self.rest: Coroutine[Any, Any, Reply | None] | None = None

    def __call__(self, ctx: Context) -> Coroutine[Any, Any, Reply | None]:
        if self.closed:
            raise MiddlewareFault(self._layer, "called call_next after it had returned")
        if self.rest is not None:
            raise MiddlewareFault(self._layer, "called call_next twice")
        self.rest = self._inner(ctx)
        return self.rest


def _wrap(layer: Layer, position: int, inner: Handler, clock: Callable[[], float]) -> Handler:
    middleware, name = layer.middleware, layer.name
    settle = _shadow if layer.mode == "shadow" else _SETTLE[layer.placement.kind]
    enforced = layer.mode == "enforce"
    entered, left, inner_left = 2 * position, 2 * position + 1, 2 * position + 3

    async def run(ctx: Context) -> Reply | None:
        times = ctx.trace.times
        passage = _Passage(inner, name)
        error: BaseException | None = None
        reply: Reply | None = None
        times[entered] = clock()
        try:
            reply = await middleware(ctx, passage)
        except BaseException as raised:
            if passes_through(raised):
                passage.closed = True
                times[left] = clock()
                ctx.held_by = ctx.held_by or name
                raise
            error = raised
        passage.closed = True
        times[left] = clock()
        if (
            error is None
            and enforced
            and times[inner_left]
            and (reply is ctx.reply or (type(reply) is Reply and ctx.reply is not UNSET))
        ):
            ctx.reply = reply  # the usual way: it passed the command on, and answers
            return reply
        try:
            return await settle(_Ended(layer, position, inner, passage, reply, error), ctx)
        finally:
            times[left] = clock()

    return run


def _row(layers: Sequence[Layer], first: int, inner: Handler, clock: Callable[[], float]) -> Handler:
    """Neighbours that need not be wrapped around every command, in one frame."""
    steps, entered = _steps(layers, first)
    left = tuple(2 * (first + number) + 1 for number in range(len(layers)))
    alarmed = [(first + number, layer) for number, layer in enumerate(layers) if layer.placement.acts == "on failure"][
        ::-1
    ]
    is_outermost = first == 0

    async def run(ctx: Context) -> Reply | None:
        times = ctx.trace.times
        try:
            for marks, decide, step in steps:
                now = clock()
                for mark in marks:
                    times[mark] = now
                try:
                    decision = decide(ctx)
                    if decision is None:
                        continue
                    refusal = decision if isinstance(decision, Refused) else await decision
                except BaseException as error:
                    return await _turned_away(step, inner, ctx, error)
                if refusal is None:
                    continue
                if is_outermost and refusal is decision:
                    # Nobody stands outside who would have to see it raised, which costs more than all the rest.
                    return _told(_refusing(step.layer, step.position, ctx, refusal))
                return await _turned_away(step, inner, ctx, refusal)
            now = clock()
            for mark in entered:
                times[mark] = now
            return await inner(ctx)
        except Exception as error:
            if not alarmed or isinstance(error, UserError):
                raise
            return await _alarm(alarmed, ctx, error, clock)
        finally:
            now = clock()
            for mark in left:
                times[mark] = now

    return run


def _told(refusal: Refused) -> Reply | None:
    try:
        return refusal.reply()
    except Exception:  # somebody else's subclass: it stays a refusal, and the dispatcher finds the words
        raise refusal from None


class _Step(Struct, frozen=True):
    """A guard that decides, in its place."""

    layer: Layer
    position: int


_Marks: TypeAlias = tuple[int, ...]
"""Which places are entered when a guard is asked: its own, and those of marks just outside it."""


def _steps(
    layers: Sequence[Layer], first: int
) -> tuple[tuple[tuple[_Marks, Callable[[Context], Decision], _Step], ...], _Marks]:
    """The guards of a row, and the places that are entered after the last of them."""
    steps = []
    entered: list[int] = []
    for position, layer in enumerate(layers, first):
        entered.append(2 * position)
        if layer.placement.acts == "before":
            steps.append((tuple(entered), cast(Decider, layer.middleware).decide, _Step(layer, position)))
            entered.clear()
    return tuple(steps), tuple(entered)


async def _turned_away(step: _Step, inner: Handler, ctx: Context, decision: object) -> Reply | None:
    """Refuse as the guard decided; if it broke, fail closed.

    :raises Refused: always, unless the task was cancelled meanwhile
    """
    name, error = step.layer.name, decision
    if not isinstance(error, BaseException):
        error = MiddlewareFault(name, f"decided {type(error).__name__}, not a Refused or None")
    if passes_through(error):
        ctx.held_by = ctx.held_by or name
        raise error
    return await _guard(_Ended(step.layer, step.position, inner, _Passage(inner, name), None, error), ctx)


async def _alarm(
    alarmed: Sequence[tuple[int, Layer]], ctx: Context, error: Exception, clock: Callable[[], float]
) -> Reply | None:
    """Call those who act on a failure, the innermost first, until one has answered for it."""
    failure: BaseException = error
    for position, layer in alarmed:
        entered = ctx.trace.times[2 * position]
        # What it wraps has ended, as far as it can tell.
        ctx.trace.times[2 * position + 3] = ctx.trace.times[2 * position + 3] or clock()
        try:
            return await _wrap(layer, position, _raising(failure), clock)(ctx)
        except Exception as raised:
            failure = raised
        finally:
            ctx.trace.times[2 * position] = entered
    raise failure


def _raising(error: BaseException) -> Handler:
    async def rest(ctx: Context) -> Reply | None:
        raise error

    return rest


class _Ended(Struct):
    """How a middleware ended that did anything but pass the command on and answer."""

    layer: Layer
    position: int
    inner: Handler
    passage: _Passage
    reply: Reply | None
    error: BaseException | None

    def fault(self, ctx: Context) -> BaseException | None:
        """What it did that no middleware may."""
        name = self.layer.name
        if self.error is not None and not isinstance(self.error, UserError):
            return self.error
        if self.left_running(ctx):
            return MiddlewareFault(name, "left the rest of the chain running")
        if self.error is not None:
            return None
        if self.passage.rest is not None and not self.rest_ended(ctx):
            return MiddlewareFault(name, "called call_next and did not wait for it")
        if self.reply is not None:
            if isinstance(self.reply, Reply):
                return None
            return MiddlewareFault(name, f"returned {type(self.reply).__name__}, not a Reply or None")
        if self.passage.rest is None:
            return MiddlewareFault(name, "neither called call_next nor answered")
        if self.cut_off(ctx):
            return MiddlewareFault(name, "ended the rest of the chain and answered nothing")
        return None

    def from_inside(self, ctx: Context) -> BaseException | None:
        """Its error, if that is the one which came from inside."""
        if self.error is None or ctx.error is None or self.passage.rest is None:
            return None
        if self.error is ctx.error:
            return ctx.error
        if isinstance(self.error, BaseExceptionGroup) and self.error.subgroup(lambda error: error is ctx.error):
            return ctx.error
        return None

    def rest_ended(self, ctx: Context) -> bool:
        return self.passage.rest is not None and ctx.trace.times[2 * self.position + 3] != 0.0

    def rest_begun(self, ctx: Context) -> bool:
        return ctx.trace.times[2 * self.position + 2] != 0.0 or self.rest_ended(ctx)

    def left_running(self, ctx: Context) -> bool:
        return self.rest_begun(ctx) and not self.rest_ended(ctx)

    def drop_rest(self) -> None:
        """Close a rest of the chain that it asked for and never began."""
        rest = self.passage.rest
        if rest is not None and inspect.getcoroutinestate(rest) == inspect.CORO_CREATED:
            rest.close()

    def cut_off(self, ctx: Context) -> bool:
        """Whether it ended what it wraps before that had come to an end, as a timeout does."""
        return self.rest_ended(ctx) and ctx.error is None and ctx.reply is UNSET

    async def overrule(self, ctx: Context) -> Reply | None:
        """Go on as if the layer were not there: run the rest if it has not run, else keep how that ended."""
        if not self.rest_begun(ctx):
            self.drop_rest()
            return await self.inner(ctx)
        if not self.rest_ended(ctx):
            raise _failing(ctx, MiddlewareFault(self.layer.name, "left the rest of the chain running"))
        if ctx.reply is not UNSET:
            return ctx.reply
        assert ctx.error is not None
        raise ctx.error


async def _guard(ended: _Ended, ctx: Context) -> Reply | None:
    """A guard decides; if it broke, the answer is no."""
    inside = ended.from_inside(ctx)
    if inside is not None:
        raise inside
    fault = ended.fault(ctx)
    if fault is None:
        return _decided(ended, ctx)
    _blame(ended, ctx, fault)
    ended.drop_rest()
    if ended.cut_off(ctx) or ended.left_running(ctx):
        raise _failing(ctx, fault)  # what it wraps had begun: that is no refusal
    if ctx.error is not None:
        raise _failing(ctx, ctx.error)
    ctx.refused_by = ended.layer.name
    raise _failing(ctx, GuardFailed(ended.layer.name, fault, ran=ctx.trace.handler_reached))


async def _observer(ended: _Ended, ctx: Context) -> Reply | None:
    """An observer that broke is as if it were not there."""
    inside = ended.from_inside(ctx)
    if inside is not None:
        raise inside
    fault = ended.fault(ctx)
    if fault is not None:
        _blame(ended, ctx, fault)
        if ended.cut_off(ctx):
            raise _failing(ctx, fault)
        return await ended.overrule(ctx)
    if ended.reply is None and ended.error is None:
        return await ended.overrule(ctx)  # it forgot to return the reply
    return _decided(ended, ctx)


async def _shadow(ended: _Ended, ctx: Context) -> Reply | None:
    """Whatever it decided is told and overruled."""
    if ended.from_inside(ctx) is None:
        fault = ended.fault(ctx)
        if fault is not None:
            _blame(ended, ctx, fault)
            if ended.cut_off(ctx):
                raise _failing(ctx, fault)
        elif isinstance(ended.error, UserError):
            reason = ended.error.reason if isinstance(ended.error, Refused) else describe(ended.error)
            ctx.trace.judge(ended.position, "would refuse")
            ctx.trace.note(ended.layer.name, f"would have refused: {reason}")
        elif ended.passage.rest is None:
            ctx.trace.note(ended.layer.name, "would have answered")
    return await ended.overrule(ctx)


def _decided(ended: _Ended, ctx: Context) -> Reply | None:
    """What a sound middleware decided: a refusal, an answer of its own, or a changed reply."""
    if ended.error is None:
        if ended.passage.rest is None:
            ctx.trace.judge(ended.position, "answered")
        elif ended.cut_off(ctx):
            ctx.trace.judge(ended.position, "answered")
            ctx.error = MiddlewareFault(ended.layer.name, "ended the rest of the chain early")
        ctx.reply = ended.reply
        return ended.reply
    ended.drop_rest()
    raise _refusing(ended.layer, ended.position, ctx, ended.error)


def _refusing(layer: Layer, position: int, ctx: Context, refusal: Refusing) -> Refusing:
    """``refusal``, remembered as the layer's."""
    ctx.trace.judge(position, "refused")
    ctx.refused_by = layer.name
    ctx.error, ctx.reply = refusal, UNSET
    return refusal


def _blame(ended: _Ended, ctx: Context, fault: BaseException) -> None:
    """Name the layer in the trace and in the outcome."""
    ctx.trace.judge(ended.position, "failed")
    ctx.trace.blame(ended.position, f"{type(fault).__name__}: {describe(fault)}")
    ctx.faults.append((ended.layer.name, fault))


def _failing(ctx: Context, error: BaseException) -> BaseException:
    """``error``, remembered as what ended the command; what was answered before is no longer its answer."""
    ctx.error, ctx.reply = error, UNSET
    return error


_SETTLE: dict[Kind, Callable[[_Ended, Context], Coroutine[Any, Any, Reply | None]]] = {
    "guard": _guard,
    "observer": _observer,
}
