"""A whole bot on the stand-in, by discord.py's own client over sockets: what people say and see."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import anyio

from socbot.bot import Bot
from socbot.config import DiscordConfig
from socbot.transports.discord.transport import DiscordTransport
from tests.conftest import MakeBot
from tests.standin import Channel, Guild, Message, Permission, Person, Standin


class Scene:
    """A bot in a guild, with its owner and a stranger in it; both speak in ``place`` unless told otherwise."""

    def __init__(self, standin: Standin, bot: Bot, transport: DiscordTransport, owner: Person, guild: Guild) -> None:
        self.standin, self.bot, self.transport, self.owner, self.guild = standin, bot, transport, owner, guild
        self.place = guild.general
        self.stranger = self.joined("stranger")

    def joined(self, name: str) -> Person:
        """Somebody new in the guild."""
        person = self.standin.user(name)
        self.guild.joined_by(person)
        person.at = self.place
        return person

    async def says(self, text: str, who: Person | None = None, in_: Channel | None = None, **kwargs: Any) -> Message:
        """Somebody (the owner) says something; the bot's next message there."""
        who = who or self.owner
        said = await who.says(text, in_=in_ or self.place, **kwargs)
        return await self.standin.message(in_=in_ or self.place, after=said)

    async def nothing_follows(self, said: Message) -> bool:
        """Whether the bot says nothing before it answers the next command of the owner's, in the same channel."""
        after = await self.says("!uptime", in_=said.channel)
        between = said.channel.messages[said.index + 1 : after.index]
        return not any(message.by_bot for message in between)


MakeScene: TypeAlias = Callable[..., AbstractAsyncContextManager[Scene]]


@asynccontextmanager
async def on_stage(
    make_bot: MakeBot, standin: Standin, discord: DiscordConfig | None = None, *, shards: int = 1, **options: Any
) -> AsyncIterator[Scene]:
    """A bot that is connected, with ``shards`` of its own, and has registered its slash commands."""
    owner = standin.user("owner")
    guild = standin.guild("guild", owner=standin.user("somebody"), members=[owner])
    guild.role("staff", Permission.ADMINISTRATOR, owner)  # who is not sees no commands that are the owner's alone
    owner.at = guild.general
    config = discord or DiscordConfig(token=standin.token, notify_start=False)
    options = {"owners": [("discord", owner.id)], "notify": None} | options
    async with make_bot(discord=config, **options) as bot, anyio.create_task_group() as tasks:
        transport = DiscordTransport(bot)
        tasks.start_soon(transport.run)
        await standin.gateway.ready(shards)
        if config.slash and not config.shards.startswith("1-"):
            await standin.until(lambda: standin.world.commands, what="slash commands")
        yield Scene(standin, bot, transport, owner, guild)
        await bot.drain(1.0)
        await transport.close()
        tasks.cancel_scope.cancel()
