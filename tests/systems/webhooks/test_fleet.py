"""Several processes on one PostgreSQL: what any of them wants sent is sent by the one that delivers."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from socbot.config import StorageConfig
from socbot.storage.tail import FOLLOWING
from tests.postgresql import Server
from tests.receiver import Receiver, answer
from tests.systems.webhooks.conftest import MakePost, Post

pytestmark = pytest.mark.alone


@pytest.fixture
def shared(postgresql: Server) -> StorageConfig:
    return StorageConfig(url=postgresql.new_database())


async def follow(post: Post) -> None:
    [job] = [job for job in post.webhooks.jobs() if job.name == "webhook_follow"]
    await job.run()


@asynccontextmanager
async def two_processes(shared: StorageConfig, make_post: MakePost) -> AsyncIterator[tuple[Post, Post]]:
    """One that delivers and follows what the other changes, and that other."""
    async with (
        make_post(storage=shared) as sender,
        make_post(storage=shared, deliver=False) as other,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(follow, sender)
        yield sender, other
        tasks.cancel_scope.cancel()


async def soon(true: Callable[[], bool]) -> None:
    with anyio.fail_after(2 * FOLLOWING + 1):
        while not true():  # noqa: ASYNC110 (as a person looks)
            await anyio.sleep(0.02)


@pytest.mark.promise("P46")
async def test_what_another_process_wants_sent_is_sent_soon(
    shared: StorageConfig, make_post: MakePost, receiver: Receiver
) -> None:
    async with two_processes(shared, make_post) as (sender, other):
        await other.webhooks.add("ops", "custom", receiver.url("/hook"), ("all",), "owner")
        await soon(lambda: len(sender.webhooks.all()) == 1)
        for number in (1, 2):  # the second when it has seen that there was nothing
            await other.signals.raise_("alert", f"Raised elsewhere {number}")
            await sender.settled("delivered", number, 2 * FOLLOWING + 1)
        assert len(receiver.to("/hook")) == 2
        assert other.webhooks.backlog == 2
        await other.webhooks.catch_up()
        assert other.webhooks.backlog == 0  # and not that they still wait there


@pytest.mark.promise("P46")
async def test_what_another_process_changes_of_a_webhook_holds_where_it_is_served(
    shared: StorageConfig, make_post: MakePost, receiver: Receiver
) -> None:
    receiver.on("/hook", answer(410))
    async with two_processes(shared, make_post) as (sender, other):
        await other.webhooks.add("ops", "custom", receiver.url("/hook"), ("all",), "owner")
        await other.signals.raise_("alert", "Nobody takes it")
        await soon(lambda: bool(sender.webhooks.all()) and sender.webhooks.get("ops").state == "paused")
        await sender.settled("dead", 1)
        await other.webhooks.catch_up()
        await sender.webhooks.catch_up()
        assert other.webhooks.get("ops").state == "paused"
        assert sender.webhooks.get("ops").state == "paused"

        receiver.on("/hook", answer(200))
        await other.webhooks.set("ops", "enabled", "on", "owner")
        await soon(lambda: sender.webhooks.get("ops").state == "active")
        await other.signals.raise_("alert", "Somebody takes it")
        await sender.settled("delivered", 1)

        await other.webhooks.remove("ops")
        await soon(lambda: sender.webhooks.all() == ())
