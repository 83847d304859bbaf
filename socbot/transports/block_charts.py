"""Charts drawn with characters, for where no picture can be shown."""

from collections.abc import Iterable
from math import isfinite

from socbot.dispatch.replies import Chart

_BARS = " ▁▂▃▄▅▆▇█"


def chart_text(chart: Chart) -> str:
    """A chart in block characters: a line for each series, with its highest value."""
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


def _highest(values: Iterable[float]) -> float:
    return max(filter(isfinite, values), default=0.0)


def _bar(value: float, top: float) -> str:
    if top <= 0 or not 0 < value <= top:  # neither is what is no number
        return " "
    return _BARS[round(8 * (value / top))]
