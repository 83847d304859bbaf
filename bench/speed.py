"""One command after the other: socbot beside the floor and the peers, in one interleaved run."""

import gc
import importlib.util
import itertools
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from time import perf_counter
from typing import TypeAlias

import anyio
import anyio.lowlevel
from msgspec import Struct

from bench import contenders, peers
from bench.contenders import CHANNEL, GUILD, LISTED, PLATFORM, Contender
from socbot.dispatch.messages import Message, User

USERS = 1_000
SLICE = 500
"""Commands between two flushes."""

Opener: TypeAlias = Callable[[Path], AbstractAsyncContextManager[list[Contender]]]

TURNS = 3
"""Turns of the loop after each slice."""

_numbers = itertools.count(1)


class Cost(Struct, frozen=True):
    """Seconds for each command: on the event loop until it has its outcome, and then on the way to the store."""

    loop: float
    writing: float

    @property
    def whole(self) -> float:
        return self.loop + self.writing


def messages(count: int, scenario: str) -> list[Message]:
    """``count`` messages, each with an id of its own, of many users or of the listed one."""
    users = [User(LISTED[1])] if scenario == "refused" else [User(str(1_000 + number)) for number in range(USERS)]
    return [
        Message("!ping", user, PLATFORM, CHANNEL, GUILD, str(next(_numbers)))
        for user in itertools.islice(itertools.cycle(users), count)
    ]


async def measure(contender: Contender, count: int) -> Cost:
    """:raises AssertionError: if the handler did not run as often as it should"""
    prepared = [contender.convert(message) for message in messages(count, contender.scenario)]
    run, loop, writing, handled = contender.run, 0.0, 0.0, contender.handled()
    gc.collect()
    gc.freeze()
    for first in range(0, count, SLICE):
        part = prepared[first : first + SLICE]
        began = perf_counter()
        for message in part:
            await run(message)
        for _ in range(TURNS):
            await anyio.lowlevel.checkpoint()  # what a framework put off to other tasks is its work too
        loop += perf_counter() - began
        if contender.flush is not None:
            began = perf_counter()
            await contender.flush()
            writing += perf_counter() - began
    gc.unfreeze()
    expected = 0 if contender.scenario == "refused" else count
    ran = contender.handled() - handled
    assert ran == expected, f"{contender.name}, {contender.scenario}: the handler ran {ran} times, not {expected}"
    return Cost(loop / count, writing / count)


async def compare(rounds: int, count: int) -> dict[tuple[str, str], list[Cost]]:
    """The costs by scenario and name, in each round; the contenders take turns."""
    with tempfile.TemporaryDirectory(prefix="socbot-bench-") as scratch:
        async with AsyncExitStack() as stack:
            found: list[Contender] = []
            for name, opener in openers().items():
                found += await stack.enter_async_context(opener(Path(scratch, name)))
            costs: dict[tuple[str, str], list[Cost]] = {}
            for contender in found:
                await measure(contender, SLICE)  # warm
            for _ in range(rounds):
                for contender in found:
                    costs.setdefault((contender.scenario, contender.name), []).append(await measure(contender, count))
            await _check_stored(found, rounds * count + SLICE)
            return costs


def openers() -> dict[str, Opener]:
    made: dict[str, Opener] = {"floor": contenders.floor, "socbot": contenders.socbot}
    if importlib.util.find_spec("discord"):
        made["discord.py"] = peers.discord_py
    if importlib.util.find_spec("aiogram"):
        made["aiogram"] = peers.aiogram
    return made


async def _check_stored(found: Sequence[Contender], each: int) -> None:
    for contender in found:
        if contender.stored is not None:
            stored = await contender.stored()
            # The full and the refused commands of one contender are in one store.
            assert stored == 2 * each, f"{contender.name}: {stored} commands are in the store, not {2 * each}"


def report(costs: dict[tuple[str, str], list[Cost]]) -> str:
    """Medians in microseconds, and the median of the ratios to the floor's full command within each round."""
    base = costs["full", "floor"]
    lines = [
        "| commands | contender | µs on the loop | to floor | µs with the store | to floor |",
        "|--|--|--:|--:|--:|--:|",
    ]
    for scenario in ("full", "refused", "bare"):
        for (which, name), found in costs.items():
            if which != scenario:
                continue
            loop = statistics.median(cost.loop for cost in found) * 1e6
            whole = statistics.median(cost.whole for cost in found) * 1e6
            on_loop = statistics.median(cost.loop / floor.loop for cost, floor in zip(found, base, strict=True))
            all_in = statistics.median(cost.whole / floor.whole for cost, floor in zip(found, base, strict=True))
            lines.append(f"| {scenario} | {name} | {loop:.2f} | {on_loop:.2f} | {whole:.2f} | {all_in:.2f} |")
    return "\n".join(lines)
