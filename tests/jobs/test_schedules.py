"""Schedules: what people write, and the times that come of it."""

from datetime import UTC, datetime, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.dispatch.errors import InvalidArgument
from socbot.jobs.schedules import Cron, Every, parse_schedule

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: tzinfo = BERLIN, *, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("every 5m", Every(300)),
        ("EVERY 1h30m", Every(5400)),
        (" every  90s ", Every(90)),
        ("every 2", Every(7200)),  # a bare number means hours
        ("cron 0 3 * * *", Cron("0 3 * * *")),
        ("cron  */5   * * *  MON-FRI", Cron("*/5 * * * MON-FRI")),
        ("cron 0 0 29 2 *", Cron("0 0 29 2 *")),
    ],
)
def test_schedules_are_read_as_people_write_them(text: str, schedule: Every | Cron) -> None:
    assert parse_schedule(text) == schedule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "every 5m"),
        ("often", "`often` is not a schedule"),
        ("every", "duration|missing|expected"),
        ("every day", "`day` is not"),
        ("every 0s", "`0s`"),
        ("every 0.5s", "0.5s"),
        ("cron 0 3 * *", "it has 4"),
        ("cron 0 0 3 * * *", "it has 6"),
        ("cron 61 3 * * *", "bad minute"),
        ("cron 0 3 * * XYZ", "bad day-of-week"),
        ("cron 0 0 30 2 *", "bad day-of-month"),
        ("cron 0 3 * * *\u202e", "bad day-of-week"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        parse_schedule(text)


@given(st.text(max_size=60).map(lambda text: f"cron {text}") | st.text(max_size=60) | st.from_regex(r"every \S{1,9}"))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        schedule = parse_schedule(text)
    except InvalidArgument:
        return
    assert parse_schedule(str(schedule)) == schedule


@pytest.mark.parametrize("text", ["every 5m", "every 1h30m", "every 1d", "cron 0 3 * * *"])
def test_a_schedule_is_shown_as_it_may_be_written(text: str) -> None:
    assert str(parse_schedule(text)) == text


def times(expression: str, start: float, count: int, zone: tzinfo = BERLIN) -> list[str]:
    cron, shown = Cron(expression), []
    for _ in range(count):
        start = cron.after(start, zone)
        shown.append(datetime.fromtimestamp(start, zone).strftime("%m-%d %H:%M %Z"))
    return shown


def test_a_time_of_day_stays_the_same_over_both_changes_of_the_clocks() -> None:
    assert times("0 3 * * *", at("2024-03-30T12:00"), 2) == ["03-31 03:00 CEST", "04-01 03:00 CEST"]
    assert times("0 3 * * *", at("2024-10-26T12:00"), 2) == ["10-27 03:00 CET", "10-28 03:00 CET"]


def test_a_time_that_the_clocks_skip_comes_right_after_the_gap() -> None:
    assert times("30 2 * * *", at("2024-03-30T12:00"), 2) == ["03-31 03:00 CEST", "04-01 02:30 CEST"]


def test_a_time_that_the_clocks_repeat_comes_once() -> None:
    assert times("30 2 * * *", at("2024-10-26T12:00"), 2) == ["10-27 02:30 CEST", "10-28 02:30 CET"]
    assert times("30 2 * * *", at("2024-10-27T02:40"), 1) == ["10-28 02:30 CET"]
    assert times("30 2 * * *", at("2024-10-27T02:10", fold=1), 1) == ["10-28 02:30 CET"]


def test_hourly_goes_on_with_real_time_over_both_changes() -> None:
    for day in ("2024-03-30T23:00", "2024-10-26T23:00"):
        start = at(day)
        cron, slots = Cron("0 * * * *"), []
        for _ in range(8):
            start = cron.after(start, BERLIN)
            slots.append(start)
        assert {later - slot for slot, later in pairwise(slots)} == {3600.0}


def test_the_leap_day_is_met() -> None:
    assert times("0 0 29 2 *", at("2024-03-01T00:00"), 1) == ["02-29 00:00 CET"]
    assert times("0 0 * * *", at("2024-02-28T12:00"), 2) == ["02-29 00:00 CET", "03-01 00:00 CET"]


# Without Lord Howe Island, where the clocks change by half an hour, and cronsim leaves out what that half hour holds.
ZONES = [UTC, BERLIN, *map(ZoneInfo, ("America/New_York", "America/St_Johns", "Asia/Kathmandu"))]
MINUTES = st.sampled_from(["*", "*/7", "0", "30", "0,30", "15-45/10"])
HOURS = st.sampled_from(["*", "*/5", "0", "1", "2", "3", "1-3", "2,14"])
DAYS = st.sampled_from(["*", "1", "31", "L", "27-31"])
WEEKDAYS = st.sampled_from(["*", "0", "SUN", "1-5", "MON#1"])
CRONS = st.builds("{} {} {} * {}".format, MINUTES, HOURS, DAYS, WEEKDAYS).map(Cron)
# Around the changes of the clocks of 2024, where it matters, and anywhere else.
MOMENTS = st.one_of(
    *(st.integers(change - 100_000, change + 100_000) for change in (1711846800, 1729990800, 1710054000, 1730613600)),
    st.integers(0, 4_000_000_000),
)


@pytest.mark.promise("P33")
@given(CRONS, MOMENTS, st.sampled_from(ZONES))
def test_forwards_and_backwards_agree_on_the_slots(cron: Cron, moment: int, zone: tzinfo) -> None:
    following = cron.after(moment, zone)
    assert following > moment
    latest = cron.latest(moment, zone)
    assert latest <= moment
    assert cron.after(latest, zone) == following
    assert cron.latest(following, zone) == following
    assert cron.latest(following - 1, zone) == latest
