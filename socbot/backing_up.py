"""``socbot backup``: what the commands do, for when the bot is down, and for when its store is out of order."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import anyio.to_thread

from socbot.bot import rehearsal, secrets_of
from socbot.config import Loaded
from socbot.dispatch.clock import SystemClock
from socbot.dispatch.errors import InvalidArgument, UserError
from socbot.dispatch.replies import Reply, escape, printable
from socbot.exit_codes import EXIT_FAILURE, EXIT_OK, EXIT_REFUSED, EXIT_USAGE
from socbot.handlers import backup as words
from socbot.redaction import Redactor
from socbot.storage.database import Database
from socbot.storage.errors import StoreBusy, StoreDamaged, StoreError, StoreLocked
from socbot.storage.sqlite_file import SqliteFile
from socbot.systems.audit import Audit
from socbot.systems.backup import Backups, Restored
from socbot.systems.backup import records as kept
from socbot.systems.backup.drill import drill
from socbot.systems.backup.errors import BackupError
from socbot.systems.backup.making import read_all
from socbot.systems.backup.records import Mark
from socbot.systems.backup.restore import Place, place_of
from socbot.systems.backup.restoring import restore_over
from socbot.systems.backup.second_place import backups_in
from socbot.systems.backup.shelf import NEWEST, Shelf
from socbot.systems.backup.targets import Bucket
from socbot.systems.backup.threads import Work
from socbot.systems.backup.upgrading import BeforeUpgrade
from socbot.trail import reading
from socbot.transports.console import Console

BY = "the command line"
"""Who did it, for the audit trail."""

_LOOKED_AT = 5
"""How many backups are verified in search of one that is intact."""


@dataclass(slots=True)
class Request:
    """What was asked for: the action, the backup or the type, and the answers that were given beforehand."""

    action: str
    what: str | None = None
    yes: bool = False
    unsigned: bool = False
    dry_run: bool = False


class _NoBot:
    """There is no bot whose commands would have to wait or whose systems would have to read anything again."""

    async def notify(self, reply: Reply) -> None:
        print(printable(str(reply)), file=sys.stderr)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        yield

    async def restored(self) -> tuple[str, ...]:
        return ()


async def run(request: Request, loaded: Loaded) -> int:
    """Do what was asked for; the exit code.

    :raises StoreLocked: if the bot is running
    :raises StoreError: if the store is out of order, and is needed
    """
    desk = _Desk(loaded)
    try:
        return await desk.actions[request.action](request)
    except InvalidArgument as error:
        desk.complain(error)
        return EXIT_USAGE
    except UserError as error:
        desk.complain(error)
        return EXIT_FAILURE


class _Desk:
    """Where it is done."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded, self._config = loaded, loaded.config
        self._shelf = Shelf(loaded.config.backup)
        self._redactor = Redactor(secrets_of(loaded.config))
        self._clock = SystemClock()
        self._console = Console(ZoneInfo(loaded.config.bot.time_zone))
        self.actions = {
            "now": self.now,
            "list": self.list,
            "verify": self.verify,
            "restore": self.restore,
            "undo": self.undo,
            "drill": self.drill,
            "prune": self.prune,
            "fetch": self.fetch,
        }

    def complain(self, error: Exception) -> None:
        print(f"socbot: {printable(self._redactor(str(error)))}", file=sys.stderr)

    # -- what needs the store --------------------------------------------------------------------------

    async def now(self, request: Request) -> int:
        type = words.type_of(request.what or "manual")
        async with self._backups() as backups:
            await self._show(words.reply_of_made(await backups.now(type, self._tell)))
            await self._audit.record("backup_now", type, BY)
        return EXIT_OK

    async def prune(self, request: Request) -> int:
        async with self._backups() as backups:
            verdicts = await backups.prune(dry_run=True)
            await self._show(words.reply_of_prune("Nothing was deleted: this is what would be", verdicts))
            gone = sum(not verdict.kept for verdict in verdicts)
            if request.dry_run or not gone:
                return EXIT_OK
            if not await self._agreed(request, f"Delete {gone} of {len(verdicts)} backups?"):
                return EXIT_REFUSED
            await self._show(words.reply_of_prune("Pruned", await backups.prune()))
            await self._audit.record("backup_prune", "", BY)
        return EXIT_OK

    async def undo(self, request: Request) -> int:
        async with self._backups() as backups:
            before = await backups.undoable()
            if not await self._agreed(request, f"Put everything back as it was before {before} was restored?"):
                return EXIT_REFUSED
            await self._show(words.reply_of_restored(await backups.undo(self._tell)))
            await self._audit.record("restore_backup", "undo", BY)
        return EXIT_OK

    # -- what is done without it where it is out of order ----------------------------------------------

    async def list(self, request: Request) -> int:
        type = None if request.what is None else words.type_of(request.what)
        backups = await anyio.to_thread.run_sync(self._shelf.backups)
        marks = await anyio.to_thread.run_sync(self._marks)
        await self._show(words.reply_of_list(kept.describe(backups, marks, type), self._clock.time()))
        return EXIT_OK

    async def verify(self, request: Request) -> int:
        backup = await anyio.to_thread.run_sync(self._shelf.find, request.what or NEWEST)
        report = await anyio.to_thread.run_sync(
            lambda: read_all(backup, self._shelf, Work(), unsigned=request.unsigned)
        )  # fmt: skip
        await self._show(words.reply_of_report(backup.name, report))
        return EXIT_OK if report.intact else EXIT_FAILURE

    async def restore(self, request: Request) -> int:
        backup = await anyio.to_thread.run_sync(self._shelf.find, request.what or NEWEST)
        marks = await anyio.to_thread.run_sync(self._marks)
        [found] = kept.describe([backup], marks)
        if not await self._agreed(request, words.what_is_replaced(found, self._config.backup.paths)):
            return EXIT_REFUSED
        try:
            async with self._backups() as backups:
                done = await backups.restore(backup.name, self._tell, unsigned=request.unsigned)
                await self._audit.record("restore_backup", backup.name, BY)
        except (StoreLocked, StoreBusy):
            raise
        except StoreError as error:
            if self._place.store is None:
                raise
            await self._tell(f"The store cannot be opened, so it is put aside as it is. ({error})")
            done = await anyio.to_thread.run_sync(lambda: self._over(backup.name, request.unsigned))
        await self._show(words.reply_of_restored(done))
        return EXIT_OK

    def _over(self, name: str, unsigned: bool) -> Restored:
        storage = self._config.storage
        assert storage.file is not None  # on PostgreSQL there is nothing to put aside
        file = SqliteFile(storage.file)
        file.claim(storage.busy_timeout)
        try:
            return restore_over(name, self._shelf, self._place, self._clock, unsigned=unsigned)
        finally:
            file.release()

    async def drill(self, request: Request) -> int:
        try:
            async with self._backups() as backups:
                done = await backups.drill(request.what, self._tell)
        except StoreDamaged as error:
            await self._tell(f"The store cannot be opened, so the drill is not on record. ({error})")
            backup = await anyio.to_thread.run_sync(self._shelf.find, request.what or NEWEST)
            scratch, rehearse = self._place.scratch, rehearsal(lambda: self._config)
            commands = self._config.backup.drill_commands
            done = await drill(backup, self._shelf, scratch, commands, rehearse, self._clock, self._tell)
        await self._show(words.reply_of_drill(done))
        return EXIT_OK if done.passed else EXIT_FAILURE

    async def fetch(self, request: Request) -> int:
        """Without a name, say what is in the second place; bring one of it into the folder."""
        if not self._config.backup.s3.bucket:
            raise BackupError("There is no second place: backup.s3.bucket names none.")
        bucket = Bucket(self._config.backup.s3)
        stored = await backups_in(bucket)
        if request.what is None:
            items = tuple(f"{escape(each.path.name)}: {each.size:,} bytes" for each in stored)
            await self._show(Reply(title=f"In the second place: {len(stored)}", items=items))
            return EXIT_OK
        wanted = [each for each in stored if request.what in (NEWEST, each.name, each.path.name)]
        if not wanted:
            raise InvalidArgument("what", request.what, "the name of a backup there; `socbot backup fetch` shows them")
        self._shelf.make_folder()
        path = self._shelf.folder / wanted[0].path.name
        await bucket.get(path.name, path)
        await self._show(Reply.ok(f"{path} is here; `socbot backup verify {wanted[0].name}` reads it."))
        return EXIT_OK

    # -- how -------------------------------------------------------------------------------------------

    @property
    def _place(self) -> Place:
        return place_of(self._config.storage, self._config.backup)

    @asynccontextmanager
    async def _backups(self) -> AsyncIterator[Backups]:
        config = self._config
        before = BeforeUpgrade(config.storage, config.backup, self._clock)
        async with Database.open(config.storage, self._clock, back_up=before) as database:
            audit = self._audit = Audit(database, self._clock, self._redactor)
            backups = Backups(
                database, self._clock, config.storage, config.backup, _NoBot(), None, audit,
                rehearsal(lambda: config),
            )  # fmt: skip
            await backups.load()
            await backups.adopt(before.made)
            async with backups:
                yield backups
            await audit.close()

    def _marks(self) -> dict[str, Mark]:
        """What the store knows of the backups, if it can be read; a bot that is running does not mind."""
        store = self._place.store
        if store is not None and not store.exists():
            return {}
        try:
            with reading(self._config.storage) as session:
                return kept.marks(session)
        except StoreError as error:
            self.complain(StoreError(f"what was verified is not known, because the store cannot be read: {error}"))
            return {}

    async def _agreed(self, request: Request, question: str) -> bool:
        if request.yes:
            return True
        await self._show(Reply(question, tone="warn"))
        if not sys.stdin.isatty():
            print("Nothing was done; --yes confirms.", file=sys.stderr)
            return False
        answer = await anyio.to_thread.run_sync(lambda: input("y/n: "))
        return answer.strip().lower() in ("y", "yes")

    async def _show(self, reply: Reply) -> None:
        await self._console.show(reply)

    async def _tell(self, text: str) -> None:
        print(printable(self._redactor(text)), file=sys.stderr, flush=True)


def latest_intact(loaded: Loaded) -> str | None:
    """The name of the newest backup of which every byte is right; reads some of them whole."""
    shelf = Shelf(loaded.config.backup)
    try:
        for backup in shelf.backups()[:_LOOKED_AT]:
            if _is_intact(backup.name, shelf):
                return backup.name
    except UserError:  # no folder of backups that could be read
        return None
    return None


def _is_intact(name: str, shelf: Shelf) -> bool:
    try:
        return read_all(shelf.find(name), shelf, Work()).intact
    except (UserError, OSError):  # the key is lacking, or the file cannot be read
        return False
