"""What failed: kept without secrets, grouped, told to the owner."""

from socbot.systems.errors.figures import Dashboard, Figures, Period, Trend
from socbot.systems.errors.records import Group, Record
from socbot.systems.errors.system import Errors, Where

__all__ = ["Dashboard", "Errors", "Figures", "Group", "Period", "Record", "Trend", "Where"]
