"""The older bot's ``error_log.json``: each error cleaned and classified as socbot does it."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from socbot.importing.documents import name_of
from socbot.importing.fields import count_of, digest_of, id_of, keyed, listing, mapping, strangers
from socbot.importing.report import Finding, Note, Part, judged, refused
from socbot.importing.world import PLATFORM, World
from socbot.systems.errors import records
from socbot.systems.errors.anatomy import Severity, group_of, short_id, template_of
from socbot.systems.errors.records import Occurrence, Record

_KNOWN = ("total_errors", "errors", "error_types", "command_errors")
_OF_ERROR = (
    "timestamp", "type", "message", "command", "user_id", "guild_id", "channel_id", "traceback", "severity",
)  # fmt: skip
_MESSAGE, _TRACEBACK = 4_000, 20_000


def read(document: dict[str, Any], world: World) -> Iterator[Part | Note]:
    """Each error, oldest first; the totals beyond them have no moment, and are refused."""
    yield from strangers([document], _KNOWN)
    errors, wrong = listing(document, "errors")
    yield from wrong
    yield from strangers(errors, _OF_ERROR, " of errors")
    found = [_error(f"error {number}", *each, world) for number, each in enumerate(keyed(errors), 1)]
    yield from (part for _, part in sorted(found, key=lambda each: each[0]))  # a group begins with its oldest
    yield from _totals("error_types", "type", document, errors)
    yield from _totals("command_errors", "command", document, errors)


def _error(record: str, key: str, raw: Any, world: World) -> tuple[float, Part]:
    """When it was, and what becomes of it."""
    if not isinstance(raw, dict):
        return 0.0, refused(record, f"a map was expected, not {name_of(raw)}")
    at = world.past(raw.get("timestamp"))
    if at is None:
        return 0.0, refused(record, "when it happened cannot be read")
    kind = world.text(raw.get("type"), 100)
    if not kind:
        return 0.0, refused(record, "it has no type")
    severity: Severity = world.config.errors.severities.get(kind, "info")
    corrections = []
    if raw.get("severity") != severity:
        corrections.append(f"its severity is {severity}")
    for name in ("user_id", "guild_id", "channel_id"):
        if raw.get(name) is not None and id_of(raw.get(name)) is None:
            corrections.append(f"its {name} is no Discord id: none")
    occurrence = _occurrence(key, raw, at, kind, severity, world)
    keep = world.value("errors.max_errors")

    def write(connection: Any) -> None:
        records.write(connection, [occurrence], {}, keep, lambda: "E-" + short_id(world.bot.random.getrandbits(30)))

    return at, Part(key, raw, (judged(record, corrections),), write)


def _occurrence(key: str, raw: dict[str, Any], at: float, kind: str, severity: Severity, world: World) -> Occurrence:
    message, command = world.text(raw.get("message"), _MESSAGE, "\n"), world.text(raw.get("command"), 200)
    template = template_of(message)
    record = Record(
        error_id="E-" + short_id(int(digest_of(key), 16)),
        group_id=group_of(kind, command, (), template),
        at=at,
        severity=severity,
        type=kind,
        message=message,
        command="" if command == "unknown" else command,
        platform=PLATFORM,
        subject=world.subject(raw.get("user_id")),
        guild=id_of(raw.get("guild_id")) or "",
        channel=id_of(raw.get("channel_id")) or "",
        trace_id="",
        traceback=world.text(raw.get("traceback"), _TRACEBACK, "\n"),
    )
    return Occurrence(record, template)


def _totals(section: str, name: str, document: dict[str, Any], errors: list[Any]) -> Iterator[Part]:
    """What was counted: those that are in the list are taken with it, for the others only the number is known."""
    counts, wrong = mapping(document, section)
    yield from wrong
    listed = Counter(raw[name] for raw in errors if isinstance(raw, dict) and isinstance(raw.get(name), str))
    for written, raw in counts.items():
        record, count = f"{section}.{written[:60]}", count_of(raw)
        if count is None:
            yield refused(record, "it is no count")
        elif count > listed[written]:
            yield refused(
                record, f"{count - listed[written]} of {count} are not in the list: when they were is not known"
            )
        else:
            finding = Finding(record, "taken", "with the errors in the list")
            yield Part(record, count, (finding,), lambda connection: None)
