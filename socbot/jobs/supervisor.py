"""All jobs, under one task group."""

import difflib
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import tzinfo
from math import inf
from random import Random
from types import TracebackType
from typing import Self, TypeAlias

import anyio
from anyio.abc import TaskGroup, TaskStatus

from socbot.config import JobsConfig
from socbot.dispatch.arguments import Duration
from socbot.dispatch.clock import Clock
from socbot.dispatch.errors import InvalidArgument
from socbot.dispatch.replies import Field, Reply, escape
from socbot.dispatch.tasks import leave
from socbot.documents import ConfigError
from socbot.jobs.job import CriticalJobFailed, Job, JobStatus, Run, UnknownJob
from socbot.jobs.leadership import Leadership
from socbot.jobs.records import Record, Records, Slowest, Store
from socbot.jobs.runner import Runner
from socbot.jobs.schedules import Continuous, Cron, Every, Schedule, parse_schedule
from socbot.storage.errors import StoreError

Notify: TypeAlias = Callable[[Reply], Awaitable[None]]
Failed: TypeAlias = Callable[[Job, str], Awaitable[object]]
"""Is told of a job that is not run any more, and its last error."""

OVERDUE = 2
"""Intervals by which a job may be late before its owner is told."""

_log = logging.getLogger(__name__)


class Supervisor:
    """Keeps jobs running: each by its schedule, each apart from the others.

    As an async context manager it starts the jobs that were added, in that order, and stops them in the reverse.
    Until then, and without it, it answers what is stored of them.

    :param notify: tells the owner
    :param drain: seconds that runs under way are given to finish at the end, all together
    :param leadership: says whether jobs of the fleet run in this process; without it they do
    """

    def __init__(
        self,
        database: Store,
        clock: Clock,
        random: Random,
        config: JobsConfig,
        zone: tzinfo,
        notify: Notify | None = None,
        drain: float = 10.0,
        leadership: Leadership | None = None,
    ) -> None:
        self._clock, self._random, self._config, self._zone = clock, random, config, zone
        self._notify, self._drain, self._leadership = notify, drain, leadership
        self._records = Records(database, config.keep_runs)
        self._runners: dict[str, Runner] = {}
        self._names: dict[str, Runner] = {}
        self._told: set[str] = set()
        self._on_failed: list[Failed] = []
        self._tasks: TaskGroup | None = None
        self._leading = anyio.CancelScope(shield=True)
        self._fatal: CriticalJobFailed | None = None
        self._deadline = inf

    # -- before the start -----------------------------------------------------------------------------

    def add(self, *jobs: Job) -> None:
        """Take on jobs, before the start.

        :raises ValueError: if a name is taken
        :raises ConfigError: if config.yaml gives one of them a schedule that cannot be read
        """
        for job in jobs:
            self._check_own(job, self._config)
            runner = Runner(
                job, self._records, self._clock, self._random, self._config, self._zone, self._gave_up,
                self._leadership,
            )  # fmt: skip
            for name in (job.name, *job.aliases):
                if (key := _key(name)) in self._names:
                    raise ValueError(f"job {name!r} is already there")
                self._names[key] = runner
            self._runners[job.name] = runner

    def jobs(self) -> tuple[Job, ...]:
        """The supervisor's own job, which notices others that are late."""
        return (
            Job(
                "monitor",
                self._monitor,
                Every(600.0),
                "Tells the owner of jobs that are overdue",
                aliases=("ScheduledTasksDashboard monitor_tasks", "monitor_tasks"),
            ),
        )

    def on_failed(self, failed: Failed) -> None:
        """Have ``failed`` called too, beside the owner's notice, when a job has failed for good."""
        self._on_failed.append(failed)

    def check(self, config: JobsConfig) -> None:
        """:raises ConfigError: if ``config`` does not fit the jobs there are"""
        for name in config.jobs:
            if name not in self._runners:
                raise ConfigError(f"jobs.jobs.{name}: there is no such job{_meant(self._nearest(name))}")
        for runner in self._runners.values():
            self._check_own(runner.job, config)

    def configure(self, config: JobsConfig) -> None:
        """Apply a changed section at once. Runs under way go on.

        :raises ConfigError: if it does not fit; nothing is changed then
        """
        self.check(config)
        self._config = config
        self._records.keep = config.keep_runs
        if self._leadership is not None:
            self._leadership.seconds = config.lease
        for runner in self._runners.values():
            runner.configure(config)

    @staticmethod
    def _check_own(job: Job, config: JobsConfig) -> None:
        own = config.jobs.get(job.name)
        if own is None or own.schedule is None:
            return
        where = f"jobs.jobs.{job.name}.schedule"
        if isinstance(job.schedule, Continuous):
            raise ConfigError(f"{where}: this job runs all the time, it has no schedule")
        try:
            parse_schedule(own.schedule)
        except InvalidArgument as error:
            raise ConfigError(f"{where}: {own.schedule!r} is not {error.expected}") from None

    async def load(self) -> None:
        """Read what is stored of the jobs."""
        stored = await self._records.load()
        for name, runner in self._runners.items():
            runner.restore(stored.get(name, Record(name)))

    # -- running --------------------------------------------------------------------------------------

    async def run(self, jobs: Iterable[Job] = (), *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run the jobs until cancelled.

        :raises CriticalJobFailed: if one has failed without which the bot cannot go on
        """
        self.add(*jobs)
        async with self:
            task_status.started()
            await anyio.sleep_forever()

    async def __aenter__(self) -> Self:
        await self.load()
        await self._settle()
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        with anyio.CancelScope(shield=True):  # cancelled here, the group would stay open
            for runner in self._runners.values():
                await self._tasks.start(runner.supervise, name=f"job {runner.job.name}")
        if self._leadership is not None:
            self._tasks.start_soon(self._take_part, self._leadership, name="leadership")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        tasks, self._tasks = self._tasks, None
        assert tasks is not None
        with anyio.CancelScope(shield=True):
            await self._end()
        swallowed = await leave(tasks, kind, error, trace)
        if self._fatal is not None:
            raise self._fatal
        return swallowed

    def close(self, seconds: float) -> None:
        """Begin no further run. Those under way go on, and are ended ``seconds`` from now if the block is left then."""
        self._deadline = min(self._deadline, anyio.current_time() + seconds)
        for runner in self._runners.values():
            runner.close()

    async def _end(self) -> None:
        """Stop the jobs, the last one first: those that started later may need those before them."""
        self.close(self._drain)
        try:
            for runner in reversed(self._runners.values()):
                await runner.end(max(0.0, self._deadline - anyio.current_time()))
        finally:
            self._leading.cancel()
            if self._leadership is not None:
                await self._leadership.give_up()

    # -- jobs of the fleet ----------------------------------------------------------------------------

    async def _take_part(self, leadership: Leadership) -> None:
        with self._leading:
            await leadership.run(lambda: self._follow(leadership))

    async def _follow(self, leadership: Leadership) -> None:
        """Run the jobs of the fleet, or leave them to another process; as they are stored now."""
        fence, shared = leadership.fence, [runner for runner in self._runners.values() if runner.shared]
        for runner in shared:
            if runner.fence is not None and runner.fence != fence:
                runner.stand_down()
        changes = {runner: runner.changes for runner in shared}
        try:
            stored = await self._records.load()
        except StoreError as error:  # the next look is soon
            _log.debug("the jobs could not be read: %s", error)
            return
        for runner in shared:
            record = stored.get(runner.job.name, Record(runner.job.name))
            if fence is not None and fence == leadership.fence and runner.fence is None:
                runner.lead(fence, record)
            elif changes[runner] == runner.changes:
                runner.take_over(record)

    async def _settle(self) -> None:
        """Jobs with times of day count from the first start on: what was before that was not missed."""
        new = [
            runner
            for runner in self._runners.values()
            if runner.record.settled is None and isinstance(runner.schedule, Cron)
        ]
        now = self._clock.time()
        if new:
            await self._records.set_settled({runner.job.name: now for runner in new})
        for runner in new:
            runner.record.settled = now
            runner.restore(runner.record)

    # -- what is known --------------------------------------------------------------------------------

    @property
    def leads(self) -> bool:
        """Whether jobs of the fleet run in this process."""
        return self._leadership is None or self._leadership.fence is not None

    @property
    def leader(self) -> str:
        """The process in which jobs of the fleet run; empty where no others share the store, or none does."""
        return "" if self._leadership is None else self._leadership.leader

    def status(self) -> tuple[JobStatus, ...]:
        """Every job as it stands, in the order in which they start."""
        return tuple(runner.status() for runner in self._runners.values())

    def late(self) -> tuple[JobStatus, ...]:
        """Those that should have run by now, ``OVERDUE`` intervals ago or longer; none where jobs do not run."""
        if self._tasks is None:
            return ()
        return tuple(status for status, runner in self._with_runners() if _is_late(status, runner))

    def follow(self, name: str, schedule: Schedule) -> None:
        """Give a job another schedule of its own at run time; what an operator chose goes before it."""
        self._runner(name).follow(schedule)

    def find(self, name: str) -> JobStatus:
        """The job of that name or alias.

        :raises UnknownJob: with the nearest names
        """
        return self._runner(name).status()

    def upcoming(self, name: str, count: int = 3) -> tuple[float, ...]:
        """The next times at which the job is going to run, if it always succeeds at once."""
        runner = self._runner(name)
        schedule, moment = runner.schedule, runner.status().next_run
        times: list[float] = []
        while moment is not None and not isinstance(schedule, Continuous) and len(times) < count:
            times.append(moment)
            moment = schedule.after(moment, self._zone)
        return tuple(times)

    async def history(self, name: str, limit: int = 20, before: float | None = None) -> tuple[Run, ...]:
        """The last runs of the job, newest first; of those that started before a moment if one is given."""
        return await self._records.history(self._runner(name).job.name, limit, before)

    async def since(self, moment: float) -> tuple[Run, ...]:
        """What ran since, by any job, newest first; of the newest ``MOST_RECENT`` runs on record."""
        return await self._records.since(moment)

    async def slowest(self, limit: int = 5) -> tuple[Slowest, ...]:
        """The jobs with the longest runs on record, longest first."""
        return await self._records.slowest(limit)

    def _runner(self, name: str) -> Runner:
        runner = self._names.get(_key(name))
        if runner is None:
            raise UnknownJob(name, self._nearest(name))
        return runner

    def _nearest(self, name: str) -> tuple[str, ...]:
        near = difflib.get_close_matches(_key(name)[:64], self._names, 3, cutoff=0.5)
        return tuple(dict.fromkeys(self._names[key].job.name for key in near))

    # -- what an operator does ------------------------------------------------------------------------

    async def stop(self, name: str) -> bool:
        """Stop the job until it is started again, over restarts too.

        :returns: False if its current run has not ended although it was told to
        """
        return await self._runner(name).stop()

    async def start(self, name: str) -> None:
        """Let the job run by its schedule again, after a stop or a failure.

        :raises JobRefused: if config.yaml has it switched off
        """
        await self._runner(name).start()

    async def restart(self, name: str) -> bool:
        """End the job's current run and begin afresh.

        :returns: False if the run has not ended although it was told to
        :raises JobRefused: if config.yaml has it switched off
        """
        return await self._runner(name).restart()

    async def run_now(self, name: str) -> Run:
        """Run the job once and wait for its end; cancelling the wait does not end the run.

        :raises JobRefused: if it is running already
        """
        return await self._runner(name).run_now()

    async def reschedule(self, name: str, schedule: Schedule | None) -> tuple[float, ...]:
        """Run the job by ``schedule`` from now on, over restarts too; by the configured one if None.

        :returns: the next three times
        :raises JobRefused: if it runs all the time
        """
        await self._runner(name).reschedule(schedule)
        return self.upcoming(name)

    # -- when something is wrong ----------------------------------------------------------------------

    def _gave_up(self, runner: Runner) -> None:
        name, error = runner.job.name, runner.record.last_error
        _log.error("job %s has failed too often and is not run any more: %s", name, error)
        if self._tasks is None:
            return
        if self._notify is not None:
            self._tasks.start_soon(self._tell, _failure_notice(name, error, self._config))
        for failed in self._on_failed:
            self._tasks.start_soon(self._pass_on, failed, runner.job, error)
        if runner.job.critical:
            self._fatal = CriticalJobFailed(name, error)
            self._tasks.cancel_scope.cancel()

    async def _tell(self, notice: Reply) -> None:
        assert self._notify is not None
        try:
            with anyio.move_on_after(10, shield=True):
                await self._notify(notice)
        except Exception as error:  # whoever tells the owner is not ours, and the jobs go on
            _log.warning("the owner could not be told of a job: %s", error)

    async def _pass_on(self, failed: Failed, job: Job, error: str) -> None:
        try:
            with anyio.move_on_after(10, shield=True):
                await failed(job, error)
        except Exception as reason:  # whoever listens is not ours, and the jobs go on
            _log.warning("that the job %s has failed could not be passed on: %s", job.name, reason)

    async def _monitor(self) -> None:
        late = {status.name: status for status in self.late()}
        news = [status for name, status in late.items() if name not in self._told]
        self._told = set(late)
        if news and self._notify is not None:
            await self._tell(_late_notice(news))

    def _with_runners(self) -> Iterable[tuple[JobStatus, Runner]]:
        return ((runner.status(), runner) for runner in self._runners.values())


def _is_late(status: JobStatus, runner: Runner) -> bool:
    return status.overdue > OVERDUE * runner.interval > 0


def _failure_notice(name: str, error: str, config: JobsConfig) -> Reply:
    return Reply(
        f"It crashed more than {config.max_restarts} times in {Duration(config.within)} and is not run any more. "
        f"The rest of the bot goes on. `start_task {name}` tries again.",
        title=f"Job {name} has failed",
        fields=(Field("Last error", escape(error, 500), inline=False),),
        tone="error",
    )


def _late_notice(late: Iterable[JobStatus]) -> Reply:
    items = tuple(
        f"{status.name}: {status.state}, overdue by {Duration(status.overdue)}"
        + (f", last error: {escape(status.last_error, 200)}" if status.last_error else "")
        for status in late
    )
    return Reply(title="Jobs are overdue", items=items, tone="warn")


def _key(name: str) -> str:
    return " ".join(name.lower().split())


def _meant(names: tuple[str, ...]) -> str:
    return "; did you mean " + " or ".join(names) + "?" if names else ""
