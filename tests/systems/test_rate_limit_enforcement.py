"""Timeouts that a platform carries out, and what is written down of them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from socbot.config import BlacklistConfig, RateLimitConfig, StorageConfig
from socbot.dispatch.messages import Identity
from socbot.storage.database import Database
from socbot.storage.errors import StoreError
from socbot.systems.blacklist import Blacklist
from socbot.systems.rate_limit import Lift, RateLimiter
from socbot.testing import FakeClock

MALLORY: Identity = ("chat", "42")
OWNER: Identity = ("chat", "1")


class Platform:
    """Silences whom it is asked to, unless it is told what to do instead."""

    def __init__(self) -> None:
        self.silent: dict[tuple[Identity, str], float] = {}
        self.reasons: list[str] = []
        self.instead: Callable[[], Awaitable[str | None]] | None = None

    async def time_out(self, identity: Identity, guild: str, seconds: float, reason: str) -> str | None:
        if self.instead is not None:
            return await self.instead()
        self.reasons.append(reason)
        self.silent[identity, guild] = seconds
        return None

    async def lift(self, identity: Identity, guild: str, until: float) -> str | None:
        if self.instead is not None:
            return await self.instead()
        self.silent.pop((identity, guild), None)
        return None


@asynccontextmanager
async def opened(storage: StorageConfig, clock: FakeClock, platform: Platform | None) -> AsyncIterator[RateLimiter]:
    async with Database.open(storage, clock) as database:
        blacklist = Blacklist(database, clock, BlacklistConfig(), lambda identity: identity == OWNER)
        await blacklist.load()
        limits = RateLimiter(database, clock, RateLimitConfig(), blacklist)
        await limits.load()
        if platform is not None:
            limits.enforce_with("chat", platform, patience=0.05)
        yield limits


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
async def limits(storage: StorageConfig, clock: FakeClock, platform: Platform) -> AsyncIterator[RateLimiter]:
    async with opened(storage, clock, platform) as limits:
        yield limits


async def recorded(limits: RateLimiter) -> list[str]:
    rows = await limits._database.read(
        lambda db: db.execute("SELECT enforced FROM rate_limit_violations WHERE action = 'timeout' ORDER BY id")
    )
    return [row[0] for row in rows]


async def test_a_timeout_is_carried_out_by_the_platform_and_lifted_by_a_reset(
    either_storage: StorageConfig, clock: FakeClock, platform: Platform
) -> None:
    async with opened(either_storage, clock, platform) as limits:
        assert (await limits.violate(MALLORY, "ping", "g1")).enforced == ""
        violation = await limits.violate(MALLORY, "ping", "g1")
        assert (violation.enforced, violation.is_silenced) == ("chat timeout", True)
        assert platform.silent == {(MALLORY, "g1"): 300.0}
        assert platform.reasons == ["2 rate limit violations within 1d"]
        assert (await limits.standing(MALLORY)).enforced == "chat timeout"
        assert limits.muted(MALLORY) is not None
    async with opened(either_storage, clock, platform) as limits:  # also after a restart
        cleared = await limits.reset_violations(MALLORY)
        assert (cleared.violations, cleared.lifts) == (2, (Lift("g1"),))
        assert platform.silent == {}
        assert limits.muted(MALLORY) is None
        assert (await limits.standing(MALLORY)).enforced == ""
        assert await recorded(limits) == ["chat timeout, lifted"]
        assert (await limits.stats()).enforced == (("chat timeout, lifted", 1),)
        assert (await limits.reset_violations(MALLORY)).lifts == ()


async def test_an_exemption_lifts_the_timeout(limits: RateLimiter, platform: Platform) -> None:
    for _ in range(2):
        await limits.violate(MALLORY, "ping", "g1")
    exemption = await limits.toggle_exemption(MALLORY, "chat:1")
    assert exemption is not None
    assert exemption.lifts == (Lift("g1"),)
    assert platform.silent == {}


async def refuse() -> str | None:
    return "missing permission"


async def break_() -> str | None:
    raise ConnectionResetError


@pytest.mark.parametrize(
    ("instead", "words"),
    [
        (refuse, "bot mute only: missing permission"),
        (break_, "unknown: ConnectionResetError"),
        (anyio.sleep_forever, "unknown: no answer within 0.05 s"),
    ],
)
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_whatever_the_platform_does_the_bots_own_mute_holds_and_the_record_is_true(
    limits: RateLimiter,
    platform: Platform,
    instead: Callable[[], Awaitable[str | None]],
    words: str,
    anyio_backend: str,
) -> None:
    platform.instead = instead
    await limits.violate(MALLORY, "ping", "g1")
    violation = await limits.violate(MALLORY, "ping", "g1")
    assert (violation.enforced, violation.is_silenced) == (words, False)
    assert await recorded(limits) == [words]
    assert limits.muted(MALLORY) is not None


@pytest.mark.parametrize(
    ("identity", "guild", "admin", "words"),
    [
        (MALLORY, None, False, "bot mute only: direct message"),
        (MALLORY, "g1", True, "bot mute only: an administrator"),
        (("other", "42"), "g1", False, "bot mute only: this platform has no other"),
    ],
)
async def test_where_the_platform_cannot_silence_it_is_not_asked(
    limits: RateLimiter, platform: Platform, identity: Identity, guild: str | None, admin: bool, words: str
) -> None:
    platform.instead = break_
    for _ in range(2):
        violation = await limits.violate(identity, "ping", guild, admin=admin)
    assert violation.enforced == words
    assert await recorded(limits) == [words]
    assert limits.muted(identity) is not None
    assert (await limits.reset_violations(identity)).lifts == ()


async def test_a_timeout_that_may_have_been_carried_out_is_lifted_too(limits: RateLimiter, platform: Platform) -> None:
    platform.instead = break_
    for _ in range(2):
        await limits.violate(MALLORY, "ping", "g1")
    platform.instead = None
    assert (await limits.reset_violations(MALLORY)).lifts == (Lift("g1"),)


async def test_what_could_not_be_lifted_is_said_and_tried_again(
    storage: StorageConfig, clock: FakeClock, platform: Platform
) -> None:
    async with opened(storage, clock, platform) as limits:
        for _ in range(2):
            await limits.violate(MALLORY, "ping", "g1")
        platform.instead = refuse
        assert (await limits.reset_violations(MALLORY)).lifts == (Lift("g1", "missing permission"),)
        assert limits.muted(MALLORY) is None
    async with opened(storage, clock, None) as limits:
        assert (await limits.reset_violations(MALLORY)).lifts == (Lift("g1", "chat is not connected"),)
    platform.instead = None
    async with opened(storage, clock, platform) as limits:
        assert (await limits.reset_violations(MALLORY)).lifts == (Lift("g1"),)
        clock.forward(300)
        assert (await limits.reset_violations(MALLORY)).lifts == ()


async def test_a_timeout_that_is_over_is_not_lifted(limits: RateLimiter, platform: Platform, clock: FakeClock) -> None:
    for _ in range(2):
        await limits.violate(MALLORY, "ping", "g1")
    clock.forward(300)
    assert (await limits.reset_violations(MALLORY)).lifts == ()


async def test_a_violation_that_could_not_be_stored_silences_nobody(limits: RateLimiter, platform: Platform) -> None:
    await limits.violate(MALLORY, "ping", "g1")
    await limits._database.write(lambda db: db.change("ALTER TABLE rate_limit_violations RENAME TO gone"))
    with pytest.raises(StoreError):
        await limits.violate(MALLORY, "ping", "g1")
    assert platform.silent == {}


async def test_the_violation_is_on_the_disk_before_the_platform_is_asked(
    limits: RateLimiter, platform: Platform
) -> None:
    seen = []

    async def look() -> str | None:
        seen.extend(await recorded(limits))
        return None

    platform.instead = look
    for _ in range(2):
        await limits.violate(MALLORY, "ping", "g1")
    assert seen == ["unknown"]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_command_that_is_cancelled_meanwhile_leaves_a_true_record(
    limits: RateLimiter, platform: Platform, anyio_backend: str
) -> None:
    asked = anyio.Event()

    async def hang() -> str | None:
        asked.set()
        await anyio.sleep_forever()
        return None

    platform.instead = hang
    limits.enforce_with("chat", platform)
    await limits.violate(MALLORY, "ping", "g1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(limits.violate, MALLORY, "ping", "g1")
        await asked.wait()
        tasks.cancel_scope.cancel()
    assert await recorded(limits) == ["unknown: cut short"]
    assert limits.muted(MALLORY) is not None


@pytest.mark.promise("P35")
async def test_the_owner_is_never_silenced(limits: RateLimiter, platform: Platform) -> None:
    for _ in range(4):
        await limits.violate(OWNER, "ping", "g1")
    assert platform.silent == {}
