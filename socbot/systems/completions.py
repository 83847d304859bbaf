"""Completions: names that can be offered while somebody types one."""

from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import TypeAlias

Source: TypeAlias = Callable[[str], Iterable[str] | Awaitable[Iterable[str]]]
"""Gives the names of its kind; what was typed is for a source that can look up fewer by it."""

Scoped: TypeAlias = Callable[[str | None], Iterable[str] | Awaitable[Iterable[str]]]
"""The same, where each guild has names of its own: gives those of one, as ``platform:id``, or with None all."""

MOST = 25
LONGEST = 100
"""Characters of a name that is offered: a longer one could not be sent back whole."""

_MOST_READ = 10_000


class Completions:
    """Names by kind (``job``, ``command``, ``setting:errors`` …), each from the system that knows them."""

    def __init__(self) -> None:
        self._sources: dict[str, Source] = {}
        self._scoped: dict[str, Scoped] = {}

    def offer(self, kind: str, source: Source) -> None:
        """Have the names of ``kind`` come from ``source``.

        :raises ValueError: if they come from somewhere already
        """
        self._refuse_second(kind)
        self._sources[kind] = source

    def offer_of_guild(self, kind: str, source: Scoped) -> None:
        """The same, where each guild has names of its own.

        :raises ValueError: if they come from somewhere already
        """
        self._refuse_second(kind)
        self._scoped[kind] = source

    def _refuse_second(self, kind: str) -> None:
        if kind in self.kinds:
            raise ValueError(f"names of kind {kind!r} are offered already")

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset((*self._sources, *self._scoped))

    async def find(
        self,
        kind: str,
        typed: str,
        limit: int = MOST,
        *,
        keep: Callable[[str], bool] | None = None,
        guild: str | None = None,
    ) -> tuple[str, ...]:
        """At most ``limit`` names of ``kind`` that go with ``typed``; none of a kind that nobody offers.

        Raises what the source raises.

        :param keep: whether a name is for whoever types: a source does not know who that is
        :param guild: whose names, where each guild has its own, as ``platform:id``; None for the owner's view
        """
        if kind not in self.kinds:
            return ()
        found = self._scoped[kind](guild) if kind in self._scoped else self._sources[kind](typed)
        names = await found if isinstance(found, Awaitable) else found
        return fitting(names if keep is None else filter(keep, names), typed, limit)


def fitting(names: Iterable[str], typed: str, limit: int = MOST) -> tuple[str, ...]:
    """At most ``limit`` of ``names``: what begins with ``typed``, then what has it anywhere; in any case."""
    wanted = typed.strip().casefold()
    begin: dict[str, None] = {}
    contain: dict[str, None] = {}
    for name in islice(names, _MOST_READ):
        folded = name.casefold()
        if not 0 < len(name) <= LONGEST or wanted not in folded:
            continue
        (begin if folded.startswith(wanted) else contain)[name] = None
        if len(begin) == limit:
            break
    return tuple(islice((*begin, *contain), limit))
