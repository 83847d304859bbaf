"""A strip: how something was in each part of a time, as cells in a row."""

from collections.abc import Sequence
from html import escape
from typing import Literal, TypeAlias

Tone: TypeAlias = Literal["good", "warn", "bad", "none"]

_CELL, _GAP, _HEIGHT = 10, 2, 24


def strip_svg(cells: Sequence[tuple[Tone, str]], alt: str) -> str:
    """An element for a page, in the colours that ``strip-{tone}`` has there.

    :param cells: oldest first, each with what is told of it to who points at it, unless all is well
    """
    paths: dict[Tone, str] = {}
    told: list[str] = []
    for number, (tone, text) in enumerate(cells):
        x = number * _CELL
        if text and tone != "good":
            title = f"<title>{escape(text)}</title>"
            told.append(f'<rect class="strip-{tone}" x="{x}" width="{_CELL - _GAP}" height="{_HEIGHT}">{title}</rect>')
        else:
            paths[tone] = paths.get(tone, "") + f"M{x} 0h{_CELL - _GAP}v{_HEIGHT}h-{_CELL - _GAP}z"
    drawn = "".join(f'<path class="strip-{tone}" d="{path}"/>' for tone, path in paths.items())
    width = max(1, len(cells)) * _CELL - _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="strip" viewBox="0 0 {width} {_HEIGHT}"'
        f' preserveAspectRatio="none" role="img" aria-label="{escape(alt)}">{drawn}{"".join(told)}</svg>'
    )
