"""A bot that is on Discord and on a platform of its host's own at once, as a process: ``python host.py ADDRESS_FILE``.

The host's platform is the wire: lines of JSON over TCP, ``{"id", "who", "text"}`` in, ``{"to", "text", "last"}`` out.
It is run in the folder of ``config.yaml``. Beside that it writes a line about each outcome into ``outcomes``, as it is
told, so that what became of every command is known of a process that is killed, too.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
import msgspec
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from socbot import Bot, Context, Message, Outcome, Reply, User, command
from socbot.storage.connection import Connection
from socbot.transports.discord.transport import DiscordTransport
from socbot.web import Web

PLATFORM = "wire"
WRITES = Path("writes")
"""When a batch of telemetry was on the disk, and the seconds that this took."""

BROKEN = Path("broken")
"""While this file is there, the command ``price`` has a bug."""


@command("nap", permission="public", timeout=60.0)
async def nap(ctx: Context, seconds: float) -> str:
    """Take a while."""
    await anyio.sleep(seconds)
    return f"slept {seconds:g}"


@command("price", permission="public")
async def price(ctx: Context, article: str) -> str:
    """What something costs."""
    return f"{article} is {prices()[article]}"


def prices() -> dict[str, int]:
    return {} if BROKEN.exists() else {"bread": 3}


class Spoken(msgspec.Struct):
    """What somebody said on the wire."""

    id: str
    who: str
    text: str


class Told(msgspec.Struct):
    """What is answered; ``last`` tells the answer from the progress before it."""

    to: str
    text: str
    last: bool


class Line(msgspec.Struct):
    """One outcome, as it was told.

    :param at: seconds since 1970
    :param spoken: whether there is an answer that everybody sees
    :param trace: empty for what was decided at the door
    """

    at: float
    platform: str
    id: str
    who: str
    command: str
    status: str
    refused_by: str
    spoken: bool
    trace: str
    generation: int

    @property
    def key(self) -> tuple[str, str]:
        return self.platform, self.id


def note_write(connection: Connection, outcomes: Sequence[Outcome]) -> Callable[[], object]:
    """Write down how long it took to put a batch of telemetry on the disk."""
    began = time.monotonic()

    def written() -> None:
        with WRITES.open("a") as writes:
            writes.write(f"{time.time()} {time.monotonic() - began}\n")

    return written


def line_of(outcome: Outcome) -> Line:
    message, trace = outcome.message, outcome.trace
    return Line(
        time.time(),
        message.platform,
        message.id or "",
        message.author.id,
        outcome.command or "",
        outcome.status,
        outcome.refused_by or "",
        outcome.reply is not None and not outcome.reply.private,
        "" if trace is None else trace.id,
        0 if trace is None else trace.generation,
    )


class Wire:
    """The host's own platform."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot

    async def serve(self, stream: SocketStream) -> None:
        lines, turn = BufferedByteReceiveStream(stream), anyio.Lock()
        async with stream:
            with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
                while True:
                    said = msgspec.json.decode(await lines.receive_until(b"\n", 65_536), type=Spoken)
                    await self._take(said, stream, turn)

    async def _take(self, said: Spoken, stream: SocketStream, turn: anyio.Lock) -> None:
        async def tell(reply: Reply | None, *, last: bool) -> None:
            text = "" if reply is None else str(reply)
            async with turn:
                with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                    await stream.send(msgspec.json.encode(Told(said.id, text, last)) + b"\n")

        async def answer(outcome: Outcome) -> None:
            await tell(outcome.reply, last=True)

        async def progress(reply: Reply) -> None:
            await tell(reply, last=False)

        message = Message(said.text, User(said.who), PLATFORM, "#square", "town", id=said.id)
        at_once = self._bot.submit(message, answer, send=progress)
        if at_once is not None:
            await answer(at_once)


async def serve(address_file: str) -> int:
    """Be on both platforms until SIGTERM; the exit code."""
    outcomes = os.open("outcomes", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def observe(outcome: Outcome) -> None:
        os.write(outcomes, msgspec.json.encode(line_of(outcome)) + b"\n")

    async with (
        Bot.from_config("config.yaml", commands=[nap, price]) as bot,
        Web(bot) as web,
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        bot.dispatcher.observe(observe)
        bot.telemetry.add_sink(note_write)
        discord = DiscordTransport(bot)
        tasks.start_soon(_obey_signals, bot)
        tasks.start_soon(discord.run)
        tasks.start_soon(listener.serve, Wire(bot).serve)
        await anyio.Path(address_file).write_text(f"{listener.extra(SocketAttribute.local_port)} {web.address}")
        await bot.lifecycle.stopping.wait()
        await bot.drain()
        await discord.close()
        tasks.cancel_scope.cancel()
    return bot.lifecycle.exit_code


async def _obey_signals(bot: Bot) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            bot.lifecycle.stop()


if __name__ == "__main__":
    sys.exit(anyio.run(serve, sys.argv[1]))
