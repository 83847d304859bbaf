import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.systems.rate_limit.quota import TOLERANCE, Quota

# Moment, cost, then: is it admitted, how many are left, when all is back, how long to wait. A burst of 5, one a second.
CASES = [
    (0.0, 6, False, 5, 0.0, math.inf),
    (0.0, 1, True, 4, 1.0, 0.0),
    (0.0, 1, True, 3, 2.0, 0.0),
    (0.0, 1, True, 2, 3.0, 0.0),
    (0.0, 1, True, 1, 4.0, 0.0),
    (0.0, 1, True, 0, 5.0, 0.0),
    (0.0, 1, False, 0, 5.0, 1.0),
    (3.0, 1, True, 2, 3.0, 0.0),
    (3.1, 1, True, 1, 3.9, 0.0),
    (4.0, 1, True, 1, 4.0, 0.0),
    (8.0, 1, True, 4, 1.0, 0.0),
    (9.5, 1, True, 4, 1.0, 0.0),
    (9.5, 0, True, 4, 1.0, 0.0),
    (9.5, 2, True, 2, 3.0, 0.0),
    (9.5, 5, False, 2, 3.0, 3.0),
]


@pytest.mark.promise("P31")
def test_the_table_that_limiters_share() -> None:
    quota = Quota(5, 5.0)
    back_at = 0.0
    for now, cost, admitted, left, reset, retry in CASES:
        back_at, wait = quota.use(back_at, now, cost)
        assert (wait == 0.0) is admitted
        assert quota.burst - quota.used(back_at, now) == left
        assert max(0.0, back_at - now) == pytest.approx(reset)
        assert wait == pytest.approx(retry)


@pytest.mark.promise("P31")
@given(
    burst=st.integers(1, 50),
    window=st.floats(0.001, 3600),
    gaps=st.lists(st.floats(0, 1).map(lambda part: part**4), max_size=120),
    start=st.floats(0, 1e7),
)
def test_no_span_admits_more_than_the_burst_and_what_came_back(
    burst: int, window: float, gaps: list[float], start: float
) -> None:
    quota, back_at, now = Quota(burst, window), 0.0, start
    admitted = []
    for gap in gaps:
        now += gap * window
        back_at, wait = quota.use(back_at, now)
        if not wait:
            admitted.append(now)
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            span = admitted[last] - admitted[first]
            assert last - first + 1 <= burst * (1 + (span + 2 * TOLERANCE) / window) + 1e-6


@pytest.mark.promise("P31")
@given(
    burst=st.integers(1, 50), window=st.floats(0.1, 3600), now=st.floats(0, 1e6), ahead=st.floats(0, 2), data=st.data()
)
def test_the_wait_that_is_told_is_enough_and_a_millisecond_less_is_not(
    burst: int, window: float, now: float, ahead: float, data: st.DataObject
) -> None:
    quota = Quota(burst, window)
    cost = data.draw(st.integers(1, burst))
    back_at, wait = quota.use(now + ahead * window, now, cost)
    if wait:
        assert quota.use(back_at, now + wait, cost)[1] == 0.0
        if wait > 0.001:
            assert quota.use(back_at, now + wait - 0.001, cost)[1] > 0.0


@pytest.mark.promise("P31")
@pytest.mark.parametrize(
    ("burst", "window"), [(0, 60.0), (-1, 60.0), (5, 0.0), (5, -1.0), (5, math.inf), (5, math.nan)]
)
def test_a_quota_that_would_admit_nothing_is_refused(burst: int, window: float) -> None:
    with pytest.raises(ValueError, match=r"burst|window"):
        Quota(burst, window)


@pytest.mark.promise("P31")
def test_what_costs_more_than_the_burst_is_never_admitted_and_uses_nothing() -> None:
    assert Quota(5, 60.0).use(100.0, 90.0, 6) == (100.0, math.inf)


def test_nobody_owes_more_than_the_burst_after_the_window_was_shortened() -> None:
    back_at, _ = Quota(10, 3600.0).use(0.0, 3500.0)
    back_at, wait = Quota(10, 10.0).use(3500.0 + 3000.0, 3500.0)
    assert (back_at, wait) == (3510.0, 1.0)
