"""A command: socbot beside the floor and the peers, in one interleaved run.

Three scenarios: *bare* is the framework around its handler, *full* has the five concerns, *refused* is the command of
a listed user. Each is run one command after the other, and ``AT_ONCE`` at a time: gathered, with a handler that waits
for one turn of the loop, so that all of them are under way together.

What is measured is the time of the processor, of all threads of this process: on a machine that others use too, the
time on the wall would be theirs. So nothing that only waits counts, for a disk or for another thread to be woken.
"""

import asyncio
import gc
import importlib
import importlib.util
import itertools
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from time import process_time
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
from msgspec import Struct

from bench import contenders
from bench.contenders import CHANNEL, GUILD, LISTED, PLATFORM, Contender
from socbot.dispatch.messages import Message, User

USERS = 1_000
SLICE = 256
"""Commands between two flushes."""

AT_ONCE = 64

PEERS = {
    "discord": "discord_py",
    "aiogram": "aiogram",
    "telegram": "telegram",
    "slack_bolt": "slack",
    "nonebot": "nonebot",
}
"""The module in ``bench.peers`` for each package, where that is installed."""

Opener: TypeAlias = Callable[[Path], AbstractAsyncContextManager[list[Contender]]]

TURNS = 3
"""Turns of the loop after each slice."""

_numbers = itertools.count(1)


class Cost(Struct, frozen=True):
    """Seconds of the processor for each command: until it has its outcome, and then on the way to the store."""

    loop: float
    writing: float

    @property
    def whole(self) -> float:
        return self.loop + self.writing


def messages(count: int, scenario: str, text: str = "!ping") -> list[Message]:
    """``count`` messages, each with an id of its own, of many users or of the listed one."""
    users = [User(LISTED[1])] if scenario == "refused" else [User(str(1_000 + number)) for number in range(USERS)]
    return [
        Message(text, user, PLATFORM, CHANNEL, GUILD, str(next(_numbers)))
        for user in itertools.islice(itertools.cycle(users), count)
    ]


async def measure(contender: Contender, count: int, at_once: int = 1) -> Cost:
    """:raises AssertionError: if the handler did not run as often as it should, or did not overlap with others"""
    if contender.prepare is not None:
        contender.prepare()
    counter = contender.counter
    before, counter.pauses, counter.most = counter.count, at_once > 1, 0
    prepared = [contender.convert(message) for message in messages(count, contender.scenario)]
    loop = writing = 0.0
    gc.collect()
    gc.freeze()  # what others have left is not to be looked through while this one is measured
    for first in range(0, count, SLICE):
        loop += await _run(contender.run, prepared[first : first + SLICE], at_once)
        if contender.flush is not None:
            began = process_time()
            await contender.flush()
            writing += process_time() - began
    expected, ran = (0 if contender.scenario == "refused" else count), counter.count - before
    assert ran == expected, f"{contender.name}, {contender.scenario}: the handler ran {ran} times, not {expected}"
    overlapped = counter.most > 1
    assert overlapped == (at_once > 1 and expected > 0), f"{contender.name}: {counter.most} handlers waited together"
    return Cost(loop / count, writing / count)


async def _run(run: Callable[[Any], Any], part: Sequence[Any], at_once: int) -> float:
    """Seconds of the processor that it took to run ``part``."""
    began = process_time()
    if at_once == 1:
        for message in part:
            await run(message)
    else:
        for first in range(0, len(part), at_once):
            await asyncio.gather(*map(run, part[first : first + at_once]))
    for _ in range(TURNS):
        await anyio.lowlevel.checkpoint()  # what a framework put off to other tasks is its work too
    return process_time() - began


Costs: TypeAlias = dict[tuple[str, int, str], list[Cost]]
"""In each round, by scenario, commands at once, and name."""


async def compare(rounds: int, count: int) -> Costs:
    """Let the contenders take turns, each round beginning with another."""
    with tempfile.TemporaryDirectory(prefix="socbot-bench-") as scratch:
        async with AsyncExitStack() as stack:
            found: list[Contender] = []
            for name, opener in openers().items():
                found += await stack.enter_async_context(opener(Path(scratch, name)))
            turns = [(contender, at_once) for contender in found for at_once in (1, AT_ONCE)]
            costs: Costs = {(each.scenario, at_once, each.name): [] for each, at_once in turns}
            for contender, at_once in turns:
                await measure(contender, AT_ONCE, at_once)  # warm
            for number in range(rounds):
                first = number * len(turns) // rounds
                for contender, at_once in turns[first:] + turns[:first]:
                    cost = await measure(contender, count, at_once)
                    costs[contender.scenario, at_once, contender.name].append(cost)
            await check_stored(turns, rounds * count + AT_ONCE)
            gc.unfreeze()
            return costs


def openers() -> dict[str, Opener]:
    """The contenders that can be run here, by the name of what they need."""
    made: dict[str, Opener] = {"floor": contenders.floor, "socbot": contenders.socbot}
    for package, module in PEERS.items():
        if importlib.util.find_spec(package):
            made[package] = importlib.import_module(f"bench.peers.{module}").contenders
    return made


async def check_stored(turns: Sequence[tuple[Contender, int]], each: int) -> None:
    """:raises AssertionError: if a store did not count each command of each turn"""
    kept = [contender for contender, _ in turns if contender.stored is not None]
    shares = Counter(contender.name for contender in kept)
    for contender in kept:
        assert contender.stored is not None
        stored, expected = await contender.stored(), shares[contender.name] * each
        assert stored == expected, f"{contender.name}: {stored} commands are in the store, not {expected}"


def report(costs: Costs) -> str:
    """For each scenario the median of the ratios to the floor's full command within each round, and their spread.

    The spread is what lies between the tenth and the ninetieth of a hundred.
    """
    lines = [
        "| commands | at once | contender | µs | to floor | spread | with the store, to floor | spread |",
        "|--|--:|--|--:|--:|--|--:|--|",
    ]
    for (scenario, at_once, name), found in sorted(costs.items(), key=_place):
        base = costs["full", at_once, "floor"]
        loop = statistics.median(cost.loop for cost in found) * 1e6
        on_loop = _ratios([cost.loop / floor.loop for cost, floor in zip(found, base, strict=True)])
        whole = _ratios([cost.whole / floor.whole for cost, floor in zip(found, base, strict=True)])
        lines.append(f"| {scenario} | {at_once} | {name} | {loop:.1f} | {on_loop} | {whole} |")
    return "\n".join(lines)


def _place(measured: tuple[tuple[str, int, str], list[Cost]]) -> tuple[int, int, float]:
    (scenario, at_once, _), found = measured
    return ("full", "refused", "bare").index(scenario), at_once, statistics.median(cost.loop for cost in found)


def _ratios(ratios: Sequence[float]) -> str:
    tenths = statistics.quantiles(ratios, n=10, method="inclusive") if len(ratios) > 1 else [ratios[0]] * 9
    return f"{_short(statistics.median(ratios))} | {_short(tenths[0])} to {_short(tenths[-1])}"


def _short(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
