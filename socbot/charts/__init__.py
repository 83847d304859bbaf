"""Charts as pictures for chat and as SVG for a page. Both are drawn here, from one definition, without a browser.

The font is a part of Roboto (Latin, Greek, Cyrillic; see ``roboto-license.txt``): a bare container has none.
"""

from socbot.charts.definition import definition, describe
from socbot.charts.pictures import picture
from socbot.charts.sparkline import sparkline_svg
from socbot.charts.strip import Tone, strip_svg
from socbot.charts.svg import STYLE, page_svg

__all__ = ["STYLE", "Tone", "definition", "describe", "page_svg", "picture", "sparkline_svg", "strip_svg"]
