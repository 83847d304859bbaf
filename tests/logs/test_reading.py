"""Reading a log from its end, while it is written."""

import gzip
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.logs import patterns, reading
from socbot.logs.files import RotatingFile

LINES = st.lists(st.text(st.sampled_from("abc é😀"), min_size=1, max_size=9), max_size=40)


def put(path: Path, *parts: list[str]) -> Path:
    """Files with these lines, the newest file first."""
    for number, lines in enumerate(parts):
        target = path.with_name(f"{path.name}.{number}") if number else path
        target.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@given(LINES, LINES, st.integers(1, 90), st.integers(1, 40))
def test_the_last_lines_are_those_that_were_written_last(
    tmp_path_factory: pytest.TempPathFactory, old: list[str], new: list[str], count: int, block: int
) -> None:
    path = put(tmp_path_factory.mktemp("logs") / "bot.log", new, old)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK", block)
        assert reading.last_lines(path, count) == [*old, *new][-count:]


@given(LINES, LINES, st.text("abcé", min_size=1, max_size=2), st.integers(1, 9), st.integers(1, 40))
def test_a_search_finds_the_newest_first_and_counts_all(
    tmp_path_factory: pytest.TempPathFactory, old: list[str], new: list[str], wanted: str, most: int, block: int
) -> None:
    path = put(tmp_path_factory.mktemp("logs") / "bot.log", new, old)
    expected = [line for line in reversed([*old, *new]) if wanted in line]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK", block)
        found = reading.search(path, patterns.text(wanted.upper()), most, 60.0)
        same = reading.search(path, patterns.pattern(wanted), most, 60.0)
    assert (list(found.lines), found.total, found.looked_at) == (expected[:most], len(expected), len(old) + len(new))
    assert same == found


def test_a_line_without_an_end_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "bot.log"
    path.write_bytes(b"first\n\nsec\xffond")
    assert reading.last_lines(path, 5) == ["first", "sec\ufffdond"]


def test_a_line_that_never_ends_is_cut(tmp_path: Path) -> None:
    path = put(tmp_path / "bot.log", ["x" * 5_000_000, "end"])
    lines = reading.last_lines(path, 100)
    assert lines[-1] == "end"
    assert sum(map(len, lines)) == 5_000_003
    assert max(map(len, lines)) < 2_000_000


@pytest.mark.promise("P37")
def test_nothing_is_read_twice_or_left_out_while_files_are_replaced(tmp_path: Path) -> None:
    """Each reading is a row of numbers without a gap, to what was the last when it began."""
    path = tmp_path / "bot.log"
    file = RotatingFile(path, limit=2_000, copies=20)
    ended = threading.Event()

    def write() -> None:
        for number in range(20_000):
            file.write([b"%d\n" % number])
        file.close()
        ended.set()

    file.write([b"-1\n"])
    thread = threading.Thread(target=write)
    thread.start()
    readings = 0
    while not ended.is_set():
        try:
            numbers = [int(line) for line in reading.last_lines(path, 1_000)]
        except OSError:
            continue  # replaced too often while it was opened: said, not hidden
        readings += 1
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
    thread.join()
    assert readings > 5


def test_lines_are_counted_by_level_and_hour_in_either_format(tmp_path: Path) -> None:
    at = datetime(2024, 5, 1, 13, 30, tzinfo=UTC).timestamp()
    path = put(
        tmp_path / "bot.log",
        [f'{{"time": {at}, "level": "ERROR", "message": "{{"}}', '{"time": "?"}', "{not json"],
        [
            "2024-05-01 13:00:01 - soc_bot - INFO - a - ERROR - b",
            "2024-05-01 12:59:59,123 - a - b - WARNING - older",
            "Traceback (most recent call last):",
        ],
    )
    counts = reading.counts(path, lambda at: f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H}", 1_000_000)
    assert counts.by_level == {"ERROR": 1, "other": 3, "INFO": 1, "WARNING": 1}
    assert counts.by_hour == {"": 3, "2024-05-01 12": 1, "2024-05-01 13": 2}
    assert (counts.files, counts.whole) == (2, True)
    assert not reading.counts(path, str, 10).whole


def test_a_small_log_is_packed_as_it_is(tmp_path: Path) -> None:
    path = put(tmp_path / "bot.log", ["three"], ["one", "two secret"])
    packed = reading.packed(path, lambda line: line.replace("secret", "-"), 1_000, 1_000)
    assert packed == reading.Packed(b"one\ntwo -\nthree\n", compressed=False, lines=3, whole=True)


def test_a_large_log_is_compressed_and_its_newest_part_is_packed(tmp_path: Path) -> None:
    lines = [f"line {number} {'ab' * 50}" for number in range(40_000)]
    path = put(tmp_path / "bot.log", lines[20_000:], lines[:20_000])
    whole = reading.packed(path, str, 1_000_000, 10**9)
    assert (whole.compressed, whole.whole, whole.lines) == (True, True, 40_000)
    assert gzip.decompress(whole.content).decode().splitlines() == lines
    part = reading.packed(path, str, len(whole.content) // 2, 10**9)
    assert not part.whole
    assert 0 < part.lines < 40_000
    assert gzip.decompress(part.content).decode().splitlines() == lines[-part.lines :]
    assert len(part.content) <= len(whole.content) // 2
    assert reading.packed(path, str, 1_000_000, 1_000_000).lines < 15_000
