"""``socbot import``: shows what would be taken over, asks, and does it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import anyio
import msgspec

from socbot.bot import Bot
from socbot.config import Loaded
from socbot.dispatch.errors import UserError
from socbot.dispatch.replies import printable
from socbot.documents import ConfigError
from socbot.exit_codes import EXIT_FAILURE, EXIT_OK
from socbot.importing.importer import Importer, found_in
from socbot.importing.report import VERDICTS, FileReport, Finding, Report, summed_up
from socbot.redaction import redact
from socbot.transports.console import OWNER, PLATFORM

_LISTED = 20
"""Records of a file that are listed; all of them are in the JSON."""


def import_folder(loaded: Loaded, folder: Path, zone: str, *, yes: bool, as_json: bool) -> int:
    """Take over ``folder`` if ``yes``, or if whoever sits at the terminal says so; the exit code.

    :raises ConfigError: if there is nothing to take over, or no such zone
    :raises StoreError: if the store cannot be used; then nothing was taken over
    """
    if not folder.is_dir() or not found_in(folder):
        raise ConfigError(f"{folder}: no folder of the older bot's; it has data/*.json")
    return anyio.run(_import, loaded, folder, _zone(zone), yes, as_json)


async def _import(loaded: Loaded, folder: Path, zone: ZoneInfo, yes: bool, as_json: bool) -> int:
    async with Bot(loaded, owners=[(PLATFORM, OWNER)], jobs=False) as bot:
        importer = Importer(bot, zone)
        report = await importer.plan(folder)
        if not as_json:
            _show(report)
            yes = yes or _says_yes(report)
        if yes and _is_due(report):
            try:
                report = await importer.take_over(folder)
            except UserError as error:
                print(f"socbot: {printable(redact(str(error)))}", file=sys.stderr)
                return EXIT_FAILURE
    if as_json:
        print(msgspec.json.encode(report).decode())
    else:
        _say(f"Done: {report.summary}." if report.done else _not_done(report))
    return EXIT_OK


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(f"--zone {name}: that is no time zone; write one like Europe/Berlin or UTC") from None


def _is_due(report: Report) -> bool:
    return bool(report.count("taken") or report.count("corrected"))


def _says_yes(report: Report) -> bool:
    if not _is_due(report) or not sys.stdin.isatty():
        return False
    print("Take this over? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _not_done(report: Report) -> str:
    return "Nothing was changed; --yes does it." if _is_due(report) else "There is nothing to take over."


def _show(report: Report) -> None:
    for file in report.files:
        _say(f"{file.name}: {file.problem or summed_up(file.count)}")
        for line in _lines(file):
            _say(f"  {line}")
    _say(f"In all: {report.summary}.")


def _lines(file: FileReport) -> Iterator[str]:
    """What is to be said of a file: its notes, and each record of which more is to be said than that it is taken."""
    yield from (f"note: {note}" for note in file.notes)
    for verdict in VERDICTS:
        told = [each for each in file.findings if each.verdict == verdict and each.reason]
        for finding in told[:_LISTED]:
            yield _line(finding)
        if len(told) > _LISTED:
            yield f"{verdict}: {len(told) - _LISTED} more; --json lists them all"


def _line(finding: Finding) -> str:
    count = f" ({finding.count})" if finding.count > 1 else ""
    return f"{finding.verdict}: {finding.record}{count}: {finding.reason}"


def _say(text: str) -> None:
    print(printable(redact(text), ""))
