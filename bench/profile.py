"""Where socbot's time goes for one command of the full chain.

By stage: the same command through dispatchers that have one stage more each, which take turns; a stage costs what
the command costs more with it. That counts all that a stage causes elsewhere, such as a longer trace, and needs no
clock inside of what is measured. Its bias: a stage that is the first of its kind pays for what the next ones share (the
first guard for the frame that the chain runs in).

By function: cProfile over the whole bot. Its bias: it adds about 1 µs to each call, so that what consists of many
small calls looks dearer than it is, and what is done in place cheaper. It says where to look, not how much is won.
"""

import cProfile
import gc
import statistics
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from time import process_time
from types import CodeType
from typing import TypeAlias

from msgspec import Struct

from bench.contenders import LIMITS, NO_BACKUPS, Counter, ping_command
from bench.speed import messages
from socbot.bot import Bot
from socbot.config import Config, StorageConfig
from socbot.dispatch.chain import Layer
from socbot.dispatch.context import Context
from socbot.dispatch.dispatcher import Dispatcher
from socbot.dispatch.messages import Message
from socbot.dispatch.outcomes import Outcome

TOP = 15
"""Functions shown."""

Run: TypeAlias = Callable[[Message], Awaitable[object]]


class Found(Struct, frozen=True):
    """Seconds for each command: by stage, in each round; and by function, of its own, with how often it is called."""

    stages: dict[str, list[float]]
    functions: list[tuple[str, float, float]]


async def measure(rounds: int, count: int) -> Found:
    """:raises AssertionError: if the handler did not run for each command"""
    with tempfile.TemporaryDirectory(prefix="socbot-bench-") as folder:
        counter = Counter()
        ping = ping_command(counter)
        config = Config(backup=NO_BACKUPS, storage=StorageConfig(url=f"sqlite:///{folder}/bench.db"), rate_limit=LIMITS)
        async with Bot.from_config(config, commands=[ping], jobs=False) as bot:
            made = [Dispatcher([ping], chain=chain) for chain in _chains(bot.dispatcher.chain.layers)]
            runs: dict[str, Run] = {
                "admission: prefix, name, delivered once, room; its trace and context": _admitting(made[0]),
                "running it: deadline, permission, arguments, handler, outcome": made[0].dispatch,
            }
            for dispatcher in made[1:]:
                runs[dispatcher.chain.layers[-1].name] = dispatcher.dispatch
            runs["observers: telemetry, the rate of errors"] = bot.dispatch
            cumulated: dict[str, list[float]] = {name: [] for name in runs}
            for number in range(rounds + 1):
                for name, run in runs.items():
                    before = counter.count
                    seconds = await _time(run, count)
                    ran = counter.count - before
                    assert ran == (0 if name.startswith("admission") else count), f"{name}: {ran} ran"
                    if number:  # the first round warms up
                        cumulated[name].append(seconds)
                await bot.telemetry.flush()
            functions = await _functions(bot.dispatch, rounds, count)
            await bot.telemetry.flush()
        return Found(_differences(cumulated), functions)


def _chains(layers: Sequence[Layer]) -> Iterator[Sequence[Layer]]:
    """Each with one middleware more than the one before; the first has none."""
    return (layers[:length] for length in range(len(layers) + 1))


def _admitting(dispatcher: Dispatcher) -> Run:
    async def admit(message: Message) -> Context | Outcome:
        admitted = dispatcher._admit(message, None)
        dispatcher.running -= 1
        return admitted

    return admit


async def _time(run: Run, count: int) -> float:
    prepared = _prepared(count)
    gc.collect()
    gc.freeze()
    began = process_time()
    for message in prepared:
        await run(message)
    return (process_time() - began) / count


def _prepared(count: int) -> list[Message]:
    return messages(count, "full", "!bench_ping")


def _differences(cumulated: dict[str, list[float]]) -> dict[str, list[float]]:
    first = next(iter(cumulated))
    found = {first: cumulated[first]}
    for before, name in pairwise(cumulated):
        found[name] = [more - less for less, more in zip(cumulated[before], cumulated[name], strict=True)]
    return found


async def _functions(run: Run, parts: int, count: int) -> list[tuple[str, float, float]]:
    """The median over ``parts``, of the processor's time here too."""
    own: dict[str, list[float]] = {}
    calls: dict[str, float] = {}
    for _ in range(parts):
        prepared, profile = _prepared(count), cProfile.Profile(process_time)
        profile.enable()
        for message in prepared:
            await run(message)
        profile.disable()
        for entry in profile.getstats():
            name = _named(entry.code)
            own.setdefault(name, []).append(entry.inlinetime / count)
            calls[name] = entry.callcount / count
    medians = {name: statistics.median(seconds) for name, seconds in own.items() if len(seconds) == parts}
    return [(name, medians[name], calls[name]) for name in sorted(medians, key=lambda name: -medians[name])[:TOP]]


def _named(code: CodeType | str) -> str:
    return code if isinstance(code, str) else f"{Path(code.co_filename).name}: {code.co_qualname}"


def report(found: Found) -> str:
    whole = sum(statistics.median(seconds) for seconds in found.stages.values())
    lines = ["| stage | µs | share | spread, µs |", "|--|--:|--:|--|"]
    for name, seconds in found.stages.items():
        tenths = statistics.quantiles(seconds, n=10, method="inclusive")
        median = statistics.median(seconds)
        spread = f"{tenths[0] * 1e6:.2f} to {tenths[-1] * 1e6:.2f}"
        lines.append(f"| {name} | {median * 1e6:.2f} | {median / whole:.0%} | {spread} |")
    lines += ["", "| function | calls a command | µs of its own, under cProfile |", "|--|--:|--:|"]
    lines += [f"| {name} | {calls:.1f} | {own * 1e6:.2f} |" for name, own, calls in found.functions]
    return "\n".join(lines)
