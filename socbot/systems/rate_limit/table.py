"""Four numbers about each of very many users, in 34 bytes each and as many places to find them.

A dict of a million small objects takes 250 MB, and stalls its caller for 40 ms whenever it grows. Here the users
are spread over many short byte strings, each searched at the speed of C and growing by itself.
"""

import struct
from collections.abc import Iterator
from typing import TypeAlias

State: TypeAlias = tuple[float, float, float, int]
"""Three moments and a count; a state whose moments have all passed is as good as none."""

Place: TypeAlias = tuple[bytearray, int]
"""Where a state lies, for ``read`` and ``write``; good until anything is put into the table."""

FRESH: State = (0.0, 0.0, 0.0, 0)

_ROWS = 32_768
_CHECK_EVERY = 8  # users added to a row between two looks for those whose state has passed

_state, _record = struct.Struct("<dddH"), struct.Struct("<qdddH")
_pack_key = struct.Struct("<q").pack
_SIZE, _KEY = _record.size, _record.size - _state.size

read, write = _state.unpack_from, _state.pack_into


class Table:
    """A state for each key, where a key is a 64-bit hash.

    When ``capacity`` is reached, a newcomer takes the place of whoever in its row is held for the shortest time, and
    takes over that one's state. So nobody is forgiven: whoever was displaced and comes back is held at least as long.
    """

    def __init__(self, capacity: int, rows: int = _ROWS) -> None:
        """:param rows: a power of two"""
        self.capacity = capacity
        self._rows: list[bytearray | None] = [None] * rows
        self._mask = rows - 1
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, key: int) -> Place | None:
        row = self._rows[key & self._mask]
        if row is None:
            return None
        at = row.find(_pack_key(key))
        while at > 0 and at % _SIZE:  # eight bytes that look like the key, within another user's record
            at = row.find(_pack_key(key), at + 1)
        return None if at < 0 else (row, at + _KEY)

    def get(self, key: int, now: float) -> State:
        """The state of ``key``; of a newcomer, what it takes over."""
        place = self.find(key)
        return self.inherited(key, now) if place is None else read(*place)

    def inherited(self, key: int, now: float) -> State:
        """What a newcomer begins with: nothing, unless it must displace somebody."""
        row = self._rows[key & self._mask]
        if row is None or not self._full(row, now):
            return FRESH
        used, cooling, _, _ = read(row, _least_used(row) + _KEY)
        return used, cooling, 0.0, 0

    def put(self, key: int, state: State, now: float) -> None:
        place = self.find(key)
        if place is not None:
            write(*place, *state)
            return
        row = self._rows[key & self._mask]
        if row is None:
            row = self._rows[key & self._mask] = bytearray()
        record = _record.pack(key, *state)
        if self._full(row, now):
            at = _least_used(row)
            row[at : at + _SIZE] = record
            return
        if row and len(row) % (_CHECK_EVERY * _SIZE) == 0:
            self._count -= _compact(row, now)
        self._count += 1
        row += record

    def forget(self, now: float) -> Iterator[None]:
        """Drop the states that have passed, a little on each step of the iterator."""
        for number, row in enumerate(self._rows):
            if row is not None:
                self._count -= _compact(row, now)
                if not row:
                    self._rows[number] = None
            if number % 512 == 511:
                yield

    def _full(self, row: bytearray, now: float) -> bool:
        """Whether a newcomer to ``row`` must displace somebody."""
        if self._count < self.capacity or not row:
            return False
        self._count -= _compact(row, now)
        return self._count >= self.capacity and bool(row)


def _compact(row: bytearray, now: float) -> int:
    """Drop the states that have passed; how many."""
    kept = [
        row[number * _SIZE : (number + 1) * _SIZE]
        for number, (_, used, cooling, silent, _) in enumerate(_record.iter_unpack(row))
        if used > now or cooling > now or silent > now
    ]
    dropped = len(row) // _SIZE - len(kept)
    if dropped:
        row[:] = b"".join(kept)
    return dropped


def _least_used(row: bytearray) -> int:
    """Where the record of who is held for the shortest time begins."""
    ends = [max(used, cooling) for _, used, cooling, _, _ in _record.iter_unpack(row)]
    return _SIZE * ends.index(min(ends))
