import struct
import time
import tracemalloc
from collections.abc import Iterator

import psutil
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from socbot.config import RateLimitConfig
from socbot.systems.rate_limit.limiter import Limiter
from socbot.systems.rate_limit.table import FRESH, State, Table

MIB = 1024 * 1024


def identities(count: int, start: int = 0) -> Iterator[tuple[str, str]]:
    return (("discord", str(10**17 + number)) for number in range(start, start + count))


def test_a_state_is_found_again() -> None:
    table = Table(1_000, rows=4)
    states = {hash(("local", str(number))): (1e9 + number, 2e9, 3e9, number) for number in range(200)}
    for key, state in states.items():
        table.put(key, state, 0.0)
    assert {key: table.get(key, 0.0) for key in states} == states
    assert table.get(hash("nobody"), 0.0) == FRESH
    assert len(table) == 200


def test_a_key_within_another_users_numbers_is_not_taken_for_the_user() -> None:
    table = Table(1_000, rows=1)
    key = struct.unpack("<q", struct.pack("<d", 123.456))[0]
    table.put(1, (123.456, 0.0, 0.0, 7), 0.0)
    assert table.find(key) is None
    table.put(key, (5.0, 6.0, 7.0, 8), 0.0)
    assert table.get(key, 0.0) == (5.0, 6.0, 7.0, 8)
    assert table.get(1, 0.0) == (123.456, 0.0, 0.0, 7)


def test_what_has_passed_makes_room_and_what_has_not_is_kept() -> None:
    table = Table(1_000, rows=1)
    for number in range(100):
        table.put(number, (10.0 + number, 0.0, 0.0, 0), 0.0)
    for _ in table.forget(59.5):
        pass
    assert len(table) == 50
    assert table.get(49, 0.0) == FRESH
    assert table.get(50, 0.0) == (60.0, 0.0, 0.0, 0)
    for _ in table.forget(200.0):
        pass
    assert len(table) == 0


def test_a_row_does_not_grow_while_its_users_come_and_go() -> None:
    table = Table(1_000_000, rows=1)
    for number in range(10_000):
        table.put(number, (number + 5.0, 0.0, 0.0, 0), float(number))
    assert len(table) <= 16


@pytest.mark.promise("P35")
@given(
    capacity=st.integers(1, 3),
    rows=st.sampled_from((1, 2)),
    calls=st.lists(st.tuples(st.integers(0, 4), st.sampled_from((0.0, 0.5))), min_size=20, max_size=100),
)
@example(capacity=1, rows=1, calls=[(0, 0.0), (0, 0.0), (0, 0.0), (1, 0.0), (0, 0.0)])
def test_beyond_its_capacity_nobody_gets_more_than_the_burst_allows(
    capacity: int, rows: int, calls: list[tuple[int, float]]
) -> None:
    config = RateLimitConfig(cooldown=0.0, burst=3, window=9.0, cooldowns={})
    table = Table(capacity, rows)
    limiter, roomy = Limiter(config, table), Limiter(config, Table(10_000))
    table.capacity, now = capacity, 0.0
    for user, gap in calls:
        now += gap
        admitted = limiter.hit(("local", str(user)), "ping", now) is None
        if admitted:  # what the small table admits, one with room for all would have admitted too
            assert roomy.hit(("local", str(user)), "ping", now) is None
        assert len(table) <= capacity + rows - 1


@pytest.mark.promise("P35")
def test_an_offender_is_not_forgiven_when_the_table_overflows() -> None:
    config = RateLimitConfig(cooldown=0.0, burst=10, window=60.0, max_users=1_000, cooldowns={})
    limiter = Limiter(config, Table(1_000, rows=64))
    offender = ("local", "666")
    for _ in range(10):
        assert limiter.hit(offender, "ping", 0.0) is None
    for identity in identities(20_000):
        limiter.hit(identity, "ping", 1.0)
    assert limiter.hit(offender, "ping", 1.0) is not None


def test_a_small_bot_pays_less_than_a_mebibyte() -> None:
    assert _grown(1_000) < MIB


@pytest.mark.promise("P35")
def test_a_hundred_thousand_users_stay_within_their_share() -> None:
    assert _grown(100_000) < 12 * MIB


@pytest.mark.slow
@pytest.mark.promise("P35")
def test_a_million_users_stay_within_64_mebibytes_and_nobody_waits_for_the_table_to_grow() -> None:
    before, worst = _resident(), 0.0
    limiter = Limiter(RateLimitConfig(), Table(1_000_000))
    for identity in identities(1_000_000):
        started = time.thread_time()  # other programs' time on this machine is not the table's
        limiter.hit(identity, "ping", 100.0)
        worst = max(worst, time.thread_time() - started)
    assert len(limiter.table) == 1_000_000
    assert _resident() - before <= 64 * MIB
    assert worst < 0.020


@pytest.mark.slow
@pytest.mark.promise("P35")
def test_a_million_users_who_are_all_refused_stay_within_64_mebibytes() -> None:
    before = _resident()
    limiter = Limiter(RateLimitConfig(), Table(1_000_000))
    for identity in identities(1_000_000):
        limiter.hit(identity, "ping", 100.0)
        assert limiter.hit(identity, "ping", 100.0) is not None
    assert _resident() - before <= 64 * MIB


def _grown(users: int) -> int:
    """Bytes that a limiter takes for so many users who were all refused."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        limiter = Limiter(RateLimitConfig(), Table(1_000_000))
        for identity in identities(users):
            limiter.hit(identity, "ping", 100.0)
            limiter.hit(identity, "ping", 100.0)
        limiter.unsaved.clear()  # what a flush takes away
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def _resident() -> int:
    """Bytes of memory that this process has now."""
    return int(psutil.Process().memory_info().rss)


def test_states_keep_their_precision() -> None:
    state: State = (1234567.123456789, 0.1, 9e15, 65_535)
    table = Table(10, rows=1)
    table.put(-5, state, 0.0)
    assert table.get(-5, 0.0) == state
