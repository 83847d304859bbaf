"""The files of a log."""

from pathlib import Path

import pytest

from socbot.logs.files import RotatingFile, parts_of


def filled(path: Path, limit: int, copies: int, count: int) -> RotatingFile:
    file = RotatingFile(path, limit, copies)
    for number in range(count):
        assert file.write([f"line number {number}\n".encode()]) == 0
    return file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_copies_beyond_those_that_are_kept_go_when_the_next_is_made(tmp_path: Path) -> None:
    file = filled(tmp_path / "bot.log", limit=20, copies=5, count=9)
    assert len(names(tmp_path)) == 6
    file.copies = 2
    assert len(names(tmp_path)) == 6
    assert file.write([b"line number 9\n"]) == 0
    assert names(tmp_path) == ["bot.log", "bot.log.1", "bot.log.2"]
    assert (tmp_path / "bot.log.2").read_text() == "line number 7\n"
    file.close()


def test_what_is_set_aside_keeps_its_order_and_the_log_begins_anew(tmp_path: Path) -> None:
    file = filled(tmp_path / "bot.log", limit=20, copies=5, count=3)
    assert file.set_aside("kept.log") == ["kept.log", "kept.log.1", "kept.log.2"]
    assert file.write([b"a line after\n"]) == 0
    file.close()
    assert names(tmp_path) == ["bot.log", "kept.log", "kept.log.1", "kept.log.2"]
    assert (tmp_path / "kept.log").read_text() == "line number 2\n"
    assert (tmp_path / "kept.log.2").read_text() == "line number 0\n"
    assert (tmp_path / "bot.log").read_text() == "a line after\n"


def test_what_cannot_be_set_aside_is_written_on(tmp_path: Path) -> None:
    file = filled(tmp_path / "bot.log", limit=1_000, copies=5, count=1)
    (tmp_path / "kept.log").mkdir()
    with pytest.raises(OSError, match=r"kept\.log"):
        file.set_aside("kept.log")
    assert file.write([b"a line after\n"]) == 0
    file.close()
    assert (tmp_path / "bot.log").read_text() == "line number 0\na line after\n"


def test_the_parts_are_found_newest_first_up_to_the_first_that_is_missing(tmp_path: Path) -> None:
    for name in ("bot.log", "bot.log.1", "bot.log.2", "bot.log.10", "bot.log.x"):
        (tmp_path / name).touch()
    assert [path.name for path in parts_of(tmp_path / "bot.log")] == ["bot.log", "bot.log.1", "bot.log.2"]
