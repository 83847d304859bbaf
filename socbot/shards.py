"""Which of the bot's connections to Discord are made by this process."""

import re

from msgspec import Struct

from socbot.documents import ConfigError

_COUNT = re.compile(r"[1-9]\d{0,4}")
_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?/([1-9]\d{0,4})")


class Shards(Struct, frozen=True):
    """The numbers of this process's shards, None for all of them, and how many there are in all.

    ``count`` is None where Discord is to be asked.
    """

    ids: tuple[int, ...] | None = None
    count: int | None = None

    def resolved(self, advised: int) -> "Shards":
        """The same with every number filled in; ``advised`` is Discord's own count."""
        count = self.count or advised
        return Shards(self.ids or tuple(range(count)), count)


def parse_shards(text: str) -> Shards:
    """Read ``auto``, ``4``, or ``1-4/16``: numbers 1 to 4 of 16, counted from 0.

    :raises ConfigError: if it is none of them
    """
    text = text.strip()
    if text == "auto":
        return Shards()
    if _COUNT.fullmatch(text):
        return Shards(None, int(text))
    found = _RANGE.fullmatch(text)
    if not found:
        raise ConfigError(
            f"discord.shards: {text[:40]!r} is neither auto, a number such as 4, nor a range such as 1-4/16"
        )
    first, last, count = int(found[1]), int(found[2] or found[1]), int(found[3])
    if not first <= last < count:
        raise ConfigError(f"discord.shards: {text!r}: of {count} shards the numbers run from 0 to {count - 1}, upwards")
    return Shards(tuple(range(first, last + 1)), count)
