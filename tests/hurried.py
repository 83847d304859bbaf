"""``socbot run`` on Discord with a clock that goes faster than the world's, and on from one process to the next.

``python -m tests.hurried SPEED SINCE``: SINCE, in seconds since 1970, is when the two told the same. Nothing but the
clock that the bot is given differs from ``socbot run``.
"""

import sys
import time
from functools import partial

import anyio

from socbot import running
from socbot.bot import Bot
from socbot.cli import main


class HurriedClock:
    def __init__(self, speed: float, since: float) -> None:
        self._speed, self._since = speed, since

    def time(self) -> float:
        return self._since + (time.time() - self._since) * self._speed

    def monotonic(self) -> float:
        return time.monotonic() * self._speed

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds / self._speed)


if __name__ == "__main__":
    clock = HurriedClock(float(sys.argv[1]), float(sys.argv[2]))
    running.Bot = partial(Bot, clock=clock)  # type: ignore[assignment, attr-defined]
    sys.exit(main(["run", "--transport", "discord"]))
