"""Who is timed out or exempt, and until when: decided in memory, kept in the store, followed where others write it."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from socbot.dispatch.messages import Identity

Stored: TypeAlias = tuple[str, str, float | None]
"""Platform, id and the wall time at which it ends, or None if it never does."""


class Held:
    """Until when each is held, in monotonic seconds, and until when the store says so.

    :param keep: seconds for which who is held no longer is remembered: as long as the store may still show it
    """

    def __init__(self, keep: float = 0.0) -> None:
        self._held: dict[Identity, tuple[float, float | None]] = {}
        self._keep = keep
        self._changed: set[Identity] | None = None

    def __bool__(self) -> bool:
        return bool(self._held)

    def left(self, identity: Identity, now: float) -> float:
        """For how many seconds more; 0 or less if not."""
        held = self._held.get(identity)
        return 0.0 if held is None else held[0] - now

    def all(self, now: float) -> list[tuple[Identity, float]]:
        """Each who is held, and for how many seconds more."""
        return [(identity, end - now) for identity, (end, _) in self._held.items() if end > now]

    def put(self, identity: Identity, end: float, stored: float | None) -> None:
        """Hold until ``end``, which the store has as ``stored``."""
        self._held[identity] = (end, stored)
        if self._changed is not None:
            self._changed.add(identity)

    def drop(self, identity: Identity) -> None:
        self._held.pop(identity, None)
        if self._changed is not None:
            self._changed.add(identity)

    def forget_passed(self, now: float) -> None:
        self._held = {identity: held for identity, held in self._held.items() if held[0] + self._keep > now}

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Within the block the store is read, to be taken over.

        What this process changes is committed before it is in force, so what is read may show it undone: whoever is
        changed within the block is left as they are.
        """
        self._changed = set()
        try:
            yield
        finally:
            self._changed = None

    def take_over(self, rows: Iterable[Stored], to_monotonic: float) -> None:
        """Go by what the store has; an end that was known keeps its moment, since the wall clock may have been set."""
        found = {(platform, subject): until for platform, subject, until in rows}
        changed = self._changed or set()
        for identity in self._held.keys() - found.keys() - changed:
            del self._held[identity]
        for identity, until in found.items():
            held = self._held.get(identity)
            if identity not in changed and (held is None or held[1] != until):
                self._held[identity] = (math.inf if until is None else until + to_monotonic, until)
