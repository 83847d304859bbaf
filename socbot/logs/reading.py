"""Reading a log while it is written: from its end, over the copies, a block at a time. Never the whole of a file."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import BinaryIO, TypeAlias

import msgspec
from msgspec import Struct

from socbot.documents import UNDECODABLE
from socbot.logs.files import parts_of

BLOCK = 256 * 1024

_LONGEST_LINE = 1024 * 1024
_TRIES = 5

Block: TypeAlias = list[str]
"""Lines in the order in which they were written, without their ends."""


@contextmanager
def opened(path: Path) -> Iterator[list[BinaryIO]]:
    """The log and its copies as they are at this moment, newest first; what is written meanwhile is no part of it.

    :raises OSError: if they cannot be read
    """
    for _ in range(_TRIES):
        with ExitStack() as stack:
            files: list[BinaryIO] = [stack.enter_context(part.open("rb")) for part in parts_of(path)]
            if _stand_still(path, files):
                yield files
                return
    raise OSError(f"{path.name} was replaced over and over while it was opened")


def _stand_still(path: Path, files: list[BinaryIO]) -> bool:
    """Whether no part took another's place while they were opened."""
    try:
        there = [part.stat() for part in parts_of(path)]
    except FileNotFoundError:
        return False
    return [(each.st_dev, each.st_ino) for each in there] == [_identity(file) for file in files]


def _identity(file: BinaryIO) -> tuple[int, int]:
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino


def blocks(files: list[BinaryIO]) -> Iterator[Block]:
    """The lines of ``files`` in blocks, the last block first."""
    for file in files:
        for block in _blocks_of(file):
            lines = block.decode("utf-8", "replace").split("\n")
            yield [line for line in lines if line]


def _blocks_of(file: BinaryIO) -> Iterator[bytes]:
    """Blocks of whole lines; a line that is longer than any of ours is cut."""
    position, rest = file.seek(0, os.SEEK_END), b""
    while position:
        start = max(0, position - BLOCK)
        file.seek(start)
        block = file.read(position - start) + rest
        position, rest = start, b""
        if start and len(block) < _LONGEST_LINE:
            rest, _, block = block.partition(b"\n")
        yield block


def last_lines(path: Path, count: int) -> list[str]:
    """The last ``count`` lines, oldest first.

    :raises OSError: if they cannot be read
    """
    found: list[str] = []
    with opened(path) as files:
        for lines in blocks(files):
            found += reversed(lines)
            if len(found) >= count:
                break
    return found[count - 1 :: -1] if len(found) >= count else found[::-1]


class Found(Struct, frozen=True):
    """What a search found.

    :param lines: the newest that fit, newest first
    :param total: how many there are in what was looked at
    :param looked_at: lines
    :param given_up: why the rest was not looked at; "" if all of it was
    """

    lines: tuple[str, ...]
    total: int
    looked_at: int
    given_up: str = ""


Matches: TypeAlias = Callable[[Block], list[str]]
"""Those of a block's lines that fit.

:raises TooSlow: if that takes too long
"""


class TooSlow(Exception):
    """A pattern does not keep up."""


def search(path: Path, matches: Matches, most: int, seconds: float, *, count: bool = True) -> Found:
    """Look for lines from the end of the log, for at most ``seconds``.

    :param most: lines that are returned; the others are counted
    :param count: False ends the search once so many are found
    :raises OSError: if they cannot be read
    """
    lines: list[str] = []
    total = looked_at = 0
    ends = perf_counter() + seconds
    with opened(path) as files:
        for block in blocks(files):
            try:
                fitting = matches(block)
            except TooSlow:
                return Found(tuple(lines), total, looked_at, "the pattern takes too long")
            lines += fitting[: -(most - len(lines)) - 1 : -1] if len(lines) < most else ()
            total, looked_at = total + len(fitting), looked_at + len(block)
            if not count and len(lines) >= most:
                break
            if perf_counter() > ends:
                return Found(tuple(lines), total, looked_at, f"{seconds:g} s were not enough for more")
    return Found(tuple(lines), total, looked_at)


class Counts(Struct, frozen=True):
    """How many lines there are: by level, and by hour (``2024-05-01 13``) and level.

    :param size: bytes of all files
    :param whole: whether all of them were looked at
    """

    by_level: dict[str, int]
    by_hour: dict[str, int]
    files: int
    size: int
    whole: bool


_TEXT = re.compile(r"(\d{4}-\d\d-\d\d \d\d):\d\d:\d\d(?:,\d{3})? - .{1,200}? - ([A-Z]{3,10}) - ")


class _Line(Struct):
    time: float = 0.0
    level: str = ""


def counts(path: Path, hour_of: Callable[[float], str], most: int) -> Counts:
    """Count the lines of the newest ``most`` bytes.

    :param hour_of: the hour of a moment, as the lines of text write it
    :raises OSError: if they cannot be read
    """
    by_level, by_hour, left = Counter[str](), Counter[str](), most
    with opened(path) as files:
        size = sum(os.fstat(file.fileno()).st_size for file in files)
        for block in blocks(files):
            for line in block:
                hour, level = _stamp(line, hour_of)
                by_level[level] += 1
                by_hour[hour] += 1
                left -= len(line)
            if left < 0:
                break
    return Counts(dict(by_level), dict(sorted(by_hour.items())), len(files), size, whole=left >= 0)


def _stamp(line: str, hour_of: Callable[[float], str]) -> tuple[str, str]:
    if line.startswith("{"):
        try:
            found = msgspec.json.decode(line, type=_Line)
            return hour_of(found.time), found.level or "other"
        except (*UNDECODABLE, ValueError, OverflowError, OSError):
            return "", "other"
    match = _TEXT.match(line)
    return (match[1], match[2]) if match else ("", "other")


class Packed(Struct, frozen=True):
    """A log in one file.

    :param lines: how many are in it
    :param whole: whether that is all of them; otherwise they are the newest
    """

    content: bytes
    compressed: bool
    lines: int
    whole: bool

    def __repr__(self) -> str:
        return f"Packed({len(self.content)} bytes, {self.lines} lines)"


def packed(path: Path, clean: Callable[[str], str], limit: int, most: int) -> Packed:
    """The newest lines, each through ``clean``: as they are if that fits into ``limit`` bytes, otherwise by gzip.

    :param most: bytes that are read at the most
    :raises OSError: if they cannot be read
    """
    with opened(path) as files:
        size = sum(os.fstat(file.fileno()).st_size for file in files)
        compressed = size > limit
        pieces: list[bytes] = []
        length = read = lines = 0
        for block in blocks(files):
            piece = "".join(f"{clean(line)}\n" for line in block).encode("utf-8", "replace")
            made = _gzipped(piece) if compressed else piece
            if length + len(made) > limit or read + len(piece) > most:
                return Packed(b"".join(reversed(pieces)), compressed, lines, whole=False)
            pieces.append(made)
            length, read, lines = length + len(made), read + len(piece), lines + len(block)
    return Packed(b"".join(reversed(pieces)), compressed, lines, whole=True)


def _gzipped(piece: bytes) -> bytes:
    """A member of a gzip file: several in a row are one file."""
    import gzip

    return gzip.compress(piece, 6, mtime=0)
