"""What analytics tells."""

from datetime import date
from typing import Literal

from msgspec import Struct


class Tally(Struct, frozen=True):
    """How many commands ended in which way; ``unknown`` named no command, and is not among ``commands``."""

    ok: int = 0
    failed: int = 0
    refused: int = 0
    invalid: int = 0
    unknown: int = 0

    @property
    def commands(self) -> int:
        return self.ok + self.failed + self.refused + self.invalid

    @property
    def attempts(self) -> int:
        """Those that were run."""
        return self.ok + self.failed

    @property
    def error_rate(self) -> float:
        """The share of the attempts that failed, 0 to 1."""
        return self.failed / self.attempts if self.attempts else 0.0


class Person(Struct, frozen=True):
    """Somebody by platform and id, or pseudonym, and how many commands they gave."""

    platform: str
    subject: str
    commands: int


class CommandTally(Struct, frozen=True):
    """One command and how it ended; ``commonest_error`` is a type's name, where there is one."""

    command: str
    tally: Tally
    commonest_error: str = ""


class Usage(Struct, frozen=True):
    """What happened over a span of time. Moments are seconds since 1970, None where nothing happened.

    :param users: who gave most; of a time that goes back further than ``analytics.detail_days``, those of its people
        who gave most of all that is kept
    :param by_hour: commands in each of the last hours, by the hour's beginning
    :param by_day: commands on each day, in the bot's time zone
    """

    tally: Tally
    commands: tuple[CommandTally, ...]
    users: tuple[Person, ...]
    unique_users: int
    first_at: float | None
    last_at: float | None
    by_hour: tuple[tuple[float, int], ...]
    by_day: tuple[tuple[date, int], ...]


class Summary(Struct, frozen=True):
    """What happened between two moments. Moments are seconds since 1970, ``step`` is in seconds.

    :param by_command: the most used first
    :param by_step: every hour or day that begins in that time, without gaps, oldest first; days begin at midnight in
        the bot's time zone
    :param people: who gave a command that exists; None where that is not known, for a time that has ended
    """

    tally: Tally
    by_command: tuple[CommandTally, ...]
    by_step: tuple[tuple[float, Tally], ...]
    step: float
    people: int | None


class UserUsage(Struct, frozen=True):
    """What one person did; ``rank`` among ``ranked`` people by commands, None without any."""

    tally: Tally
    commands: tuple[CommandTally, ...]
    rank: int | None
    ranked: int


class Heatmap(Struct, frozen=True):
    """Commands by weekday (Monday first) and hour of the day."""

    counts: tuple[tuple[int, ...], ...]

    @property
    def busiest(self) -> tuple[int, int, int]:
        """Weekday, hour and count of the busiest hour."""
        count, weekday, hour = max(
            (count, -weekday, -hour) for weekday, row in enumerate(self.counts) for hour, count in enumerate(row)
        )
        return -weekday, -hour, count


class UsageRow(Struct, frozen=True):
    """One stored row: ``hour`` in hours since 1970, moments in seconds since 1970, ``seconds`` the sum.

    :param span: whether it is about an hour, or about the month (in UTC) of which ``hour`` is the first; of a month it
        is not known what refused
    """

    hour: int
    platform: str
    guild: str
    subject: str
    command: str
    status: str
    refused_by: str
    count: int
    seconds: float
    first_at: float
    last_at: float
    span: Literal["hour", "month"] = "hour"
