import csv
import io
import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from socbot.systems.exports import from_csv, to_csv, to_json

TRIGGERS = "=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20"
SEPARATORS = ',;|\t\r\n"'
hostile = st.text(alphabet=st.one_of(st.sampled_from(TRIGGERS + SEPARATORS + "' "), st.characters(codec="utf-8")))
tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(hostile, min_size=width, max_size=width), min_size=1, max_size=5)
)


@pytest.mark.promise("P22")
@settings(max_examples=2_000)
@given(hostile)
@example("=1+1")
@example("x;=1+1")
@example("\",=cmd|' /C calc'!A0")
@example("  =1")
@example("\uff1d1")
def test_no_cell_begins_a_formula(text: str) -> None:
    content = to_csv(["name"], [[text]])
    cell = list(csv.reader(io.StringIO(content.decode(), newline="")))[1][0]
    assert cell.lstrip(" ")[:1] not in TRIGGERS or not cell.strip(" ")
    # Nor where a program splits at another separator, or does not understand quotes.
    for piece in re.split(f"[{re.escape(SEPARATORS)}]", cell):
        assert not piece or piece[0] not in TRIGGERS


@pytest.mark.promise("P22")
@settings(max_examples=2_000)
@given(tables)
@example([["'"], ["''="], ["\t'=\t"], ["' '"]])
def test_a_table_comes_back_character_for_character(table: list[list[str]]) -> None:
    header, *rows = table
    found, table_again = from_csv(to_csv(header, rows))
    assert (found, list(table_again)) == (tuple(header), [tuple(row) for row in rows])


def test_numbers_and_nothing_are_readable() -> None:
    assert to_csv(["a", "b", "c"], [[1, 2.5, None]]) == b'"a","b","c"\r\n"1","2.5",""\r\n'
    assert list(from_csv(to_csv(["a"], [[-5]]))[1]) == [("-5",)]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'"a"x,b\r\n'])
def test_what_is_no_csv_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"header|decode|line 1"):
        from_csv(content)


def test_json_has_one_line_for_each_row() -> None:
    rows = [{"id": n, "text": "a\nb"} for n in range(2_500)]
    content = to_json({"version": 1, "rows": rows, "empty": [], "nested": {"a": None}})
    assert json.loads(content) == {"version": 1, "rows": rows, "empty": [], "nested": {"a": None}}
    assert content.count(b"\n") > 2_500
