"""The profiler: how long commands take, whole and part by part, and which runs were slow."""

from socbot.systems.profiler.figures import (
    COMMAND,
    HANDLER,
    RAN,
    CommandCost,
    CommandProfile,
    Course,
    Profile,
    Rating,
    Slowness,
    SlowRun,
    rating,
)
from socbot.systems.profiler.filing import add_profiles, add_slow_runs
from socbot.systems.profiler.measuring import own_times
from socbot.systems.profiler.system import Profiler

__all__ = [
    "COMMAND",
    "HANDLER",
    "RAN",
    "CommandCost",
    "CommandProfile",
    "Course",
    "Profile",
    "Profiler",
    "Rating",
    "SlowRun",
    "Slowness",
    "add_profiles",
    "add_slow_runs",
    "own_times",
    "rating",
]
