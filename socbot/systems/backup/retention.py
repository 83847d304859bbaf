"""What is kept, and why: one backup for each slot that has any, never the last good one.

The idea is restic's ``--keep-hourly`` and its kin: what counts is hours, days and weeks, not runs, so that however
often the bot starts, nothing older has to go for it.
"""

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from socbot.config import BackupConfig, RetentionConfig
from socbot.systems.backup.manifest import Type

Scheduled: TypeAlias = Literal["hourly", "daily", "weekly"]

TYPES: tuple[Type, ...] = get_args(Type)
SCHEDULED: tuple[Scheduled, ...] = get_args(Scheduled)
"""Shortest first."""

INTERVALS: dict[Type, float] = {"hourly": 3_600.0, "daily": 86_400.0, "weekly": 604_800.0}
"""Seconds from one to the next; also how long a slot is."""

SLACK = 3_000.0
"""Seconds by which a backup may come before its time, so that no look at the schedule comes just too early, and the
next one, an hour later, too late."""

_MONDAY = 345_600.0  # 1970-01-05, from which weeks are counted


class Known(Struct, frozen=True):
    """A backup as far as it matters here. Moments are seconds since 1970.

    :param order: later backups have more, whatever the clock did
    :param verified_at: when every byte of it was last found to be right; None if that was never tried, or failed
    :param proven_at: when it was last restored in a drill
    :param problem: what the last look at it found wrong
    """

    name: str
    type: Type
    made_at: float
    order: float
    verified_at: float | None = None
    proven_at: float | None = None
    problem: str = ""

    @property
    def is_good(self) -> bool:
        return self.verified_at is not None and not self.problem


class Verdict(Struct, frozen=True):
    """Whether a backup stays, and why."""

    backup: Known
    kept: bool
    reasons: tuple[str, ...]


def enabled(config: BackupConfig) -> tuple[Scheduled, ...]:
    """The types that are made by schedule, shortest first."""
    return tuple(slot for slot in SCHEDULED if config.enabled and getattr(config, slot))


def covers(type: Type, slot: Scheduled) -> bool:
    """Whether a backup of that type counts for the slots of ``slot``: a weekly one is an hourly one, too."""
    return type in SCHEDULED and SCHEDULED.index(type) >= SCHEDULED.index(slot)


def due(backups: Iterable[Known], enabled: Sequence[Scheduled], now: float) -> tuple[Scheduled, ...]:
    """Those of ``enabled`` of which the last good backup is as old as its interval, shortest first."""
    return tuple(slot for slot, moment in due_at(backups, enabled, now).items() if moment <= now)


def due_at(backups: Iterable[Known], enabled: Sequence[Scheduled], now: float) -> dict[Scheduled, float]:
    """From when on each of ``enabled`` is due, shortest first; those of which there is no good one are due now."""
    good = [backup for backup in backups if backup.is_good]

    def next_of(slot: Scheduled) -> float:
        # What the clock says was made in the future was made before it was set back, nobody knows when.
        ages = (now - backup.made_at for backup in good if covers(backup.type, slot))
        age = min((age for age in ages if age >= -SLACK), default=inf)
        return now + max(0.0, INTERVALS[slot] - SLACK - age)

    return {slot: next_of(slot) for slot in SCHEDULED if slot in enabled}


def judge(backups: Iterable[Known], config: RetentionConfig) -> tuple[Verdict, ...]:
    """What happens to each of ``backups``, newest first."""
    newest_first = sorted(backups, key=lambda backup: backup.order, reverse=True)
    reasons: dict[str, list[str]] = {backup.name: [] for backup in newest_first}
    for backup, reason in _worth_keeping(newest_first, config):
        reasons[backup.name].append(reason)
    return tuple(_verdict(backup, tuple(reasons[backup.name])) for backup in newest_first)


def _verdict(backup: Known, reasons: tuple[str, ...]) -> Verdict:
    return Verdict(backup, bool(reasons), reasons or ("its slot has another, or is past the number that is kept",))


def _worth_keeping(newest_first: Sequence[Known], config: RetentionConfig) -> Iterable[tuple[Known, str]]:
    if newest_first and not newest_first[0].is_good:
        # What is newest may be the first sign that something is wrong: whatever is older may be needed.
        yield from ((backup, "the newest backup is not known to be good") for backup in newest_first)
    for text, wanted in _LAST_GOOD:
        yield from ((backup, text) for backup in [each for each in newest_first if wanted(each)][:1])
    for slot in SCHEDULED:
        yield from _in_slots(newest_first, slot, getattr(config, slot))
    for type in ("manual", "pre_restore", "pre_upgrade"):
        yield from _of_type(newest_first, type, getattr(config, type))


_LAST_GOOD: tuple[tuple[str, Callable[[Known], bool]], ...] = (
    ("the newest that was verified", lambda backup: backup.is_good),
    ("the newest that a drill has proven", lambda backup: backup.is_good and backup.proven_at is not None),
)


def _in_slots(newest_first: Sequence[Known], slot: Scheduled, count: int) -> Iterable[tuple[Known, str]]:
    """The best of each slot; of slots that have a good one ``count``, and what is left of the others between."""
    slots: dict[int, Known] = {}
    for backup in newest_first:
        if not covers(backup.type, slot):
            continue
        number = slot_of(backup.made_at, slot)
        if number not in slots or (backup.is_good and not slots[number].is_good):
            slots[number] = backup
    for number in sorted(slots, reverse=True):
        if not count:
            return
        count -= slots[number].is_good
        yield slots[number], f"{slot}, {'the best' if slots[number].is_good else 'all there is'} of its slot"


def _of_type(newest_first: Sequence[Known], type: Type, count: int) -> Iterable[tuple[Known, str]]:
    for backup in newest_first:
        if backup.type == type and count:
            count -= backup.is_good
            yield backup, f"one of the last of its type, {type}"


def slot_of(moment: float, slot: Scheduled) -> int:
    """The number of the hour, day or week (of UTC, from Monday on) in which ``moment`` lies."""
    return int((moment - (_MONDAY if slot == "weekly" else 0.0)) // INTERVALS[slot])
