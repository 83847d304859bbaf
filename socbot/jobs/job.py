"""What a job is, and what is known of one."""

from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias

from msgspec import Struct

from socbot.dispatch.errors import InvalidArgument, UserError
from socbot.jobs.schedules import Schedule

State: TypeAlias = Literal["running", "waiting", "backing off", "stopped", "failed", "standby"]
"""``standby``: it runs once in the fleet, and another process leads that."""

Ending: TypeAlias = Literal["ok", "failed", "cancelled"]


class Job(Struct, frozen=True):
    """Work that is run at a time, at an interval, or always.

    :param run: one run; cancelled when the job is stopped
    :param protected: stopping it asks first
    :param critical: the bot cannot go on without it, so it ends when this job has failed
    :param aliases: other names for it, of one word or two
    :param scope: ``fleet`` for what only one of the processes that share a store has to do; all that it writes to the
        store by then is refused once another process has taken over
    """

    name: str
    run: Callable[[], Awaitable[object]]
    schedule: Schedule
    description: str = ""
    protected: bool = False
    critical: bool = False
    aliases: tuple[str, ...] = ()
    scope: Literal["process", "fleet"] = "process"


class Run(Struct, frozen=True):
    """One run of a job: when it started (seconds since 1970), how long it took, how it ended."""

    job: str
    started_at: float
    seconds: float
    outcome: Ending
    error: str = ""


class JobStatus(Struct, frozen=True):
    """A job as it stands. Moments are seconds since 1970.

    :param disabled: config.yaml has it switched off
    :param stopping: it was told to end and has not yet
    :param next_run: None while it is not going to run by itself
    :param running_for: seconds since the current run began; None while there is none
    :param overdue: seconds since the last run that was due and did not succeed; 0 where another process runs it
    :param leader: the process in which it runs, if that is another one and known
    """

    job: Job
    state: State
    schedule: Schedule
    disabled: bool
    stopping: bool
    next_run: float | None
    running_for: float | None
    overdue: float
    last_run: float | None
    last_success: float | None
    runs: int
    failures: int
    restarts: int
    last_error: str
    leader: str = ""

    @property
    def name(self) -> str:
        return self.job.name


class UnknownJob(InvalidArgument):
    """No job has that name; ``suggestions`` are the nearest."""

    def __init__(self, name: str, suggestions: tuple[str, ...]) -> None:
        self.suggestions = suggestions
        expected = "the name of a job"
        if suggestions:
            expected += "; did you mean " + " or ".join(f"`{suggestion}`" for suggestion in suggestions) + "?"
        super().__init__("job", name, expected)


class JobRefused(UserError):
    """The job cannot do that in the state in which it is."""


class CriticalJobFailed(Exception):
    """A job without which the bot cannot go on has failed."""

    def __init__(self, job: str, error: str) -> None:
        self.job, self.error = job, error
        super().__init__(f"the critical job {job!r} has failed: {error}")
