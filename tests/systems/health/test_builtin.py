"""What every bot looks at, each with what it is about: real stores, real chains, real figures."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from msgspec import structs

from socbot.config import HealthConfig, MiddlewareConfig, RateLimitConfig, StorageConfig
from socbot.dispatch.context import Context, Handler
from socbot.dispatch.dispatcher import Dispatcher
from socbot.dispatch.errors import Refused
from socbot.dispatch.replies import Reply
from socbot.storage.database import Database
from socbot.storage.errors import StoreBusy
from socbot.systems.blacklist import Protected
from socbot.systems.health import Check, Measured, builtin
from socbot.systems.health.meters import Increase, Load, Meter, Stall, spaces
from socbot.systems.vitals import Vitals
from socbot.testing import FakeClock, owner_said, said
from tests.conftest import MakeBot

LOST = float("inf")


async def found(check: Check) -> Measured:
    measured = await check.measure()
    assert measured is not None
    return measured


# -- the store ----------------------------------------------------------------------------------------


async def test_the_store_is_written_to_and_read_from(either_storage: StorageConfig, clock: FakeClock) -> None:
    async with Database.open(either_storage, clock) as store:
        check = builtin.database(store, clock, Random(1))
        for _ in range(2):
            clock.forward(10)
            assert (await found(check)).figure == 0
            rows = await store.read(lambda c: c.execute("SELECT at FROM heartbeats"))
            assert rows == [(clock.time(),)]
        other = builtin.database(store, clock, Random(2))
        await found(other)
        clock.forward(2 * 86_400)
        await found(check)
        assert await store.read(lambda c: c.execute("SELECT at FROM heartbeats")) == [(clock.time(),)]


async def test_a_store_that_gives_back_something_else_is_not_well(storage: StorageConfig, clock: FakeClock) -> None:
    spoil = "CREATE TRIGGER spoil AFTER INSERT ON heartbeats BEGIN UPDATE heartbeats SET at = 0; END"
    async with Database.open(storage, clock) as store:
        await store.write(lambda c: c.execute(spoil))
        measured = await found(builtin.database(store, clock, Random(1)))
    assert (measured.figure, measured.status) == (None, "unhealthy")


async def test_a_store_that_somebody_else_holds_is_not_well(storage: StorageConfig, clock: FakeClock) -> None:
    path = storage.url.removeprefix("sqlite:///")
    async with Database.open(StorageConfig(url=storage.url, busy_timeout=0.1), clock) as store:
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreBusy):
                await builtin.database(store, clock, Random(1)).measure()
        other.close()
        await found(builtin.database(store, clock, Random(1)))


# -- the canary ---------------------------------------------------------------------------------------


async def members_only(ctx: Context, call_next: Handler) -> Reply | None:
    raise Refused("members only")


async def broken(ctx: Context, call_next: Handler) -> Reply | None:
    raise ZeroDivisionError


async def presumptuous(ctx: Context, call_next: Handler) -> Reply | None:
    return Reply("alive, I should think")


async def forgetful(ctx: Context, call_next: Handler) -> Reply | None:
    await call_next(ctx)
    return None


def chain_with(name: str) -> tuple[MiddlewareConfig, ...]:
    names = ("blacklist", "rate_limit", "profiler", "analytics", "error_capture", f"{__name__}:{name}")
    return tuple(map(MiddlewareConfig, names))


async def canary_of(make_bot: MakeBot, **options: Any) -> Measured:
    async with make_bot(**options) as bot:
        results = {result.name: result for result in (await bot.health.ask()).results}
        return Measured(results["canary"].figure, results["canary"].text, results["canary"].status)


@pytest.mark.promise("P52")
async def test_the_canary_goes_through_the_whole_chain(make_bot: MakeBot) -> None:
    canary = await canary_of(make_bot)
    assert (canary.status, canary.text) == ("healthy", "a command went through the whole chain")


@pytest.mark.promise("P52")
@pytest.mark.parametrize(
    ("middleware", "told"),
    [
        ("members_only", "refused by members_only: members only"),
        ("broken", "failed"),
        ("presumptuous", "answered in the command's place"),
        ("forgetful", "answered in the command's place"),
    ],
)
async def test_whatever_stops_commands_stops_the_canary(middleware: str, told: str, make_bot: MakeBot) -> None:
    canary = await canary_of(make_bot, middleware=chain_with(middleware))
    assert canary.status == "unhealthy"
    assert told in canary.text


async def test_while_the_bot_is_worked_on_the_canary_comes_as_far_as_it_may(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        await bot.dispatch(owner_said("!maintenance on"))
        results = {result.name: result for result in (await bot.health.ask()).results}
    assert results["canary"].status == "healthy"
    assert "maintenance is on" in results["canary"].text


@pytest.mark.promise("P52")
async def test_the_canary_is_counted_nowhere_and_limited_by_nothing(make_bot: MakeBot, clock: FakeClock) -> None:
    limits = RateLimitConfig(burst=1, cooldown=60, exempt_admins=False)
    async with make_bot(clock=clock, rate_limit=limits) as bot:
        for _ in range(30):
            round = await bot.health.ask()
            assert {result.name: result.status for result in round.results}["canary"] == "healthy"
        await bot.dispatch(said("!ping"))
        await bot.telemetry.flush()
        usage = await bot.analytics.usage()
        assert (usage.tally.commands, usage.unique_users) == (1, 1)
        assert [each.command for each in await bot.profiler.commands()] == ["ping"]
        assert [figures.calls for figures in (await bot.pipeline.figures()).values()] == [1] * 5
        rows = await bot.database.read(lambda c: (c.execute("SELECT count FROM traces"),
                                                  c.execute("SELECT id FROM rate_limit_violations"),
                                                  c.execute("SELECT platform FROM rate_limit_state")))  # fmt: skip
        assert rows == ([(1,)], [], [("local",)])


async def test_the_canary_cannot_be_listed_and_is_nobody_elses(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        with pytest.raises(Protected):
            await bot.blacklist.add("user", builtin.CANARY, reason="spam", by="local:owner")
        assert (await bot.dispatch(said("!health_canary"))).reply is None
        assert "health_canary" not in str((await bot.dispatch(owner_said("!help"))).reply)
        assert (await bot.dispatch(owner_said("!help health_canary"))).status == "invalid"
        assert "health_canary" not in str((await bot.dispatch(said("!health_canari"))).reply)
        assert "health_canary" not in await bot.completions.find("command", "health")


async def test_a_hidden_command_is_found_and_listed_nowhere() -> None:
    dispatcher = Dispatcher([builtin.health_canary])
    assert dispatcher.registry.get("health_canary") is builtin.health_canary
    assert list(dispatcher.registry) == []
    assert len(dispatcher.registry) == 0


# -- platforms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("links", "latency", "figure", "status", "text"),
    [
        ((None,), 0.05, 50, None, "chat: 50 ms"),
        ((), 0.4, 400, None, "chat: 400 ms"),
        ((None,), None, None, "unknown", "not known yet"),
        ((LOST,), None, None, "unhealthy", "not connected yet"),
        ((12.0,), 0.05, None, "degraded", "connection lost 12s ago"),
        ((60.5,), 0.05, None, "unhealthy", "connection lost 1m ago"),
        ((None, 90.0), 0.05, None, "degraded", "1 of 2 connections: connection lost 1m30s ago"),
    ],
)
async def test_a_platform_is_as_well_as_its_connections(
    links: tuple[float | None, ...], latency: float | None, figure: float | None, status: str | None, text: str
) -> None:
    vitals = Vitals(FakeClock())
    check = builtin.transport(vitals)
    assert await check.measure() is None
    vitals.watch_links("chat", lambda: links)
    vitals.measure_transport("chat", lambda: latency)
    measured = await found(check)
    assert (measured.figure, measured.status) == (figure, status)
    assert text in measured.text


async def test_the_slowest_platform_decides() -> None:
    vitals = Vitals(FakeClock())
    vitals.measure_transport("near", lambda: 0.01)
    vitals.measure_transport("far", lambda: 0.2)
    assert await builtin.transport(vitals).measure() == Measured(200.0, "near: 10 ms; far: 200 ms")


# -- process and machine ------------------------------------------------------------------------------


async def test_memory_is_this_process() -> None:
    measured = await found(builtin.memory(Meter()))
    assert measured.figure is not None
    assert 10 < measured.figure < 4_000


class Scripted(Meter):
    """A meter whose machine has two cores, and is told what they did: own seconds, busy seconds, seconds in all."""

    def __init__(self) -> None:
        super().__init__()
        self._cores = 2
        self.now = (0.0, 0.0, 0.0)

    def _sample(self) -> Any:
        return type(super()._sample())(*self.now)


async def test_the_processors_load_is_of_the_last_minute() -> None:
    meter = Scripted()
    first = meter.load()
    assert first.seconds is None
    meter.now = (30.0, 60.0, 120.0)  # half a minute of one core in a minute of two
    assert meter.load() == Load(50.0, 50.0, 60.0)
    meter.now = (30.0, 60.0, 360.0)
    assert meter.load() == Load(0.0, 0.0, 120.0)


async def test_at_the_start_the_load_is_told_and_not_judged() -> None:
    measured = await found(builtin.cpu(Meter()))
    assert (measured.figure, measured.status) == (None, "healthy")
    assert "not judged" in measured.text
    machine = await found(builtin.machine_cpu(Meter()))
    assert machine.figure is not None
    assert 0 <= machine.figure <= 100


async def test_a_real_meter_sees_real_work() -> None:
    meter = Meter()
    meter.load()
    total = 0
    while (load := meter.load()).seconds is None:
        total += sum(range(50_000))
    assert load.own > 20
    assert load.machine > 5


async def test_free_space_is_told_by_file_system_also_of_folders_that_are_not_there_yet(tmp_path: Path) -> None:
    folders = {"store": tmp_path, "log": tmp_path / "not" / "yet", "shared": Path("/dev/shm")}
    found_spaces = spaces(folders)
    assert found_spaces[0].names == ("store", "log")
    assert all(each.free > 0 for each in found_spaces)
    measured = await found(builtin.disk(lambda: folders))
    assert measured.figure == pytest.approx(min(each.free for each in found_spaces) / 1e6, rel=0.2)
    assert "store, log: " in measured.text
    assert str(tmp_path) not in measured.text


async def test_the_loop_is_as_late_as_it_was_at_worst() -> None:
    stalls: list[Stall] = []
    lag: list[float | None] = [None]
    check = builtin.event_loop(lambda: lag[0], lambda: stalls[-1] if stalls else None)
    assert await check.measure() is None
    lag[0] = 0.3
    assert await check.measure() == Measured(300.0, "late at worst")
    stalls.append(Stall(1_700_000_000.0, "/srv/secret/place/handler.py:3 in spin"))
    assert (await found(check)).text == "late at worst; last stood still <t:1700000000> at handler.py:3 in spin"


# -- the bot's own parts ------------------------------------------------------------------------------


async def test_a_job_that_has_failed_is_seen(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        jobs = bot.supervisor.status()
        failed = structs.replace(jobs[0], state="failed")
        measured = await found(builtin.jobs(lambda: [failed, *jobs[1:]], lambda: [failed, jobs[1]]))
        assert measured == Measured(2, f"failed: {failed.name}; overdue: {jobs[1].name}")
        assert await builtin.jobs(lambda: jobs, lambda: ()).measure() == Measured(
            0, f"failed or overdue, of {len(jobs)}"
        )


async def test_what_telemetry_lost_counts_for_one_interval(clock: FakeClock) -> None:
    dropped = 0
    check = builtin.telemetry(lambda: dropped, lambda: False, Increase(clock, 300))
    figures = []
    for total in (0, 5, 5, 5, 7):
        dropped = total
        clock.forward(300)
        figures += [(await found(check)).figure, (await found(check)).figure]
    assert figures == [0, 0, 5, 5, 0, 0, 0, 0, 2, 2], "who asks in between takes nothing from the next round"


async def test_telemetry_that_the_store_refuses_is_not_well(clock: FakeClock) -> None:
    measured = await found(builtin.telemetry(lambda: 0, lambda: True, Increase(clock, 300)))
    assert measured.status == "degraded"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: builtin.webhooks(lambda: None), None),
        (lambda: builtin.webhooks(lambda: 7), Measured(7, "waiting to be delivered")),
        (lambda: builtin.backup(lambda: None, lambda: False), None),
        (lambda: builtin.backup(lambda: None, lambda: True), Measured(None, "the first one is not due yet", "healthy")),
        (lambda: builtin.backup(lambda: 1.7, lambda: True), Measured(1.7, "since the last one that was verified")),
    ],
)
async def test_what_other_parts_tell(make: Callable[[], Check], expected: Measured | None) -> None:
    assert await make().measure() == expected


async def test_an_audit_trail_that_cannot_be_written_is_not_well() -> None:
    async def flush() -> None:
        return None

    async def fail() -> None:
        raise StoreBusy("locked")

    assert await builtin.audit(lambda: 3, flush).measure() == Measured(0, "not written yet")
    assert (await found(builtin.audit(lambda: 3, fail))).status == "degraded"


# -- of one's own -------------------------------------------------------------------------------------


async def deep() -> Measured:
    return Measured(40, "in the queue")


CHECKS = (Check("queue", deep, "messages"),)


async def test_an_operator_adds_checks_in_config_and_an_embedder_by_hand(make_bot: MakeBot) -> None:
    async with make_bot(health=HealthConfig(checks=(__name__,))) as bot:
        bot.health.add(Check("mine", deep, "messages", HealthConfig().webhook_backlog))
        with anyio.fail_after(5):
            results = {result.name: result for result in (await bot.health.ask()).results}
    assert (results["queue"].figure, results["queue"].status) == (40, "healthy")
    assert (results["mine"].figure, results["mine"].status) == (40, "healthy")
