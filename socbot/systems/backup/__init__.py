"""Backups: one moment of the store and of the operator's files, packed into one file that can be trusted."""

from socbot.systems.backup.records import Described, Drill, DrillStep
from socbot.systems.backup.restoring import Restored
from socbot.systems.backup.retention import Verdict
from socbot.systems.backup.system import Backups, Made, Status

__all__ = ["Backups", "Described", "Drill", "DrillStep", "Made", "Restored", "Status", "Verdict"]
