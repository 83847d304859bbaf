"""Pieces of statements: text of anybody's stands for itself in them."""

import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from socbot.storage.sql import batches, like, listed

WORDS = st.text("aB!%_\\'\u00e9", max_size=12)


@given(WORDS, WORDS)
def test_what_is_looked_for_stands_for_itself(text: str, wanted: str) -> None:
    connection = sqlite3.connect(":memory:")
    found = connection.execute(
        "SELECT LOWER(:text) LIKE :pattern ESCAPE '!'", {"text": text, "pattern": f"%{like(wanted)}%"}
    ).fetchone()[0]
    connection.close()
    assert bool(found) is (wanted.lower() in text.lower())


@given(st.lists(WORDS, min_size=1, max_size=8), WORDS)
def test_what_is_listed_is_found(values: list[str], asked: str) -> None:
    names, named = listed(values)
    connection = sqlite3.connect(":memory:")
    found = connection.execute(f"SELECT :asked IN ({names})", {**named, "asked": asked}).fetchone()[0]
    connection.close()
    assert bool(found) is (asked in values)


@given(st.lists(WORDS, max_size=9), st.integers(1, 4))
def test_pieces_are_everything_in_its_order(values: list[str], most: int) -> None:
    pieces = list(batches(values, most))
    assert [each for piece in pieces for each in piece] == values
    assert all(1 <= len(piece) <= most for piece in pieces)
