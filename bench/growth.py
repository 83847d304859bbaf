"""What grows, and what must not: the cost of a command with users seen, entries listed and commands registered."""

import statistics
import tempfile
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import structs

from bench.contenders import LIMITS, NO_BACKUPS, PLATFORM, Contender, Counter, ping_command, unchanged
from bench.speed import measure
from socbot.bot import Bot
from socbot.config import Config, RateLimitConfig, StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.messages import Message
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.systems.rate_limit.limiter import Limiter
from socbot.systems.rate_limit.table import Table

WINDOW = 3_600.0
"""Seconds for which a user is remembered, so that all of them are while it is measured."""


@asynccontextmanager
async def grown(folder: Path, users: int, listed: int, commands: int) -> AsyncIterator[Contender]:
    """A whole bot that has seen ``users``, has ``listed`` entries and ``commands`` more commands."""
    storage = StorageConfig(url=f"sqlite:///{folder}/bench.db")
    async with Database.open(storage, SystemClock()) as database:
        await database.write(lambda connection: _list(connection, listed))
    counter = Counter()
    more = [command(f"more{number}", permission="public")(_nothing) for number in range(commands)]
    config = Config(backup=NO_BACKUPS, storage=storage, rate_limit=structs.replace(LIMITS, window=WINDOW))
    async with Bot.from_config(config, commands=[ping_command(counter), *more], jobs=False) as bot:
        for number in range(users):
            bot.rate_limiter.hit((PLATFORM, f"seen{number}"), "bench_ping")

        def renamed(message: Message) -> Message:
            return structs.replace(unchanged(message), text="!bench_ping")

        yield Contender("socbot", "full", renamed, bot.dispatch, counter, bot.telemetry.flush)


async def _nothing(ctx: Context) -> None:
    """Does nothing."""


def _list(connection: Connection, count: int) -> None:
    connection.execute_many(
        "INSERT INTO blacklist (platform, kind, subject, reason, added_by, added_at, source)"
        " VALUES (:platform, 'user', :subject, '', 'bench', 0, 'manual')",
        [{"platform": PLATFORM, "subject": f"listed{number}"} for number in range(count)],
    )


async def compare(rounds: int, count: int) -> dict[str, float]:
    """The cost of a command on a bot that has grown, as a ratio to that on a small one; they take turns."""
    small = {"users": 1_000, "listed": 10, "commands": 10}
    ratios = {}
    for what, size in (("users", 1_000_000), ("listed", 1_000_000), ("commands", 1_000)):
        with tempfile.TemporaryDirectory(prefix="socbot-bench-") as one, tempfile.TemporaryDirectory() as other:
            async with grown(Path(one), **small) as before, grown(Path(other), **small | {what: size}) as after:
                pairs = [(await measure(before, count), await measure(after, count)) for _ in range(rounds + 1)][1:]
        ratios[f"{what}: {small[what]:,} → {size:,}"] = statistics.median(b.loop / a.loop for a, b in pairs)
    return ratios


def limiter_mebibytes(users: int = 1_000_000) -> float:
    """What the limiter takes for that many users who are all still held."""
    tracemalloc.start()
    limiter = Limiter(RateLimitConfig(), Table(users))
    for number in range(users):
        limiter.hit((PLATFORM, str(number)), "ping", 1.0)
        if number % 1_000 == 999:
            limiter.unsaved.clear()  # as the telemetry does when it stores them
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return taken / 2**20
