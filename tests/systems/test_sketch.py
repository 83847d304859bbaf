import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.systems.sketch import Sketch

durations = st.lists(st.floats(min_value=0.0, max_value=1e6, allow_nan=False), min_size=1, max_size=300)
shares = st.sampled_from([0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0])


def exact(values: list[float], share: float) -> float:
    """The nearest-rank percentile."""
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


def sketch_of(values: list[float]) -> Sketch:
    sketch = Sketch()
    sketch.add(values)
    return sketch


@given(durations, shares)
def test_every_quantile_is_within_half_a_percent(values: list[float], share: float) -> None:
    assert sketch_of(values).quantile(share) == pytest.approx(exact(values, share), rel=0.00501, abs=1e-9)


@given(durations, st.integers(0, 300), shares)
def test_two_merged_sketches_are_the_sketch_of_both(values: list[float], cut: int, share: float) -> None:
    merged, whole = sketch_of(values[:cut]), sketch_of(values)
    merged.merge(sketch_of(values[cut:]))
    assert merged.count == whole.count
    assert (merged.least, merged.most) == (whole.least, whole.most)
    assert merged.total == pytest.approx(whole.total)
    assert merged.quantile(share) == whole.quantile(share)


@given(durations)
def test_a_sketch_survives_being_stored(values: list[float]) -> None:
    sketch = sketch_of(values)
    again = Sketch.from_bytes(sketch.to_bytes())
    assert (again.count, again.total, again.least, again.most) == (
        sketch.count, sketch.total, sketch.least, sketch.most,
    )  # fmt: skip
    assert [again.quantile(p / 100) for p in range(101)] == [sketch.quantile(p / 100) for p in range(101)]


@pytest.mark.promise("P53")
def test_percentiles_hold_at_a_hundred_thousand_runs() -> None:
    runs = random.Random(7)
    values = [runs.lognormvariate(-4, 1.5) for _ in range(100_000)]
    sketch = Sketch()
    for start in range(0, len(values), 1_000):
        sketch.merge(sketch_of(values[start : start + 1_000]))
    for share in (0.5, 0.95, 0.99):
        assert sketch.quantile(share) == pytest.approx(exact(values, share), rel=0.0051)
    assert len(sketch.to_bytes()) < 4_096


def test_an_empty_sketch_has_no_runs_and_changes_nothing() -> None:
    sketch = sketch_of([0.2])
    sketch.merge(Sketch())
    sketch.add([])
    assert (sketch.count, sketch.quantile(0.5)) == (1, 0.2)
    assert (Sketch().count, Sketch().mean, Sketch().quantile(0.99)) == (0, 0.0, 0.0)
    assert Sketch.from_bytes(Sketch().to_bytes()).count == 0


def test_what_no_clock_can_measure_counts_as_zero_or_as_the_longest() -> None:
    sketch = sketch_of([math.nan, -1.0, 0.0, 1e300])
    assert sketch.count == 4
    assert sketch.quantile(0.5) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\x01",
        b"\xc1",
        b"\x95\x01\x02\x03\xce\x7f\xff\xff\xff\x91\x01",
        b"\x96\x01\x02\x03\x04\x90" + b"\x91" * 100_000,
    ],
    ids=range(5),
)
def test_what_is_no_sketch_is_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match="not a sketch"):
        Sketch.from_bytes(packed)
