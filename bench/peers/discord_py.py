"""discord.py's ``ext.commands``: global checks refuse, the hooks before and after a command measure and count.

Its error hook takes down what was refused or failed. It calls that hook in a task of its own.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import discord
from discord.ext import commands
from msgspec import structs

from bench.contenders import Contender, Counter, open_store
from bench.peers.books import Books, contenders_of
from socbot.dispatch.messages import Message
from socbot.dispatch.outcomes import Status


@asynccontextmanager
async def contenders(folder: Path) -> AsyncIterator[list[Contender]]:
    async with open_store(folder) as store:
        books, counter = Books(store.telemetry.record), Counter()

        class Full(commands.Bot):
            async def on_command_error(self, ctx: Any, error: Any, /) -> None:
                refused_by = "checks" if isinstance(error, commands.CheckFailure) else None
                now = monotonic()
                status: Status = "refused" if refused_by else "failed"
                books.record(str(ctx.author.id), str(ctx.guild.id), status, now, now, refused_by)

        async def allowed(ctx: Any) -> bool:
            return not books.is_listed(str(ctx.author.id))

        async def admitted(ctx: Any) -> bool:
            return books.admits(str(ctx.author.id))

        async def before(ctx: Any) -> None:
            ctx.started = monotonic()

        async def after(ctx: Any) -> None:
            status: Status = "failed" if ctx.command_failed else "ok"
            books.record(str(ctx.author.id), str(ctx.guild.id), status, ctx.started, ctx.started)

        async def ping(ctx: Any) -> None:
            counter.count += 1
            if counter.pauses:
                await counter.pause()

        made = []
        for kind in (commands.Bot, Full):
            bot = kind("!", intents=discord.Intents.none(), help_command=None)
            await bot._async_setup_hook()
            account: Any = {"id": "4", "username": "bench", "discriminator": "0", "avatar": None}
            bot._connection.user = discord.ClientUser(state=bot._connection, data=account)
            bot.add_command(commands.Command(ping, name="ping"))
            if kind is Full:
                bot.add_check(allowed)
                bot.add_check(admitted)
                bot.before_invoke(before)
                bot.after_invoke(after)
            made.append((bot, _messages(bot)))
        (bare, make_bare), (full, make_full) = made
        alone, *concerned = contenders_of(
            "discord.py", store, counter, make_full, bare.process_commands, full.process_commands
        )
        yield [structs.replace(alone, convert=make_bare), *concerned]


def _messages(bot: Any) -> Callable[[Message], Any]:
    state = bot._connection
    guild_data: Any = {"id": "1", "name": "bench"}
    channel_data: Any = {"id": "2", "type": 0, "name": "c", "position": 0}
    guild = discord.Guild(data=guild_data, state=state)
    channel = discord.TextChannel(state=state, guild=guild, data=channel_data)

    def make(message: Message) -> Any:
        user = {"id": message.author.id, "username": "u", "discriminator": "0", "avatar": None}
        data: Any = {
            "id": "3", "channel_id": "2", "author": user, "content": "!ping", "timestamp": "2020-01-01T00:00:00+00:00",
            "edited_timestamp": None, "tts": False, "mention_everyone": False, "mentions": [], "mention_roles": [],
            "attachments": [], "embeds": [], "pinned": False, "type": 0,
        }  # fmt: skip
        return discord.Message(state=state, channel=channel, data=data)

    return make
