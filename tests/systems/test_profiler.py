import pytest

from socbot.config import ProfilerConfig, StorageConfig
from socbot.dispatch.chain import Layer, Placement
from socbot.middleware.profiler import Profiler as ProfilerMiddleware
from socbot.systems.profiler import Profile, rating
from socbot.testing import FakeClock
from tests.observed import DOOR_SECONDS, Observed, observed

HOUR, DAY = 3_600.0, 86_400.0


async def profile(world: Observed, command: str, part: str = "command", status: str = "ok") -> Profile:
    found = [each for each in await world.profiler.profiles(command) if (each.part, each.status) == (part, status)]
    assert len(found) == 1
    return found[0]


async def test_a_command_is_measured_whole_and_part_by_part(either_storage: StorageConfig) -> None:
    async with observed(either_storage) as world:
        for milliseconds in (100, 200, 300):
            await world.say(f"!take {milliseconds}")
        sketch = (await profile(world, "take")).sketch
        assert sketch.count == 3
        assert sketch.total == pytest.approx(0.6)
        assert sketch.least == pytest.approx(0.1)
        assert sketch.most == pytest.approx(0.3)
        assert sketch.quantile(0.5) == pytest.approx(0.2, rel=0.0051)
        assert (await profile(world, "take", "handler")).sketch.total == pytest.approx(0.6)
        assert (await profile(world, "take", "door")).sketch.total == pytest.approx(3 * DOOR_SECONDS)
        assert (await profile(world, "take", "analytics")).sketch.most == pytest.approx(0.0, abs=1e-9)


async def test_failures_are_measured_apart(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await world.say("!broken")
        assert (await profile(world, "broken", status="failed")).sketch.total == pytest.approx(0.05)
        assert {each.status for each in await world.profiler.profiles("broken")} == {"failed"}


async def test_of_a_refused_command_only_what_was_reached_is_measured(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await world.say("!ping", "banned")
        assert [(each.part, each.status) for each in await world.profiler.profiles()] == [("door", "refused")]


async def test_a_permission_that_is_missing_leaves_no_time_of_the_handler(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await world.say("!secret")
        assert {each.part for each in await world.profiler.profiles("secret")} == {
            "door", "profiler", "analytics", "command",
        }  # fmt: skip


async def test_nothing_is_measured_without_the_profiler_in_the_chain(storage: StorageConfig) -> None:
    async with observed(storage, chain=()) as world:
        await world.say("!ping")
        assert await world.profiler.profiles() == ()


async def test_where_the_profiler_stands_decides_what_counts_as_the_command(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        first = Layer("profiler", ProfilerMiddleware(), Placement("observer"))
        world.dispatcher.use((first, world.chain()[0]))
        await world.say("!take 10")
        assert (await profile(world, "take")).sketch.most == pytest.approx(0.01 + DOOR_SECONDS)


async def test_times_are_still_there_after_a_restart_and_add_up(either_storage: StorageConfig) -> None:
    clock = FakeClock()
    for _ in range(3):
        async with observed(either_storage, clock=clock) as world:
            await world.say("!take 100")
            await world.say("!take 400")
    async with observed(either_storage, clock=clock) as world:
        assert (await profile(world, "take")).sketch.count == 6


async def test_past_days_are_merged_and_nothing_is_lost(either_storage: StorageConfig) -> None:
    async with observed(either_storage, profiler=ProfilerConfig(detail_days=1)) as world:
        for hour in range(60):
            await world.say(f"!take {100 + hour}")
            world.clock.forward(HOUR - 0.2)
        before = (await profile(world, "take")).sketch
        rows = len(await world.profiler.export())
        await world.profiler.tidy()
        after = (await profile(world, "take")).sketch
        assert after.count == before.count == 60
        assert [after.quantile(p / 100) for p in range(101)] == [before.quantile(p / 100) for p in range(101)]
        assert len(await world.profiler.export()) < rows * 0.75
        assert sum(day.sketch.count for day in await world.profiler.days("take")) == 60


async def test_what_is_too_old_is_forgotten(storage: StorageConfig) -> None:
    async with observed(storage, profiler=ProfilerConfig(slow=0.1, retention_days=2)) as world:
        await world.say("!take 100")
        world.clock.forward(4 * DAY)
        await world.say("!take 300")
        await world.telemetry.flush()
        await world.profiler.tidy()
        assert (await profile(world, "take")).sketch.count == 1
        assert [run.seconds for run in await world.profiler.slow_runs()] == [pytest.approx(0.3)]


async def test_slow_runs_are_kept_with_their_trace_up_to_a_bound(either_storage: StorageConfig) -> None:
    async with observed(either_storage, profiler=ProfilerConfig(slow=0.5, slow_runs=3)) as world:
        outcomes = [await world.say(f"!take {500 + n}") for n in range(5)]
        await world.say("!take 499")
        await world.telemetry.flush()
        last = await world.say("!take 700", guild=None)
        runs = await world.profiler.slow_runs()
        ids = [outcome.trace.id for outcome in (last, outcomes[4], outcomes[3]) if outcome.trace]
        assert [run.trace_id for run in runs] == ids
        assert (runs[0].platform, runs[0].subject, runs[0].guild) == ("local", "42", "")
        assert runs[0].seconds == pytest.approx(0.7)


async def test_how_often_a_command_was_slow_is_known_for_any_threshold(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        for milliseconds in (100, 300, 600, 2_000):
            await world.say(f"!take {milliseconds}")
        moment = world.clock.time()
        await world.say("!ping")
        (half,) = await world.profiler.slowness(0.5)
        assert (half.command, half.times) == ("take", 2)
        assert half.worst == pytest.approx(2.0)
        assert half.last_at == pytest.approx(moment, abs=2.1)
        assert [each.command for each in await world.profiler.slowness(0.01)] == ["take", "ping"]
        assert await world.profiler.slowness(5.0) == ()


async def test_one_command_can_be_reset_or_all(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await world.say("!take 2000")
        await world.say("!ping")
        assert await world.profiler.reset("take") == (1, 1)
        assert {each.command for each in await world.profiler.profiles()} == {"ping"}
        assert await world.profiler.reset() == (1, 0)
        assert await world.profiler.profiles() == ()


@pytest.mark.parametrize(
    ("seconds", "word"),
    [(0.0999, "Excellent"), (0.1, "Good"), (0.5, "Acceptable"), (0.999, "Acceptable"), (1.0, "Slow")],
)
def test_ratings_are_those_of_the_older_bot(seconds: float, word: str) -> None:
    assert rating(seconds) == word


async def test_what_each_part_of_the_chain_takes_is_known_for_any_span_of_time(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        start = world.clock.time()
        await world.say("!take 100")
        await world.say("!ping", "banned")
        world.clock.forward(30 * 3600.0)
        await world.say("!take 10")
        earlier = await world.profiler.parts(start, start + 3600.0)
        assert {part: each.count for part, each in earlier.items()} == {
            "command": 1, "door": 2, "profiler": 1, "analytics": 1, "handler": 1
        }  # fmt: skip
        assert earlier["door"].mean == pytest.approx(DOOR_SECONDS)
        assert earlier["handler"].quantile(0.99) == pytest.approx(0.1, rel=0.01)
        assert (await world.profiler.parts())["handler"].total == pytest.approx(0.01)
