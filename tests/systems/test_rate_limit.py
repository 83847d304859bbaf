import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import anyio
import pytest

from socbot.config import BlacklistConfig, LadderStep, RateLimitConfig, SignalsConfig, StorageConfig
from socbot.dispatch.messages import Identity
from socbot.dispatch.outcomes import Outcome
from socbot.documents import ConfigError
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.errors import StoreError
from socbot.systems.blacklist import Blacklist
from socbot.systems.rate_limit import RateLimiter
from socbot.systems.signals import Signal, Signals
from socbot.testing import FakeClock, said

OWNER: Identity = ("local", "1")
MALLORY: Identity = ("local", "42")
ALICE: Identity = ("local", "43")
NO_COOLDOWN = RateLimitConfig(cooldown=0.0)


@asynccontextmanager
async def opened(
    storage: StorageConfig,
    clock: FakeClock,
    config: RateLimitConfig = RateLimitConfig(),  # noqa: B008 (frozen)
    *,
    deliver: Callable[[Connection, Signal], None] | None = None,
) -> AsyncIterator[RateLimiter]:
    """A limiter as it is after a start; ``deliver`` takes what it signals."""
    async with Database.open(storage, clock) as database:
        blacklist = Blacklist(database, clock, BlacklistConfig(), lambda identity: identity == OWNER)
        await blacklist.load()
        signals = Signals(database, clock, Random(1), SignalsConfig())
        if deliver is not None:
            signals.deliver_by(deliver, lambda: None)
        limits = RateLimiter(database, clock, config, blacklist, signals)
        await limits.load()
        yield limits


@pytest.fixture
async def limits(storage: StorageConfig, clock: FakeClock) -> AsyncIterator[RateLimiter]:
    async with opened(storage, clock) as limits:
        yield limits


async def flush(limits: RateLimiter, *outcomes: Outcome) -> None:
    await limits._database.write(lambda connection: limits.write(connection, outcomes))


def admitted(limits: RateLimiter, identity: Identity = MALLORY, command: str = "ping") -> bool:
    return limits.hit(identity, command) is None


# -- cooldown and burst -------------------------------------------------------------------------------


async def test_the_cooldown_holds_a_second_command_until_it_is_over(limits: RateLimiter, clock: FakeClock) -> None:
    assert admitted(limits)
    clock.forward(1)
    refusal = limits.hit(MALLORY, "ping")
    assert refusal is not None
    assert (refusal.limit, refusal.retry_after) == ("cooldown", 2.0)
    clock.forward(1.999)
    assert not admitted(limits)
    clock.forward(0.001)
    assert admitted(limits)
    assert admitted(limits, ALICE)


async def test_the_burst_comes_back_one_by_one(limits: RateLimiter, clock: FakeClock) -> None:
    limits.configure(NO_COOLDOWN)
    assert [admitted(limits) for _ in range(12)] == [True] * 10 + [False] * 2
    clock.forward(5.9)
    assert not admitted(limits)
    clock.forward(0.1)
    assert [admitted(limits) for _ in range(2)] == [True, False]
    clock.forward(60)
    assert [admitted(limits) for _ in range(11)] == [True] * 10 + [False]


async def test_a_command_with_a_cooldown_of_its_own_is_held_by_it(limits: RateLimiter, clock: FakeClock) -> None:
    limits.configure(RateLimitConfig(cooldown=1.0, cooldowns={"restart": 60.0}))
    assert admitted(limits, command="restart")
    clock.forward(10)
    refusal = limits.hit(MALLORY, "restart")
    assert refusal is not None
    assert (refusal.limit, refusal.retry_after) == ("command cooldown", 50.0)
    assert admitted(limits, command="ping")
    assert admitted(limits, ALICE, "restart")
    clock.forward(50)
    assert admitted(limits, command="restart")


async def test_the_wait_that_is_told_covers_every_limit(limits: RateLimiter, clock: FakeClock) -> None:
    limits.configure(RateLimitConfig(cooldown=2.0, burst=2, window=20.0, cooldowns={"slow": 7.0}))
    admitted(limits, command="slow")
    clock.forward(2)
    admitted(limits)
    clock.forward(0.5)
    refusal = limits.hit(MALLORY, "slow")
    assert refusal is not None
    clock.forward(refusal.retry_after)
    assert admitted(limits, command="slow")


async def test_what_was_used_stays_used_when_the_limits_change(limits: RateLimiter, clock: FakeClock) -> None:
    limits.configure(NO_COOLDOWN)
    for _ in range(10):
        limits.hit(MALLORY, "ping")
    limits.configure(RateLimitConfig(cooldown=0.0, burst=10, window=30.0))
    assert not admitted(limits)
    clock.forward(3)
    assert admitted(limits)


@pytest.mark.promise("P31")
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_under_concurrency_exactly_the_burst_is_admitted(limits: RateLimiter, anyio_backend: str) -> None:
    limits.configure(RateLimitConfig(cooldown=0.0, burst=5, window=60.0))
    count = 0

    async def call() -> None:
        nonlocal count
        await anyio.lowlevel.checkpoint()
        count += admitted(limits)

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(call)
    assert count == 5


@pytest.mark.promise("P31")
def test_impossible_limits_are_refused() -> None:
    RateLimiter.check(RateLimitConfig())
    for config in (
        RateLimitConfig(burst=0),
        RateLimitConfig(window=0.0),
        RateLimitConfig(ladder=(LadderStep("warn"), LadderStep("timeout"))),
    ):
        with pytest.raises(ConfigError, match=r"rate_limit"):
            RateLimiter.check(config)


@pytest.mark.promise("P33")
@pytest.mark.parametrize("step", [-3600.0, 3600.0, -1.0, -1_700_000_000.0, 86_400.0])
async def test_a_step_of_the_wall_clock_changes_no_decision(
    storage: StorageConfig, step: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    calm, stepped = FakeClock(), FakeClock()
    other = StorageConfig(url=f"sqlite:///{tmp_path_factory.mktemp('other')}/socbot.db")
    async with opened(storage, calm) as expected, opened(other, stepped) as limits:
        for number in range(50):
            stepped.step(step if number % 2 else -step)
            for clock in (calm, stepped):
                clock.forward(1.7)
            assert limits.hit(MALLORY, "ping") == expected.hit(MALLORY, "ping")
            await flush(limits)


# -- telling and violations ---------------------------------------------------------------------------


@pytest.mark.promise("P35")
async def test_an_abuser_is_told_at_most_once_in_thirty_seconds(limits: RateLimiter, clock: FakeClock) -> None:
    told = []
    for number in range(1_200):
        refusal = limits.hit(MALLORY, "ping")
        if refusal is not None and refusal.told:
            told.append(number / 10)
        clock.forward(0.1)
    assert len(told) == 4
    assert all(later - earlier >= 30 - 1e-6 for earlier, later in itertools.pairwise(told))


async def test_the_third_refusal_of_an_episode_is_its_one_violation(limits: RateLimiter, clock: FakeClock) -> None:
    admitted(limits)
    refusals = [limits.hit(MALLORY, "ping") for _ in range(10)]
    assert [refusal.violation for refusal in refusals if refusal] == [False, False, True] + [False] * 7
    clock.forward(3)
    assert admitted(limits)
    refusals = [limits.hit(MALLORY, "ping") for _ in range(3)]
    assert [refusal.violation for refusal in refusals if refusal] == [False, False, True]


async def test_two_refusals_between_admissions_are_no_violation(limits: RateLimiter, clock: FakeClock) -> None:
    for _ in range(10):
        assert admitted(limits)
        for _ in range(2):
            refusal = limits.hit(MALLORY, "ping")
            assert refusal is not None
            assert not refusal.violation
        clock.forward(10)


async def test_violations_climb_the_ladder_from_warning_to_timeout_to_the_blacklist(
    limits: RateLimiter, clock: FakeClock
) -> None:
    violation = await limits.violate(MALLORY, "ping")
    assert (violation.action, violation.number, violation.steps, violation.told) == ("warn", 1, 3, True)
    assert admitted(limits)
    clock.forward(60)
    violation = await limits.violate(MALLORY, "ping")
    assert (violation.action, violation.number, violation.duration) == ("timeout", 2, 300.0)
    clock.forward(299)
    refusal = limits.hit(MALLORY, "ping")
    assert refusal is not None
    assert (refusal.limit, refusal.retry_after, refusal.told) == ("timeout", 1.0, False)
    clock.forward(1)
    assert admitted(limits)
    violation = await limits.violate(MALLORY, "ping")
    assert violation.action == "blacklist"
    entry = await limits._blacklist.find("user", MALLORY)
    assert entry is not None
    assert (entry.source, entry.expires_at) == ("rate_limit", None)
    assert "3 rate limit violations" in entry.reason


ONE_STEP = RateLimitConfig(ladder=(LadderStep("blacklist", 60.0),))


async def test_whom_the_ladder_lists_is_signalled_with_the_entry(
    either_storage: StorageConfig, clock: FakeClock
) -> None:
    signalled: list[Signal] = []
    async with opened(either_storage, clock, ONE_STEP, deliver=lambda _, signal: signalled.append(signal)) as limits:
        await limits.violate(MALLORY, "ping")
        await limits.violate(OWNER, "ping")
        [signal] = signalled
        assert (signal.kind, signal.severity, signal.source) == ("security", "warning", "rate_limit")
        assert (signal.subject, dict(signal.fields)["Lasts"]) == ("local:42", "for 1m")
        assert limits._blacklist.listed(MALLORY, None) == "user"


async def test_nobody_is_listed_by_the_ladder_without_its_signal(storage: StorageConfig, clock: FakeClock) -> None:
    def broken(connection: Connection, signal: Signal) -> None:
        connection.change("INSERT INTO nowhere VALUES (1)")

    async with opened(storage, clock, ONE_STEP, deliver=broken) as limits:
        with pytest.raises(StoreError):
            await limits.violate(MALLORY, "ping")
        assert limits._blacklist.listed(MALLORY, None) is None
        assert await limits._blacklist.entries() == ()


async def test_the_last_step_of_the_ladder_repeats(limits: RateLimiter, clock: FakeClock) -> None:
    limits.configure(RateLimitConfig(ladder=(LadderStep("warn"), LadderStep("timeout", 60.0))))
    actions = []
    for _ in range(4):
        actions.append((await limits.violate(MALLORY, "ping")).action)
        clock.forward(100)
    assert actions == ["warn", "timeout", "timeout", "timeout"]


async def test_violations_decay(limits: RateLimiter, clock: FakeClock) -> None:
    await limits.violate(MALLORY, "ping")
    clock.forward(86_401)
    assert (await limits.violate(MALLORY, "ping")).number == 1


async def test_a_second_warning_within_thirty_seconds_is_recorded_and_not_said(
    limits: RateLimiter, clock: FakeClock
) -> None:
    limits.configure(RateLimitConfig(ladder=(LadderStep("warn"),)))
    assert (await limits.violate(MALLORY, "ping")).told
    clock.forward(29)
    assert not (await limits.violate(MALLORY, "ping")).told
    clock.forward(31)
    assert (await limits.violate(MALLORY, "ping")).told


@pytest.mark.promise("P35")
async def test_the_owner_is_warned_at_most(limits: RateLimiter) -> None:
    for _ in range(5):
        assert (await limits.violate(OWNER, "ping")).action == "warn"
    assert limits.muted(OWNER) is None
    assert limits._blacklist.listed(OWNER, None) is None


async def test_a_violation_changes_no_entry_that_is_there(limits: RateLimiter) -> None:
    limits.configure(RateLimitConfig(ladder=(LadderStep("blacklist", 60.0),)))
    await limits._blacklist.add("user", MALLORY, reason="by hand", by="local:1")
    await limits.violate(MALLORY, "ping")
    entry = await limits._blacklist.find("user", MALLORY)
    assert entry is not None
    assert (entry.reason, entry.expires_at) == ("by hand", None)


async def test_a_violation_that_could_not_be_stored_costs_nothing(limits: RateLimiter) -> None:
    await limits._database.write(lambda db: db.change("ALTER TABLE rate_limit_violations RENAME TO gone"))
    with pytest.raises(StoreError):
        await limits.violate(MALLORY, "ping")
    assert limits.muted(MALLORY) is None


async def test_resetting_violations_lifts_the_timeout_and_starts_the_ladder_anew(
    limits: RateLimiter, clock: FakeClock
) -> None:
    await limits.violate(MALLORY, "ping")
    await limits.violate(MALLORY, "ping")
    assert limits.muted(MALLORY) is not None
    assert (await limits.reset_violations(MALLORY)).violations == 2
    assert limits.muted(MALLORY) is None
    assert (await limits.reset_violations(MALLORY)).violations == 0
    assert (await limits.violate(MALLORY, "ping")).action == "warn"


# -- restarts -----------------------------------------------------------------------------------------


async def test_what_was_used_survives_a_restart(either_storage: StorageConfig, clock: FakeClock) -> None:
    config = RateLimitConfig(cooldown=3.0, burst=2, window=20.0, cooldowns={"slow": 60.0})
    async with opened(either_storage, clock, config) as limits:
        assert admitted(limits, command="slow")
        clock.forward(3)
        assert admitted(limits)
        assert not admitted(limits)
        assert not admitted(limits)
        await flush(limits, Outcome("refused", said("!ping"), "ping", refused_by="rate_limit"))
    later = FakeClock(clock.time() + 2, monotonic=7.0)
    async with opened(either_storage, later, config) as limits:
        refusal = limits.hit(MALLORY, "ping")
        assert refusal is not None
        assert refusal.retry_after == pytest.approx(5.0)
        assert not refusal.told
        assert refusal.violation  # the third of the episode that began before
        later.forward(5)
        assert admitted(limits)
        refusal = limits.hit(MALLORY, "slow")
        assert refusal is not None
        assert refusal.retry_after == pytest.approx(50.0)
        assert (await limits.stats()).refusals == (("ping", 1),)


async def test_timeouts_violations_and_exemptions_survive_a_restart(
    either_storage: StorageConfig, clock: FakeClock
) -> None:
    async with opened(either_storage, clock) as limits:
        await limits.violate(MALLORY, "ping")
        await limits.violate(MALLORY, "ping")
        await limits.toggle_exemption(ALICE, "local:1", 3600)
        await limits.toggle_exemption(("local", "44"), "local:1")
        await limits.toggle_exemption(("local", "45"), "local:1")
        await limits.toggle_exemption(("local", "45"), "local:1")
    later = FakeClock(clock.time() + 100, monotonic=3.0)
    async with opened(either_storage, later) as limits:
        muted = limits.muted(MALLORY)
        assert muted is not None
        assert muted.retry_after == pytest.approx(200.0)
        assert limits.exemption(ALICE, owner=False, admin=False)
        assert {each.id for each in await limits.exemptions()} == {"43", "44"}
        later.forward(3500)
        assert not limits.exemption(ALICE, owner=False, admin=False)
        assert [each.id for each in await limits.exemptions()] == ["44"]
        assert (await limits.standing(MALLORY)).violations == 2
        stats = await limits.stats()
        assert (stats.violations, stats.warned, stats.timed_out, stats.blacklisted) == (2, 1, 1, 0)
        assert stats.top == (("local", "42", 2),)
        await limits.forget()


@pytest.mark.promise("P33")
async def test_a_clock_set_back_between_two_starts_traps_nobody(storage: StorageConfig, clock: FakeClock) -> None:
    async with opened(storage, clock) as limits:
        for _ in range(30):
            limits.hit(MALLORY, "ping")
            clock.forward(3)
        await flush(limits)
    earlier = FakeClock(clock.time() - 86_400, monotonic=3.0)
    async with opened(storage, earlier) as limits:
        earlier.forward(6)
        assert admitted(limits)


async def test_what_users_used_is_forgotten_once_it_has_come_back(limits: RateLimiter, clock: FakeClock) -> None:
    admitted(limits)
    await flush(limits)
    assert len(limits._limiter.table) == 1
    await limits.forget()
    assert len(limits._limiter.table) == 1
    clock.forward(61)
    await limits.forget()
    assert len(limits._limiter.table) == 0
    assert await limits._database.read(lambda db: db.execute("SELECT count(*) FROM rate_limit_state")) == [(0,)]


# -- reports ------------------------------------------------------------------------------------------


async def test_who_is_exempt_and_why(limits: RateLimiter) -> None:
    assert limits.exemption(MALLORY, owner=False, admin=False) == ""
    assert "owner" in limits.exemption(OWNER, owner=True, admin=True)
    assert "administrators" in limits.exemption(MALLORY, owner=False, admin=True)
    limits.configure(RateLimitConfig(exempt_owner=False, exempt_admins=False))
    assert limits.exemption(OWNER, owner=True, admin=True) == ""


async def test_a_users_standing(limits: RateLimiter, clock: FakeClock) -> None:
    limits.configure(RateLimitConfig(cooldowns={"slow": 60.0}))
    admitted(limits, command="slow")
    clock.forward(1)
    standing = await limits.standing(MALLORY)
    assert (standing.used, standing.burst, standing.next_in) == (1, 10, 2.0)
    assert standing.cooldowns == (("slow", 59.0),)
    assert (standing.violations, standing.steps, standing.exempt) == (0, 3, "")


async def test_a_rehearsal_touches_nothing(limits: RateLimiter, clock: FakeClock) -> None:
    limits.configure(RateLimitConfig(cooldown=0.0, burst=3, window=30.0, cooldowns={"slow": 60.0}))
    admitted(limits)
    for _ in range(2):
        calls = limits.rehearse(MALLORY, "ping", 4)
        assert [call is None for call in calls] == [True, True, False, False]
    calls = limits.rehearse(MALLORY, "slow", 2)
    assert [call is None for call in calls] == [True, False]
    assert [admitted(limits) for _ in range(3)] == [True, True, False]


async def test_a_forgotten_user_is_as_one_never_seen(limits: RateLimiter) -> None:
    admitted(limits)
    await limits.violate(MALLORY, "ping")
    await limits.violate(MALLORY, "ping")
    limits.forget_user(MALLORY)
    assert admitted(limits)
    limits.forget_user(ALICE)
    assert len(limits._limiter.table) == 1


async def test_violations_are_told_newest_first_and_who_is_held_from_memory(
    either_storage: StorageConfig, clock: FakeClock
) -> None:
    async with opened(either_storage, clock) as limits:
        for identity in (MALLORY, ALICE, MALLORY):
            clock.forward(1)
            await limits.violate(identity, "ping", "g1")
        newest = await limits.violations()
        assert [(each.id, each.action) for each in newest] == [("42", "timeout"), ("43", "warn"), ("42", "warn")]
        assert newest[0].until == clock.time() + 300
        assert await limits.violations(1, before=newest[0].key) == newest[1:2]
        assert await limits.violations(identity=MALLORY) == (newest[0], newest[2])
        assert [(each.id, each.seconds) for each in limits.timed_out()] == [("42", 300.0)]
        await limits.reset_violations(MALLORY)
        assert limits.timed_out() == ()
        assert [each.cleared_at is None for each in await limits.violations()] == [False, True, False]
        refused = Outcome("refused", said("!ping"), "ping", refused_by="rate_limit")
        await flush(limits, refused, refused)
        assert await limits.refusals() == (("ping", 2, clock.time()),)
