"""``socbot doctor``: looks at an installation, says what is wrong and how to mend it."""

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import msgspec

from socbot.config import Loaded, load
from socbot.dispatch.arguments import Duration
from socbot.dispatch.clock import SystemClock
from socbot.dispatch.replies import printable
from socbot.documents import ConfigError
from socbot.exit_codes import EXIT_FAILURE, EXIT_OK
from socbot.redaction import redact
from socbot.remarks import Remark, on_dashboard, on_discord, on_privacy
from socbot.storage.database import Database
from socbot.storage.errors import StoreBusy, StoreError, StoreLocked, StoreTooOld
from socbot.storage.sqlite import has_wal_reset_bug
from socbot.systems.backup.errors import BackupError
from socbot.systems.backup.shelf import Backup, Shelf

_LEAST_FREE = 200 * 1024 * 1024
_OLD = 2 * 86_400.0


def examine(path: Path | None, *, as_json: bool) -> int:
    """Print what is found; exit code 1 if something is wrong."""
    remarks = tuple(_remarks(path))
    if as_json:
        print(msgspec.json.encode(remarks).decode())
    else:
        for remark in remarks:
            mark = {"ok": "✓", "warning": "!", "error": "✗"}[remark.level]
            print(printable(redact(f"{mark} {remark.text}")))
            if remark.mend:
                print(printable(redact(f"    {remark.mend}")))
    return EXIT_FAILURE if any(remark.level == "error" for remark in remarks) else EXIT_OK


def _remarks(path: Path | None) -> Iterator[Remark]:
    yield Remark("ok", f"Python {sys.version.split()[0]} on {sys.platform}")
    try:
        loaded = load(path)
    except ConfigError as error:
        yield Remark("error", str(error), "mend the file, then run `socbot check`")
        return
    yield Remark("ok", f"{path or 'no config.yaml, so the defaults'}: usable")
    if not loaded.config.bot.owners and not loaded.config.discord.token:
        mend = "set BOT_OWNER_ID, or bot.owners in config.yaml; on the console you are the owner anyway"
        yield Remark("warning", "nobody on a platform is the bot's owner", mend)
    yield from on_discord(loaded)
    yield from on_dashboard(loaded)
    yield from on_privacy(loaded)
    yield from _store(loaded)
    yield from _backups(loaded)


def _store(loaded: Loaded) -> Iterator[Remark]:
    file = loaded.config.storage.file
    if file is not None:
        version = sqlite3.sqlite_version_info[:3]
        if has_wal_reset_bug(version):
            text = f"SQLite {sqlite3.sqlite_version} can damage a store that two programs write to at once"
            yield Remark(
                "warning",
                text,
                "socbot writes over one connection and locks other socbots out; let nothing else write to the file. "
                "SQLite 3.51.3 mends it",
            )
        free = shutil.disk_usage(_existing(file.parent)).free
        if free < _LEAST_FREE:
            yield Remark("warning", f"{free / 1e6:.0f} MB are free where the store is", "make room")
    if file is not None and not file.exists():
        yield Remark("ok", "there is no store yet; the first start makes it")
        return
    try:
        yield Remark("ok", anyio.run(_try_store, loaded))
    except (StoreBusy, StoreLocked) as error:
        yield Remark("warning", f"the store was not looked at: {error}", "if that is the bot, all is well")
    except StoreTooOld as error:
        yield Remark("ok", str(error))
    except StoreError as error:
        yield Remark("error", str(error))


def _backups(loaded: Loaded) -> Iterator[Remark]:
    config = loaded.config.backup
    if not config.enabled:
        yield Remark("warning", "no backups are made by themselves", "set backup.enabled: true in config.yaml")
        return
    try:
        found = Shelf(config).backups()
    except BackupError as error:
        yield Remark("error", str(error), "see backup.folder in config.yaml")
        return
    good = [backup for backup in found if not backup.problem]
    if not good:
        yield Remark("ok", "there is no backup yet; the bot makes the first one when it starts")
    else:
        yield _newest(good[0])
    for backup in found:
        if backup.problem:
            yield Remark(
                "warning", f"{backup.name} is of no use: {backup.problem}", f"`socbot backup verify {backup.name}`"
            )
    if good and not config.s3.bucket:
        mend = "copy the folder elsewhere, or see backup.s3 in config.yaml; docs/backup.md tells how"
        yield Remark("ok", f"backups lie in {config.folder} alone: a disk that dies may take them too", mend)


def _newest(backup: Backup) -> Remark:
    age = max(0.0, SystemClock().time() - backup.made_at)
    text = f"the newest backup is {backup.name}, {Duration(round(age) or 1)} old"
    if age > _OLD:
        return Remark("warning", text, "if the bot has run meanwhile, `!backup_status` and the log say why")
    return Remark("ok", text)


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


async def _try_store(loaded: Loaded) -> str:
    async with Database.open(loaded.config.storage, SystemClock()) as database:
        if database.dialect == "sqlite":
            problems = await database.read(lambda connection: connection.execute("PRAGMA integrity_check(3)"))
            if problems != [("ok",)]:
                raise StoreError(f"the store is damaged: {problems}")
        entries = await database.read(lambda connection: connection.execute("SELECT COUNT(*) FROM blacklist"))
        return f"the store ({database.dialect}) is sound; {entries[0][0]} entries on the blacklist"
