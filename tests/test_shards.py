import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.documents import ConfigError
from socbot.shards import Shards, parse_shards


@pytest.mark.parametrize(
    ("text", "shards"),
    [
        ("auto", Shards()),
        ("4", Shards(None, 4)),
        ("1-4/16", Shards((1, 2, 3, 4), 16)),
        ("0-0/1", Shards((0,), 1)),
        ("3/4", Shards((3,), 4)),
        (" 2 ", Shards(None, 2)),
    ],
)
def test_every_form_is_read(text: str, shards: Shards) -> None:
    assert parse_shards(text) == shards


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "many", "4-1/16", "1-16/16", "1-4/0", "1-4", "1/1", "999999", "٤", "1-4/16/2", "4" * 9999]
)
def test_anything_else_is_refused_and_the_key_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^discord\.shards: "):
        parse_shards(text)


def test_what_is_left_open_is_filled_in_with_discords_advice() -> None:
    assert parse_shards("auto").resolved(3) == Shards((0, 1, 2), 3)
    assert parse_shards("2").resolved(3) == Shards((0, 1), 2)
    assert parse_shards("1-4/16").resolved(3) == Shards((1, 2, 3, 4), 16)


@given(st.integers(1, 99_999).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, min(count - 1, 200)))))
def test_a_range_is_all_of_its_numbers(given_: tuple[int, int]) -> None:
    count, last = given_
    assert parse_shards(f"0-{last}/{count}") == Shards(tuple(range(last + 1)), count)
