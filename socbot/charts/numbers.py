"""The numbers of a chart, made fit to be drawn: gaps for what is none, round steps, no more points than can be seen."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from msgspec import Struct

from socbot.dispatch.replies import Chart

Value: TypeAlias = float | None
"""``None`` is a gap."""

_LARGEST, _SMALLEST = 1e18, 1e-12  # beyond these steps of a scale would get lost in rounding
_SIZES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


class Numbers(Struct, frozen=True):
    """What of a chart can be drawn: as many values in each series as there are labels, and the series left out."""

    labels: tuple[str, ...]
    series: dict[str, tuple[Value, ...]]
    left_out: int = 0

    def known(self) -> Iterator[float]:
        return (value for values in self.series.values() for value in values if value is not None)

    def whole(self) -> bool:
        return all(value == int(value) for value in self.known())


def numbers_of(chart: Chart, most: int) -> Numbers:
    """The first ``most`` series of ``chart``; too few labels or values are filled up."""
    names = list(chart.series)[:most]
    count = max((len(chart.labels), *(len(chart.series[name]) for name in names)))
    labels = chart.labels + ("",) * (count - len(chart.labels))
    series = {name: tuple(_values(chart.series[name], count)) for name in names}
    return Numbers(labels, series, left_out=len(chart.series) - len(names))


def _values(values: Sequence[float], count: int) -> Iterator[Value]:
    yield from map(_value, values)
    yield from (None for _ in range(count - len(values)))


def _value(value: float) -> Value:
    if not -_LARGEST <= value <= _LARGEST:  # and not for NaN
        return None
    return 0.0 if abs(value) < _SMALLEST else float(value)


class Scale(Struct, frozen=True):
    """Round steps from ``low`` to ``high``."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        """Where ``value`` is between ``low`` (0) and ``high`` (1)."""
        return (value - self.low) / (self.high - self.low)


def scale(low: float, high: float, *, whole: bool = False, steps: int = 5) -> Scale:
    """Round steps that enclose ``low`` to ``high``, in whole numbers if ``whole``."""
    high = high if high > low else low + 1
    step = round_up((high - low) / steps, whole)
    first, last = math.floor(low / step), math.ceil(high / step)
    return Scale(first * step, last * step, tuple(step * tick for tick in range(first, last + 1)))


def round_up(step: float, whole: bool) -> float:
    """The next step that people count in."""
    power = 10.0 ** math.floor(math.log10(step))
    factors = (1, 2, 5, 10) if whole else (1, 2, 2.5, 5, 10)
    rounded = next((power * factor for factor in factors if power * factor >= step * 0.999), power * 10)
    return max(rounded, 1.0) if whole else rounded


def figure(value: float) -> str:
    """``value`` in a few characters, such as ``1,532`` or ``15.3k``."""
    if value == int(value) and abs(value) < 10_000:
        return f"{int(value):,}"
    for size, letter in _SIZES:
        if abs(value) >= size * 0.9995:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def thinned(values: Sequence[Value], most: int) -> list[tuple[int, Value]]:
    """The values by position: where there are more than ``most``, the lowest and the highest of each stretch."""
    if len(values) <= most:
        return list(enumerate(values))
    length = math.ceil(len(values) / (most // 2))
    stretches = (range(start, min(start + length, len(values))) for start in range(0, len(values), length))
    return [kept for stretch in stretches for kept in _extremes(values, stretch)]


def _extremes(values: Sequence[Value], stretch: range) -> list[tuple[int, Value]]:
    known = [(value, index) for index in stretch if (value := values[index]) is not None]
    if not known:
        return [(stretch.start, None)]
    return [(index, values[index]) for index in sorted({min(known)[1], max(known)[1]})]


def highest_of_each(values: Sequence[Value], length: int) -> tuple[Value, ...]:
    """The highest value of each stretch of ``length``."""
    return tuple(highest(values[start : start + length]) for start in range(0, len(values), length))


def highest(values: Iterable[Value]) -> Value:
    return max((value for value in values if value is not None), default=None)
