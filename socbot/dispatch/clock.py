"""The one source of time, injected wherever time matters."""

import time
from typing import Protocol

import anyio


class Clock(Protocol):
    """Time as the bot sees it. Measure with ``monotonic``; store and show ``time``."""

    def time(self) -> float:
        """Seconds since 1970-01-01 UTC; may step when the host's clock is set."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never steps, means nothing in another process."""

    async def sleep(self, seconds: float) -> None:
        """Return once ``seconds`` have passed on ``monotonic``."""


class SystemClock:
    """The host's clock."""

    # Plain functions rather than methods: the hot path reads them a dozen times for each command.
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(anyio.sleep)
    time = staticmethod(time.time)
