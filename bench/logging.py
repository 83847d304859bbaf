"""What a line of the log costs whoever logs it, beside the standard library's own file handler in the same run."""

import logging
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter_ns
from typing import TypeAlias

from msgspec import Struct

from socbot.config import LogsConfig
from socbot.dispatch.chain import Chain
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.current import current
from socbot.dispatch.messages import Message, User
from socbot.dispatch.outcomes import Trace
from socbot.logs import LogWriter, logging_to
from socbot.logs.structured import get_logger
from socbot.redaction import Redactor

FILE_HANDLER = "logging.FileHandler"
SLICE = 500

Log: TypeAlias = Callable[[str, str], None]


class Cost(Struct, frozen=True):
    """Microseconds for one call: the median, what 99 of 100 stay below, and the median ratio to the file handler."""

    median: float
    p99: float
    ratio: float


def compare(count: int) -> dict[str, Cost]:
    """What ``count`` calls of each cost; they take turns, a slice each, and the writer's thread runs all the while.

    :raises AssertionError: if a line is not in its file afterwards
    """
    took: dict[str, list[int]] = {}
    slices: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="socbot-bench-") as folder, _contenders(Path(folder)) as contenders:
        writer, ways = contenders
        for _ in range(count // SLICE):
            for name, log in ways.items():
                part = [_timed(log, number) for number in range(SLICE)]
                took.setdefault(name, []).extend(part)
                slices.setdefault(name, []).append(statistics.median(part))
                writer.flushed().result()
        lines = sum(path.read_bytes().count(b"\n") for path in Path(folder, "socbot").iterdir())
        assert lines == (len(ways) - 1) * (count // SLICE * SLICE), f"{lines} lines are in the log"
        assert not writer.lost
    return {name: _cost(found, slices[name], slices[FILE_HANDLER]) for name, found in took.items()}


def _timed(log: Log, number: int) -> int:
    channel = f"channel {number}"
    began = perf_counter_ns()
    log("bob", channel)
    return perf_counter_ns() - began


def _cost(took: list[int], slices: list[float], base: list[float]) -> Cost:
    p99 = statistics.quantiles(took, n=100)[98]
    ratio = statistics.median(own / other for own, other in zip(slices, base, strict=True))
    return Cost(statistics.median(took) / 1e3, p99 / 1e3, ratio)


@contextmanager
def _contenders(folder: Path) -> Iterator[tuple[LogWriter, dict[str, Log]]]:
    plain = logging.getLogger("bench.plain")
    plain.propagate, handler = False, logging.FileHandler(folder / "plain.log")
    handler.setFormatter(logging.Formatter("%(asctime)s - %(name)s - %(levelname)s - %(message)s"))
    plain.addHandler(handler)
    ours, structured = logging.getLogger("bench.socbot"), get_logger("bench.structured")
    config = LogsConfig(file=f"{folder}/socbot/bot.log", max_megabytes=100)
    with logging_to(config, Redactor(["a secret of the bot's", "another one of them"])) as writer:
        plain.setLevel("INFO")
        try:
            yield (
                writer,
                {
                    FILE_HANDLER: partial(plain.info, "[COMMAND] %s -> ping in %s"),
                    "socbot": partial(ours.info, "[COMMAND] %s -> ping in %s"),
                    "socbot, while a command runs": _in_a_command(partial(ours.info, "[COMMAND] %s -> ping in %s")),
                    "socbot, structlog with two facts": lambda who, where: structured.info(
                        "ping", who=who, where=where
                    ),
                },
            )
        finally:
            plain.removeHandler(handler)
            handler.close()


def _in_a_command(log: Log) -> Log:
    ctx = _context()

    def within(who: str, where: str) -> None:
        current.set(ctx)
        log(who, where)
        current.set(None)

    return within


def _context() -> Context:
    @command("ping")
    async def ping(ctx: Context) -> None:
        """Answers."""

    async def enter(ctx: Context) -> None:
        return None

    chain = Chain((), enter, lambda: 0.0, 0)
    message = Message("!ping", User("1234567890"), "discord", "c1", "g1")
    return Context(message, ping, Trace(chain.stages, 0, "BENCH", 1, 0.0, []), enter, message.identity)


def report(costs: dict[str, Cost]) -> str:
    lines = ["| a line by | µs, median | µs, P99 | to logging.FileHandler |", "|--|--:|--:|--:|"]
    lines += [f"| {name} | {each.median:.2f} | {each.p99:.2f} | {each.ratio:.2f} |" for name, each in costs.items()]
    return "\n".join(lines)
