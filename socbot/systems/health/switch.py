"""The dead man's switch: an address that is called while all is well, so that somebody notices silence."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from socbot.dispatch.clock import Clock
from socbot.dispatch.replies import moment, printable
from socbot.egress import Client
from socbot.systems.health.checks import Check, Measured
from socbot.tracebacks import Redact, message_of

Call: TypeAlias = Callable[[str], Awaitable[object]]
"""Gets a URL within a time of its own; raises if that was not answered with success. Its errors do not tell the URL."""

_log = logging.getLogger("socbot.health")


class NotAnswered(Exception):
    """The address gave another answer than success."""


def through(client: Client) -> Call:
    """Calls by a client that reaches nothing inside."""

    async def call(url: str) -> None:
        answer = await client.get(url)
        if not 200 <= answer.status < 300:
            raise NotAnswered(f"it answered {answer.status}")

    return call


class Switch:
    """Calls the address, and remembers how that went.

    :param url: the address now; empty for none
    :ivar failing: why the last call failed; empty if it did not
    :ivar called_at: when the address answered last, in seconds since 1970
    """

    def __init__(self, clock: Clock, url: Callable[[], str], redact: Redact) -> None:
        self._clock, self._url, self._redact = clock, url, redact
        self.failing = ""
        self.called_at: float | None = None
        self.call: Call | None = None

    @property
    def is_set(self) -> bool:
        return self.call is not None and bool(self._url())

    async def press(self) -> None:
        """Call the address, if there is one. Raises nothing of its own."""
        if self.call is None or not self._url():
            return
        try:
            await self.call(self._url())
        except Exception as error:  # whatever is at the other end, the rounds go on
            self._failed(f"{type(error).__name__}: {message_of(error, self._redact)}"[:300])
        else:
            self._answered()

    def check(self) -> Check:
        """How the last call went. It does not count for whether the next is made."""

        async def measure() -> Measured | None:
            if not self.is_set:
                return None
            if self.failing:
                return Measured(text=f"calling it failed: {self.failing}", status="degraded")
            told = "not called yet" if self.called_at is None else f"called {moment(self.called_at)}"
            return Measured(text=told, status="healthy")

        return Check(SWITCH, measure)

    def _failed(self, reason: str) -> None:
        if not self.failing:
            _log.warning("the dead man's switch could not be called: %s", printable(reason, ""))
        self.failing = reason

    def _answered(self) -> None:
        if self.failing:
            _log.info("the dead man's switch answers again")
        self.failing, self.called_at = "", self._clock.time()


SWITCH = "dead_mans_switch"
