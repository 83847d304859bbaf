"""The rate limiter: the limits in memory, and what must outlive the process in the store."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import anyio
import anyio.lowlevel
from msgspec import Struct, structs

from socbot.config import LadderStep, RateLimitConfig, WithoutStore
from socbot.dispatch.arguments import Duration
from socbot.dispatch.clock import Clock
from socbot.dispatch.commands import Permission
from socbot.dispatch.messages import Identity
from socbot.dispatch.outcomes import Outcome
from socbot.documents import ConfigError
from socbot.jobs.job import Job
from socbot.jobs.schedules import Continuous, Every
from socbot.storage import tail
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.systems.audit import Audit
from socbot.systems.blacklist import Blacklist, Entry
from socbot.systems.identities import storable
from socbot.systems.links import Links
from socbot.systems.rate_limit.enforcement import (
    UNKNOWN,
    Enforcement,
    Enforcer,
    Lift,
    Timeout,
    is_silenced,
    last_enforced,
    running_timeouts,
)
from socbot.systems.rate_limit.held import Held, Stored
from socbot.systems.rate_limit.limiter import QUIET, Limiter, Refusal
from socbot.systems.rate_limit.sharing import SharedLimits, forget_passed, shares
from socbot.systems.rate_limit.table import Table
from socbot.systems.signals import Draft, Signals

Action: TypeAlias = Literal["warn", "timeout", "blacklist"]

FORGET_INTERVAL = 60.0
_KEEP_VIOLATIONS = 90 * 86_400.0
_STILL_SHOWN = 3_600.0
"""Seconds for which a timeout that has ended is read from a store that is followed: clocks differ, and are set."""


class Violation(Struct, frozen=True):
    """One violation and what it cost.

    :param number: which one it is of those that count
    :param steps: how many steps the ladder has
    :param duration: seconds of the timeout or listing; None for ever
    :param told: whether the person is to hear of it
    :param enforced: of a timeout, what really happened beside the bot's own mute
    """

    action: Action
    number: int
    steps: int
    duration: float | None = None
    told: bool = True
    enforced: str = ""

    @property
    def is_silenced(self) -> bool:
        """Whether the platform itself silences the person."""
        return is_silenced(self.enforced)


class Recorded(Struct, frozen=True):
    """A violation as it was written down; moments in seconds since 1970.

    :param key: its number; the later, the higher
    :param until: when what it cost ends; None for ever, and of a warning
    :param cleared_at: since when it does not count any more
    :param enforced: of a timeout what the platform did, of a warning how it was given, in words
    """

    key: int
    platform: str
    id: str
    at: float
    command: str
    action: Action
    until: float | None
    cleared_at: float | None
    enforced: str
    guild: str


class TimedOut(Struct, frozen=True):
    """Somebody whose commands are refused for ``seconds`` still."""

    platform: str
    id: str
    seconds: float


class Exemption(Struct, frozen=True):
    """Who is not limited, until when (None for ever), by whose word; ``lifts`` are the timeouts that it ended."""

    platform: str
    id: str
    until: float | None
    given_by: str
    given_at: float
    lifts: tuple[Lift, ...] = ()


class Standing(Struct, frozen=True):
    """How one user stands; all waits in seconds.

    :param used: how much of the burst is in use
    :param cooldowns: commands whose own cooldown runs
    :param muted: how long a timeout lasts still
    :param enforced: what really happened when that timeout began
    :param exempt: why the user is not limited, or an empty text
    """

    used: int
    burst: int
    window: float
    next_in: float
    cooldowns: tuple[tuple[str, float], ...]
    violations: int
    steps: int
    muted: float
    enforced: str
    exempt: str


class RateLimitStats(Struct, frozen=True):
    """Since the first violation that is kept; ``refusals`` up to the last flush of the telemetry.

    :param enforced: how often a timeout came to what
    :param told: how often a warning was given in which way
    """

    violations: int
    warned: int
    timed_out: int
    blacklisted: int
    top: tuple[tuple[str, str, int], ...]
    refusals: tuple[tuple[str, int], ...]
    enforced: tuple[tuple[str, int], ...] = ()
    told: tuple[tuple[str, int], ...] = ()


class Cleared(Struct, frozen=True):
    """What was taken back: how many violations counted, and which timeouts of the platform."""

    violations: int
    lifts: tuple[Lift, ...] = ()


class RateLimiter:
    """Every user's limits, the ladder of what violations cost, and who is exempt.

    Decisions are made on monotonic time. What is stored is wall time, and is turned back when it is loaded.

    :param signals: told of whom the ladder lists
    :param links: to the page of whom it lists
    :ivar violated: how many violations since the start came to what
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        config: RateLimitConfig,
        blacklist: Blacklist,
        signals: Signals | None = None,
        audit: Audit | None = None,
        links: Links | None = None,
    ) -> None:
        """:raises ConfigError: if the configuration is impossible"""
        self.check(config)
        self._database, self._clock, self._config, self._blacklist = database, clock, config, blacklist
        self._signals, self._audit, self._links = signals, audit, links or Links()
        self._limiter = Limiter(config, Table(config.max_users))
        self._sharing = SharedLimits(database, clock)
        self._is_followed = database.dialect == "postgresql"
        self._muted, self._exempt = self._nobody(), self._nobody()
        self._enforcement = Enforcement(database)
        self.violated: Counter[Action] = Counter()

    def enforce_with(self, platform: str, enforcer: Enforcer, patience: float = 3.0) -> None:
        """Have timeouts carried out on ``platform`` too; ``patience`` is the seconds that each call has."""
        self._enforcement.use(platform, enforcer, patience)

    @property
    def config(self) -> RateLimitConfig:
        return self._config

    def configure(self, config: RateLimitConfig) -> None:
        """Apply ``config`` at once; what users have used stays used.

        :raises ConfigError: if it is impossible; then nothing has changed
        """
        self.check(config)
        self._limiter.configure(config)
        self._config = config

    def jobs(self) -> tuple[Job, ...]:
        forget = Job(
            "rate_limit_forget",
            self.forget,
            Every(FORGET_INTERVAL),
            description="Forgets users whose limits have come back, and violations that count no longer",
        )
        follow = Job(
            "rate_limit_follow",
            self.follow,
            Continuous(),
            description="Takes over whom other processes on the same store time out or exempt",
        )
        return (forget, follow) if self._is_followed else (forget,)

    async def load(self) -> None:
        """Read back what users had used, who is muted and who is exempt.

        :raises StoreError: if the store cannot be read
        """
        wall, now = self._clock.time(), self._clock.monotonic()
        stored = await self._database.read(lambda connection: _read_all(connection, wall))
        self._limiter = Limiter(self._config, Table(self._config.max_users))
        self._restore_states(stored.states, wall, now)
        for platform, subject, command, until in stored.cooldowns:
            wait = min(until - wall, self._config.cooldowns.get(command, 0.0))
            if wait > 0:
                self._limiter.restore_command((platform, subject), command, now + wait, now)
        self._muted, self._exempt = self._nobody(), self._nobody()
        self._muted.take_over(stored.muted, now - wall)
        self._exempt.take_over(stored.exempt, now - wall)

    def _nobody(self) -> Held:
        return Held(keep=2 * _STILL_SHOWN if self._is_followed else 0.0)

    async def follow(self) -> None:
        """Take over what other processes change, until cancelled."""
        await tail.follow(self._clock, self.catch_up)

    async def catch_up(self) -> None:
        """Take over whom other processes have timed out or exempted up to now, and whom they no longer do.

        :raises StoreError: if the store cannot be read
        """
        muted, exempt = self._muted, self._exempt
        with muted.looking(), exempt.looking():
            timeouts, exemptions = await self._database.read(_read_held)
            to_monotonic = self._clock.monotonic() - self._clock.time()
            muted.take_over(timeouts, to_monotonic)
            exempt.take_over(exemptions, to_monotonic)

    def _restore_states(self, rows: list[tuple[Any, ...]], wall: float, now: float) -> None:
        # The host's clock may have been set back since: nobody waits longer than if it all had just happened.
        config = self._config
        longest_silence = max(QUIET, config.window, config.cooldown, *config.cooldowns.values())
        for platform, subject, used, cooling, silent, refusals in rows:
            state = (
                now + min(used - wall, config.window),
                now + min(cooling - wall, config.cooldown),
                now + min(silent - wall, longest_silence),
                refusals,
            )
            self._limiter.restore((platform, subject), state, now)

    # -- the hot path -----------------------------------------------------------------------------------

    def hit(self, identity: Identity, command: str) -> Refusal | None:
        """Admit ``command`` and count it, or say why not. Synchronous, and so exact under concurrency."""
        now = self._clock.monotonic()
        if self._muted:
            muted = self._muted.left(identity, now)
            if muted > 0:
                return Refusal("timeout", muted, self._config.burst, self._config.window)
        return self._limiter.hit(identity, command, now)

    @property
    def shared(self) -> bool:
        """Whether processes keep one limit together, so that ``hit_together`` is to be asked."""
        return self._config.shared

    @property
    def apart(self) -> bool:
        """Whether they should and cannot just now: each limits by itself then."""
        return self._sharing.apart

    async def hit_together(self, identity: Identity, command: str, permission: Permission = "public") -> Refusal | None:
        """``hit`` in all processes that share the store; where the store does not answer, as ``without_store`` says.

        :param permission: who may run the command
        """
        rule = self._without_store(permission)
        if rule == "open" and self._sharing.asks_in:
            return self.muted(identity)
        before = self._limiter.state(identity, self._clock.monotonic())
        refusal = self.hit(identity, command)
        if refusal is not None:
            return refusal
        shared = await self._sharing.use(identity, shares(self._config, command))
        now = self._clock.monotonic()
        if shared is not None:
            return self._limiter.agree(identity, command, shared, before, now)
        if rule == "local":
            return self._limiter.hold_to_part(identity, command, before, now)
        if rule == "closed":
            return self._limiter.take_back(identity, command, before, self._sharing.asks_in, now)
        return None

    def _without_store(self, permission: Permission) -> WithoutStore:
        config = self._config.without_store
        return {"public": config.public, "admin": config.admin, "owner": "open"}[permission]

    def muted(self, identity: Identity) -> Refusal | None:
        """The refusal of a user who is timed out, whatever the command; otherwise None."""
        wait = self._muted.left(identity, self._clock.monotonic()) if self._muted else 0.0
        return Refusal("timeout", wait, self._config.burst, self._config.window) if wait > 0 else None

    @property
    def exempts_some(self) -> bool:
        """Whether there is anybody on the list of the exempt."""
        return bool(self._exempt)

    def exemption(self, identity: Identity, *, owner: bool, admin: bool) -> str:
        """Why the user is not limited; an empty text for who is."""
        if owner and self._config.exempt_owner:
            return "the owner is exempt"
        if admin and self._config.exempt_admins:
            return "administrators are exempt"
        if self._exempt and self._exempt.left(identity, self._clock.monotonic()) > 0:
            return "on the list of the exempt"
        return ""

    # -- violations -------------------------------------------------------------------------------------

    async def violate(
        self, identity: Identity, command: str, guild: str | None = None, *, admin: bool = False
    ) -> Violation:
        """Record a violation and do what its step of the ladder says; all of it is stored when this returns.

        Whoever cannot be listed is warned and nothing more. A timeout is the bot's own mute at once; where the
        platform can silence members of ``guild`` it is asked to, once the violation is stored.

        :param admin: of that guild, whom a platform does not silence
        :raises StoreError: if it could not be stored
        """
        config, spared = self._config, self._blacklist.is_protected(identity)
        enforced = self._enforcement.at_first(identity[0], guild, admin=admin)
        case = _Case(identity, command, self._clock.time(), guild or "", enforced)
        with anyio.CancelScope(shield=True):  # what is committed must be in force
            key, violation = await self._database.write(
                lambda connection: self._record(connection, case, config, spared)
            )
            self.violated[violation.action] += 1
            await self._punish(identity, violation, case.at)
        if violation.enforced != UNKNOWN or guild is None or violation.duration is None:
            return violation
        reason = _reason(violation, config)
        enforced = await self._enforcement.time_out(identity, key, guild, violation.duration, reason)
        return structs.replace(violation, enforced=enforced)

    async def _punish(self, identity: Identity, violation: Violation, at: float) -> None:
        if violation.action == "timeout" and violation.duration is not None:
            self._muted.put(identity, self._clock.monotonic() + violation.duration, at + violation.duration)
        elif violation.action == "blacklist" and not self._blacklist.is_listed("user", identity):
            await self._blacklist.add(
                "user",
                identity,
                reason=_reason(violation, self._config),
                by="rate_limit",
                duration=violation.duration,
                source="rate_limit",
                also=self._tell_of_listing,
            )
            if self._signals is not None:
                self._signals.wake()

    def _record(
        self, connection: Connection, case: "_Case", config: RateLimitConfig, spared: bool
    ) -> tuple[int, Violation]:
        key, violation = _record_violation(connection, case, config, spared)
        if violation.action == "timeout" and violation.duration is not None and self._audit is not None:
            what = f"user {':'.join(case.identity)} for {Duration(violation.duration)}, {_reason(violation, config)}"
            self._audit.append(connection, self._audit.entry("timeout", what, "rate_limit"))
        return key, violation

    def _tell_of_listing(self, connection: Connection, entry: Entry) -> None:
        if self._signals is not None:
            self._signals.write(connection, _listed(entry, self._links))
        if self._audit is not None:
            what = f"user {':'.join(entry.identity)}, {entry.reason}"
            self._audit.append(connection, self._audit.entry("blacklist", what, "rate_limit"))

    async def note_told(self, identity: Identity, how: str) -> None:
        """Write down how a person was told, if their last violation was a warning.

        :raises StoreError: if it could not be written
        """
        await self._database.write(lambda connection: _note_told(connection, identity, how))

    async def reset_violations(self, identity: Identity) -> Cleared:
        """Let nothing count against the user any more, and lift a timeout, the platform's too.

        :returns: how many violations did count, and what became of the platform's timeouts
        :raises StoreError: if it could not be stored; then nothing has changed
        """
        wall, since = self._clock.time(), self._clock.time() - self._config.decay
        with anyio.CancelScope(shield=True):
            cleared, timeouts = await self._database.write(lambda connection: _clear(connection, identity, wall, since))
            self._muted.drop(identity)
            self._limiter.end_episode(identity, self._clock.monotonic())
        return Cleared(cleared, await self._enforcement.lift(identity, timeouts))

    # -- exemptions -------------------------------------------------------------------------------------

    async def toggle_exemption(self, identity: Identity, by: str, duration: float | None = None) -> Exemption | None:
        """Exempt the user for ``duration`` seconds or for ever, which lifts a timeout, or limit again who was exempt.

        :returns: the exemption; None if there is none any more
        :raises StoreError: if it could not be stored; then nothing has changed
        """
        now, wall = self._clock.monotonic(), self._clock.time()
        with anyio.CancelScope(shield=True):
            if self._exempt.left(identity, now) > 0:
                await self._database.write(lambda connection: _delete_exemption(connection, identity))
                self._exempt.drop(identity)
                return None
            until = None if duration is None else wall + duration
            exemption = Exemption(*identity, until, by, wall)
            timeouts = await self._database.write(lambda connection: _write_exemption(connection, exemption))
            self._exempt.put(identity, math.inf if duration is None else now + duration, until)
            self._muted.drop(identity)
        return structs.replace(exemption, lifts=await self._enforcement.lift(identity, timeouts))

    async def exemptions(self) -> tuple[Exemption, ...]:
        """Who is exempt by name, newest first."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT platform, subject, until, given_by, given_at FROM rate_limit_exemptions ORDER BY given_at DESC"
            )
        )
        now = self._clock.monotonic()
        exemptions = (Exemption(*row) for row in rows)
        return tuple(each for each in exemptions if self._exempt.left((each.platform, each.id), now) > 0)

    # -- reports ----------------------------------------------------------------------------------------

    async def standing(self, identity: Identity, *, owner: bool = False, admin: bool = False) -> Standing:
        now, since = self._clock.monotonic(), self._clock.time() - self._config.decay
        violations, enforced = await self._database.read(
            lambda connection: (
                _count_violations(connection, identity, since),
                last_enforced(connection, identity, self._clock.time()),
            )
        )
        limiter, muted = self._limiter, self.muted(identity)
        waits = ((name, limiter.command_wait(identity, name, now)) for name in self._config.cooldowns)
        return Standing(
            limiter.quota.used(limiter.state(identity, now)[0], now),
            self._config.burst,
            self._config.window,
            max(*limiter.waits(identity, now), muted.retry_after if muted else 0.0),
            tuple((name, wait) for name, wait in waits if wait),
            violations,
            len(self._config.ladder),
            muted.retry_after if muted else 0.0,
            enforced if muted else "",
            self.exemption(identity, owner=owner, admin=admin),
        )

    async def violations(
        self, limit: int = 50, *, before: int | None = None, identity: Identity | None = None
    ) -> tuple[Recorded, ...]:
        """The last violations, newest first.

        :param before: those before the one of that number
        :param identity: those of this one alone
        """
        return await self._database.read(lambda connection: _read_violations(connection, limit, before, identity))

    @property
    def tracked(self) -> int:
        """How many users it remembers now; at most ``max_users``."""
        return len(self._limiter.table)

    def timed_out(self) -> tuple[TimedOut, ...]:
        """Who is timed out now, from memory; whose timeout ends last comes first."""
        now = self._clock.monotonic()
        held = (TimedOut(*identity, seconds) for identity, seconds in self._muted.all(now))
        return tuple(sorted(held, key=lambda each: -each.seconds))

    async def refusals(self, limit: int = 20) -> tuple[tuple[str, int, float], ...]:
        """The commands that are refused most, how often and when last, up to the last flush of the telemetry."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT command, count, last_at FROM rate_limit_refusals ORDER BY count DESC, command LIMIT :limit",
                {"limit": limit},
            )
        )
        return tuple((command, count, at) for command, count, at in rows)

    def rehearse(self, identity: Identity, command: str, count: int) -> tuple[Refusal | None, ...]:
        """What ``count`` calls made now would meet, on a copy: None where one would be admitted."""
        now = self._clock.monotonic()
        copy = self._limiter.copy_for(identity, self._config, now)
        muted = self.muted(identity)
        return tuple(muted or copy.hit(identity, command, now) for _ in range(count))

    async def stats(self) -> RateLimitStats:
        return await self._database.read(_read_stats)

    # -- the store --------------------------------------------------------------------------------------

    def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> None:
        """Sink for the telemetry: store what users have used since the last flush, and count refusals.

        Runs on the database's thread. A state is taken out of ``unsaved`` in one step, so one that is put in
        meanwhile is stored now or next time.
        """
        wall = self._clock.time()
        to_wall = wall - self._clock.monotonic()
        _write_states(connection, self._limiter.unsaved, to_wall)
        _write_cooldowns(connection, self._limiter.unsaved_cooldowns, to_wall)
        refusals: dict[str, int] = {}
        for outcome in outcomes:
            if outcome.refused_by == "rate_limit" and outcome.command is not None:
                refusals[outcome.command] = refusals.get(outcome.command, 0) + 1
        if refusals:
            connection.execute_many(
                "INSERT INTO rate_limit_refusals (command, count, last_at) VALUES (:command, :count, :at)"
                " ON CONFLICT (command) DO UPDATE SET count = rate_limit_refusals.count + excluded.count,"
                " last_at = excluded.last_at",
                [{"command": command, "count": count, "at": wall} for command, count in refusals.items()],
            )

    async def forget(self) -> None:
        """Forget idle users, in memory and in the store, and violations that no longer count.

        :raises StoreError: if the store is out of order
        """
        now, wall = self._clock.monotonic(), self._clock.time()
        self._muted.forget_passed(now)
        self._exempt.forget_passed(now)
        for _ in self._limiter.table.forget(now):
            await anyio.lowlevel.checkpoint()
        keep = max(self._config.decay, _KEEP_VIOLATIONS)
        await self._database.write(lambda connection: _delete_passed(connection, wall, wall - keep))

    def forget_user(self, identity: Identity) -> None:
        """Forget in memory what is known of one user; erasing what is stored is the caller's."""
        self._limiter.forget_user(identity, self._clock.monotonic())
        self._muted.drop(identity)
        self._exempt.drop(identity)

    @staticmethod
    def check(config: RateLimitConfig) -> None:
        """:raises ConfigError: if ``config`` is impossible, naming the key"""
        for position, step in enumerate(config.ladder):
            if step.action == "timeout" and step.duration is None:
                raise ConfigError(f"rate_limit.ladder[{position}]: a timeout needs a duration")
        if config.burst < 1 or not config.window > 0:
            raise ConfigError(f"rate_limit: a burst of {config.burst} in {config.window:g} s would admit nothing")


def _step(config: RateLimitConfig, number: int) -> LadderStep:
    """What violation ``number`` costs: each climbs a step, the last one repeats."""
    return config.ladder[min(number, len(config.ladder)) - 1] if config.ladder else LadderStep("warn")


def _key(identity: Identity) -> dict[str, Any]:
    return {"platform": identity[0], "subject": storable(identity[1])}


def _count_violations(connection: Connection, identity: Identity, since: float) -> int:
    rows = connection.execute(
        "SELECT count(*) FROM rate_limit_violations"
        " WHERE platform = :platform AND subject = :subject AND at > :since AND cleared_at IS NULL",
        _key(identity) | {"since": since},
    )
    return int(rows[0][0])


def _listed(entry: Entry, links: Links) -> Draft:
    """What is told of somebody whom the ladder listed."""
    who = ":".join(entry.identity)
    page = links.to("abuse", entry.platform, entry.kind, entry.id)
    lasts = "for ever" if entry.expires_at is None else f"for {Duration(round(entry.expires_at - entry.added_at))}"
    return Draft(
        "security",
        "Listed for too many commands",
        f"{who} is on the blacklist {lasts}: {entry.reason}.",
        source="rate_limit",
        subject=who,
        fields=(("User", who), ("Lasts", lasts), ("Reason", entry.reason), *((("Page", page),) if page else ())),
    )


def _reason(violation: Violation, config: RateLimitConfig) -> str:
    return f"{violation.number} rate limit violations within {Duration(config.decay)}"


class _Case(Struct, frozen=True):
    """What is recorded of a violation: whose, by which command, when, where, and what a timeout comes to at first."""

    identity: Identity
    command: str
    at: float
    guild: str
    enforced: str


def _record_violation(
    connection: Connection, case: _Case, config: RateLimitConfig, spared: bool
) -> tuple[int, Violation]:
    """The key of the row, and what the violation costs."""
    number = _count_violations(connection, case.identity, case.at - config.decay) + 1
    step = LadderStep("warn") if spared else _step(config, number)
    told = step.action != "warn" or _count_violations(connection, case.identity, case.at - QUIET) == 0
    enforced = case.enforced if step.action == "timeout" else ""
    [(key,)] = connection.execute(
        "INSERT INTO rate_limit_violations (platform, subject, at, command, action, until, enforced, guild)"
        " VALUES (:platform, :subject, :at, :command, :action, :until, :enforced, :guild) RETURNING id",
        _key(case.identity)
        | {
            "at": case.at,
            "command": case.command,
            "action": step.action,
            "until": None if step.duration is None else case.at + step.duration,
            "enforced": enforced,
            "guild": storable(case.guild),
        },
    )
    return key, Violation(step.action, number, len(config.ladder), step.duration, told, enforced)


def _note_told(connection: Connection, identity: Identity, how: str) -> None:
    connection.change(
        "UPDATE rate_limit_violations SET enforced = :how WHERE action = 'warn' AND enforced = '' AND id ="
        " (SELECT max(id) FROM rate_limit_violations WHERE platform = :platform AND subject = :subject)",
        _key(identity) | {"how": storable(how)},
    )


def _clear(connection: Connection, identity: Identity, wall: float, since: float) -> tuple[int, list[Timeout]]:
    """How many violations counted, and the timeouts to be lifted."""
    counted = _count_violations(connection, identity, since)
    timeouts = running_timeouts(connection, identity, wall)
    connection.change(
        "UPDATE rate_limit_violations SET cleared_at = :at"
        " WHERE platform = :platform AND subject = :subject AND cleared_at IS NULL",
        _key(identity) | {"at": wall},
    )
    return counted, timeouts


class _Stored(Struct):
    states: list[tuple[Any, ...]]
    cooldowns: list[tuple[Any, ...]]
    muted: list[tuple[Any, ...]]
    exempt: list[tuple[Any, ...]]


def _read_all(connection: Connection, wall: float) -> _Stored:
    now = {"now": wall}
    return _Stored(
        connection.execute(
            "SELECT platform, subject, spent_until, cooldown_until, silent_until, refusals FROM rate_limit_state"
            " WHERE spent_until > :now OR cooldown_until > :now OR silent_until > :now",
            now,
        ),
        connection.execute(
            "SELECT platform, subject, command, until FROM rate_limit_cooldowns WHERE until > :now", now
        ),
        connection.execute(
            "SELECT platform, subject, max(until) FROM rate_limit_violations"
            " WHERE action = 'timeout' AND until > :now AND cleared_at IS NULL GROUP BY platform, subject",
            now,
        ),
        connection.execute(
            "SELECT platform, subject, until FROM rate_limit_exemptions WHERE until IS NULL OR until > :now", now
        ),
    )


def _read_held(connection: Connection) -> tuple[list[Stored], list[Stored]]:
    """The timeouts and the exemptions, also those that have just ended: by its own clock each process says which."""
    timeouts = connection.execute(
        "SELECT platform, subject, max(until) FROM rate_limit_violations"
        f" WHERE until > CAST(EXTRACT(EPOCH FROM now()) AS double precision) - {_STILL_SHOWN}"
        " AND action = 'timeout' AND cleared_at IS NULL GROUP BY platform, subject"
    )
    return timeouts, connection.execute("SELECT platform, subject, until FROM rate_limit_exemptions")


def _write_states(
    connection: Connection, unsaved: dict[Identity, tuple[float, float, float, int]], to_wall: float
) -> None:
    rows = []
    for _ in range(len(unsaved)):
        identity, (used, cooling, silent, refusals) = unsaved.popitem()
        rows.append(
            {
                "platform": identity[0],
                "subject": storable(identity[1]),
                "used": used + to_wall,
                "cooling": cooling + to_wall,
                "silent": silent + to_wall,
                "refusals": refusals,
            }
        )
    if rows:
        connection.execute_many(
            "INSERT INTO rate_limit_state (platform, subject, spent_until, cooldown_until, silent_until, refusals)"
            " VALUES (:platform, :subject, :used, :cooling, :silent, :refusals) ON CONFLICT (platform, subject)"
            " DO UPDATE SET spent_until = excluded.spent_until, cooldown_until = excluded.cooldown_until,"
            " silent_until = excluded.silent_until, refusals = excluded.refusals",
            rows,
        )


def _write_cooldowns(connection: Connection, unsaved: dict[tuple[Identity, str], float], to_wall: float) -> None:
    rows = []
    for _ in range(len(unsaved)):
        (identity, command), until = unsaved.popitem()
        rows.append(_key(identity) | {"command": command, "at": until + to_wall})
    if rows:
        connection.execute_many(
            "INSERT INTO rate_limit_cooldowns (platform, subject, command, until)"
            " VALUES (:platform, :subject, :command, :at)"
            " ON CONFLICT (platform, subject, command) DO UPDATE SET until = excluded.until",
            rows,
        )


def _write_exemption(connection: Connection, exemption: Exemption) -> list[Timeout]:
    """Store it, and that timeouts hold no longer; those that are to be lifted."""
    connection.change(
        "INSERT INTO rate_limit_exemptions (platform, subject, until, given_by, given_at)"
        " VALUES (:platform, :subject, :ends, :by, :at) ON CONFLICT (platform, subject)"
        " DO UPDATE SET until = excluded.until, given_by = excluded.given_by, given_at = excluded.given_at",
        {
            "platform": exemption.platform,
            "subject": exemption.id,
            "ends": exemption.until,
            "by": exemption.given_by,
            "at": exemption.given_at,
        },
    )
    identity = (exemption.platform, exemption.id)
    timeouts = running_timeouts(connection, identity, exemption.given_at)
    connection.change(
        "UPDATE rate_limit_violations SET cleared_at = :now WHERE platform = :platform AND subject = :subject"
        " AND action = 'timeout' AND until > :now AND cleared_at IS NULL",
        _key(identity) | {"now": exemption.given_at},
    )
    return timeouts


def _delete_exemption(connection: Connection, identity: Identity) -> int:
    return connection.change(
        "DELETE FROM rate_limit_exemptions WHERE platform = :platform AND subject = :subject", _key(identity)
    )


def _read_stats(connection: Connection) -> RateLimitStats:
    actions: dict[str, int] = dict(
        connection.execute("SELECT action, count(*) FROM rate_limit_violations GROUP BY action")
    )
    top = connection.execute(
        "SELECT platform, subject, count(*) FROM rate_limit_violations GROUP BY platform, subject"
        " ORDER BY count(*) DESC, subject LIMIT 10"
    )
    refusals = connection.execute(
        "SELECT command, count FROM rate_limit_refusals ORDER BY count DESC, command LIMIT 20"
    )
    return RateLimitStats(
        sum(actions.values()),
        actions.get("warn", 0),
        actions.get("timeout", 0),
        actions.get("blacklist", 0),
        tuple((platform, subject, count) for platform, subject, count in top),
        tuple((command, count) for command, count in refusals),
        _words(connection, "timeout"),
        _words(connection, "warn"),
    )


def _read_violations(
    connection: Connection, limit: int, before: int | None, identity: Identity | None
) -> tuple[Recorded, ...]:
    where = [] if before is None else ["id < :before"]
    where += [] if identity is None else ["platform = :platform AND subject = :subject"]
    rows = connection.execute(
        "SELECT id, platform, subject, at, command, action, until, cleared_at, enforced, guild"
        f" FROM rate_limit_violations {'WHERE ' if where else ''}{' AND '.join(where)} ORDER BY id DESC LIMIT :limit",
        {"before": before, "limit": limit} | (_key(identity) if identity is not None else {}),
    )
    return tuple(Recorded(*row) for row in rows)


def _words(connection: Connection, action: Action) -> tuple[tuple[str, int], ...]:
    """What became of such steps, and how often."""
    rows = connection.execute(
        "SELECT enforced, count(*) FROM rate_limit_violations WHERE action = :action AND enforced <> ''"
        " GROUP BY enforced ORDER BY count(*) DESC, enforced LIMIT 10",
        {"action": action},
    )
    return tuple((words, count) for words, count in rows)


def _delete_passed(connection: Connection, wall: float, oldest: float) -> None:
    now = {"now": wall}
    connection.change(
        "DELETE FROM rate_limit_state WHERE spent_until <= :now AND cooldown_until <= :now AND silent_until <= :now",
        now,
    )
    connection.change("DELETE FROM rate_limit_cooldowns WHERE until <= :now", now)
    connection.change("DELETE FROM rate_limit_exemptions WHERE until <= :now", now)
    forget_passed(connection)
    connection.change("DELETE FROM rate_limit_violations WHERE at < :oldest", {"oldest": oldest})
