"""All files of a folder: what would become of each record, and the one transaction that does it."""

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import tzinfo
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct, structs

from socbot.bot import Bot
from socbot.dispatch.replies import printable
from socbot.importing import blacklist, errors, incidents, performance, settings, state, usage
from socbot.importing.documents import UnreadableDocument, read_document
from socbot.importing.fields import digest_of
from socbot.importing.report import FileReport, Finding, Note, Part, Report, Verdict, Write
from socbot.importing.world import World
from socbot.storage.connection import Connection
from socbot.systems.identities import Pseudonyms

Reader: TypeAlias = Callable[[dict[str, Any], World], Iterator[Part | Note]]

_log = logging.getLogger(__name__)

READERS: dict[str, Reader] = {
    "error_config": settings.read_errors,
    "rate_limit_config": settings.read_rate_limit,
    "logging_config": settings.read_logs,
    "logging_config_adv": settings.read_logs,
    "backup_config": settings.read_backup,
    "blacklist": blacklist.read,
    "command_analytics": usage.read,
    "error_log": errors.read,
    "performance_profile": performance.read,
    "health_status": state.read_health,
    "task_metrics": state.read_tasks,
    "webhooks": state.read_webhooks,
    "threat_drills": incidents.read_threat_drills,
    "security_drills": incidents.read_security_drills,
    "drills": incidents.read_old_drills,
    "incidents": incidents.read_incidents,
    "alerts": incidents.read_alerts,
    "bot_data": state.read_data,
}
"""The files that are read, by their names; the settings first, for the others go by them."""

_COPIES = ("analytics_export_", "analytics_backup_", "error_backup_", "bot_backup_", "blacklist_export")
_MOST_FILES = 1_000


class _File(Struct):
    """A file that was read: its parts, and what else is to be said of it."""

    name: str
    kind: str
    parts: list[Part]
    notes: list[str]
    problem: str = ""


class _Known(Struct):
    """What was imported before: the content of each part by what it is."""

    contents: dict[str, str]


class Importer:
    """Takes over the older bot's folder, once.

    :param zone: of the times that carry none
    """

    def __init__(self, bot: Bot, zone: tzinfo) -> None:
        self._bot, self._zone = bot, zone

    async def plan(self, folder: Path) -> Report:
        """What ``take_over`` would do; touches nothing.

        :raises StoreError: if the store cannot be read
        """
        files, _ = await self._read(folder)
        known = await self._bot.database.read(_known)
        return Report(tuple(_report(file, known)[0] for file in files))

    async def take_over(self, folder: Path) -> Report:
        """Take over what can be, all of it or nothing; the bot has to be started anew to know of it.

        :raises StoreError: if it could not be written; then nothing was
        :raises UserError: if there is no key to seal the webhooks' addresses with
        """
        files, world = await self._read(folder)
        await world.seal()
        return await self._bot.database.write(lambda connection: self._write(connection, files, folder.name))

    async def _read(self, folder: Path) -> tuple[list[_File], World]:
        database, clock, config = self._bot.database, self._bot.clock, self._bot.config
        world = World(self._bot, self._zone, Pseudonyms(database, clock, enabled=config.analytics.hash_ids))
        await world.look()
        return [_read_file(path, folder, world) for path in found_in(folder)], world

    def _write(self, connection: Connection, files: list[_File], folder: str) -> Report:
        known, now, reports = _known(connection), self._bot.clock.time(), []
        for file in files:
            report, parts = _report(file, known)
            for part, write in parts:
                write(connection)
                _remember(connection, known, file.kind, part, now)
            reports.append(report)
        made = Report(tuple(reports), done=True)
        audit = self._bot.audit
        audit.append(connection, audit.entry("import", f"{printable(folder, '')}: {made.summary}", "socbot import"))
        return made


def found_in(folder: Path) -> list[Path]:
    """The files to look at: of ``folder`` itself or its ``data``, and ``backups/backup_config.json``."""
    data = folder / "data" if (folder / "data").is_dir() else folder
    found = sorted(data.glob("*.json"))[:_MOST_FILES]
    backup = folder / "backups" / "backup_config.json"
    paths = [*found, *([backup] if backup.exists() else [])]
    order = {kind: position for position, kind in enumerate(READERS)}
    return sorted(paths, key=lambda path: (order.get(path.stem, len(order)), path.name))


def _read_file(path: Path, folder: Path, world: World) -> _File:
    kind = path.stem
    file = _File(printable(path.relative_to(folder).as_posix(), ""), kind, [], [])
    reader = READERS.get(kind)
    if reader is None:
        copy = kind.startswith(_COPIES)
        file.problem = "an export, which is not read" if copy else "no file of the older bot's that socbot knows"
        return file
    try:
        document = read_document(path)
    except UnreadableDocument as error:
        file.problem = str(error)
        return file
    world.saved_at = min(world.now, path.stat().st_mtime)
    if document.repeated:
        file.notes.append(f"keys that are written twice, of which the last counts: {_few(document.repeated)}")
    for found in reader(document.values, world):
        if isinstance(found, Note):
            _log.info("%s: %s", file.name, found.text)
            file.notes.append(found.text)
        else:
            file.parts.append(found)
    return file


def _few(names: Iterable[str]) -> str:
    shown = [name[:40] for name in dict.fromkeys(names)]
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")


def _report(file: _File, known: _Known) -> tuple[FileReport, list[tuple[Part, Write]]]:
    """What becomes of the parts of ``file``, and those that are to be written."""
    findings: list[Finding] = []
    writes: list[tuple[Part, Write]] = []
    due: dict[str, str] = {}
    for part in file.parts:
        if part.write is None:
            findings += part.findings
            continue
        place, content = _place(file.kind, part), digest_of(part.content)
        before = due.get(place) or known.contents.get(place)
        if before is None or (part.again and before != content):
            due[place] = content
            findings += part.findings
            writes.append((part, part.write))
        elif before == content:
            findings += [_settled(each, "there already", "it was imported before") for each in part.findings]
        else:
            reason = "it was imported before, as it was then: with both it would count twice"
            findings += [_settled(each, "refused", reason) for each in part.findings]
    return FileReport(file.name, tuple(findings), tuple(file.notes), file.problem), writes


def _settled(finding: Finding, verdict: Verdict, reason: str) -> Finding:
    return finding if finding.verdict == "refused" else structs.replace(finding, verdict=verdict, reason=reason)


# -- what was imported before -------------------------------------------------------------------------


def _place(kind: str, part: Part) -> str:
    kind = "logging_config" if kind == "logging_config_adv" else kind
    return f"{kind}:{digest_of(part.key)[:32]}"


def _known(connection: Connection) -> _Known:
    rows = connection.execute("SELECT record FROM imported")
    return _Known(dict(str(record).rsplit(":", 1) for (record,) in rows))


def _remember(connection: Connection, known: _Known, kind: str, part: Part, now: float) -> None:
    place, content = _place(kind, part), digest_of(part.content)
    before = known.contents.get(place)
    if before is not None:
        connection.change("DELETE FROM imported WHERE record = :record", {"record": f"{place}:{before}"})
    connection.change(
        "INSERT INTO imported (record, at) VALUES (:record, :now)", {"record": f"{place}:{content}", "now": now}
    )
    known.contents[place] = content
