"""A lock between processes: a file that says who holds it, and what is known about the thing it guards."""

import os
import sys
import threading
from pathlib import Path

from socbot.storage.errors import StoreLocked

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        # Far beyond the text, because Windows keeps others from reading what is locked.
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """Held by one process at a time, and let go by the system when that process ends in any way.

    The file stays when the lock is released: deleting it would let two processes lock two files of one name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def acquire(self, patience: float) -> None:
        """Wait up to ``patience`` seconds, on this thread.

        :raises StoreLocked: if another process held it all that time
        :raises OSError: if the file cannot be written
        """
        descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            self._wait(descriptor, patience)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        os.chmod(self.path, 0o600)
        self._write([str(os.getpid()), *self._words()[1:]])

    def release(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def mark(self, word: str) -> None:
        """Remember ``word`` for every later holder."""
        words = self._words()
        if word not in words:
            self._write([*words, word])
            assert self._descriptor is not None
            os.fsync(self._descriptor)

    def marked(self, word: str) -> bool:
        return word in self._words()

    def _wait(self, descriptor: int, patience: float) -> None:
        pause = threading.Event()
        tries = int(patience / 0.02)
        while True:
            try:
                _lock(descriptor)
                return
            except (BlockingIOError, PermissionError):
                if tries <= 0:
                    raise self._locked() from None
            tries -= 1
            pause.wait(0.02)

    def _locked(self) -> StoreLocked:
        words = self._words()
        pid = int(words[0]) if words and words[0].isdecimal() else None
        who = f"process {pid}" if pid else "another process"
        return StoreLocked(f"{who} has {self.path.stem} open: stop it, or give this one its own storage.url", pid)

    def _words(self) -> list[str]:
        return self.path.read_text(encoding="ascii", errors="replace").split()

    def _write(self, words: list[str]) -> None:
        assert self._descriptor is not None
        text = " ".join(words).encode("ascii") + b"\n"
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, text)
        os.ftruncate(self._descriptor, len(text))
