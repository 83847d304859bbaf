"""Whatever was accepted is delivered, however often the process that delivers it is killed."""

import random
import re
import sys
import time
from collections import Counter
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.killing import output_until_killed
from tests.receiver import Behaviour, Exchange, Receiver, answer, close_silently

SENDER = (sys.executable, str(Path(__file__).with_name("sending_process.py")))
KEPT = re.compile(rb"^kept (S-\w+)$", re.MULTILINE)


def run_until_killed(arguments: list[str], seconds: float) -> list[str]:
    """Let the sender run for ``seconds`` from its first acknowledgement, then kill it; the ids that it acknowledged."""
    return [id.decode() for id in KEPT.findall(output_until_killed([*SENDER, *arguments], seconds))]


def failing_at_random(accepted: Counter[str], refused: Counter[str], share: float) -> Behaviour:
    chance = random.Random(3)

    async def behave(exchange: Exchange) -> None:
        id = exchange.request.headers["webhook-id"]
        if chance.random() < share:
            refused[id] += 1
            await chance.choice((answer(500), answer(429, {"Retry-After": "0.5"}), close_silently))(exchange)
        else:
            accepted[id] += 1
            await answer(200)(exchange)

    return behave


async def kill_rounds(folder: Path, receiver: Receiver, events: int, kills: int) -> None:
    accepted: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    receiver.otherwise = failing_at_random(accepted, refused, 0.3)
    chance, epoch, kept = random.Random(4), time.time(), list[str]()
    store, share = folder / "data" / "socbot.db", events // kills
    for number in range(kills + 1):
        last = number == kills
        until = events if last else min(events, len(kept) + 2 * share)
        arguments = [str(store), receiver.url("/hook"), str(len(kept)), str(until), str(epoch)]
        seconds = 120.0 if last else chance.uniform(0.005, 0.4)
        kept += await anyio.to_thread.run_sync(run_until_killed, arguments, seconds)
    assert len(kept) == events
    assert set(kept) <= set(accepted), "accepted, and never delivered"
    twice = sum(accepted.values()) - len(accepted)
    print(f"{len(kept)} kept, {sum(refused.values())} refused, {twice} twice, {kills} kills")
    assert twice <= kills + sum(refused.values())
    assert len(accepted) <= events + kills, "no more than what was under way when it was killed"


@pytest.mark.promise("P41")
async def test_killed_a_few_times_nothing_is_lost(tmp_path: Path, receiver: Receiver) -> None:
    await kill_rounds(tmp_path, receiver, events=60, kills=3)


@pytest.mark.slow
@pytest.mark.promise("P41")
async def test_killed_fifty_times_nothing_is_lost(tmp_path: Path, receiver: Receiver) -> None:
    await kill_rounds(tmp_path, receiver, events=1_000, kills=50)
