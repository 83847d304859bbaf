"""A packer can be told to stop soon, however hard it compresses."""

from random import Random

import pytest

from socbot.storage.snapshots import Source
from socbot.systems.backup.errors import Cancelled
from socbot.systems.backup.packing import CHUNK, PIECE, THREADED, Packer

CONTENT = Random(1).randbytes(2 * CHUNK)
"""It cannot be compressed, so that as much comes out as was done."""


class Written:
    """Counts what comes out."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        self.size += len(data)


@pytest.mark.parametrize("level", [THREADED + 1, 12, 19])
def test_above_the_levels_of_the_threads_no_work_is_left_behind_a_step(level: int) -> None:
    written, left = Written(), []
    done = 0

    def step(count: int) -> None:
        nonlocal done
        assert count <= PIECE
        done += count
        left.append(done - written.size)

    packer = Packer(written, level, 2, 0, step)
    packer.add(Source("store/content", content=CONTENT))
    assert done == len(CONTENT)
    assert max(left) <= 2 * PIECE


@pytest.mark.parametrize("level", [1, THREADED, 19])
def test_what_a_step_raises_ends_it_within_a_piece(level: int) -> None:
    def step(count: int) -> None:
        steps.append(count)
        if len(steps) == 2:
            raise Cancelled

    steps: list[int] = []
    with pytest.raises(Cancelled):
        Packer(Written(), level, 2, 0, step).add(Source("store/content", content=CONTENT))
    assert len(steps) == 2
    assert max(steps) <= CHUNK
