"""Long work on a worker's thread, that says how far it is and ends when nobody waits for it any more."""

import threading
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from socbot.dispatch.clock import Clock
from socbot.systems.backup.errors import os_errors

T = TypeVar("T")

Tell: TypeAlias = Callable[[str], Awaitable[None]]
"""Shows somebody what is being done."""

EVERY = 5.0
"""Seconds between two words about how far it is."""


class Work:
    """One piece of work: it calls ``progress`` with what is done of all, and asks whether it is ``cancelled``.

    :param ended: what says so, where somebody else does
    """

    def __init__(self, ended: threading.Event | None = None) -> None:
        self._ended = ended or threading.Event()
        self._done, self._all = 0, 0

    def progress(self, done: int, all: int) -> None:
        self._done, self._all = done, all

    def cancelled(self) -> bool:
        return self._ended.is_set()

    def cancel(self) -> None:
        self._ended.set()

    @property
    def percent(self) -> int | None:
        return min(100, 100 * self._done // self._all) if self._all else None


async def silent(text: str) -> None:
    """Nobody wants to know."""


async def on_a_thread(function: Callable[[Work], T], clock: Clock, what: str = "", tell: Tell = silent) -> T:
    """Return what ``function`` returns, raise what it raises; if the caller is cancelled, wait until it has ended."""
    work, result, error = Work(), [], None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_cancel_with, work)
        tasks.start_soon(_report, work, clock, what, tell)
        with anyio.CancelScope(shield=True):
            try:
                result.append(await anyio.to_thread.run_sync(function, work))
            # Carried out of the task group as it is, which would wrap it.
            except Exception as raised:
                error = raised
        tasks.cancel_scope.cancel()
    await anyio.lowlevel.checkpoint()  # a cancellation comes before what it caused
    if error is not None:
        raise error
    return result[0]


class OffLoop:
    """Has work done on a worker's thread; what the disk refuses there is a ``BackupError``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def __call__(self, function: Callable[[Work], T], what: str = "", tell: Tell = silent) -> T:
        with os_errors("That could not be done"):
            return await on_a_thread(function, self._clock, what, tell)


async def _cancel_with(work: Work) -> None:
    """Tell the thread when the caller is cancelled."""
    try:
        await anyio.sleep_forever()
    finally:
        work.cancel()


async def _report(work: Work, clock: Clock, what: str, tell: Tell) -> None:
    told = None
    while tell is not silent:
        await clock.sleep(EVERY)
        if work.percent is not None and work.percent != told:
            told = work.percent
            await tell(f"{what}: {told} %")
