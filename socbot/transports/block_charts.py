"""Charts drawn with characters, for where no picture can be shown."""

from collections.abc import Iterable
from math import isfinite

from socbot.dispatch.replies import Chart

_BARS = " ▁▂▃▄▅▆▇█"
_PARTS = "█─█▒█"  # of a span; the second is what it wraps
_SPAN = 40


def chart_text(chart: Chart) -> str:
    """A chart in block characters: a line for each series, with its highest value; of spans, one for each label."""
    if chart.kind == "spans":
        return "\n".join(_spans(chart))
    lines = []
    width = max((len(name) for name in chart.series), default=0)
    highest = _highest(value for values in chart.series.values() for value in values)
    for name, values in chart.series.items():
        own = _highest(values)
        drawn = "".join(_bar(value, highest if chart.kind == "heatmap" else own) for value in values)
        lines.append(f"{name:<{width}} {drawn} max {own:g} {chart.unit}".rstrip())
    if chart.labels:
        lines.append(f"{'':<{width}} {chart.labels[0]} … {chart.labels[-1]}")
    return "\n".join(lines)


def _spans(chart: Chart) -> Iterable[str]:
    begins, *parts = chart.series.values() or ((),)
    rows = []
    for place, label in enumerate(chart.labels):
        begin, *lengths = (_length(values[place]) if place < len(values) else 0.0 for values in (begins, *parts))
        rows.append((label, begin, lengths))
    end = max((begin + sum(lengths) for _, begin, lengths in rows if any(lengths)), default=0.0)
    wide = max(map(len, chart.labels), default=0)
    for label, begin, lengths in rows:
        drawn = ""
        for number, length in enumerate(lengths):
            begin += length
            if length:
                drawn += _PARTS[number % len(_PARTS)] * max(1, round(_SPAN * length / end))
        before = " " * min(round(_SPAN * (begin - sum(lengths)) / end), _SPAN) if end else ""
        yield f"{label:<{wide}} {before}{drawn}"[: wide + 1 + _SPAN].rstrip()
    if end:
        yield f"{'':<{wide}} 0 … {end:.4g} {chart.unit}".rstrip()


def _length(value: float) -> float:
    return min(value, 1e18) if isfinite(value) and value > 0 else 0.0


def _highest(values: Iterable[float]) -> float:
    return max(filter(isfinite, values), default=0.0)


def _bar(value: float, top: float) -> str:
    if top <= 0 or not 0 < value <= top:  # neither is what is no number
        return " "
    return _BARS[round(8 * (value / top))]
