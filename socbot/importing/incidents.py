"""The older bot's incidents, alerts and drills, in each of the shapes in which it kept them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from socbot.importing.documents import name_of
from socbot.importing.fields import count_of, digest_of, id_of, listing, moment_of, seconds_of, strangers
from socbot.importing.report import Note, Part, judged, refused
from socbot.importing.world import IMPORTER, PLATFORM, World
from socbot.systems.incidents import MOST_ENTRIES, Entry, Incident, write_incident
from socbot.systems.signals import MOST_TEXT, MOST_TITLE, Severity, Signal, severity_of, write_signal

Parts: TypeAlias = Iterator[Part | Note]

_CLOSED = ("closed", "resolved", "completed", "done", "ended", "false positive", "false_positive", "archived")
_OPEN = ("", "open", "active", "new", "investigating", "in progress", "in_progress", "acknowledged", "contained")
_SAFE_ID = re.compile(r"[A-Za-z0-9-]{1,24}", re.ASCII)
_DAY = 86_400.0

_OF_INCIDENT = (
    "id", "title", "severity", "status", "created_at", "created_by", "notes", "evidence", "closed_at", "closed_by",
    "description", "assigned_to", "timeline",
)  # fmt: skip
_OF_ALERT = (
    "id", "title", "severity", "description", "source", "status", "created_at", "created_by", "acknowledged",
    "acknowledged_by", "acknowledged_at", "resolved", "resolved_by", "resolved_at", "escalation_level", "escalated_to",
)  # fmt: skip


class _Case(Struct, frozen=True):
    """One record, its own id, and the guild that it was kept under; empty for none."""

    id: str
    guild: str
    raw: Any


def _cases(document: dict[str, Any], section: str) -> Iterator[_Case | Part]:
    """Records of either shape: by guild and id, or by number under ``section``."""
    for key, values in document.items():
        guild = "" if key == section else id_of(key)
        if key == "counter":
            continue
        if guild is None or not isinstance(values, dict):
            yield refused(key[:40], f"it is no guild with {section}")
            continue
        for id, raw in values.items():
            yield _Case(id, f"{PLATFORM}:{guild}" if guild else "", raw)


def _record(noun: str, case: _Case) -> str:
    return f"{noun} {case.id[:40]}" + (f" of {case.guild}" if case.guild else "")


def _id(letter: str, written: object) -> str:
    """The id under which it is found: its own where that can be typed."""
    text = str(written) if isinstance(written, (str, int)) else ""
    if not _SAFE_ID.fullmatch(text):
        return f"{letter}-{digest_of(written)[:10].upper()}"
    return text.upper() if text.upper().startswith("DRILL-") else f"{letter}-{text.upper()}"


def _severity(written: object, corrections: list[str]) -> Severity:
    found = severity_of(str(written)) if isinstance(written, (str, int)) else None
    if found is None:
        corrections.append("its severity is none that socbot knows: warning")
    return found or "warning"


# -- incidents ----------------------------------------------------------------------------------------


def read_incidents(document: dict[str, Any], world: World) -> Parts:
    """Each incident with its notes and evidence as its timeline."""
    for case in _cases(document, "incidents"):
        if isinstance(case, Part):
            yield case
            continue
        yield from strangers([case.raw], _OF_INCIDENT, f" of {case.id[:20]}")
        yield _incident(case, world)


def _incident(case: _Case, world: World) -> Part:
    record, raw = _record("incident", case), case.raw
    if not isinstance(raw, dict):
        return refused(record, f"a map was expected, not {name_of(raw)}")
    opened_at, title = world.past(raw.get("created_at")), world.text(raw.get("title"), MOST_TITLE)
    if opened_at is None or not title:
        return refused(record, "it has no title, or when it was opened cannot be read")
    corrections: list[str] = []
    status = word_of_status(raw.get("status"), corrections)
    closed_at = world.past(raw.get("closed_at")) if status == "closed" else None
    if status == "closed" and closed_at is None:
        corrections.append("when it was closed is not known: as soon as it was opened")
        closed_at = opened_at
    incident = Incident(
        _id("I", raw.get("id", case.id)), "incident", case.guild, title, _severity(raw.get("severity"), corrections),
        "closed" if status == "closed" else "open", world.person(raw.get("created_by")), opened_at,
        world.person(raw.get("closed_by")) if status == "closed" else None, closed_at,
    )  # fmt: skip
    entries = [Entry(opened_at, incident.opened_by, "opened", world.text(raw.get("description"), MOST_TEXT, "\n"))]
    for name, action in (("timeline", ""), ("notes", "note"), ("evidence", "evidence")):
        entries += _entries(raw, name, action, incident, world, corrections)
    if raw.get("assigned_to"):
        entries.append(Entry(opened_at, IMPORTER, "assigned", f"to {world.person(raw['assigned_to'])}"))
    return _part(record, case, incident, entries, corrections, world)


def word_of_status(written: object, corrections: list[str]) -> str:
    """``open`` or ``closed``."""
    word = written.strip().lower() if isinstance(written, str) else ""
    if word not in _CLOSED and word not in _OPEN:
        corrections.append("its status is none that socbot knows: open")
    return "closed" if word in _CLOSED else "open"


def _entries(
    raw: dict[str, Any], name: str, action: str, incident: Incident, world: World, corrections: list[str]
) -> Iterator[Entry]:
    values, wrong = listing(raw, name)
    if wrong:
        corrections.append(f"its {name} are no list")
    for value in values:
        entry = _entry(value, action, incident.opened_at, world)
        if entry is None:
            corrections.append(f"one of its {name} cannot be read")
        else:
            yield entry


def _entry(value: object, action: str, otherwise: float, world: World) -> Entry | None:
    """An entry of a timeline in any of the ways in which it was written down."""
    if isinstance(value, str):
        return Entry(otherwise, IMPORTER, action or "note", world.text(value, MOST_TEXT, "\n"))
    if not isinstance(value, dict):
        return None
    text = next((value[key] for key in ("text", "note", "details", "description", "message", "event", "content")
                 if isinstance(value.get(key), str)), None)  # fmt: skip
    if text is None:
        text = msgspec.json.encode({key: each for key, each in value.items() if key != "timestamp"}).decode()
    by = next((value[key] for key in ("author", "user", "by", "user_id", "added_by") if value.get(key)), None)
    at = next((found for key in ("timestamp", "at", "time") if (found := world.past(value.get(key)))), otherwise)
    named = action or world.text(value.get("action"), 40) or "note"
    return Entry(at, world.person(by), named, world.text(text, MOST_TEXT, "\n"))


def _part(
    record: str, case: _Case, incident: Incident, entries: Iterable[Entry], corrections: list[str], world: World
) -> Part:
    incident = msgspec.structs.replace(incident, id=world.own_id(incident.id, case.guild))
    ordered = sorted(entries, key=lambda each: each.at)
    if incident.closed_at is not None:
        ordered.append(Entry(incident.closed_at, incident.closed_by or IMPORTER, "closed", ""))
    if len(ordered) > MOST_ENTRIES:
        corrections.append(f"its timeline has {len(ordered)} entries: the last {MOST_ENTRIES}")
    kept = ordered[-MOST_ENTRIES:]
    return Part(
        f"{case.guild}:{incident.id}",
        case.raw,
        (judged(record, dict.fromkeys(corrections)),),
        lambda connection: write_incident(connection, incident, kept),
    )


# -- drills -------------------------------------------------------------------------------------------


def read_threat_drills(document: dict[str, Any], world: World) -> Parts:
    """``{"history": [drill]}``"""
    yield from strangers([document], ("history",))
    drills, wrong = listing(document, "history")
    yield from wrong
    known = ("drill_id", "guild_id", "type", "difficulty", "score", "started_at", "ended_at", "duration_seconds")
    yield from strangers(drills, known, " of drills")
    for raw in drills:
        guild = id_of(raw.get("guild_id")) if isinstance(raw, dict) else None
        id = str(raw.get("drill_id", "")) if isinstance(raw, dict) else ""
        yield _drill(_Case(id, f"{PLATFORM}:{guild}" if guild else "", raw), world)


def read_security_drills(document: dict[str, Any], world: World) -> Parts:
    """``{"<guild>": {"drills": [drill]}}``"""
    for key, values in document.items():
        guild = id_of(key)
        drills, wrong = listing(values if isinstance(values, dict) else {}, "drills")
        if guild is None or not isinstance(values, dict) or wrong:
            yield refused(key[:40], "it is no guild with drills")
            continue
        for raw in drills:
            id = str(raw.get("drill_id", "")) if isinstance(raw, dict) else ""
            yield _drill(_Case(id, f"{PLATFORM}:{guild}", raw), world)


def read_old_drills(document: dict[str, Any], world: World) -> Parts:
    """``{"drills": {"1": drill}, "counter": 1}``"""
    for case in _cases(document, "drills"):
        yield case if isinstance(case, Part) else _drill(case, world)


def _drill(case: _Case, world: World) -> Part:
    record, raw = _record("drill", case), case.raw
    if not isinstance(raw, dict):
        return refused(record, f"a map was expected, not {name_of(raw)}")
    started_at = _first(world.past, raw, ("started_at", "activated_at"))
    title = world.text(raw.get("type"), MOST_TITLE)
    if started_at is None or not title:
        return refused(record, "it has no type, or when it was started cannot be read")
    corrections: list[str] = []
    ended_at = _ended_at(raw, started_at, world, corrections)
    by = world.person(raw.get("started_by", raw.get("activated_by")))
    id = _id("D", case.id or raw)
    if re.fullmatch(r"DRILL-\d{1,6}", id) and case.guild:  # counted in each guild by itself
        id = f"{id}-{case.guild.rpartition(':')[2]}"
    drill = Incident(id, "drill", case.guild, title, "info", "closed", by, started_at, IMPORTER, ended_at)
    entries = [Entry(started_at, by, "opened", world.text(_facts(raw), MOST_TEXT))]
    for name in ("timeline", "events", "responses", "team_responses"):
        entries += _entries(raw, name, "", drill, world, corrections)
    return _part(record, case, drill, entries, corrections, world)


def _ended_at(raw: dict[str, Any], started_at: float, world: World, corrections: list[str]) -> float:
    ended_at = _first(world.past, raw, ("ended_at", "completed_at", "end_time"))
    seconds, minutes = seconds_of(raw.get("duration_seconds")), seconds_of(raw.get("duration_minutes"))
    lasted = seconds if seconds is not None else minutes * 60 if minutes is not None else None
    if ended_at is None and lasted is not None and started_at + lasted <= world.now:
        ended_at = started_at + lasted
    if ended_at is None or ended_at < started_at:
        corrections.append("when it ended is not known, and it is over: as soon as it was started")
        return started_at
    return ended_at


def _facts(raw: Mapping[str, Any]) -> str:
    """What else is known of a drill, in words."""
    names = ("protocol", "protocol_description", "level", "difficulty", "score")
    return ", ".join(
        f"{name.replace('_', ' ')}: {raw[name]}" for name in names if isinstance(raw.get(name), (str, int))
    )


def _first(read: Any, raw: Mapping[str, Any], names: Iterable[str]) -> float | None:
    return next((found for name in names if (found := read(raw.get(name))) is not None), None)


# -- alerts -------------------------------------------------------------------------------------------


def read_alerts(document: dict[str, Any], world: World) -> Parts:
    """Each alert as a signal that is not delivered any more."""
    for case in _cases(document, "alerts"):
        if isinstance(case, Part):
            yield case
            continue
        yield from strangers([case.raw], _OF_ALERT, f" of {case.id[:20]}")
        yield _alert(case, world)


def _alert(case: _Case, world: World) -> Part:
    record, raw = _record("alert", case), case.raw
    if not isinstance(raw, dict):
        return refused(record, f"a map was expected, not {name_of(raw)}")
    at, title = world.past(raw.get("created_at")), world.text(raw.get("title"), MOST_TITLE)
    if at is None or not title:
        return refused(record, "it has no title, or when it was raised cannot be read")
    if at < world.now - world.config.signals.retention_days * _DAY:
        return refused(record, "it is older than signals.retention_days")
    corrections: list[str] = []
    severity = _severity(raw.get("severity"), corrections)
    id = world.own_id(_id("S", raw.get("id", case.id)), case.guild)
    source = world.person(raw["created_by"]) if raw.get("created_by") else world.text(raw.get("source"), 64)
    signal = Signal(
        id, "alert", severity, title, world.text(raw.get("description"), MOST_TEXT, "\n"), at, at,
        source or IMPORTER, f"import:{case.guild}:{id}"[:200], "", tuple(_fields(case, raw, world)),
    )  # fmt: skip
    return Part(
        f"{case.guild}:{id}",
        raw,
        (judged(record, corrections),),
        lambda connection: write_signal(connection, signal),
    )


def _fields(case: _Case, raw: dict[str, Any], world: World) -> Iterator[tuple[str, str]]:
    if case.guild:
        yield "Guild", case.guild
    for name, label in (("status", "Status"), ("source", "Source")):
        if shown := world.text(raw.get(name), 100):
            yield label, shown
    for name in ("acknowledged", "resolved"):
        if raw.get(name) is True:
            at = moment_of(raw.get(f"{name}_at"), world.zone)
            when = f" at <t:{int(at)}>" if at is not None else ""
            yield name.capitalize(), f"by {world.person(raw.get(f'{name}_by'))}{when}"
    level = count_of(raw.get("escalation_level"))
    if level:
        to = f", to {world.text(raw.get('escalated_to'), 64)}" if raw.get("escalated_to") else ""
        yield "Escalation", f"level {level}{to}"
