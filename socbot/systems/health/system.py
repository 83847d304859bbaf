"""Health: every few minutes everything is looked at, and the owner is told when something changes for good."""

import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, tzinfo
from functools import partial
from types import TracebackType
from typing import Self, TypeAlias

import anyio
from msgspec import Struct, structs

from socbot.config import HealthConfig, Threshold
from socbot.dispatch.arguments import Duration
from socbot.dispatch.clock import Clock
from socbot.dispatch.replies import Reply
from socbot.jobs.job import Job
from socbot.jobs.schedules import Continuous, Every
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.errors import StoreError
from socbot.systems.health import records
from socbot.systems.health.checks import Check, Measured, Status, worst
from socbot.systems.health.episodes import Change, Episodes, draft, notices
from socbot.systems.health.judging import judged
from socbot.systems.health.measuring import Measuring
from socbot.systems.health.meters import Stall
from socbot.systems.health.probes import Fact, Liveness, Probe, Readiness, probe
from socbot.systems.health.records import Episode, Result, Round, Step
from socbot.systems.health.switch import SWITCH, Switch
from socbot.systems.links import Links
from socbot.systems.signals import Signals
from socbot.systems.vitals import Vitals
from socbot.tracebacks import Redact

Notify: TypeAlias = Callable[[Reply], Awaitable[None]]

ESSENTIAL = ("database", "canary")
"""The checks on which readiness depends."""

_MISSED = 3  # rounds that were not made from which on the last one is not believed
_MOST_UNWRITTEN = 100
_DAY = 86_400.0

_log = logging.getLogger("socbot.health")


class History(Struct, frozen=True):
    """What was seen in the last ``hours``.

    :param failures: in how many rounds each check was not healthy, most first
    """

    hours: float
    rounds: tuple[Round, ...]
    failures: dict[str, int]
    episodes: tuple[Episode, ...]

    @property
    def healthy(self) -> int:
        """How many rounds found nothing."""
        return sum(round.status == "healthy" for round in self.rounds)


class Overall(Struct, frozen=True):
    """What the last round came to.

    :param ok: False if something is unhealthy, or nothing has been looked at for too long
    :param text: why there is no round to go by
    :param round: the last one since the start, if there has been one
    """

    status: Status
    ok: bool
    text: str = ""
    round: Round | None = None


class Health:
    """Makes checks, judges them, remembers, and tells. Checks are made inside ``async with health`` alone.

    :param vitals: how the platforms are connected
    :param closing: why no commands are taken; empty while they are
    :param notify: tells the owner
    :param redact: takes the secrets out of what checks raise
    :param zone: the bot's own
    :param links: to the page of health, for notices
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        config: HealthConfig,
        signals: Signals,
        vitals: Vitals,
        *,
        closing: Callable[[], str],
        notify: Notify,
        redact: Redact,
        zone: tzinfo = UTC,
        links: Links | None = None,
    ) -> None:
        self.zone = zone
        self._links = links or Links()
        self._database, self._clock, self._config, self._signals = database, clock, config, signals
        self._closing, self._notify = closing, notify
        self._measuring = Measuring(clock, redact)
        self._checks: dict[str, Check] = {}
        self._episodes = Episodes(config)
        self._looking = anyio.Lock()
        self._begun = self._ended = 0  # rounds, since the start
        self._since = clock.time()
        self._unwritten: deque[tuple[Round, tuple[Change, ...]]] = deque(maxlen=_MOST_UNWRITTEN)
        self._stalls: deque[Stall] = deque(maxlen=20)
        self.switch = Switch(clock, lambda: self._config.dead_mans_switch, redact)
        self.last: Round | None = None
        self.liveness = Liveness()
        self.readiness = Readiness(
            self._measuring, clock, vitals, self._essential, lambda: self._config.timeout, closing
        )
        self.add(self.switch.check())

    def configure(self, config: HealthConfig) -> None:
        self._config = config
        self._episodes.configure(config)

    @property
    def config(self) -> HealthConfig:
        return self._config

    def add(self, *checks: Check) -> None:
        """Have further checks made, from the next round on.

        :raises ValueError: if a name is taken, or a threshold is none of the configuration's
        """
        for check in checks:
            if check.name in self._checks:
                raise ValueError(f"check {check.name!r} is already there")
            if isinstance(check.threshold, str) and not isinstance(self.threshold(check), Threshold):
                raise ValueError(f"check {check.name!r}: health has no threshold {check.threshold!r}")
            self._checks[check.name] = check

    @property
    def checks(self) -> tuple[Check, ...]:
        """Those that are made, without what is switched off."""
        return tuple(check for check in self._checks.values() if check.name not in self._config.off)

    async def load(self) -> None:
        """Read the last round, and the episodes that were not over."""
        self.last, lasting = await self._database.read(lambda c: (records.last_round(c), records.lasting_episodes(c)))
        self._episodes = Episodes(self._config, lasting)

    async def __aenter__(self) -> Self:
        await self._measuring.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._measuring.__aexit__(kind, error, traceback)

    def jobs(self) -> tuple[Job, ...]:
        return (
            Job("readiness", self.readiness.run, Continuous(), "sees whether the store and the chain do their work"),
            Job(
                "health",
                self.check,
                Every(self._config.interval),
                "checks everything, and tells the owner of changes",
                aliases=("HealthCheckSystem health_check_task", "health_check_task"),
            ),
        )

    # -- what is known --------------------------------------------------------------------------------

    @property
    def live(self) -> Probe:
        """Whether the bot lives: its event loop turns."""
        return self.liveness.read()

    @property
    def ready(self) -> Probe:
        """Whether the bot can serve."""
        return self.readiness.read()

    @property
    def started(self) -> Probe:
        """Whether the start is over."""
        begun = self.readiness.started
        return probe(Fact("bot", begun, "has started" if begun else "has not started yet"))

    @property
    def overall(self) -> Overall:
        """How everything was found to be by the last round since the start; from any thread."""
        last = self.last if self.last is not None and self.last.at >= self._since else None
        age = self._clock.time() - (self._since if last is None else last.at)
        if age > _MISSED * self._config.interval + self._config.timeout:
            return Overall("unknown", False, f"not looked at for {Duration(round(age))}", last)
        if last is None:
            return Overall("unknown", True, "not looked at yet")
        return Overall(last.status, last.status != "unhealthy", round=last)

    @property
    def lasting(self) -> tuple[Episode, ...]:
        """The episodes that are not over."""
        return self._episodes.lasting

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """The last times that the event loop stood still, since the start, oldest first."""
        return tuple(self._stalls)

    def since(self, check: str) -> float | None:
        """Since when a check counts as what it does, in seconds since 1970; None while too little is known."""
        return self._episodes.since(check)

    @property
    def last_stall(self) -> Stall | None:
        return self._stalls[-1] if self._stalls else None

    def note_stall(self, where: str, stack: str) -> None:
        """Take note that the event loop stands still; called on another thread, while it does."""
        self._stalls.append(Stall(self._clock.time(), where))
        _log.error("the event loop stands still at %s:\n%s", where, stack)

    async def history(self, hours: float) -> History:
        since = self._clock.time() - hours * 3600
        rounds, episodes = await self._database.read(
            lambda connection: (records.rounds(connection, since), records.episodes(connection, since))
        )
        failures = Counter(result.name for round in rounds for result in round.results if result.status != "healthy")
        return History(hours, rounds, dict(failures.most_common()), episodes)

    async def course(self, since: float, steps: int) -> tuple[tuple[Step, ...], int, int]:
        """What was found from ``since`` to now, in ``steps`` parts of that time, each check on its own.

        :returns: the steps that have rounds, how many rounds there were, and in how many everything was well
        """
        until = self._clock.time()
        return await self._database.read(lambda connection: records.course(connection, since, until, steps))

    async def episodes(self, since: float) -> tuple[Episode, ...]:
        """Those that lasted, or ended, after that moment."""
        return await self._database.read(lambda connection: records.episodes(connection, since))

    # -- rounds ---------------------------------------------------------------------------------------

    async def check(self) -> None:
        """Make a round that counts: by it checks may change, and the owner is told when one does.

        While the bot takes no commands there is nothing to be found out.
        """
        if self._closing():
            return
        async with self._looking:
            round = await self._look()
            changes = self._episodes.judge(round.results, round.at)
            self.last = round = self._described(round)
            await self._keep(round, changes)
        await self._tell(changes)
        if all(each.status == "healthy" for each in round.results if each.name != SWITCH):
            self._measuring.start(self.switch.press)

    async def ask(self) -> Round:
        """A round of now, for somebody who asks: it is written down, and changes nothing else.

        Those who ask while one is being made get the next one, all the same.
        """
        begun = self._begun
        async with self._looking:
            if self.last is None or self._ended <= begun:
                self.last = self._described(await self._look())
                await self._keep(self.last, ())
            return self.last

    async def _look(self) -> Round:
        self._begun += 1
        at, found = self._clock.time(), dict[str, Result]()

        async def look(check: Check) -> None:
            measured = await self._measuring.measure(check, self._config.timeout)
            if measured is not None:
                found[check.name] = self._result(check, measured)

        checks = self.checks
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.readiness.look)  # of the same checks, which are made once for both
            for check in checks:
                tasks.start_soon(look, check)
        self._ended = self._begun
        results = tuple(found[check.name] for check in checks if check.name in found)
        return Round(at, worst(*(result.status for result in results)), results)

    def _result(self, check: Check, measured: Measured) -> Result:
        statuses = [] if measured.status is None else [measured.status]
        threshold = self.threshold(check)
        if measured.figure is not None and threshold is not None:
            before = self._episodes.settled(check.name)
            statuses.append(judged(measured.figure, threshold, before, self._config.margin))
        elif measured.figure is not None and not statuses:
            statuses.append("healthy")  # a figure that nobody has set a bound for
        return Result(
            check.name, worst(*statuses), measured.figure, check.unit, measured.text[:1_000], public=check.public
        )

    def threshold(self, check: Check) -> Threshold | None:
        """Where the figure of ``check`` is degraded and unhealthy, if anybody has set that."""
        if isinstance(check.threshold, str):
            found: Threshold | None = getattr(self._config, check.threshold, None)
            return found
        return check.threshold

    def _described(self, round: Round) -> Round:
        return structs.replace(round, results=tuple(map(self._episodes.described, round.results)))

    def _essential(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.name in ESSENTIAL)

    async def _keep(self, round: Round, changes: Sequence[Change]) -> None:
        """Write the round down, with what could not be written before; what cannot be now is kept."""
        self._unwritten.append((round, tuple(changes)))
        unwritten = tuple(self._unwritten)
        try:
            with anyio.fail_after(self._config.timeout):
                await self._database.write(partial(self._write, unwritten=unwritten))
        except (StoreError, TimeoutError) as error:
            _log.warning("a round of health could not be written down yet: %s", error or "no answer in time")
            return
        self._unwritten.clear()
        if any(changes for _, changes in unwritten):
            self._signals.wake()

    def _write(self, connection: Connection, unwritten: Sequence[tuple[Round, Sequence[Change]]]) -> None:
        for round, changes in unwritten:
            records.write_round(connection, round)
            for change in changes:
                records.write_episode(connection, change.episode)
                if change.is_news:
                    self._signals.write(connection, draft(change))
        records.forget(connection, self._clock.time() - self._config.retention_days * _DAY)

    async def _tell(self, changes: Sequence[Change]) -> None:
        for change in changes:
            log = _log.info if change.what == "ended" else _log.warning
            log("%s %s: %s, %s", change.episode.check, change.what, change.episode.status, change.episode.text)
        if self._config.notify:
            for notice in notices(changes, self._links.field("health")):
                await self._notify(notice)
