"""Values as the older bot wrote them, each read into what socbot keeps, or None where it makes no sense."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from socbot.importing.documents import name_of
from socbot.importing.report import Note, Part, refused

MOST = 10**12
"""The largest count that is believed."""

_EARLIEST = datetime(2015, 1, 1, tzinfo=UTC).timestamp()  # Discord's first year
_LATEST = 1e11
_DAY = 86_400.0


def moment_of(value: object, zone: tzinfo, latest: float = _LATEST) -> float | None:
    """Seconds since 1970; what carries no zone is of ``zone``."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        read = datetime.fromisoformat(value.strip())
        at = (read if read.tzinfo else read.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError):
        return None
    return at if _EARLIEST <= at <= latest + _DAY else None


def count_of(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MOST else None


def seconds_of(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) and 0 <= value <= 1e7 else None


def id_of(value: object) -> str | None:
    """A Discord id, of a number or of digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 20:
        return None
    return value if 0 < int(value) < 2**64 else None


def word_of(value: object) -> str:
    """One word in lower case; empty for what is no text."""
    return value.strip().lower()[:64] if isinstance(value, str) else ""


def mapping(parent: Mapping[str, Any], name: str) -> tuple[dict[str, Any], list[Part]]:
    """The map ``name``, and its refusal if it is none."""
    value = parent.get(name)
    if value is None:
        return {}, []
    if isinstance(value, dict):
        return value, []
    return {}, [refused(name, f"a map was expected, not {name_of(value)}")]


def listing(parent: Mapping[str, Any], name: str) -> tuple[list[Any], list[Part]]:
    """The list ``name``, and its refusal if it is none."""
    value = parent.get(name)
    if value is None:
        return [], []
    if isinstance(value, list):
        return value, []
    return [], [refused(name, f"a list was expected, not {name_of(value)}")]


def keyed(values: Iterable[object]) -> Iterator[tuple[str, Any]]:
    """Each of ``values`` with a key by which it is known again: what is in it, and which of those alike it is."""
    seen: Counter[str] = Counter()
    for value in values:
        digest = digest_of(value)
        seen[digest] += 1
        yield f"{digest[:32]}:{seen[digest]}", value


def digest_of(value: object) -> str:
    """The same for the same values of JSON, in whatever order."""
    raw = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(raw.encode()).hexdigest()


def strangers(values: Iterable[Mapping[str, Any] | object], known: Iterable[str], where: str = "") -> Iterator[Note]:
    """A note about keys that are not known, in any of ``values``."""
    names = set(known)
    found = sorted({key for value in values if isinstance(value, Mapping) for key in value if key not in names})
    if found:
        shown = ", ".join(key[:40] for key in found[:10]) + (f" and {len(found) - 10} more" if len(found) > 10 else "")
        yield Note(f"keys that are not known{where}: {shown}")
