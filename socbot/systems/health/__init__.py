"""Health: whether everything does its work, whether the bot lives, and whether it can serve."""

from socbot.systems.health.checks import STATUSES, Check, Measured, Status
from socbot.systems.health.episodes import SIGNS
from socbot.systems.health.meters import Stall
from socbot.systems.health.probes import Fact, Probe
from socbot.systems.health.records import Episode, Result, Round, Step
from socbot.systems.health.system import ESSENTIAL, Health, History, Overall

__all__ = [
    "ESSENTIAL",
    "SIGNS",
    "STATUSES",
    "Check",
    "Episode",
    "Fact",
    "Health",
    "History",
    "Measured",
    "Overall",
    "Probe",
    "Result",
    "Round",
    "Stall",
    "Status",
    "Step",
]
