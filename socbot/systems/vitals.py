"""Vitals: how the process itself is doing."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from msgspec import Struct

from socbot.dispatch.clock import Clock

Links: TypeAlias = Callable[[], Sequence[float | None]]
"""Of each connection to a platform, for how many seconds it has been lost: None while it is there, infinity before it
ever was.
"""


class Reading(Struct, frozen=True):
    """Figures of one moment.

    :param memory: resident bytes
    :param cpu: percent of one core, since the reading before
    :param loop_lag: seconds that the event loop was last late; None where nothing measures it
    :param stalls: how often it stood still for a quarter of a second or longer
    :param communities: guilds and users, in words
    """

    memory: int
    cpu: float
    loop_lag: float | None
    stalls: int
    telemetry_waiting: int
    telemetry_dropped: int
    communities: str
    store: str


class Vitals:
    """Reads figures from whoever keeps them; none of it blocks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._process: object = None
        self._latencies: dict[str, Callable[[], float | None]] = {}
        self._links: dict[str, Links] = {}
        self.loop_lag: Callable[[], float | None] = lambda: None
        self.worst_lag: Callable[[float], float | None] = lambda seconds: None
        self.stalls: Callable[[], int] = lambda: 0
        self.telemetry: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self.communities: Callable[[], str] = lambda: "not known on this transport"
        self.store: Callable[[], str] = lambda: "none"

    def measure_transport(self, platform: str, latency: Callable[[], float | None]) -> None:
        """Have ``latency``, in seconds, asked for ``platform``."""
        self._latencies[platform] = latency

    def transport_latency(self, platform: str) -> float | None:
        found = self._latencies.get(platform)
        return None if found is None else found()

    def watch_links(self, platform: str, links: Links) -> None:
        """Have ``links`` asked for how the connections to ``platform`` are."""
        self._links[platform] = links

    @property
    def platforms(self) -> tuple[str, ...]:
        """Those of which anything is known."""
        return tuple(dict.fromkeys((*self._links, *self._latencies)))

    def links(self, platform: str) -> tuple[float | None, ...]:
        """As ``Links``; nothing for a platform to which no connection is held."""
        found = self._links.get(platform)
        return () if found is None else tuple(found())

    def since(self, monotonic: float) -> float:
        """Seconds since a moment of the monotonic clock."""
        return self._clock.monotonic() - monotonic

    def read(self) -> Reading:
        import psutil

        if self._process is None:
            self._process = psutil.Process()
        process = self._process
        assert isinstance(process, psutil.Process)
        waiting, dropped = self.telemetry()
        return Reading(
            process.memory_info().rss,
            process.cpu_percent(),
            self.loop_lag(),
            self.stalls(),
            waiting,
            dropped,
            self.communities(),
            self.store(),
        )
