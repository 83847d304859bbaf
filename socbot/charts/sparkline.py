"""A sparkline: a few numbers as a line no higher than the words it stands among."""

from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT, _EDGE = 100.0, 24.0, 2.0


def sparkline_svg(values: Sequence[float], alt: str, tone: str = "plain") -> str:
    """An element for a page, in the colour that ``spark-{tone}`` has there; what is no number counts as none."""
    known = [value if 0 <= value < 1e18 else 0.0 for value in values]
    most = max(known, default=0.0) or 1.0
    step = _WIDTH / max(1, len(known) - 1)
    points = [
        f"{number * step:.1f} {_HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * value / most:.1f}"
        for number, value in enumerate(known)
    ]
    line = "M" + "L".join(points) if len(points) > 1 else ""
    area = f"{line}L{_WIDTH:.0f} {_HEIGHT:.0f}L0 {_HEIGHT:.0f}z" if line else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="spark spark-{tone}" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}"'
        f' preserveAspectRatio="none" role="img" aria-label="{escape(alt)}">'
        f'<path class="spark-area" d="{area}"/><path class="spark-line" d="{line}"/></svg>'
    )
