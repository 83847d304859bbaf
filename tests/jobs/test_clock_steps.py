"""Whatever is done to the host's clock, a job runs at most once in each of its slots, and is not trapped."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.jobs.job import Job
from socbot.jobs.schedules import Cron, Every
from socbot.jobs.timetable import Slots
from socbot.testing import FakeClock
from tests.jobs.conftest import MakeSupervisor

BERLIN = ZoneInfo("Europe/Berlin")
HOUR, DAY = 3600.0, 86_400.0

STEPS: dict[str, Callable[[float], float]] = {
    "an hour back": lambda now: -HOUR,
    "an hour forward": lambda now: HOUR,
    "a second back": lambda now: -1.0,
    "to 1970": lambda now: -now,
    "to 2038": lambda now: 2_145_916_800.0 - now,
}


def run_while(table: Slots, clock: FakeClock, seconds: float) -> list[float]:
    """Let time pass as the loop of a job does, whose runs succeed at once; when it ran."""
    end, ran = clock.monotonic() + seconds, []
    while clock.monotonic() < end:
        # Nothing happens to the clock meanwhile, so this need not look at it every minute.
        wait = table.next_run() - clock.time()
        if wait <= 0:
            table.begin()
            ran.append(clock.time())
            table.done()
        else:
            clock.forward(min(wait, end - clock.monotonic()))
    return ran


def step_at(point: int, schedule: Cron, day: str, step: str) -> None:
    """Step the clock ``point`` half hours after midnight, and back two hours later."""
    clock = FakeClock(datetime.fromisoformat(day).replace(tzinfo=BERLIN).timestamp())
    table = Slots(schedule, clock, None, BERLIN)
    ran = run_while(table, clock, point * HOUR / 2)
    jump = STEPS[step](clock.time())
    clock.step(jump)
    ran += run_while(table, clock, 2 * HOUR)
    clock.step(-jump)
    ran += run_while(table, clock, 2 * HOUR)
    slots = Counter(schedule.latest(moment, BERLIN) for moment in ran)
    assert set(slots.values()) <= {1}
    assert run_while(table, clock, 1.1 * DAY)


@pytest.mark.promise("P33")
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("schedule", [Cron("0 * * * *"), Cron("30 2 * * *")])
@pytest.mark.parametrize("day", ["2024-02-29", "2024-03-31", "2024-10-27"])
def test_a_step_of_the_clock_repeats_no_slot_and_stops_no_job(schedule: Cron, day: str, step: str) -> None:
    for point in range(0, 50, 7):
        step_at(point, schedule, day, step)


@pytest.mark.slow
@pytest.mark.promise("P33")
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("schedule", [Cron("*/30 * * * *"), Cron("0 3 * * *"), Cron("30 2 * * *")])
@pytest.mark.parametrize("day", ["2024-01-10", "2024-02-29", "2024-03-31", "2024-10-27"])
def test_a_step_at_fifty_points_of_a_day_repeats_no_slot(schedule: Cron, day: str, step: str) -> None:
    for point in range(50):
        step_at(point, schedule, day, step)


@pytest.mark.promise("P33")
@given(
    st.lists(
        st.tuples(st.floats(0, 3 * DAY), st.sampled_from([-DAY, -HOUR, -1.0, 0.0, 1.0, HOUR, DAY])),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([Cron("0 3 * * *"), Cron("0 * * * *"), Cron("*/20 1-4 * * *")]),
    st.sampled_from([UTC, BERLIN]),
)
def test_no_series_of_steps_repeats_a_slot(legs: list[tuple[float, float]], schedule: Cron, zone: tzinfo) -> None:
    clock = FakeClock(1_711_700_000.0)
    table = Slots(schedule, clock, None, zone)
    ran = []
    for seconds, step in legs:
        ran += run_while(table, clock, seconds)
        clock.step(step)
    slots = Counter(schedule.latest(moment, zone) for moment in ran)
    assert max(slots.values(), default=0) <= 1


def test_a_slot_that_is_done_is_not_announced_again() -> None:
    clock = FakeClock(datetime(2024, 1, 10, 2, 30, tzinfo=UTC).timestamp())
    table = Slots(Cron("0 * * * *"), clock, None, UTC)
    run_while(table, clock, HOUR)
    clock.step(-HOUR)
    assert table.next_run() == datetime(2024, 1, 10, 4, tzinfo=UTC).timestamp()


@pytest.mark.promise("P33")
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_job_that_waits_for_its_time_notices_within_a_minute_that_the_clock_was_set(
    clock: FakeClock, make: MakeSupervisor
) -> None:
    ran: list[float] = []

    async def work() -> None:
        ran.append(clock.monotonic())

    async with make(Job("work", work, Cron("0 3 * * *"))) as supervisor:
        await clock.advance(90)
        due = supervisor.find("work").next_run
        assert due is not None
        clock.step(due - clock.time() + 1)
        set_at = clock.monotonic()
        await clock.advance(HOUR)
    assert len(ran) == 1
    assert ran[0] - set_at <= 60


@pytest.mark.promise("P33")
@pytest.mark.parametrize("step", STEPS)
async def test_an_interval_is_the_same_whatever_the_clock_says(
    clock: FakeClock, make: MakeSupervisor, step: str
) -> None:
    began: list[float] = []

    async def work() -> None:
        began.append(clock.monotonic())

    async with make(Job("work", work, Every(600))):
        for _ in range(10):
            await clock.advance(250)
            clock.step(STEPS[step](clock.time()))
    assert [moment - began[0] for moment in began] == [0, 600, 1200, 1800, 2400]


@pytest.mark.promise("P33")
@pytest.mark.parametrize("step", STEPS)
async def test_a_step_while_the_bot_is_down_delays_a_run_by_one_interval_at_most(
    clock: FakeClock, make: MakeSupervisor, step: str
) -> None:
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1

    async with make(Job("work", work, Every(600))):
        await clock.advance(0)
    clock.step(STEPS[step](clock.time()))
    async with make(Job("work", work, Every(600))):
        await clock.advance(600)
    assert 2 <= runs <= 3
