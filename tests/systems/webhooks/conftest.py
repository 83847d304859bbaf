"""A store, a clock in hand, and webhooks that reach the receiver on loopback."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import anyio
import pytest
from msgspec import structs

from socbot.config import SignalsConfig, StorageConfig, WebhooksConfig
from socbot.dispatch.clock import Clock, SystemClock
from socbot.dispatch.replies import Reply
from socbot.storage.database import Database
from socbot.systems.signals import Signals
from socbot.systems.webhooks import Webhooks
from socbot.systems.webhooks.system import key_path
from tests.receiver import Receiver

WHERE = WebhooksConfig(allow=("127.0.0.0/8",), timeout=1.0)


class Post:
    """Webhooks with what stands around them."""

    def __init__(self, database: Database, clock: Clock, webhooks: Webhooks, signals: Signals, told: list[Reply]):
        self.database, self.clock, self.webhooks, self.signals, self.told = database, clock, webhooks, signals, told

    async def settled(self, seconds: float = 10.0) -> None:
        """Return once nothing waits any more."""
        with anyio.fail_after(seconds):
            while await self.webhooks.deliveries(state="waiting"):
                await anyio.sleep(0.002)


MakePost: TypeAlias = Callable[..., AbstractAsyncContextManager[Post]]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
def make_post(tmp_path: Path, storage: StorageConfig) -> MakePost:
    """``async with make_post(clock=…, tries=3) as post``: other keywords are of ``WebhooksConfig``."""

    @asynccontextmanager
    async def make(
        clock: Clock | None = None,
        *,
        deliver: bool = True,
        storage: StorageConfig = storage,
        client: Any = None,
        same_within: float = 300.0,
        **config: Any,
    ) -> AsyncIterator[Post]:
        clock = clock or SystemClock()
        told: list[Reply] = []

        async def notify(reply: Reply) -> None:
            told.append(reply)

        async with Database.open(storage, clock) as database, anyio.create_task_group() as tasks:
            signals = Signals(database, clock, Random(2), SignalsConfig(same_within=same_within))
            settings, key = structs.replace(WHERE, **config), key_path(storage)
            webhooks = Webhooks(database, clock, Random(3), settings, key, client=client, notify=notify)
            signals.deliver_by(webhooks.enqueue, webhooks.wake)
            await webhooks.load()
            if deliver:
                tasks.start_soon(webhooks.jobs()[0].run)
            yield Post(database, clock, webhooks, signals, told)
            tasks.cancel_scope.cancel()
            await webhooks.aclose()

    return make
