"""The jobs: when each ran and how that ended, what is late, and what runs next."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from itertools import groupby
from typing import Annotated, Any

from msgspec import Meta, Struct

from socbot.dispatch.replies import Chart
from socbot.jobs.job import Ending, JobStatus, Run, State, UnknownJob
from socbot.jobs.schedules import Continuous
from socbot.web.host import Host
from socbot.web.view import NotFound, View, Viewer

DAY, AHEAD = 86_400.0, 10_800.0
"""Seconds of the timeline before now, and after it."""

SLOT = 600.0
"""Seconds within which runs are one mark of the timeline."""

MOST_AHEAD = 12
MOST_RUNS = 50
MOST_DRAWN = 60


class Query(Struct, frozen=True):
    """Nothing can be asked for."""


class Stretch(Struct, frozen=True):
    """Runs of one job that began close to one another. Moments are seconds since 1970.

    :param start: of the first of them
    :param end: of the last of them; for a run that is under way, now
    :param outcome: the worst of them; ``running`` for one that is under way
    """

    start: float
    end: float
    outcome: str
    runs: int


class JobFacts(Struct, frozen=True):
    """One job as it stands. Moments are seconds since 1970.

    :param state: running, waiting, backing off, stopped or failed; standby where another process runs it
    :param leader: the process in which it runs, if that is another one and known
    :param schedule: as it would be written: ``every 5m``, ``cron 0 3 * * *``, ``continuous``
    :param protected: whether stopping it asks first
    :param disabled: whether config.yaml has it switched off
    :param stopping: whether it was told to end and has not yet
    :param next_run: None while it is not going to run by itself
    :param running_for: seconds since the current run began; None while there is none
    :param overdue: seconds since the last run that was due and did not succeed
    :param late: whether that is so long that the owner is told
    :param duration: seconds that its last run took; None if none is on record
    :param last_error: what its last failure said; for owners only
    :param timeline: its runs of the last day, oldest first, as far as they are on record
    :param known_from: from when on the timeline is complete
    :param upcoming: when it is going to run within the next hours, as far as that can be foreseen
    """

    name: str
    description: str
    state: State
    schedule: str
    protected: bool
    disabled: bool
    stopping: bool
    next_run: float | None
    running_for: float | None
    overdue: float
    late: bool
    last_run: float | None
    last_success: float | None
    duration: float | None
    runs: int
    failures: int
    restarts: int
    last_error: str
    timeline: tuple[Stretch, ...] = ()
    known_from: float = 0.0
    upcoming: tuple[float, ...] = ()
    leader: str = ""


class Jobs(Struct, frozen=True):
    """Every background job: its state, its runs of the last day, and what is late.

    :param now: when this was read, in seconds since 1970
    :param jobs: those that want somebody first: failed, late, backing off, stopped; the others in the order of start
    """

    now: float
    jobs: tuple[JobFacts, ...]


async def read(host: Host, query: Query, viewer: Viewer) -> Jobs:
    now = host.clock.time()
    runs: dict[str, list[Run]] = {}
    for run in await host.supervisor.since(now - DAY):
        runs.setdefault(run.job, []).append(run)
    late = {status.name for status in host.supervisor.late()}
    jobs = [_facts(host, status, runs.get(status.name, []), late, now, viewer) for status in host.supervisor.status()]
    return Jobs(now, tuple(sorted(jobs, key=_urgency)))


def _facts(
    host: Host, status: JobStatus, runs: Sequence[Run], late: Iterable[str], now: float, viewer: Viewer
) -> JobFacts:
    """:param runs: of the last day, newest first"""
    upcoming = [moment for moment in host.supervisor.upcoming(status.name, MOST_AHEAD) if moment <= now + AHEAD]
    whole = len(runs) < host.config.jobs.keep_runs
    return JobFacts(
        status.name,
        status.job.description,
        status.state,
        str(status.schedule),
        status.job.protected,
        status.disabled,
        status.stopping,
        status.next_run,
        status.running_for,
        status.overdue,
        status.name in late,
        status.last_run,
        status.last_success,
        runs[0].seconds if runs else None,
        status.runs,
        status.failures,
        status.restarts,
        # What an exception says is the operator's business: a path, a host, a value.
        status.last_error if viewer.is_owner else "",
        _timeline(status, runs, now),
        now - DAY if whole else runs[-1].started_at,
        tuple(upcoming),
        status.leader,
    )


def _timeline(status: JobStatus, runs: Sequence[Run], now: float) -> tuple[Stretch, ...]:
    slots = groupby(reversed(runs), key=lambda run: int(run.started_at // SLOT))
    stretches = [_stretch(list(within)) for _, within in slots]
    merged: list[Stretch] = []
    for each in stretches:
        last = merged[-1] if merged else None
        if last is not None and last.outcome == each.outcome and each.start // SLOT - last.end // SLOT <= 1:
            merged[-1] = Stretch(last.start, max(last.end, each.end), each.outcome, last.runs + each.runs)
        else:
            merged.append(each)
    if status.running_for is not None:
        merged.append(Stretch(max(now - DAY, now - status.running_for), now, "running", 1))
    return tuple(merged)


_WORST: tuple[Ending, ...] = ("failed", "cancelled", "ok")


def _stretch(runs: Sequence[Run]) -> Stretch:
    outcomes = {run.outcome for run in runs}
    end = max(run.started_at + run.seconds for run in runs)
    return Stretch(runs[0].started_at, end, next(each for each in _WORST if each in outcomes), len(runs))


def _urgency(job: JobFacts) -> int:
    if job.state == "failed":
        return 0
    if job.late:
        return 1
    return {"backing off": 2, "stopped": 3}.get(job.state, 4)


# -- drawn --------------------------------------------------------------------------------------------

_WIDE = 1_000.0
_NARROWEST = 3.0


class Bar(Struct, frozen=True):
    """A mark of the timeline: where it begins and how wide it is, in thousandths of the whole."""

    x: float
    wide: float
    outcome: str
    told: str


def _shape(result: Jobs, query: Query, viewer: Viewer) -> Mapping[str, Any]:
    troubled = [job for job in result.jobs if job.state in ("failed", "backing off") or job.late]
    return {
        "bars": {job.name: _bars(job, result.now, viewer.zone) for job in result.jobs},
        "ahead": {job.name: [_place(moment, result.now) for moment in job.upcoming] for job in result.jobs},
        "known": {job.name: _place(job.known_from, result.now) for job in result.jobs},
        "now_at": _place(result.now, result.now),
        "marks": [(_place(result.now - hours * 3_600, result.now), hours) for hours in (24, 18, 12, 6, 0)],
        "troubled": troubled,
        "stopped": [job for job in result.jobs if job.state == "stopped" and not job.disabled],
        "following": sorted(
            (job for job in result.jobs if job.next_run is not None), key=lambda job: job.next_run or 0.0
        )[:1],
    }


def _place(moment: float, now: float) -> float:
    share = (moment - (now - DAY)) / (DAY + AHEAD)
    return round(_WIDE * min(1.0, max(0.0, share)), 1)


def _bars(job: JobFacts, now: float, zone: tzinfo) -> list[Bar]:
    bars = []
    for each in job.timeline:
        x = _place(each.start, now)
        wide = max(_NARROWEST, _place(each.end, now) - x)
        runs = "1 run" if each.runs == 1 else f"{each.runs} runs"
        told = f"{each.outcome}: {runs} from {datetime.fromtimestamp(each.start, zone):%H:%M:%S}"
        bars.append(Bar(min(x, _WIDE - wide), round(wide, 1), each.outcome, told))
    return bars


# -- one job ------------------------------------------------------------------------------------------


class OneQuery(Struct, frozen=True):
    """Which job, and which of its runs.

    :param name: of the job
    :param before: runs that started before this moment, in seconds since 1970; the newest if None
    """

    name: str
    before: Annotated[float, Meta(ge=0)] | None = None


class RunFacts(Struct, frozen=True):
    """One run: when it started (seconds since 1970), how many seconds it took, how it ended.

    :param error: what it failed with; for owners only
    """

    started_at: float
    seconds: float
    outcome: Ending
    error: str = ""


class OneJob(Struct, frozen=True):
    """One job: its history, how long it takes, and what it failed with.

    :param kept: how many of its last runs are kept
    :param runs: newest first
    :param recent: how many seconds its last runs that ended by themselves took, oldest first
    :param older: the moment before which to go on; None once there are no more
    """

    job: JobFacts
    kept: int
    runs: tuple[RunFacts, ...]
    recent: tuple[RunFacts, ...]
    older: float | None = None


async def read_one(host: Host, query: OneQuery, viewer: Viewer) -> OneJob:
    supervisor, now = host.supervisor, host.clock.time()
    try:
        status = supervisor.find(query.name)
    except UnknownJob:
        raise NotFound("job", query.name) from None
    newest = await supervisor.history(status.name, MOST_DRAWN)
    page = await supervisor.history(status.name, MOST_RUNS + 1, query.before)
    late = {each.name for each in supervisor.late()}
    of_today = [run for run in newest if run.started_at >= now - DAY]
    runs = tuple(_run(run, viewer) for run in page[:MOST_RUNS])
    return OneJob(
        _facts(host, status, of_today or newest[:1], late, now, viewer),
        host.config.jobs.keep_runs,
        runs,
        tuple(_run(run, viewer) for run in reversed(newest) if run.outcome != "cancelled"),
        runs[-1].started_at if len(page) > MOST_RUNS else None,
    )


def _run(run: Run, viewer: Viewer) -> RunFacts:
    return RunFacts(run.started_at, run.seconds, run.outcome, run.error if viewer.is_owner else "")


def _shape_one(result: OneJob, query: OneQuery, viewer: Viewer) -> Mapping[str, Any]:
    seconds = [run.seconds for run in result.recent]
    unit, factor = ("ms", 1_000.0) if max(seconds, default=0.0) < 1.0 else ("s", 1.0)
    values = tuple(round(each * factor, 3) for each in seconds)
    labels = tuple("" for _ in values[:-1]) + (("last",) if values else ())
    continuous = result.job.schedule == str(Continuous())
    return {
        "chart": Chart("line", labels, {"duration": values}, unit) if len(values) > 1 else None,
        "typical": sorted(seconds)[len(seconds) // 2] if seconds else None,
        "longest": max(seconds, default=None),
        "continuous": continuous,
    }


VIEWS: tuple[View[Any, Any], ...] = (
    View("/jobs", "Jobs", Query, Jobs, read, "jobs.html", shape=_shape),
    View("/jobs/{name}", "Job", OneQuery, OneJob, read_one, "job.html", shape=_shape_one),
)
