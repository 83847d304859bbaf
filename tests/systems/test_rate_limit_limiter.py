"""The limiter beside a plain model of it, over histories that nobody would think of."""

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from socbot.config import RateLimitConfig
from socbot.dispatch.messages import Identity
from socbot.systems.rate_limit.limiter import QUIET, Limiter, Refusal
from socbot.systems.rate_limit.quota import TOLERANCE
from socbot.systems.rate_limit.table import Table

USERS: tuple[Identity, ...] = (("local", "1"), ("other", "1"))
COMMANDS = ("ping", "slow", "slower")
COOLDOWNS = {"slow": 7.0, "slower": 100.0}
CONFIGS = (
    RateLimitConfig(cooldown=2.0, burst=4, window=30.0, cooldowns=COOLDOWNS),
    RateLimitConfig(cooldown=0.0, burst=4, window=30.0, cooldowns=COOLDOWNS),
    RateLimitConfig(cooldown=0.5, burst=3, window=1.0, cooldowns={}),
)

MILLISECOND = 0.001


class Histories(RuleBasedStateMachine):
    """Every admission is remembered, and each decision is held against what was promised about all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.choose(CONFIGS[0])
        self.admitted: dict[Identity, list[tuple[float, str]]] = {user: [] for user in USERS}
        self.refused: dict[Identity, int] = dict.fromkeys(USERS, 0)
        self.told: dict[Identity, float] = dict.fromkeys(USERS, -math.inf)
        self.last: tuple[Identity, str, Refusal] | None = None

    @initialize(config=st.sampled_from(CONFIGS))
    def choose(self, config: RateLimitConfig) -> None:
        self.config = config
        self.limiter = Limiter(config, Table(config.max_users, rows=2))

    @rule(seconds=st.one_of(st.floats(0, 0.01), st.floats(0, 12), st.sampled_from((1.999, 2.0, 7.5, 30.0, 99.0))))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.last = None

    @rule(user=st.sampled_from(USERS), command=st.sampled_from(COMMANDS), times=st.integers(1, 6))
    def call(self, user: Identity, command: str, times: int) -> None:
        for _ in range(times):
            self.hit(user, command)

    def hit(self, user: Identity, command: str) -> Refusal | None:
        refusal = self.limiter.hit(user, command, self.now)
        if refusal is None:
            self.admitted[user].append((self.now, command))
            self.refused[user] = 0
            self.check_admission(user)
            self.last = None
        else:
            self.check_refusal(user, refusal)
            self.last = (user, command, refusal)
        return refusal

    def check_admission(self, user: Identity) -> None:
        moments = [moment for moment, _ in self.admitted[user]]
        for count, first in enumerate(reversed(moments), 1):
            allowed = self.config.burst * (1 + (self.now - first + 2 * TOLERANCE) / self.config.window)
            assert count <= allowed + 1e-6
        if len(moments) > 1:
            assert moments[-1] - moments[-2] >= self.config.cooldown - 2 * TOLERANCE
        command = self.admitted[user][-1][1]
        same = [moment for moment, name in self.admitted[user] if name == command]
        if len(same) > 1 and command in self.config.cooldowns:
            assert same[-1] - same[-2] >= self.config.cooldowns[command] - 2 * TOLERANCE

    def check_refusal(self, user: Identity, refusal: Refusal) -> None:
        self.refused[user] += 1
        assert 0 < refusal.retry_after <= max(self.config.cooldown, self.config.window, *self.config.cooldowns.values())
        if refusal.violation:
            assert self.refused[user] >= self.config.tolerance
        if refusal.told:
            assert self.now - self.told[user] >= QUIET - TOLERANCE
            self.told[user] = self.now

    @precondition(lambda self: self.last is not None and self.last[2].retry_after > 2 * MILLISECOND)
    @rule()
    def a_millisecond_less_than_was_told_is_not_enough(self) -> None:
        assert self.last is not None
        user, command, refusal = self.last
        self.now += refusal.retry_after - MILLISECOND
        assert self.hit(user, command) is not None

    @precondition(lambda self: self.last is not None)
    @rule()
    def the_wait_that_was_told_is_enough(self) -> None:
        assert self.last is not None
        user, command, refusal = self.last
        self.now += refusal.retry_after
        assert self.hit(user, command) is None

    @rule()
    def forget(self) -> None:
        for _ in self.limiter.table.forget(self.now):
            pass

    @rule(user=st.sampled_from(USERS), command=st.sampled_from(COMMANDS))
    def rehearse(self, user: Identity, command: str) -> None:
        copy = self.limiter.copy_for(user, self.config, self.now)
        expected = copy.hit(user, command, self.now)
        actual = self.hit(user, command)
        assert (expected is None) == (actual is None)
        if expected is not None and actual is not None:
            assert expected.retry_after == pytest.approx(actual.retry_after)


@pytest.mark.promise("P31")
def test_the_limiter_never_admits_too_much_nor_starves() -> None:
    run_state_machine_as_test(Histories, settings=settings())


@pytest.mark.slow
@pytest.mark.promise("P31")
def test_the_limiter_never_admits_too_much_nor_starves_over_2000_histories() -> None:
    run_state_machine_as_test(Histories, settings=settings(max_examples=2_000))


def test_there_is_one_violation_in_an_episode() -> None:
    limiter = Limiter(CONFIGS[0], Table(100, rows=2))
    user, violations = USERS[0], 0
    limiter.hit(user, "slower", 0.0)
    for number in range(95):  # never admitted: another use of a command whose own cooldown runs
        refusal = limiter.hit(user, "slower", 1.0 + number)
        assert refusal is not None
        violations += refusal.violation
    assert violations == 1
