"""Metrics: figures for Prometheus, read when it asks; docs/metrics.md lists them.

No label holds anything that a user of the bot wrote, and no id of anybody: names of commands, middleware, jobs,
webhooks and checks are the operator's or the program's own, and of each kind there is a bound.
"""

import asyncio
import platform
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

import anyio
import psutil
from aiohttp import web
from msgspec import Struct
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from socbot.dispatch.outcomes import Outcome
from socbot.jobs.job import JobStatus
from socbot.storage.telemetry import Telemetry
from socbot.systems.audit import Head
from socbot.systems.backup.system import Status as BackupStatus
from socbot.systems.counters import BOUNDS, Counts, Durations, Part
from socbot.systems.health import STATUSES, Health, Round
from socbot.systems.vitals import Vitals
from socbot.systems.webhooks import Webhook
from socbot.version import VERSION
from socbot.web.host import Host

T = TypeVar("T")

PATIENCE: Final = 1.0
"""Seconds that a scrape waits for the bot's loop, and then for the store."""

STORED_FOR: Final = 15.0
"""Seconds for which what was read from the store is good for another scrape."""

DAY: Final = 86_400.0

MOST_SERIES: Final = 100
"""Of one kind of name that others give: checks, platforms. The others are bounded where they are made."""

_EOF: Final = b"# EOF\n"

Ask = Callable[..., Awaitable[Any]]
Labelled = Iterable[tuple[tuple[str, ...], float | None]]


class Metrics:
    """Answers a scrape. Made when the server starts: nothing else needs Prometheus' client.

    :param ask: calls a function on the bot's loop
    """

    def __init__(self, host: Host, ask: Ask) -> None:
        self._host, self._ask = host, ask
        self._process = psutil.Process()
        self._stored: tuple[float, _Stored] | None = None

    async def answer(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        page = _Page()
        registry = CollectorRegistry()
        registry.register(page)
        body = []
        async for family in self._families():
            page.family = family
            body.append(encode(registry).removesuffix(_EOF))
            await asyncio.sleep(0)  # the bot's thread is not kept from its turn by one long piece of work
        page.family = None
        if encode(registry).endswith(_EOF):
            body.append(_EOF)
        headers = {"Content-Type": content_type, "Cache-Control": "no-store"}
        return web.Response(body=b"".join(body), headers=headers)

    async def _families(self) -> AsyncIterator[Metric]:
        began, host = time.perf_counter(), self._host
        live = await self._part(_look, PATIENCE)
        stored = await self._from_store() if live is not None else None
        read = {"loop": live is not None, "store": stored is not None}
        for part in (
            _build(host),
            _probes(host.health),
            _commands(host.counters.counts),
            _running(host),
            _telemetry(host.telemetry, host.config.storage.flush_interval, host.config.storage.buffer),
            _loop(host.vitals, host.health),
            _losses(host),
            _process(self._process),
            _looked(live) if live is not None else (),
            _kept(stored, host.clock.time()) if stored is not None else (),
        ):
            for family in part:
                yield family
        ok = (((part,), float(good)) for part, good in read.items())
        yield _gauge("scrape_part_ok", "Whether the bot's loop and the store answered this scrape in time", ok, "part")
        seconds = time.perf_counter() - began
        yield _one("scrape_duration_seconds", "How long it took to gather these figures", seconds)

    async def _from_store(self) -> "_Stored | None":
        now = self._host.clock.monotonic()
        if self._stored is not None and now - self._stored[0] < STORED_FOR:
            return self._stored[1]
        found = await self._part(_read, PATIENCE)
        self._stored = None if found is None else (now, found)
        return found

    async def _part(self, read: Callable[[Host], Awaitable[T]], patience: float) -> T | None:
        """What ``read`` finds on the bot's loop; None if it does not in time, or fails."""
        try:
            async with asyncio.timeout(patience):
                found: T = await self._ask(read, self._host)
        except Exception:  # a boundary: the figures that there are come through, whatever holds up the others
            return None
        return found


class _Page(Collector):
    """One family at a time."""

    def __init__(self) -> None:
        self.family: Metric | None = None

    def collect(self) -> Iterable[Metric]:
        return () if self.family is None else (self.family,)


# -- making families ----------------------------------------------------------------------------------


def _gauge(name: str, text: str, values: Labelled, *labels: str) -> Metric:
    family = GaugeMetricFamily(f"socbot_{name}", text, labels=labels)
    for at, value in values:
        if value is not None:
            family.add_metric(at, float(value))
    return family


def _counter(name: str, text: str, values: Labelled, *labels: str) -> Metric:
    family = CounterMetricFamily(f"socbot_{name}", text, labels=labels)
    for at, value in values:
        if value is not None:
            family.add_metric(at, float(value))
    return family


def _one(name: str, text: str, value: float | None) -> Metric:
    return _gauge(name, text, [((), value)])


def _total(name: str, text: str, value: float) -> Metric:
    return _counter(name, text, [((), value)])


def _histogram(name: str, text: str, durations: Mapping[str, Durations], label: str) -> Metric:
    family = HistogramMetricFamily(f"socbot_{name}", text, labels=(label,))
    for key, found in durations.items():
        within = [(repr(bound), float(count)) for bound, count in zip(BOUNDS, found.within, strict=True)]
        family.add_metric((key,), [*within, ("+Inf", float(found.count))], found.total)
    return family


def _by(values: Mapping[str, float]) -> Labelled:
    return (((key,), value) for key, value in values.items())


# -- from memory, on any thread -----------------------------------------------------------------------


def _build(host: Host) -> Iterator[Metric]:
    family = InfoMetricFamily("socbot_build", "Which socbot this is, on what")
    store, python = host.database.dialect, platform.python_version()
    family.add_metric((), {"version": VERSION, "python": python, "store": store})
    yield family
    text = "1 where this SQLite can damage a store that two programs write to; socbot keeps others out"
    yield _one("sqlite_wal_reset_bug", text, host.database.wal_reset_bug)


def _probes(health: Health) -> Iterator[Metric]:
    live, ready, overall = health.live, health.ready, health.overall
    yield _one("live", "1 while the event loop turns, as /livez tells it", live.ok)
    yield _one("ready", "1 while the bot can serve, as /readyz tells it", ready.ok)
    facts = (((fact.name,), float(fact.ok)) for fact in ready.facts[:MOST_SERIES])
    yield _gauge(
        "readiness_fact_ok", "1 for each thing that being ready depends on, while it is as it should be", facts, "fact"
    )
    status = STATUSES.index(overall.status)
    yield _one(
        "health_status", "The worst check of the last round: 0 healthy, 1 unknown, 2 degraded, 3 unhealthy", status
    )


_PART_COUNTS: Final[tuple[tuple[str, str, Callable[[Part], int]], ...]] = (
    ("calls", "Commands that reached a middleware", lambda part: part.calls),
    ("refusals", "Commands that a middleware refused", lambda part: part.refusals),
    ("would_refuse", "Commands that a middleware in shadow mode would have refused", lambda part: part.would_refuse),
    ("faults", "Commands in which a middleware broke", lambda part: part.faults),
)


def _commands(counts: Counts) -> Iterator[Metric]:
    endings = counts.endings.items()
    yield _counter(
        "commands", "Commands that ended and are in the store, since the start", endings, "command", "outcome"
    )
    yield _counter(
        "command_seconds", "Time that commands took, from the message to the answer", _by(counts.seconds), "command"
    )
    yield _histogram(
        "command_duration_seconds", "How long commands took that got into the chain", counts.durations, "outcome"
    )
    yield _counter("refusals", "Commands that were refused, by whom and why", counts.refusals.items(), "by", "reason")
    yield _counter("failures", "Commands that failed, by the class of the error", _by(counts.failures), "type")
    parts = counts.parts
    for name, text, count in _PART_COUNTS:
        values = [((middleware,), float(count(part))) for middleware, part in parts.items()]
        yield _counter(f"middleware_{name}", text, values, "middleware")
    own = {name: part.own for name, part in parts.items()}
    yield _histogram("middleware_duration_seconds", "Time in the middleware, without what it wraps", own, "middleware")


def _running(host: Host) -> Iterator[Metric]:
    yield _one("commands_running", "Commands under way now", host.dispatcher.running)
    yield _one("commands_running_limit", "Commands that may be under way at once", host.dispatcher.max_running)
    yield _one("answers_waiting", "Answers that a platform has not taken yet", host.dispatcher.unanswered)
    yield _one(
        "answers_waiting_limit", "Answers that may wait before commands are refused", host.dispatcher.most_unanswered
    )


def _telemetry(telemetry: Telemetry[Outcome], interval: float, limit: int) -> Iterator[Metric]:
    yield _one(
        "telemetry_waiting", "Commands that are not in the store yet, and so not counted here", telemetry.waiting
    )
    yield _one("telemetry_waiting_limit", "How many of them are kept before the oldest are dropped", limit)
    yield _total(
        "telemetry_dropped", "Commands that were never counted: the store failed for too long", telemetry.dropped
    )
    yield _total("telemetry_sink_errors", "Batches of which one system lost its share", telemetry.sink_errors)
    yield _one("telemetry_failing", "1 while the store does not take what is observed", telemetry.failure is not None)
    yield _one("telemetry_flush_interval_seconds", "What a crash loses of these counts, at most", interval)


def _loop(vitals: Vitals, health: Health) -> Iterator[Metric]:
    overdue = health.liveness.overdue
    yield _one("event_loop_lag_seconds", "By how much the event loop was late when it last turned", vitals.loop_lag())
    yield _one(
        "event_loop_lag_worst_seconds", "The same at worst, within the last minute or two", vitals.worst_lag(60.0)
    )
    yield _one("event_loop_stalled_seconds", "For how long the event loop stands still", overdue() if overdue else None)
    yield _total("event_loop_stalls", "How often the event loop stood still for a quarter of a second", vitals.stalls())


def _losses(host: Host) -> Iterator[Metric]:
    yield _one("errors_waiting", "Errors that are not in the store yet", host.errors.waiting)
    yield _total("errors_lost", "Errors that could not be kept", host.errors.lost)
    yield _total("error_notices_lost", "Notices of errors that reached nobody", host.errors.notices_lost)
    yield _one("audit_waiting", "Records of the audit trail that are not in the store yet", host.audit.pending)
    yield _total("audit_lost", "Records of the audit trail that could not be kept", host.audit.lost)
    yield _total("log_lines_lost", "Lines of the log that were never written", host.logs.lost)
    yield _one("store_writes_waiting", "Transactions that have not begun", host.database.waiting)
    text = "Size of SQLite's write-ahead log; it cannot be emptied while somebody reads an old state of the store"
    yield _one("store_wal_size_bytes", text, host.database.wal_size)


def _process(process: psutil.Process) -> Iterator[Metric]:
    """Under the names that other exporters use too."""
    with process.oneshot():
        times, memory = process.cpu_times(), process.memory_info()
        cpu = CounterMetricFamily("process_cpu_seconds", "Processor time, user and system")
        cpu.add_metric((), times.user + times.system)
        yield cpu
        for name, text, value in (
            ("resident_memory_bytes", "Memory that the process holds", memory.rss),
            ("virtual_memory_bytes", "Memory that the process may use", memory.vms),
            ("threads", "Threads of the process", process.num_threads()),
            (
                "start_time_seconds",
                "When the process began; what is counted is counted since then",
                process.create_time(),
            ),
        ):
            yield _plain(f"process_{name}", text, value)
    text = "Blocks of memory in use for Python's objects; more and more of them means that some are never let go"
    yield _one("memory_blocks", text, sys.getallocatedblocks())
    if hasattr(process, "num_fds"):
        yield _plain("process_open_fds", "Open file descriptors", process.num_fds())
        yield _plain("process_max_fds", "File descriptors that may be open", process.rlimit(psutil.RLIMIT_NOFILE)[0])


def _plain(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


# -- from the bot's loop ------------------------------------------------------------------------------


class _Platform(Struct, frozen=True):
    name: str
    links: tuple[float | None, ...]
    latency: float | None


class _Looked(Struct, frozen=True):
    """What is in the memory of the systems."""

    tasks: int
    leads: bool
    jobs: tuple[JobStatus, ...]
    webhooks: tuple[Webhook, ...]
    round: Round | None
    lasting: int
    platforms: tuple[_Platform, ...]
    limited: int
    limit: int
    timed_out: int
    apart: bool
    violated: dict[str, int]
    listed: dict[str, int]
    list_known: bool
    backup_age: float | None
    backup_intervals: float | None
    backup_failed: bool


async def _look(host: Host) -> _Looked:
    vitals, limiter, blacklist, backups = host.vitals, host.rate_limiter, host.blacklist, host.backups
    return _Looked(
        len(anyio.get_running_tasks()),
        host.supervisor.leads,
        host.supervisor.status(),
        host.webhooks.all(),
        host.health.last,
        len(host.health.lasting),
        tuple(
            _Platform(name, vitals.links(name), vitals.transport_latency(name))
            for name in vitals.platforms[:MOST_SERIES]
        ),
        limiter.tracked,
        limiter.config.max_users,
        len(limiter.timed_out()),
        limiter.apart,
        {"warn": 0, "timeout": 0, "blacklist": 0} | dict(limiter.violated),
        {"user": blacklist.count("user"), "guild": blacklist.count("guild")},
        blacklist.available,
        backups.age if host.supervisor.leads else None,  # whoever leads makes them
        backups.age_intervals if host.supervisor.leads else None,
        bool(backups.failure) and host.supervisor.leads,
    )


def _looked(found: _Looked) -> Iterator[Metric]:
    yield _one(
        "event_loop_tasks", "Tasks on the event loop; more and more of them means that some never end", found.tasks
    )
    yield _one("rate_limit_users", "Users whose limits are remembered", found.limited)
    yield _one("rate_limit_users_limit", "Users that can be remembered at once", found.limit)
    yield _one("rate_limit_timeouts", "Users who are timed out now", found.timed_out)
    yield _one("rate_limit_apart", "1 while processes that are to keep one limit cannot", found.apart)
    yield _counter("rate_limit_violations", "Violations, by what they cost", _by(found.violated), "action")
    yield _gauge("blacklist_entries", "Users and guilds that are listed", _by(found.listed), "kind")
    yield _one(
        "blacklist_available",
        "0 while nobody knows who is listed, and so only the owner is let through",
        found.list_known,
    )
    yield _one("backup_age_seconds", "Age of the last scheduled backup that was made and verified", found.backup_age)
    yield _one(
        "backup_age_intervals",
        "The same, in intervals of the shortest schedule; alarming from 1.5 on",
        found.backup_intervals,
    )
    yield _one("backup_failed", "1 if the last backup that was due could not be made", found.backup_failed)
    yield _one("leader", "1 in the process that runs the jobs of the fleet", found.leads)
    yield from _jobs(found.jobs)
    yield from _webhooks(found.webhooks)
    yield from _health(found.round, found.lasting)
    yield from _platforms(found.platforms)


_JOB_COUNTS: Final[tuple[tuple[str, str, Callable[[JobStatus], float]], ...]] = (
    ("runs", "Runs of a job, over restarts", lambda job: job.runs),
    ("failures", "Runs of a job that failed, over restarts", lambda job: job.failures),
    ("restarts", "How often a job that failed was begun again", lambda job: job.restarts),
)
_JOB_GAUGES: Final[tuple[tuple[str, str, Callable[[JobStatus], float | None]], ...]] = (
    ("last_success_timestamp_seconds", "When a job last ended well", lambda job: job.last_success),
    ("next_run_timestamp_seconds", "When a job is to run next", lambda job: job.next_run),
    ("overdue_seconds", "For how long a run that was due has not succeeded", lambda job: job.overdue),
)


def _jobs(jobs: tuple[JobStatus, ...]) -> Iterator[Metric]:
    states = (((job.name, job.state), 1.0) for job in jobs)
    yield _gauge("job_state", "1 for the state in which a job is", states, "job_name", "state")
    for name, text, count in _JOB_COUNTS:
        yield _counter(f"job_{name}", text, [((job.name,), count(job)) for job in jobs], "job_name")
    for name, text, read in _JOB_GAUGES:
        yield _gauge(f"job_{name}", text, [((job.name,), read(job)) for job in jobs], "job_name")


_WEBHOOK_COUNTS: Final[tuple[tuple[str, str, Callable[[Webhook], float]], ...]] = (
    ("sent", "Tries that a webhook accepted", lambda each: each.sent),
    ("failed", "Tries that a webhook did not accept", lambda each: each.failed),
    ("dropped", "Deliveries that were given up because too many waited", lambda each: each.dropped),
)
_WEBHOOK_GAUGES: Final[tuple[tuple[str, str, Callable[[Webhook], float]], ...]] = (
    ("waiting", "Deliveries that wait for a webhook", lambda each: each.waiting),
    ("dead", "Deliveries that are not tried any more", lambda each: each.dead),
    ("paused", "1 while nothing is sent, because a webhook failed for too long", lambda each: each.state == "paused"),
    ("enabled", "1 while a webhook is switched on", lambda each: each.enabled),
)


def _webhooks(webhooks: tuple[Webhook, ...]) -> Iterator[Metric]:
    for name, text, count in _WEBHOOK_COUNTS:
        yield _counter(f"webhook_{name}", text, [((each.name,), count(each)) for each in webhooks], "webhook")
    for name, text, read in _WEBHOOK_GAUGES:
        yield _gauge(f"webhook_{name}", text, [((each.name,), read(each)) for each in webhooks], "webhook")


_BASE: Final = {"ms": ("seconds", 1e-3), "MB": ("bytes", 1e6), "MB free": ("bytes", 1e6), "%": ("ratio", 1e-2)}


def _health(last: Round | None, lasting: int) -> Iterator[Metric]:
    results = () if last is None else last.results[:MOST_SERIES]
    statuses = (((each.name,), float(STATUSES.index(each.status))) for each in results)
    yield _gauge(
        "health_check_status", "Of each check: 0 healthy, 1 unknown, 2 degraded, 3 unhealthy", statuses, "check"
    )
    figures: list[tuple[tuple[str, ...], float]] = []
    for each in results:
        if each.figure is not None:
            unit, factor = _BASE.get(each.unit, (each.unit, 1.0))
            figures.append(((each.name, unit), each.figure * factor))
    yield _gauge("health_check_value", "What each check measured, in the unit that it names", figures, "check", "unit")
    yield _one(
        "health_round_timestamp_seconds", "When everything was last looked at", None if last is None else last.at
    )
    yield _one("health_episodes", "Checks that are in trouble, as rounds that agree see it", lasting)


def _platforms(found: tuple[_Platform, ...]) -> Iterator[Metric]:
    links = _by({each.name: len(each.links) for each in found})
    up = _by({each.name: sum(lost is None for lost in each.links) for each in found})
    latency = (((each.name,), each.latency) for each in found)
    yield _gauge("transport_connections", "Connections that a platform is to have", links, "platform")
    yield _gauge("transport_connected", "Connections to a platform that are there", up, "platform")
    yield _gauge("transport_latency_seconds", "How long a platform took to answer", latency, "platform")


# -- from the store -----------------------------------------------------------------------------------


class _Stored(Struct, frozen=True):
    size: int
    backups: BackupStatus
    signals: dict[tuple[str, str], int]
    audit: Head


async def _read(host: Host) -> _Stored:
    signals = await host.signals.counts(host.clock.time() - DAY)
    return _Stored(
        await host.database.size(), await host.backups.status(), dict(signals.items()), await host.audit.head()
    )


def _kept(found: _Stored, now: float) -> Iterator[Metric]:
    yield _one("store_size_bytes", "Size of the store", found.size)
    yield _gauge(
        "signals_recent",
        "Signals of the last 24 hours, alike ones as often as they came",
        found.signals.items(),
        "kind",
        "severity",
    )
    yield _one("audit_records", "Records of the audit trail", found.audit.count)
    backups = found.backups
    good = {type: last for type, last in backups.last.items() if last is not None}
    made = _by({type: last.backup.made_at for type, last in good.items()})
    yield _gauge("backup_last_success_timestamp_seconds", "When the last good backup of a type was made", made, "type")
    sizes = _by({type: float(last.backup.size) for type, last in good.items()})
    yield _gauge("backup_last_size_bytes", "Size of the last good backup of a type", sizes, "type")
    verified = max((last.mark.verified_at for last in good.values() if last.mark.verified_at is not None), default=None)
    yield _one(
        "backup_last_verified_timestamp_seconds", "When a backup was last read whole and found to be right", verified
    )
    drill = backups.drill
    proven = max((last.mark.proven_at for last in good.values() if last.mark.proven_at is not None), default=None)
    yield _one(
        "backup_last_proven_timestamp_seconds", "When a bot was last started on a restored backup, and worked", proven
    )
    yield _one("backup_drill_passed", "1 if the last such trial went well", None if drill is None else drill.passed)
    yield _one("backups", "Backups that there are", backups.count)
    yield _one("backups_size_bytes", "Room that all backups take", backups.used)
    yield _one("backups_free_bytes", "Room that is left where they lie", backups.free)
