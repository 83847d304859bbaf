"""Text cut into pieces that Discord takes, without a character, a moment or a code block coming apart.

Lengths are UTF-16 code units. Discord's documentation says "characters" and its API counts code points, but its
clients count units; what fits by units fits by either.
"""

import re
import unicodedata
from bisect import bisect_left
from typing import NamedTuple

_UNSOUND = re.compile(r"[\x00\ud800-\udfff]")
_LONGEST_CHARACTER = 64
"""Code points after which a run of combining marks is taken for an attack rather than for a character."""

_WHOLE = re.compile(
    r"```[\s\S]*?```|``[\s\S]+?``|`[^`]+`"  # code
    r"|\*\*[\s\S]{1,300}?\*\*"
    r"|<(?:t:-?\d{1,14}(?::[a-zA-Z])?|[@#:/a][^<>\s]{1,80})>"  # a moment, a mention, an emoji of a guild's own
    r"|\[[^\[\]\n]{1,200}\]\([^()\s]{1,300}\)"
)
_MOMENT = re.compile(r"<t:-?\d{1,14}(?::[a-zA-Z])?>")
_FENCE = re.compile(r"```(?:[\w+#.-]{1,20}(?=\n))?")
_LONGEST_CLOSING = len("\n```")
_BLANK = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})


def sound(text: str) -> str:
    """``text`` without what cannot be sent at all."""
    return _UNSOUND.sub("�", text)


def units(text: str) -> int:
    """How long Discord takes sound text for, at the most."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def is_blank(text: str) -> bool:
    """Whether nothing of it can be seen; Discord refuses such text."""
    if text and text.isascii() and text.isprintable() and not text.isspace():
        return False
    return all(letter.isspace() or unicodedata.category(letter) in _BLANK for letter in text)


class _Span(NamedTuple):
    """What should not be cut: markup from ``start`` to ``end``."""

    start: int
    end: int
    opening: str

    @property
    def closing(self) -> str:
        return "\n```" if self.opening.startswith("```") else self.opening

    @property
    def reopening(self) -> str:
        return self.opening + "\n" if self.opening.startswith("```") else self.opening

    @property
    def inside(self) -> tuple[int, int]:
        """From where to where there is something between the marks."""
        return self.start + len(self.opening) + 1, self.end - len(self.closing.strip())


def pieces(text: str, limit: int) -> list[str]:
    """Sound ``text`` in pieces of at most ``limit`` units; only white space is lost, at the cuts.

    They end at a line's end, else at a space, else between two characters as a reader sees them. Code that is open at
    a cut is closed there and opened again. What shows nothing is no piece.

    :param limit: at least 200
    """
    if units(text) <= limit:
        return [] if is_blank(text) else [text]
    return [piece for piece in _pieces(text, limit) if not is_blank(piece)]


def shortened(text: str, limit: int) -> str:
    """Sound ``text`` within ``limit`` units, an ellipsis showing what is cut off."""
    return text if units(text) <= limit else text[: _between_characters(text, 0, _fitting(text, 0, limit - 1))] + "…"


def _pieces(text: str, limit: int) -> list[str]:
    spans = _spans(text)
    found, start, opening = [], 0, ""
    while (end := _fitting(text, start, limit - len(opening))) < len(text):
        end = _fitting(text, start, limit - len(opening) - _LONGEST_CLOSING)
        cut, span = _cut(text, spans, start, end)
        found.append(opening + text[start:cut] + (span.closing if span else ""))
        start = cut + (text[cut] in "\n ")
        opening = span.reopening if span else ""
        if span and start >= span.inside[1]:
            start, opening = span.end, ""
    return [*found, opening + text[start:]]


def _spans(text: str) -> list[_Span]:
    return [_Span(*match.span(), _opening(match[0])) for match in _WHOLE.finditer(text)]


def _opening(markup: str) -> str:
    """The mark with which code begins; empty for anything else."""
    if fence := _FENCE.match(markup):
        return fence[0]
    return markup[: len(markup) - len(markup.lstrip("`"))]


def _fitting(text: str, start: int, room: int) -> int:
    """Where the longest run from ``start`` of at most ``room`` units ends."""
    encoded = text[start : start + room].encode("utf-16-le")[: 2 * room]
    return start + len(encoded.decode("utf-16-le", "ignore"))


def _cut(text: str, spans: list[_Span], start: int, end: int) -> tuple[int, _Span | None]:
    """Where to cut at ``end`` or before it, and the code that is open there."""
    cut = _between_words(text, start, end)
    span = _around(spans, cut)
    if span is None:
        return cut, None
    first, last = span.inside
    is_short = span.end - span.start <= (end - start) // 2
    if span.start > start and (is_short or cut < first or not span.opening):
        return span.start, None
    if not span.opening:  # it fills the whole piece
        return cut, None
    return max(_before_moment(text, min(cut, last)), start + 1), span


def _before_moment(text: str, cut: int) -> int:
    begun = text.rfind("<t:", max(0, cut - 20), cut + 2)
    return begun if begun >= 0 and (found := _MOMENT.match(text, begun)) and begun < cut < found.end() else cut


def _between_words(text: str, start: int, end: int) -> int:
    line = text.rfind("\n", start + (end - start) // 4, end + 1)
    space = text.rfind(" ", start + (end - start) // 2, end + 1)
    return next((at for at in (line, space) if at > start), 0) or _between_characters(text, start, end)


def _around(spans: list[_Span], cut: int) -> _Span | None:
    """The span that a cut at ``cut`` would be inside of."""
    at = bisect_left(spans, cut, key=lambda span: span.start) - 1
    return spans[at] if at >= 0 and spans[at].start < cut < spans[at].end else None


def _between_characters(text: str, start: int, end: int) -> int:
    """The last place at ``end`` or before it that is not inside of a character; ``end`` if there is none near."""
    least = max(start + 1, end - _LONGEST_CHARACTER)
    return next((at for at in range(end, least - 1, -1) if not _belongs(text, start, at)), end)


def _belongs(text: str, start: int, at: int) -> bool:
    """Whether the code points on both sides of ``at`` are one character to a reader; one begins at ``start``."""
    before, after = text[at - 1], text[at]
    return (
        _extends(after)
        or before == "\u200d"
        or unicodedata.combining(before) == 9  # a virama joins consonants
        or (_is_jamo(before) and "\u1160" <= after <= "\u11ff")
        or (_is_flag(after) and _flags_before(text, start, at) % 2 == 1)
    )


def _extends(letter: str) -> bool:
    return (
        unicodedata.category(letter) in ("Mn", "Me", "Mc")
        or letter in "\u200c\u200d"
        or "\U0001f3fb" <= letter <= "\U0001f3ff"  # a tone of skin
        or "\U000e0020" <= letter <= "\U000e007f"  # the letters of a flag's region
    )


def _is_jamo(letter: str) -> bool:
    return "\u1100" <= letter <= "\u11ff"


def _is_flag(letter: str) -> bool:
    return "\U0001f1e6" <= letter <= "\U0001f1ff"


def _flags_before(text: str, start: int, at: int) -> int:
    return next((at - 1 - each for each in range(at - 1, start - 1, -1) if not _is_flag(text[each])), at - start)
