"""From figures to a status: thresholds with a margin, and rounds that have to agree."""

from collections import deque

from socbot.config import HealthConfig, Threshold
from socbot.systems.health.checks import STATUSES, Status

QUIET = 12
"""Rounds without trouble after which a check that came back is trusted again as any other."""

_RANK = {status: rank for rank, status in enumerate(STATUSES)}


def judged(figure: float, threshold: Threshold, before: Status | None, margin: float) -> Status:
    """The status of ``figure``; one that was bad ``before`` has to be better than the threshold by ``margin`` of it."""
    if figure != figure:  # not a number
        return "unknown"
    sign = -1 if threshold.unhealthy < threshold.degraded else 1
    limits: tuple[tuple[Status, float], ...] = (("unhealthy", threshold.unhealthy), ("degraded", threshold.degraded))
    for status, limit in limits:
        slack = margin * abs(limit) if _RANK[before or "healthy"] >= _RANK[status] else 0.0
        if sign * figure >= sign * limit - slack:
            return status
    return "healthy"


class Course:
    """One check's status over the rounds.

    It changes when ``changes`` of the last ``of`` rounds agree that it is worse, or better. A check that falls back
    within ``QUIET`` rounds of a recovery has to be good for twice as many the next time, ``QUIET`` at most: one that
    comes and goes is one long episode.

    :ivar settled: None until enough is known
    :ivar since: when the rounds that agreed on it began, in seconds since 1970
    """

    def __init__(self, config: HealthConfig, settled: Status | None = None, since: float = 0.0) -> None:
        self.settled, self.since = settled, since
        self._config = config
        self._recent: deque[tuple[int, float]] = deque(maxlen=config.of + QUIET)
        self._relapses = 0
        self._calm = QUIET

    def configure(self, config: HealthConfig) -> None:
        self._config = config
        self._recent = deque(self._recent, maxlen=config.of + QUIET)

    def vote(self, measured: Status, at: float) -> bool:
        """Take a round into account; whether that changes the status."""
        self._recent.append((_RANK[measured], at))
        agreed = self._agreed(_RANK[measured])
        if agreed is not None:
            self._change(*agreed)
        elif self.settled == "healthy":
            self._calm += 1
            if self._calm >= QUIET:
                self._relapses = 0
        return agreed is not None

    @property
    def agreeing(self) -> tuple[int, int]:
        """How many of the last rounds speak for a change, and how many have to."""
        if not self._recent:
            return 0, self._config.changes
        votes, needed, _ = self._votes(self._recent[-1][0])
        return len(votes), needed

    def _agreed(self, rank: int) -> tuple[Status, float] | None:
        if self.settled is None and rank == 0:
            return "healthy", self._recent[-1][1]
        votes, needed, is_worse = self._votes(rank)
        if len(votes) < needed:
            return None
        ranks = sorted((rank for rank, _ in votes), reverse=is_worse)
        return STATUSES[ranks[needed - 1]], min(at for _, at in votes)

    def _votes(self, rank: int) -> tuple[list[tuple[int, float]], int, bool]:
        """The rounds that are better, or worse, than the status as ``rank`` is; how many are needed."""
        current, changes, of = _RANK[self.settled or "healthy"], self._config.changes, self._config.of
        if rank > current:
            return [vote for vote in list(self._recent)[-of:] if vote[0] > current], changes, True
        needed = max(changes, min(changes << self._relapses, QUIET))
        span = of + needed - changes
        return [vote for vote in list(self._recent)[-span:] if vote[0] < current], needed, False

    def _change(self, status: Status, since: float) -> None:
        if status == "healthy":
            self._calm = 0 if self.settled is not None else QUIET
        elif self.settled == "healthy" and self._calm < QUIET:
            self._relapses = min(self._relapses + 1, 8)
        self.settled, self.since = status, since
        self._recent.clear()
