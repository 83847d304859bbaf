"""How often a user may run commands, and what becomes of who will not keep to it."""

from socbot.systems.rate_limit.enforcement import Enforcer, Lift
from socbot.systems.rate_limit.limiter import Refusal
from socbot.systems.rate_limit.system import Exemption, RateLimiter, Recorded, Standing, TimedOut, Violation

__all__ = ["Enforcer", "Exemption", "Lift", "RateLimiter", "Recorded", "Refusal", "Standing", "TimedOut", "Violation"]
