"""From the server's thread to the bot's loop: nobody waits for a loop that stands still."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from socbot.web.bridge import Bridge
from socbot.web.gate import LoopBusy


async def elsewhere(work: Callable[[], Awaitable[object]]) -> object:
    """What ``work`` gives on an asyncio loop of its own, on another thread."""

    async def run() -> object:
        return await work()

    return await anyio.to_thread.run_sync(lambda: asyncio.run(run()))


async def double(number: int) -> int:
    await anyio.lowlevel.checkpoint()
    return 2 * number


async def fail() -> None:
    raise TimeoutError("of its own")


async def test_what_is_asked_is_answered_and_what_fails_fails() -> None:
    async with Bridge() as bridge:
        here = threading.get_ident()

        async def where() -> int:
            return threading.get_ident()

        assert await elsewhere(lambda: bridge.ask(5, double, 21)) == 42
        assert await elsewhere(lambda: bridge.ask(5, where)) == here
        with pytest.raises(TimeoutError, match="of its own"):
            await elsewhere(lambda: bridge.ask(5, fail))
        assert await elsewhere(lambda: bridge.ask(5, double, 2)) == 4, "a failure ends nothing"


async def test_what_takes_too_long_is_cancelled() -> None:
    cancelled = anyio.Event()

    async def hang() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    async with Bridge() as bridge:
        with pytest.raises(LoopBusy, match=r"within 0\.1 s"):
            await elsewhere(lambda: bridge.ask(0.1, hang))
        with anyio.fail_after(5):
            await cancelled.wait()


@pytest.mark.alone
@pytest.mark.promise("P52")
async def test_a_loop_that_stands_still_holds_up_nobody_else() -> None:
    """The other loop goes on turning, which is what answers the probes, and what was given up is not begun later."""
    begun: list[int] = []

    async def note() -> None:
        begun.append(1)

    async def work() -> tuple[float, int]:
        turns, began = 0, time.monotonic()
        asked = asyncio.create_task(bridge.ask(0.2, note))
        while not asked.done():
            turns += 1
            await asyncio.sleep(0.01)
        assert isinstance(asked.exception(), LoopBusy)
        return time.monotonic() - began, turns

    async with Bridge() as bridge:
        seen: list[tuple[float, int]] = []
        thread = threading.Thread(target=lambda: seen.append(asyncio.run(work())))
        thread.start()
        thread.join(5)  # the loop of this test stands still meanwhile
        seconds, turns = seen[0]
        assert seconds < 1.0
        assert turns >= 5
        await anyio.wait_all_tasks_blocked()
        assert begun == []


async def test_who_asks_a_bot_that_is_ending_is_told() -> None:
    async def hang() -> None:
        await anyio.sleep_forever()

    told: list[BaseException] = []

    async def ask() -> None:
        try:
            await elsewhere(lambda: bridge.ask(5, hang))
        except LoopBusy as error:
            told.append(error)

    async with anyio.create_task_group() as tasks, Bridge() as bridge:
        tasks.start_soon(ask)
        await anyio.sleep(0.1)
    assert [str(error) for error in told] == ["The bot is shutting down."]
    async with Bridge() as bridge:
        bridge.close()
        with pytest.raises(LoopBusy, match="shutting down"):
            await elsewhere(lambda: bridge.ask(5, double, 1))
