"""What being probed costs a bot, and how long the answers take, while commands run."""

import gc
import json
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE
from time import perf_counter, thread_time

import anyio
import anyio.lowlevel
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from msgspec import Struct, structs

from bench.contenders import LIMITS, NO_BACKUPS, Counter, ping_command
from bench.speed import messages
from socbot.bot import Bot
from socbot.config import Config, StorageConfig, WebConfig
from socbot.running import SWITCH_INTERVAL
from socbot.web import Web

RATE = 500
"""Questions a second."""

SECONDS = 2.0
"""Of one slice with questions, and of one without."""

TURN = 50
"""Commands between two turns of the loop, where commands leave it no rest."""

RESTLESS = "no rest"

PACE = 1_000
"""Commands a second, where they do leave it some."""


class Cost(Struct, frozen=True):
    """One slice: seconds of the processor that the loop's thread spent on each command, and how long the answers took
    meanwhile.
    """

    command: float
    answers: tuple[float, ...] = ()


class Asker:
    """The process that asks."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._orders, self._answers = process.stdin, BufferedByteReceiveStream(process.stdout)

    async def begin(self, kept: bool) -> None:
        await self._orders.send(f"{RATE} {'kept' if kept else 'fresh'}\n".encode())

    async def end(self) -> tuple[float, ...]:
        await self._orders.send(b"\n")
        return tuple(json.loads(await self._answers.receive_until(b"\n", 1 << 24)))


@asynccontextmanager
async def asking(address: str) -> AsyncIterator[Asker]:
    command = [sys.executable, "-m", "bench.probing", address.rpartition(":")[2]]
    async with await anyio.open_process(command, stdin=PIPE, stdout=PIPE, stderr=None) as process:
        yield Asker(process)
        process.terminate()


async def measure(rounds: int) -> dict[tuple[str, str], list[tuple[Cost, Cost]]]:
    """By how commands come and how it is asked, in each round: the cost without questions and with them, one after
    the other.
    """
    counter = Counter()
    with tempfile.TemporaryDirectory(prefix="socbot-bench-") as folder:
        config = Config(
            backup=NO_BACKUPS,
            storage=StorageConfig(url=f"sqlite:///{Path(folder)}/bench.db"),
            rate_limit=LIMITS,
            web=WebConfig(port=0),
        )
        async with (
            Bot.from_config(config, commands=[ping_command(counter)]) as bot,
            Web(bot) as web,
            asking(web.address) as asker,
        ):
            await bot.health.readiness.look()
            sys.setswitchinterval(SWITCH_INTERVAL)
            gc.collect()
            gc.freeze()  # as `socbot run` does once it has started
            found: dict[tuple[str, str], list[tuple[Cost, Cost]]] = {}
            await _slice(bot, None, pace=0)  # warm
            for _ in range(rounds):
                for pace in (0, PACE):
                    for kept in (True, False):
                        alone = await _slice(bot, None, pace=pace)
                        asked = await _slice(bot, asker, pace=pace, kept=kept)
                        key = (f"{pace:,} a second" if pace else RESTLESS, "kept" if kept else "new ones")
                        found.setdefault(key, []).append((alone, asked))
            return found


async def _slice(bot: Bot, asker: Asker | None, *, pace: int, kept: bool = True) -> Cost:
    if asker is not None:
        await asker.begin(kept)
        await anyio.sleep(0.2)
    prepared = [structs.replace(each, text="!bench_ping") for each in messages(1_000, "full")]
    await bot.telemetry.flush()
    count, began, spent = 0, perf_counter(), 0.0
    while (passed := perf_counter() - began) < SECONDS:
        before = thread_time()
        await bot.dispatch(structs.replace(prepared[count % len(prepared)], id=f"{began}-{count}"))
        spent += thread_time() - before
        count += 1
        if pace:
            await anyio.sleep(max(0.0, count / pace - passed))
        elif count % TURN == 0:
            await anyio.lowlevel.checkpoint()
    answers = () if asker is None else await asker.end()
    return Cost(spent / count, answers)


def report(found: dict[tuple[str, str], list[tuple[Cost, Cost]]]) -> str:
    """Medians of the ratios within each round, and the answers of all rounds."""
    lines = [
        f"{RATE} questions a second:",
        "",
        "| commands | connections | a command on the loop, to one unasked | answers | P50 ms | P99 ms | worst ms |",
        "|--|--|--:|--:|--:|--:|--:|",
    ]
    for (pace, way), rounds in found.items():
        ratio = f"{statistics.median(asked.command / alone.command for alone, asked in rounds):.3f}"
        answers = sorted(each for _, asked in rounds for each in asked.answers)
        half, most = (answers[int(len(answers) * share)] * 1e3 for share in (0.5, 0.99))
        lines.append(
            f"| {pace} | {way} | {ratio} | {len(answers):,} | {half:.1f} | {most:.1f} | {answers[-1] * 1e3:.1f} |"
        )
    return "\n".join(lines)
