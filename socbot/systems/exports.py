"""Files of data for other programs: CSV that no spreadsheet runs, and JSON.

A spreadsheet takes a cell that begins like a formula for one, also where it splits the line at another separator than
ours. So an apostrophe is set before every character that could begin a formula at such a place, and before every
apostrophe that stands there itself: ``from_csv`` takes exactly these away again.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

LONGEST_ROW = 256 * 1024
"""Characters of a row of CSV that are read, those between its cells included."""

# Full-width and small forms are folded to the ASCII ones by some spreadsheets.
_BEGINS = "=+\\-@\t\r\n\0\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212"
_SEPARATES = ',;|:\t\r\n"\0'
_UNSAFE = re.compile(f"(?:^|(?<=[{_SEPARATES}]))(?=[^\\S\t\r\n]*['{_BEGINS}])")
_MADE_SAFE = re.compile(f"(?:^|(?<=[{_SEPARATES}]))'(.?)", re.DOTALL)

_CHUNK = 1_000  # encoded at once: a longer call would hold up the event loop's thread

_to_json = msgspec.json.Encoder(decimal_format="number").encode


def to_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A table as CSV in UTF-8, every cell in quotes and none of them a formula; None is an empty cell."""
    text = io.StringIO()
    write = csv.writer(text, quoting=csv.QUOTE_ALL).writerow
    write([_safe(name) for name in header])
    for row in rows:
        write([_cell(value) for value in row])
    return text.getvalue().encode("utf-8", "replace")


class _Lines:
    """Lines of text, which is not decoded as a whole.

    :ivar left: how many more characters are read; whoever reads rows says so anew for each
    """

    def __init__(self, content: bytes) -> None:
        self._text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline="")
        self.left = LONGEST_ROW

    def __iter__(self) -> Iterator[str]:
        while line := self._text.readline(self.left + 1):
            self.left -= len(line)
            if self.left < 0:
                raise ValueError(f"a row has more than {LONGEST_ROW:,} characters")
            yield line


def from_csv(content: bytes) -> tuple[tuple[str, ...], Iterator[tuple[str, ...]]]:
    """The header and, as they are asked for, the rows of what ``to_csv`` wrote, as text, character for character.

    :raises ValueError: if it is no CSV in UTF-8, or has no header; a row that is wrong is noticed when it is asked for
    """
    rows = _rows(content)
    header = next(rows, None)
    if header is None:
        raise ValueError("no header: the file is empty")
    return header, rows


def _rows(content: bytes) -> Iterator[tuple[str, ...]]:
    lines = _Lines(content)
    reader = csv.reader(lines, strict=True)
    try:
        for row in reader:
            lines.left = LONGEST_ROW
            yield tuple(_MADE_SAFE.sub(r"\1", cell) for cell in row)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None


def to_json(document: Mapping[str, object]) -> bytes:
    """``document`` as JSON, one line for each of its members and for each item of a list among them."""
    members = (_to_json(name) + b": " + _value(value) for name, value in document.items())
    return b"{\n" + b",\n".join(members) + b"\n}\n"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) and value >= 0 else _safe(str(value))


def _safe(text: str) -> str:
    return _UNSAFE.sub("'", text)


def _value(value: object) -> bytes:
    if not isinstance(value, list | tuple):
        return _to_json(value)
    text = bytearray(b"[")
    for start in range(0, len(value), _CHUNK):
        lines = [_to_json(item) for item in value[start : start + _CHUNK]]
        text += (b",\n" if start else b"\n") + b",\n".join(lines)
    return bytes(text + b"\n]")
