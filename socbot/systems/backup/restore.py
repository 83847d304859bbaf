"""A backup put in the place of what is there: staged beside it, then all of it swapped at once, or nothing.

All of this runs on a worker's thread and knows no running bot, so that it serves the command line, too. Each step is
told to ``step`` before it is done; what that raises ends the restore with everything as it was.
"""

import filecmp
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from msgspec import Struct

from socbot.config import BackupConfig, StorageConfig
from socbot.folders import sync_file, sync_folder
from socbot.storage import swaps
from socbot.storage.errors import StoreError
from socbot.storage.snapshots import stage as stage_store
from socbot.storage.sqlite import SqliteSession
from socbot.storage.staged import carry_over, empty, make_ready, sync
from socbot.storage.swaps import Journal, Move, Step
from socbot.systems.backup.archive import IsCancelled, Progress, extract
from socbot.systems.backup.errors import BackupError
from socbot.systems.backup.keys import Keyring
from socbot.systems.backup.manifest import Manifest
from socbot.systems.backup.paths import FILES, prefix, read_back
from socbot.systems.webhooks import outbox
from socbot.systems.webhooks.system import key_path

ACCESS: Final = ("web_tokens", "web_sessions")
"""Tables that no backup brings: a token that was taken away does not come back."""

ASKED: Final = ("gateway_logins", "command_syncs")
"""Tables of what was asked of Discord, which counts it, whatever state the bot goes back to."""

CARRIED: Final = ("audit", "deliveries", "backups", "backup_drills", "leases", *ACCESS, *ASKED)
"""Tables of the live store that go into the restored one: nobody erases the audit trail by a restore, nothing is
delivered again, what is known of the backups is not what an old one knew, and no number of a lease comes again."""

KEY_NAME: Final = "keys/webhooks.key"
"""Where an encrypted backup has the key of the webhooks' addresses."""

STORE: Final = "store.db"
"""What the store is called while it is staged."""

_FORMER: Final = (".before-restore", ".before-the-last-restore")
_STAGED: Final = ".restoring"
_BESIDE: Final = ("-wal", "-shm")


class Place(Struct, frozen=True):
    """Where a restore puts things.

    :param journal: in a folder of its own or the store's; what is staged stands beside it
    :param store: the store's file; None on PostgreSQL
    :param paths: ``backup.paths``
    :param key_file: that of the webhooks' addresses
    """

    journal: Path
    store: Path | None
    paths: tuple[str, ...]
    key_file: Path

    @property
    def staging(self) -> Path:
        return self.journal.with_name(self.journal.name + _STAGED)

    @property
    def scratch(self) -> Path:
        """Where a drill unpacks."""
        return self.journal.with_name(self.journal.name + ".drill")


def place_of(storage: StorageConfig, config: BackupConfig) -> Place:
    """Where a restore puts things."""
    key_file = key_path(storage)
    if (store := storage.file) is not None:
        return Place(store.with_name(store.name + ".restore"), store, config.paths, key_file)
    return Place(Path(config.folder) / "postgresql.restore", None, config.paths, key_file)


class Staged(Struct, frozen=True):
    """What is ready to take the place of what is there.

    :param store: a SQLite store of the newest revision
    :param files: the moves of the operator's files
    :param restored: the paths that are among them, or were the same already
    :param left_out: what is in the backup and belongs to none of ``backup.paths``
    """

    manifest: Manifest
    store: Path
    files: tuple[Move, ...]
    restored: tuple[str, ...]
    left_out: tuple[str, ...]


def stage(
    archive: Path,
    place: Place,
    keys: Keyring,
    *,
    unsigned: bool = False,
    step: Step = lambda step: None,
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
) -> Staged:
    """Unpack beside what is there, check it, and bring it to this version; the live state is not touched.

    :raises BackupError, StoreError: the subclass says what is wrong; then nothing is left of it
    :raises OSError: if there is no room, or no right to write
    """
    clear(place)
    try:
        step("unpack")
        manifest = extract(archive, place.staging, keys, unsigned=unsigned, progress=progress, cancelled=cancelled)
        step("make the store ready")
        store = place.staging / STORE
        stage_store(place.staging, store)
        empty(store, ACCESS)
        files = tuple(_stage_files(place, step))
        sync_folder(place.staging)
    except BaseException:
        clear(place)
        raise
    restored = tuple(path for path in place.paths if os.path.lexists(_unpacked(place, path)))
    return Staged(manifest, store, files, restored, tuple(_left_out(manifest, place)))


def unpack_store(archive: Path, folder: Path, keys: Keyring) -> Path:
    """The store that is in a backup, made ready in ``folder``, which is made."""
    swaps.discard(folder)
    extract(archive, folder, keys)
    stage_store(folder, folder / STORE)
    return folder / STORE


def _left_out(manifest: Manifest, place: Place) -> Iterator[str]:
    """The paths in the backup that are none of ``backup.paths`` now: nobody has said that they may be written."""
    known = {prefix(path) for path in place.paths}
    parts = (file.name.split("/") for file in manifest.files)
    for name in dict.fromkeys("/".join(each[:2]) for each in parts if each[0] == FILES):
        if name not in known:
            yield read_back(name.removeprefix(f"{FILES}/"), "/")


def clear(place: Place) -> None:
    """Remove what is staged, unless it is on its way to its place.

    :raises BackupError: if it is
    """
    if swaps.is_open(place.journal):
        raise BackupError(f"A restore was interrupted and is not finished: {place.journal} says what is lacking.")
    swaps.discard(place.staging)
    for live in (*map(_live, place.paths), place.key_file):
        swaps.discard(_beside(live, _STAGED))


def moves_of_store(staged: Path, place: Place) -> tuple[Move, ...]:
    """The moves that put the store at ``staged`` in place."""
    assert place.store is not None
    ending = unused(place)
    moves = [swaps.plan(place.store, staged, _beside(place.store, ending))]
    for each in _BESIDE:
        if (live := _beside(place.store, each)).exists():
            moves.append(swaps.plan(live, None, _beside(place.store, ending + each)))
    return tuple(moves)


def carry(staged: Path, place: Place, tables: Iterable[str] = CARRIED) -> tuple[int, ...]:
    """Put into the store at ``staged`` what it keeps of the live one. Nobody may have either open.

    :returns: the deliveries for webhooks that are not in the store at ``staged``, which are dead now
    :raises StoreError: if the live store cannot be read
    """
    if place.store is None or not place.store.exists():
        return ()
    carry_over(place.store, staged, tables)
    return _orphan(place.store, staged) if "deliveries" in tables else ()


def _orphan(live: Path, staged: Path) -> tuple[int, ...]:
    with closing(SqliteSession(live, read_only=True)) as session:
        former = outbox.identities(session)
    with closing(SqliteSession(staged)) as session:
        session.begin(0.0)
        orphans = outbox.orphan(session, former)
        session.commit()
        session.execute("PRAGMA journal_mode = DELETE")
    sync(staged)
    return orphans


def swap_over(name: str, staged: Staged, place: Place, step: Step = lambda step: None) -> Iterator[str]:
    """Exchange a store that cannot be opened, which is put aside as it is; what could not be kept of it.

    :raises OSError: if that could not be done; then everything is as it was
    """
    for table in CARRIED:
        try:
            carry(staged.store, place, (table,))
        except StoreError as error:
            yield f"{table} could not be carried over: {error}"
    moves = (*staged.files, *moves_of_store(staged.store, place))
    swaps.carry_out(place.journal, Journal(name, "", moves), step)
    swaps.settle(place.journal)


def unused(place: Place) -> str:
    """The ending for what is put aside now: what was put aside last stays until this is settled."""
    journal = swaps.last(place.journal)
    used = () if journal is None else tuple(move.former for move in journal.moves)
    return next(each for each in _FORMER if not any(_ends(former, each) for former in used))


def _ends(former: str, ending: str) -> bool:
    return any(former.endswith(ending + each) for each in ("", *_BESIDE))


# -- undoing ------------------------------------------------------------------------------------------


def undoable(place: Place) -> Journal | None:
    """The restore that can be undone; None if there is none, or what it replaced is gone."""
    journal = swaps.last(place.journal)
    if journal is None or not all(Path(move.former).exists() for move in journal.moves if move.had):
        return None
    return journal


def stage_former(undo: Journal, place: Place, step: Step = lambda step: None) -> tuple[Path | None, tuple[Move, ...]]:
    """Make ready what was there before: the store, if it is one of the files, and the moves of the others.

    :raises StoreError: if that was no sound store
    """
    clear(place)
    place.staging.mkdir(mode=0o700)
    step("stage the former state")
    moves = tuple(_stage_former_files(undo, place))
    store = place.staging / STORE
    if not store.exists():
        return None, moves
    step("make the former store ready")
    make_ready(store)
    return store, moves


def _stage_former_files(undo: Journal, place: Place) -> Iterator[Move]:
    store = None if place.store is None else os.fspath(place.store.absolute())
    for move in undo.moves:
        if store is not None and move.live.startswith(store):
            _copy(Path(move.former), place.staging / (STORE + move.live.removeprefix(store)))
            continue
        live, staged = Path(move.live), None
        if move.had:
            staged = _beside(live, _STAGED)
            _copy(Path(move.former), staged)
        yield swaps.plan(live, staged, _beside(live, unused(place)))


# -- the operator's files -----------------------------------------------------------------------------


def _stage_files(place: Place, step: Step) -> Iterator[Move]:
    for path in place.paths:
        unpacked, live = _unpacked(place, path), _live(path)
        if not os.path.lexists(unpacked):
            continue
        step(f"stage {live.name}")
        _name_back(unpacked)
        if not _is_same(unpacked, live):
            yield _stage_file(unpacked, live, place)
    key = place.staging / KEY_NAME
    # What is here was sealed with the key that is here.
    if key.exists() and not place.key_file.exists():
        step("stage the webhooks' key")
        yield _stage_file(key, place.key_file, place)


def _stage_file(unpacked: Path, live: Path, place: Place) -> Move:
    live.parent.mkdir(parents=True, exist_ok=True)
    staged = _beside(live, _STAGED)
    _copy(unpacked, staged)
    return swaps.plan(live, staged, _beside(live, unused(place)))


def _name_back(unpacked: Path) -> None:
    """Give what is within a folder the names that it had."""
    if not unpacked.is_dir():
        return
    for each in list(unpacked.iterdir()):
        _name_back(each)
        if (name := read_back(each.name)) != each.name:
            each.rename(each.with_name(name))


def _is_same(one: Path, other: Path) -> bool:
    if one.is_dir() != other.is_dir() or one.is_file() != other.is_file():
        return False
    if one.is_file():
        return filecmp.cmp(one, other, shallow=False)
    names = {each.name for each in one.iterdir()}
    if names != {each.name for each in other.iterdir()}:
        return False
    return all(_is_same(one / name, other / name) for name in names)


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder, privately, and return once it is on the disk."""
    swaps.discard(target)
    if source.is_dir():
        target.mkdir(mode=0o700)
        for each in source.iterdir():
            _copy(each, target / each.name)
    else:
        mode = source.stat().st_mode & 0o777
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        shutil.copyfile(source, target)
        target.chmod(mode)
        sync_file(target)
    sync_folder(target.parent)


def _live(path: str) -> Path:
    """The file that is meant, where the path is a link to it."""
    return Path(path).resolve()


def _unpacked(place: Place, path: str) -> Path:
    return place.staging / prefix(path)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
