"""The ways in which a backup can be refused, one class for each that somebody handles differently."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from socbot.dispatch.errors import UserError
from socbot.dispatch.replies import escape
from socbot.redaction import redact
from socbot.storage.errors import StoreError


class BackupError(UserError):
    """A backup could not be made or used; the text says why, and what to do."""


class Damaged(BackupError):
    """What is there is not what was packed, or was never packed by us. Nothing of it may be used.

    :param file: the file within the backup; empty if it is the backup itself
    """

    def __init__(self, file: str, problem: str) -> None:
        self.file, self.problem = file, problem
        super().__init__(file, problem)

    def __str__(self) -> str:
        what = f"`{escape(self.file, 100)}`" if self.file else "the backup itself"
        return f"The backup is damaged or forged: {what}: {escape(self.problem, 300)}."


class KeyNeeded(BackupError):
    """It is encrypted or signed with a key that is not set; ``key_id`` names it."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(
            f"That backup needs the key {escape(key_id, 32)}: set backup.key_file or backup.passphrase_file, "
            "or add it to backup.old_keys."
        )


class NotSigned(BackupError):
    """A key is set, and the backup bears no signature."""

    def __init__(self) -> None:
        super().__init__(
            "That backup is not signed, though a key is set: it was made before the key was, or somebody took the "
            "signature away. Nobody can tell which."
        )


class TooNewBackup(BackupError):
    """A newer socbot wrote it; ``format`` is a number that this one does not know."""

    def __init__(self, format: int) -> None:
        self.format = format
        super().__init__(f"That backup is of format {format}, which is newer than this socbot: install the newer one.")


class NoRoom(BackupError):
    """The disk is full, or would be."""


class Cancelled(BackupError):
    """It was told to stop; what it had written is gone."""

    def __init__(self) -> None:
        super().__init__("The backup was stopped before it was done; nothing of it was kept.")


class Unreadable(BackupError):
    """A file that was to go into the backup could not be read, or changed while it was."""

    def __init__(self, path: str, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"`{escape(path, 200)}` could not be backed up: {escape(problem, 200)}.")


@contextmanager
def os_errors(text: str) -> Iterator[None]:
    """Raise what the disk refuses within the block as a ``BackupError`` that begins with ``text``."""
    try:
        yield
    except OSError as error:
        where = f" ({Path(str(error.filename)).name})" if error.filename else ""
        raise BackupError(f"{text}: {error.strerror or error}{where}.") from error


def reason_of(error: Exception) -> str:
    """Why something failed, short and without secrets, whatever was raised."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    known = isinstance(error, (BackupError, StoreError))
    return redact(str(error) if known else f"{type(error).__name__}: {error}")[:500]
