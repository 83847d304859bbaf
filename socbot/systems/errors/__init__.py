"""What failed: kept without secrets, grouped, told to the owner."""

from socbot.systems.errors.records import Group, HourCount, Record
from socbot.systems.errors.system import Errors, Where

__all__ = ["Errors", "Group", "HourCount", "Record", "Where"]
