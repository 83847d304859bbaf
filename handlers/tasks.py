"""The background jobs' commands."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import anyio
from msgspec import Meta

from socbot.dispatch.arguments import Completes, Duration, Rest
from socbot.dispatch.commands import command
from socbot.dispatch.context import Confirm, Context
from socbot.dispatch.errors import InvalidArgument
from socbot.dispatch.replies import Field, Reply, escape, moment
from socbot.jobs.job import JobStatus, Run
from socbot.jobs.schedules import Continuous, parse_schedule
from socbot.jobs.supervisor import Supervisor
from socbot.systems.links import Links

Name = Annotated[
    Rest, Meta(description="a job's name", min_length=1, max_length=100, examples=["monitor"]), Completes("job")
]

PATIENCE = 10.0
"""Seconds that a run which was asked for is waited for."""

_SCHEDULE = re.compile(r"(?P<job>.*?)\s+(?P<schedule>(?:every|cron|default)\b.*)", re.IGNORECASE | re.DOTALL)
_TONES = {"failed": "❌", "backing off": "⚠️", "stopped": "⏹️", "running": "▶️", "waiting": "🕒", "standby": "💤"}


@command("tasks", permission="public", group="tasks")
async def tasks(ctx: Context, supervisor: Supervisor, links: Links) -> Reply:
    """Every background job: its state, last success, next run, failures."""
    page = links.field("jobs") if ctx.is_owner else ()
    return Reply(title="Background jobs", fields=page, items=tuple(_line(status) for status in supervisor.status()))


@command("task_info", permission="public", group="tasks")
async def task_info(ctx: Context, supervisor: Supervisor, links: Links, job: Name) -> Reply:
    """One job: schedule, state, runs, failures, restarts, last error, durations, next run."""
    status = supervisor.find(job)
    runs = await supervisor.history(status.name)
    return Reply(
        status.job.description,
        f"Job {status.name}",
        (
            Field("State", _state(status)),
            Field("Schedule", str(status.schedule)),
            Field("Next run", _next(status)),
            Field("Last run", _moment(status.last_run)),
            Field("Last success", _moment(status.last_success)),
            Field("Runs", str(status.runs)),
            Field("Failures", str(status.failures)),
            Field("Restarts", str(status.restarts)),
            Field("Durations", _durations(runs)),
            *_last_error(ctx, status),
            *(links.field("jobs", status.name) if ctx.is_owner else ()),
        ),
        tone="error" if status.state == "failed" else "info",
    )


@command("stop_task", permission="owner", group="tasks")
async def stop_task(ctx: Context, supervisor: Supervisor, job: Name) -> Reply | Confirm:
    """Stop a job; it stays stopped, over restarts too, until it is started."""
    name = supervisor.find(job).name

    async def stop(ctx: Context) -> Reply:
        if await supervisor.stop(name):
            return Reply.ok(f"`{name}` is stopped until `start_task {name}`, over restarts of the bot too.")
        return Reply(f"`{name}` is stopped, but its current run has not ended although it was told to.", tone="warn")

    if supervisor.find(name).job.protected:
        return Confirm(f"The bot depends on the job `{name}`. Stop it all the same?", stop)
    return await stop(ctx)


@command("start_task", permission="owner", group="tasks")
async def start_task(ctx: Context, supervisor: Supervisor, job: Name) -> Reply:
    """Let a job run again, after it was stopped or has failed."""
    before = supervisor.find(job)
    if before.state not in ("stopped", "failed"):
        return Reply(f"`{before.name}` is started already: it is {_state(before)}.")
    await supervisor.start(before.name)
    return Reply.ok(f"`{before.name}` is started; {_then(supervisor.find(before.name))}.")


@command("restart_task", permission="owner", group="tasks")
async def restart_task(ctx: Context, supervisor: Supervisor, job: Name) -> Reply:
    """End a job's current run and begin afresh."""
    before = supervisor.find(job)
    ended = await supervisor.restart(before.name)
    if not ended:
        return Reply(f"`{before.name}` starts again once its current run, which was told to end, does.", tone="warn")
    was = {"stopped": " It was stopped.", "failed": " It had failed."}.get(before.state, "")
    return Reply.ok(f"`{before.name}` is started afresh; {_then(supervisor.find(before.name))}.{was}")


@command("run_task", permission="owner", group="tasks", timeout=30.0)
async def run_task(ctx: Context, supervisor: Supervisor, job: Name) -> Reply:
    """Run a job once now, whatever its schedule."""
    name = supervisor.find(job).name
    with anyio.move_on_after(PATIENCE):
        return _ran(await supervisor.run_now(name))
    return Reply(f"`{name}` is running; `task_info {name}` tells how it ended.")


@command("schedule_task", permission="owner", group="tasks")
async def schedule_task(
    ctx: Context,
    supervisor: Supervisor,
    job: Annotated[str, Meta(description="a job's name", max_length=100, examples=["monitor"]), Completes("job")],
    schedule: Annotated[
        Rest, Meta(description="`every 5m`, `cron 0 3 * * *`, or `default`", max_length=200, examples=["every 5m"])
    ],
) -> Reply:
    """Give a job another schedule, over restarts too; `default` gives it back its own.

    A cron schedule has five fields: minute, hour, day, month, weekday, in the bot's time zone.
    """
    name, wanted = _split(job, schedule)
    status = supervisor.find(name)
    times = await supervisor.reschedule(status.name, None if wanted.lower() == "default" else parse_schedule(wanted))
    changed = supervisor.find(status.name)
    return Reply(
        f"`{status.name}` runs {changed.schedule}.",
        fields=(Field("Next times", "\n".join(map(moment, times)) or _state(changed), inline=False),),
        tone="ok",
    )


@command("task_stats", permission="owner", group="tasks")
async def task_stats(ctx: Context, supervisor: Supervisor, links: Links) -> Reply:
    """All jobs together: by state, runs, failures, restarts, the slowest."""
    statuses = supervisor.status()
    states = Counter(status.state for status in statuses)
    slowest = await supervisor.slowest()
    return Reply(
        title="Background jobs in figures",
        fields=(
            Field("Jobs", str(len(statuses))),
            Field("By state", "\n".join(f"{state}: {count}" for state, count in states.most_common()) or "none"),
            Field("Runs", str(sum(status.runs for status in statuses))),
            Field("Failures", str(sum(status.failures for status in statuses))),
            Field("Restarts", str(sum(status.restarts for status in statuses))),
            Field("Slowest", "\n".join(f"{each.job}: {_seconds(each.seconds)}" for each in slowest) or "no runs"),
            *links.field("jobs"),
        ),
    )


def _split(job: str, schedule: str) -> tuple[str, str]:
    """Tell a job's name of two words from its schedule."""
    match = _SCHEDULE.fullmatch(f"{job} {schedule}")
    if match is None:
        parse_schedule(schedule)  # says what is expected
        raise InvalidArgument("job", job, "the name of a job")
    return match["job"], match["schedule"]


def _line(status: JobStatus) -> str:
    failures = f", {status.failures} of {status.runs} runs failed" if status.failures else ""
    success = f", last success {_moment(status.last_success)}"
    upcoming = f", next run {moment(status.next_run)}" if status.next_run is not None else ""
    return f"{_TONES[status.state]} **{status.name}**: {_state(status)}{success}{upcoming}{failures}"


def _state(status: JobStatus) -> str:
    if status.stopping:
        return "running, told to end"
    if status.disabled:
        return "stopped by config.yaml"
    if status.running_for is not None:
        return f"running for {_seconds(status.running_for)}"
    if status.state == "standby":
        return f"in another process, {status.leader}" if status.leader else "waiting for a process to lead"
    return status.state


def _next(status: JobStatus) -> str:
    if status.next_run is not None:
        return moment(status.next_run)
    return "after this one" if status.state == "running" else "none"


def _then(status: JobStatus) -> str:
    if status.next_run is not None:
        return f"it runs next at {moment(status.next_run)}"
    return "it runs all the time" if isinstance(status.schedule, Continuous) else f"it is {_state(status)}"


def _ran(run: Run) -> Reply:
    if run.outcome == "ok":
        return Reply.ok(f"`{run.job}` ran in {_seconds(run.seconds)}.")
    if run.outcome == "cancelled":
        return Reply(f"`{run.job}` was stopped after {_seconds(run.seconds)}.", tone="warn")
    return Reply.error(f"`{run.job}` failed after {_seconds(run.seconds)}: {escape(run.error, 500)}")


def _last_error(ctx: Context, status: JobStatus) -> Sequence[Field]:
    # What an exception says is the operator's business: a path, a host, a value.
    if not status.last_error or not ctx.is_owner:
        return ()
    return (Field("Last error", escape(status.last_error, 500), inline=False),)


def _durations(runs: Sequence[Run]) -> str:
    seconds = [run.seconds for run in runs if run.outcome != "cancelled"]
    if not seconds:
        return "no runs"
    mean = sum(seconds) / len(seconds)
    return (
        f"{_seconds(min(seconds))} to {_seconds(max(seconds))}, {_seconds(mean)} on average of the last {len(seconds)}"
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if 1 <= seconds < 60 else str(Duration(seconds))


def _moment(seconds: float | None) -> str:
    return "never" if seconds is None else moment(seconds)


COMMANDS = (tasks, task_info, stop_task, start_task, restart_task, run_task, schedule_task, task_stats)
