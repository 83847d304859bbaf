"""From numbers to a chart laid out: a heading, what the colours stand for, and the plot."""

from collections.abc import Iterator

from socbot.charts.colours import colours
from socbot.charts.lettering import clean, fitted, width
from socbot.charts.marks import WIDTH, Definition, Mark, Words, box
from socbot.charts.numbers import figure, numbers_of
from socbot.charts.plots import PARTS, plot
from socbot.dispatch.replies import Chart

_MARGIN, _SIZE, _TITLE = 14.0, 13.0, 16.0
_KINDS = {"bar": "Bar chart", "line": "Line chart", "heatmap": "Heatmap", "spans": "Timeline"}


def definition(chart: Chart, title: str = "") -> Definition:
    """``chart`` laid out. Any text and any number can be in it: what cannot be shown is cut or left out."""
    marks: list[Mark] = []
    top = 8.0
    if title:
        marks.append(Words(_MARGIN, top + 19, fitted(title, WIDTH - 2 * _MARGIN, _TITLE), "text", _TITLE))
        top += 28
    legend = [] if chart.kind == "heatmap" else list(_legend(chart, top))
    top = max((mark.y for mark in legend if isinstance(mark, Words)), default=top - 6) + 10
    below, bottom = plot(chart, top)
    return Definition(bottom, (*marks, *legend, *below), describe(chart, title))


def _legend(chart: Chart, top: float) -> Iterator[Mark]:
    """The unit, then each series with its colour if there is more than one; as many lines as that takes."""
    x, y = _MARGIN, top + 15
    for text, colour in _entries(chart):
        text = fitted(text, 200, _SIZE)
        wide = width(text, _SIZE) + (17 if colour else 0)
        if x > _MARGIN and x + wide > WIDTH - _MARGIN:
            x, y = _MARGIN, y + 20
        if colour:
            yield box(x, y - 10, 11, 11, colour)
        yield Words(x + (17 if colour else 0), y, text, "text" if colour else "muted")
        x += wide + 14


def _entries(chart: Chart) -> Iterator[tuple[str, str]]:
    names = list(chart.series)
    if chart.kind == "spans":
        yield from _parts(chart)
        return
    if len(names) == 1:
        yield " · ".join(part for part in (names[0], chart.unit) if part), ""
        return
    if chart.unit:
        yield chart.unit, ""
    painted = colours(names)
    yield from zip(names, painted, strict=False)
    if len(names) > len(painted):
        yield f"and {len(names) - len(painted)} more", ""


def _parts(chart: Chart) -> Iterator[tuple[str, str]]:
    """The parts of spans, those alone that are longer than nothing."""
    if chart.unit:
        yield chart.unit, ""
    for (name, lengths), colour in zip([*chart.series.items()][1:], PARTS, strict=False):
        if any(length > 0 for length in lengths):
            yield name, colour


def describe(chart: Chart, title: str = "") -> str:
    """The chart in words, for who cannot see it: what it is, and its highest value."""
    heading = f"{clean(title)}: {_KINDS[chart.kind].lower()}" if title else _KINDS[chart.kind]
    peak = max(_points(chart), default=None)
    if peak is None:
        return f"{heading}, nothing to show yet"
    value, *place = peak
    where = ", ".join(clean(part) for part in place if part)
    most = f"{figure(value)} {clean(chart.unit)}".rstrip()
    return f"{heading}, highest {most}" + (f" ({where})" if where else "")


def _points(chart: Chart) -> Iterator[tuple[float, str, str]]:
    numbers = numbers_of(chart, len(chart.series))
    if chart.kind == "spans":
        rows = zip(*list(numbers.series.values())[1:], strict=True)
        yield from ((sum(filter(None, row)), label, "") for row, label in zip(rows, numbers.labels, strict=False))
        return
    for name, values in numbers.series.items():
        for label, value in zip(numbers.labels, values, strict=True):
            if value is not None:
                yield value, name, label
