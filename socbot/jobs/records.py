"""What is kept of jobs: a row for each, and their last runs."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from socbot.jobs.job import Run
from socbot.storage.connection import Connection, Values

T = TypeVar("T")

MOST_RECENT = 10_000
"""Runs of all jobs that are looked through for those of the last hours."""


class Store(Protocol):
    """The part of ``Database`` that jobs need."""

    async def write(self, work: Callable[[Connection], T], /) -> T: ...

    async def read(self, work: Callable[[Connection], T], /) -> T: ...


class Record(Struct):
    """A job's row. Moments are seconds since 1970.

    :param schedule: what ``set_schedule`` chose; None for the configured one
    :param settled: up to when no run is owed any more
    """

    name: str
    stopped: bool = False
    schedule: str | None = None
    settled: float | None = None
    last_run: float | None = None
    last_success: float | None = None
    runs: int = 0
    failures: int = 0
    restarts: int = 0
    last_error: str = ""


class Slowest(Struct, frozen=True):
    """A job's longest run on record, in seconds."""

    job: str
    seconds: float


class Records:
    """Reads and writes the records.

    A run that cannot be written now is written with the next one.
    """

    def __init__(self, store: Store, keep: int) -> None:
        self.keep = keep
        self._store = store
        self._unwritten: deque[Run] = deque(maxlen=1_000)

    async def load(self) -> dict[str, Record]:
        rows = await self._store.read(
            lambda c: c.execute(
                "SELECT name, stopped, schedule, settled, last_run, last_success, runs, failures, restarts, last_error"
                " FROM jobs"
            )
        )
        return {name: Record(name, bool(stopped), *rest) for name, stopped, *rest in rows}

    async def ran(self, run: Run, record: Record) -> None:
        """Keep ``run``, and the counters of ``record``; what else ``record`` says is not written."""
        runs = (*self._unwritten, run)
        self._unwritten.clear()  # another job's run may end meanwhile, and is not to write these too
        counters = {name: value for name, value in _values(record).items() if name not in ("stopped", "schedule")}
        try:
            await self._store.write(lambda connection: self._write(connection, runs, counters))
        except BaseException:
            self._unwritten.extendleft(reversed(runs))
            raise

    def _write(self, connection: Connection, runs: Sequence[Run], counters: Values) -> None:
        connection.execute_many(
            "INSERT INTO job_runs (job, started_at, seconds, outcome, error)"
            " VALUES (:job, :started_at, :seconds, :outcome, :error)",
            [_values(run) for run in runs],
        )
        connection.change(
            "INSERT INTO jobs (name, settled, last_run, last_success, runs, failures, restarts, last_error)"
            " VALUES (:name, :settled, :last_run, :last_success, :runs, :failures, :restarts, :last_error)"
            " ON CONFLICT (name) DO UPDATE SET settled = excluded.settled, last_run = excluded.last_run,"
            " last_success = excluded.last_success, runs = excluded.runs, failures = excluded.failures,"
            " restarts = excluded.restarts, last_error = excluded.last_error",
            counters,
        )
        for job in {run.job for run in runs}:
            connection.change(
                "DELETE FROM job_runs WHERE job = :job AND id <= (SELECT id FROM job_runs WHERE job = :job"
                " ORDER BY id DESC LIMIT 1 OFFSET :keep)",
                {"job": job, "keep": self.keep},
            )

    async def set_stopped(self, name: str, stopped: bool) -> None:
        await self._set(name, "stopped", int(stopped))

    async def set_settled(self, moments: dict[str, float]) -> None:
        rows = [{"name": name, "settled": moment} for name, moment in moments.items()]
        await self._store.write(
            lambda connection: connection.execute_many(
                "INSERT INTO jobs (name, settled, last_error) VALUES (:name, :settled, '')"
                " ON CONFLICT (name) DO UPDATE SET settled = excluded.settled",
                rows,
            )
        )

    async def set_schedule(self, name: str, schedule: str | None, settled: float) -> None:
        await self._store.write(
            lambda connection: connection.change(
                "INSERT INTO jobs (name, schedule, settled, last_error) VALUES (:name, :schedule, :settled, '')"
                " ON CONFLICT (name) DO UPDATE SET schedule = excluded.schedule, settled = excluded.settled",
                {"name": name, "schedule": schedule, "settled": settled},
            )
        )

    async def _set(self, name: str, column: str, value: object) -> None:
        await self._store.write(
            lambda connection: connection.change(
                f"INSERT INTO jobs (name, {column}, last_error) VALUES (:name, :value, '')"
                f" ON CONFLICT (name) DO UPDATE SET {column} = excluded.{column}",
                {"name": name, "value": value},
            )
        )

    async def history(self, name: str, limit: int, before: float | None = None) -> tuple[Run, ...]:
        """The last runs of a job, newest first; of those that started before a moment if one is given."""
        earlier = "" if before is None else " AND started_at < :before"
        return await self._runs(f"job = :job{earlier}", {"job": name, "before": before}, limit)

    async def since(self, moment: float) -> tuple[Run, ...]:
        """What ran since, by any job, newest first; of the newest ``MOST_RECENT`` runs on record."""
        recent = "id > (SELECT MAX(id) FROM job_runs) - :limit AND started_at >= :since"
        return await self._runs(recent, {"since": moment}, MOST_RECENT)

    async def _runs(self, where: str, values: Values, limit: int) -> tuple[Run, ...]:
        sql = (
            f"SELECT job, started_at, seconds, outcome, error FROM job_runs WHERE {where} ORDER BY id DESC LIMIT :limit"
        )
        rows = await self._store.read(lambda connection: connection.execute(sql, {**values, "limit": limit}))
        return tuple(Run(*row) for row in rows)

    async def slowest(self, limit: int) -> tuple[Slowest, ...]:
        """The jobs with the longest runs on record, longest first."""
        rows = await self._store.read(
            lambda connection: connection.execute(
                "SELECT job, MAX(seconds) AS longest FROM job_runs GROUP BY job ORDER BY longest DESC, job"
                " LIMIT :limit",
                {"limit": limit},
            )
        )
        return tuple(Slowest(*row) for row in rows)


def _values(row: Struct) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__}
