"""What a day needs beside the bot: its process, people on both platforms, what they said, and a look at its store."""

import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import psycopg
from anyio.abc import Process, SocketStream, TaskGroup
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.day.host import BROKEN, PLATFORM, WRITES, Line, Spoken, Told
from tests.receiver import Exchange, Receiver, answer
from tests.standin import Message, Person, Standin
from tests.test_cli import ENVIRONMENT

HOST = Path(__file__).with_name("host.py")
PATIENCE = 60.0
UNDER_WAY = 3.0
"""Seconds that a command which meets a kill may have been under way."""


async def until(holds: Callable[[], object], what: object, seconds: float = PATIENCE) -> None:
    """
    :raises AssertionError: if it does not hold in time
    """
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        await anyio.sleep(0.01)


@dataclass(slots=True, eq=False)
class Said:
    """Something that somebody said to the bot, and what they heard of it.

    :param progress: on the wire, what came before the answer
    """

    platform: str
    id: str
    who: str
    text: str
    at: float
    answers: list[str] = field(default_factory=list)
    progress: list[str] = field(default_factory=list)
    message: Message | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.platform, self.id


class Host:
    """The process that the bot lives in."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self._environment = ENVIRONMENT | environment
        self._process: Process | None = None
        self._starts = 0
        self.port = 0
        self.web = ""
        self.killed_at: list[float] = []
        self._back_at: list[float] = []
        self._read, self._outcomes = 0, list[Line]()

    async def start(self) -> None:
        self._starts += 1
        address = self.folder / f"address{self._starts}"
        with (self.folder / "printed").open("ab") as printed:
            command = [sys.executable, str(HOST), str(address)]
            self._process = await anyio.open_process(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed,
                env=self._environment | {"PYTHONPATH": str(HOST.parents[2])},
            )  # fmt: skip
        await until(lambda: (address.exists() and address.read_text()) or self.ended is not None, "the bot's start")
        assert self.ended is None, self.printed
        port, self.web = address.read_text().split()
        self.port = int(port)
        self._back_at.append(time.time())

    @property
    def ended(self) -> int | None:
        return None if self._process is None else self._process.returncode

    @property
    def printed(self) -> str:
        return (self.folder / "printed").read_text()

    async def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self.killed_at.append(time.time())
        await self._process.wait()

    def was_down(self, at: float) -> bool:
        """Whether a command given then may have met a kill, or nobody."""
        return any(
            killed - UNDER_WAY <= at and not any(killed < back <= at for back in self._back_at)
            for killed in self.killed_at
        )

    def break_something(self) -> None:
        """Let a bug into one of the commands."""
        (self.folder / BROKEN).touch()

    def mend(self) -> None:
        (self.folder / BROKEN).unlink()

    def terminate(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    async def close(self) -> None:
        if self._process is not None:
            if self.ended is None:
                self._process.kill()
            await self._process.aclose()

    async def ready(self) -> int:
        """What the readiness probe answers; 0 if nobody does."""
        async with httpx.AsyncClient() as client:
            try:
                return (await client.get(f"{self.web}/readyz")).status_code
            except httpx.TransportError:
                return 0

    def last_write(self, before: float) -> float:
        """How long the last write of telemetry took that had ended before then, in seconds."""
        writes = [tuple(map(float, line.split())) for line in (self.folder / WRITES).read_text().splitlines()]
        return max(writes[:1] + [(at, took) for at, took in writes if at <= before])[1]

    async def ready_no_more(self) -> int:
        """What the readiness probe answers as soon as that is no longer 200."""
        deadline = time.monotonic() + PATIENCE
        while (status := await self.ready()) == 200:
            assert time.monotonic() < deadline, "it stays ready"
        return status

    @property
    def outcomes(self) -> list[Line]:
        """What became of every command so far, over all starts."""
        with (self.folder / "outcomes").open("rb") as written:
            written.seek(self._read)
            while (text := written.readline()).endswith(b"\n"):
                self._read += len(text)
                line = msgspec.json.decode(text, type=Line)
                if line.platform != "health":  # with which the bot tries itself
                    self._outcomes.append(line)
        return self._outcomes


class Store:
    """The bot's store, looked at from outside."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.file = folder / url.removeprefix("sqlite:///")

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        if self.url.startswith("sqlite:"):
            with closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=PATIENCE)) as connection:
                return connection.execute(statement).fetchall()
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement).fetchall()

    def traces(self) -> list[str]:
        """The id of every trace that is stored."""
        return [id for (ids,) in self.rows("SELECT ids FROM traces") for id in ids.split()]


class Hook(Receiver):
    """A receiver of webhooks that counts what it took, by id."""

    def __init__(self) -> None:
        super().__init__(otherwise=self._take)
        self.taken: Counter[str] = Counter()

    async def _take(self, exchange: Exchange) -> None:
        self.taken[exchange.request.headers["webhook-id"]] += 1
        await answer()(exchange)


class Town:
    """People on Discord and on the wire. What they say to the bot, and hear of it, is written down in ``said``."""

    def __init__(self, standin: Standin, tasks: TaskGroup) -> None:
        self._standin, self._tasks = standin, tasks
        self._stream: SocketStream | None = None
        self._turn = anyio.Lock()
        self.said: dict[tuple[str, str], Said] = {}

    async def join_the_wire(self, port: int) -> None:
        if self._stream is not None:
            await self._stream.aclose()
        self._stream = await anyio.connect_tcp("127.0.0.1", port)
        self._tasks.start_soon(self._listen, self._stream)

    async def _listen(self, stream: SocketStream) -> None:
        lines = BufferedByteReceiveStream(stream)
        try:
            while True:
                told = msgspec.json.decode(await lines.receive_until(b"\n", 1_000_000), type=Told)
                said = self.said[PLATFORM, told.to]
                (said.answers if told.last else said.progress).append(told.text)
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # the bot has ended

    async def leave_the_wire(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()

    async def say(self, who: Person | str, text: str) -> Said:
        """Say something: a person on Discord, or somebody on the wire."""
        if isinstance(who, str):
            said = Said(PLATFORM, f"w{len(self.said)}", who, text, time.time())
            self.said[said.key] = said
            await self._send(Spoken(said.id, who, text))
            return said
        message = await who.says(text)
        said = Said("discord", message.id, who.id, text, time.time(), message=message)
        self.said[said.key] = said
        return said

    async def _send(self, spoken: Spoken) -> None:
        assert self._stream is not None
        with anyio.CancelScope(shield=True):  # what was written down as said is said
            async with self._turn:
                with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # nobody hears it
                    await self._stream.send(msgspec.json.encode(spoken) + b"\n")

    def answers(self, said: Said) -> list[str]:
        return said.answers if said.message is None else [each.text for each in _replies(said.message)]

    async def ask(self, who: Person | str, text: str, holding: str = "", seconds: float = PATIENCE) -> str:
        """Say something and wait for the answer, which has ``holding`` in it; for that which is told in the channel."""
        said = await self.say(who, text)
        await until(lambda: any(holding in answer for answer in self.answers(said)), f"an answer to {text}", seconds)
        return self.answers(said)[-1]

    async def use(self, who: Person, command: str) -> str:
        """Use a slash command, and wait for the answer."""
        used = await who.slash(command)
        said = self._note(who, used.interaction.id, f"/{command}")
        said.answers.append((await used.answer()).text)
        return said.answers[-1]

    async def confirm(self, who: Person, text: str, holding: str) -> Said:
        """Ask on Discord for what has to be confirmed, press Yes, and wait for what came of that."""
        asked = (await self.say(who, text)).message
        assert asked is not None
        await until(lambda: _replies(asked), f"the question: {text}")
        (question,) = _replies(asked)
        assert "Yes" in question.buttons, question.text
        used = await who.clicks(question, "Yes")
        yes = self._note(who, used.interaction.id, f"yes to {text}")
        shown = question.channel.messages
        await until(lambda: any(holding in each.text for each in shown[question.index :]), f"{holding}: {text}", 60.0)
        yes.answers.append(holding)
        return yes

    def _note(self, who: Person, id: str, text: str) -> Said:
        said = self.said["discord", id] = Said("discord", id, who.id, text, time.time())
        return said


def _replies(asked: Message) -> list[Message]:
    later = asked.channel.messages[asked.index :]
    return [each for each in later if each.by_bot and each.reference is asked]


def id_in(text: str, prefix: str) -> str:
    """The id, such as ``I-7Q2M9X``, in an answer."""
    found = re.search(rf"\b{prefix}-[A-Z0-9]+", text)
    assert found, text
    return found[0]
