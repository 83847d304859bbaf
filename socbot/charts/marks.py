"""What a chart is made of once it is laid out: shapes and words, each at its place and in a colour by name."""

from typing import Literal, TypeAlias

from msgspec import Struct

WIDTH = 480
"""How wide every chart is, in its own units; a phone shows it at about three quarters of that."""

Anchor: TypeAlias = Literal["start", "middle", "end"]


class Shape(Struct, frozen=True, tag="shape"):
    """A path as SVG writes it; a line if it has a ``stroke``, otherwise filled."""

    path: str
    colour: str
    stroke: float = 0.0
    opacity: float = 1.0


class Words(Struct, frozen=True, tag="words"):
    """Text whose baseline is at ``y``."""

    x: float
    y: float
    text: str
    colour: str = "muted"
    size: float = 13.0
    anchor: Anchor = "start"


Mark: TypeAlias = Shape | Words


class Definition(Struct, frozen=True):
    """A chart laid out.

    :param alt: the chart in words, for who cannot see it
    """

    height: float
    marks: tuple[Mark, ...]
    alt: str
    width: int = WIDTH


def box(x: float, y: float, width: float, height: float, colour: str) -> Shape:
    """A rectangle with slightly rounded corners."""
    r = min(2.0, width / 2, height / 2)
    across, down = width - 2 * r, height - 2 * r
    path = (
        f"M{x + r:.1f} {y:.1f}h{across:.2f}q{r:.2f} 0 {r:.2f} {r:.2f}v{down:.2f}q0 {r:.2f} {-r:.2f} {r:.2f}"
        f"h{-across:.2f}q{-r:.2f} 0 {-r:.2f} {-r:.2f}v{-down:.2f}q0 {-r:.2f} {r:.2f} {-r:.2f}z"
    )
    return Shape(path, colour)


def frame(x: float, y: float, width: float, height: float, colour: str) -> Shape:
    """The outline of a rectangle."""
    return Shape(f"M{x:.1f} {y:.1f}h{width:.2f}v{height:.2f}h{-width:.2f}z", colour, stroke=1.5)


def rule(x: float, y: float, width: float, colour: str = "grid") -> Shape:
    """A level line."""
    return Shape(f"M{x:.1f} {y:.1f}h{width:.1f}", colour, stroke=1.0)
