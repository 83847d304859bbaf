"""Where a bot that runs on this machine is served, for other programs of the same user: a file beside the store."""

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from socbot.config import StorageConfig
from socbot.documents import UNDECODABLE
from socbot.folders import make_private_folder

_MOST = 4_096


class Announcement(Struct, frozen=True):
    """A bot that is served.

    :param token: of a viewer, valid as long as it runs
    :param log: the path of its log file
    :param pid: of its process
    """

    address: str
    token: str
    log: str
    pid: int

    def __repr__(self) -> str:
        return f"Announcement({self.address!r}, pid={self.pid})"


def path_of(config: StorageConfig) -> Path:
    """Where the file lies."""
    return config.folder / "dashboard.json"


def announce(path: Path, announcement: Announcement) -> None:
    """Write it for nobody but this user.

    :raises OSError: if that cannot be done
    """
    make_private_folder(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        draft.chmod(0o600)
        file.write(msgspec.json.encode(announcement))
    draft.replace(path)


def withdraw(path: Path, announcement: Announcement) -> None:
    """Remove it, unless another bot has announced itself since."""
    if read(path) == announcement:
        path.unlink(missing_ok=True)


def read(path: Path) -> Announcement | None:
    """What is announced there, if anything is; a bot that was killed has announced itself too."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MOST), type=Announcement)
    except (OSError, *UNDECODABLE):
        return None
