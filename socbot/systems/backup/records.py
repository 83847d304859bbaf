"""What the store knows of backups beside what their files say: when each was verified and proven, and the drills."""

from collections.abc import Callable, Iterable, Mapping

import msgspec
from msgspec import Struct

from socbot.storage.connection import Connection
from socbot.storage.errors import decoding
from socbot.systems.backup.manifest import Type
from socbot.systems.backup.retention import Known
from socbot.systems.backup.shelf import Backup


class Mark(Struct, frozen=True):
    """What is known of one backup. Moments are seconds since 1970.

    :param problem: what the last look at it found wrong
    """

    verified_at: float | None = None
    proven_at: float | None = None
    problem: str = ""


class Described(Struct, frozen=True):
    """A backup, and what is known of it."""

    backup: Backup
    mark: Mark

    @property
    def known(self) -> Known:
        backup, mark = self.backup, self.mark
        problem = backup.problem or mark.problem
        return Known(
            backup.name, backup.type, backup.made_at, backup.stamp, mark.verified_at, mark.proven_at, problem
        )  # fmt: skip


class DrillStep(Struct, frozen=True):
    """One step of a drill, how it went, and how many seconds it took."""

    step: str
    result: str
    seconds: float
    passed: bool = True


class Drill(Struct, frozen=True):
    """A restore that was tried."""

    name: str
    at: float
    seconds: float
    passed: bool
    steps: tuple[DrillStep, ...]


def marks(connection: Connection) -> dict[str, Mark]:
    rows = connection.execute("SELECT name, verified_at, proven_at, problem FROM backups")
    return {name: Mark(*rest) for name, *rest in rows}


def set_mark(connection: Connection, backup: Backup, mark: Mark) -> None:
    connection.change(
        "INSERT INTO backups (name, type, made_at, verified_at, proven_at, problem) "
        "VALUES (:name, :type, :made_at, :verified_at, :proven_at, :problem) "
        "ON CONFLICT (name) DO UPDATE SET verified_at = excluded.verified_at, proven_at = excluded.proven_at, "
        "problem = excluded.problem",
        {
            "name": backup.name, "type": backup.type, "made_at": backup.made_at, "verified_at": mark.verified_at,
            "proven_at": mark.proven_at, "problem": mark.problem,
        },
    )  # fmt: skip


def change_mark(connection: Connection, backup: Backup, change: Callable[[Mark], Mark]) -> None:
    set_mark(connection, backup, change(marks(connection).get(backup.name, Mark())))


def describe(
    backups: Iterable[Backup], marks: Mapping[str, Mark], type: Type | None = None
) -> tuple[Described, ...]:  # fmt: skip
    """``backups``, of one type if there is one wanted, each with its mark."""
    return tuple(Described(each, marks.get(each.name, Mark())) for each in backups if type in (None, each.type))


def forget(connection: Connection, names: Iterable[str]) -> None:
    connection.execute_many("DELETE FROM backups WHERE name = :name", [{"name": name} for name in names])


_KEPT_DRILLS = 100


def add_drill(connection: Connection, drill: Drill) -> None:
    connection.change(
        "INSERT INTO backup_drills (name, at, seconds, passed, steps) VALUES (:name, :at, :seconds, :passed, :steps)",
        {
            "name": drill.name, "at": drill.at, "seconds": drill.seconds, "passed": int(drill.passed),
            "steps": msgspec.json.encode(drill.steps).decode(),
        },
    )  # fmt: skip
    connection.change(
        "DELETE FROM backup_drills WHERE id <= (SELECT id FROM backup_drills ORDER BY id DESC LIMIT 1 OFFSET :keep)",
        {"keep": _KEPT_DRILLS},
    )


def last_drill(connection: Connection) -> Drill | None:
    return next(iter(drills(connection, 1)), None)


def drills(connection: Connection, limit: int) -> tuple[Drill, ...]:
    """The last drills, newest first."""
    rows = connection.execute(
        "SELECT name, at, seconds, passed, steps FROM backup_drills ORDER BY id DESC LIMIT :limit", {"limit": limit}
    )
    with decoding("a drill"):
        return tuple(
            Drill(name, at, seconds, bool(passed), msgspec.json.decode(steps, type=tuple[DrillStep, ...]))
            for name, at, seconds, passed, steps in rows
        )
