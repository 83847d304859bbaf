"""What a request to a checked address costs, beside httpx's own client, which checks nothing."""

from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter, process_time

import anyio
import httpx
from msgspec import Struct

from socbot.egress import Client
from tests.receiver import Receiver

AT_ONCE = 8
_HEADERS = {"Content-Type": "application/json"}
_BODY = b'{"event": "alert", "severity": "critical", "message": "%s"}' % (b"x" * 200)


class Cost(Struct, frozen=True):
    """:param rate: requests a second, on a core shared with the receiver
    :param seconds: of the processor for one request and its answer, the receiver's part in it
    """

    rate: float
    seconds: float


async def compare(rounds: int, requests: int) -> dict[str, Cost]:
    """Medians over ``rounds``, the contenders by turns."""
    async with Receiver() as receiver, Client([receiver.address]) as ours, httpx.AsyncClient() as theirs:
        url = receiver.url("/hook")
        contenders: dict[str, Callable[[], Awaitable[object]]] = {
            "socbot": lambda: ours.post(url, _BODY, _HEADERS),
            "httpx.AsyncClient": lambda: theirs.post(url, content=_BODY, headers=_HEADERS),
        }
        found: dict[str, list[Cost]] = {name: [] for name in contenders}
        for _ in range(rounds + 1):
            for name, send in contenders.items():
                found[name].append(await _cost(send, requests))
                receiver.requests.clear()
    return {name: _median(costs[1:]) for name, costs in found.items()}


def report(found: dict[str, Cost]) -> str:
    ratio = found["socbot"].seconds / found["httpx.AsyncClient"].seconds
    lines = [f"{name}: {cost.rate:,.0f} requests a second, {cost.seconds * 1e6:.0f} µs" for name, cost in found.items()]
    return "\n".join([*lines, f"ratio: {ratio:.2f}"])


async def _cost(send: Callable[[], Awaitable[object]], requests: int) -> Cost:
    left = requests

    async def work() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await send()

    began, spent = perf_counter(), process_time()
    async with anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE):
            tasks.start_soon(work)
    return Cost(requests / (perf_counter() - began), (process_time() - spent) / requests)


def _median(costs: list[Cost]) -> Cost:
    return Cost(median(cost.rate for cost in costs), median(cost.seconds for cost in costs))
