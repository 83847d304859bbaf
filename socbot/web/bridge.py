"""From the server's thread to the bot's event loop and back, without the one ever holding up the other."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import current_token

from socbot.dispatch.tasks import leave
from socbot.web.gate import LoopBusy

T = TypeVar("T")

ENDING = "The bot is shutting down."


class _Call:
    """A function that is to be called over there, and what comes of it."""

    def __init__(self, function: Callable[..., Awaitable[Any]], arguments: tuple[object, ...]) -> None:
        self.function, self.arguments = function, arguments
        self.future: Future[Any] = Future()
        self.scope: anyio.CancelScope | None = None
        self.given_up = False


class Bridge:
    """Calls functions on the event loop on which it is entered, as an async context manager.

    AnyIO's portal would do, but that it has who calls wait, with its whole thread, until the loop has taken the call:
    with a loop that stands still, nothing would be answered at all.
    """

    def __init__(self) -> None:
        self._tasks: TaskGroup | None = None
        self._news: deque[_Call] = deque()
        self._wake = anyio.Event()
        self._closed = False
        self._post: Callable[[Callable[[], object]], object] = lambda call: None

    async def __aenter__(self) -> Self:
        loop = cast(Any, current_token().native_token)
        self._post = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon
        self._wake, self._tasks = anyio.Event(), anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._serve, self._tasks)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self.close()
        assert self._tasks is not None
        return await leave(self._tasks, kind, error, traceback)

    def close(self) -> None:
        """Take no more calls, and cancel those under way; on its own loop."""
        self._closed = True
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()
        while self._news:
            call = self._news.popleft()
            if not call.given_up and call.scope is None and call.future.set_running_or_notify_cancel():
                self._refuse(call)

    async def ask(self, patience: float, function: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """What ``function`` gives, called over there; from any asyncio loop, which goes on meanwhile.

        :param patience: seconds after which the call is cancelled
        :raises LoopBusy: if that takes longer, or the bot is ending
        """
        call = _Call(function, arguments)
        self._send(call)
        try:
            async with asyncio.timeout(patience):
                found: T = await asyncio.wrap_future(call.future)
                return found
        except TimeoutError:
            if call.future.done() and not call.future.cancelled():
                raise  # it is the function's own
            raise LoopBusy(f"The bot did not answer within {patience:g} s.") from None
        finally:
            if not call.future.done() or call.future.cancelled():
                call.given_up = True
                with suppress(LoopBusy):
                    self._send(call)

    def _send(self, call: _Call) -> None:
        self._news.append(call)
        try:
            self._post(self._look)
        except RuntimeError as error:  # that loop has ended
            raise LoopBusy(ENDING) from error

    # -- on the loop ----------------------------------------------------------------------------------

    def _look(self) -> None:
        if self._closed:
            self.close()
        self._wake.set()

    async def _serve(self, tasks: TaskGroup) -> None:
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            while self._news:
                call = self._news.popleft()
                if call.scope is not None:  # it has begun, and is to end
                    call.scope.cancel()
                elif not call.given_up and call.future.set_running_or_notify_cancel():
                    tasks.start_soon(self._make, call)

    async def _make(self, call: _Call) -> None:
        try:
            with anyio.CancelScope() as call.scope:
                if call.given_up:
                    return
                call.future.set_result(await call.function(*call.arguments))
        except Exception as error:  # a boundary: it belongs to whoever asked
            call.future.set_exception(error)
        finally:
            self._refuse(call)  # which it is not, unless it was cancelled

    @staticmethod
    def _refuse(call: _Call) -> None:
        if not call.future.done():
            call.future.set_exception(LoopBusy(ENDING))
