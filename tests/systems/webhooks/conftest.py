"""A store, a clock in hand, and webhooks that reach the receiver on loopback."""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import anyio
import httpx
import pytest
import respx
from anyio.lowlevel import checkpoint
from msgspec import structs

from socbot.config import SignalsConfig, StorageConfig, WebhooksConfig
from socbot.dispatch.clock import Clock, SystemClock
from socbot.dispatch.replies import Reply
from socbot.egress import Client
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.systems.signals import Signals
from socbot.systems.webhooks import Delivery, Shown, Webhooks
from socbot.systems.webhooks.schedule import prepare
from socbot.systems.webhooks.system import key_path
from socbot.testing import FakeClock
from tests.receiver import Receiver

WHERE = WebhooksConfig(allow=("127.0.0.0/8",), timeout=10.0)


class StepClock(FakeClock):
    """A clock in hand that tells when it is next waited for."""

    @property
    def next_due(self) -> float:
        return min((due for due, event in self._sleepers if not event.is_set()), default=math.inf)


class Post:
    """Webhooks with what stands around them."""

    def __init__(self, database: Database, clock: Clock, webhooks: Webhooks, signals: Signals, told: list[Reply]):
        self.database, self.clock, self.webhooks, self.signals, self.told = database, clock, webhooks, signals, told

    @asynccontextmanager
    async def delivering(self) -> AsyncIterator[None]:
        """Have the courier at work within the block."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._deliver)
            yield
            tasks.cancel_scope.cancel()

    async def quiet(self) -> None:
        """Return once everybody waits for the clock, also those who waited for the store."""
        for _ in range(6):
            await self.database.read(_nothing)
            await self.database.write(_nothing)
            for _ in range(8):
                await checkpoint()
            await anyio.wait_all_tasks_blocked()

    async def advance(self, seconds: float) -> None:
        """Let time pass on a ``StepClock``; what becomes due on the way is done when it is due."""
        clock = self.clock
        assert isinstance(clock, StepClock)
        end = clock.monotonic() + seconds
        await self.quiet()
        while (due := clock.next_due) <= end:
            clock.forward(due - clock.monotonic())
            await self.quiet()
        clock.forward(end - clock.monotonic())
        await self.quiet()

    async def settled(self, state: Shown = "waiting", count: int = 0, seconds: float = 10.0) -> tuple[Delivery, ...]:
        """The deliveries in ``state``, once there are ``count`` of them."""
        with anyio.fail_after(seconds):
            while True:
                found = await self.webhooks.deliveries(state=state, limit=10_000)
                if len(found) == count:
                    return found
                await anyio.sleep(0.002)

    async def _deliver(self) -> None:
        await self.webhooks.jobs()[0].run()


def _nothing(connection: Connection) -> None:
    return None


MakePost: TypeAlias = Callable[..., AbstractAsyncContextManager[Post]]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
def clock() -> StepClock:
    return StepClock()


@pytest.fixture
def router() -> respx.MockRouter:
    """Answers in the place of the network."""
    return respx.MockRouter(assert_all_called=False)


@pytest.fixture
def client(router: respx.MockRouter) -> Client:
    return Client(transport=httpx.MockTransport(router.async_handler))


@pytest.fixture
def make_post(tmp_path: Path, storage: StorageConfig, monkeypatch: pytest.MonkeyPatch) -> MakePost:
    """``async with make_post(clock=…, tries=3) as post``: other keywords are of ``WebhooksConfig``."""
    monkeypatch.chdir(tmp_path)

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

        async with Database.open(storage, clock) as database:
            signals = Signals(database, clock, Random(2), SignalsConfig(same_within=same_within))
            settings, key = structs.replace(WHERE, **config), key_path(storage)
            webhooks = Webhooks(database, clock, Random(3), settings, key, client=client, notify=notify)
            signals.deliver_by(webhooks.enqueue, webhooks.wake)
            await webhooks.load()
            await prepare()
            post = Post(database, clock, webhooks, signals, told)
            async with post.delivering() if deliver else nullcontext():
                yield post
            await webhooks.aclose()

    return make


@pytest.fixture
async def post(make_post: MakePost) -> AsyncIterator[Post]:
    async with make_post() as post:
        yield post
