"""The older bot's ``blacklist.json``."""

from collections.abc import Iterator
from typing import Any

from socbot.importing.fields import id_of, mapping, moment_of, strangers
from socbot.importing.report import Note, Part, judged, refused, there_already
from socbot.importing.world import IMPORTER, PLATFORM, World
from socbot.systems.blacklist import MAX_REASON, Entry, Kind, write_entry

_KNOWN = ("users", "guilds", "total_users", "total_guilds")
_OF_ENTRY = ("reason", "added_by", "added_at", "expires_at")


def read(document: dict[str, Any], world: World) -> Iterator[Part | Note]:
    """Each entry; its totals are counted anew."""
    yield from strangers([document], _KNOWN)
    kind: Kind
    for kind in ("user", "guild"):
        entries, wrong = mapping(document, f"{kind}s")
        yield from wrong
        yield from strangers(entries.values(), _OF_ENTRY, f" of {kind}s")
        for id, entry in entries.items():
            yield _entry(kind, id, entry, world)
        total = document.get(f"total_{kind}s")
        if total is not None and total != len(entries):
            yield Note(f"total_{kind}s is not {len(entries)}, which is how many there are")


def _entry(kind: Kind, written: str, raw: Any, world: World) -> Part:
    record, id = f"{kind} {written[:40]}", id_of(written)
    if id is None:
        return refused(record, "that is no Discord id")
    if not isinstance(raw, dict):
        return refused(record, "an entry has to be a map")
    if kind == "user" and world.bot.blacklist.is_protected((PLATFORM, id)):
        return refused(record, "an owner or the bot itself cannot be listed")
    corrections: list[str] = []
    added_at = world.past(raw.get("added_at"))
    if added_at is None:
        corrections.append("when it was added cannot be read: now")
    expires_at = raw.get("expires_at")
    ends = moment_of(expires_at, world.zone)
    if expires_at is not None and ends is None:
        corrections.append("its end cannot be read: without an end")
    if ends is not None and ends <= world.now:
        return refused(record, "it has ended")
    if not isinstance(raw.get("reason", ""), str):
        corrections.append("its reason is no text")
    if (kind, (PLATFORM, id)) in world.listed:
        return there_already(record, "it is listed; what is listed stays as it is")
    reason = world.text(raw.get("reason"), MAX_REASON)
    added = world.now if added_at is None else added_at
    entry = Entry(PLATFORM, kind, id, reason, world.person(raw.get("added_by")), added, ends, "import")
    return Part(
        f"{kind}:{id}",
        raw,
        (judged(record, corrections),),
        lambda connection: write_entry(connection, entry, IMPORTER, world.now),
    )
