"""One job, kept running by its schedule."""

import logging
from collections.abc import Callable
from datetime import tzinfo
from random import Random

import anyio
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint
from msgspec import Struct, structs

from socbot.config import JobConfig, JobsConfig
from socbot.dispatch.clock import Clock
from socbot.jobs.backoff import Restarts
from socbot.jobs.job import Ending, Job, JobRefused, JobStatus, Run, State
from socbot.jobs.leadership import Leadership
from socbot.jobs.records import Record, Records
from socbot.jobs.schedules import Continuous, Schedule, parse_schedule
from socbot.jobs.timetable import timetable
from socbot.redaction import redact
from socbot.storage.errors import StoreError, StoreFenced
from socbot.storage.leases import Fence, current_fence, fenced

STORE_AWAY = 1.0
"""Seconds until the next try where it cannot be stored that a run begins."""

GRACE = 5.0
"""Seconds that a run which is told to end is waited for."""

_log = logging.getLogger(__name__)


class _Request(Struct):
    """Somebody wants a run now; ``run`` is set before ``done`` is."""

    done: anyio.Event
    run: Run | None = None


class _End(Struct):
    outcome: Ending = "cancelled"
    error: str = ""


class Runner:
    """Runs a job when it is due, again after a failure, never twice at once.

    A decision is made only between two waits, and every change cuts the wait short: nothing is decided on what was.

    A job of the fleet runs only where ``lead`` was called, and stores that a run begins before it does: what a process
    did that is gone, or that another has replaced, is not done once more.

    :param give_up: called when the job has failed too often
    :param leadership: who runs it, if it is a job of the fleet and other processes may
    :ivar active: it is under supervision now
    :ivar fence: the right to run it for all processes
    :ivar changes: how often somebody changed here what is stored of it
    """

    def __init__(
        self,
        job: Job,
        records: Records,
        clock: Clock,
        random: Random,
        config: JobsConfig,
        zone: tzinfo,
        give_up: Callable[["Runner"], None],
        leadership: Leadership | None = None,
    ) -> None:
        self.job = job
        self.record = Record(job.name)
        self._records, self._clock, self._random, self._zone, self._give_up = records, clock, random, zone, give_up
        self._own = config.jobs.get(job.name, JobConfig())
        self._leadership = leadership if job.scope == "fleet" else None
        self.fence: Fence | None = None
        self._claimed = False
        self.changes = 0
        self._restarts = Restarts(config)
        self._failed = self._closing = False
        self._retry_at: float | None = None
        self._request: _Request | None = None
        self._began: float | None = None
        self._pause: anyio.CancelScope | None = None
        self._run_scope: anyio.CancelScope | None = None
        self.active = False
        self._rest = anyio.Event()
        self.ended = anyio.Event()
        self._timetable = timetable(self.schedule, clock, None, zone)

    # -- what is known --------------------------------------------------------------------------------

    @property
    def schedule(self) -> Schedule:
        chosen = self.record.schedule or self._own.schedule
        if chosen is None or isinstance(self.job.schedule, Continuous):
            return self.job.schedule
        return parse_schedule(chosen)

    @property
    def state(self) -> State:
        if self._began is not None:
            return "running"
        if self._off:
            return "stopped"
        if self.standby:
            return "standby"
        if self._failed:
            return "failed"
        return "waiting" if self._retry_at is None else "backing off"

    @property
    def shared(self) -> bool:
        """Whether one of several processes runs it for all."""
        return self._leadership is not None

    @property
    def standby(self) -> bool:
        """Whether it is for another process to run it."""
        return self.shared and self.active and self.fence is None

    @property
    def interval(self) -> float:
        return self._timetable.overdue()[1]

    @property
    def _off(self) -> bool:
        return self.record.stopped or not self._own.enabled

    @property
    def _next_run(self) -> float | None:
        if self.state == "waiting":
            return self._timetable.next_run()
        if self.state == "backing off" and self._retry_at is not None:
            return self._clock.time() + max(0.0, self._retry_at - self._clock.monotonic())
        return None

    def status(self) -> JobStatus:
        record, began = self.record, self._began
        return JobStatus(
            self.job,
            self.state,
            self.schedule,
            disabled=not self._own.enabled,
            stopping=began is not None and self._run_scope is not None and self._run_scope.cancel_called,
            next_run=self._next_run,
            running_for=None if began is None else self._clock.monotonic() - began,
            overdue=0.0 if self._off or self._failed or self.standby else self._timetable.overdue()[0],
            last_run=record.last_run,
            last_success=record.last_success,
            runs=record.runs,
            failures=record.failures,
            restarts=record.restarts,
            last_error=record.last_error,
            leader=self._leadership.leader if self._leadership is not None and self.standby else "",
        )

    # -- what it is told ------------------------------------------------------------------------------

    def restore(self, record: Record) -> None:
        """Go on from what is stored."""
        self.record = record
        if record.settled is None:
            record.settled = record.last_success
        self._set_timetable(record.settled)

    def lead(self, fence: Fence, record: Record) -> None:
        """Run it for all processes from now on, with what went wrong here before forgotten."""
        self.fence = fence
        self._failed, self._retry_at = False, None
        self._restarts.forget()
        self.restore(record)

    def stand_down(self) -> None:
        """Another process may run it; the current run is told to end."""
        self.fence, self._retry_at, self._claimed = None, None, False
        if self._began is None:
            self._answer(None)
        self._wake()
        if self._run_scope is not None:
            self._run_scope.cancel()

    def take_over(self, record: Record) -> None:
        """Take over what other processes have stored: where it does not run all of it, otherwise what was chosen."""
        if self.fence is None:
            self.restore(record)
            return
        if record.schedule != self.record.schedule:
            self.record.schedule = record.schedule
            self._set_timetable(record.settled)
        if record.stopped != self.record.stopped:
            self.record.stopped = record.stopped
            self._wake()
            if record.stopped and self._run_scope is not None:
                self._run_scope.cancel()

    def _set_timetable(self, settled: float | None) -> None:
        self._timetable = timetable(self.schedule, self._clock, settled, self._zone)
        self._claimed = False
        self._wake()

    def configure(self, config: JobsConfig) -> None:
        before = self.schedule
        self._own = config.jobs.get(self.job.name, JobConfig())
        self._restarts.config = config
        if self.schedule != before:
            self._set_timetable(self._clock.time())
        self._wake()

    def follow(self, schedule: Schedule) -> None:
        """Have another schedule of its own; one that was chosen or configured goes before it."""
        before = self.schedule
        self.job = structs.replace(self.job, schedule=schedule)
        if self.schedule != before:
            self._set_timetable(self._clock.time())
        self._wake()

    async def stop(self) -> bool:
        """Run no more until ``start``; False if the current run does not end when told to."""
        await self._records.set_stopped(self.job.name, True)
        self.record.stopped = True
        self.changes += 1
        return await self._interrupt()

    async def start(self) -> None:
        """Run again by the schedule, with what went wrong forgotten."""
        self._refuse_if_disabled()
        if not self.record.stopped:
            self._refuse_on_standby()
        await self._records.set_stopped(self.job.name, False)
        self.record.stopped = False
        self.changes += 1
        self._forget()

    async def restart(self) -> bool:
        """End the current run and begin afresh; False if the run does not end when told to."""
        self._refuse_if_disabled()
        self._refuse_on_standby()
        ended = await self._interrupt()
        await self.start()
        return ended

    async def reschedule(self, schedule: Schedule | None) -> None:
        """Run by ``schedule`` from now on, or by the configured one.

        :raises JobRefused: if the job runs all the time
        """
        if isinstance(self.job.schedule, Continuous):
            raise JobRefused(f"`{self.job.name}` runs all the time: it has no schedule to change.")
        now = self._clock.time()
        text = None if schedule is None else str(schedule)
        await self._records.set_schedule(self.job.name, text, now)
        self.record.schedule, self.record.settled = text, now
        self.changes += 1
        self._set_timetable(now)

    async def run_now(self) -> Run:
        """Run once, whatever the schedule, and return when that is over; also when the job is stopped.

        Being cancelled does not end the run. A run that fails is not repeated.

        :raises JobRefused: if it runs already, or in another process
        """
        self._refuse_on_standby()
        if self._began is not None or self._request is not None:
            raise JobRefused(f"`{self.job.name}` is running already.")
        request = self._request = _Request(anyio.Event())
        if self.active:
            self._wake()
            await request.done.wait()
        else:
            with anyio.CancelScope(shield=True):
                await self._run()
        if request.run is None:
            why = "another process has taken over" if self.standby else "the bot is shutting down"
            raise JobRefused(f"`{self.job.name}` was not run: {why}.")
        return request.run

    def close(self) -> None:
        """Begin no further run."""
        self._closing = True
        self._wake()

    async def end(self, patience: float) -> None:
        """Wait for the current run, then end it: at once if it is continuous, otherwise after ``patience`` seconds.

        Returns a few seconds later at the latest, whether or not it has ended.
        """
        self.close()
        if not isinstance(self.job.schedule, Continuous):
            with anyio.move_on_after(patience, shield=True):
                await self.ended.wait()
        await self._interrupt()
        with anyio.move_on_after(GRACE, shield=True):
            await self.ended.wait()
        if not self.ended.is_set():
            _log.error("job %s does not end although it was cancelled", self.job.name)

    def _refuse_if_disabled(self) -> None:
        if not self._own.enabled:
            raise JobRefused(f"config.yaml has `{self.job.name}` switched off (jobs.jobs.{self.job.name}.enabled).")

    def _refuse_on_standby(self) -> None:
        if not self.standby:
            return
        leader = self._leadership.leader if self._leadership is not None else ""
        where = f"That is {leader} now: ask it there." if leader else "None of them does at this moment."
        raise JobRefused(f"`{self.job.name}` runs in one of the processes that share the store. {where}")

    def _forget(self) -> None:
        self._failed, self._retry_at = False, None
        self._restarts.forget()
        self._wake()

    def _wake(self) -> None:
        if self._pause is not None:
            self._pause.cancel()

    async def _interrupt(self) -> bool:
        self._wake()
        if self._run_scope is None:
            return True
        self._run_scope.cancel()
        rest = self._rest
        with anyio.move_on_after(GRACE):
            await rest.wait()
        return rest.is_set()

    # -- the loop -------------------------------------------------------------------------------------

    async def supervise(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run the job until ``end``. Shielded: jobs end in their order, not all at once."""
        self.active = True
        task_status.started()
        try:
            with anyio.CancelScope(shield=True):
                while not self._closing:
                    wait = self._wait()
                    if wait <= 0:
                        await self._run()
                    else:
                        await self._sleep(wait)
        finally:
            self.active = False
            self._answer(None)
            self.ended.set()

    def _wait(self) -> float:
        if self._request is not None:
            return 0.0
        if self._off or self._failed or self.standby:
            return float("inf")
        if self._retry_at is not None:
            return self._retry_at - self._clock.monotonic()
        return self._timetable.wait()

    async def _sleep(self, seconds: float) -> None:
        with anyio.CancelScope() as self._pause:
            if seconds == float("inf"):
                await anyio.sleep_forever()
            await self._clock.sleep(seconds)
        self._pause = None

    async def _run(self) -> None:
        with fenced(self.fence):
            if self._request is not None or await self._begin():
                await self._run_once()

    async def _begin(self) -> bool:
        """A run that is due begins; not if another process may have begun it."""
        slot = self._timetable.begin()
        if self.fence is not None and slot is not None and not self._claimed:
            try:
                await self._records.set_settled({self.job.name: slot})
            except StoreFenced:
                self.stand_down()
                return False
            except StoreError as error:
                _log.warning("job %s cannot begin: %s", self.job.name, error)
                self._retry_at = self._clock.monotonic() + STORE_AWAY
                return False
            if self.fence != current_fence() or self._wait() > 0:  # it was told something else meanwhile
                return False
            self.record.settled, self._claimed = slot, True
        self.record.restarts += self._retry_at is not None
        return True

    async def _run_once(self) -> None:
        request = self._request
        started_at, self._began, self._rest = self._clock.time(), self._clock.monotonic(), anyio.Event()
        run = None
        try:
            end = await self._execute()
            run = Run(self.job.name, started_at, self._clock.monotonic() - self._began, end.outcome, end.error)
            self._count(run, asked=request is not None)
            await self._keep(run)
        finally:
            self._began = self._run_scope = None
            self._rest.set()
            if request is not None:
                self._answer(run)

    def _answer(self, run: Run | None) -> None:
        if self._request is not None:
            self._request.run = run
            self._request.done.set()
            self._request = None

    async def _execute(self) -> _End:
        """One run, in a task of its own: whatever it does to its task ends there."""
        end = _End()
        async with anyio.create_task_group() as tasks:
            self._run_scope = tasks.cancel_scope
            tasks.start_soon(self._contain, end)
        return end

    async def _contain(self, end: _End) -> None:
        try:
            await self.job.run()
            if isinstance(self.job.schedule, Continuous):
                end.outcome, end.error = "failed", "it ended, although it is to run all the time"
            else:
                end.outcome = "ok"
            await checkpoint()  # where a job that cancelled its own task, and went on, notices
        except anyio.get_cancelled_exc_class():
            if anyio.current_effective_deadline() == -float("inf"):
                raise
            end.outcome, end.error = "failed", "it cancelled itself"
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except StoreFenced as error:
            _log.warning("job %s ends: %s", self.job.name, error)
            self.stand_down()
        except BaseException as error:
            _log.warning("job %s failed", self.job.name, exc_info=error)
            end.outcome, end.error = "failed", _describe(error)

    def _count(self, run: Run, *, asked: bool) -> None:
        record = self.record
        record.runs += 1
        record.last_run = run.started_at
        if not asked:
            self._retry_at = None
        if run.outcome == "ok":
            self._succeeded(asked=asked)
        elif run.outcome == "failed":
            record.failures += 1
            record.last_error = run.error
            if not asked:
                self._crashed(run)

    def _succeeded(self, *, asked: bool) -> None:
        self.record.last_success = self._clock.time()
        self._failed, self._retry_at, self._claimed = False, None, False
        self._restarts.succeeded()
        if (settled := self._timetable.done()) is not None:
            self.record.settled = settled

    def _crashed(self, run: Run) -> None:
        if isinstance(self.job.schedule, Continuous) and run.seconds >= self._restarts.config.within:
            self._restarts.succeeded()
        now = self._clock.monotonic()
        wait = self._restarts.crashed(now, self._random)
        if wait is None:
            self._failed = True
            self._give_up(self)
        else:
            self._retry_at = now + wait

    async def _keep(self, run: Run) -> None:
        try:
            with anyio.move_on_after(GRACE, shield=True):
                await self._records.ran(run, self.record)
        except Exception as error:  # the store's trouble must not stop the jobs; the run is written with the next
            _log.warning("the run of job %s could not be recorded yet: %s", self.job.name, error)


def _describe(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return redact(f"{type(error).__name__}: {error}"[:2_000])[:500]
