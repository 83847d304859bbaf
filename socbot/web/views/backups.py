"""The backups: whether there is one that can be trusted, and what was made when."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from socbot.systems.audit import Wanted
from socbot.systems.backup import Described, Drill, DrillStep
from socbot.systems.backup.errors import BackupError
from socbot.systems.backup.manifest import Type
from socbot.systems.backup.retention import SCHEDULED, TYPES, covers, enabled
from socbot.systems.backup.shelf import described_by_name
from socbot.web.host import Host
from socbot.web.view import View, Viewer

DAYS = 35
MOST = 100
MOST_DRILLS = 10
MOST_MADE = 1_000

State: TypeAlias = Literal["proven", "verified", "unverified", "damaged", "gone", "missing", "none"]


class Query(Struct, frozen=True):
    """Nothing can be asked for."""


class BackupFacts(Struct, frozen=True):
    """One backup. Moments are seconds since 1970, sizes bytes.

    :param size: of its file
    :param verified_at: when every byte of it was last found to be right; None if that was never tried, or failed
    :param proven_at: when it was last restored in a drill
    :param problem: what the last look at it found wrong
    :param kept: whether the retention keeps it, and for which reasons
    """

    name: str
    type: Type
    made_at: float
    size: int
    encrypted: bool
    files: int | None
    verified_at: float | None
    proven_at: float | None
    problem: str
    kept: bool
    reasons: tuple[str, ...]


class Cell(Struct, frozen=True):
    """Backups of one type of one day, in the reader's time zone.

    :param made: how many there were, as far as the audit trail tells of those that are gone
    :param state: the best of those that are there; ``gone`` if the retention has deleted them, ``missing`` if one of
        that type was due and none was made
    """

    made: int
    state: State


class Row(Struct, frozen=True):
    """One type's days, oldest first."""

    type: Type
    cells: tuple[Cell, ...]


class DrillFacts(Struct, frozen=True):
    """A restore that was tried: of which backup, when, how many seconds it took, and each step of it."""

    name: str
    at: float
    seconds: float
    passed: bool
    steps: tuple[DrillStep, ...]


class Backups(Struct, frozen=True):
    """Whether there is a backup that can be trusted, what was made when, and when the next is due.

    Moments are seconds since 1970, sizes bytes.

    :param problem: why the folder cannot be read; then nothing is known of the backups in it
    :param failure: why the last try to make one failed; empty if it did not
    :param elsewhere: how it stands with the second place; empty if there is none
    :param age_intervals: time since the last good one, in intervals of the shortest schedule; None if none is due yet
    :param last_good: the newest that was verified and made by schedule
    :param proven_at: when a drill last proved one; ``proven_name`` which, ``proven_seconds`` how long it took
    :param due: when each type that is made by schedule is due
    :param next_look: when the job that makes them runs next
    :param days: the days of the calendar, oldest first, as ``2024-05-01``
    :param backups: newest first, at most a hundred of ``count``
    """

    enabled: bool
    problem: str
    failure: str
    elsewhere: str
    age_intervals: float | None
    last_good: BackupFacts | None
    proven_at: float | None
    proven_name: str
    proven_seconds: float | None
    due: dict[str, float]
    next_look: float | None
    count: int
    used: int
    free: int
    days: tuple[str, ...]
    calendar: tuple[Row, ...]
    backups: tuple[BackupFacts, ...]
    drills: tuple[DrillFacts, ...]


async def read(host: Host, query: Query, viewer: Viewer) -> Backups:
    system, now = host.backups, host.clock.time()
    problem, free, elsewhere, failure = "", 0, "", ""
    found: tuple[Described, ...] = ()
    try:
        found = await system.list()
        status = await system.status()
        free, elsewhere, failure = status.free, status.elsewhere, status.failure
    except BackupError as error:
        problem = str(error)
    backups = _described(found, host)
    drills = await system.drills(MOST_DRILLS)
    proof = next((each for each in drills if each.passed), None)
    today = datetime.fromtimestamp(now, viewer.zone).date()
    days = tuple(today - timedelta(days=DAYS - 1 - number) for number in range(DAYS))
    made = await _made(host, found)
    job = next((each for each in host.supervisor.status() if each.name == "backup"), None)
    return Backups(
        system.config.enabled,
        problem,
        failure,
        elsewhere,
        system.age_intervals,
        next((each for each in backups if _is_good(each) and each.type in SCHEDULED), None),
        None if proof is None else proof.at,
        "" if proof is None else proof.name,
        None if proof is None else proof.seconds,
        {} if problem else {str(type): moment for type, moment in system.due_at(found).items()},
        None if job is None else job.next_run,
        len(found),
        sum(each.backup.size for each in found),
        free,
        tuple(map(str, days)),
        () if problem else _calendar(made, found, days, viewer.zone, enabled(system.config)),
        backups[:MOST],
        tuple(map(_drill, drills)),
    )


def _described(found: Sequence[Described], host: Host) -> tuple[BackupFacts, ...]:
    verdicts = {each.backup.name: each for each in host.backups.judge(found)}
    return tuple(
        BackupFacts(
            each.backup.name,
            each.backup.type,
            each.backup.made_at,
            each.backup.size,
            each.backup.encrypted,
            each.backup.files,
            each.mark.verified_at,
            each.mark.proven_at,
            each.backup.problem or each.mark.problem,
            verdicts[each.backup.name].kept,
            verdicts[each.backup.name].reasons,
        )
        for each in found
    )


def _is_good(backup: BackupFacts) -> bool:
    return backup.verified_at is not None and not backup.problem


def _drill(drill: Drill) -> DrillFacts:
    return DrillFacts(drill.name, drill.at, drill.seconds, drill.passed, drill.steps)


# -- the calendar -------------------------------------------------------------------------------------


async def _made(host: Host, found: Sequence[Described]) -> dict[str, tuple[Type, float]]:
    """Type and moment of each backup that was made, by name; the trail tells of those that are gone."""
    records = (await host.audit.find(Wanted("backup", "backup"), MOST_MADE)).records
    gone = (described_by_name(f"{record.what}{host.backups.shelf.suffix}", 0) for record in records)
    made = {each.name: (each.type, each.made_at) for each in gone if each is not None}
    return made | {each.backup.name: (each.backup.type, each.backup.made_at) for each in found}


def _calendar(
    made: Mapping[str, tuple[Type, float]],
    found: Sequence[Described],
    days: Sequence[date],
    zone: tzinfo,
    wanted: Iterable[str],
) -> tuple[Row, ...]:
    there = {each.backup.name: each for each in found}
    on: dict[tuple[date, Type], list[str]] = {}
    covered: dict[str, set[date]] = {slot: set() for slot in SCHEDULED}
    for name, (type, moment) in made.items():
        day = datetime.fromtimestamp(moment, zone).date()
        on.setdefault((day, type), []).append(name)
        for slot in SCHEDULED:
            if covers(type, slot):
                covered[slot].add(day)
    first = min((datetime.fromtimestamp(moment, zone).date() for _, moment in made.values()), default=None)

    def cell(day: date, type: Type) -> Cell:
        names = on.get((day, type), [])
        left = [there[name] for name in names if name in there]
        if left:
            return Cell(len(names), min(map(_state, left), key=_BEST.index))
        if names:
            return Cell(len(names), "gone")
        is_due = type in wanted and first is not None and first < day < days[-1]
        return Cell(0, "missing" if is_due and _is_missing(day, type, covered) else "none")

    return tuple(Row(type, tuple(cell(day, type) for day in days)) for type in TYPES)


_BEST: tuple[State, ...] = ("proven", "verified", "unverified", "damaged")


def _state(backup: Described) -> State:
    if backup.known.problem:
        return "damaged"
    if backup.mark.verified_at is None:
        return "unverified"
    return "verified" if backup.mark.proven_at is None else "proven"


def _is_missing(day: date, type: Type, covered: Mapping[str, set[date]]) -> bool:
    """Whether none was made that counts for that type: on that day; for a weekly one in the week that ends with it."""
    if type != "weekly":
        return day not in covered[type]
    return day.weekday() == 6 and not any(day - timedelta(days=number) in covered["weekly"] for number in range(7))


# -- drawn --------------------------------------------------------------------------------------------

_TONES: Mapping[State, str] = {
    "proven": "proven",
    "verified": "good",
    "unverified": "warn",
    "damaged": "bad",
    "missing": "bad",
    "gone": "",
    "none": "none",
}


def _shape(result: Backups, query: Query, viewer: Viewer) -> Mapping[str, Any]:
    days = [date.fromisoformat(day) for day in result.days]
    age = result.age_intervals
    return {
        "days": [(day, day.strftime("%b") if day.day == 1 or number == 0 else "") for number, day in enumerate(days)],
        "tones": _TONES,
        "stale": age is not None and age >= 1.5,
        "first_due": min(result.due.values(), default=None),
        "unproven": not any(each.proven_at is not None for each in result.backups),
        "damaged": [each for each in result.backups if each.problem],
    }


VIEWS: tuple[View[Any, Any], ...] = (View("/backups", "Backups", Query, Backups, read, "backups.html", shape=_shape),)
