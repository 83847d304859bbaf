"""JSON files of unknown origin, read within bounds: of size, depth, nodes and digits."""

import json
import math
import os
import re
import stat
from pathlib import Path
from typing import Any

from msgspec import Struct

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 2_000_000
MAX_DIGITS = 40
"""Digits of a number that is read as one; what is longer is read as no number, which no field takes."""

_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{\]},]', re.DOTALL)


class UnreadableDocument(Exception):
    """The file cannot be read as what it should be; the text says why."""


class Document(Struct, frozen=True):
    """What a file holds; ``repeated`` are keys that were written twice in one map, of which the last counts."""

    values: dict[str, Any]
    repeated: tuple[str, ...] = ()


def read_document(path: Path) -> Document:
    """:raises UnreadableDocument: if it is no file, too large, too deep, or no JSON object"""
    raw = _read(path)
    _check_shape(raw)
    repeated: list[str] = []

    def gather(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            keys = [key for key, _ in pairs]
            repeated.extend(key for key in values if keys.count(key) > 1)
        return values

    try:
        values = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=gather, parse_int=_number)
    except UnicodeDecodeError as error:
        raise UnreadableDocument(f"byte {error.start} is not UTF-8") from None
    except ValueError as error:
        raise UnreadableDocument(f"it is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise UnreadableDocument(f"a JSON object was expected in it, not {name_of(values)}")
    return Document(values, tuple(repeated))


def name_of(value: object) -> str:
    """What a value of JSON is called."""
    names = {dict: "a map", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _read(path: Path) -> bytes:
    try:
        # Without waiting: what looks like a file may be a pipe that nobody writes to.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnreadableDocument("it is no ordinary file")
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableDocument(f"it cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise UnreadableDocument(f"it has more than {MAX_BYTES // 1024 // 1024} MiB")
    return raw


def _check_shape(raw: bytes) -> None:
    """Refuse what would cost too much, before anything is built of it."""
    depth = nodes = 0
    for number, match in enumerate(_MARKS.finditer(raw)):
        mark = match[0]
        if depth < 0 or number > 4 * MAX_NODES:
            raise UnreadableDocument("it is no JSON")
        if mark in (b"[", b"{"):
            depth += 1
            if depth > MAX_DEPTH:
                raise UnreadableDocument(f"it is nested more than {MAX_DEPTH} deep")
        elif mark in (b"]", b"}"):
            depth -= 1
        elif mark == b",":
            nodes += 1
            if nodes > MAX_NODES:
                raise UnreadableDocument(f"it has more than {MAX_NODES:,} values")


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else math.nan
