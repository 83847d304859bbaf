"""Lines of a log, read again: when, by which logger, how grave, and what was said; and which of them are wanted."""

import re
import time
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from socbot.documents import UNDECODABLE

GRAVITY: Final = {"DEBUG": 0, "INFO": 1, "WARNING": 2, "ERROR": 3, "CRITICAL": 4}

_TEXT = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:,\d{3})? - (.{1,200}?) - ([A-Z]{3,10}) - (.*)", re.DOTALL)
_TRACE = re.compile(r"\[trace=([\w-]{1,40}) command=[^\[\]]*\]$")
_BREAK = "\\n"  # how the lines of text write the end of a line within them


class Entry(Struct, frozen=True):
    """One line of the log.

    :param at: in seconds since 1970; None if the line does not say
    :param level: such as ``WARNING``; empty if the line does not say
    :param more: what follows the message's first line, such as a traceback
    :param trace: the id of the command that ran meanwhile; empty if none did
    """

    at: float | None
    level: str
    logger: str
    message: str
    more: str = ""
    trace: str = ""


class Wanted(Struct, frozen=True):
    """Which lines: as grave as ``level`` at the least, of ``logger`` or one below it, with ``text``; all if empty."""

    level: str = ""
    logger: str = ""
    text: str = ""

    def fits(self, line: str, entry: Entry | None = None) -> bool:
        """Whether ``line``, as it is in the log, is wanted; ``entry`` is what it says, if that is known already."""
        if self.text and self.text.casefold() not in line.casefold():
            return False
        if not (self.level or self.logger):
            return True
        entry = entry or entry_of(line)
        if self.level and GRAVITY.get(entry.level, -1) < GRAVITY[self.level]:
            return False
        return not self.logger or f"{entry.logger}.".startswith(f"{self.logger}.")


def those_wanted(wanted: Wanted, lines: Sequence[str]) -> list[str]:
    """Those of ``lines`` that fit; what cannot be one of them is told without reading it."""
    if wanted.level:
        names = [name for name, gravity in GRAVITY.items() if gravity >= GRAVITY[wanted.level]]
        signs = [sign for name in names for sign in (f" - {name} - ", f'"{name}"')]
        lines = [line for line in lines if any(sign in line for sign in signs)]
    if wanted.logger:
        lines = [line for line in lines if wanted.logger in line]
    return [line for line in lines if wanted.fits(line)]


class _Json(Struct):
    time: float | None = None
    name: str = ""
    level: str = ""
    message: str = ""
    exception: str = ""
    trace: str = ""


def entry_of(line: str) -> Entry:
    """What ``line`` says; of one that nobody here wrote, that it is there."""
    if line.startswith("{"):
        try:
            found = msgspec.json.decode(line, type=_Json)
        except UNDECODABLE:
            return Entry(None, "", "", line)
        head, _, rest = found.message.partition("\n")
        more = "\n".join(filter(None, (rest, found.exception)))
        return Entry(found.time, found.level, found.name, head, more, found.trace)
    match = _TEXT.fullmatch(line)
    if match is None:
        return Entry(None, "", "", line)
    head, _, rest = match[4].partition(_BREAK)
    trace = _TRACE.search(head)
    return Entry(_moment(match[1]), match[3], match[2], head, rest.replace(_BREAK, "\n"), trace[1] if trace else "")


def _moment(text: str) -> float | None:
    """The lines of text have the machine's own time."""
    try:
        return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))
    except (ValueError, OverflowError):
        return None
