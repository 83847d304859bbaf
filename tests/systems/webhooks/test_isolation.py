"""A webhook that hangs delays neither another one nor a command."""

import gc
import time

import anyio
import psutil
import pytest

from socbot.bot import Bot
from socbot.config import RateLimitConfig, WebhooksConfig
from socbot.testing import owner_said
from tests.conftest import MakeBot
from tests.receiver import Behaviour, Receiver, answer, hang, in_a_thread, late

pytestmark = pytest.mark.alone

CONFIG = WebhooksConfig(allow=("127.0.0.0/8",), timeout=30.0, most_waiting=200)
MOST_GROWTH = 16 * 1024 * 1024
"""Bytes, with what the receiver keeps of a thousand requests, which is in the same process."""

MOST_TASKS = 4

GENEROUS = RateLimitConfig(cooldown=0.0, burst=10_000)


async def raise_and_command(bot: Bot, events: int) -> tuple[list[float], dict[str, float], int]:
    """How long each command took, when each signal was raised, and how many tasks there were at most."""
    took, raised = [], {}
    most_tasks = 0
    for number in range(events):
        signal = await bot.signals.raise_("alert", f"Door {number}")
        raised[signal.id] = time.monotonic()
        began = time.perf_counter()
        await bot.dispatch(owner_said("!ping"))
        took.append(time.perf_counter() - began)
        most_tasks = max(most_tasks, len(anyio.get_running_tasks()))
        await anyio.sleep(0.002)
    return took, raised, most_tasks


def p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


async def nine_hang_and_one_does_not(make_bot: MakeBot, events: int) -> None:
    with in_a_thread(Receiver()) as receiver:
        receiver.on("/good", answer(200))
        receiver.otherwise = hang
        async with make_bot(webhooks=CONFIG, rate_limit=GENEROUS, jobs=True) as bot:
            gc.collect()
            alone, _, few_tasks = await raise_and_command(bot, events)
            await bot.webhooks.add("good", "custom", receiver.url("/good"), (), "local:owner")
            assert (await bot.webhooks.test("good")).delivered  # the first request of all opens the client
            receiver.requests.clear()
            for number in range(9):
                await bot.webhooks.add(f"hangs{number}", "custom", receiver.url(f"/hang/{number}"), (), "local:owner")
            gc.collect()
            memory = psutil.Process().memory_info().rss
            beside, raised, most_tasks = await raise_and_command(bot, events)
            await anyio.to_thread.run_sync(wait_for_good, receiver, events)
            grown = psutil.Process().memory_info().rss - memory
            stats = bot.webhooks.stats()
    delays = [request.at - raised[request.headers["webhook-id"]] for request in receiver.to("/good")]
    print(f"{grown / 1e6:.1f} MB more, {few_tasks} tasks and then {most_tasks} at most")
    print(f"good P99 {p99(delays) * 1e3:.1f} ms; commands' P99 {p99(alone) * 1e3:.2f} -> {p99(beside) * 1e3:.2f} ms")
    assert len(delays) == events
    assert p99(delays) <= 0.5
    assert p99(beside) <= p99(alone) + 0.010
    assert grown <= MOST_GROWTH, "what waits is on the disk, not in memory"
    assert most_tasks <= few_tasks + 10 * MOST_TASKS, "so many for each webhook, however much waits for it"
    assert all(len(receiver.to(f"/hang/{number}")) == 1 for number in range(9)), "one request at a time"
    for number in range(9):
        counts = stats.each[f"hangs{number}"]
        assert counts.waiting == min(events, 200)
        assert counts.dropped == max(0, events - 200), "what is too much is dropped there alone, and counted"


def wait_for_good(receiver: Receiver, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(receiver.to("/good")) < count and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.promise("P43")
async def test_nine_that_hang_delay_nobody(make_bot: MakeBot) -> None:
    await nine_hang_and_one_does_not(make_bot, 220)


@pytest.mark.slow
@pytest.mark.promise("P43")
async def test_nine_that_hang_delay_nobody_in_a_thousand_events(make_bot: MakeBot) -> None:
    await nine_hang_and_one_does_not(make_bot, 1_000)


@pytest.mark.promise("P43")
@pytest.mark.parametrize("behaviour", [hang, late(0.1)])
async def test_the_end_waits_only_a_moment_for_what_is_under_way(make_bot: MakeBot, behaviour: Behaviour) -> None:
    with in_a_thread(Receiver()) as receiver:
        receiver.otherwise = behaviour
        async with make_bot(webhooks=CONFIG) as bot:
            await bot.webhooks.add("slow", "custom", receiver.url("/hook"), (), "local:owner")
            for number in range(30):
                await bot.signals.raise_("alert", f"Door {number}")
        async with make_bot(webhooks=CONFIG, jobs=True):
            await anyio.to_thread.run_sync(receiver.wait, 1)
            began = time.monotonic()
        assert time.monotonic() - began < 4
        sent = len(receiver.requests)
    async with make_bot(webhooks=CONFIG) as bot:
        assert bot.webhooks.backlog == 30 - sent + (behaviour is hang), "what was answered is not sent again"
