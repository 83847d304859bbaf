"""What is kept: hours, days and weeks rather than runs, and never without the last good backup."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from socbot.config import Config, RetentionConfig, decode
from socbot.documents import ConfigError
from socbot.systems.backup.manifest import Type
from socbot.systems.backup.retention import INTERVALS, SCHEDULED, Known, Scheduled, Verdict, covers, due, judge, slot_of

START = 1_700_000_000.0
HOUR, DAY = 3_600.0, 86_400.0
SMALL = RetentionConfig(hourly=4, daily=3, weekly=2, manual=2, pre_restore=1)


def known(type: Type, made_at: float, *, good: bool = True, proven: bool = False, problem: str = "") -> Known:
    verified, tried = made_at if good else None, made_at if proven else None
    return Known(f"backup_{type}_{made_at:.0f}", type, made_at, made_at, verified, tried, problem)


def kept(backups: Iterable[Known], config: RetentionConfig = SMALL) -> set[str]:
    return {verdict.backup.name for verdict in judge(backups, config) if verdict.kept}


# -- by example ---------------------------------------------------------------------------------------


def test_one_backup_of_each_hour_is_kept_the_latest() -> None:
    first = START - START % HOUR
    backups = [known("hourly", first + minutes * 60) for minutes in (5, 20, 50, 65, 130)]
    assert kept(backups) == {backups[number].name for number in (2, 3, 4)}


def test_as_many_slots_are_kept_as_there_are_backups_for_not_as_many_as_hours_have_passed() -> None:
    backups = [known("hourly", START + days * DAY) for days in range(6)]
    assert kept(backups) == {backup.name for backup in backups[-4:]}


def test_a_weekly_backup_counts_for_its_day_and_its_hour_too() -> None:
    assert covers("weekly", "hourly")
    assert covers("daily", "hourly")
    assert not covers("hourly", "daily")
    assert not covers("manual", "hourly")
    alone = judge([known("weekly", START)], SMALL)[0]
    assert [reason.partition(",")[0] for reason in alone.reasons] == [
        "the newest that was verified", "hourly", "daily", "weekly",
    ]  # fmt: skip


def test_weeks_begin_on_monday() -> None:
    monday = 1_700_438_400.0  # 2023-11-20
    assert slot_of(monday, "weekly") == slot_of(monday + 7 * DAY - 1, "weekly") == slot_of(monday - 1, "weekly") + 1


def test_of_a_slot_the_one_that_was_verified_is_kept_rather_than_a_later_one_that_was_not() -> None:
    first = START - START % HOUR
    good, unverified = known("hourly", first), known("hourly", first + 60, good=False)
    assert kept([good, unverified, known("hourly", first + HOUR)]) == {good.name, f"backup_hourly_{first + HOUR:.0f}"}


def test_a_damaged_one_takes_nobodys_place() -> None:
    backups = [known("daily", START + days * DAY) for days in range(4)]
    backups[1] = replace(backups[1], problem="store/socbot.db: bad")
    assert kept(backups, replace(SMALL, hourly=1)) == {backups[number].name for number in (0, 1, 2, 3)}
    backups[0] = replace(backups[0], problem="store/socbot.db: bad")
    backups.append(known("daily", START + 4 * DAY))
    assert kept(backups, replace(SMALL, hourly=1)) == {backups[number].name for number in (2, 3, 4)}


@pytest.mark.promise("P09")
def test_while_the_newest_is_not_known_to_be_good_nothing_goes() -> None:
    many = [known("hourly", START + minutes * 60) for minutes in range(100)]
    for bad in (known("manual", START + DAY, good=False), known("manual", START + DAY, problem="cut off")):
        assert all(verdict.kept for verdict in judge([*many, bad], SMALL))


def test_manual_ones_and_those_before_a_restore_are_counted_apart() -> None:
    backups = [known(type, START + number) for number in range(4) for type in ("manual", "pre_restore")]
    names = kept(backups)
    assert len([name for name in names if "manual" in name]) == 2
    assert len([name for name in names if "pre_restore" in name]) == 1


@pytest.mark.promise("P09")
@pytest.mark.parametrize("count", [0, -1])
@pytest.mark.parametrize("type", [*SCHEDULED, "manual", "pre_restore"])
def test_a_retention_of_nothing_is_refused(type: str, count: int) -> None:
    with pytest.raises(ConfigError, match=rf"backup\.retention\.{type}"):
        decode({"backup": {"retention": {type: count}}})
    assert isinstance(decode({"backup": {"retention": {type: 1}}}), Config)


# -- by any timeline ----------------------------------------------------------------------------------


class World:
    """A host whose clock is set, whose bot crashes and whose disk rots, as far as the retention can see."""

    def __init__(self, config: RetentionConfig) -> None:
        self.config = config
        self.now = START
        self.backups: list[Known] = []
        self.made: dict[Scheduled, list[int]] = {slot: [] for slot in SCHEDULED}

    def look(self, *, works: bool = True) -> None:
        """What the job does each hour, and after each start."""
        types = due(self.backups, SCHEDULED, self.now)
        if types:
            self.make(types[-1], works=works)

    def make(self, type: Type, *, works: bool = True) -> None:
        order = max([self.now, *(backup.order + 1 for backup in self.backups)])
        name = f"backup_{type}_{order:.0f}"
        self.backups.append(Known(name, type, self.now, order, self.now if works else None))
        if works:
            self.prune()

    def damage(self, number: int) -> None:
        if self.backups:
            number %= len(self.backups)
            self.backups[number] = replace(self.backups[number], problem="rotten", verified_at=None)

    def prove(self, number: int) -> None:
        good = [place for place, backup in enumerate(self.backups) if backup.is_good]
        if good:
            place = good[number % len(good)]
            self.backups[place] = replace(self.backups[place], proven_at=self.now)

    def prune(self) -> None:
        before = tuple(self.backups)
        verdicts = judge(before, self.config)
        assert sorted(verdict.backup.name for verdict in verdicts) == sorted(backup.name for backup in before)
        names = {verdict.backup.name for verdict in verdicts if verdict.kept}
        self.backups = [backup for backup in before if backup.name in names]
        self._check(before)
        assert all(verdict.kept for verdict in judge(self.backups, self.config)), "what is kept once stays"

    def _check(self, before: tuple[Known, ...]) -> None:
        newest_first = sorted(before, key=lambda backup: -backup.order)
        if newest_first and not newest_first[0].is_good:
            assert len(self.backups) == len(before)
            return
        good = [backup for backup in newest_first if backup.is_good]
        proven = [backup for backup in good if backup.proven_at is not None]
        for newest in (*good[:1], *proven[:1]):
            assert newest in self.backups
        for slot in SCHEDULED:
            count = getattr(self.config, slot)
            assert _slots(self.backups, slot)[:count] == _slots(before, slot)[:count], "history was lost"
            places = [
                slot_of(verdict.backup.made_at, slot)
                for verdict in judge(before, self.config)
                if _is_for(verdict, slot)
            ]
            assert len(places) == len(set(places)), "a slot has two"


def _is_for(verdict: Verdict, slot: Scheduled) -> bool:
    """Whether it is kept as that of its slot."""
    return any(reason.startswith(f"{slot},") for reason in verdict.reasons)


def _slots(backups: Iterable[Known], slot: Scheduled) -> list[int]:
    """The slots that have a good backup, newest first."""
    return sorted(
        {slot_of(b.made_at, slot) for b in backups if b.is_good and covers(b.type, slot)}, reverse=True
    )  # fmt: skip


Event = Callable[[World], None]


def _waits(seconds: float) -> Event:
    def wait(world: World) -> None:
        world.now += seconds
        world.look()

    return wait


def _crashes(times: int) -> Event:
    def crash(world: World) -> None:
        for _ in range(times):
            world.now += 36
            world.look()

    return crash


def _steps(seconds: float) -> Event:
    def step(world: World) -> None:
        world.now = max(0.0, world.now + seconds)
        world.look()

    return step


EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.sampled_from([HOUR, HOUR - 1, 600, DAY, 7 * DAY, 30 * DAY]).map(_waits),
    st.integers(1, 100).map(_crashes),
    st.sampled_from([-HOUR, HOUR, -1.0, -10 * 365 * DAY, 365 * DAY, -DAY]).map(_steps),
    st.integers(0, 50).map(lambda number: lambda world: world.damage(number)),
    st.integers(0, 50).map(lambda number: lambda world: world.prove(number)),
    st.just(lambda world: world.look(works=False)),
    st.sampled_from(["manual", "pre_restore"]).map(lambda type: lambda world: world.make(type)),
)
TIMELINES = st.lists(EVENTS, min_size=1, max_size=40)
CONFIGS = st.builds(RetentionConfig, *(st.integers(1, 6) for _ in range(5)))


def live(timeline: list[Event], config: RetentionConfig) -> None:
    world = World(config)
    for event in timeline:
        event(world)
        world.prune()


@pytest.mark.promise("P09")
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(TIMELINES, CONFIGS)
def test_no_timeline_loses_the_last_good_backup_or_history(timeline: list[Event], config: RetentionConfig) -> None:
    live(timeline, config)


@pytest.mark.slow
@pytest.mark.promise("P09")
@settings(max_examples=10_000, suppress_health_check=[HealthCheck.too_slow])
@given(TIMELINES, CONFIGS)
def test_none_of_10_000_timelines_does(timeline: list[Event], config: RetentionConfig) -> None:
    live(timeline, config)


@pytest.mark.promise("P09")
def test_100_restarts_in_an_hour_evict_no_day_and_no_week() -> None:
    world = World(RetentionConfig())
    for _ in range(24 * 40):
        _waits(HOUR)(world)
    days, weeks = _slots(world.backups, "daily")[:7], _slots(world.backups, "weekly")[:4]
    assert (len(days), len(weeks)) == (7, 4)
    _crashes(100)(world)
    new = set(_slots(world.backups, "daily")[:7]) - set(days)
    assert len(new) <= 1, "an hour is in two days at most"
    assert set(days[:6]) <= set(_slots(world.backups, "daily"))
    assert set(weeks[:3]) <= set(_slots(world.backups, "weekly"))
    assert len([backup for backup in world.backups if backup.type == "hourly"]) <= 24


@pytest.mark.promise("P09")
def test_a_month_leaves_what_was_promised() -> None:
    world = World(RetentionConfig())
    for _ in range(24 * 31):
        _waits(HOUR)(world)
    assert len(_slots(world.backups, "hourly")) >= 24
    assert len([b for b in world.backups if b.type == "daily"]) + 1 >= 7
    assert len([b for b in world.backups if b.type == "weekly"]) == 4
    assert len(world.backups) <= 24 + 7 + 4


# -- when they are due --------------------------------------------------------------------------------


def test_one_archive_is_due_for_several_types() -> None:
    assert due([], SCHEDULED, START) == SCHEDULED
    assert due([], ("daily",), START) == ("daily",)
    assert due([known("weekly", START)], SCHEDULED, START + HOUR) == ("hourly",)
    assert due([known("weekly", START)], SCHEDULED, START + DAY) == ("hourly", "daily")


def test_what_was_not_verified_was_no_success() -> None:
    assert due([known("weekly", START, good=False)], SCHEDULED, START + 60) == SCHEDULED
    assert due([known("weekly", START, problem="cut off")], SCHEDULED, START + 60) == SCHEDULED


def test_a_backup_from_the_future_keeps_none_from_being_made() -> None:
    assert due([known("weekly", START + 365 * DAY)], SCHEDULED, START) == SCHEDULED


@pytest.mark.parametrize("slot", SCHEDULED)
def test_looking_once_an_hour_leaves_no_gap_of_one_and_a_half_intervals(slot: Scheduled) -> None:
    for offset in range(0, 3_600, 60):
        backups, now = [known(slot, START)], START + offset
        while not due(backups, (slot,), now):
            now += HOUR
        assert now - START < 1.4 * INTERVALS[slot]
