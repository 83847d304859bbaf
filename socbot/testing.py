"""Doubles of the seams, for socbot's tests and for an embedder's own: a clock in hand, and a way to say things."""

import itertools
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from socbot.dispatch.messages import Attachment, Message, User

_ids = itertools.count(1)


class FakeClock:
    """A clock that moves only when it is told to; its sleepers wake in the order in which they are due."""

    def __init__(self, time: float = 1_700_000_000.0, monotonic: float = 1_000.0) -> None:
        self._time, self._monotonic = time, monotonic
        self._sleepers: list[tuple[float, anyio.Event]] = []

    def time(self) -> float:
        return self._time

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        due = (self._monotonic + max(0.0, seconds), anyio.Event())
        self._sleepers.append(due)
        try:
            if due[0] <= self._monotonic:
                due[1].set()
            await due[1].wait()
        finally:
            self._sleepers.remove(due)

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator does; nobody's sleep is changed by it."""
        self._time += seconds

    def forward(self, seconds: float) -> None:
        """Let ``seconds`` pass at once; the sleepers run when the caller next waits."""
        self._time += seconds
        self._monotonic += seconds
        for due, event in sorted(self._sleepers, key=lambda sleeper: sleeper[0]):
            if due <= self._monotonic:
                event.set()

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, stopping at each sleeper that is due on the way and letting it run."""
        end = self._monotonic + seconds
        while True:
            await _settled()
            due = min((due for due, event in self._sleepers if not event.is_set()), default=end)
            self.forward(max(0.0, min(due, end) - self._monotonic))
            await _settled()
            if self._monotonic >= end and not any(d <= end and not e.is_set() for d, e in self._sleepers):
                return


async def _settled() -> None:
    """Return once every other task waits for something."""
    # On asyncio, waiting until all tasks are blocked takes a tenth of a second unless they are already.
    for _ in range(32):
        await checkpoint()
    await anyio.wait_all_tasks_blocked()


def said(
    text: str,
    author: str = "42",
    *,
    platform: str = "local",
    guild: str | None = "g1",
    channel: str = "c1",
    admin: bool = False,
    bot: bool = False,
    name: str = "",
    attachments: tuple[Attachment, ...] = (),
) -> Message:
    """A message as a transport would hand it over, with an id of its own."""
    user = User(author, name or author, is_admin=admin, is_bot=bot)
    return Message(text, user, platform, channel, guild, id=f"m{next(_ids)}", attachments=attachments)


def owner_said(text: str, **options: Any) -> Message:
    """A message of the owner that ``Bot.from_config(…, owners=[OWNER])`` knows."""
    return said(text, OWNER[1], platform=OWNER[0], **options)


OWNER = ("local", "owner")
"""An owner for tests: pass it as ``owners=[OWNER]``."""
