"""How much may be used in a time: GCRA, the sliding window that needs one number for each user."""

import math

from msgspec import Struct

TOLERANCE = 1e-6
"""Seconds that are nobody's: what is due within them is due now, so that a wait that was told is enough."""


class Quota(Struct, frozen=True):
    """At most ``burst`` at once, given back one by one, all of it in ``window`` seconds.

    What a user has used is one number: the moment at which all of it has come back. In any span of ``w`` seconds at
    most ``burst + w * burst / window`` are admitted.

    :raises ValueError: if ``burst`` is below 1, or ``window`` not a positive number of seconds
    """

    burst: int
    window: float

    def __post_init__(self) -> None:
        if self.burst < 1:
            raise ValueError(f"burst: {self.burst} would admit nothing, the least is 1")
        if not 0 < self.window < math.inf:
            raise ValueError(f"window: {self.window} is no length of time")

    def use(self, back_at: float, now: float, cost: int = 1) -> tuple[float, float]:
        """Use ``cost`` at ``now``, where all that was used before is back at ``back_at``.

        :returns: the new ``back_at``, and 0.0; or the old one, and the seconds until there is enough (infinite if
            ``cost`` is more than the burst). Nobody owes more than the burst, whatever was configured before
        """
        window = self.window
        share = cost * window / self.burst
        after = (back_at if back_at > now else now) + share
        excess = after - now - window
        if excess <= TOLERANCE:
            return after, 0.0
        if cost > self.burst:
            return back_at, math.inf
        return (now + window, share) if back_at > now + window else (back_at, excess)

    def used(self, back_at: float, now: float) -> int:
        """How many of the burst are in use at ``now``."""
        return (
            min(self.burst, math.ceil((back_at - now - TOLERANCE) * self.burst / self.window)) if back_at > now else 0
        )
