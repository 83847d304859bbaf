"""A chart laid out, written as SVG: with colours of its own for a picture, or with classes for a page."""

from collections.abc import Callable, Mapping
from html import escape
from typing import TypeAlias

from socbot.charts.marks import Definition, Mark, Shape

DARK: Mapping[str, str] = {
    "back": "#2b2d31",
    "text": "#f2f3f5",
    "muted": "#b5bac1",
    "grid": "#3d3f45",
    "axis": "#6d6f78",
    "series-0": "#5b9cf6",
    "series-1": "#f0b232",
    "series-2": "#3fc1a0",
    "series-3": "#f4728c",
    "series-4": "#b18cf5",
    "series-5": "#9aa0a8",
    "heat-0": "#383a40",
    "heat-1": "#2a4b7c",
    "heat-2": "#2c6f9f",
    "heat-3": "#2e95a8",
    "heat-4": "#4fb993",
    "heat-5": "#a3d468",
    "heat-6": "#f7e04b",
}
LIGHT: Mapping[str, str] = {
    "back": "#ffffff",
    "text": "#1e1f22",
    "muted": "#4e5058",
    "grid": "#e3e5e8",
    "axis": "#a5a8af",
    "series-0": "#2368c9",
    "series-1": "#c27803",
    "series-2": "#0f8a6a",
    "series-3": "#c8304f",
    "series-4": "#7b4bd0",
    "series-5": "#6b7078",
    "heat-0": "#eceef1",
    "heat-1": "#d3e5f6",
    "heat-2": "#a3cbea",
    "heat-3": "#66a9da",
    "heat-4": "#3380bd",
    "heat-5": "#1c5893",
    "heat-6": "#0a3160",
}

Paint: TypeAlias = Callable[[str], str]
"""A colour by name, as the attributes of an element that is painted in it."""


def picture_svg(definition: Definition, palette: Mapping[str, str]) -> str:
    """A whole document on a ground of its own."""
    body = _body(definition, lambda name: f'fill="{palette[name]}" stroke="{palette[name]}"')
    ground = f'<rect width="{definition.width}" height="{definition.height:.0f}" fill="{palette["back"]}"/>'
    return f'<svg {_frame(definition)} font-family="Roboto">{ground}{body}</svg>'


def page_svg(definition: Definition) -> str:
    """An element for a page: no colours, styles, scripts or addresses, only classes that ``STYLE`` has rules for."""
    body = _body(definition, lambda name: f'class="chart-{name}"')
    return f'<svg {_frame(definition)} class="chart" role="img" aria-label="{escape(definition.alt)}">{body}</svg>'


def _frame(definition: Definition) -> str:
    size = f"{definition.width} {definition.height:.0f}"
    return f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}"'


def _body(definition: Definition, paint: Paint) -> str:
    return "".join(_element(mark, paint) for mark in definition.marks)


def _element(mark: Mark, paint: Paint) -> str:
    colour = paint(mark.colour)
    if isinstance(mark, Shape):
        kind = f'stroke-width="{mark.stroke:g}" fill-opacity="0"' if mark.stroke else 'stroke-width="0"'
        return f'<path d="{mark.path}" {colour} {kind} stroke-linejoin="round" opacity="{mark.opacity:g}"/>'
    place = f'x="{mark.x:.1f}" y="{mark.y:.1f}" font-size="{mark.size:g}" text-anchor="{mark.anchor}"'
    return f'<text {place} {colour} stroke-width="0">{escape(mark.text)}</text>'


def _colours(palette: Mapping[str, str]) -> str:
    return "".join(f"--chart-{name}:{colour};" for name, colour in palette.items())


STYLE = (
    ".chart{width:100%;max-width:720px;font-family:system-ui,sans-serif}"
    + "".join(f".chart-{name}{{fill:var(--chart-{name});stroke:var(--chart-{name})}}" for name in LIGHT)
    + f":root{{{_colours(LIGHT)}}}"
    + f"@media(prefers-color-scheme:dark){{:root:not([data-theme=light]){{{_colours(DARK)}}}}}"
    + f":root[data-theme=dark]{{{_colours(DARK)}}}"
)
"""The style sheet for ``page_svg``: light, or dark where the reader prefers that or has chosen it (``data-theme``)."""
