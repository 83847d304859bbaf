"""A pattern that somebody types holds nobody up."""

from pathlib import Path
from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.logs import patterns, reading
from socbot.logs.patterns import BadPattern

SLOW = (
    r"(a+)+$b?c",
    r"(x+x+)+y",
    r"(\w+\s?)*!$",
    r"(a|aa)+$^",
    r"(?:(?=(a+))a*b\1)*(a|a)+(a|a)+(a|a)+$^",
    r"^(([a-z])+.)+[A-Z]([a-z])+$\b\B",
)
TOO_LARGE = ("((a|b){999}){999}", "(((a|b|c){99}){99}){99}", "(a|b|c){1000000}", "(?:(?:(?:(?:a|bc){99}){99}){99}){99}")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 MB of lines, a third of which are a slow pattern's delight."""
    path = tmp_path_factory.mktemp("logs") / "bot.log"
    kinds = (
        "aaaaaaaaaa" * 10 + "!",
        "xxxx" * 20 + " aaaa word word word",
        "2024-05-01 13:00:01 - soc_bot - INFO - hello",
    )
    path.write_text("".join(f"{kinds[number % 3]} {number}\n" for number in range(25_000)))
    return path


def seconds(path: Path, source: str) -> float:
    """What the search for ``source`` took of this thread, reading and compiling included."""
    began = thread_time()
    found = reading.search(path, patterns.pattern(source), 100, 60.0)
    took = thread_time() - began
    assert found.given_up == "the pattern takes too long"
    return took


@pytest.mark.promise("P37")
@pytest.mark.parametrize("source", SLOW)
def test_a_hostile_pattern_ends_within_100_ms(log: Path, source: str) -> None:
    patterns.pattern("a")  # the library is there
    assert seconds(log, source) < 0.1


@pytest.mark.promise("P37")
@pytest.mark.parametrize("source", TOO_LARGE)
def test_a_pattern_that_would_fill_the_memory_is_not_even_tried(log: Path, source: str) -> None:
    with pytest.raises(BadPattern, match="repetitions"):
        patterns.pattern(source)


def test_a_slow_pattern_says_how_far_it_got(log: Path) -> None:
    found = reading.search(log, patterns.pattern(SLOW[1]), 100, 60.0)
    assert found.given_up == "the pattern takes too long"
    assert found.looked_at < 25_000


@pytest.mark.parametrize(
    "source", ["hello", r"\d{4}-\d{2}-\d{2}.*INFO", r"(?-i:HELLO)", r"^x+ .*word \d+$", "[[:alpha:]]"]
)
def test_a_sensible_pattern_gets_through(log: Path, source: str) -> None:
    found = reading.search(log, patterns.pattern(source), 100, 60.0)
    assert (found.given_up, found.looked_at) == ("", 25_000)


@pytest.mark.parametrize("source", ["(", "[", "a{2,1}", "(?P<", "*"])
def test_what_is_no_pattern_is_said(source: str) -> None:
    with pytest.raises(BadPattern):
        patterns.pattern(source)


@given(st.text("ab(){}[]|*?+\\1234567890,", max_size=30))
def test_whatever_is_typed_is_a_pattern_or_said_not_to_be(source: str) -> None:
    try:
        matches = patterns.pattern(source)
    except BadPattern:
        return
    matches(["ab", "12"])


@pytest.mark.parametrize(
    ("source", "size"),
    [("abc", 3), (r"\(\[", 2), ("[a-z({]{3}", 3), ("(ab){4}", 12), ("((a){3}b){5}", 40), ("a{2,7}", 7), ("(a", 1)],
)
def test_the_size_of_a_pattern_counts_its_repetitions(source: str, size: int) -> None:
    assert patterns.size_of(source) == size
