"""The second place: what was verified is copied there, and its failures are its own."""

from socbot.dispatch.replies import escape
from socbot.redaction import redact
from socbot.systems.backup.errors import BackupError
from socbot.systems.backup.retention import Known, judge
from socbot.systems.backup.shelf import Backup, Shelf, described_by_name
from socbot.systems.backup.targets import Bucket, Target
from socbot.systems.backup.telling import Alarm
from socbot.systems.backup.threads import Tell


class SecondPlace:
    """The bucket of ``backup.s3``, if it names one.

    :ivar standing: how it stands with it; empty if there is none
    """

    def __init__(self, shelf: Shelf, alarm: Alarm) -> None:
        self._shelf, self._alarm = shelf, alarm
        self._told = False
        self.standing = ""

    async def copy(self, backup: Backup, tell: Tell) -> str:
        """Copy a backup, which was verified; what went wrong, or nothing. Told once."""
        config = self._shelf.config
        if not config.s3.bucket:
            self.standing = ""
            return ""
        await tell("Copying to the second place…")
        try:
            bucket = Bucket(config.s3)
            await bucket.put(backup.path, backup.path.name)
            count = await self._prune(bucket)
        except BackupError as error:
            return await self._not_copied(redact(str(error)))
        self.standing, self._told = f"{count} backups, {backup.name} the newest", False
        return ""

    async def _not_copied(self, reason: str) -> str:
        self.standing = f"The copy in the second place failed: {reason}"
        if not self._told:
            self._told = True
            await self._alarm.raise_("Backup Not Copied", escape(self.standing, 500), "warning")
        return self.standing

    async def _prune(self, bucket: Target) -> int:
        """Keep there what the retention keeps of what is there, all of which was verified; how many that are."""
        found = await backups_in(bucket)
        files = {each.name: each.path.name for each in found}
        known = (Known(each.name, each.type, each.made_at, each.stamp, verified_at=each.made_at) for each in found)
        verdicts = judge(known, self._shelf.config.retention)
        for verdict in verdicts:
            if not verdict.kept:
                await bucket.delete(files[verdict.backup.name])
        return sum(verdict.kept for verdict in verdicts)


async def backups_in(target: Target) -> tuple[Backup, ...]:
    """The backups that are in ``target``, as far as their names say, newest first; ``path`` is the name there.

    :raises TargetError: if it cannot be told
    """
    described = [described_by_name(each.name, each.size) for each in await target.list()]
    found = [each for each in described if each is not None]
    return tuple(sorted(found, key=lambda each: each.stamp, reverse=True))
