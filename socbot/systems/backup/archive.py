"""A backup as one file: written, looked at, verified and unpacked. All of it runs on a worker's thread.

It is a tar archive within zstd, so that ``zstd -dc FILE | tar x`` unpacks it where socbot is not at hand; the manifest
follows in a frame that zstd skips. A sealed one is the same within AES-256-GCM.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from msgspec import Struct

from socbot.config import StorageConfig
from socbot.folders import make_private_folder, sync_folder
from socbot.storage.errors import StoreError
from socbot.storage.snapshots import PAGES, Moment, RowCheck, Source, check_pages, moment
from socbot.systems.backup.errors import BackupError, Cancelled, Damaged, NoRoom, NotSigned
from socbot.systems.backup.gently import gently
from socbot.systems.backup.keys import Keyring, Signer, key_id, signing_key
from socbot.systems.backup.manifest import FORMAT, File, Info, Manifest, written
from socbot.systems.backup.packing import Packed, Packer, held_still
from socbot.systems.backup.sealed import Sealer
from socbot.systems.backup.unpacking import Ending, Receive, Unpacker, ending, frame_of, is_sealed, opened

__all__ = [
    "SEALED_SUFFIX",
    "SUFFIX",
    "Check",
    "IsCancelled",
    "Limits",
    "Progress",
    "Report",
    "back_up",
    "clear_leftovers",
    "extract",
    "is_sealed",
    "read_manifest",
    "verify",
    "write_archive",
]

SUFFIX: Final = ".tar.zst"
SEALED_SUFFIX: Final = ".tar.zst.sealed"

_PART: Final = ".part"
_STAGING: Final = ".staging"

Progress: TypeAlias = Callable[[int, int], object]
"""Told how many bytes are done, of about how many; 0 where that is not known."""

IsCancelled: TypeAlias = Callable[[], bool]


class Limits(Struct, frozen=True):
    """How much may be unpacked; bytes.

    :param spare: what must stay free on the disk
    """

    most_bytes: int = 1 << 40
    spare: int = 64 * 1024 * 1024


DEFAULT_LIMITS: Final = Limits()


class Check(Struct, frozen=True):
    """One thing that was looked at; ``file`` is within the backup, empty for the backup itself."""

    what: str
    passed: bool
    text: str = ""
    file: str = ""


class Report(Struct, frozen=True):
    """What verifying found; without a manifest it could not even be told what was packed."""

    checks: tuple[Check, ...]
    manifest: Manifest | None = None

    @property
    def intact(self) -> bool:
        return self.manifest is not None and all(check.passed for check in self.checks)

    @property
    def faults(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)


class _Steps:
    """Counts what is done, tells of it, and stops it when it is told to."""

    def __init__(self, progress: Progress | None, cancelled: IsCancelled | None, total: int) -> None:
        self._progress, self._cancelled, self._total, self._done = progress, cancelled, total, 0

    def __call__(self, count: int = 0) -> None:
        if self._cancelled is not None and self._cancelled():
            raise Cancelled
        self._done += count
        if self._progress is not None and count:
            self._progress(self._done, max(self._total, self._done) if self._total else 0)


# -- making one ---------------------------------------------------------------------------------------


@gently
def back_up(
    target: Path,
    info: Info,
    storage: StorageConfig,
    files: Sequence[Source],
    *,
    keys: Keyring,
    seal: bool,
    level: int = 3,
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
) -> Manifest:
    """Take one moment of the store and write it with ``files`` to ``target``; what a crash left there is removed.

    :param seal: encrypt; then no plain byte is written anywhere
    :raises BackupError: the subclass says what is wrong
    :raises StoreError: if the store cannot be read
    """
    with _os_errors(target):
        make_private_folder(target.parent)
        clear_leftovers(target.parent)
    staging = None if seal else target.with_name(f".{target.name}{_STAGING}")
    steps = _Steps(progress, cancelled, 0)
    try:
        if staging is not None:
            staging.mkdir(mode=0o700)
        with moment(storage, staging, steps) as now:
            sources = chain(now.sources, held_still(files))
            steps = _Steps(progress, cancelled, now.size + sum(_size(each) for each in files))
            return _write(target, info, now, sources, keys, seal, level, steps)
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def _size(source: Source) -> int:
    try:
        return source.path.stat().st_size if source.path else len(source.content)
    except OSError:  # it is told when its turn comes
        return 0


def write_archive(
    target: Path,
    info: Info,
    now: Moment,
    *,
    keys: Keyring,
    seal: bool,
    level: int = 3,
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
) -> Manifest:
    """Pack what ``now`` hands over into ``target``: wholly there and on the disk when this returns, or not at all.

    :raises BackupError: the subclass says what is wrong
    """
    return _write(target, info, now, now.sources, keys, seal, level, _Steps(progress, cancelled, now.size))


def _write(
    target: Path,
    info: Info,
    now: Moment,
    sources: Iterable[Source],
    keys: Keyring,
    seal: bool,
    level: int,
    steps: _Steps,
) -> Manifest:
    with _new_file(target) as file:
        sink = Sealer(file, keys) if seal else file
        packer = Packer(sink, level, _threads(), int(info.made_at), steps)
        for source in sources:
            packer.add(source)
        key, signer = _signer(keys)
        manifest = _manifest(info, now, packer.finish(), signer)
        sink.write(frame_of(written(manifest, key)))
        if isinstance(sink, Sealer):
            sink.close()
    return manifest


def _threads() -> int:
    """How many compress: a core stays with whoever reads, who may hold the lock that the event loop waits for."""
    return max(1, min(4, (os.cpu_count() or 1) - 1))


def _signer(keys: Keyring) -> tuple[bytes | None, Signer | None]:
    if not keys.has_key:
        return None, None
    key, stretch = keys.newest()
    return signing_key(key), Signer(key_id(key), stretch)


def _manifest(info: Info, now: Moment, packed: Packed, signer: Signer | None) -> Manifest:
    return Manifest(
        FORMAT, info.type, info.made_at, info.bot, now.dialect, now.form, now.revision, packed.files,
        packed.size, packed.sha256, signer, info.head,
    )  # fmt: skip


@contextmanager
def _new_file(target: Path) -> Iterator[BinaryIO]:
    """A private file that gets its name when all of it is on the disk."""
    part = target.with_name(f".{target.name}{_PART}")
    with _os_errors(target):
        if target.exists():
            raise BackupError(f"There is a backup called {target.name} already.")
        part.unlink(missing_ok=True)
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                part.chmod(0o600)
                yield file
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _name(part, target)


def _name(part: Path, target: Path) -> None:
    """Give what is written its name, for good, or remove it."""
    try:
        part.rename(target)
        sync_folder(target.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
        raise


def clear_leftovers(folder: Path) -> list[str]:
    """Remove what a crash left of unfinished backups; returns the names."""
    left = [path for path in folder.glob(".backup_*") if path.name.endswith((_PART, _STAGING))]
    for path in left:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return [path.name for path in left]


# -- looking at one -----------------------------------------------------------------------------------


def read_manifest(path: Path, keys: Keyring, *, unsigned: bool = False) -> Manifest:
    """What the backup says of itself; only its end is read, so that nothing is said about its contents.

    :param unsigned: take a backup without a signature although a key is set
    :raises BackupError: the subclass says what is wrong
    """
    with opened(path, keys) as container:
        return ending(container, keys, unsigned).manifest


@gently
def verify(
    path: Path,
    keys: Keyring,
    *,
    unsigned: bool = False,
    scratch: Path | None = None,
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
) -> Report:
    """Read every byte and say of each thing whether it is as it was packed.

    :param scratch: a private folder in which SQLite's pages are looked at too; nothing is left in it, and nothing of
        a sealed backup is written to it
    :raises KeyNeeded: if it cannot be told without a key
    :raises Cancelled: if it was told to stop
    """
    checks: list[Check] = []
    manifest = None
    try:
        with opened(path, keys) as container:
            end = ending(container, keys, unsigned)
            manifest = end.manifest
            checks += _said_of(end)
            steps = _Steps(progress, cancelled, manifest.size)
            with _looking(manifest, None if is_sealed(path) else scratch) as look:
                before = len(checks)
                Unpacker(container, manifest, steps).run(look.receive, lambda *fault: checks.append(_bad(*fault)))
                checks.append(Check("files", len(checks) == before, _listed(manifest)))
                checks.append(Check("missing or extra", True, "none"))
                checks.append(look.database())
    except Damaged as error:
        checks.append(_bad(error.file, error.problem))
    except NotSigned as error:
        checks.append(Check("signature", False, str(error)))
    return Report(tuple(checks), manifest)


def _said_of(end: Ending) -> Iterator[Check]:
    manifest = end.manifest
    yield Check("manifest", True, f"as its own SHA-256 says; format {manifest.format}, revision {manifest.revision}")
    yield Check("signature", True, end.signature)


def _bad(file: str, problem: str) -> Check:
    return Check("file" if file else "archive", False, problem, file)


def _listed(manifest: Manifest) -> str:
    return f"{len(manifest.files):,} files, {manifest.size:,} bytes, each with its SHA-256"


@contextmanager
def _looking(manifest: Manifest, scratch: Path | None) -> Iterator["_Look"]:
    if manifest.form == "rows":
        yield _RowsLook()
    elif scratch is None:
        yield _Look()
    else:
        path = scratch / f".{os.getpid()}.verifying.db"
        try:
            yield _PagesLook(path)
        finally:
            for each in scratch.glob(f"{path.name}*"):
                each.unlink()


class _Look:
    """Sees every file pass by, and then says what it thinks of the database in it."""

    def receive(self, file: File, contents: Iterator[memoryview]) -> None:
        for _ in contents:
            pass

    def database(self) -> Check:
        return Check("database", True, "as it was packed; not opened")


class _PagesLook(_Look):
    def __init__(self, path: Path) -> None:
        self._path = path

    def receive(self, file: File, contents: Iterator[memoryview]) -> None:
        if file.name == PAGES:
            with _os_errors(self._path):
                _write_file(self._path, 0o600, contents)
        else:
            super().receive(file, contents)

    def database(self) -> Check:
        try:
            check_pages(self._path)
        except StoreError as error:
            return Check("database", False, str(error), PAGES)
        return Check("database", True, "every page and index is sound")


class _RowsLook(_Look):
    def __init__(self) -> None:
        self._rows = RowCheck()

    def receive(self, file: File, contents: Iterator[memoryview]) -> None:
        try:
            self._rows.see(file.name, file.size, contents)
        except StoreError as error:
            raise Damaged(file.name, str(error)) from None

    def database(self) -> Check:
        try:
            return Check("database", True, f"{self._rows.counted():,} rows, as many as were counted")
        except StoreError as error:
            return Check("database", False, str(error))


# -- unpacking one ------------------------------------------------------------------------------------


@gently
def extract(
    path: Path,
    folder: Path,
    keys: Keyring,
    *,
    unsigned: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
) -> Manifest:
    """Unpack into ``folder``, which is made; it is gone again if anything is not as it was packed.

    :raises BackupError: the subclass says what is wrong
    """
    with opened(path, keys) as container:
        manifest = ending(container, keys, unsigned).manifest
        with _os_errors(folder):
            _check_room(folder.parent, manifest.size, limits)
            folder.mkdir(mode=0o700)
            try:
                Unpacker(container, manifest, _Steps(progress, cancelled, manifest.size)).run(_into(folder), _refuse)
                _sync_folders(folder)
            except BaseException:
                shutil.rmtree(folder)
                raise
    return manifest


def _into(folder: Path) -> Receive:
    def receive(file: File, contents: Iterator[memoryview]) -> None:
        # Names were looked at before: they stay within the folder, which nobody else can write to.
        target = folder / file.name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_file(target, file.mode, contents)

    return receive


def _refuse(file: str, problem: str) -> None:
    raise Damaged(file, problem)


def _check_room(folder: Path, needed: int, limits: Limits) -> None:
    free = shutil.disk_usage(folder).free
    if needed > limits.most_bytes:
        raise BackupError(f"That backup holds {needed:,} bytes, and at most {limits.most_bytes:,} are unpacked.")
    if needed + limits.spare > free:
        raise NoRoom(f"That needs {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free: make room and try again.")


def _write_file(path: Path, mode: int, contents: Iterable[memoryview]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as file:
        for piece in contents:
            _write_all(file, piece)
        path.chmod(mode)
        os.fsync(file.fileno())


def _write_all(file: BinaryIO, piece: memoryview) -> None:
    while piece:
        piece = piece[file.write(piece) :]


def _sync_folders(folder: Path) -> None:
    for parent, _, _ in os.walk(folder):
        sync_folder(Path(parent))
    sync_folder(folder.parent)


# -- the file system ----------------------------------------------------------------------------------


@contextmanager
def _os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoRoom(f"No room is left on the disk for {path.name}: make room and try again.") from error
        raise BackupError(f"{path.name}: {error.strerror or error}.") from error
