"""Which colour each series of a chart has: the same for what is well, doubtful and bad wherever it is shown."""

from collections.abc import Iterable
from typing import Final

SERIES: Final = 6
"""The series that bars and lines can show: as many as can be told apart."""

_GOOD, _DOUBTFUL, _BAD, _OTHER = "series-2", "series-1", "series-3", "series-5"
_MEANT: Final = {
    **dict.fromkeys(("ok", "healthy", "delivered", "passed", "succeeded", "verified"), _GOOD),
    **dict.fromkeys(("refused", "degraded", "waiting", "warning", "would refuse"), _DOUBTFUL),
    **dict.fromkeys(("failed", "errors", "unhealthy", "dead", "critical"), _BAD),
    **dict.fromkeys(("invalid", "unknown", "cancelled"), _OTHER),
}


def colours(names: Iterable[str]) -> tuple[str, ...]:
    """A colour for each of the first series by name, no two alike: its own if it has one, or the next."""
    shown = list(names)[:SERIES]
    found: dict[str, str] = {}
    for name in shown:
        meant = _MEANT.get(name)
        if meant is not None and meant not in found.values():
            found[name] = meant
    left = [colour for colour in map("series-{}".format, range(SERIES)) if colour not in found.values()]
    return tuple(found[name] if name in found else left.pop(0) for name in shown)
