"""The checks that every bot has; each is made of what it looks at."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from random import Random

import anyio.to_thread

from socbot.config import Threshold
from socbot.dispatch.arguments import Duration
from socbot.dispatch.clock import Clock
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.messages import Message, User
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply, moment
from socbot.jobs.job import JobStatus
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.errors import StoreError
from socbot.systems.health.checks import Check, Measured, Status, worst
from socbot.systems.health.meters import Increase, Load, Meter, Stall, spaces
from socbot.systems.vitals import Vitals

PATIENCE = 60.0
"""Seconds that a platform's connection may be lost before the bot counts as not ready."""

_DAY = 86_400.0
_MB = 1e6


# -- the store ----------------------------------------------------------------------------------------


def database(store: Database, clock: Clock, random: Random) -> Check:
    """A real write, on disk, and a read of it by the reading connection."""
    name = f"health-{random.randrange(16**8):08x}"  # another process on the same store writes a line of its own

    async def measure() -> Measured:
        began, at = clock.monotonic(), clock.time()
        await store.write(partial(_beat, name=name, at=at))
        found = await store.read(partial(_last_beat, name=name))
        if found != at:
            return Measured(text="what was written could not be read back", status="unhealthy")
        return Measured((clock.monotonic() - began) * 1000, f"{store.dialect}, a write and a read")

    return Check("database", measure, "ms", "database_ms", public=True)


def _beat(connection: Connection, name: str, at: float) -> None:
    connection.change("DELETE FROM heartbeats WHERE at < :old", {"old": at - _DAY})
    connection.change(
        "INSERT INTO heartbeats (name, at) VALUES (:name, :at) ON CONFLICT (name) DO UPDATE SET at = excluded.at",
        {"name": name, "at": at},
    )


def _last_beat(connection: Connection, name: str) -> float | None:
    rows = connection.execute("SELECT at FROM heartbeats WHERE name = :name", {"name": name})
    return float(rows[0][0]) if rows else None


def wal(size: Callable[[], int | None]) -> Check:
    """How long the write-ahead log is; not made where there is none."""

    async def measure() -> Measured | None:
        bytes_of_it = size()
        if bytes_of_it is None:
            return None
        return Measured(bytes_of_it / _MB, "it grows as long as another program reads an old state of the store")

    return Check("wal", measure, "MB", "wal_mb")


# -- the canary ---------------------------------------------------------------------------------------

PLATFORM = "health"
"""Of the canary; no transport may have that name."""

CANARY = (PLATFORM, "canary")
"""Whose command goes through the chain in every round."""

_SINGS = "alive"


@command("health_canary", permission="public", group="health", metered=False, hidden=True)
async def health_canary(ctx: Context) -> Reply | None:
    """Answers the bot's own question whether the chain lets a command through; nobody else gets an answer."""
    return Reply(_SINGS) if ctx.identity == CANARY else None


def canary(dispatch: Callable[[Message], Awaitable[Outcome]], clock: Clock, prefix: Callable[[], str]) -> Check:
    """A command of a stranger, through the whole chain as everybody's."""

    async def measure() -> Measured:
        began = clock.monotonic()
        message = Message(prefix() + health_canary.name, User(CANARY[1], CANARY[1]), PLATFORM, PLATFORM)
        outcome = await dispatch(message)
        return _heard(outcome, (clock.monotonic() - began) * 1000)

    return Check("canary", measure, "ms", "canary_ms", public=True)


def _heard(outcome: Outcome, milliseconds: float) -> Measured:
    if outcome.status == "ok" and outcome.reply is not None and outcome.reply.text == _SINGS:
        return Measured(milliseconds, "a command went through the whole chain")
    if outcome.refused_by == "maintenance":
        return Measured(milliseconds, "a command went through the whole chain; maintenance is on")
    if outcome.status == "ok":
        return Measured(milliseconds, "something in the chain answered in the command's place", "unhealthy")
    by = f" by {outcome.refused_by}" if outcome.refused_by else ""
    reason = f": {outcome.reason}" if outcome.reason else ""
    return Measured(milliseconds, f"the command was {outcome.status}{by}{reason}", "unhealthy")


# -- platforms ----------------------------------------------------------------------------------------


def transport(vitals: Vitals) -> Check:
    """The slowest of the connected platforms, and whether the connections are there."""

    async def measure() -> Measured | None:
        found = [_platform(vitals, name) for name in vitals.platforms]
        if not found:
            return None
        figures = [each.figure for each in found if each.figure is not None]
        statuses = [each.status for each in found if each.status is not None]
        status = worst(*statuses) if statuses else None
        return Measured(max(figures, default=None), "; ".join(each.text for each in found), status)

    return Check("transport", measure, "ms", "transport_ms", public=True)


def _platform(vitals: Vitals, name: str) -> Measured:
    links, latency = vitals.links(name), vitals.transport_latency(name)
    lost = [seconds for seconds in links if seconds is not None]
    if lost:
        return Measured(None, f"{name}: {_lost(lost, len(links))}", _how_bad(lost, len(links)))
    if latency is None:
        return Measured(None, f"{name}: connected, the latency is not known yet", "unknown")
    return Measured(latency * 1000, f"{name}: {latency * 1000:.0f} ms")


def _how_bad(lost: list[float], links: int) -> Status:
    return "unhealthy" if len(lost) == links and min(lost) > PATIENCE else "degraded"


def _lost(lost: list[float], links: int) -> str:
    longest = max(lost)
    since = "not connected yet" if longest == float("inf") else f"connection lost {Duration(round(longest) or 1)} ago"
    return since if links == 1 else f"{len(lost)} of {links} connections: {since}"


# -- process and machine ------------------------------------------------------------------------------


def memory(meter: Meter) -> Check:
    async def measure() -> Measured:
        return Measured(meter.memory / _MB, "resident")

    return Check("memory", measure, "MB", "memory_mb")


def cpu(meter: Meter) -> Check:
    async def measure() -> Measured:
        load = meter.load()
        if load.seconds is None:
            return Measured(text=f"{load.own:.0f} % of one core at the start, which is not judged", status="healthy")
        return Measured(load.own, f"of one core, {_over(load)}")

    return Check("cpu", measure, "%", "cpu_percent")


def machine_cpu(meter: Meter) -> Check:
    async def measure() -> Measured:
        load = meter.load()
        return Measured(load.machine, f"of all cores, {_over(load)}")

    return Check("machine_cpu", measure, "%", "machine_cpu_percent")


def _over(load: Load) -> str:
    return "since the machine started" if load.seconds is None else f"over the last {Duration(round(load.seconds))}"


def disk(folders: Callable[[], Mapping[str, Path]]) -> Check:
    """The fullest of the file systems on which ``folders`` are."""

    async def measure() -> Measured:
        # A network's file system may never answer; the thread is left behind then.
        found = await anyio.to_thread.run_sync(spaces, folders(), abandon_on_cancel=True)
        told = "; ".join(f"{', '.join(each.names)}: {each.free / _MB:,.0f} MB free" for each in found)
        return Measured(min(each.free for each in found) / _MB, told)

    return Check("disk", measure, "MB free", "disk_free_mb")


def event_loop(worst_lag: Callable[[], float | None], last_stall: Callable[[], Stall | None]) -> Check:
    """How late the loop was at worst since the round before, and where it stood still last."""

    async def measure() -> Measured | None:
        lag, stall = worst_lag(), last_stall()
        if lag is None:
            return None
        told = "" if stall is None else f"; last stood still {moment(stall.at)} at {stall.where.rpartition('/')[2]}"
        return Measured(lag * 1000, f"late at worst{told}")

    return Check("event_loop", measure, "ms", "loop_lag_ms")


# -- the bot's own parts ------------------------------------------------------------------------------


def jobs(status: Callable[[], Iterable[JobStatus]], late: Callable[[], Iterable[JobStatus]]) -> Check:
    """How many jobs have failed, or should have run and have not."""

    async def measure() -> Measured:
        all_of_them = tuple(status())
        failed = [each.name for each in all_of_them if each.state == "failed"]
        overdue = [each.name for each in late() if each.name not in failed]
        told = [f"failed: {', '.join(failed)}"] * bool(failed) + [f"overdue: {', '.join(overdue)}"] * bool(overdue)
        return Measured(len(failed) + len(overdue), "; ".join(told) or f"failed or overdue, of {len(all_of_them)}")

    return Check("jobs", measure, "jobs", "failed_jobs")


def telemetry(dropped: Callable[[], int], failing: Callable[[], bool], increase: Increase) -> Check:
    """What the store did not take in time since the round before."""

    async def measure() -> Measured:
        lost = increase.read(dropped())
        if failing():
            return Measured(lost, "the store does not take it; it is kept in memory", "degraded")
        return Measured(lost, f"dropped within {Duration(increase.seconds)}")

    return Check("telemetry", measure, "events", "telemetry_dropped")


def webhooks(backlog: Callable[[], int | None]) -> Check:
    """How many deliveries wait; not made while there is nothing to deliver to."""

    async def measure() -> Measured | None:
        waiting = backlog()
        return None if waiting is None else Measured(waiting, "waiting to be delivered")

    return Check("webhooks", measure, "deliveries", "webhook_backlog")


def backup(age: Callable[[], float | None], enabled: Callable[[], bool]) -> Check:
    """How old the last verified backup is, in intervals of its schedule."""

    async def measure() -> Measured | None:
        if not enabled():
            return None
        intervals = age()
        if intervals is None:
            return Measured(text="the first one is not due yet", status="healthy")
        return Measured(intervals, "since the last one that was verified")

    return Check("backup", measure, "intervals", "backup_age_intervals")


def dashboard(base: Callable[[], str], failure: Callable[[], str]) -> Check:
    """Whether the dashboard and the probes are served; not made where nobody serves them."""

    async def measure() -> Measured | None:
        if why := failure():
            return Measured(text=f"not served: {why}", status="degraded")
        return Measured(text=f"at {base()}", status="healthy") if base() else None

    return Check("dashboard", measure)


def audit(pending: Callable[[], int], flush: Callable[[], Awaitable[None]]) -> Check:
    """What was done and cannot be recorded."""

    async def measure() -> Measured:
        try:
            await flush()
        except StoreError as error:
            return Measured(max(1, pending()), f"cannot be written: {type(error).__name__}", "degraded")
        return Measured(0, "not written yet")

    return Check("audit", measure, "records", Threshold(1, 100))
