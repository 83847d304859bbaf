"""How fast a receiver lets itself be told: what its answers say of it, and nothing that is guessed."""

from collections.abc import Mapping

from socbot.dispatch.clock import Clock
from socbot.systems.webhooks.answers import Verdict, number_of

_MOST = 1_000


class Gates:
    """Which routes are shut, and until when.

    A route is what is done at one address. Discord gathers routes into buckets and names them in its answers: a
    bucket that is empty shuts its routes, a global limit all of Discord.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[str, str] = {}
        self._until: dict[str, float] = {}

    def wait(self, route: str, service: str = "") -> float:
        """Seconds until ``route`` is open."""
        until = max(self._until.get(key, 0.0) for key in (self._buckets.get(route, route), service))
        return max(0.0, until - self._clock.monotonic())

    def shut(self, key: str, seconds: float) -> None:
        """Let nothing through to a route or a service for so long; what is shut for longer stays so."""
        now = self._clock.monotonic()
        self._until = {each: until for each, until in self._until.items() if until > now}
        self._until[key] = max(self._until.get(key, 0.0), now + seconds)

    def open(self, route: str) -> None:
        """Let through what goes to ``route``: it has just been seen to work."""
        self._until.pop(self._buckets.get(route, route), None)

    def learn(self, route: str, service: str, headers: Mapping[str, str], verdict: Verdict) -> None:
        """Take from an answer what it says about limits."""
        bucket = headers.get("x-ratelimit-bucket")
        if bucket:
            self._name(route, f"{bucket} {route.partition(' ')[2]}")
        key = self._buckets.get(route, route)
        reset = number_of(headers, "x-ratelimit-reset-after")
        if reset and number_of(headers, "x-ratelimit-remaining") == 0:
            self.shut(key, reset)
        if verdict.wait:
            self.shut(service if verdict.everywhere else key, verdict.wait)

    def _name(self, route: str, bucket: str) -> None:
        if len(self._buckets) >= _MOST:
            self._buckets.clear()
        self._buckets[route] = bucket
