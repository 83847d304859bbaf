"""Making checks: all at once, each with its deadline, whatever they do."""

from collections.abc import Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup

from socbot.dispatch.arguments import Duration
from socbot.dispatch.clock import Clock
from socbot.dispatch.tasks import leave
from socbot.systems.health.checks import Check, Measured
from socbot.tracebacks import Redact, message_of


class _Errand:
    """One check that is being made."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.done = anyio.Event()
        self.scope = anyio.CancelScope()
        self.found: Measured | None = None


class Measuring:
    """Makes checks, as an async context manager: they run in its task group.

    A check is never made twice at once: who asks while it is being made gets what that finds. One that hangs is
    cancelled, and as long as it does not end it is reported and not begun again.

    :param redact: takes the secrets out of what checks raise
    """

    def __init__(self, clock: Clock, redact: Redact) -> None:
        self._clock, self._redact = clock, redact
        self._under_way: dict[str, _Errand] = {}
        self._tasks: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        assert self._tasks is not None
        tasks, self._tasks = self._tasks, None
        tasks.cancel_scope.cancel()
        return await leave(tasks, kind, error, traceback)

    async def measure(self, check: Check, patience: float) -> Measured | None:
        """Make ``check`` within ``patience`` seconds; a hanging or broken one is unhealthy."""
        errand = self._under_way.get(check.name) or self._begin(check)
        await self._wait(errand, errand.began + patience - self._clock.monotonic())
        if errand.done.is_set():
            return errand.found
        errand.scope.cancel()
        waited = Duration(round(self._clock.monotonic() - errand.began, 1) or 0.1)
        return Measured(text=f"no answer for {waited}", status="unhealthy")

    def start(self, errand: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have something done that nobody waits for."""
        if self._tasks is None:
            raise RuntimeError("checks are made inside `async with` alone")
        self._tasks.start_soon(errand)

    def _begin(self, check: Check) -> _Errand:
        errand = _Errand(self._clock.monotonic())
        self.start(partial(self._make, check, errand))
        self._under_way[check.name] = errand
        return errand

    async def _make(self, check: Check, errand: _Errand) -> None:
        try:
            with errand.scope:
                errand.found = await check.measure()
        except Exception as error:  # a check is an embedder's code too: that it breaks is what it found
            told = " ".join(message_of(error, self._redact).split())
            errand.found = Measured(text=f"{type(error).__name__}: {told}"[:500].removesuffix(": "), status="unhealthy")
        finally:
            if errand.scope.cancelled_caught:
                errand.found = Measured(text="no answer in time", status="unhealthy")
            del self._under_way[check.name]
            errand.done.set()

    async def _wait(self, errand: _Errand, seconds: float) -> None:
        """Return when it is done, or after ``seconds``."""

        async def give_up() -> None:
            await self._clock.sleep(seconds)
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(give_up)
            await errand.done.wait()
            tasks.cancel_scope.cancel()
