"""From figures to a status, and from rounds to one that is told."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.config import HealthConfig, Threshold
from socbot.systems.health.checks import STATUSES, Status, worst
from socbot.systems.health.judging import QUIET, Course, judged

LATENCY = HealthConfig().transport_ms
DISK = HealthConfig().disk_free_mb

H: Status = "healthy"
U: Status = "unknown"
D: Status = "degraded"
X: Status = "unhealthy"


@pytest.mark.parametrize(
    ("figure", "threshold", "before", "status"),
    [
        (0, LATENCY, None, H),
        (99.9, LATENCY, None, H),
        (100, LATENCY, None, D),
        (299.9, LATENCY, H, D),
        (300, LATENCY, H, X),
        (math.inf, LATENCY, H, X),
        (math.nan, LATENCY, H, U),
        (90, LATENCY, D, D),  # a tenth of the threshold better than it, or it has not recovered
        (89.9, LATENCY, D, H),
        (270, LATENCY, X, X),
        (269.9, LATENCY, X, D),
        (95, LATENCY, X, D),
        (270, LATENCY, D, D),
        (1_000.1, DISK, None, H),  # less is worse
        (1_000, DISK, None, D),
        (200, DISK, None, X),
        (1_100, DISK, D, D),
        (1_100.1, DISK, D, H),
        (220, DISK, X, X),
        (0, Threshold(1, 3), D, H),
        (0, Threshold(0, 0), D, X),
    ],
)
def test_a_figure_is_judged_by_its_threshold(
    figure: float, threshold: Threshold, before: Status | None, status: Status
) -> None:
    assert judged(figure, threshold, before, 0.1) == status


@pytest.mark.parametrize(("shipped", "bounds"), [("transport_ms", (100, 300)), ("memory_mb", (500, 1_000))])
def test_the_older_bots_bounds_are_the_defaults(shipped: str, bounds: tuple[float, float]) -> None:
    assert getattr(HealthConfig(), shipped) == Threshold(*bounds)
    assert HealthConfig().cpu_percent == Threshold(50, 80)


def test_the_worst_decides_and_unknown_is_not_healthy() -> None:
    assert worst(H, H) == H
    assert worst(H, U) == U
    assert worst(U, D) == D
    assert worst(D, X, U) == X
    assert worst() == U


def course(changes: int = 2, of: int = 3) -> Course:
    return Course(HealthConfig(changes=changes, of=of))


def run(course: Course, *votes: Status) -> list[Status | None]:
    settled = []
    for at, vote in enumerate(votes):
        course.vote(vote, float(at))
        settled.append(course.settled)
    return settled


@pytest.mark.parametrize(
    ("votes", "settled"),
    [
        ((H, X, H, H), (H, H, H, H)),  # once is nothing
        ((H, X, X), (H, H, X)),
        ((H, X, H, X), (H, H, H, X)),  # two of three
        ((H, X, H, X, H, H), (H, H, H, X, X, H)),  # what was before a change speaks for none after it
        ((H, X, H, H, X), (H, H, H, H, H)),  # two of five
        ((H, D, X), (H, H, D)),  # as bad as two of them are
        ((X, X), (None, X)),  # nothing is known until rounds agree
        ((X, H), (None, H)),
        ((H, X, X, H, H), (H, H, X, X, H)),
        ((H, X, X, D, D, H, H), (H, H, X, X, D, D, H)),
        ((H, X, X, H, D), (H, H, X, X, D)),
        ((H, U, U), (H, H, U)),
    ],
)
def test_a_status_changes_when_enough_rounds_agree(votes: tuple[Status, ...], settled: tuple[Status, ...]) -> None:
    assert tuple(run(course(), *votes)) == settled


def test_the_status_counts_from_the_first_round_that_agreed() -> None:
    kept = course()
    run(kept, H, H, X, H, X)
    assert (kept.settled, kept.since) == (X, 2.0)


def test_what_comes_and_goes_is_one_long_episode() -> None:
    settled = run(course(), *[X, X, H, H] * 25)
    began = sum(before != X and after == X for before, after in zip([H, *settled], settled, strict=False))
    assert began == 2, "the second time it has to be well four rounds running, which it never is"


def test_what_was_quiet_is_trusted_again() -> None:
    kept = course()
    run(kept, X, X, H, H, X, X)
    assert run(kept, H, H, H, H)[-2:] == [X, H]
    run(kept, *[H] * QUIET)
    assert run(kept, X, X, H, H) == [H, X, X, H]


statuses = st.sampled_from(STATUSES)
bounds = st.integers(1, 6).flatmap(lambda of: st.tuples(st.integers(1, of), st.just(of)))


@given(bounds, st.lists(statuses, max_size=200))
def test_no_status_changes_before_enough_rounds_have_agreed_since_the_last_change(
    given_bounds: tuple[int, int], votes: list[Status]
) -> None:
    changes, of = given_bounds
    kept, since = course(changes, of), 0
    for at, vote in enumerate(votes):
        before = kept.settled
        changed = kept.vote(vote, float(at))
        since += 1
        assert changed == (kept.settled != before)
        if changed:
            assert since >= changes or before is None
            assert kept.since <= at
            assert kept.settled is not None
            assert STATUSES.index(vote) != STATUSES.index(before or H) or before is None
            since = 0


@given(bounds, st.lists(statuses, max_size=60), statuses)
def test_what_stays_the_same_is_believed_in_the_end(
    given_bounds: tuple[int, int], votes: list[Status], lasting: Status
) -> None:
    kept = course(*given_bounds)
    run(kept, *votes)
    assert run(kept, *[lasting] * (QUIET + 6))[-1] == lasting


@given(st.lists(statuses, min_size=1, max_size=400))
def test_flapping_is_bounded(votes: list[Status]) -> None:
    settled = run(course(), *votes)
    began = sum(
        before in (H, None) and after not in (H, None) for before, after in zip([H, *settled], settled, strict=False)
    )
    assert began <= 4 + len(votes) / (QUIET + 2)
