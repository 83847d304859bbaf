"""The throttle: how often a token may be guessed."""

from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Final

WINDOW: Final = 900.0
"""Seconds after which all is forgotten."""

EACH: Final = 10
"""Wrong tokens within a window that one address may try."""

ALL: Final = 300
"""Wrong tokens within a window, whatever addresses they come from."""


class Throttle:
    """Counts wrong tokens, by address and in all. Its memory is bounded by what it lets through.

    A link from the chat, a session and a bearer token do not pass here, so that a flood locks nobody out.

    :param clock: seconds that never step
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends = clock() + WINDOW
        self._wrong: Counter[str] = Counter()
        self._all = 0

    def wait(self, address: str) -> float:
        """Seconds until another token may be tried from ``address``; 0 if it may be now."""
        now = self._clock()
        if now >= self._ends:
            self._ends, self._all = now + WINDOW, 0
            self._wrong.clear()
        full = self._all >= ALL or self._wrong.get(_whose(address), 0) >= EACH
        return self._ends - now if full else 0.0

    def wrong(self, address: str) -> None:
        """A token from ``address`` was wrong."""
        self._all += 1
        self._wrong[_whose(address)] += 1


def _whose(address: str) -> str:
    """Whoever has an address: with IPv6 that is a whole network."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    return str(found.ipv4_mapped or ip_network((found, 64), strict=False))
