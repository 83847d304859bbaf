"""Other frameworks, doing the same five concerns where their own idioms put them.

What is done there is the floor's: the same dicts, the same limiter, the same events to the same telemetry. So what
is compared is what each framework costs around it. Their messages are made beforehand, of their own types.
"""

import datetime
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic, time
from typing import Any

from bench.contenders import LIMITS, LISTED, PLATFORM, Contender, Counter, open_store
from bench.floor import FRESH, STAGES
from socbot.dispatch.messages import Identity, Message, User
from socbot.dispatch.outcomes import Outcome, Status, Trace


class Books:
    """The five concerns' rules and records, for a framework to call."""

    def __init__(self, record: Callable[[Outcome], None]) -> None:
        self._record = record
        self._listed: dict[Identity, float] = {LISTED: float("inf")}
        self._limits: dict[Identity, tuple[float, float]] = {}
        self._count = 0

    def is_listed(self, user: str) -> bool:
        return self._listed.get((PLATFORM, user), 0.0) > monotonic()

    def admits(self, user: str) -> bool:
        now, identity = monotonic(), (PLATFORM, user)
        used, cooling = self._limits.get(identity, FRESH)
        used = (used if used > now else now) + LIMITS.window / LIMITS.burst
        if used - now > LIMITS.window or cooling > now:
            return False
        self._limits[identity] = (used, now + LIMITS.cooldown)
        return True

    def record(
        self, user: str, guild: str, status: Status, started: float, called: float, refused_by: str | None = None
    ) -> None:
        now = monotonic()
        self._count += 1
        times = [0.0] * 12 if refused_by else [started, now] * 5 + [called, now]
        trace = Trace(STAGES, 1, "PEER", self._count, time(), times)
        message = Message("!ping", User(user), PLATFORM, "", guild)
        self._record(Outcome(status, message, "ping", None, refused_by, refused_by, trace=trace, seconds=now - started))


@asynccontextmanager
async def discord_py(folder: Path) -> AsyncIterator[list[Contender]]:
    """discord.py: global checks refuse, before- and after-invoke hooks measure and count, the error hook captures."""
    import discord
    from discord.ext import commands

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
            made.append((bot, _discord_messages(discord, bot)))
        (bare, make_bare), (full, make_full) = made
        yield [
            Contender("discord.py", "bare", make_bare, bare.process_commands, counter.value),
            *(
                Contender(
                    "discord.py",
                    scenario,
                    make_full,
                    full.process_commands,
                    counter.value,
                    store.telemetry.flush,
                    store.stored,
                )
                for scenario in ("full", "refused")
            ),
        ]


def _discord_messages(discord: Any, bot: Any) -> Callable[[Message], Any]:
    state = bot._connection
    guild = discord.Guild(data={"id": "1", "name": "bench"}, state=state)
    channel = discord.TextChannel(state=state, guild=guild, data={"id": "2", "type": 0, "name": "c", "position": 0})

    def make(message: Message) -> Any:
        user = {"id": message.author.id, "username": "u", "discriminator": "0", "avatar": None}
        data: Any = {
            "id": "3", "channel_id": "2", "author": user, "content": "!ping", "timestamp": "2020-01-01T00:00:00+00:00",
            "edited_timestamp": None, "tts": False, "mention_everyone": False, "mentions": [], "mention_roles": [],
            "attachments": [], "embeds": [], "pinned": False, "type": 0,
        }  # fmt: skip
        return discord.Message(state=state, channel=channel, data=data)

    return make


@asynccontextmanager
async def aiogram(folder: Path) -> AsyncIterator[list[Contender]]:
    """aiogram: five outer middlewares around a handler that a ``Command`` filter finds; no state machine."""
    import aiogram as framework
    from aiogram.filters import Command
    from aiogram.types import Chat, Update
    from aiogram.types import Message as Told
    from aiogram.types import User as Person

    async with open_store(folder) as store:
        books, counter = Books(store.telemetry.record), Counter()
        account = framework.Bot("42:bench")

        async def ping(message: Any) -> None:
            counter.count += 1

        async def refuse_listed(handler: Any, event: Any, data: dict[str, Any]) -> Any:
            user = str(event.from_user.id)
            if books.is_listed(user):
                now = monotonic()
                books.record(user, str(event.chat.id), "refused", now, now, "blacklist")
                return None
            return await handler(event, data)

        async def limit(handler: Any, event: Any, data: dict[str, Any]) -> Any:
            return await handler(event, data) if books.admits(str(event.from_user.id)) else None

        async def profile(handler: Any, event: Any, data: dict[str, Any]) -> Any:
            data["started"] = monotonic()
            return await handler(event, data)

        async def count(handler: Any, event: Any, data: dict[str, Any]) -> Any:
            result = await handler(event, data)
            books.record(str(event.from_user.id), str(event.chat.id), "ok", data["started"], data["started"])
            return result

        async def capture(handler: Any, event: Any, data: dict[str, Any]) -> Any:
            try:
                return await handler(event, data)
            except Exception:  # what stands in for its error capture
                books.record(str(event.from_user.id), str(event.chat.id), "failed", data["started"], data["started"])
                return None

        def dispatcher(*middlewares: Any) -> Callable[[Any], Awaitable[object]]:
            made = framework.Dispatcher(disable_fsm=True)
            for middleware in middlewares:
                made.message.outer_middleware(middleware)
            made.message.register(ping, Command("ping", prefix="!"))
            return lambda update: made.feed_update(account, update)

        def make(message: Message) -> Any:
            person = Person(id=int(message.author.id), is_bot=False, first_name="u")
            sent = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
            told = Told(
                message_id=int(message.id or 0),
                date=sent,
                chat=Chat(id=1, type="group"),
                from_user=person,
                text="!ping",
            )
            return Update(update_id=int(message.id or 0), message=told).as_(account)

        full = dispatcher(refuse_listed, limit, profile, count, capture)
        yield [
            Contender("aiogram", "bare", make, dispatcher(), counter.value),
            *(
                Contender("aiogram", scenario, make, full, counter.value, store.telemetry.flush, store.stored)
                for scenario in ("full", "refused")
            ),
        ]
        await account.session.close()
