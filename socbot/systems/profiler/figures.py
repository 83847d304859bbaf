"""What the profiler tells."""

from typing import Final, Literal, TypeAlias

from msgspec import Struct

from socbot.systems.sketch import Sketch

Rating: TypeAlias = Literal["Excellent", "Good", "Acceptable", "Slow"]

COMMAND: Final = "command"
"""The part that is what the profiler's middleware wraps."""

HANDLER: Final = "handler"
"""The part that is the handler alone; every other part is a middleware, without what it wraps."""

RAN: Final = ("ok", "failed")
"""The statuses of the runs that count as a command's own; the others ended before they began."""


def rating(seconds: float) -> Rating:
    """How good a mean time is, in the words of the older bot."""
    if seconds < 0.1:
        return "Excellent"
    if seconds < 0.5:
        return "Good"
    return "Acceptable" if seconds < 1.0 else "Slow"


class Profile(Struct, frozen=True):
    """What is known of one part of one command that ended in one way.

    :param hour: hours since 1970, where it is about one hour, or more of them
    :param span: how many hours it is about, from that one on
    """

    command: str
    part: str
    status: str
    sketch: Sketch
    hour: int = 0
    span: int = 1


class CommandProfile(Struct, frozen=True):
    """What is known of one command.

    :param runs: the times of the command itself, where it ran
    :param parts: the times of the handler and of each middleware, in those runs
    :param endings: how many commands of that name ended in each way, refused ones too
    """

    command: str
    runs: Sketch
    parts: dict[str, Sketch]
    endings: dict[str, int]


class SlowRun(Struct, frozen=True):
    """One run that was not faster than ``profiler.slow``; ``at`` in seconds since 1970."""

    at: float
    command: str
    seconds: float
    platform: str
    subject: str
    guild: str
    trace_id: str


class Slowness(Struct, frozen=True):
    """How often a command was slow, and how slow at worst.

    :param last_at: the last time, in seconds since 1970; the beginning of its hour or day where it is no ``SlowRun``
    """

    command: str
    times: int
    worst: float
    last_at: float


class Course(Struct, frozen=True):
    """How long runs took in one step of time, in seconds; ``at`` is its beginning, in seconds since 1970."""

    at: float
    count: int
    mean: float
    p50: float
    p95: float
    p99: float


class CommandCost(Struct, frozen=True):
    """How long one part of a command took over some time, in seconds.

    :param part: ``COMMAND``, ``HANDLER``, or a middleware's name
    """

    command: str
    part: str
    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    total: float
