"""What an answer means: taken, to be tried again and when, or never to be tried again."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from socbot.documents import UNDECODABLE
from socbot.systems.webhooks.model import WebhookType

Meaning: TypeAlias = Literal["taken", "again", "never"]

ACCEPTED: dict[WebhookType, frozenset[int]] = {
    "discord": frozenset((200, 204)),
    "slack": frozenset((200,)),
    "custom": frozenset(range(200, 300)),
    "apprise": frozenset((200,)),
}
NEVER = frozenset((400, 401, 403, 404, 410, 413))
"""Answers that no further try will change."""

GONE = frozenset((404, 410))
"""Answers by which the whole webhook is no more."""

LONGEST_WAIT = 1e10
"""Seconds; beyond it a number is no wish but noise, and arithmetic with it goes wrong."""

_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?([eE]\+?[0-9]{1,2})?", re.ASCII)


class Verdict(Struct, frozen=True):
    """:param wait: seconds in which the receiver wants no further try; 0 if it says nothing of the kind
    :param limited: it refused for too many requests, and not for what was sent
    :param everywhere: that holds for all webhooks of this service
    """

    meaning: Meaning
    gone: bool = False
    wait: float = 0.0
    limited: bool = False
    everywhere: bool = False


def judge(type: WebhookType, status: int, headers: Mapping[str, str], body: bytes, now: float) -> Verdict:
    """:param now: seconds since 1970, for waits that are written as a date"""
    if status in ACCEPTED[type]:
        return Verdict("taken")
    if status in NEVER:
        return Verdict("never", status in GONE)
    content = decoded(body)
    wait = max(_of_header(headers, now), _seconds(content.get("retry_after")))
    limited = status == 429
    return Verdict("again", False, wait, limited, limited and type == "discord" and _everywhere(headers, content))


def decoded(body: bytes) -> dict[str, object]:
    """The JSON object that ``body`` is; empty if it is none."""
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except UNDECODABLE:
        return {}


def _everywhere(headers: Mapping[str, str], content: dict[str, object]) -> bool:
    """Whether Discord means all requests; so it does where what answers stands before it and knows no buckets."""
    named = headers.get("x-ratelimit-global", "").lower() == "true" or headers.get("x-ratelimit-scope") == "global"
    limits_named = any(name.startswith("x-ratelimit-") for name in headers)
    return named or content.get("global") is True or not (content or limits_named)


def _of_header(headers: Mapping[str, str], now: float) -> float:
    """The longest of what ``Retry-After`` says, should it say several things."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return 0.0
    date = _date(text)
    if date is not None:
        return _within(date - (_date(headers.get("date", "")) or now))
    return max(_seconds(part.strip()) for part in text.split(","))


def _date(text: str) -> float | None:
    """An HTTP date in seconds since 1970; in each of its three forms."""
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text) if ":" in text else None
        return None if date is None else (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _seconds(wish: object) -> float:
    if isinstance(wish, str):
        return _within(float(wish)) if _NUMBER.fullmatch(wish) else 0.0
    if isinstance(wish, int | float) and not isinstance(wish, bool):
        return _within(float(wish))
    return 0.0


def _within(seconds: float) -> float:
    return min(seconds, LONGEST_WAIT) if math.isfinite(seconds) and seconds > 0 else 0.0


def number_of(headers: Mapping[str, str], name: str) -> float | None:
    """A header that is a number of seconds or of requests; None if it is none."""
    text = headers.get(name, "").strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def iso(moment: float) -> str:
    """A moment as receivers read it: ``2026-01-31T12:00:00.000Z``."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
