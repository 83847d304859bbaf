"""What a check is."""

from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias

from msgspec import Struct

from socbot.config import Threshold

Status: TypeAlias = Literal["healthy", "unknown", "degraded", "unhealthy"]

STATUSES: tuple[Status, ...] = ("healthy", "unknown", "degraded", "unhealthy")
"""Best first."""


class Measured(Struct, frozen=True):
    """What a check found: a figure to be judged by the threshold, a judgement of its own, or both. Neither is unknown.

    :param figure: in the check's unit
    :param text: more about it, for the operator
    """

    figure: float | None = None
    text: str = ""
    status: Status | None = None


Measure: TypeAlias = Callable[[], Awaitable[Measured | None]]
"""Measures without blocking the loop; None when there is nothing to be checked. Whatever it raises is unhealthy."""


class Check(Struct, frozen=True):
    """One thing that is looked at in every round.

    :param threshold: where the figure is degraded and unhealthy, or the key of the ``health`` section that says so
    :param public: whether everybody may see the figure; the text is the owner's alone
    """

    name: str
    measure: Measure
    unit: str = ""
    threshold: Threshold | str | None = None
    public: bool = False


def worst(*statuses: Status) -> Status:
    """The worst of ``statuses``; unknown if there is none."""
    return max(statuses, key=STATUSES.index, default="unknown")
