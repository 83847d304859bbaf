"""Which of the processes that share a store runs the jobs that run once in the fleet."""

import logging
from collections.abc import Awaitable, Callable
from math import inf
from typing import Protocol, TypeVar

import anyio

from socbot.dispatch.clock import Clock
from socbot.storage import leases
from socbot.storage.connection import Connection
from socbot.storage.errors import StoreError
from socbot.storage.leases import Fence

T = TypeVar("T")

LEASE = "jobs"

OFTEN = 1.0
"""Seconds between two looks of a process that waits for the lease, or less for a short one."""

_log = logging.getLogger(__name__)


class Leases(Protocol):
    """The part of ``Database`` in which leases are kept."""

    async def lease(self, work: Callable[[Connection], T], /) -> T: ...


class Leadership:
    """Takes the lease when it is free, renews it at a third of its time, and gives it up at the end.

    What it counts its own right by is its monotonic clock, from before each request on: by the time that anybody else
    may lead, it does not any more, unless it was not running. That is what fences are for.

    :param holder: this process's name, which no other has
    :ivar seconds: how long the lease lasts unless it is renewed
    :ivar leader: the name of the process that led at the last look; empty if none did
    """

    def __init__(self, store: Leases, clock: Clock, seconds: float, holder: str) -> None:
        self._store, self._clock, self.seconds, self.holder = store, clock, seconds, holder
        self._fence: Fence | None = None
        self._until = -inf
        self._free_in = 0.0
        self.leader = ""

    @property
    def fence(self) -> Fence | None:
        """The right to act for all; None while this process does not lead."""
        return self._fence if self._clock.monotonic() < self._until else None

    async def run(self, looked: Callable[[], Awaitable[None]]) -> None:
        """Take part until cancelled; ``looked`` is called after each look at the lease."""
        while True:
            if self._fence is not None and self.fence is None:
                self._lose("it could not be renewed in time")
                await looked()
            renewed = await self._look()
            await looked()
            await self._clock.sleep(self._pause(renewed))

    async def give_up(self) -> None:
        """Let another process lead at once, if that can be said within a moment. Raises nothing of its own."""
        fence, self._fence, self._until = self._fence, None, -inf
        if fence is None:
            return
        with anyio.move_on_after(min(2.0, self.seconds), shield=True):
            try:
                await self._store.lease(lambda connection: leases.give_up(connection, fence))
            except StoreError as error:
                _log.warning("that this process leads no longer could not be stored: %s", error)

    async def _look(self) -> bool:
        """Take or renew the lease; whether the store answered in time."""
        fence, seconds, asked = self.fence, self.seconds, self._clock.monotonic()
        held = 0 if fence is None else fence.number
        with anyio.move_on_after(seconds if fence is None else max(0.0, self._until - asked)):
            try:
                standing = await self._store.lease(
                    lambda connection: leases.take(connection, LEASE, self.holder, held, seconds)
                )
            except StoreError as error:
                _log.debug("the lease could not be looked at: %s", error)
                return False
            self._free_in = standing.remaining
            if standing.fence is not None:
                self._win(standing.fence, asked + seconds)
            elif fence is not None:
                self._lose(f"{standing.holder or 'another process'} has taken it")
            if standing.fence is None and standing.holder != self.leader:
                self.leader = standing.holder
                if self.leader:
                    _log.info("%s leads: jobs that run once in the fleet run there", self.leader)
            return True
        return False

    def _win(self, fence: Fence, until: float) -> None:
        if self._fence != fence:
            _log.info("this process, %s, leads: jobs that run once in the fleet run here", self.holder)
        self._fence, self._until, self.leader = fence, until, self.holder

    def _lose(self, why: str) -> None:
        _log.warning("this process, %s, leads no longer: %s", self.holder, why)
        self._fence, self._until, self.leader = None, -inf, ""

    def _pause(self, renewed: bool) -> float:
        if self._fence is not None:
            wanted = self.seconds / 3 if renewed else self.seconds / 10
            return max(0.0, min(wanted, self._until - self._clock.monotonic()))
        return min(OFTEN, self.seconds / 3, max(0.01, self._free_in) if renewed and self.leader else inf)
