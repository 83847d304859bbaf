"""When a delivery that failed is tried again."""

import importlib
import sys
from functools import lru_cache
from random import Random
from typing import Any

import anyio.to_thread

FIRST = 5.0
"""Seconds within which the second try is made."""


class Schedule:
    """So many tries over so long a span: exponential with full jitter, the last one not before the span is over.

    Full jitter alone would end on average at half of the span; the last wait makes up for what the others fell short.
    """

    def __init__(self, tries: int, span: float, random: Random) -> None:
        self.tries, self.span = tries, span
        self._random = random

    def after(self, tries: int, since: float) -> float | None:
        """Seconds to wait after ``tries`` that failed; None if that was the last.

        :param since: seconds that the delivery is on its way
        """
        state = _state(tries)
        if _stop(self.tries)(state):
            return None
        wait = self._random.uniform(0.0, _ceilings(self.tries, self.span)(state))
        return max(wait, self.span - since) if tries == self.tries - 1 else wait


async def prepare() -> None:
    """Import the library, for which no event loop has the time."""
    if "tenacity" not in sys.modules:
        await anyio.to_thread.run_sync(lambda: importlib.import_module("tenacity"))


def _state(tries: int) -> Any:
    import tenacity

    state = tenacity.RetryCallState(None, None, (), {})  # type: ignore[arg-type]  # it belongs to no call
    state.attempt_number = tries
    return state


@lru_cache(8)
def _stop(tries: int) -> Any:
    import tenacity

    return tenacity.stop_after_attempt(tries)


@lru_cache(8)
def _ceilings(tries: int, span: float) -> Any:
    """The longest wait after each try: growing by one factor, so that all of them together are the span."""
    import tenacity

    waits = max(1, tries - 1)
    first = min(FIRST, span / waits)
    low, high = 1.0, 1e6
    for _ in range(100):
        factor = (low + high) / 2
        if sum(first * factor**number for number in range(waits)) > span:
            high = factor
        else:
            low = factor
    return tenacity.wait_exponential(multiplier=first if waits > 1 else span, exp_base=low)
