"""Requests to addresses that people name: what may be reached, and a client that reaches nothing else."""

from socbot.egress.client import Answer, Client
from socbot.egress.errors import Blocked, EgressError, LeadsInside, TimedOut, Unreachable, Unreadable
from socbot.egress.masking import mask
from socbot.egress.policy import Allowed, Policy, Target

__all__ = [
    "Allowed",
    "Answer",
    "Blocked",
    "Client",
    "EgressError",
    "LeadsInside",
    "Policy",
    "Target",
    "TimedOut",
    "Unreachable",
    "Unreadable",
    "mask",
]
