"""A stand-in, and bare clients of discord.py on it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import discord
import pytest

from tests.standin import Standin
from tests.standin.fixtures import anyio_backend as anyio_backend
from tests.standin.fixtures import standin as standin

Connect: TypeAlias = Callable[..., AbstractAsyncContextManager["Client"]]


class Client(discord.AutoShardedClient):
    """It notes what it hears, answers ``!ping``, and leaves interactions to ``on_use``."""

    def __init__(self, **options: Any) -> None:
        intents = discord.Intents.default() | discord.Intents(message_content=True)
        defaults: dict[str, Any] = {"intents": intents, "guild_ready_timeout": 0.05}
        super().__init__(allowed_mentions=discord.AllowedMentions.none(), **defaults | options)
        self.heard: list[discord.Message] = []
        self.events: list[tuple[str, Any]] = []
        self.resumes = 0

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """The library waits five seconds between two logins."""

    async def on_message(self, message: discord.Message) -> None:
        self.heard.append(message)
        if message.content.startswith("!ping"):
            await message.channel.send("pong" + message.content[5:])

    async def on_resumed(self) -> None:
        self.resumes += 1

    async def on_member_join(self, member: discord.Member) -> None:
        self.events.append(("join", member.name))

    async def on_member_remove(self, member: discord.Member) -> None:
        self.events.append(("leave", member.name))

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        self.events.append(("lost", guild.name))

    @property
    def texts(self) -> list[str]:
        return [message.content for message in self.heard if not message.author.bot]


@pytest.fixture
def connect(standin: Standin) -> Connect:
    """Run a client on the stand-in: ``async with connect() as client``; keywords are the client's."""

    @asynccontextmanager
    async def connect(kind: type[Client] = Client, **options: Any) -> AsyncIterator[Client]:
        client = kind(**options)
        running = asyncio.create_task(client.start(standin.token))
        try:
            await standin.gateway.ready(options.get("shard_count", 1))
            yield client
        finally:
            await client.close()
            await running

    return connect
