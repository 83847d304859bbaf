"""The older bot's ``command_analytics.json``, made into rows of usage.

It kept sums: by command, by command and user, by command and guild, by hour and by day, but not which of them go
together. socbot keeps one row for each hour, guild, user and command. The rows that are made here add up to the older
bot's sums wherever those agree with one another; what went together is a guess, and nothing else hangs on it.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from msgspec import Struct

from socbot.importing.fields import count_of, id_of, mapping, seconds_of, strangers
from socbot.importing.report import Finding, Note, Part, judged
from socbot.importing.world import PLATFORM, World
from socbot.storage.connection import Connection
from socbot.systems.analytics import UsageRow, add_rows

UNKNOWN = "unknown"
"""Whose, or where, a command was that is counted without it."""

_KNOWN = (
    "total_commands", "total_errors", "commands", "users", "guilds", "hourly", "daily", "start_time",
)  # fmt: skip
_OF_COMMAND = ("count", "errors", "total_time", "users", "first_use", "last_use")
_HOUR, _DAY = 3600.0, 86_400.0
_MOST_COMMANDS = 10_000


class Command(Struct):
    """What is known of one command: how often, how often it failed, how long in all, and between which moments."""

    name: str
    count: int
    failed: int
    seconds: float
    first: float
    last: float


class Slot(Struct):
    """An hour, in hours since 1970, with commands that are not given to anybody yet."""

    hour: int
    left: int


class Share(Struct, frozen=True):
    """``count`` commands of one user, in one guild, of one hour, or that ended in one way."""

    value: Any
    count: int


def read(document: dict[str, Any], world: World) -> Iterator[Part | Note]:
    """The whole file as one part: its sums make sense together only."""
    yield from strangers([document], _KNOWN)
    findings: list[Finding] = []
    commands = _commands(document, world, findings)
    users = _shares(document, "users", commands, world, findings)
    guilds = _shares(document, "guilds", commands, world, findings)
    slots = _slots(document, world, findings)
    oldest = int((world.now - world.config.analytics.retention_days * _DAY) // _HOUR)
    rows, old = _kept(_rows(commands, users, guilds, slots), oldest)
    if old:
        yield Note(f"{old} commands are older than analytics.retention_days, and not counted")
    yield from _totals(document, commands)
    if findings:
        yield Part("usage", document, tuple(findings), lambda connection: _write(connection, rows))


def _write(connection: Connection, rows: Iterable[UsageRow]) -> None:
    add_rows(connection, rows)


def _kept(rows: Iterable[UsageRow], oldest: int) -> tuple[list[UsageRow], int]:
    """The rows of the hours that are kept, and how many commands are in the others."""
    found = list(rows)
    kept = [row for row in found if row.hour >= oldest]
    return kept, sum(row.count for row in found) - sum(row.count for row in kept)


def _totals(document: dict[str, Any], commands: list[Command]) -> Iterator[Note]:
    count, failed = sum(each.count for each in commands), sum(each.failed for each in commands)
    if document.get("total_commands") not in (None, count):
        yield Note(f"total_commands is not the sum of its commands, which counts: {count}")
    total = count_of(document.get("total_errors"))
    if total is not None and total > failed:
        yield Note(f"{total - failed} of its {total} errors are those of no command that was used: not counted here")


# -- what the file says -------------------------------------------------------------------------------


def _commands(document: dict[str, Any], world: World, findings: list[Finding]) -> list[Command]:
    entries, wrong = mapping(document, "commands")
    findings += [finding for part in wrong for finding in part.findings]
    start = world.past(document.get("start_time"))
    commands: list[Command] = []
    for name, raw in entries.items():
        record = f"command {name[:60]}"
        if not isinstance(raw, dict) or count_of(raw.get("count")) is None or not name or len(name) > 100:
            findings.append(Finding(record, "refused", "it has no count"))
        elif len(commands) >= _MOST_COMMANDS:
            findings.append(Finding(record, "refused", f"more than {_MOST_COMMANDS} commands are no commands"))
        else:
            commands.append(_command(name, raw, start, world, findings))
    return commands


def _command(name: str, raw: dict[str, Any], start: float | None, world: World, findings: list[Finding]) -> Command:
    corrections = []
    count, failed = count_of(raw.get("count")) or 0, count_of(raw.get("errors", 0))
    if failed is None:
        corrections.append("its errors are no count: none")
    elif failed > count:
        corrections.append(f"it failed {failed} times in {count} uses: {count} times")
    seconds = seconds_of(raw.get("total_time", 0))
    if seconds is None:
        corrections.append("its time is no length of time: none")
    first, last = world.past(raw.get("first_use")), world.past(raw.get("last_use"))
    if first is None or last is None or first > last:
        corrections.append("when it was used cannot be read: by the hours alone")
        first, last = start if start is not None else 0.0, world.saved_at
    findings.append(judged(f"command {name[:60]}", corrections))
    return Command(world.text(name, 100), count, min(failed or 0, count), seconds or 0.0, first, last)


def _shares(
    document: dict[str, Any], section: str, commands: list[Command], world: World, findings: list[Finding]
) -> dict[str, list[Share]]:
    """For each command, whose it was, or where."""
    entries, wrong = mapping(document, section)
    findings += [finding for part in wrong for finding in part.findings]
    shares: dict[str, list[Share]] = {each.name: [] for each in commands}
    for written, raw in entries.items():
        record = f"{section.removesuffix('s')} {written[:40]}"
        whose = _whose(section, written, world)
        own = raw.get("commands") if isinstance(raw, dict) else None
        if whose is None or not isinstance(own, dict):
            findings.append(Finding(record, "refused", "it has no Discord id, or no commands"))
            continue
        findings.append(judged(record, _share_out(whose, own, shares, world)))
    return shares


def _whose(section: str, written: str, world: World) -> str | None:
    if section == "guilds":
        return "" if written == "DM" else id_of(written)
    return world.subject(written) or None


def _share_out(whose: str, own: dict[str, Any], shares: dict[str, list[Share]], world: World) -> Iterator[str]:
    for name, raw in own.items():
        count, command = count_of(raw), world.text(name, 100)
        if count is None or command not in shares:
            yield f"{command[:40]} is no command that was counted, or has no count"
        elif count:
            shares[command].append(Share(whose, count))


def _slots(document: dict[str, Any], world: World, findings: list[Finding]) -> list[Slot]:
    """The hours in which there were commands; of a day that has more than its hours, the rest at noon."""
    hours: dict[int, int] = {}
    by_day: dict[str, int] = {}
    for written, raw in _section(document, "hourly", findings):
        count, moment = count_of(raw), _local(written, "%Y-%m-%d %H:%M")
        hour = None if moment is None else _hour_of(moment, world.zone, world.now)
        if count is None or hour is None:
            findings.append(Finding(f"hour {written[:20]}", "refused", "it is no hour, or has no count"))
            continue
        findings.append(judged(f"hour {written[:20]}", _doubts(moment, world.zone)))
        hours[hour] = hours.get(hour, 0) + count
        by_day[written[:10]] = by_day.get(written[:10], 0) + count
    for written, raw in _section(document, "daily", findings):
        _add_day(written, raw, by_day, hours, world, findings)
    return [Slot(hour, hours[hour]) for hour in sorted(hours)]


def _add_day(
    written: str, raw: object, by_day: dict[str, int], hours: dict[int, int], world: World, findings: list[Finding]
) -> None:
    count, moment = count_of(raw), _local(written, "%Y-%m-%d")
    noon = None if moment is None else _hour_of(moment + timedelta(hours=12), world.zone, world.now + _DAY)
    if count is None or noon is None:
        findings.append(Finding(f"day {written[:20]}", "refused", "it is no day, or has no count"))
        return
    rest = count - by_day.get(written, 0)
    corrections = [f"{rest} of {count} commands are of no hour: at noon"] if rest > 0 else []
    if rest < 0:
        corrections = [f"its hours have {-rest} more than the day: the hours count"]
    if rest > 0:
        hours[noon] = hours.get(noon, 0) + rest
    findings.append(judged(f"day {written[:20]}", corrections))


def _section(document: dict[str, Any], name: str, findings: list[Finding]) -> Iterator[tuple[str, Any]]:
    entries, wrong = mapping(document, name)
    findings += [finding for part in wrong for finding in part.findings]
    yield from entries.items()


def _local(written: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(written, form) if len(written) <= 20 else None
    except ValueError:
        return None


def _hour_of(local: datetime | None, zone: tzinfo, latest: float) -> int | None:
    try:
        at = -1.0 if local is None else local.replace(tzinfo=zone).timestamp()
    except (ValueError, OverflowError):
        return None
    return int(at // _HOUR) if 0 <= at <= latest else None


def _doubts(local: datetime | None, zone: tzinfo) -> Iterator[str]:
    """Where clocks were set forward or back, a local hour is none, or two."""
    if local is None:
        return
    first, second = (local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    if first != second:
        there = local.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None)
        yield "that hour was there twice: the first" if there == local else "that hour was skipped: the next"


# -- rows of it ---------------------------------------------------------------------------------------


def _rows(
    commands: list[Command], users: dict[str, list[Share]], guilds: dict[str, list[Share]], slots: list[Slot]
) -> Iterator[UsageRow]:
    """Rows that add up to all of them. Those commands get their hours first that were used for the shortest time."""
    for command in sorted(commands, key=lambda each: (each.last - each.first, each.name)):
        ways = (
            _padded(users[command.name], command.count),
            _padded(guilds[command.name], command.count),
            _hours(command, slots),
            _padded([Share("failed", command.failed), Share("ok", command.count)], command.count),
        )
        for (user, guild, hour, status), count in overlaid(*ways):
            yield _row(command, status, count, user, guild, hour)


def _row(command: Command, status: str, count: int, user: str, guild: str, hour: int) -> UsageRow:
    began = hour * _HOUR
    first, last = (min(max(began, at), began + _HOUR - 1) for at in (command.first, command.last))
    return UsageRow(
        hour, PLATFORM, guild, user, command.name, status, "", count, command.seconds * count / command.count,
        first, last if began <= command.last < began + _HOUR else first,
    )  # fmt: skip


def _padded(shares: Iterable[Share], count: int) -> Iterator[Share]:
    """``shares`` cut or filled up to ``count`` in all."""
    for share in shares:
        if part := min(share.count, count):
            yield Share(share.value, part)
            count -= part
    if count:
        yield Share(UNKNOWN, count)


def _hours(command: Command, slots: list[Slot]) -> Iterator[Share]:
    """In which hours the command was used, as far as ``slots`` have any left: first of all when it is known to be."""
    left, (first, last) = command.count, (int(command.first // _HOUR), int(command.last // _HOUR))
    known = [(slot, 1) for slot in slots if slot.hour in (first, last)]
    within = [(slot, slot.left) for slot in slots if first <= slot.hour <= last]
    for slot, most in (*known, *within, *((slot, slot.left) for slot in slots)):
        if part := min(left, most, slot.left):
            yield Share(slot.hour, part)
            left, slot.left = left - part, slot.left - part
    if left:  # more commands than hours have
        yield Share(last, left)


def overlaid(*ways: Iterable[Share]) -> Iterator[tuple[tuple[Any, ...], int]]:
    """Several ways of sharing the same number, laid over one another: for each piece its values, and how many."""
    queues = [deque(way) for way in ways]
    while all(queues):
        count = min(queue[0].count for queue in queues)
        yield tuple(queue[0].value for queue in queues), count
        for queue in queues:
            share = queue.popleft()
            if share.count > count:
                queue.appendleft(Share(share.value, share.count - count))
