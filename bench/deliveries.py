"""How many deliveries a second leave the durable outbox, and what a webhook that hangs costs commands."""

import asyncio
import gc
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import anyio
from msgspec import Struct, structs

from bench.contenders import LIMITS, NO_BACKUPS, Counter, ping_command
from bench.speed import messages
from socbot.bot import Bot
from socbot.config import Config, StorageConfig, WebhooksConfig
from socbot.storage.connection import Connection
from socbot.systems.signals import Draft

WEBHOOKS = 8
"""Of one receiver: each is served in order, so that one alone waits for each of its answers."""


class Deliveries(Struct, frozen=True):
    """:param rate: deliveries a second, to one receiver of several webhooks
    :param alone: the same to one webhook
    :param before: the P99 of commands while ten webhooks are delivered to, in seconds
    :param beside: the same while one of the ten hangs
    """

    rate: float
    alone: float
    before: float
    beside: float


async def measure(rounds: int) -> Deliveries:
    """Medians over ``rounds``."""
    with receiver() as port:
        rates = [await _drain(port, WEBHOOKS, 2_000) for _ in range(rounds)]
        alone = [await _drain(port, 1, 1_000) for _ in range(rounds)]
        pairs = [(await _commands(port, 0), await _commands(port, 1)) for _ in range(rounds)]
    return Deliveries(median(rates), median(alone), median(a for a, _ in pairs), median(b for _, b in pairs))


@contextmanager
def _bot(folder: str) -> Iterator[tuple[Bot, Counter]]:
    counter = Counter()
    webhooks = WebhooksConfig(allow=("127.0.0.0/8",), most_waiting=1_000_000)
    storage = StorageConfig(url=f"sqlite:///{Path(folder)}/bench.db")
    config = Config(backup=NO_BACKUPS, storage=storage, rate_limit=LIMITS, webhooks=webhooks)
    yield Bot.from_config(config, commands=[ping_command(counter)]), counter


async def _drain(port: int, webhooks: int, events: int) -> float:
    with tempfile.TemporaryDirectory(prefix="socbot-bench-") as folder, _bot(folder) as (made, _):
        async with made as bot:
            for number in range(webhooks):
                await _add(bot, port, f"hook{number}")
            began = perf_counter()
            await bot.database.write(lambda connection: _raise(bot, connection, events // webhooks))
            bot.webhooks.wake()
            while bot.webhooks.backlog:  # noqa: ASYNC110 - what is measured has no event of its own
                await anyio.sleep(0.005)
            return events / (perf_counter() - began)


def _raise(bot: Bot, connection: Connection, count: int) -> None:
    for number in range(count):
        bot.signals.write(connection, Draft("alert", f"Door {number}", "It is open."))


async def _add(bot: Bot, port: int, name: str) -> None:
    await bot.webhooks.add(name, "custom", f"http://127.0.0.1:{port}/{name}", (), "local:owner")
    if not name.startswith("hang"):
        assert (await bot.webhooks.test(name)).delivered


async def _commands(port: int, hanging: int) -> float:
    """The P99 of 1,000 commands, each with an event that is delivered to ten webhooks."""
    took = []
    with tempfile.TemporaryDirectory(prefix="socbot-bench-") as folder, _bot(folder) as (made, _):
        async with made as bot:
            for number in range(10):
                await _add(bot, port, f"{'hang' if number < hanging else 'hook'}{number}")
            gc.collect()
            for number, message in enumerate(messages(1_000, "full")):
                await bot.signals.raise_("alert", f"Door {number}")
                began = perf_counter()
                await bot.dispatch(structs.replace(message, text="!bench_ping"))
                took.append(perf_counter() - began)
    return sorted(took)[990]


def report(found: Deliveries) -> str:
    return "\n".join(
        (
            f"{found.rate:,.0f} deliveries a second to {WEBHOOKS} webhooks of one receiver, outbox on the disk",
            f"{found.alone:,.0f} deliveries a second to one webhook, each after the answer to the one before",
            f"commands beside ten webhooks: P99 {found.before * 1e3:.2f} ms; one of them hanging: "
            f"{found.beside * 1e3:.2f} ms, {(found.beside - found.before) * 1e3:+.2f} ms",
        )
    )


# -- the receiver, in a process of its own ------------------------------------------------------------


@contextmanager
def receiver() -> Iterator[int]:
    """Takes everything, but never answers what is sent to ``/hang…``; its port."""
    context = get_context("spawn")
    ports = context.SimpleQueue()
    process = context.Process(target=_receive, args=(ports,), daemon=True)
    process.start()
    try:
        yield ports.get()
    finally:
        process.kill()
        process.join()


def _receive(ports: Any) -> None:
    asyncio.run(_listen(ports))


async def _listen(ports: Any) -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    ports.put(server.sockets[0].getsockname()[1])
    await server.serve_forever()


class _Connection(asyncio.Protocol):
    """Answers each request that is whole: no more than is needed to be no bottleneck."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._read = b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end].lower()
            whole = end + 4 + int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if len(self._read) < whole:
                return
            self._read = self._read[whole:]
            if not head.startswith(b"post /hang"):
                self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
