"""The blacklist as a file: written as JSON or CSV, read back, and read as the older bot wrote it."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from socbot.dispatch.arguments import parse_reference
from socbot.dispatch.errors import InvalidArgument, UserError
from socbot.dispatch.messages import GuildRef, UserRef
from socbot.dispatch.replies import escape
from socbot.documents import UNDECODABLE
from socbot.systems.blacklist import Entry, Kind
from socbot.systems.exports import from_csv, to_csv, to_json

MAX_BYTES = 8 * 1024 * 1024
MAX_ENTRIES = 50_000
LATEST = 1e11
"""Seconds since 1970 beyond which a number is no moment."""

_HEADER = Entry.__struct_fields__
_OLDER_ZONE = "America/Los_Angeles"  # where the older bot ran: its times carry no zone


E = TypeVar("E")
K = TypeVar("K")
Entries = TypeVar("Entries", list[msgspec.Raw], dict[str, msgspec.Raw])


class UnreadableFile(UserError):
    """The file is none that the blacklist can be read from."""


class _OlderEntry(Struct):
    reason: str = ""
    added_by: str | None = None
    added_at: str | None = None
    expires_at: str | None = None


class _Any(Struct, gc=False):
    """Some map."""


class _Shape(Struct):
    """Ours has a list, the older bot's had two maps by id."""

    blacklist: list[_Any] | None = None
    users: dict[str, _Any] | None = None
    guilds: dict[str, _Any] | None = None


class _File(Struct):
    """The same, whose entries are read one by one."""

    blacklist: list[msgspec.Raw] | None = None
    users: dict[str, msgspec.Raw] | None = None
    guilds: dict[str, msgspec.Raw] | None = None


class Read(Struct, frozen=True):
    """What a file holds; ``refused`` are lines about entries that make no sense."""

    entries: tuple[Entry, ...]
    refused: tuple[str, ...]


def write(entries: Sequence[Entry], form: Literal["csv", "json"]) -> bytes:
    if form == "csv":
        return to_csv(_HEADER, [[getattr(entry, name) for name in _HEADER] for entry in entries])
    return to_json({"blacklist": list(entries)})


def read(content: bytes, platform: str, now: float) -> Read:
    """Read an export of ours, or the older bot's ``blacklist.json``, whose ids are of ``platform``.

    :raises UnreadableFile: if it is neither
    """
    if len(content) > MAX_BYTES:
        raise UnreadableFile(f"The file has more than {MAX_BYTES // 1024 // 1024} MiB.")
    for _ in _found(content, platform, now):
        pass  # what is no blacklist is refused before anything is kept of it
    entries, refused = [], []
    for entry in _found(content, platform, now):
        try:
            entries.append(_checked(entry))
        except InvalidArgument as error:
            refused.append(str(error).partition("\n")[0])
    return Read(tuple(entries), tuple(refused))


def _found(content: bytes, platform: str, now: float) -> Iterator[Entry]:
    """
    :raises UnreadableFile: at the first entry that cannot be read
    """
    try:
        if re.match(rb"\s*\{", content):
            yield from _from_json(content, platform, now)
        else:
            yield from _from_csv(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"That is no blacklist: {escape(str(error), 200)}.") from None


def _from_json(content: bytes, platform: str, now: float) -> Iterator[Entry]:
    # Braces bound how many maps there are; reasons may have some, too.
    if content.count(b"{") > 2 * MAX_ENTRIES:
        raise UnreadableFile(f"The file has more than {MAX_ENTRIES:,} entries.")
    msgspec.json.decode(content, type=_Shape)
    file = msgspec.json.decode(content, type=_File)
    if file.blacklist is not None:
        yield from (entry for _, entry in _each(enumerate(_bounded(file.blacklist), 1), _entry))
        return
    if file.users is None and file.guilds is None:
        raise UnreadableFile("That is no blacklist: `blacklist`, `users` or `guilds` is expected in it.")
    yield from _older("user", _bounded(file.users or {}), platform, now)
    yield from _older("guild", _bounded(file.guilds or {}), platform, now)


_entry = msgspec.json.Decoder(Entry).decode
_older_entry = msgspec.json.Decoder(_OlderEntry).decode


def _each(entries: Iterable[tuple[K, msgspec.Raw]], read: Callable[[msgspec.Raw], E]) -> Iterator[tuple[K, E]]:
    for name, raw in entries:
        try:
            yield name, read(raw)
        except UNDECODABLE as error:
            raise UnreadableFile(f"Entry {escape(str(name), 64)}: {escape(str(error), 200)}.") from None


def _bounded(entries: Entries) -> Entries:
    if len(entries) > MAX_ENTRIES:
        raise UnreadableFile(f"The file has more than {MAX_ENTRIES:,} entries.")
    return entries


def _older(kind: Kind, entries: dict[str, msgspec.Raw], platform: str, now: float) -> Iterator[Entry]:
    for id, entry in _each(entries.items(), _older_entry):
        added_at = now if entry.added_at is None else _older_moment(entry.added_at)
        expires_at = None if entry.expires_at is None else _older_moment(entry.expires_at)
        yield Entry(platform, kind, id, entry.reason, entry.added_by or "", added_at, expires_at, "import")


def _older_moment(text: str) -> float:
    """Seconds since 1970; not a number if it is no moment."""
    from zoneinfo import ZoneInfo

    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(_OLDER_ZONE))).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def _from_csv(content: bytes) -> Iterator[Entry]:
    header, rows = from_csv(content)
    if header != _HEADER:
        raise UnreadableFile(f"That is no blacklist: the columns {', '.join(_HEADER)} are expected.")
    for number, row in enumerate(rows, 2):
        if number > MAX_ENTRIES + 1:
            raise UnreadableFile(f"The file has more than {MAX_ENTRIES:,} entries.")
        yield _from_row(number, row)


def _from_row(number: int, row: Sequence[str]) -> Entry:
    values = dict(zip(_HEADER, row, strict=False))
    try:
        return msgspec.convert(values | {"expires_at": values.get("expires_at") or None}, Entry, strict=False)
    except msgspec.ValidationError as error:
        raise UnreadableFile(f"Line {number}: {escape(str(error), 200)}.") from None


def _checked(entry: Entry) -> Entry:
    """:raises InvalidArgument: if the entry makes no sense"""
    parse_reference(GuildRef if entry.kind == "guild" else UserRef, entry.id, entry.platform, entry.kind)
    for name, value in (("added_at", entry.added_at), ("expires_at", entry.expires_at)):
        if value is not None and not 0 <= value <= LATEST:
            raise InvalidArgument(f"{name} of {entry.id}", str(value), "a moment")
    return entry
