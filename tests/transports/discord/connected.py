"""discord.py's own client, connected to the stand-in, with nothing of ours on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import discord

from tests.standin import Guild, Standin


class Client(discord.AutoShardedClient):
    """Hands its events to whoever has been set."""

    def __init__(self, intents: discord.Intents) -> None:
        super().__init__(
            intents=intents,
            guild_ready_timeout=0.05,
            max_ratelimit_timeout=30.0,
            allowed_mentions=discord.AllowedMentions.none(),
        )

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """The library waits five seconds between two logins."""

    def guild(self, guild: Guild) -> discord.Guild:
        """The guild as the client knows it."""
        found = self.get_guild(int(guild.id))
        assert found is not None
        return found


@asynccontextmanager
async def connected(standin: Standin, *, members: bool = False) -> AsyncIterator[Client]:
    intents = discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=True, members=members)
    client = Client(intents)
    running = asyncio.create_task(client.start(standin.token))
    try:
        await standin.until(client.is_ready, what="the client's being ready")
        yield client
    finally:
        await client.close()
        await running
