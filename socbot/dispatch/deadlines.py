"""Every command ends: by itself, by its deadline, or by being closed.

On asyncio a command that never suspends costs nothing here. All that do share one timer. A command whose deadline has
come is cancelled, and has a grace to clean up. If it swallows that and goes on, its coroutine is cancelled again
wherever it waits and at last closed: its ``finally`` blocks run, and it is never resumed.

On trio the same deadline is a cancel scope. Trio gives no way to take a coroutine out of its task, so a command that
goes on swallowing its cancellation is reported when it ends; until then it holds the task that awaits it.

A command that swallows its cancellation and still comes to an end has not ended in time: its answer is not shown.
"""

import asyncio
from collections.abc import Coroutine, Generator, Iterator
from typing import Any, Generic, TypeVar

import anyio

from socbot.dispatch.context import Context
from socbot.dispatch.errors import CommandTimeout

T = TypeVar("T")

GRACE = 1.0
"""Seconds that a cancelled command has to clean up."""

_PERSISTENCE = 100
"""How often a command that swallows its cancellation is cancelled before it is closed."""

_undead: list[object] = []
"""Coroutines that swallowed even their closing; kept, so that collecting them does not raise somewhere else."""


def passes_through(error: BaseException) -> bool:
    """Whether ``error`` is nobody's fault and must go on: this task's cancellation, Ctrl-C, a coroutine's closing.

    A CancelledError that somebody raised though nothing cancelled the task is an error like any other.
    """
    if isinstance(error, Exception):
        return False
    if isinstance(error, asyncio.CancelledError):
        if not on_asyncio():
            return False
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    if isinstance(error, (KeyboardInterrupt, GeneratorExit)):
        return True
    return not on_asyncio() and isinstance(error, anyio.get_cancelled_exc_class())


def on_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class Waiting:
    """The commands that wait, and on asyncio one timer for all: one for each would be most of what waiting costs."""

    def __init__(self) -> None:
        self.commands: set[Deadline[Any] | _Scope] = set()
        self._loop: asyncio.AbstractEventLoop
        self._timer: asyncio.TimerHandle | None = None

    def expire(self) -> None:
        """End all of them early."""
        for command in tuple(self.commands):
            command.expire()

    def ring(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """Look at ``due`` which of them have to end; the timer that is set for another moment before will do."""
        if self._timer is not None:
            if self._loop is loop and self._timer.when() <= due:
                return
            self._timer.cancel()
        self._loop = loop
        self._timer = loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for command in tuple(self.commands):
            if command.due <= now:
                command.expire()
        if self.commands:
            self.ring(self._loop, min(command.due for command in self.commands))


class Deadline(Generic[T]):
    """Await it to run ``coroutine``, which has begun and waits for ``pending``, for at most ``seconds`` on asyncio.

    :raises CommandTimeout: if its cancellation ended it, or it had to be closed
    """

    __slots__ = ("_cancels", "_coroutine", "_ctx", "_hosts", "_pending", "_seconds", "_task", "_waiting", "due")

    def __init__(
        self, ctx: Context, coroutine: Coroutine[Any, Any, T], pending: Any, seconds: float, waiting: Waiting
    ) -> None:
        self._ctx = ctx
        self._coroutine = coroutine
        self._pending = pending
        self._seconds = seconds
        self._waiting = waiting
        self._cancels = 0
        self._hosts: asyncio.CancelledError | None = None
        self._task: asyncio.Task[Any]
        self.due: float

    def expire(self) -> None:
        """Cancel the command now, and again, for good, once its grace is over."""
        if not self._ctx.expired:
            self._ctx.expired = True
            self._ctx.held_by = self._ctx.trace.innermost
        self._cancels += 1
        self._be_ended_in(GRACE)
        self._task.cancel()

    def _be_ended_in(self, seconds: float) -> None:
        loop = self._task.get_loop()
        self.due = loop.time() + seconds
        self._waiting.ring(loop, self.due)

    def __await__(self) -> Generator[Any, Any, T]:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._be_ended_in(self._seconds)
        self._waiting.commands.add(self)
        cancelling = task.cancelling()
        ended: BaseException | None = None
        try:
            result = yield from self._steps(self._pending, cancelling)
        except (GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            ended = error
        finally:
            self._waiting.commands.discard(self)
            for _ in range(self._cancels):
                task.uncancel()
        if task.cancelling() > cancelling:
            # Whoever awaits the command was cancelled; the command may have swallowed that, or ended otherwise.
            raise self._hosts or asyncio.CancelledError()
        if ended is None:
            return result
        if self._cancels and isinstance(ended, asyncio.CancelledError):
            raise CommandTimeout(self._seconds, self._ctx.held_by) from None
        try:
            raise ended
        finally:
            del ended  # it holds this frame: without this the two keep each other until the collector comes by

    def _steps(self, pending: Any, cancelling: int) -> Generator[Any, Any, T]:
        while True:
            try:
                try:
                    value = yield pending
                except GeneratorExit:
                    self._coroutine.close()
                    raise
                except BaseException as error:
                    if (
                        isinstance(error, asyncio.CancelledError)
                        and self._task.cancelling() > cancelling + self._cancels
                    ):
                        self._hosts = error
                    pending = self._throw(error)
                else:
                    pending = self._coroutine.send(value)
            except StopIteration as done:
                result: T = done.value
                return result

    def _throw(self, error: BaseException) -> Any:
        if self._cancels < 2:
            return self._coroutine.throw(error)
        where = self._ctx.trace.innermost
        for _ in range(_PERSISTENCE):
            try:
                self._coroutine.throw(asyncio.CancelledError())
            except asyncio.CancelledError:
                break
        else:
            suspended = list(_suspended(self._coroutine))
            try:
                self._coroutine.close()
            except Exception:  # its clean-up broke, or it will not even be closed: it is left behind either way
                _undead.extend(suspended)
        raise CommandTimeout(self._seconds, where, abandoned=True)


def _suspended(coroutine: object) -> Iterator[object]:
    """``coroutine``, what it awaits, what that awaits, …"""
    awaited: object = coroutine
    while awaited is not None:
        yield awaited
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)


class _Scope:
    """The same on trio, as far as trio lets it be done."""

    def __init__(self, ctx: Context, seconds: float) -> None:
        self._ctx = ctx
        self.due = anyio.current_time() + seconds
        self.scope = anyio.CancelScope(deadline=self.due)

    def expire(self) -> None:
        self._ctx.expired = True
        self.scope.cancel()


async def within_on_asyncio(ctx: Context, coroutine: Coroutine[Any, Any, T], seconds: float, waiting: Waiting) -> T:
    """Run ``coroutine`` for at most ``seconds``; while it waits, ``waiting`` holds what can end it early.

    :raises CommandTimeout: if it did not end in time
    """
    try:
        pending = coroutine.send(None)
    except StopIteration as done:  # it never waited
        result: T = done.value
        return result
    return await Deadline(ctx, coroutine, pending, seconds, waiting)


async def within_on_trio(ctx: Context, coroutine: Coroutine[Any, Any, T], seconds: float, waiting: Waiting) -> T:
    """The same on trio."""
    scoped = _Scope(ctx, seconds)
    waiting.commands.add(scoped)
    try:
        with scoped.scope:
            return await coroutine
    finally:
        waiting.commands.discard(scoped)
        ctx.expired = ctx.expired or scoped.scope.cancel_called
    raise CommandTimeout(seconds, ctx.held_by)
