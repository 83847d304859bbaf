"""Folders that only the bot's own user can read, and what is in them on the disk rather than in a cache."""

import os
from pathlib import Path


def make_private_folder(folder: Path) -> None:
    """Make ``folder`` and those above it, whatever the umask; one that is there stays as it is.

    :raises OSError: if it cannot be made
    """
    if folder.is_dir():
        return
    for each in reversed([folder, *(parent for parent in folder.parents if not parent.exists())]):
        each.mkdir(mode=0o700, exist_ok=True)
        each.chmod(0o700)
    descriptor = os.open(folder / ".gitignore", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        (folder / ".gitignore").chmod(0o600)
        file.write("*\n")


def sync_file(path: Path) -> None:
    """Return once what is in the file at ``path`` is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Return once the names in ``folder`` are on the disk."""
    if os.name == "nt":  # where a folder cannot be opened, and need not be
        return
    sync_file(folder)
