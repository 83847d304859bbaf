"""How long the event loop stalls while commands come in and the telemetry is stored."""

import gc
import tempfile
from pathlib import Path
from time import perf_counter

import anyio
from msgspec import Struct, structs

from bench.contenders import LIMITS, NO_BACKUPS, Counter, ping_command
from bench.speed import messages
from socbot.bot import Bot
from socbot.config import Config, StorageConfig

INTERVAL = 0.001


class Stalls(Struct, frozen=True):
    """How late a task was that wakes every millisecond; seconds."""

    commands: int
    p999: float
    worst: float


async def measure(rate: int, seconds: float) -> Stalls:
    """Run ``rate`` commands a second, with the telemetry's job and all the others running."""
    counter = Counter()
    late: list[float] = []
    with tempfile.TemporaryDirectory(prefix="socbot-bench-") as folder:
        config = Config(
            backup=NO_BACKUPS, storage=StorageConfig(url=f"sqlite:///{Path(folder)}/bench.db"), rate_limit=LIMITS
        )
        async with Bot.from_config(config, commands=[ping_command(counter)]) as bot, anyio.create_task_group() as tasks:
            tasks.start_soon(_sample, late)
            prepared = [structs.replace(each, text="!bench_ping") for each in messages(int(rate * seconds), "full")]
            gc.collect()
            gc.freeze()  # as `socbot run` does once it has started
            began = perf_counter()
            for number, message in enumerate(prepared):
                await bot.dispatch(message)
                ahead = began + number / rate - perf_counter()
                await anyio.sleep(max(0.0, ahead))
            tasks.cancel_scope.cancel()
        assert counter.count == len(prepared), f"{counter.count} of {len(prepared)} commands ran"
        late.sort()
        return Stalls(len(prepared), late[int(len(late) * 0.999)], late[-1])


async def _sample(late: list[float]) -> None:
    while True:
        due = perf_counter() + INTERVAL
        await anyio.sleep(INTERVAL)
        late.append(perf_counter() - due)
