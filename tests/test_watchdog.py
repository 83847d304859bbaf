"""A stalled event loop is seen while it is stalled, and by whom; a busy one is not taken for one."""

import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import anyio
import anyio.from_thread
import pytest
from anyio.lowlevel import checkpoint

from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.dispatcher import Dispatcher
from socbot.testing import said
from socbot.watchdog import Stall, Systemd, Watchdog

pytestmark = pytest.mark.alone

ASYNCIO = pytest.mark.parametrize("anyio_backend", ["asyncio"])


class Seen(list[tuple[float, Stall]]):
    """Stalls, with the moment at which each was told."""

    def __call__(self, stall: Stall) -> None:
        self.append((time.monotonic(), stall))


@pytest.fixture
def seen() -> Seen:
    return Seen()


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def compute(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1_000))


def swallow(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            raise RuntimeError
        except RuntimeError:
            continue


async def stalled_by(block: Callable[[float], None], seconds: float, seen: Seen) -> float:
    """Hold up the loop under a watchdog; the moment at which that began."""
    async with Watchdog(seen):
        await anyio.sleep(0.12)
        began = time.monotonic()
        block(seconds)
        await anyio.sleep(0.3)
    return began


@pytest.mark.promise("P50")
async def test_a_short_delay_is_no_stall(seen: Seen) -> None:
    for _ in range(2):
        await stalled_by(sleep, 0.2, seen)
    assert seen == []


@pytest.mark.promise("P26")
@pytest.mark.promise("P50")
@pytest.mark.parametrize("block", [sleep, compute, swallow])
async def test_a_stall_is_told_once_within_half_a_second_with_the_line_that_holds_the_loop(
    seen: Seen, block: Callable[[float], None]
) -> None:
    began = await stalled_by(block, 1.0, seen)
    ((told_at, stall),) = seen
    assert told_at - began <= 0.5
    assert re.search(rf"test_watchdog\.py:\d+ in {block.__name__}$", stall.where)
    assert "stalled_by" in stall.stack


@pytest.mark.slow
@pytest.mark.promise("P50")
async def test_a_long_stall_is_told_once_and_as_soon(seen: Seen) -> None:
    began = await stalled_by(sleep, 5.0, seen)
    ((told_at, _),) = seen
    assert told_at - began <= 0.5


def backtrack(seconds: float) -> None:
    """One call into the regex engine, which holds the interpreter's lock for so long on a processor."""
    length = 20
    while True:
        began = time.thread_time()
        re.fullmatch(r"(a|a)*b", "a" * length)
        if time.thread_time() - began >= seconds:
            return
        length += 1


@pytest.mark.promise("P50")
@ASYNCIO
async def test_a_call_that_holds_the_interpreter_is_told_as_soon_as_it_lets_go(seen: Seen) -> None:
    await stalled_by(backtrack, 0.6, seen)
    assert seen
    assert all("in backtrack" in stall.where for _, stall in seen)


async def test_each_stall_is_told_and_the_loop_knows_how_late_it_was(seen: Seen) -> None:
    async with Watchdog(seen) as watchdog:
        for _ in range(2):
            await anyio.sleep(0.12)
            sleep(0.5)
            assert watchdog.overdue >= 0.3
            await anyio.sleep(0.01)
        lags = watchdog.lags()
        assert watchdog.stalls == len(seen) == 2
        assert 0.4 <= lags.worst <= 0.7
        assert 0 < lags.mean < lags.worst
        await anyio.sleep(0.12)
        assert watchdog.lag() < 0.2


@pytest.mark.promise("P52")
async def test_how_long_the_loop_has_stood_is_known_on_the_watchdogs_thread(seen: Seen) -> None:
    during: list[float] = []

    def hold() -> None:
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            time.sleep(0.02)
            during.append(watchdog.stalled)

    async with Watchdog(seen) as watchdog:
        await anyio.sleep(0.12)
        assert watchdog.stalled < 0.1
        assert watchdog.worst(60) < 0.2
        hold()
        assert 0.4 <= max(during) <= 0.65
        await anyio.sleep(0.2)
        assert watchdog.stalled < 0.1
        assert 0.4 <= watchdog.worst(60) <= 0.7


@ASYNCIO
async def test_who_is_told_may_fail_and_the_watch_goes_on() -> None:
    told: list[Stall] = []

    def fail(stall: Stall) -> None:
        told.append(stall)
        raise RuntimeError("nobody listens")

    async with Watchdog(fail):
        for _ in range(2):
            await anyio.sleep(0.12)
            sleep(0.5)
            await anyio.sleep(0.1)
    assert len(told) == 2


@ASYNCIO
async def test_a_stall_may_be_handed_over_to_the_loop() -> None:
    told: list[Stall] = []
    async with anyio.from_thread.BlockingPortal() as portal:

        def hand_over(stall: Stall) -> None:
            portal.start_task_soon(told.append, stall)

        async with Watchdog(hand_over):
            await anyio.sleep(0.12)
            sleep(0.5)
            await anyio.sleep(0.1)
    assert len(told) == 1


async def at_two_hundred_a_second(seconds: float, watch: Watchdog) -> int:
    """Dispatch commands at a steady rate while a process for each processor is busy; how many were run."""

    @command("work", permission="public")
    async def work(ctx: Context) -> str:
        await checkpoint()
        return "done"

    dispatcher = Dispatcher([work], random=Random(1))
    async with anyio.create_task_group() as tasks, dispatcher:
        for _ in range(2):
            tasks.start_soon(_burn_elsewhere, seconds)
        began, count = time.monotonic(), 0
        async with watch:
            while (passed := time.monotonic() - began) < seconds:
                while count < passed * 200:
                    count += 1
                    await dispatcher.dispatch(said("!work", str(count)))
                await anyio.sleep(0.005)
    return count


async def _burn_elsewhere(seconds: float) -> None:
    await anyio.run_process(
        [sys.executable, "-c", f"import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"]
    )


@pytest.mark.slow
@pytest.mark.promise("P50")
@ASYNCIO
async def test_a_busy_machine_raises_no_false_alarm_in_ten_minutes(seen: Seen) -> None:
    assert await at_two_hundred_a_second(600, Watchdog(seen)) >= 119_000
    assert seen == []


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager's end of the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.setblocking(False)
        yield receiver


def received(manager: socket.socket) -> list[str]:
    texts = []
    while True:
        try:
            texts.append(manager.recv(4096).decode())
        except BlockingIOError:
            return texts


@pytest.mark.promise("P50")
async def test_the_service_manager_hears_of_the_bot_only_while_the_loop_turns(manager: socket.socket) -> None:
    systemd = Systemd.from_environment({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "200000"})
    async with Watchdog(systemd=systemd) as watchdog:
        assert received(manager) == ["READY=1"]
        await anyio.sleep(0.5)
        assert 3 <= received(manager).count("WATCHDOG=1") <= 10
        sleep(0.3)
        received(manager)
        sleep(0.7)
        assert received(manager) == []
        await anyio.sleep(0.3)
        assert "WATCHDOG=1" in received(manager)
        watchdog.reloading()
        watchdog.reloaded()
        watchdog.stopping()
        texts = [text for text in received(manager) if text != "WATCHDOG=1"]
    assert texts[0].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert texts[1:] == ["READY=1", "STOPPING=1"]


@pytest.mark.parametrize(
    "environ",
    [{}, {"WATCHDOG_USEC": "junk"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}],
)
def test_without_a_service_manager_nothing_is_sent(environ: dict[str, str]) -> None:
    systemd = Systemd.from_environment(environ)
    assert systemd.interval is None
    systemd.ready()


def test_a_service_manager_that_is_gone_or_full_holds_up_nothing(manager: socket.socket, tmp_path: Path) -> None:
    Systemd(str(tmp_path / "nobody")).ready()
    systemd = Systemd(manager.getsockname())
    began = time.monotonic()
    for _ in range(2_000):
        systemd.alive()
    assert time.monotonic() - began < 2


def test_the_abstract_name_space_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0socbot-test-{os.getpid()}")
        Systemd(f"@socbot-test-{os.getpid()}").ready()
        assert receiver.recv(100) == b"READY=1"
