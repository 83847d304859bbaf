"""The operator's files beside the store: what they are called in a backup, and where they go back to."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from socbot.documents import ConfigError
from socbot.storage.snapshots import Source
from socbot.systems.backup.errors import Damaged

FILES: Final = "files"
"""The folder in a backup under which they stand: a name for each of ``backup.paths``, and beneath it what is in it."""

_PLAIN: Final = re.compile(r"[^A-Za-z0-9._-]")
_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)


def sources(paths: Iterable[str]) -> Iterator[Source]:
    """Every file there is at ``paths`` and beneath them; what is no plain file is left out. On a worker's thread."""
    for path in paths:
        found = Path(path).resolve()
        if found.is_file():
            yield Source(prefix(path), found.resolve())  # a path that an operator names may be a link
        elif found.is_dir():
            yield from _beneath(found, prefix(path))


def _beneath(folder: Path, name: str) -> Iterator[Source]:
    for each in sorted(folder.iterdir()):
        if each.is_symlink():
            continue
        inner = f"{name}/{written(each.name)}"
        if each.is_dir():
            yield from _beneath(each, inner)
        elif each.is_file():
            yield Source(inner, each)


def check(paths: Sequence[str], others: Iterable[Path]) -> None:
    """:raises ConfigError: if one of ``paths`` holds, or is within, one of ``others``: they are restored another way"""
    places = [(path, Path(path).resolve()) for path in paths]
    for path, place in places:
        for other in (each.resolve() for each in others):
            if place == other or place in other.parents or other in place.parents:
                raise ConfigError(f"backup.paths: {path} and {other} overlap, and a restore would mix them up")
        for path2, place2 in places:
            if path2 != path and (place == place2 or place in place2.parents):
                raise ConfigError(f"backup.paths: {path2} is within {path}: name only one of them")


def prefix(path: str) -> str:
    """The name in a backup of what is at ``path``: the path as config.yaml has it, in one piece."""
    return f"{FILES}/{written(path)}"


def written(text: str) -> str:
    """``text`` as one part of a name in a backup: what is more than plain is written like %2F."""
    safe = _PLAIN.sub(
        lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogateescape")), text
    )
    if safe.strip(".") == "" or safe.endswith(".") or _DEVICE.fullmatch(safe):
        safe = f"%{ord(safe[0]):02X}{safe[1:]}" if not safe.endswith(".") else f"{safe[:-1]}%2E"
    return safe


def read_back(part: str, allowed: str = "") -> str:
    """The reverse of ``written``, for what is in a folder.

    :param allowed: "/" where a path is read back, to be shown
    :raises Damaged: if it is no name that ``written`` makes, or none of a file
    """
    text = unquote(part, errors="surrogateescape")
    if written(text) != part or text in ("", ".", "..") or ("/" in text and not allowed) or "\0" in text:
        raise Damaged(part, "its name is none that a backup gives")
    return text
