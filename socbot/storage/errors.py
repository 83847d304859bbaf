"""The ways in which the store can fail, one class for each that somebody handles differently."""

from collections.abc import Iterator
from contextlib import contextmanager

from socbot.documents import UNDECODABLE


class StoreError(Exception):
    """The store could not do what was asked. Nothing of the work was kept, unless the text says otherwise."""


class StatementError(StoreError):
    """The SQL or its values are wrong, or a row breaks a constraint: trying again would not help."""


class StoreBusy(StoreError):
    """Somebody else held the database for longer than ``storage.busy_timeout``; trying again may help."""


class StoreUncertain(StoreError):
    """The database has not said what became of a change: it may or may not be kept."""


class StoreDamaged(StoreError):
    """The file is not a sound socbot store. It was left as it is: restore a backup."""


class StoreReadOnly(StoreError):
    """The database, or what it was asked through, may be read but not written."""


class StoreFull(StoreError):
    """No room is left on the disk."""


class StoreUnreachable(StoreError):
    """The server of the store takes no connection; trying again may help."""


class StoreFenced(StoreError):
    """Another process has taken over what this one did for all of them."""


class StoreLocked(StoreError):
    """Another process owns the store; ``pid`` if it is known."""

    def __init__(self, text: str, pid: int | None = None) -> None:
        self.pid = pid
        super().__init__(text)


class StoreTooOld(StoreError):
    """The store is at ``revision``, and whoever opened it does not upgrade it; nothing of it was changed."""

    def __init__(self, revision: str, newest: str) -> None:
        self.revision = revision
        super().__init__(
            f"the store is at revision {revision!r}, and this socbot needs {newest!r}: `socbot run` backs it up and "
            "upgrades it when it starts"
        )


class StoreTooNew(StoreError):
    """The store was written by a newer socbot, ``revision`` being one that this one does not know."""

    def __init__(self, revision: str) -> None:
        self.revision = revision
        super().__init__(
            f"the store is at revision {revision!r}, which is newer than this socbot: install the newer one"
        )


@contextmanager
def decoding(what: str) -> Iterator[None]:
    """Within the block it is decoded what was stored.

    :raises StoreDamaged: naming ``what``, if it is not what was written
    """
    try:
        yield
    except UNDECODABLE as error:
        raise StoreDamaged(f"{what} cannot be read ({error})") from error
