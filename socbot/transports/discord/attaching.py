"""Files as Discord takes them: how many, how large, and what they may be called."""

import gzip
import io
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator

from socbot.dispatch.replies import File, escape

MAX_FILES = 10
MAX_FILE = 10 * 1024 * 1024
"""Bytes of one file, where nobody paid for more."""

MAX_TOGETHER = 20 * 1024 * 1024
"""Bytes of all files of a message: of the 25 MiB that a request may have, some is left to what the bot adds itself."""

_MAX_NAME = 100
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LEADING = re.compile(r"(?:SPOILER_|[._-])+", re.IGNORECASE)
_UNIT = 1024 * 1024


def attached(files: tuple[File, ...], room: int = MAX_FILES) -> tuple[tuple[File, ...], tuple[str, ...]]:
    """``files`` as they can be sent, and a sentence for each that cannot.

    What is too large is compressed if that helps. More than ``room`` files go in one archive. Compressing takes some
    30 ms for each MiB: call it from a thread when files are large.
    """
    if not files:
        return (), ()
    if len(files) > room:
        files = (_archive(files),)
    kept: list[File] = []
    complaints: list[str] = []
    left = MAX_TOGETHER
    for file in map(_compressed, _named_apart(files)):
        limit = min(MAX_FILE, left)
        if len(file.content) > limit:
            complaints.append(_too_large(file, limit))
        else:
            kept.append(file)
            left -= len(file.content)
    return tuple(kept), tuple(complaints)


def safe_name(name: str) -> str:
    """``name`` without folders, in ASCII, short, and without the mark by which Discord hides a picture."""
    last = re.split(r"[/\\]", name)[-1]
    ascii_only = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode()
    safe = _UNSAFE.sub("_", ascii_only).rstrip("._-")
    if hidden := _LEADING.match(safe):
        safe = safe[hidden.end() :]
    stem, dot, ending = safe.rpartition(".")
    if dot and len(ending) <= 10:
        return stem[: _MAX_NAME - len(ending) - 1] + dot + ending
    return safe[:_MAX_NAME] or "file"


def _named_apart(files: Iterable[File]) -> Iterator[File]:
    """The files under safe names, no two alike."""
    taken: set[str] = set()
    for file in files:
        name = _free(safe_name(file.name), taken)
        taken.add(name.lower())
        yield File(name, file.content)


def _free(name: str, taken: set[str]) -> str:
    count, free = 1, name
    while free.lower() in taken:
        count += 1
        free = f"{count}-{name[-_MAX_NAME + 8 :]}"
    return free


def _compressed(file: File) -> File:
    """The file, compressed if it is too large."""
    if len(file.content) <= MAX_FILE:
        return file
    smaller = gzip.compress(file.content, mtime=0)
    return File(file.name[: _MAX_NAME - 3] + ".gz", smaller) if len(smaller) <= MAX_FILE else file


def _archive(files: Iterable[File]) -> File:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in _named_apart(files):
            archive.writestr(zipfile.ZipInfo(file.name), file.content, zipfile.ZIP_DEFLATED)
    return File("files.zip", buffer.getvalue())


def _too_large(file: File, limit: int) -> str:
    size, most = len(file.content) / _UNIT, limit / _UNIT
    return f"`{escape(file.name)}` does not fit: it has {size:.1f} MiB, and {most:.1f} MiB can be sent here."
