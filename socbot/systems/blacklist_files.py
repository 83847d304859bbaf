"""The blacklist as a file: written as JSON or CSV, read back, and read as the older bot wrote it."""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct

from socbot.dispatch.arguments import parse_reference
from socbot.dispatch.errors import InvalidArgument, UserError
from socbot.dispatch.messages import GuildRef, UserRef
from socbot.dispatch.replies import escape
from socbot.documents import UNDECODABLE
from socbot.systems.blacklist import Entry, Kind
from socbot.systems.exports import from_csv, to_csv, to_json

MAX_BYTES = 16 * 1024 * 1024
LATEST = 1e11
"""Seconds since 1970 beyond which a number is no moment."""

_HEADER = Entry.__struct_fields__
_OLDER_ZONE = "America/Los_Angeles"  # where the older bot ran: its times carry no zone


class UnreadableFile(UserError):
    """The file is none that the blacklist can be read from."""


class _OlderEntry(Struct):
    reason: str = ""
    added_by: str | None = None
    added_at: str | None = None
    expires_at: str | None = None


class _File(Struct):
    """Ours has a list, the older bot's had two maps by id."""

    blacklist: list[Entry] | None = None
    users: dict[str, _OlderEntry] | None = None
    guilds: dict[str, _OlderEntry] | None = None


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
    found = _from_json(content, platform, now) if content.lstrip()[:1] == b"{" else _from_csv(content)
    entries, refused = [], []
    for entry in found:
        try:
            entries.append(_checked(entry))
        except InvalidArgument as error:
            refused.append(str(error).partition("\n")[0])
    return Read(tuple(entries), tuple(refused))


def _from_json(content: bytes, platform: str, now: float) -> list[Entry]:
    try:
        file = msgspec.json.decode(content, type=_File)
    except UNDECODABLE as error:
        raise UnreadableFile(f"That is no blacklist: {escape(str(error), 200)}.") from None
    if file.blacklist is not None:
        return file.blacklist
    if file.users is None and file.guilds is None:
        raise UnreadableFile("That is no blacklist: `blacklist`, `users` or `guilds` is expected in it.")
    return [
        *_older("user", file.users or {}, platform, now),
        *_older("guild", file.guilds or {}, platform, now),
    ]


def _older(kind: Kind, entries: dict[str, _OlderEntry], platform: str, now: float) -> Iterable[Entry]:
    for id, entry in entries.items():
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


def _from_csv(content: bytes) -> list[Entry]:
    try:
        header, rows = from_csv(content)
    except (ValueError, UnicodeDecodeError) as error:
        raise UnreadableFile(f"That is no blacklist: {escape(str(error), 200)}.") from None
    if header != _HEADER:
        raise UnreadableFile(f"That is no blacklist: the columns {', '.join(_HEADER)} are expected.")
    return [_from_row(number, row) for number, row in enumerate(rows, 2)]


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
