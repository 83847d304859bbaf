"""A process that raises signals and delivers them, until all is raised and nothing waits any more.

``python sending_process.py STORE HOOK FIRST COUNT EPOCH``: signals number ``FIRST`` to ``COUNT``, each acknowledged on
stdout once it is kept. Time passes two hundred times as fast as it does, so that the waits between tries are short.
"""

import os
import sys
import time
from pathlib import Path
from random import Random

import anyio

from socbot.config import SignalsConfig, StorageConfig, WebhooksConfig
from socbot.storage.database import Database
from socbot.systems.signals import Signals
from socbot.systems.webhooks import Webhooks

SPEED = 200.0


class FastClock:
    def __init__(self, epoch: float) -> None:
        self._epoch = epoch

    def time(self) -> float:
        return self._epoch + (time.time() - self._epoch) * SPEED

    def monotonic(self) -> float:
        return time.monotonic() * SPEED

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds / SPEED)


async def main(store: str, hook: str, first: int, count: int, epoch: float) -> None:
    clock = FastClock(epoch)
    config = WebhooksConfig(allow=("127.0.0.0/8",), timeout=5.0, most_waiting=1_000_000)
    async with Database.open(StorageConfig(url=f"sqlite:///{store}"), clock) as database:
        signals = Signals(database, clock, Random(), SignalsConfig())
        webhooks = Webhooks(database, clock, Random(), config, Path(store).with_name("webhooks.key"))
        signals.deliver_by(webhooks.enqueue, webhooks.wake)
        await webhooks.load()
        if not webhooks.all():
            await webhooks.add("siem", "custom", hook, (), "local:owner")

        async def deliver() -> None:
            await webhooks.jobs()[0].run()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deliver)
            for number in range(first, count):
                signal = await signals.raise_("alert", f"Event {number} by {os.getpid()}")
                os.write(1, f"kept {signal.id}\n".encode())
            while True:
                if not await webhooks.deliveries(state="waiting", limit=1):
                    break
                await anyio.sleep(0.005)
            tasks.cancel_scope.cancel()


if __name__ == "__main__":
    store, hook, first, count, epoch = sys.argv[1:6]
    anyio.run(main, store, hook, int(first), int(count), float(epoch))
