"""Text for a picture: cleaned of what does not show, and cut to the room there is."""

import unicodedata
from itertools import islice

_LONGEST = 80
_MARKS_IN_A_ROW = 2  # what any script needs; more would climb over the rest of the picture
_WIDTHS = {
    letter: width
    for letters, width in {
        " .,:;'!|iIjl`-": 0.3,
        '/()[]{}frt"·*': 0.42,
        "_ckJLsvxyz?0123456789abdeghnopquEF": 0.57,
        "ABCDGHKNOPQRSTUVXYZ#+<=>~^$&": 0.72,
        "mwMW@%…": 0.9,
    }.items()
    for letter in letters
}


def clean(text: str) -> str:
    """One short line of ``text`` without control, direction or unassigned characters, or towers of accents."""
    kept: list[str] = []
    marks = 0
    for letter in islice(text, _LONGEST + 1):
        category = unicodedata.category(letter)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks <= _MARKS_IN_A_ROW:
            kept.append("�" if category[0] == "C" else " " if category[0] == "Z" else letter)
    return "".join(kept[:_LONGEST]) + ("…" if len(text) > _LONGEST else "")


def width(text: str, size: float) -> float:
    """About how wide ``text`` is; rather too much than too little."""
    return size * sum(_WIDTHS.get(letter, 0.75 if letter < "\u0530" else 1.1) for letter in text)


def fitted(text: str, room: float, size: float) -> str:
    """As much of ``text`` as fits, with an ellipsis for the rest."""
    text = clean(text)
    if width(text, size) <= room:
        return text
    while text and width(text + "…", size) > room:
        text = text[:-1]
    return text.rstrip() + "…"
