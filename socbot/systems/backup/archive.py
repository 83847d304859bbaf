"""A backup as one file: written, looked at, verified and unpacked. All of it runs on a worker's thread.

It is a tar archive within zstd, so that ``zstd -dc FILE | tar x`` unpacks it where socbot is not at hand; the manifest
follows in a frame that zstd skips. A sealed one is the same within AES-256-GCM.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeAlias

from msgspec import Struct

from socbot.config import StorageConfig
from socbot.storage.snapshots import Source
from socbot.systems.backup.keys import Keyring
from socbot.systems.backup.manifest import Info, Manifest

SUFFIX: Final = ".tar.zst"
SEALED_SUFFIX: Final = ".tar.zst.sealed"

Progress: TypeAlias = Callable[[int, int], object]
"""Told how many bytes are done, of how many."""

IsCancelled: TypeAlias = Callable[[], bool]


class Limits(Struct, frozen=True):
    """How much may be unpacked; bytes."""

    most_bytes: int = 1 << 40
    spare: int = 64 * 1024 * 1024
    """What must stay free on the disk."""


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


def back_up(
    target: Path,
    info: Info,
    storage: StorageConfig,
    files: Iterable[Source],
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
    raise NotImplementedError


def write_archive(
    target: Path,
    info: Info,
    sources: Iterable[Source],
    *,
    keys: Keyring,
    seal: bool,
    level: int = 3,
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
) -> Manifest:
    """Pack ``sources`` into ``target``: wholly there and on the disk when this returns, or not there at all."""
    raise NotImplementedError


def read_manifest(path: Path, keys: Keyring, *, unsigned: bool = False) -> Manifest:
    """What the backup says of itself; only its end is read, so that nothing is said about its contents.

    :param unsigned: take a backup without a signature although a key is set
    :raises BackupError: the subclass says what is wrong
    """
    raise NotImplementedError


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

    :param scratch: a private folder in which the database is looked at too; nothing is left in it, and nothing of a
        sealed backup is written to it
    :raises KeyNeeded: if it cannot be told without a key
    """
    raise NotImplementedError


def extract(
    path: Path,
    folder: Path,
    keys: Keyring,
    *,
    unsigned: bool = False,
    limits: Limits = Limits(),
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
) -> Manifest:
    """Unpack into ``folder``, which is made; it is gone again if anything is not as it was packed.

    :raises BackupError: the subclass says what is wrong
    """
    raise NotImplementedError


def clear_leftovers(folder: Path) -> list[str]:
    """Remove what a crash left of unfinished backups; returns the names."""
    raise NotImplementedError
