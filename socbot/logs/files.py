"""The files of a log: ``bot.log`` and its former contents, ``bot.log.1``, ``bot.log.2`` and so on."""

import os
from contextlib import suppress
from pathlib import Path

from socbot.folders import make_private_folder

_MOST_COPIES = 100


class RotatingFile:
    """A file that begins anew when it is full; ``copies`` former ones are kept as ``.1``, ``.2`` and so on.

    A disk that is full, or a folder that nothing may be made in, costs lines and raises nothing.

    :ivar limit: bytes; like ``copies`` it may be changed at any time, and counts from the next line on
    """

    def __init__(self, path: Path, limit: int, copies: int) -> None:
        self.path, self.limit, self.copies = path, limit, copies
        self._descriptor = -1
        self._size = 0
        self._is_torn = False

    def open(self) -> None:
        """:raises OSError: if it cannot be"""
        make_private_folder(self.path.parent)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if os.name == "posix":
                os.fchmod(descriptor, 0o600)  # whatever the umask, and also what the older bot left
            self._size = os.fstat(descriptor).st_size
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def write(self, lines: list[bytes]) -> int:
        """Write ``lines``, and return how many of them could not be."""
        lost = 0
        pending: list[bytes] = []
        size = self._size
        for line in lines:
            if pending and size + len(line) > self.limit:
                lost += self._append(pending)
                pending, size = [], self._size
            if not pending and self._size and self._size + len(line) > self.limit:
                self._rotate()
                size = self._size
            pending.append(line)
            size += len(line)
        return lost + self._append(pending)

    def set_aside(self, name: str) -> list[str]:
        """Begin anew, with all that was written kept under ``name``, ``name.1`` and so on; the names, newest first.

        :raises OSError: if it cannot be; what is not named yet stays what it was
        """
        kept = []
        for path in parts_of(self.path):
            target = path.with_name(name + path.name.removeprefix(self.path.name))
            path.rename(target)
            kept.append(target.name)
        self.close()
        self.open()
        return kept

    def _append(self, lines: list[bytes]) -> int:
        mend = b"\n" if self._is_torn else b""
        content, written = mend + b"".join(lines), 0
        try:
            if self._descriptor < 0:
                self.open()
            while written < len(content):
                count = os.write(self._descriptor, content[written:])
                written += count
                self._size += count
        except OSError:
            whole = content[:written]
            if whole:
                self._is_torn = not whole.endswith(b"\n")
            return len(lines) - max(0, whole.count(b"\n") - len(mend))
        self._is_torn = False
        return 0

    def _rotate(self) -> None:
        """Make room; if that cannot be done, the file goes on growing: better a large log than none."""
        with suppress(OSError):
            for number in range(_last_copy(self.path), self.copies - 1, -1):
                copy_of(self.path, number).unlink(missing_ok=True)
            for number in range(self.copies - 1, 0, -1):
                if copy_of(self.path, number).exists():
                    copy_of(self.path, number).replace(copy_of(self.path, number + 1))
            self.path.replace(copy_of(self.path, 1))
        self.close()
        self._size = 0  # and if it cannot be opened now, the next line tries again
        with suppress(OSError):
            self.open()


def copy_of(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def parts_of(path: Path) -> list[Path]:
    """The file and its copies, newest first, as far as they are there without a gap."""
    copies = [copy_of(path, number) for number in range(1, _last_copy(path) + 1)]
    return [each for each in (path, *copies) if each.exists()]


def _last_copy(path: Path) -> int:
    number = 0
    while number < _MOST_COPIES and copy_of(path, number + 1).exists():
        number += 1
    return number
