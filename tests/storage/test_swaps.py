"""Files that change places: all of them or none, and as often as it takes."""

from pathlib import Path

import pytest

from socbot.storage import swaps
from socbot.storage.errors import StoreDamaged
from tests.killing import at_step, find_no_room

pytestmark = pytest.mark.promise("P07")


def world(folder: Path) -> tuple[Path, swaps.Journal]:
    """A file, a folder and a file that is not there yet, each with what is to take its place; one that is to go."""
    (folder / "file").write_text("old")
    (folder / "file.new").write_text("new")
    (folder / "folder").mkdir()
    (folder / "folder" / "a").write_text("old")
    (folder / "folder.new").mkdir()
    (folder / "folder.new" / "b").write_text("new")
    (folder / "fresh.new").write_text("new")
    (folder / "gone").write_text("old")
    moves = (
        swaps.plan(folder / "file", folder / "file.new", folder / "file.old"),
        swaps.plan(folder / "folder", folder / "folder.new", folder / "folder.old"),
        swaps.plan(folder / "fresh", folder / "fresh.new", folder / "fresh.old"),
        swaps.plan(folder / "gone", None, folder / "gone.old"),
    )
    return folder / "journal", swaps.Journal("x", "", moves)


def there(folder: Path) -> dict[str, str]:
    names = ("file", "folder/a", "folder/b", "fresh", "gone")
    return {name: (folder / name).read_text() for name in names if (folder / name).exists()}


OLD = {"file": "old", "folder/a": "old", "gone": "old"}
NEW = {"file": "new", "folder/b": "new", "fresh": "new"}


class Stop(BaseException):
    """The process ends."""


def stop() -> None:
    raise Stop


def test_all_change_places_and_can_be_put_back(tmp_path: Path) -> None:
    path, journal = world(tmp_path)
    swaps.carry_out(path, journal)
    assert there(tmp_path) == NEW
    assert swaps.is_open(path)
    swaps.revert(path)
    assert there(tmp_path) == OLD
    assert not swaps.is_open(path)
    assert swaps.last(path) is None
    swaps.carry_out(path, journal)
    swaps.settle(path)
    assert there(tmp_path) == NEW
    assert swaps.last(path) == journal
    assert not swaps.is_open(path)


@pytest.mark.parametrize("at", range(20))
def test_whoever_looks_next_goes_forward_to_the_end(at: int, tmp_path: Path) -> None:
    path, journal = world(tmp_path)
    try:
        swaps.carry_out(path, journal, at_step(at, stop))
    except Stop:
        begun = path.exists()
        swaps.recover(path)
        assert there(tmp_path) == (NEW if begun else OLD)
    swaps.settle(path)
    assert not swaps.is_open(path)


@pytest.mark.parametrize("at", range(12))
@pytest.mark.parametrize("again", range(6))
def test_or_back_to_the_beginning_however_often_it_ends(at: int, again: int, tmp_path: Path) -> None:
    path, journal = world(tmp_path)
    swaps.carry_out(path, journal)
    for number in (at, again):
        try:
            (swaps.revert if number == at else swaps.recover)(path, at_step(number, stop))
        except Stop:
            continue
    swaps.recover(path)
    assert there(tmp_path) == OLD
    assert (tmp_path / "file.new").read_text() == "new", "what came in its place is staged again"


def test_a_failure_on_the_way_puts_everything_back(tmp_path: Path) -> None:
    path, journal = world(tmp_path)
    with pytest.raises(OSError, match="No space"):
        swaps.carry_out(path, journal, at_step("put gone aside", find_no_room))
    assert there(tmp_path) == OLD
    assert not swaps.is_open(path)


def test_nothing_is_begun_where_something_is_lacking(tmp_path: Path) -> None:
    path, journal = world(tmp_path)
    (tmp_path / "fresh.new").unlink()
    with pytest.raises(FileNotFoundError):
        swaps.carry_out(path, journal)
    assert there(tmp_path) == OLD
    assert not swaps.is_open(path)


def test_what_a_restore_replaced_stays_until_the_next_is_good(tmp_path: Path) -> None:
    path, journal = world(tmp_path)
    swaps.carry_out(path, journal)
    swaps.settle(path)
    (tmp_path / "file.new").write_text("newer")
    second = swaps.Journal("y", "", (swaps.plan(tmp_path / "file", tmp_path / "file.new", tmp_path / "file.older"),))
    swaps.carry_out(path, second)
    assert (tmp_path / "file.old").exists()
    swaps.settle(path)
    assert not (tmp_path / "file.old").exists()
    assert (tmp_path / "file.older").read_text() == "new"
    assert swaps.last(path) == second


def test_a_journal_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(b"\0" * 100)
    with pytest.raises(StoreDamaged, match="no journal"):
        swaps.recover(tmp_path / "journal")
