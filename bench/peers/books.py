"""What the five concerns do inside another framework."""

from collections.abc import Awaitable, Callable
from time import monotonic, time
from typing import Any

from bench.contenders import LIMITS, LISTED, PLATFORM, Contender, Counter, Store
from bench.floor import FRESH, STAGES
from socbot.dispatch.messages import Identity, Message, User
from socbot.dispatch.outcomes import Outcome, Status, Trace


class Books:
    """The five concerns' rules and records, for a framework to call."""

    def __init__(self, record: Callable[[Outcome], None]) -> None:
        self._record = record
        self._listed: dict[Identity, float] = {LISTED: float("inf")}
        self._limits: dict[Identity, tuple[float, float]] = {}
        self._count = 0

    def is_listed(self, user: str) -> bool:
        return self._listed.get((PLATFORM, user), 0.0) > monotonic()

    def admits(self, user: str) -> bool:
        now, identity = monotonic(), (PLATFORM, user)
        used, cooling = self._limits.get(identity, FRESH)
        used = (used if used > now else now) + LIMITS.window / LIMITS.burst
        if used - now > LIMITS.window or cooling > now:
            return False
        self._limits[identity] = (used, now + LIMITS.cooldown)
        return True

    def record(
        self, user: str, guild: str, status: Status, started: float, called: float, refused_by: str | None = None
    ) -> None:
        now = monotonic()
        self._count += 1
        times = [0.0] * 12 if refused_by else [started, now] * 5 + [called, now]
        trace = Trace(STAGES, 1, "PEER", self._count, time(), times)
        message = Message("!ping", User(user), PLATFORM, "", guild)
        self._record(Outcome(status, message, "ping", None, refused_by, refused_by, trace=trace, seconds=now - started))


def contenders_of(
    name: str,
    store: Store,
    counter: Counter,
    convert: Callable[[Message], Any],
    bare: Callable[[Any], Awaitable[object]],
    full: Callable[[Any], Awaitable[object]],
) -> list[Contender]:
    """The three scenarios of a peer: ``bare`` runs its handler alone, ``full`` with the five concerns around it."""
    return [
        Contender(name, "bare", convert, bare, counter),
        *(
            Contender(name, scenario, convert, full, counter, store.telemetry.flush, store.stored)
            for scenario in ("full", "refused")
        ),
    ]
