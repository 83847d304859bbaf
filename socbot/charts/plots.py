"""The drawing of each kind of chart, below ``top``: its marks, and how far down they reach."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TypeAlias

from msgspec import Struct

from socbot.charts.colours import SERIES, colours
from socbot.charts.lettering import fitted, width
from socbot.charts.marks import WIDTH, Mark, Shape, Words, box, frame, rule
from socbot.charts.numbers import Numbers, Scale, Value, figure, highest_of_each, numbers_of, round_up, scale, thinned
from socbot.dispatch.replies import Chart

PARTS = ("series-0", "axis", "series-2", "series-3", "series-1")
"""The colours of the parts that spans are made of; the second is what they wrap, and stands back."""

_ROWS, _COLUMNS = 31, 72
_MARGIN, _SIZE, _PLOT = 14.0, 13.0, 190.0
_STEPS = (1, 2, 3, 4, 6, 12, 24, 48, 96, 168, 336)  # labels an even part of a day or a week apart
_ROOM = 110.0

Plot: TypeAlias = tuple[list[Mark], float]


class Area(Struct, frozen=True):
    """Where values are drawn, and the scale they are drawn by."""

    left: float
    top: float
    right: float
    bottom: float
    scale: Scale

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * self.scale.share(value)

    @property
    def width(self) -> float:
        return self.right - self.left


def plot(chart: Chart, top: float) -> Plot:
    """The chart without its heading."""
    if chart.kind == "spans":
        return _spans(numbers_of(chart, len(PARTS) + 1), top)
    numbers = numbers_of(chart, _ROWS if chart.kind == "heatmap" else SERIES)
    if not any(True for _ in numbers.known()):
        return _nothing(top)
    if chart.kind == "heatmap":
        return _heatmap(numbers, chart.unit, top)
    if chart.kind == "line" or len(numbers.labels) * len(numbers.series) > (WIDTH - 60) / 2:
        return _lines(numbers, top)
    return _lying(numbers, top) if _better_lying(numbers) else _bars(numbers, top)


def _nothing(top: float) -> Plot:
    return [Words(WIDTH / 2, top + 60, "nothing to show yet", anchor="middle")], top + 110


# -- bars ---------------------------------------------------------------------------------------------


def _bars(numbers: Numbers, top: float) -> Plot:
    area = _area(numbers, top, from_zero=True)
    slot = area.width / len(numbers.labels)
    each = slot * 0.76 / len(numbers.series)
    marks = list(_levels(area))
    for number, (colour, values) in enumerate(zip(colours(numbers.series), numbers.series.values(), strict=True)):
        left = area.left + slot * 0.12 + each * number
        marks += [_bar(area, left + slot * place, each, value, colour) for place, value in enumerate(values) if value]
    marks += _below(numbers.labels, lambda place: area.left + slot * (place + 0.5), slot, area.bottom)
    return marks, area.bottom + 32


def _bar(area: Area, x: float, wide: float, value: float, colour: str) -> Shape:
    ends = sorted((area.y(0), area.y(value)))
    return box(x, ends[0], wide - min(1.0, wide / 4), max(ends[1] - ends[0], 1.0), colour)


def _better_lying(numbers: Numbers) -> bool:
    """Whether these are things by name, too long to stand side by side; a time starts with a digit."""
    slot = (WIDTH - 60) / max(len(numbers.labels), 1)
    names = [label for label in numbers.labels if not label[:1].isdigit()]
    few = len(numbers.series) == 1 and len(numbers.labels) <= 20 and min(numbers.known()) >= 0
    return few and any(width(name[:40], _SIZE) > slot - 6 for name in names)


def _lying(numbers: Numbers, top: float) -> Plot:
    """One bar below the other, the name before it and the value after it."""
    values = next(iter(numbers.series.values()))
    names = [fitted(label, 170, _SIZE) for label in numbers.labels]
    written = [figure(value or 0) for value in values]
    left = _MARGIN + max(width(name, _SIZE) for name in names) + 8
    full = WIDTH - _MARGIN - max(width(text, _SIZE) for text in written) - 8 - left
    longest = max(value or 0 for value in values) or 1.0
    marks: list[Mark] = []
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        y, wide = top + 4 + 26 * place, max(full * (value or 0) / longest, 1.5)
        marks += [
            Words(left - 8, y + 14, name, "text", anchor="end"),
            box(left, y, wide, 19, "series-0"),
            Words(left + wide + 6, y + 14, written[place]),
        ]
    return marks, top + 26 * len(names) + _MARGIN


# -- lines --------------------------------------------------------------------------------------------


def _lines(numbers: Numbers, top: float) -> Plot:
    area = _area(numbers, top, from_zero=False)
    last = max(len(numbers.labels) - 1, 1)

    def x(place: int) -> float:
        return area.left + area.width * place / last if len(numbers.labels) > 1 else area.left + area.width / 2

    marks = list(_levels(area))
    for colour, values in zip(colours(numbers.series), numbers.series.values(), strict=True):
        points = thinned(values, int(area.width))
        for known, run in groupby(points, key=lambda point: point[1] is not None):
            if known:
                marks += _line([(x(place), area.y(value or 0.0)) for place, value in run], colour, area, numbers)
    marks += _below(numbers.labels, x, area.width / last, area.bottom)
    return marks, area.bottom + 32


def _line(points: Sequence[tuple[float, float]], colour: str, area: Area, numbers: Numbers) -> Iterator[Shape]:
    if len(points) == 1:
        yield box(points[0][0] - 2, points[0][1] - 2, 4, 4, colour)
        return
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    if len(numbers.series) == 1 and area.scale.low == 0:
        yield Shape(f"{path}V{area.bottom:.1f}H{points[0][0]:.1f}z", colour, opacity=0.18)
    yield Shape(path, colour, stroke=2.0)


# -- heatmaps -----------------------------------------------------------------------------------------


def _heatmap(numbers: Numbers, unit: str, top: float) -> Plot:
    numbers = _narrowed(numbers)
    names = [fitted(name, 100, _SIZE) for name in numbers.series]
    left = _MARGIN + max(width(name, _SIZE) for name in names) + 8
    wide = (WIDTH - _MARGIN - left) / len(numbers.labels)
    high = min(max(wide, 14.0), 26.0)
    top += 4
    marks: list[Mark] = []
    for row, values in enumerate(numbers.series.values()):
        y = top + high * row
        marks.append(Words(left - 8, y + high / 2 + 4.5, names[row], anchor="end"))
        marks += _cells(values, left, y, wide, high, max(numbers.known()))
    marks.append(_busiest(numbers, left, top, wide, high))
    bottom = top + high * len(numbers.series)
    marks += _below(numbers.labels, lambda place: left + wide * (place + 0.5), wide, bottom)
    marks += _key(max(numbers.known()), unit, bottom + 33)
    return marks, bottom + 56


def _narrowed(numbers: Numbers) -> Numbers:
    """Columns put together where there are too many: the highest of each stands for them."""
    length = math.ceil(len(numbers.labels) / _COLUMNS)
    series = {name: highest_of_each(values, length) for name, values in numbers.series.items()}
    return Numbers(numbers.labels[::length], series, numbers.left_out)


def _cells(values: Sequence[Value], left: float, y: float, wide: float, high: float, most: float) -> Iterator[Shape]:
    gap = min(2.0, wide / 5)
    for place, value in enumerate(values):
        if value is not None:
            yield box(left + wide * place, y, wide - gap, high - 2, f"heat-{_heat(value, most)}")


def _heat(value: float, most: float) -> int:
    """0 for nothing, then 1 to 6."""
    return 1 + min(int(6 * value / most), 5) if value > 0 else 0


def _busiest(numbers: Numbers, left: float, top: float, wide: float, high: float) -> Shape:
    rows = list(numbers.series.values())
    cells = [
        (value, -row, -place)
        for row, values in enumerate(rows)
        for place, value in enumerate(values)
        if value is not None
    ]
    _, row, place = max(cells)
    return frame(left - wide * place - 1, top - high * row - 1, wide - min(2.0, wide / 5) + 2, high, "text")


def _key(most: float, unit: str, y: float) -> Iterator[Mark]:
    """What the colours mean: from nothing to the most."""
    text = fitted(f"{figure(max(most, 0))} {unit}".rstrip(), 200, _SIZE)
    left = WIDTH - _MARGIN - width(text, _SIZE) - 7 * 17 - 6
    yield Words(left - 6, y + 11, "0", anchor="end")
    for level in range(7):
        yield box(left + 17 * level, y, 15, 12, f"heat-{level}")
    yield Words(left + 7 * 17 + 4, y + 11, text)


# -- spans --------------------------------------------------------------------------------------------


def _spans(numbers: Numbers, top: float) -> Plot:
    """One row below the other, each beginning where it begins; the scale is below."""
    rows = list(_rows(numbers))[:_ROWS]
    end = max((begin + sum(parts) for _, begin, parts in rows if any(parts)), default=0.0)
    if end <= 0:
        return _nothing(top)
    names = [fitted(name, 190, _SIZE) for name, _, _ in rows]
    left, right = _MARGIN + max(width(name, _SIZE) for name in names) + 8, WIDTH - _MARGIN - 8.0
    bottom = top + 4 + 24 * len(rows)
    steps = scale(0.0, end, steps=4)
    marks: list[Mark] = []
    for tick in steps.ticks:
        x = left + (right - left) * steps.share(tick)
        marks.append(Shape(f"M{x:.1f} {top + 2:.1f}v{bottom - top:.1f}", "grid", stroke=1.0))
        marks.append(Words(x, bottom + 19, figure(tick), anchor="middle"))
    for place, (_, begin, parts) in enumerate(rows):
        y = top + 4 + 24 * place
        marks.append(Words(left - 8, y + 14, names[place], "text", anchor="end"))
        marks += _parts(begin, parts, left, right - left, y, steps)
    return marks, bottom + 32


def _rows(numbers: Numbers) -> Iterator[tuple[str, float, list[float]]]:
    """Each row's name, where it begins, and its parts; what is less than nothing is nothing."""
    columns = list(numbers.series.values()) or [(None,) * len(numbers.labels)]
    for place, label in enumerate(numbers.labels):
        begin, *parts = (max(values[place] or 0.0, 0.0) for values in columns)
        yield label, begin, parts


def _parts(begin: float, parts: Sequence[float], left: float, room: float, y: float, scale: Scale) -> Iterator[Shape]:
    boxes = []
    for number, part in enumerate(parts):
        if part:
            x, wide = left + room * scale.share(begin), max(room * part / scale.high, 1.5)
            boxes.append((wide, number, min(x, left + room - 1.5)))
        begin += part
    for wide, number, x in sorted(boxes, reverse=True):  # the shortest last, so that none hides it
        high, lower = (16, 0) if number != 1 else (8, 4)
        yield box(x, y + 1 + lower, min(wide, left + room + 1.5 - x), high, PARTS[number])


# -- axes ---------------------------------------------------------------------------------------------


def _area(numbers: Numbers, top: float, *, from_zero: bool) -> Area:
    low, high = min(numbers.known()), max(numbers.known())
    close = low > high / 2 and high - low > high * 1e-6  # far from nothing, so that nothing would flatten it
    low = low if close and not from_zero else min(low, 0.0)
    steps = scale(low, max(high, 0.0), whole=numbers.whole())
    left = _MARGIN + max(width(figure(tick), _SIZE) for tick in steps.ticks) + 6
    return Area(left, top + 8, WIDTH - _MARGIN - 4, top + 8 + _PLOT, steps)


def _levels(area: Area) -> Iterator[Mark]:
    for tick in area.scale.ticks:
        yield rule(area.left, area.y(tick), area.width, "axis" if tick == 0 else "grid")
        yield Words(area.left - 7, area.y(tick) + 4.5, figure(tick), anchor="end")


def _below(labels: Sequence[str], x: Callable[[int], float], slot: float, bottom: float) -> Iterator[Words]:
    """As many of the labels as there is room for, evenly."""
    widest = min(max(width(label[:20], _SIZE) for label in labels), _ROOM)
    needed = max((widest + 14) / slot, 1.0)
    step = next((step for step in _STEPS if step >= needed), int(round_up(needed, whole=True)))
    for place in range(0, len(labels), step):
        text = fitted(labels[place], max(slot * step - 6, 20.0), _SIZE)
        half = width(text, _SIZE) / 2
        middle = min(max(x(place), half + 4), WIDTH - half - 4)
        yield Words(middle, bottom + 19, text, anchor="middle")
