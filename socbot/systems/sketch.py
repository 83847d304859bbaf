"""A quantile sketch: any number of durations in a few hundred bytes, with every percentile within half a percent.

The buckets grow by a constant factor, as in DDSketch (Masson, Rim, Lee: VLDB 2019), so that two sketches of the same
thing are merged by adding their counts, with nothing lost.
"""

import math
from collections.abc import Sequence
from itertools import repeat
from operator import add, mul, sub

import msgspec
from msgspec import Struct

from socbot.documents import UNDECODABLE

ACCURACY = 0.005
"""The relative error of a quantile, at most."""

_GROWTH = (1 + ACCURACY) / (1 - ACCURACY)
_PER_LOG = 1 / math.log(_GROWTH)
_LEAST, _MOST = 1e-9, 1e7  # beyond these a duration is filed under the first or the last bucket
_FIRST, _LAST = math.ceil(math.log(_LEAST) * _PER_LOG), math.ceil(math.log(_MOST) * _PER_LOG)


class _Packed(Struct, array_like=True):
    total: float
    least: float
    most: float
    first: int
    counts: list[int]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


class Sketch:
    """How long something took, over any number of runs: count, total, least, most and quantiles, in seconds."""

    __slots__ = ("_counts", "_first", "count", "least", "most", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.least = math.inf
        self.most = 0.0
        self._first = 0  # the bucket of the first count
        self._counts: list[int] = []

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    def add(self, values: Sequence[float]) -> None:
        """Count one run for each of ``values``; what is below zero or no number counts as zero."""
        if not values:
            return
        total, least, most = sum(values), min(values), max(values)
        if not (least >= 0.0 and total < math.inf):
            values = [min(value, _MOST) if value > 0.0 else 0.0 for value in values]
            total, least, most = sum(values), min(values), max(values)
        if least > _LEAST and most < _MOST:
            buckets = list(map(math.ceil, map(mul, map(math.log, values), repeat(_PER_LOG))))
        else:
            buckets = [_bucket(value) for value in values]
        self._reach(_bucket(least), _bucket(most))
        first, counts = self._first, self._counts
        for bucket in buckets:
            counts[bucket - first] += 1
        self._sum_up(len(values), total, least, most)

    def merge(self, other: "Sketch") -> None:
        """Count the runs of ``other`` too."""
        if not other.count:
            return
        self._reach(other._first, other._first + len(other._counts) - 1)
        counts, start = self._counts, other._first - self._first
        end = start + len(other._counts)
        counts[start:end] = map(add, counts[start:end], other._counts)
        self._sum_up(other.count, other.total, other.least, other.most)

    def take(self, other: "Sketch") -> None:
        """Count the runs of ``other``, which are among these, no more. What were the least and the most is then known
        within half a percent.
        """
        if not other.count:
            return
        self._reach(other._first, other._first + len(other._counts) - 1)
        counts, start = self._counts, other._first - self._first
        end = start + len(other._counts)
        counts[start:end] = (max(0, left) for left in map(sub, counts[start:end], other._counts))
        self.count, self.total = sum(counts), max(0.0, self.total - other.total)
        if not self.count:
            self.__init__()  # type: ignore[misc]
            return
        held = [position for position, count in enumerate(counts) if count]
        self._first, self._counts = self._first + held[0], counts[held[0] : held[-1] + 1]
        self.least = max(self.least, _GROWTH ** (self._first - 1))
        self.most = min(self.most, _GROWTH ** (self._first + len(self._counts) - 1))

    def quantile(self, share: float) -> float:
        """The least duration that ``share`` (0 to 1) of the runs did not exceed, within half a percent or 1 ns.

        0 where nothing was counted.
        """
        rank, seen = max(1, math.ceil(share * self.count)), 0
        for bucket, count in enumerate(self._counts, self._first):
            seen += count
            if seen >= rank:
                middle = 2 * _GROWTH**bucket / (_GROWTH + 1)
                return min(max(middle, self.least), self.most)
        return self.most

    def above(self, seconds: float) -> int:
        """How many runs took ``seconds`` or longer; those up to one percent shorter may be among them."""
        if seconds > self.most:
            return 0
        if seconds <= self.least:
            return self.count
        return sum(self._counts[max(0, _bucket(seconds) - self._first) :])

    def to_bytes(self) -> bytes:
        return _encode(_Packed(self.total, self.least, self.most, self._first, self._counts))

    @classmethod
    def from_bytes(cls, packed: bytes) -> "Sketch":
        """:raises ValueError: if ``packed`` was not made by ``to_bytes``"""
        try:
            found = _decode(packed)
        except UNDECODABLE as error:
            raise ValueError(f"not a sketch: {error}") from None
        if found.first < _FIRST or found.first + len(found.counts) - 1 > _LAST:
            raise ValueError("not a sketch: its buckets lie outside the range")
        sketch = cls()
        sketch.total, sketch.least, sketch.most = found.total, found.least, found.most
        sketch._first, sketch._counts = found.first, found.counts
        sketch.count = sum(found.counts)
        return sketch

    def _reach(self, first: int, last: int) -> None:
        """Have a count for each bucket from ``first`` to ``last``."""
        if not self._counts:
            self._first, self._counts = first, [0] * (last - first + 1)
            return
        if first < self._first:
            self._counts[:0] = [0] * (self._first - first)
            self._first = first
        missing = last - self._first + 1 - len(self._counts)
        if missing > 0:
            self._counts += [0] * missing

    def _sum_up(self, count: int, total: float, least: float, most: float) -> None:
        self.count += count
        self.total += total
        self.least = min(self.least, least)
        self.most = max(self.most, most)


def _bucket(value: float) -> int:
    if _LEAST < value < _MOST:
        return math.ceil(math.log(value) * _PER_LOG)
    return _FIRST if value <= _LEAST else _LAST
