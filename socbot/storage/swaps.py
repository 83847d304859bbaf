"""Files that change places all together or not at all, whenever the process ends.

What is to be moved is written down first, in a journal. From then on it is done, by this process or by the next
that looks: forward, until everything new is in place; or, if that fails, back, until everything is as it was. The
journal's own name says which, because a file can be renamed even where there is no room to write one:

- ``NAME``: forward
- ``NAME.back``: back
- ``NAME.done``: everything new is in place, and whoever did it may still find that it is of no use
- ``NAME.undo``: it is good; this says where that is which was there before
"""

import os
import shutil
from collections.abc import Callable
from errno import ENOENT
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct

from socbot.documents import UNDECODABLE
from socbot.folders import sync_folder
from socbot.storage.errors import StoreDamaged

Step: TypeAlias = Callable[[str], None]
"""Told what is about to be done."""


class Move(Struct, frozen=True):
    """One file or folder that takes the place of another, on the same file system.

    :param live: the place
    :param staged: what comes there; empty if nothing does
    :param former: where that which was there is kept
    :param had: whether there was anything
    """

    live: str
    staged: str
    former: str
    had: bool


class Journal(Struct, frozen=True):
    """Moves that belong together.

    :param name: what they are made for
    :param before: what else is kept of the state before
    """

    name: str
    before: str
    moves: tuple[Move, ...]


def _silent(step: str) -> None:
    """Nobody wants to know."""


def plan(live: Path, staged: Path | None, former: Path) -> Move:
    """The move that puts ``staged``, or nothing, in the place of what is at ``live`` now."""
    return Move(
        os.fspath(live.absolute()),
        "" if staged is None else os.fspath(staged.absolute()),
        os.fspath(former.absolute()),
        _exists(live),
    )


def carry_out(path: Path, journal: Journal, step: Step = _silent) -> None:
    """Make the moves and keep what was there; ``path`` is the journal's. To be followed by ``settle`` or ``revert``.

    :raises OSError: if that cannot be done; then everything is as it was, unless ``recover`` must be called again
    """
    for move in journal.moves:
        if move.staged and not _exists(Path(move.staged)):  # later it would pass for one that is in its place
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT), move.staged)
        discard(Path(move.former))
    step("write the journal")
    _write(path, journal)
    try:
        _forward(journal, step)
        step("close the journal")
        _rename(path, _done(path))
    except OSError:
        revert(path, step)
        raise


def settle(path: Path) -> None:
    """What was carried out is good: it is not reverted any more, and what ``last`` could have put back goes."""
    done = _done(path)
    if (journal := _read(done)) is None:
        return
    before = last(path)
    _rename(done, _undo(path))
    kept = {move.former for move in journal.moves}
    for move in () if before is None else before.moves:
        if move.former not in kept:
            discard(Path(move.former))


def revert(path: Path, step: Step = _silent) -> None:
    """Put back what was there before; what came in its place is staged again.

    :raises OSError: if that cannot be done now; ``recover`` goes on with it
    """
    for journal in (path, _done(path)):
        if _exists(journal):
            _rename(journal, _back(path))
    recover(path, step)


def recover(path: Path, step: Step = _silent) -> Journal | None:
    """Finish what was begun and not ended; None if there is nothing to finish.

    :raises StoreDamaged: if the journal cannot be read
    :raises OSError: if it cannot be finished
    """
    if (journal := _read(_back(path))) is not None:
        _backward(journal, step)
        step("remove the journal")
        _remove(_back(path))
    elif (journal := _read(path)) is not None:
        _forward(journal, step)
        step("close the journal")
        _rename(path, _done(path))
    if journal is not None:
        settle(path)
    return journal


def last(path: Path) -> Journal | None:
    """What was last carried out and is good.

    :raises StoreDamaged: if that cannot be told
    """
    return _read(_undo(path))


def is_open(path: Path) -> bool:
    """Whether something was begun and is neither settled nor reverted."""
    return any(_exists(each) for each in (path, _back(path), _done(path)))


def _done(path: Path) -> Path:
    return path.with_name(path.name + ".done")


def _back(path: Path) -> Path:
    return path.with_name(path.name + ".back")


def _undo(path: Path) -> Path:
    return path.with_name(path.name + ".undo")


def _read(path: Path) -> Journal | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Journal)
    except FileNotFoundError:
        return None
    except UNDECODABLE:
        raise StoreDamaged(f"{path} is no journal of a restore: delete it, and restore a backup") from None


def discard(path: Path) -> None:
    """Delete a file or a folder; nothing, if there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# -- each move may have been made already, wholly or by half -------------------------------------------


def _forward(journal: Journal, step: Step) -> None:
    for move in journal.moves:
        live, staged, former = Path(move.live), Path(move.staged), Path(move.former)
        waits = _exists(staged) if move.staged else _exists(live) and not _exists(former)
        if waits and move.had and not _exists(former):
            step(f"put {live.name} aside")
            _rename(live, former)
        if waits and move.staged:
            step(f"put the new {live.name} in place")
            _rename(staged, live)


def _backward(journal: Journal, step: Step) -> None:
    for move in reversed(journal.moves):
        live, staged, former = Path(move.live), Path(move.staged), Path(move.former)
        came = move.staged and not _exists(staged) and _exists(live)
        if came:
            step(f"take the new {live.name} away")
            _rename(live, staged)
        if move.had and _exists(former) and not _exists(live):
            step(f"put {live.name} back")
            _rename(former, live)


def _exists(path: Path) -> bool:
    return os.path.lexists(path)


def _rename(source: Path, target: Path) -> None:
    source.rename(target)
    for folder in {source.parent, target.parent}:
        sync_folder(folder)


def _write(path: Path, journal: Journal) -> None:
    draft = path.with_name(path.name + ".part")
    descriptor = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode(journal))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    sync_folder(path.parent)
