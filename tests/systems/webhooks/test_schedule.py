"""When a delivery that failed is tried again."""

from itertools import count, pairwise, takewhile
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.systems.webhooks.schedule import Schedule


def moments(schedule: Schedule) -> list[float]:
    """When each try is made, in seconds after the first."""
    found = [0.0]
    for tries in count(1):
        wait = schedule.after(tries, found[-1])
        if wait is None:
            return found
        found.append(found[-1] + wait)
    raise AssertionError


@pytest.mark.promise("P41")
@given(
    tries=st.integers(min_value=1, max_value=50),
    span=st.floats(min_value=60, max_value=2_592_000),
    seed=st.integers(min_value=0, max_value=2**32),
)
def test_so_many_tries_the_last_when_the_span_is_over(tries: int, span: float, seed: int) -> None:
    found = moments(Schedule(tries, span, Random(seed)))
    assert len(found) == tries
    assert found == sorted(found)
    if tries > 1:
        assert found[-1] == pytest.approx(span)


@pytest.mark.promise("P41")
def test_waits_grow_and_are_spread_over_all_of_their_range() -> None:
    waits: list[list[float]] = [[] for _ in range(8)]
    for seed in range(2_000):
        schedule = Schedule(10, 86_400.0, Random(seed))
        for number, wait in enumerate(waits, 1):
            wait.append(schedule.after(number, 0.0) or 0.0)
    longest = [max(wait) for wait in waits]
    assert longest[0] == pytest.approx(5, rel=0.01)
    assert all(2.5 < later / earlier < 4 for earlier, later in pairwise(longest))
    for wait, most in zip(waits, longest, strict=True):
        assert sum(wait) / len(wait) == pytest.approx(most / 2, rel=0.1), "full jitter"
        assert min(wait) < most / 20


def test_a_delivery_that_waited_long_behind_others_has_its_tries_all_the_same() -> None:
    schedule = Schedule(10, 86_400.0, Random(1))
    waits = list(takewhile(lambda wait: wait is not None, (schedule.after(tries, 200_000.0) for tries in count(1))))
    assert len(waits) == 9
