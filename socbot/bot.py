"""The composition: a configuration in, a running bot out. The only file that knows all parts."""

import importlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial, wraps
from itertools import chain
from pathlib import Path
from random import Random, SystemRandom
from types import TracebackType
from typing import Any, Self, TypeAlias, TypedDict, Unpack
from zoneinfo import ZoneInfo

import anyio
from msgspec import structs

from socbot.config import Config, Loaded, load
from socbot.dispatch.clock import Clock, SystemClock
from socbot.dispatch.commands import Command
from socbot.dispatch.context import Send
from socbot.dispatch.dispatcher import Dispatcher, Done
from socbot.dispatch.messages import Identity, Message, User
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.documents import ConfigError
from socbot.egress import Client
from socbot.handlers import access as access_commands
from socbot.handlers import analytics as analytics_commands
from socbot.handlers import backup as backup_commands
from socbot.handlers import blacklist as blacklist_commands
from socbot.handlers import bot as bot_commands
from socbot.handlers import errors as error_commands
from socbot.handlers import health as health_commands
from socbot.handlers import logs as log_commands
from socbot.handlers import performance as performance_commands
from socbot.handlers import pipeline as pipeline_commands
from socbot.handlers import rate_limit as rate_limit_commands
from socbot.handlers import settings as settings_commands
from socbot.handlers import signals as signal_commands
from socbot.handlers import tasks as tasks_commands
from socbot.handlers import webhooks as webhook_commands
from socbot.jobs.job import Job
from socbot.jobs.leadership import Leadership
from socbot.jobs.schedules import Continuous, Every
from socbot.jobs.supervisor import Supervisor
from socbot.redaction import Redactor
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.errors import StoreError
from socbot.storage.telemetry import Sink, Stored, Telemetry
from socbot.systems.access import Access
from socbot.systems.analytics import Analytics
from socbot.systems.audit import Audit
from socbot.systems.backup import Backups
from socbot.systems.backup.drill import Rehearse, Run
from socbot.systems.backup.upgrading import BeforeUpgrade
from socbot.systems.blacklist import Blacklist
from socbot.systems.completions import Completions
from socbot.systems.counters import Counters
from socbot.systems.erasure import Erasure
from socbot.systems.errors import Errors
from socbot.systems.health import Check, Health, builtin
from socbot.systems.health.meters import Increase, Meter
from socbot.systems.health.switch import through
from socbot.systems.identities import Pseudonyms
from socbot.systems.incidents import LAST, Incidents
from socbot.systems.lifecycle import Lifecycle
from socbot.systems.links import Links
from socbot.systems.logs import Logs
from socbot.systems.notices import Notices
from socbot.systems.pipeline import Pipeline
from socbot.systems.profiler import Profiler
from socbot.systems.rate_limit import RateLimiter
from socbot.systems.settings import Settings
from socbot.systems.signals import SEVERITIES, Signals
from socbot.systems.traces import Traces
from socbot.systems.vitals import Vitals
from socbot.systems.webhooks import DELIVERING, Webhooks
from socbot.systems.webhooks.system import key_path
from socbot.version import VERSION

Notify: TypeAlias = Callable[[Reply], Awaitable[None]]

MIDDLEWARE = {
    "blacklist": "socbot.middleware.blacklist:BlacklistGuard",
    "rate_limit": "socbot.middleware.rate_limit:RateLimit",
    "profiler": "socbot.middleware.profiler:Profiler",
    "analytics": "socbot.middleware.analytics:Analytics",
    "error_capture": "socbot.middleware.error_capture:ErrorCapture",
}
"""The built-in middleware by the names that config.yaml uses."""

COMMANDS: tuple[Command, ...] = (
    *bot_commands.COMMANDS,
    *pipeline_commands.COMMANDS,
    *blacklist_commands.COMMANDS,
    *rate_limit_commands.COMMANDS,
    *performance_commands.COMMANDS,
    *analytics_commands.COMMANDS,
    *error_commands.COMMANDS,
    *signal_commands.COMMANDS,
    *webhook_commands.COMMANDS,
    *health_commands.COMMANDS,
    *tasks_commands.COMMANDS,
    *log_commands.COMMANDS,
    *backup_commands.COMMANDS,
    *settings_commands.COMMANDS,
    *access_commands.COMMANDS,
)

_log = logging.getLogger("socbot")


class Options(TypedDict, total=False):
    """What a host may give a bot beside its configuration.

    :param notify: tells the owner what concerns the owner; the first of the ways, whatever the transports offer
    :param commands: the embedder's own, beside the built-in ones
    :param systems: the embedder's own, for their commands and middleware to ask for
    :param owners: owners beside those of ``bot.owners``
    :param identities: the bot's own on its platforms; like its owners, they cannot be listed
    :param jobs: whether jobs run; one command alone (``socbot exec``) needs none
    """

    notify: Notify | None
    commands: Iterable[Command]
    systems: Iterable[object]
    owners: Iterable[Identity]
    identities: Iterable[Identity]
    clock: Clock | None
    random: Random | None
    jobs: bool


class Bot:
    """A whole bot without a transport: config, systems, jobs and dispatcher under one task group.

    ::

        async with Bot.from_config("config.yaml") as bot:
            outcome = await bot.dispatch(message)

    Messages may come from any platform. It is used once: a bot that has ended is not started again.

    Its ``Options`` go to the constructor or to ``from_config``.
    """

    def __init__(self, loaded: Loaded, **options: Unpack[Options]) -> None:
        self._loaded = loaded
        self._own_commands = tuple(options.get("commands", ()))
        self._own_systems = tuple(options.get("systems", ()))
        self._own_owners = tuple(options.get("owners", ()))
        self.identities = frozenset((*options.get("identities", ()), builtin.CANARY))
        self.clock: Clock = options.get("clock") or SystemClock()
        self.random = options.get("random") or SystemRandom()
        self._with_jobs = options.get("jobs", True)
        self.redactor = Redactor(secrets_of(loaded.config))
        self.notices = Notices(self.clock, self.redactor)
        if (notify := options.get("notify")) is not None:
            self.notices.offer("host", notify)
        self._stack = AsyncExitStack()
        self._started = False
        self._drained = False

    @classmethod
    def from_config(cls, config: Config | Path | str | None = None, **options: Unpack[Options]) -> Self:
        """Make a bot of a config.yaml, of a ``Config``, or, without either, of the defaults.

        :raises ConfigError: if the file cannot be used
        """
        loaded = Loaded(config) if isinstance(config, Config) else load(None if config is None else Path(config))
        return cls(loaded, **options)

    async def __aenter__(self) -> Self:
        """Open the store, read every system's state, build the chain, start the jobs.

        :raises StoreError: if the store cannot be used
        :raises ConfigError: if the chain cannot be built
        """
        if self._started:
            raise RuntimeError("this bot has been started before; make a new one")
        self._started = True
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Let commands end within ``bot.shutdown_timeout``, stop the jobs, write everything down, close the store."""
        with anyio.CancelScope(shield=True):
            await self.drain(None if error is None else 0.0)
        return await self._stack.__aexit__(kind, error, traceback)

    async def drain(self, seconds: float | None = None) -> None:
        """Take no new commands and begin no job; let what is under way end within ``seconds``.

        :param seconds: ``bot.shutdown_timeout`` unless given
        """
        if not self._drained:
            seconds = self.config.bot.shutdown_timeout if seconds is None else seconds
            self.supervisor.close(seconds)
            await self.dispatcher.drain(seconds)
            self._drained = True

    async def dispatch(self, message: Message, *, send: Send | None = None) -> Outcome:
        """Run one message to its end; see ``Dispatcher.dispatch``."""
        return await self.dispatcher.dispatch(message, send=send)

    def submit(self, message: Message, done: Done | None = None, *, send: Send | None = None) -> Outcome | None:
        """Run one message without waiting; see ``Dispatcher.submit``."""
        return self.dispatcher.submit(message, done, send=send)

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.settings.config

    async def reload(self) -> tuple[str, ...]:
        """Read config.yaml again and put it in force in one step; what changed, one line a key.

        :raises ConfigError: if the file cannot be used; everything stays as it was
        """
        return await self.settings.reload()

    # -- starting -------------------------------------------------------------------------------------

    async def _start(self, stack: AsyncExitStack) -> None:
        clock, config = self.clock, self._loaded.config
        before = BeforeUpgrade(config.storage, config.backup, clock)
        opening = Database.open(config.storage, clock, back_up=before)
        database = self.database = await stack.enter_async_context(opening)
        self.lifecycle = Lifecycle(clock)
        self.settings = Settings(database, clock, self._loaded)
        await self.settings.load()
        config = self.settings.config
        if database.recovered and self._loaded.path is not None:  # with the store, config.yaml may have been exchanged
            self._loaded = load(self._loaded.path)
            self.settings = Settings(database, clock, self._loaded)
            await self.settings.load()
            config = self.settings.config
        with self._loaded.placing():
            self._build(database, config)
        await self._load()
        await self.backups.load()
        await self.backups.adopt(before.made)
        with self._loaded.placing():
            self._arrange(config)
        stack.push_async_callback(self.audit.close)
        stack.push_async_callback(self.telemetry.close)
        stack.push_async_callback(self.errors.close)
        await stack.enter_async_context(self.dispatcher)
        await stack.enter_async_context(self.egress)
        await stack.enter_async_context(self.health)
        if self._with_jobs:
            self.audit.remember("start", VERSION)
            stack.callback(lambda: self.audit.remember("stop", f"exit code {self.lifecycle.exit_code}"))
            await stack.enter_async_context(self.supervisor)
        else:
            await self.supervisor.load()
        await stack.enter_async_context(self.backups)
        self.health.readiness.started = True

    def _build(self, database: Database, config: Config) -> None:
        clock = self.clock
        self.telemetry: Telemetry[Outcome] = Telemetry(database, clock, config.storage, self._sink_failed)
        flush = self._flush
        self.owners = frozenset((*map(identity_of, config.bot.owners), *self._own_owners))
        pseudonyms = self._pseudonyms = Pseudonyms(database, clock, enabled=config.analytics.hash_ids)
        self.zone = zone = ZoneInfo(config.bot.time_zone)
        self.links = Links()
        self.signals = Signals(database, clock, self.random, config.signals, self.redactor)
        self.audit = Audit(database, clock, self.redactor, pseudonyms.of)
        self.egress = Client(config.webhooks.allow, timeout=config.webhooks.timeout, proxy=config.webhooks.proxy)
        self.webhooks = Webhooks(
            database,
            clock,
            self.random,
            config.webhooks,
            key_path(config.storage),
            client=self.egress,
            redact=self.redactor,
            notify=self.notify,
            audit=self.audit,
        )
        self.signals.deliver_by(self.webhooks.enqueue, self.webhooks.wake)
        self.incidents = Incidents(database, clock, self.random, self.signals)
        self.blacklist = Blacklist(database, clock, config.blacklist, self._is_protected, self.audit)
        self.rate_limiter = RateLimiter(
            database, clock, config.rate_limit, self.blacklist, self.signals, self.audit, self.links
        )
        self.profiler = Profiler(database, flush, clock, config.profiler, pseudonyms)
        self.traces = Traces(database, flush, clock, config.analytics, pseudonyms)
        self.errors = Errors(
            database,
            clock,
            config.errors,
            self.random,
            redact=self.redactor,
            notify=self.notify,
            signals=self.signals,
            name_of=pseudonyms.of,
            zone=zone,
            links=self.links,
        )
        self.analytics = Analytics(database, flush, clock, config.analytics, pseudonyms, zone)
        self.erasure = Erasure(database, self._flush_all, clock, pseudonyms)
        self.erasure.tell(lambda identity: self.rate_limiter.forget_user(identity))
        self.erasure.tell(self.errors.forget_user)
        leadership = None
        if database.dialect == "postgresql":
            holder = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(2).hex()}"
            leadership = Leadership(database, clock, config.jobs.lease, holder)
        self.supervisor = Supervisor(
            database, clock, self.random, config.jobs, zone, self.notify, config.bot.shutdown_timeout, leadership
        )
        self.supervisor.on_failed(self._job_failed)
        self.logs = Logs(database, clock, config.logs, self.redactor, zone)
        self.completions = Completions()
        self.counters = Counters()
        self.access = Access(database, clock, self.random, config.web, self.audit)
        self.vitals = Vitals(clock)
        self.vitals.telemetry = lambda: (self.telemetry.waiting, self.telemetry.dropped)
        self.vitals.store = lambda: (
            database.dialect
            + (" (this SQLite can damage a store that two programs write to)" if database.wal_reset_bug else "")
            + (f"; {self.supervisor.leader} leads" if self.supervisor.leader else "")
        )
        self.dispatcher = Dispatcher(
            owners=self.owners,
            prefixes=(config.bot.prefix,),
            timeout=config.bot.command_timeout,
            max_running=config.bot.max_running,
            clock=clock,
            random=self.random,
        )
        self.dispatcher.ledger = self.audit
        self.access.changed = lambda: self._know_owners(self.config)
        self.backups = Backups(
            database,
            clock,
            config.storage,
            config.backup,
            self,
            self.signals,
            self.audit,
            rehearsal(lambda: self.config),
        )
        self.health = Health(
            database,
            clock,
            config.health,
            self.signals,
            self.vitals,
            closing=self._closing,
            notify=self.notify,
            redact=self.redactor,
            zone=zone,
            links=self.links,
        )
        self.health.switch.call = through(self.egress)
        self.health.add(*self._checks(config), *chain.from_iterable(map(checks_of, config.health.checks)))
        systems = (
            self.lifecycle,
            self.settings,
            self.signals,
            self.webhooks,
            self.incidents,
            self.audit,
            self.blacklist,
            self.rate_limiter,
            self.profiler,
            self.traces,
            self.errors,
            self.analytics,
            self.erasure,
            self.supervisor,
            self.backups,
            self.logs,
            self.vitals,
            self.health,
            self.notices,
            self.completions,
            self.links,
            self.access,
            self.egress,
            *self._own_systems,
        )
        self.pipeline = Pipeline(
            self.dispatcher, MIDDLEWARE, {type(system): system for system in systems}, self.profiler, self.counters
        )
        self.dispatcher.provide(self.dispatcher, self.pipeline, *systems)
        self.dispatcher.provide(clock, under=Clock)

    async def _load(self) -> None:
        await self.blacklist.load()
        await self.rate_limiter.load()
        await self._pseudonyms.load()
        await self.errors.load()
        await self.webhooks.load()
        await self.health.load()
        await self.access.load()

    def _checks(self, config: Config) -> tuple[Check, ...]:
        """What health looks at."""
        clock, vitals, supervisor, telemetry, meter = self.clock, self.vitals, self.supervisor, self.telemetry, Meter()
        self._dropped = Increase(clock, config.health.interval)
        return (
            builtin.transport(vitals),
            builtin.database(self.database, clock, self.random),
            builtin.wal(lambda: self.database.wal_size),
            builtin.canary(self.dispatch, clock, lambda: self.dispatcher.prefixes[0]),
            builtin.memory(meter),
            builtin.cpu(meter),
            builtin.machine_cpu(meter),
            builtin.event_loop(lambda: vitals.worst_lag(self.health.config.interval), lambda: self.health.last_stall),
            builtin.disk(lambda: folders_of(self.config)),
            builtin.jobs(supervisor.status, supervisor.late),
            builtin.webhooks(lambda: self.webhooks.backlog if self.webhooks.all() else None),
            builtin.telemetry(lambda: telemetry.dropped, lambda: telemetry.failure is not None, self._dropped),
            builtin.backup(
                lambda: self.backups.age_intervals, lambda: self.backups.config.enabled and self.supervisor.leads
            ),
            builtin.audit(lambda: self.audit.pending, self.audit.flush),
            builtin.dashboard(lambda: self.links.base, lambda: self.links.failure),
        )

    def _closing(self) -> str:
        """Why no commands are taken."""
        closed = self.dispatcher.closed
        return "is shutting down" if self.lifecycle.stopping.is_set() else "" if closed is None else closed.text

    def _arrange(self, config: Config) -> None:
        self.dispatcher.add(*COMMANDS, builtin.health_canary, *self._own_commands)
        for module in config.handlers:
            self.dispatcher.add(*commands_of(module))
        self.supervisor.add(*self.jobs())
        self._offer_names()
        self._participate()
        self.settings.begin()
        for sink in (
            self.traces.write,
            self.analytics.write,
            self.profiler.write,
            self.blacklist.write,
            self.rate_limiter.write,
            self.counters.write,
        ):
            self.telemetry.add_sink(without_canary(sink))
        self.dispatcher.observe(self.telemetry.record)
        self.dispatcher.observe(self.errors.observe)

    def jobs(self) -> tuple[Job, ...]:
        telemetry = Job(
            "telemetry",
            self.telemetry.run,
            Continuous(),
            "writes what was observed of commands",
            aliases=("DataManager auto_save", "auto_save"),
            protected=True,
        )
        return (
            telemetry,
            *self.settings.jobs(),
            *self.audit.jobs(),
            *self.signals.jobs(),
            *self.webhooks.jobs(),
            *self.blacklist.jobs(),
            *self.rate_limiter.jobs(),
            *self.profiler.jobs(),
            *self.traces.jobs(),
            *self.analytics.jobs(),
            *self.errors.jobs(),
            *self.notices.jobs(),
            *self.logs.jobs(),
            *self.backups.jobs(),
            *self.health.jobs(),
            *self.supervisor.jobs(),
        )

    def _offer_names(self) -> None:
        """What can be completed while it is typed, each kind from the system that knows it."""
        offer, registry, sections = self.completions.offer, self.dispatcher.registry, Config.__struct_fields__
        offer("command", lambda typed: (each.name for each in registry))
        offer("system", lambda typed: dict.fromkeys(each.group for each in registry))
        offer("topic", lambda typed: dict.fromkeys(name for each in registry for name in (each.name, each.group)))
        offer("severity", lambda typed: SEVERITIES)
        self.completions.offer_of_guild("incident", self._open_incidents)
        offer("webhook", lambda typed: (each.name for each in self.webhooks.all()))
        offer("job", lambda typed: (status.name for status in self.supervisor.status()))
        offer("middleware", lambda typed: (layer.name for layer in self.pipeline.layers))
        offer("error", self._recent_errors)
        offer("token", lambda typed: (token.name for token in self.access.tokens()))
        offer("logger", lambda typed: self.logs.names())
        offer("group", self._recent_groups)
        offer("backup", self._backup_names)
        offer("setting", lambda typed: (name for each in sections for name in (each, *self.settings.keys(each))))
        for section in sections:
            offer(f"setting:{section}", partial(self._keys_within, section))

    async def _recent_errors(self, typed: str) -> Iterable[str]:
        return [record.error_id for record in await self.errors.newest(100)]

    async def _recent_groups(self, typed: str) -> Iterable[str]:
        return [record.group_id for record in await self.errors.newest(100)]

    async def _backup_names(self, typed: str) -> Iterable[str]:
        return [each.backup.name for each in await self.backups.list()]

    async def _open_incidents(self, guild: str | None) -> Iterable[str]:
        return [LAST, *(each.id for each in await self.incidents.newest("incident", "open", guild))]

    def _keys_within(self, section: str, typed: str) -> Iterable[str]:
        return (key.removeprefix(f"{section}.") for key in self.settings.keys(section))

    def _participate(self) -> None:
        """Everybody who depends on the configuration has a say in a change before it is in force."""
        take_part = self.settings.participate
        take_part(self.pipeline.prepare)
        take_part(lambda config: lambda: self.blacklist.configure(config.blacklist))
        take_part(self._prepare_rate_limit)
        take_part(lambda config: lambda: self.profiler.configure(config.profiler))
        take_part(lambda config: lambda: self.traces.configure(config.analytics))
        take_part(lambda config: lambda: self.analytics.configure(config.analytics))
        take_part(lambda config: lambda: self.errors.configure(config.errors))
        take_part(lambda config: lambda: self.logs.configure(config.logs))
        take_part(self._prepare_backups)
        take_part(self._prepare_jobs)
        take_part(lambda config: lambda: self._configure_health(config))
        take_part(lambda config: lambda: self.signals.configure(config.signals))
        take_part(self._prepare_webhooks)
        take_part(self._prepare_access)
        take_part(lambda config: lambda: self._apply_bot(config))

    def _prepare_rate_limit(self, config: Config) -> Callable[[], None]:
        for name in config.rate_limit.cooldowns:
            if self.dispatcher.registry.get(name) is None:
                raise ConfigError(f"rate_limit.cooldowns.{name}: there is no such command")
        self.rate_limiter.check(config.rate_limit)
        return lambda: self.rate_limiter.configure(config.rate_limit)

    def _prepare_webhooks(self, config: Config) -> Callable[[], None]:
        self.webhooks.check(config.webhooks)
        return lambda: self.webhooks.configure(config.webhooks)

    def _prepare_access(self, config: Config) -> Callable[[], None]:
        self.access.check(config.web)
        return lambda: self.access.configure(config.web)

    def _prepare_backups(self, config: Config) -> Callable[[], None]:
        self.backups.check(config.backup)
        return lambda: self.backups.configure(config.backup)

    def _prepare_jobs(self, config: Config) -> Callable[[], None]:
        self.supervisor.check(config.jobs)
        return lambda: self.supervisor.configure(config.jobs)

    def _configure_health(self, config: Config) -> None:
        self.health.configure(config.health)
        self._dropped.seconds = config.health.interval
        self.supervisor.follow("health", Every(config.health.interval))

    def _apply_bot(self, config: Config) -> None:
        told = self.settings.maintenance
        self.dispatcher.maintenance = None if told is None else Reply(told, tone="warn")
        self.dispatcher.prefixes = (config.bot.prefix,)
        self.dispatcher.timeout = config.bot.command_timeout
        self.dispatcher.max_running = config.bot.max_running
        self._know_owners(config)
        self._pseudonyms.enabled = config.analytics.hash_ids

    def _know_owners(self, config: Config) -> None:
        people = frozenset((*map(identity_of, config.bot.owners), *self._own_owners))
        self.access.people = people
        self.owners = people | self.access.identities(people)
        self.dispatcher.owners = self.owners

    # -- while it runs --------------------------------------------------------------------------------

    async def notify(self, reply: Reply) -> None:
        """Tell the owner; see ``Notices.notify``."""
        await self.notices.notify(reply)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Within the block no command begins; those under way have ended, or wait for the store."""
        told = Reply("A backup is being restored. Try again in a moment.", tone="warn")
        async with self.dispatcher.held(told, HOLD, but=1):
            with suppress(StoreError):  # what cannot be written now is written later
                await self._flush_all()
            yield

    async def restored(self) -> tuple[str, ...]:
        """Have every system read its state from the store again, and config.yaml; what could not be put in force.

        :raises StoreError: if the store cannot be read
        """
        problems = await self.settings.restored()
        await self._load()
        await self.supervisor.load()
        return problems

    def recognise(self, *, owners: Iterable[Identity] = (), identities: Iterable[Identity] = ()) -> None:
        """Know further owners, and further identities of the bot's own, which a platform tells after the start."""
        self._own_owners = tuple(dict.fromkeys((*self._own_owners, *owners)))
        self.identities |= frozenset(identities)
        self._know_owners(self.config)

    def on_notice(self, notify: Notify, name: str = "console") -> None:
        """Have the owner told by ``notify`` too, where the ways before it fail; ``name`` is what health calls it."""
        self.notices.offer(name, notify)

    async def _job_failed(self, job: Job, error: str) -> None:
        if job.name == DELIVERING:  # what would deliver it is what has failed; the owner is told in another way
            return
        await self.audit.record("give up", f"job {job.name}: {error}", "supervisor", "failed")
        await self.signals.raise_(
            "job", f"Job {job.name} has failed", error, severity="critical", source="supervisor", key=f"job:{job.name}"
        )

    def _is_protected(self, identity: Identity) -> bool:
        return identity in self.owners or identity in self.identities

    def _sink_failed(self, sink: object, error: Exception) -> None:
        _log.error("%s lost a batch: %s", getattr(sink, "__qualname__", sink), error, exc_info=error)

    async def _flush(self) -> None:
        await self.telemetry.flush()

    async def _flush_all(self) -> None:
        await self.audit.flush()
        await self.telemetry.flush()


HOLD = 10.0
"""Seconds that commands under way are given to end before the store is exchanged."""

REHEARSAL = "drill"
"""The platform, channel and guild of what is said to a bot that is only tried."""


def rehearsal(config: Callable[[], Config]) -> Rehearse:
    """What starts a bot with ``config`` that nobody hears of, and runs an owner's commands on it."""

    async def keep_quiet(reply: Reply) -> None:
        return None

    @asynccontextmanager
    async def rehearse(store: Path) -> AsyncIterator[Run]:
        loaded, owner = Loaded(rehearsed(config(), store)), (REHEARSAL, "owner")
        async with Bot(loaded, owners=[owner], notify=keep_quiet, jobs=False) as bot:
            yield lambda text: bot.dispatch(Message(text, User("owner"), REHEARSAL, REHEARSAL, REHEARSAL))

    return rehearse


def rehearsed(config: Config, store: Path) -> Config:
    """``config`` for a bot on ``store`` that has no way out: no account, no webhooks, no backups, nothing of others."""
    replace = structs.replace
    return replace(
        config,
        bot=replace(config.bot, prefix="!", owners=()),
        handlers=(),
        middleware=tuple(entry for entry in config.middleware if entry.use in MIDDLEWARE),
        storage=replace(config.storage, url=f"sqlite:///{store}"),
        rate_limit=replace(config.rate_limit, exempt_owner=True),
        backup=replace(config.backup, enabled=False, folder=str(store.parent / "backups"), paths=()),
        health=replace(config.health, dead_mans_switch="", checks=()),
        webhooks=replace(config.webhooks, enabled=False),
        discord=type(config.discord)(),
        web=type(config.web)(enabled=False),
    )


def secrets_of(config: Config, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The values that must never leave: of the configuration and of the environment."""
    url = config.storage.url  # of which the password is a secret by itself too
    discord, backup, webhooks = config.discord, config.backup, config.webhooks
    known = (
        environ.get("DISCORD_TOKEN"),
        discord.token,
        discord.notice_webhook,
        url if "@" in url else None,
        backup.key,
        backup.passphrase,
        *backup.old_keys,
        backup.s3.access_key,
        backup.s3.secret_key,
        config.health.dead_mans_switch,
        webhooks.key,
        webhooks.proxy,
        config.web.token,
        config.web.viewer_token,
    )
    return tuple(dict.fromkeys(filter(None, known)))


def without_canary(sink: Sink[Outcome]) -> Sink[Outcome]:
    """``sink``, but for the command with which health tries the chain: nobody has used the bot by that."""

    @wraps(sink)
    def write(connection: Connection, outcomes: Sequence[Outcome]) -> Stored | None:
        return sink(connection, [outcome for outcome in outcomes if outcome.message.platform != builtin.PLATFORM])

    return write


def folders_of(config: Config) -> dict[str, Path]:
    """Where the bot writes, by what it writes there."""
    store = {} if config.storage.file is None else {"store": config.storage.folder}
    return store | {"log": Path(config.logs.file).parent, "backups": Path(config.backup.folder)}


def checks_of(module: str) -> tuple[Check, ...]:
    """The checks of an operator's own module: its ``CHECKS``.

    :raises ConfigError: if there is no such module, or it has none
    """
    return _offered(module, "CHECKS", "health.checks")


def identity_of(text: str) -> Identity:
    """The identity that ``bot.owners`` writes as ``platform:id``; a bare id is a Discord id."""
    platform, colon, user = text.partition(":")
    return (platform, user) if colon else ("discord", text)


def commands_of(module: str) -> tuple[Command, ...]:
    """The commands of an operator's own module: its ``COMMANDS``.

    :raises ConfigError: if there is no such module, or it has none
    """
    return _offered(module, "COMMANDS", "handlers")


def _offered(module: str, name: str, key: str) -> tuple[Any, ...]:
    """What the module that ``key`` of config.yaml lists has under ``name``."""
    try:
        found = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ConfigError(f"{key}: {module} cannot be imported: {error}") from error
    except AttributeError:
        raise ConfigError(f"{key}: module {module} has no {name}") from None
    return tuple(found)
