"""``socbot run`` on Discord, as a process: its start, its end, and what it says of what it cannot mend."""

import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import anyio
import psutil
import pytest
from anyio.abc import ByteStream, Process, SocketStream

from tests.standin import Guild, Message, Person, Standin
from tests.test_cli import ENVIRONMENT

OWN = """
import anyio
from socbot import command

@command("nap", permission="public", timeout=100.0, metered=False)
async def nap(ctx, seconds: float):
    "Sleeps."
    await anyio.sleep(seconds)
    return f"slept {seconds:g}"

COMMANDS = (nap,)
"""

CODES = {
    4004: "Reset Token",
    4010: "discord.shards",
    4011: "discord.shards",
    4012: "Update discord.py",
    4013: "Update discord.py",
    4014: "Privileged Gateway Intents",
}


class Program:
    """A bot that runs as a process of its own on the stand-in, with its owner in a guild."""

    def __init__(self, process: Process, folder: Path, standin: Standin) -> None:
        self.process, self._folder, self._standin = process, folder, standin

    @property
    def printed(self) -> str:
        return "".join((self._folder / name).read_text() for name in ("stdout", "stderr"))

    @property
    def log(self) -> str:
        return "".join(path.read_text() for path in (self._folder / "logs").glob("*.log*"))

    async def until(self, holds: Callable[[], object], what: str, seconds: float = 20.0) -> None:
        try:
            await self._standin.until(holds, seconds=seconds, what=what)
        except AssertionError as error:
            error.add_note(self.printed)
            raise

    async def says(self, text: str) -> None:
        """Wait until it has printed that."""
        await self.until(lambda: text in self.printed, repr(text))

    async def ended(self, seconds: float = 20.0) -> int | None:
        """Wait until it has ended; the exit code."""
        await self.until(lambda: self.process.returncode is not None, "the process's end", seconds)
        assert self._standin.token not in self.printed + self.log
        return self.process.returncode


Run: TypeAlias = Callable[..., AbstractAsyncContextManager[Program]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with Standin() as standin:
        yield standin


@pytest.fixture
def owner(standin: Standin) -> Person:
    return standin.user("owner")


@pytest.fixture
def guild(standin: Standin, owner: Person) -> Guild:
    guild = standin.guild("guild", owner=owner)
    owner.at = guild.general
    return guild


@pytest.fixture
def run(standin: Standin, owner: Person, guild: Guild, tmp_path: Path) -> Run:
    """``async with run(config) as program``; keywords are variables of its environment."""
    (tmp_path / "own.py").write_text(OWN)

    @asynccontextmanager
    async def run(config: str = "bot: {shutdown_timeout: 4s}", **environment: str) -> AsyncIterator[Program]:
        (tmp_path / "config.yaml").write_text(f"handlers: [own]\n{config}\n")
        environment = ENVIRONMENT | standin.environment() | {"BOT_OWNER_ID": owner.id} | environment
        with (tmp_path / "stdout").open("wb") as out, (tmp_path / "stderr").open("wb") as err:
            command = [sys.executable, "-m", "socbot", "run"]
            process = await anyio.open_process(
                command, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment
            )
            async with process:
                try:
                    yield Program(process, tmp_path, standin)
                finally:
                    if process.returncode is None:
                        process.kill()

    return run


async def asks(standin: Standin, owner: Person, text: str) -> Message:
    said = await owner.says(text)
    return await standin.message(in_=said.channel, after=said)


# -- from the start to the end ----------------------------------------------------------------------------


@pytest.mark.promise("P11")
@pytest.mark.promise("P49")
@pytest.mark.alone
async def test_it_starts_answers_and_ends_in_order(run: Run, standin: Standin, owner: Person) -> None:
    async with run() as program:
        await program.says("socbot is on Discord: 1 guild")
        assert "Startup Complete" in (await standin.message(in_=owner.dm)).text
        assert (await asks(standin, owner, "!ping")).text.startswith("Pong!")
        await program.until(lambda: standin.world.commands, "the slash commands")
        assert (await (await owner.slash("uptime")).answer()).text.startswith("Up for")
        listed = psutil.Process(program.process.pid).as_dict(["name", "cmdline", "exe"])  # as everybody sees it
        assert standin.token not in str(listed)
        started = time.monotonic()
        unanswered = [await owner.says(f"!nap {seconds}") for seconds in (0.5, 1, 1.5)]
        await anyio.sleep(0.3)
        program.process.send_signal(signal.SIGTERM)
        assert await program.ended() == 0
        assert time.monotonic() - started < 5
    assert {answer.text for answer in answers_to(unanswered)} == {"slept 0.5", "slept 1", "slept 1.5"}
    assert "Shutting Down" in owner.dm.messages[-1].text
    assert standin.gateway.closes[-1] == 1000
    assert len(standin.gateway.identifies) == 1


def answers_to(said: list[Message]) -> list[Message]:
    return [each for each in said[0].channel.messages if each.by_bot and each.reference in said]


@pytest.mark.slow  # two logins are more than five seconds apart
async def test_a_second_start_asks_for_no_command_that_is_there(run: Run, standin: Standin, owner: Person) -> None:
    async with run() as program:
        await program.until(lambda: standin.world.commands, "the slash commands")
        await program.says("on Discord")
        program.process.send_signal(signal.SIGTERM)
        assert await program.ended() == 0
    before = len(standin.limits.requests(pattern="/applications/*/commands"))
    async with run() as program:
        await program.says("on Discord")
        assert (await (await owner.slash("uptime")).answer()).text.startswith("Up for")
        assert (await asks(standin, owner, "!ping")).text.startswith("Pong!")
    assert len(standin.limits.requests(pattern="/applications/*/commands")) == before


async def test_restart_by_a_button_brings_the_same_process_back(run: Run, standin: Standin, owner: Person) -> None:
    async with run() as program:
        await program.says("on Discord")
        await program.until(lambda: standin.world.commands, "the slash commands")
        registering = len(standin.limits.requests(pattern="/applications/*/commands"))
        question = await asks(standin, owner, "!restart")
        await owner.clicks(question, "Yes")
        assert (await standin.message(in_=question.channel, after=question)).text == "Restarting."
        await standin.gateway.identified(2, seconds=30)
        assert program.process.returncode is None
        await program.until(lambda: told(owner)["Startup Complete"] == 2, "the second start's notice")
        question = await asks(standin, owner, "!shutdown")
        await owner.clicks(question, "Yes")
        assert (await standin.message(in_=question.channel, after=question)).text == "Goodbye."
        assert await program.ended() == 0
    assert len(standin.limits.requests(pattern="/applications/*/commands")) == registering
    logged_in = [identify.at for identify in standin.gateway.identifies]
    assert logged_in[1] - logged_in[0] > 5.0
    assert told(owner) == {"Startup Complete": 2, "Shutting Down": 2}


def told(owner: Person) -> Counter[str]:
    """The titles of the notices that the owner got."""
    titles = ("Startup Complete", "Shutting Down")
    return Counter(title for each in owner.dm.messages for title in titles if title in each.text)


async def test_under_systemd_a_restart_is_left_to_it(run: Run, standin: Standin, owner: Person, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "notify"))
        async with run(NOTIFY_SOCKET=str(tmp_path / "notify")) as program:
            await program.says("on Discord")
            await owner.clicks(await asks(standin, owner, "!restart"), "Yes")
            assert await program.ended() == 26


@pytest.mark.promise("P49")
@pytest.mark.alone
async def test_of_twenty_commands_under_way_all_that_fit_are_answered_and_the_others_told(
    run: Run, standin: Standin, owner: Person
) -> None:
    lengths = [0.1, 0.3, 0.5, 1.0, 1.5] * 2 + [10.0, 30.0, 45.0, 60.0, 59.0] * 2
    async with run("bot: {shutdown_timeout: 3s}") as program:
        await program.says("on Discord")
        said = [await owner.says(f"!nap {seconds}") for seconds in lengths]
        await program.until(lambda: len(answers_to(said)) >= 2, "the first answers")
        started = time.monotonic()
        program.process.send_signal(signal.SIGTERM)
        assert await program.ended() == 0
        assert 2.0 < time.monotonic() - started < 4.0
    for message, seconds in zip(said, lengths, strict=True):
        assert [answer.text for answer in answers_to([message])] == [
            f"slept {seconds:g}" if seconds < 3 else "The bot is shutting down."
        ]


# -- what cannot be mended, and what can ------------------------------------------------------------------


@pytest.mark.promise("P15")
@pytest.mark.parametrize("code", CODES)
async def test_a_login_that_discord_refuses_for_good_is_tried_once(code: int, run: Run, standin: Standin) -> None:
    standin.gateway.refuse = code
    async with run() as program:
        assert await program.ended() == 78
        assert CODES[code] in program.printed
        assert "Traceback" not in program.printed
    assert [identify.refused for identify in standin.gateway.identifies] == [code]


@pytest.mark.promise("P15")
async def test_a_wrong_token_is_tried_once(run: Run, standin: Standin) -> None:
    wrong = standin.token[:-4] + "abcd"
    async with run(DISCORD_TOKEN=wrong) as program:
        assert await program.ended() == 78
        assert "Reset Token" in program.printed
        assert wrong not in program.printed + program.log
    assert len(standin.limits.seen) == 1
    assert standin.gateway.identifies == []


@pytest.mark.promise("P15")
async def test_a_token_that_is_reset_ends_a_running_bot_at_once(run: Run, standin: Standin) -> None:
    async with run() as program:
        await program.says("on Discord")
        standin.gateway.token_was_reset = True
        standin.gateway.close(4004)
        assert await program.ended() == 78
        assert "Reset Token" in program.printed
    assert len(standin.gateway.identifies) == 1
    assert standin.gateway.resumes == []


@pytest.mark.promise("P15")
@pytest.mark.parametrize(
    ("codes", "ending"),
    [((4000,), ()), pytest.param((4000, 4001, 4002, 4003, 4005, 4008), (4007, 4009), marks=pytest.mark.slow)],
)
async def test_other_close_codes_are_connected_after(
    codes: tuple[int, ...], ending: tuple[int, ...], run: Run, standin: Standin, owner: Person
) -> None:
    async with run() as program:
        await program.says("on Discord")
        for number, code in enumerate(codes, 1):
            standin.gateway.close(code)
            await standin.gateway.resumed(number)
            assert (await asks(standin, owner, "!uptime")).text.startswith("Up for")
        for number, code in enumerate(ending, 2):
            standin.gateway.close(code)
            await standin.gateway.identified(number, seconds=15)
            await standin.gateway.ready()
            assert (await asks(standin, owner, "!uptime")).text.startswith("Up for")
    assert len(standin.gateway.identifies) == 1 + len(ending)


async def test_an_api_that_fails_after_the_first_look_is_waited_for(run: Run, standin: Standin, owner: Person) -> None:
    looked = 0

    def break_the_login() -> bool:
        nonlocal looked
        seen = len(standin.limits.requests("GET", "/gateway/bot"))
        if seen and not looked:
            looked = seen
            standin.limits.answer("GET", "/users/@me", 503, times=2)
        return bool(looked)

    async with run() as program:
        await program.until(break_the_login, "the first look")
        await program.says("on Discord")
        assert (await asks(standin, owner, "!uptime")).text.startswith("Up for")


async def test_while_discord_is_out_of_reach_it_waits_with_its_jobs_running(
    run: Run, standin: Standin, owner: Person
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening: connections are refused
        port = taken.getsockname()[1]
        async with run(
            "bot: {watch_config: true}", SOCBOT_DISCORD__API_URL=f"http://127.0.0.1:{port}/api/v10"
        ) as program:
            await program.until(lambda: "trying again" in program.log, "the first failure")
            assert "started: " in program.log
            taken.close()
            async with relayed(port, standin):
                await program.says("on Discord")
                assert (await asks(standin, owner, "!uptime")).text.startswith("Up for")


@asynccontextmanager
async def relayed(port: int, standin: Standin) -> AsyncIterator[None]:
    """The stand-in, on another port too."""
    target = int(standin.gateway.url.rpartition(":")[2])

    async def serve(client: SocketStream) -> None:
        async with client, await anyio.connect_tcp("127.0.0.1", target) as server, anyio.create_task_group() as tasks:
            tasks.start_soon(_pump, client, server)
            await _pump(server, client)
            tasks.cancel_scope.cancel()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield
        tasks.cancel_scope.cancel()


async def _pump(source: ByteStream, target: ByteStream) -> None:
    try:
        async for part in source:
            await target.send(part)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        return


async def test_it_can_be_ended_while_discord_is_out_of_reach(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with run(SOCBOT_DISCORD__API_URL=f"http://127.0.0.1:{taken.getsockname()[1]}/api/v10") as program:
            await program.until(lambda: "trying again" in program.log, "the first failure")
            program.process.send_signal(signal.SIGTERM)
            assert await program.ended(5.0) == 0
