"""What failed: kept without secrets, grouped, told to the owner."""

from socbot.systems.errors.figures import Dashboard, Figures, Period, Trend
from socbot.systems.errors.records import Group, Listed, Order, Record, Standing, Wanted
from socbot.systems.errors.system import Errors, Where
from socbot.systems.errors.watch import Pace

__all__ = [
    "Dashboard",
    "Errors",
    "Figures",
    "Group",
    "Listed",
    "Order",
    "Pace",
    "Period",
    "Record",
    "Standing",
    "Trend",
    "Wanted",
    "Where",
]
