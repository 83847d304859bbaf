"""The backups that there are: files by name, in the folder. What they say of themselves is the truth about them.

It needs no store, so that it works when there is none any more.
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

from msgspec import Struct
from msgspec.structs import replace

from socbot.config import BackupConfig
from socbot.dispatch.errors import InvalidArgument
from socbot.folders import make_private_folder
from socbot.systems.backup.archive import SEALED_SUFFIX, SUFFIX, read_manifest
from socbot.systems.backup.errors import BackupError
from socbot.systems.backup.keys import Keyring
from socbot.systems.backup.manifest import Type

_NAME: Final = re.compile(
    r"(backup_(hourly|daily|weekly|manual|pre_restore|pre_upgrade)_(\d{8}_\d{6}))("
    + f"{re.escape(SUFFIX)}|{re.escape(SEALED_SUFFIX)})"
)

NEWEST: Final = "newest"


class Backup(Struct, frozen=True):
    """A backup as its file says. Moments are seconds since 1970, sizes bytes.

    :param stamp: the moment in its name: unique, and later for a later backup, whatever the clock did
    :param made_at: when the clock said that it was made
    :param size: of the file; ``unpacked`` of what is in it
    :param sha256: of its manifest
    :param problem: why its manifest cannot be read; then ``made_at`` is the stamp, and what is within is unknown
    """

    name: str
    type: Type
    path: Path
    stamp: float
    made_at: float
    size: int
    encrypted: bool
    files: int | None = None
    unpacked: int | None = None
    sha256: str = ""
    problem: str = ""


class Shelf:
    """The backups in ``backup.folder``."""

    def __init__(self, config: BackupConfig) -> None:
        self.configure(config)
        self._read: dict[tuple[str, int, int], Backup] = {}

    def configure(self, config: BackupConfig) -> None:
        self.config = config
        self.folder = Path(config.folder)
        self.keys = Keyring.of(config)
        self._read = {}

    @property
    def suffix(self) -> str:
        return SEALED_SUFFIX if self.config.encryption else SUFFIX

    def backups(self) -> tuple[Backup, ...]:
        """All of them, newest first. Reads the end of each file; on a worker's thread.

        :raises BackupError: if the folder cannot be read
        """
        try:
            found = sorted(self._found(), key=lambda backup: backup.stamp, reverse=True)
        except OSError as error:
            raise BackupError(f"The folder of the backups, {self.folder}, cannot be read: {error.strerror}.") from None
        return tuple(found)

    def find(self, name: str) -> Backup:
        """The backup of that name, with or without the ending of its file; ``newest`` is one, too.

        :raises InvalidArgument: with the nearest names, if there is none
        """
        wanted = name.strip().removesuffix(SEALED_SUFFIX).removesuffix(SUFFIX)
        backups = self.backups()
        if wanted.lower() == NEWEST and backups:
            return backups[0]
        for backup in backups:
            if backup.name == wanted:
                return backup
        raise InvalidArgument("name", name, _expected(wanted, backups))

    def next_name(self, type: Type, now: float, others: Sequence[str] = ()) -> tuple[str, Path]:
        """A name that no backup has or had, and that comes after those of all that there are.

        :param others: names that are taken elsewhere
        """
        names = [path.name for path in self._paths()]
        stamps = [stamp for each in (*names, *others) if (stamp := _stamp_in(each)) is not None]
        stamp = max(int(now), *(int(each) + 1 for each in stamps)) if stamps else int(now)
        name = f"backup_{type}_{datetime.fromtimestamp(stamp, UTC):%Y%m%d_%H%M%S}"
        return name, self.folder / (name + self.suffix)

    def make_folder(self) -> None:
        """Make the folder, private and unseen by git, if there is none.

        :raises BackupError: if that cannot be done
        """
        try:
            make_private_folder(self.folder)
        except OSError as error:
            raise BackupError(f"The folder of the backups, {self.folder}, cannot be made: {error.strerror}.") from None

    def _paths(self) -> tuple[Path, ...]:
        try:
            return tuple(self.folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return ()

    def _found(self) -> Iterator[Backup]:
        for path in self._paths():
            try:
                stat = path.stat()
            except FileNotFoundError:
                # It was there a moment ago: an unfinished one that got its name, or was given up.
                continue
            bare = described_by_name(path.name, stat.st_size)
            if bare is not None:
                key = (path.name, stat.st_size, stat.st_mtime_ns)
                if key not in self._read:
                    self._read[key] = _with_manifest(replace(bare, path=path), self.keys)
                yield self._read[key]


def _with_manifest(backup: Backup, keys: Keyring) -> Backup:
    try:
        manifest = read_manifest(backup.path, keys)
    except BackupError as error:
        return replace(backup, problem=str(error))
    except OSError as error:
        return replace(backup, problem=f"It cannot be read: {error.strerror}.")
    if manifest.type != backup.type:
        return replace(backup, problem=f"It says of itself that its type is {manifest.type}.")
    return replace(
        backup, made_at=manifest.made_at, files=len(manifest.files), unpacked=manifest.size, sha256=manifest.sha256
    )


def described_by_name(file: str, size: int) -> Backup | None:
    """The backup whose file is called so, as far as its name says; None if it is no backup's."""
    match = _NAME.fullmatch(file)
    stamp = _stamp(match[3]) if match else None
    if match is None or stamp is None:
        return None
    return Backup(match[1], cast(Type, match[2]), Path(file), stamp, stamp, size, match[4] == SEALED_SUFFIX)


def _stamp_in(file: str) -> float | None:
    match = _NAME.match(file)
    return _stamp(match[3]) if match else None


def _stamp(text: str) -> float | None:
    try:
        return datetime.strptime(text, "%Y%m%d_%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _expected(wanted: str, backups: Sequence[Backup]) -> str:
    names = [backup.name for backup in backups]
    near = difflib.get_close_matches(wanted[:100], names, 2, 0.6) or names[:1]
    expected = "the name of a backup that there is; `list_backups` shows them"
    return expected + (f"; did you mean {' or '.join(f'`{each}`' for each in near)}?" if near else "")
