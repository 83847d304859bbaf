"""Analytics: who used which command when, and how it ended: by the hour, then by the month, and together."""

from socbot.systems.analytics.counting import add_rows, erase
from socbot.systems.analytics.figures import (
    CommandTally,
    Heatmap,
    Person,
    Summary,
    Tally,
    Usage,
    UsageRow,
    UserUsage,
)
from socbot.systems.analytics.system import Analytics

__all__ = [
    "Analytics",
    "CommandTally",
    "Heatmap",
    "Person",
    "Summary",
    "Tally",
    "Usage",
    "UsageRow",
    "UserUsage",
    "add_rows",
    "erase",
]
