"""One thing at a time: a backup, a restore or a drill."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import anyio

from socbot.systems.backup.errors import BackupError
from socbot.systems.backup.threads import Tell

PATIENCE: Final = 60.0
"""Seconds for which somebody waits for what is made by schedule."""


class Turns:
    """Whose turn it is: the schedule's, which waits as long as it takes, or somebody's who has asked."""

    def __init__(self) -> None:
        self._busy, self._scheduled = anyio.Lock(), 0

    @asynccontextmanager
    async def asked_for(self, tell: Tell) -> AsyncIterator[None]:
        """Wait for what is made by schedule; what somebody has asked for is not waited for.

        :raises BackupError: if that is under way, or the other takes very long
        """
        held = False
        if self._scheduled:
            await tell("Waiting for the scheduled backup or drill to end…")
            with anyio.move_on_after(PATIENCE):
                await self._busy.acquire()
                held = True
        else:
            with suppress(anyio.WouldBlock):
                self._busy.acquire_nowait()
                held = True
        if not held:
            raise BackupError("A backup, a restore or a drill is under way. Try again when it has ended.")
        try:
            yield
        finally:
            self._busy.release()

    @asynccontextmanager
    async def by_schedule(self) -> AsyncIterator[None]:
        self._scheduled += 1
        try:
            async with self._busy:
                yield
        finally:
            self._scheduled -= 1
