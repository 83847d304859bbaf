"""The backup that is made before an older store on PostgreSQL is upgraded: verified, or the upgrade does not begin."""

import logging
import threading

from socbot.config import BackupConfig, StorageConfig
from socbot.dispatch.clock import Clock
from socbot.storage.connection import Connection
from socbot.storage.errors import StatementError, StoreError
from socbot.systems.backup.archive import read_manifest
from socbot.systems.backup.errors import BackupError, os_errors, reason_of
from socbot.systems.backup.making import audit_head, pack, read_all, refuse_damaged
from socbot.systems.backup.shelf import Backup, Shelf
from socbot.systems.backup.threads import Work

_log = logging.getLogger(__name__)


class BeforeUpgrade:
    """Makes the backup when the store turns out to be an older one.

    :ivar made: the backup; None if there was no upgrade
    """

    def __init__(self, storage: StorageConfig, config: BackupConfig, clock: Clock) -> None:
        self._storage, self._shelf, self._clock = storage, Shelf(config), clock
        self.made: Backup | None = None

    def __call__(self, connection: Connection, abandoned: threading.Event) -> None:
        """Back up the store to which ``connection`` leads, as it is, and verify the backup.

        :param abandoned: stops it
        :raises StoreError: if there is no such backup; what was written of it is gone
        """
        _log.info("the store is of an older version, and is backed up before it is upgraded")
        try:
            with os_errors("That could not be done"):
                self.made = self._make(_head(connection), Work(abandoned))
        except (BackupError, StoreError) as error:
            raise StoreError(
                "the store is of an older version, and was not upgraded, because it could not be backed up before: "
                f"{reason_of(error)} Nothing of the store was changed. Backups go into {self._shelf.folder} "
                "(backup.folder): mend that, and start again"
            ) from error
        _log.info("the store is backed up as %s, and is upgraded now", self.made.name)

    def _make(self, head: str, work: Work) -> Backup:
        name, manifest = pack("pre_upgrade", head, self._storage, self._shelf, self._clock, work)
        backup = self._shelf.find(name)
        try:
            refuse_damaged(read_all(backup, self._shelf, work))
        except BaseException:  # what could not be verified here and now is no backup
            backup.path.unlink(missing_ok=True)
            raise
        self._delete_former(backup, manifest.revision)
        return backup

    def _delete_former(self, made: Backup, revision: str) -> None:
        """Of an upgrade that fails at each start there is one backup, however often it is tried."""
        former = (each for each in self._shelf.backups() if each.type == made.type and not each.problem)
        for each in former:
            if each.name != made.name and read_manifest(each.path, self._shelf.keys).revision == revision:
                each.path.unlink(missing_ok=True)


def _head(connection: Connection) -> str:
    try:
        return audit_head(connection)
    except StatementError:  # a store from before there was an audit trail
        return ""
