"""Work as a task of its own: whoever stops waiting for it does not end it in the middle of what must not be halved."""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

import anyio
from anyio.abc import TaskGroup

from socbot.dispatch.tasks import leave
from socbot.systems.backup.errors import Cancelled

T = TypeVar("T")


class OwnTasks:
    """Within the block, work is run as tasks of the block; at its end they are cancelled and waited for."""

    def __init__(self) -> None:
        self._tasks: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        tasks, self._tasks = self._tasks, None
        assert tasks is not None
        tasks.cancel_scope.cancel()
        return await leave(tasks, kind, error, trace)

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return what ``work`` returns, raise what it raises. If the caller is cancelled, so is the work; what it
        shields goes on, and nobody waits for it but the end of the block.

        :raises Cancelled: if the block ended first
        """
        if self._tasks is None:
            return await work()
        ended, outcome = anyio.Event(), _Outcome[T]()
        scope = anyio.CancelScope()

        async def run() -> None:
            try:
                with scope:
                    outcome.result = await work()
                    outcome.error = None
            # Carried to the one who waits; the task group is not to end for it.
            except Exception as error:
                outcome.error = error
            finally:
                ended.set()

        self._tasks.start_soon(run)
        try:
            await ended.wait()
        finally:
            scope.cancel()
        return outcome.get()


class _Outcome(Generic[T]):
    """What became of a task; that it was cancelled, unless it says otherwise."""

    result: T
    error: Exception | None

    def __init__(self) -> None:
        self.error = Cancelled()

    def get(self) -> T:
        if self.error is not None:
            raise self.error
        return self.result
