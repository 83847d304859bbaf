"""Errors in numbers."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, tzinfo
from typing import Literal, TypeAlias

from msgspec import Struct

from socbot.systems.errors.records import DAY, HOUR, Group, HourCount, Record

Period: TypeAlias = Literal["hourly", "daily"]

SLOTS: dict[Period, int] = {"hourly": 24, "daily": 14}
"""How many hours or days a trend covers."""


class Figures(Struct, frozen=True):
    """Errors of some time, counted; the commonest first.

    :param slots: how many in each hour or day, oldest first, by its name
    """

    total: int
    by_severity: dict[str, int]
    by_type: dict[str, int]
    by_command: dict[str, int]
    by_group: dict[str, int]
    slots: dict[str, int]


class Trend(Struct, frozen=True):
    """A period, how many errors there were in the one before it, and the groups that are new in it."""

    figures: Figures
    before: int
    new: tuple[Group, ...]


class Dashboard(Struct, frozen=True):
    """What there is to see.

    :param newest: the last errors of each severity
    :param frequent: the groups with the most errors in 24 hours, with how many
    :param rate: errors in an hour, as of now
    :param usual_rate: the same over the week before
    """

    newest: dict[str, list[Record]]
    frequent: tuple[tuple[Group, int], ...]
    rate: float
    usual_rate: float


def figures(hours: Iterable[HourCount], slots: Iterable[str], period: Period, zone: tzinfo) -> Figures:
    """Count ``hours``; ``slots`` are the hours or days to be named even if nothing happened in them."""
    severities, types, commands, groups = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    counted = dict.fromkeys(slots, 0)
    for hour in hours:
        severities[hour.severity] += hour.count
        types[hour.type] += hour.count
        commands[hour.command] += hour.count
        groups[hour.group_id] += hour.count
        name = slot_name(hour.at, period, zone)
        counted[name] = counted.get(name, 0) + hour.count
    return Figures(
        severities.total(),
        dict(severities.most_common()),
        dict(types.most_common()),
        dict(commands.most_common()),
        dict(groups.most_common()),
        counted,
    )


def slot_name(at: float, period: Period, zone: tzinfo) -> str:
    """What the hour or day of a moment is called in ``zone``."""
    return datetime.fromtimestamp(at, zone).strftime("%m-%d %H:00" if period == "hourly" else "%Y-%m-%d")


def slot_names(now: float, count: int, period: Period, zone: tzinfo) -> Iterator[str]:
    """The last ``count`` hours or days, the one that is under way included."""
    today = datetime.fromtimestamp(now, zone).date()
    for back in range(count - 1, -1, -1):
        if period == "hourly":
            yield slot_name(now - back * HOUR, period, zone)
        else:
            yield (today - timedelta(days=back)).isoformat()


def start_of(now: float, count: int, period: Period, zone: tzinfo) -> float:
    """When the first of the last ``count`` hours or days began."""
    if period == "hourly":
        return (now // HOUR - count + 1) * HOUR
    midnight = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight - timedelta(days=count - 1)).timestamp()


def rates(hours: list[HourCount], now: float) -> tuple[float, float]:
    """Errors in the last hour, and in a usual one: the mean of the week before, or of as much of it as is known."""
    this_hour = now // HOUR * HOUR
    gone = (now - this_hour) / HOUR
    current = sum(hour.count for hour in hours if hour.at == this_hour)
    last = sum(hour.count for hour in hours if hour.at == this_hour - HOUR)
    earlier = [hour for hour in hours if hour.at < this_hour]
    if not earlier:
        return current, 0.0
    known = max(1.0, min(7 * DAY, this_hour - min(hour.at for hour in earlier)) / HOUR)
    return current + last * (1 - gone), sum(hour.count for hour in earlier) / known
