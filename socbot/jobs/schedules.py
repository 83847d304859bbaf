"""When jobs run."""

from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import TypeAlias

from msgspec import Struct

from socbot.dispatch.arguments import Duration, DurationRange, parse_duration
from socbot.dispatch.errors import InvalidArgument

_EXPECTED = "a schedule: `every 5m`, or `cron 0 3 * * *` (minute, hour, day, month, weekday)"
_INTERVALS = DurationRange(minimum=1.0)


class Every(Struct, frozen=True):
    """``seconds`` after the last success; at once if there was none."""

    seconds: float

    def after(self, moment: float, zone: tzinfo) -> float:
        """The next run, in seconds since 1970, once all up to ``moment`` is done."""
        return moment + self.seconds

    def __str__(self) -> str:
        return f"every {Duration(self.seconds)}"


class Cron(Struct, frozen=True):
    """At the times that five fields name, in the bot's time zone.

    A time that the clocks skip in spring is run right after the gap, one that they repeat in autumn is run once;
    an expression with ``*`` for the minute or the hour goes on with real time.
    """

    expression: str

    def after(self, moment: float, zone: tzinfo) -> float:
        """The first slot later than ``moment``, in seconds since 1970."""
        return next(slot for slot in self._slots(moment, zone) if slot > moment)

    def latest(self, moment: float, zone: tzinfo) -> float:
        """The last slot that is not later than ``moment``."""
        # Backwards, a repeated hour looks as if it had not begun: go a step forward from what is found.
        slot = next(slot for slot in self._slots(moment + 1, zone, backwards=True) if slot <= moment)
        while (later := self.after(slot, zone)) <= moment:
            slot = later
        return slot

    def _slots(self, moment: float, zone: tzinfo, *, backwards: bool = False) -> Iterator[float]:
        from cronsim import CronSim

        start = datetime.fromtimestamp(int(moment), zone)
        return (slot.timestamp() for slot in CronSim(self.expression, start, reverse=backwards))

    def __str__(self) -> str:
        return f"cron {self.expression}"


class Continuous(Struct, frozen=True):
    """All the time: a run that ends has failed."""

    def __str__(self) -> str:
        return "continuous"


Schedule: TypeAlias = Every | Cron | Continuous


def parse_schedule(text: str) -> Every | Cron:
    """Read ``every 5m`` or ``cron 0 3 * * *``.

    :raises InvalidArgument: saying what is wrong with it
    """
    word, _, rest = text.strip().partition(" ")
    if word.lower() == "every":
        return Every(float(parse_duration(rest.strip(), _INTERVALS, "schedule")))
    if word.lower() == "cron":
        return _parse_cron(rest)
    raise InvalidArgument("schedule", text, _EXPECTED)


def _parse_cron(text: str) -> Cron:
    from cronsim import CronSim, CronSimError

    fields = text.split()
    if len(fields) != 5:
        raise InvalidArgument("schedule", text, f"five fields, it has {len(fields)}; expected: {_EXPECTED}")
    try:
        # A leap year's January, from which fifty years hold every date there is.
        next(CronSim(" ".join(fields), datetime(2024, 1, 1)))
    except CronSimError as error:
        raise InvalidArgument("schedule", text, f"a time ({str(error).lower()}); expected: {_EXPECTED}") from None
    except StopIteration:
        raise InvalidArgument("schedule", text, "a time that ever comes") from None
    return Cron(" ".join(fields))
