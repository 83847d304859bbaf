"""How times are read from the marks of traces."""

from collections.abc import Iterator, Sequence
from itertools import compress
from operator import sub
from typing import TypeAlias

from socbot.dispatch.outcomes import Stage
from socbot.systems.profiler.figures import COMMAND, HANDLER


class Way:
    """One order of the chain, and how the times of its traces are read: entered and left, for each part in turn."""

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        self.stages = stages
        names = [stage.name for stage in stages]
        self.profiled = "profiler" in names
        self._inside = 2 * (names.index("profiler") + 1) if self.profiled else 0
        self._parts = [*names, HANDLER]

    def command_seconds(self, marks: list[float]) -> float:
        """How long what the profiler wraps took; 0 if it was not reached, or never ended."""
        entered, left = marks[self._inside], marks[self._inside + 1]
        return left - entered if left else 0.0

    def parts(self, traces: Sequence[list[float]]) -> Iterator[tuple[str, list[float]]]:
        """The times of each part in the traces in which it was reached, without the parts that it wraps."""
        marks, spans = _measured(traces)
        yield COMMAND, _reached(spans[self._inside // 2], marks[self._inside])
        yield from zip(self._parts, _own(marks, spans), strict=True)


def own_times(traces: Sequence[list[float]]) -> Iterator[list[float]]:
    """The times of each part of one chain, the handler last, in the traces that reached it, without what it wraps.

    :param traces: the ``times`` of each
    """
    return _own(*_measured(traces))


def _measured(traces: Sequence[list[float]]) -> tuple[list[tuple[float, ...]], list[list[float]]]:
    """When each part was entered and left, one after the other; and how long that was, with what it wraps."""
    marks = list(zip(*traces, strict=True))
    return marks, [_spans(entered, left) for entered, left in zip(marks[::2], marks[1::2], strict=True)]


def _own(marks: list[tuple[float, ...]], spans: list[list[float]]) -> Iterator[list[float]]:
    inner: list[list[float]] = [*spans[1:], [0.0] * len(spans[0])]
    for span, within, entered in zip(spans, inner, marks[::2], strict=True):
        yield _reached(list(map(sub, span, within)), entered)


def _spans(entered: Sequence[float], left: Sequence[float]) -> list[float]:
    if all(left) and all(entered):
        return list(map(sub, left, entered))
    return [end - start if start and end else 0.0 for start, end in zip(entered, left, strict=True)]


def _reached(seconds: list[float], entered: Sequence[float]) -> list[float]:
    return seconds if all(entered) else list(compress(seconds, entered))


Run: TypeAlias = tuple[Way, int, str, str]
"""The way, the hour, the command, the status."""
