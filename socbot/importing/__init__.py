"""Taking over the older bot's data: each record of its files is taken, corrected, or refused with a reason."""

from socbot.importing.importer import Importer
from socbot.importing.report import FileReport, Finding, Report, Verdict

__all__ = ["FileReport", "Finding", "Importer", "Report", "Verdict"]
