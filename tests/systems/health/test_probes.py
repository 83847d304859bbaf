"""Whether the bot lives and can serve: in every state in which it may find itself, and asked all the time."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple, TypeAlias

import anyio
import pytest
from msgspec import structs

from socbot.bot import Bot
from socbot.config import MiddlewareConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context, Handler
from socbot.dispatch.errors import Refused
from socbot.dispatch.replies import Reply
from socbot.systems.health import Check, Measured
from socbot.systems.health.probes import PAUSE, STALLED
from socbot.testing import FakeClock, owner_said, said
from socbot.watchdog import Watchdog
from tests.conftest import MakeBot


async def nobody_passes(ctx: Context, call_next: Handler) -> Reply | None:
    raise Refused("nobody passes")


class Seen(NamedTuple):
    """What the three answers are: live, ready, the round's status; and words that the reasons have in them."""

    live: bool
    ready: bool
    status: str
    told: str = ""


Fault: TypeAlias = Callable[[Bot, FakeClock, AsyncExitStack], Any]


def links(*seconds: float | None) -> Fault:
    def fault(bot: Bot, clock: FakeClock, stack: AsyncExitStack) -> None:
        bot.vitals.watch_links("chat", lambda: seconds)
        bot.vitals.measure_transport("chat", lambda: 0.02)

    return fault


def stalled(seconds: float) -> Fault:
    def fault(bot: Bot, clock: FakeClock, stack: AsyncExitStack) -> None:
        bot.health.liveness.overdue = lambda: seconds

    return fault


async def nothing(bot: Bot, clock: FakeClock, stack: AsyncExitStack) -> None:
    """All is well."""


async def store_refuses_writes(bot: Bot, clock: FakeClock, stack: AsyncExitStack) -> None:
    await bot.database.write(lambda c: c.execute("DROP TABLE heartbeats"))


async def store_is_gone(bot: Bot, clock: FakeClock, stack: AsyncExitStack) -> None:
    bot.database._writer._closed = True
    stack.callback(lambda: setattr(bot.database._writer, "_closed", False))


async def draining(bot: Bot, clock: FakeClock, stack: AsyncExitStack) -> None:
    await bot.drain(0.0)


async def asked_to_stop(bot: Bot, clock: FakeClock, stack: AsyncExitStack) -> None:
    bot.lifecycle.stop()


async def restoring(bot: Bot, clock: FakeClock, stack: AsyncExitStack) -> None:
    bot.dispatcher.closed = Reply("A backup is being restored.")


async def under_maintenance(bot: Bot, clock: FakeClock, stack: AsyncExitStack) -> None:
    await bot.dispatch(owner_said("!maintenance on"))


async def full_of_commands(bot: Bot, clock: FakeClock, stack: AsyncExitStack) -> None:
    bot.dispatcher.running = bot.dispatcher.max_running
    stack.callback(lambda: setattr(bot.dispatcher, "running", 0))


async def job_failed(bot: Bot, clock: FakeClock, stack: AsyncExitStack) -> None:
    failed = structs.replace(bot.supervisor.status()[0], state="failed")
    replace(bot, "jobs", Measured(1, f"failed: {failed.name}"))


async def disk_nearly_full(bot: Bot, clock: FakeClock, stack: AsyncExitStack) -> None:
    replace(bot, "disk", Measured(100.0, "store: 100 MB free"))


async def a_check_is_broken(bot: Bot, clock: FakeClock, stack: AsyncExitStack) -> None:
    async def broken() -> Measured:
        raise KeyError("figure")

    bot.health.add(Check("mine", broken))


async def not_looked_for_long(bot: Bot, clock: FakeClock, stack: AsyncExitStack) -> None:
    clock.forward(10 * PAUSE)


def replace(bot: Bot, name: str, found: Measured) -> None:
    """Have a check find something."""

    async def measure() -> Measured:
        return found

    checks = bot.health._checks
    checks[name] = structs.replace(checks[name], measure=measure)


STATES: dict[str, tuple[Fault, Seen]] = {
    "all is well": (nothing, Seen(True, True, "healthy")),
    "the store takes no writes": (store_refuses_writes, Seen(True, False, "unhealthy", "database: StatementError")),
    "the store is gone": (store_is_gone, Seen(True, False, "unhealthy", "database: StoreError")),
    "a gateway that is there": (links(None), Seen(True, True, "healthy")),
    "a gateway that was never there": (links(float("inf")), Seen(True, False, "unhealthy", "chat: not connected yet")),
    "a gateway lost for 59 s": (links(59.0), Seen(True, True, "degraded")),
    "a gateway lost for 61 s": (links(61.0), Seen(True, False, "unhealthy", "chat: no connection for 1m1s")),
    "one of two shards lost for an hour": (links(None, 3600.0), Seen(True, True, "degraded")),
    "the loop stands still for 4.9 s": (stalled(4.9), Seen(True, True, "healthy")),
    "the loop stands still for 5 s": (stalled(5.0), Seen(False, True, "healthy", "has not turned for 5.0 s")),
    "a job has failed": (job_failed, Seen(True, True, "degraded")),
    "the disk is nearly full": (disk_nearly_full, Seen(True, True, "unhealthy")),
    "a check is broken": (a_check_is_broken, Seen(True, True, "unhealthy")),
    "under maintenance": (under_maintenance, Seen(True, True, "healthy")),
    "full of commands": (full_of_commands, Seen(True, False, "unhealthy", "refused by admission: busy")),
    "draining": (draining, Seen(True, False, "unhealthy", "bot: The bot is shutting down.")),
    "asked to stop": (asked_to_stop, Seen(True, False, "healthy", "bot: is shutting down")),
    "a restore is under way": (restoring, Seen(True, False, "unhealthy", "bot: A backup is being restored.")),
}  # fmt: skip


@asynccontextmanager
async def in_state(make_bot: MakeBot, clock: FakeClock, fault: Fault) -> AsyncIterator[Bot]:
    """A bot that has started and was well, and then the fault."""
    async with AsyncExitStack() as stack:
        bot = await stack.enter_async_context(make_bot(clock=clock))
        replace(bot, "cpu", Measured(1.0))  # what the machine that runs the tests is doing
        replace(bot, "machine_cpu", Measured(1.0))
        replace(bot, "memory", Measured(100.0))
        await bot.health.readiness.look()
        assert bot.health.live.ok
        assert bot.health.ready.ok
        made = fault(bot, clock, stack)
        if made is not None:
            await made
        yield bot
        bot.dispatcher.closed = None


@pytest.mark.promise("P52")
@pytest.mark.parametrize("state", STATES)
async def test_liveness_readiness_and_health_tell_the_truth(state: str, make_bot: MakeBot, clock: FakeClock) -> None:
    fault, expected = STATES[state]
    async with in_state(make_bot, clock, fault) as bot:
        await bot.health.readiness.look()
        live, ready, round = bot.health.live, bot.health.ready, await bot.health.ask()
        assert (live.ok, ready.ok, round.status) == expected[:3]
        assert expected.told in "; ".join((*live.reasons, *ready.reasons))


@pytest.mark.promise("P52")
async def test_a_bot_that_has_not_started_is_not_ready(make_bot: MakeBot, clock: FakeClock) -> None:
    async with in_state(make_bot, clock, nothing) as bot:
        bot.health.readiness.started = False
        assert bot.health.ready.reasons == ("bot: has not started yet",)


@pytest.mark.promise("P52")
async def test_what_was_seen_long_ago_is_not_believed(make_bot: MakeBot, clock: FakeClock) -> None:
    async with in_state(make_bot, clock, not_looked_for_long) as bot:
        assert bot.health.ready.reasons == ("checks: not made for 50s",)
        await bot.health.readiness.look()
        assert bot.health.ready.ok


@pytest.mark.promise("P52")
async def test_a_store_that_hangs_is_seen_in_time(make_bot: MakeBot, clock: FakeClock) -> None:
    async def hang() -> Measured:
        await anyio.sleep_forever()
        raise AssertionError

    async with in_state(make_bot, clock, nothing) as bot:
        bot.health._checks["database"] = structs.replace(bot.health._checks["database"], measure=hang)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bot.health.readiness.look)
            await anyio.wait_all_tasks_blocked()
            clock.forward(5)
        assert bot.health.ready.reasons == ("database: no answer for 5s",)


async def test_what_is_switched_off_does_not_count(make_bot: MakeBot, clock: FakeClock) -> None:
    chain = (
        *(MiddlewareConfig(name) for name in ("blacklist", "rate_limit")),
        MiddlewareConfig(f"{__name__}:nobody_passes"),
    )
    async with make_bot(clock=clock, middleware=chain) as bot:
        await bot.health.readiness.look()
        assert not bot.health.ready.ok
        await bot.dispatch(owner_said("!ping"))
        bot.health.configure(structs.replace(bot.config.health, off=("canary",)))
        await bot.health.readiness.look()
        assert bot.health.ready.ok


@pytest.mark.promise("P52")
async def test_the_job_looks_again_and_again(make_bot: MakeBot, clock: FakeClock) -> None:
    async with in_state(make_bot, clock, nothing) as bot:
        bot.dispatcher.running = bot.dispatcher.max_running
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bot.health.readiness.run)
            with anyio.fail_after(5):
                while bot.health.ready.ok:  # noqa: ASYNC110 (it looks when it does)
                    await anyio.sleep(0.01)
            bot.dispatcher.running = 0
            assert not bot.health.ready.ok
            await anyio.wait_all_tasks_blocked()
            clock.forward(PAUSE)
            with anyio.fail_after(5):
                while not bot.health.ready.ok:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()


@pytest.mark.alone
@pytest.mark.promise("P52")
async def test_five_hundred_questions_a_second_cost_nearly_nothing(make_bot: MakeBot, clock: FakeClock) -> None:
    async with in_state(make_bot, clock, links(None)) as bot:
        began = time.perf_counter()
        for _ in range(500):
            assert bot.health.live.ok
            assert bot.health.ready.ok
        assert time.perf_counter() - began < 0.05, "a twentieth of the time for a second's questions"


@command("spin", permission="public")
async def spin(ctx: Context, seconds: float) -> str:
    """Hold up the event loop."""
    time.sleep(seconds)  # noqa: ASYNC251 (that is what it is for)
    return "done"


@pytest.mark.promise("P50")
@pytest.mark.promise("P52")
@pytest.mark.parametrize(
    ("seconds", "limit"), [(1.5, 0.6), pytest.param(STALLED + 1.5, STALLED, marks=pytest.mark.slow)]
)
async def test_a_handler_that_holds_the_loop_ends_liveness_while_it_does(
    seconds: float, limit: float, make_bot: MakeBot, caplog: pytest.LogCaptureFixture
) -> None:
    """Asked from another thread, as the web's probe does, while the loop stands still."""
    from threading import Thread

    answers: list[tuple[float, bool]] = []
    async with make_bot(commands=[spin]) as bot:
        liveness = bot.health.liveness
        liveness.limit = limit

        def ask() -> None:
            began = time.monotonic()
            while time.monotonic() - began < seconds + 1.0:
                answers.append((time.monotonic() - began, liveness.read().ok))
                time.sleep(0.02)

        async with Watchdog(lambda stall: bot.health.note_stall(stall.where, stall.stack)) as watchdog:
            liveness.overdue = lambda: watchdog.stalled
            bot.vitals.worst_lag = watchdog.worst
            await anyio.sleep(0.12)
            thread = Thread(target=ask)
            thread.start()
            await bot.dispatch(said(f"!spin {seconds}"))
            await anyio.to_thread.run_sync(thread.join)
            results = {result.name: result for result in (await bot.health.ask()).results}
    dead = [at for at, ok in answers if not ok]
    assert limit <= dead[0] <= limit + 0.7
    assert dead[-1] <= seconds + 0.5, "it lives as soon as the loop turns again"
    assert answers[-1][1]
    loop = results["event_loop"]
    assert loop.status == "unhealthy"
    assert loop.figure == pytest.approx(seconds * 1000, abs=400)
    assert "test_probes.py" in loop.text
    assert "in spin" in loop.text
    stack = next(record for record in caplog.records if "stands still" in record.message)
    assert stack.levelname == "ERROR"
    assert "time.sleep(seconds)" in stack.message
