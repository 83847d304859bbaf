"""Rounds of checks, the episodes that come of them, and what is told."""

import math

import anyio
import pytest

from socbot.config import StorageConfig
from socbot.storage.errors import StoreBusy
from socbot.systems.health import Check, Measured
from socbot.testing import FakeClock
from tests.systems.health.gauges import Gauge, watching


@pytest.mark.promise("P52")
async def test_an_episode_is_told_once_when_it_begins_and_once_when_it_ends(
    either_storage: StorageConfig, clock: FakeClock
) -> None:
    gauge = Gauge()
    async with watching(either_storage, clock, [gauge.check]) as watched:
        began_at = clock.time() + 2 * 300
        assert await watched.rounds(gauge, 5, 400, 400, 400, 400) == [
            "healthy", "healthy", "unhealthy", "unhealthy", "unhealthy",
        ]  # fmt: skip
        assert watched.titles == ["🩺 Health: unhealthy"]
        assert "**gauge** unhealthy" in watched.told[0].items[0]
        (lasting,) = watched.health.lasting
        assert (lasting.check, lasting.started_at, lasting.ended_at) == ("gauge", began_at, None)
        await watched.rounds(gauge, 5, 5, 5)
        assert watched.titles == ["🩺 Health: unhealthy", "🩺 Health: recovered"]
        assert watched.health.lasting == ()
        (episode,) = await watched.episodes()
        assert episode.started_at == began_at
        assert episode.ended_at == began_at + 4 * 300
        assert await watched.signals() == [
            ("Health: gauge is unhealthy", "critical"),
            ("Health: gauge is healthy again", "info"),
        ]


async def test_what_becomes_worse_is_told_once_more(storage: StorageConfig, clock: FakeClock) -> None:
    gauge = Gauge()
    async with watching(storage, clock, [gauge.check]) as watched:
        await watched.rounds(gauge, 5, 150, 150, 400, 400, 150, 150, 400, 400, 400)
        assert watched.titles == ["🩺 Health: degraded", "🩺 Health: unhealthy"]
        (episode,) = await watched.episodes()
        assert (episode.status, episode.ended_at) == ("unhealthy", None)
        assert [severity for _, severity in await watched.signals()] == ["warning", "critical"]


async def test_a_check_that_flaps_is_told_a_few_times_a_day(storage: StorageConfig, clock: FakeClock) -> None:
    gauge = Gauge()
    async with watching(storage, clock, [gauge.check]) as watched:
        await watched.rounds(gauge, *[400, 400, 5, 5] * 72)
        assert len(watched.told) <= 4
        assert len(await watched.episodes()) <= 2


async def test_all_that_changes_in_a_round_is_told_together(storage: StorageConfig, clock: FakeClock) -> None:
    first, second = Gauge("first"), Gauge("second")
    async with watching(storage, clock, [first.check, second.check]) as watched:
        first.found = 400
        await watched.rounds(second, 150, 150)
        (notice,) = watched.told
        assert [item.split("**")[1] for item in notice.items] == ["first", "second"]


async def test_nobody_is_told_when_nobody_is_to_be(storage: StorageConfig, clock: FakeClock) -> None:
    gauge = Gauge()
    async with watching(storage, clock, [gauge.check], notify=False) as watched:
        await watched.rounds(gauge, 400, 400)
        assert watched.told == []
        assert await watched.signals() == [("Health: gauge is unhealthy", "critical")]


@pytest.mark.promise("P52")
async def test_an_episode_goes_on_over_a_restart(either_storage: StorageConfig, clock: FakeClock) -> None:
    gauge = Gauge()
    async with watching(either_storage, clock, [gauge.check]) as watched:
        await watched.rounds(gauge, 400, 400)
        (before,) = watched.health.lasting
    async with watching(either_storage, clock, [gauge.check]) as watched:
        assert watched.health.lasting == (before,)
        assert watched.health.last is not None
        assert watched.health.last.status == "unhealthy"
        await watched.rounds(gauge, 400, 400)
        assert watched.told == [], "it was told before the restart"
        await watched.rounds(gauge, 5, 5)
        assert watched.titles == ["🩺 Health: recovered"]
        (episode,) = await watched.episodes()
        assert episode.started_at == before.started_at
        assert episode.ended_at is not None


async def test_what_is_not_checked_any_more_ends(storage: StorageConfig, clock: FakeClock) -> None:
    gauge, other = Gauge(), Gauge("other")
    async with watching(storage, clock, [gauge.check]) as watched:
        await watched.rounds(gauge, 400, 400)
    async with watching(storage, clock, [other.check]) as watched:
        await watched.health.check()
        (episode,) = await watched.episodes()
        assert episode.ended_at is not None
        assert "not checked any more" in episode.text


async def test_what_the_store_does_not_take_is_written_later(storage: StorageConfig, clock: FakeClock) -> None:
    gauge = Gauge()
    async with watching(storage, clock, [gauge.check]) as watched:
        await watched.rounds(gauge, 5)
        await watched.database.write(lambda c: c.execute("ALTER TABLE health_rounds RENAME TO away"))
        await watched.rounds(gauge, 400, 400)
        assert watched.titles == ["🩺 Health: unhealthy"], "told all the same"
        assert await watched.signals() == []
        await watched.database.write(lambda c: c.execute("ALTER TABLE away RENAME TO health_rounds"))
        await watched.rounds(gauge, 400)
        assert await watched.signals() == [("Health: gauge is unhealthy", "critical")]
        history = await watched.health.history(24)
        assert [round.status for round in history.rounds] == ["healthy", "unhealthy", "unhealthy", "unhealthy"]
        assert len(history.episodes) == 1


async def test_who_asks_gets_the_truth_and_changes_nothing(storage: StorageConfig, clock: FakeClock) -> None:
    gauge = Gauge()
    async with watching(storage, clock, [gauge.check]) as watched:
        await watched.rounds(gauge, 5)
        gauge.found = 400
        for _ in range(5):
            clock.forward(1)
            asked = await watched.health.ask()
            assert asked.status == "unhealthy"
            assert asked.results[-1].settled == "healthy"
        assert watched.told == []
        assert watched.health.lasting == ()
        assert len((await watched.health.history(1)).rounds) == 6


async def test_those_who_ask_while_a_round_is_made_get_one_that_begins_after_they_asked(
    storage: StorageConfig, clock: FakeClock
) -> None:
    let_go, made = anyio.Event(), 0

    async def slow() -> Measured:
        nonlocal made
        made += 1
        await let_go.wait()
        return Measured(1.0)

    async with watching(storage, clock, [Check("slow", slow)]) as watched:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watched.health.check)
            await anyio.wait_all_tasks_blocked()
            for _ in range(3):
                tasks.start_soon(watched.health.ask)
            await anyio.wait_all_tasks_blocked()
            assert made == 1
            let_go.set()
        assert made == 2, "one for all who asked"


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (Measured(5.0), "healthy"),
        (Measured(), "unknown"),
        (Measured(math.nan), "unknown"),
        (Measured(text="all is well", status="healthy"), "healthy"),
        (Measured(5.0, status="unhealthy"), "unhealthy"),
        (Measured(400.0, status="healthy"), "unhealthy"),
        (StoreBusy("locked"), "unhealthy"),
        (None, "unknown"),  # nothing is checked, so nothing is known
    ],
)
async def test_what_a_finding_means(
    found: Measured | Exception | None, status: str, storage: StorageConfig, clock: FakeClock
) -> None:
    async with watching(storage, clock, [Gauge(found=found).check]) as watched:
        assert (await watched.health.ask()).status == status


async def test_a_check_that_is_off_is_not_made(storage: StorageConfig, clock: FakeClock) -> None:
    gauge, other = Gauge(found=400), Gauge("other")
    async with watching(storage, clock, [gauge.check, other.check], off=("gauge",)) as watched:
        assert (await watched.health.ask()).status == "healthy"
        assert gauge.made == 0


async def test_while_no_commands_are_taken_no_round_counts(storage: StorageConfig, clock: FakeClock) -> None:
    gauge = Gauge(found=400)
    async with watching(storage, clock, [gauge.check], closing="is shutting down") as watched:
        await watched.health.check()
        assert gauge.made == 0


async def test_rounds_and_episodes_are_forgotten_when_they_are_old(storage: StorageConfig, clock: FakeClock) -> None:
    gauge = Gauge()
    async with watching(storage, clock, [gauge.check], retention_days=1) as watched:
        await watched.rounds(gauge, 400, 400, 5, 5)
        clock.forward(86_400)
        await watched.rounds(gauge, 5)
        rows = await watched.database.read(
            lambda c: (c.execute("SELECT id FROM health_rounds"), c.execute("SELECT id FROM health_episodes"))
        )
        assert [len(each) for each in rows] == [1, 0]


async def test_a_round_is_kept_in_a_few_bytes(storage: StorageConfig, clock: FakeClock) -> None:
    gauges = [Gauge(f"gauge_{number}", 123.456) for number in range(14)]
    async with watching(storage, clock, [gauge.check for gauge in gauges]) as watched:
        for gauge in gauges[1:]:
            gauge.found = 5
        await watched.health.check()
        ((written,),) = await watched.database.read(lambda c: c.execute("SELECT checks FROM health_rounds"))
        assert len(written) < 2_000
        assert written.count("as told") == 1, "of what is not well alone"
        await watched.health.load()
        assert watched.health.last is not None
        assert len(watched.health.last.results) == 14


async def test_an_episode_that_lasts_is_kept_however_old_it_is(storage: StorageConfig, clock: FakeClock) -> None:
    gauge = Gauge()
    async with watching(storage, clock, [gauge.check], retention_days=1) as watched:
        await watched.rounds(gauge, 400, 400)
        clock.forward(7 * 86_400)
        await watched.rounds(gauge, 400)
        assert len(await watched.episodes()) == 1


async def test_names_and_thresholds_are_refused_that_are_taken_or_unknown(
    storage: StorageConfig, clock: FakeClock
) -> None:
    gauge = Gauge()
    async with watching(storage, clock, [gauge.check]) as watched:
        with pytest.raises(ValueError, match="'gauge' is already there"):
            watched.health.add(gauge.check)
        with pytest.raises(ValueError, match="no threshold 'depth'"):
            watched.health.add(Check("mine", gauge.check.measure, threshold="depth"))
        with pytest.raises(ValueError, match="no threshold 'interval'"):
            watched.health.add(Check("mine", gauge.check.measure, threshold="interval"))


@pytest.mark.promise("P52")
async def test_checks_are_made_at_once_and_one_that_hangs_holds_up_no_other(
    storage: StorageConfig, clock: FakeClock
) -> None:
    async def hang() -> Measured:
        await anyio.sleep_forever()
        raise AssertionError

    gauge = Gauge()
    async with watching(storage, clock, [Check("hanging", hang), gauge.check]) as watched:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watched.health.check)
            await anyio.wait_all_tasks_blocked()
            assert gauge.made == 1
            clock.forward(5)
        assert watched.health.last is not None
        assert {result.name: result.status for result in watched.health.last.results} == {
            "hanging": "unhealthy",
            "gauge": "healthy",
        }


async def test_its_course_is_added_up_in_steps(either_storage: StorageConfig, clock: FakeClock) -> None:
    gauge, other = Gauge(), Gauge("other")
    async with watching(either_storage, clock, [gauge.check, other.check]) as watched:
        began = clock.time()
        await watched.rounds(gauge, 5, 150, 400, 5)
        assert clock.time() == began + 4 * 300
        steps, rounds, well = await watched.health.course(began, 2)
        found = {(step.check, step.number): step for step in steps}
        first, second = found["gauge", 0], found["gauge", 1]
        assert (first.status, first.rounds, first.healthy, first.figure) == ("healthy", 1, 1, 5.0)
        assert (second.status, second.rounds, second.healthy) == ("unhealthy", 3, 1)
        assert second.figure == pytest.approx((150 + 400 + 5) / 3)
        assert found["other", 1].status == "healthy"
        assert (rounds, well) == (4, 2)
