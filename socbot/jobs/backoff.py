"""How long a job that failed waits, and when it has failed too often."""

from collections import deque
from random import Random

from socbot.config import JobsConfig

SHORTEST, LONGEST = 1.0, 60.0


def delay(attempt: int, random: Random) -> float:
    """Seconds to wait before try ``attempt`` (1 is the first repetition): exponential with full jitter."""
    return random.uniform(SHORTEST, min(LONGEST, SHORTEST * 2 ** min(attempt - 1, 16)))


class Restarts:
    """Counts crashes: more than ``max_restarts`` in ``within`` seconds are too many."""

    def __init__(self, config: JobsConfig) -> None:
        self.config = config
        self._crashes: deque[float] = deque()
        self._attempts = 0

    def crashed(self, now: float, random: Random) -> float | None:
        """Seconds until the next try, or None if there is to be none."""
        self._attempts += 1
        self._crashes.append(now)
        while now - self._crashes[0] > self.config.within:
            self._crashes.popleft()
        return None if len(self._crashes) > self.config.max_restarts else delay(self._attempts, random)

    def succeeded(self) -> None:
        """The next failure is a first one again; crashes still count for the intensity."""
        self._attempts = 0

    def forget(self) -> None:
        self._attempts = 0
        self._crashes.clear()
