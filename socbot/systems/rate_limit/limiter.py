"""Whether a user may run a command now: decided in one synchronous function, on monotonic time."""

from typing import Literal, TypeAlias

from msgspec import Struct

from socbot.config import RateLimitConfig
from socbot.dispatch.messages import Identity
from socbot.systems.rate_limit.quota import TOLERANCE, Quota
from socbot.systems.rate_limit.sharing import BURST, COOLDOWN, Shared
from socbot.systems.rate_limit.table import FRESH, State, Table, read, write

Limit: TypeAlias = Literal["cooldown", "command cooldown", "burst", "timeout", "no store"]

QUIET = 30.0
"""Seconds between two answers to one abuser."""

MOST_UNSAVED = 20_000
"""Users whose state waits to be stored; beyond them, a restart finds what was stored before."""

_MOST_REFUSALS = 65_535


class Refusal(Struct, frozen=True):
    """That a command was not admitted.

    :param limit: which limit holds it longest
    :param retry_after: seconds after which it is admitted
    :param told: whether the person is to hear of it
    :param violation: whether the episode became a violation by it
    """

    limit: Limit
    retry_after: float
    burst: int
    window: float
    told: bool = False
    violation: bool = False

    def __str__(self) -> str:
        words = f"{self.limit}, admitted in {self.retry_after:.3f} s"
        return f"{words}, a violation" if self.violation else words


class Limiter:
    """The limits of all users, in memory.

    An *episode* begins with a user's first refusal and ends when a command is admitted again, or when nothing would
    stand against one. The refusal number ``tolerance`` in it is a violation; there is one in an episode.

    :ivar unsaved: what has changed since it was last stored, by user; the moments are monotonic
    :ivar unsaved_cooldowns: the same for commands with a cooldown of their own
    """

    def __init__(self, config: RateLimitConfig, table: Table) -> None:
        """:raises ValueError: if the configuration would admit nothing"""
        self.table = table
        self.unsaved: dict[Identity, State] = {}
        self.unsaved_cooldowns: dict[tuple[Identity, str], float] = {}
        self.configure(config)

    def configure(self, config: RateLimitConfig) -> None:
        """:raises ValueError: if the configuration would admit nothing"""
        self.quota = Quota(config.burst, config.window)
        self._part = Quota(max(1, config.burst // config.processes), config.window)
        self._cooldown = config.cooldown
        self.cooldowns = config.cooldowns
        self._tolerance = config.tolerance
        self.table.capacity = config.max_users

    def hit(self, identity: Identity, command: str, now: float) -> Refusal | None:
        """Admit ``command`` and count it, or say why not; a refused one uses nothing up."""
        table, key = self.table, hash(identity)
        place = table.find(key)
        used, cooling, silent, refusals = table.inherited(key, now) if place is None else read(*place)
        used_after, wait = self.quota.use(used, now)
        own = command in self.cooldowns
        held = self.command_wait(identity, command, now) if own else 0.0
        if wait or held or cooling - now > TOLERANCE:
            return self._refuse(identity, now, (used_after if wait else used, cooling, silent, refusals), wait, held)
        state = (used_after, now + self._cooldown, silent, 0)
        if place is None:
            table.put(key, state, now)
        else:
            write(*place, *state)
        if len(self.unsaved) < MOST_UNSAVED:
            self.unsaved[identity] = state
        if own:
            self._start_cooldown(identity, command, now)
        return None

    def agree(self, identity: Identity, command: str, shared: Shared, before: State, now: float) -> Refusal | None:
        """Take over how a user stands in all processes, once ``hit`` has admitted the command in this one.

        :param before: the state before that, which is the user's again if the command is refused
        """
        _, cooling, silent, refusals = self.state(identity, now) if not shared.wait else before
        left = shared.left
        used, cooling = now + left[BURST], now + left.get(COOLDOWN, cooling - now)
        if not shared.wait:
            self._save(identity, (used, cooling, silent, refusals), now)
            return None
        if command in self.cooldowns:
            self.restore_command(identity, command, now + left.get(command, 0.0), now)
        burst_wait, held = (shared.wait if shared.scope == scope else 0.0 for scope in (BURST, command))
        return self._refuse(identity, now, (used, cooling, silent, refusals), burst_wait, held)

    def hold_to_part(self, identity: Identity, command: str, before: State, now: float) -> Refusal | None:
        """Admit what ``hit`` has admitted only within this process's part of the burst.

        :param before: as for ``agree``
        """
        used, cooling, silent, refusals = self.state(identity, now)
        others = used - self.quota.window / self.quota.burst  # what ``hit`` had added is of another size
        used_after, wait = self._part.use(others, now)
        if not wait:
            self._save(identity, (used_after, cooling, silent, refusals), now)
            return None
        self._end_cooldown(identity, command, now)
        return self._refuse(identity, now, (used_after, *before[1:]), wait, 0.0)

    def take_back(self, identity: Identity, command: str, before: State, wait: float, now: float) -> Refusal:
        """Refuse what ``hit`` has admitted, for a reason that is not the user's and ends in ``wait`` seconds.

        :param before: as for ``agree``
        """
        used, _, silent, _ = self.state(identity, now)
        told = silent <= now
        silent = now + QUIET if told else silent
        self._end_cooldown(identity, command, now)
        self._save(identity, (used - self.quota.window / self.quota.burst, before[1], silent, before[3]), now)
        return Refusal("no store", wait, self.quota.burst, self.quota.window, told)

    def state(self, identity: Identity, now: float) -> State:
        return self.table.get(hash(identity), now)

    def restore(self, identity: Identity, state: State, now: float) -> None:
        """Take over a state as it was stored."""
        self.table.put(hash(identity), state, now)

    def restore_command(self, identity: Identity, command: str, until: float, now: float) -> None:
        # Both moments: the command's cooldown is not what a newcomer to a full table is to displace first.
        self.table.put(hash((identity, command)), (until, until, 0.0, 0), now)

    def command_wait(self, identity: Identity, command: str, now: float) -> float:
        """Seconds until the command's own cooldown is over for this user."""
        wait = self.table.get(hash((identity, command)), now)[1] - now
        return min(wait, self.cooldowns.get(command, 0.0)) if wait > TOLERANCE else 0.0

    def waits(self, identity: Identity, now: float) -> tuple[float, float]:
        """Seconds until the burst, and until the cooldown, would admit a command."""
        used, cooling, _, _ = self.state(identity, now)
        cooldown = min(cooling - now, self._cooldown)
        return self.quota.use(used, now)[1], cooldown if cooldown > TOLERANCE else 0.0

    def end_episode(self, identity: Identity, now: float) -> None:
        used, cooling, silent, refusals = self.state(identity, now)
        if refusals:
            self._save(identity, (used, cooling, silent, 0), now)

    def forget_user(self, identity: Identity, now: float) -> None:
        self.unsaved.pop(identity, None)
        for key in (hash(identity), *(hash((identity, command)) for command in self.cooldowns)):
            if self.table.find(key) is not None:
                self.table.put(key, FRESH, now)
        for command in self.cooldowns:
            self.unsaved_cooldowns.pop((identity, command), None)

    def copy_for(self, identity: Identity, config: RateLimitConfig, now: float) -> "Limiter":
        """A limiter that knows this user alone, to try things on."""
        copy = Limiter(config, Table(config.max_users, rows=1))
        copy.restore(identity, self.state(identity, now), now)
        for command in self.cooldowns:
            wait = self.command_wait(identity, command, now)
            if wait:
                copy.restore_command(identity, command, now + wait, now)
        return copy

    def _start_cooldown(self, identity: Identity, command: str, now: float) -> None:
        until = now + self.cooldowns[command]
        self.restore_command(identity, command, until, now)
        if len(self.unsaved_cooldowns) < MOST_UNSAVED:
            self.unsaved_cooldowns[identity, command] = until

    def _end_cooldown(self, identity: Identity, command: str, now: float) -> None:
        if command in self.cooldowns:
            self.restore_command(identity, command, now, now)
            self.unsaved_cooldowns.pop((identity, command), None)

    def _refuse(self, identity: Identity, now: float, state: State, burst_wait: float, held: float) -> Refusal:
        used, cooling, silent, refusals = state
        cooling = min(cooling, now + self._cooldown)
        waits: tuple[tuple[float, Limit], ...] = (
            (burst_wait, "burst"),
            (cooling - now, "cooldown"),
            (held, "command cooldown"),
        )
        wait, limit = max(waits)
        if used <= now and cooling <= now and silent <= now:
            refusals = 0
        refusals = min(refusals + 1, _MOST_REFUSALS)
        told = silent <= now
        if told:
            silent = now + max(wait, QUIET)
        self._save(identity, (used, cooling, silent, refusals), now)
        return Refusal(limit, wait, self.quota.burst, self.quota.window, told, refusals == self._tolerance)

    def _save(self, identity: Identity, state: State, now: float) -> None:
        self.table.put(hash(identity), state, now)
        if len(self.unsaved) < MOST_UNSAVED:
            self.unsaved[identity] = state
