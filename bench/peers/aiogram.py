"""aiogram: five outer middlewares around a handler that a ``Command`` filter finds; no state machine."""

import datetime
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import aiogram
from aiogram.filters import Command
from aiogram.types import Chat, Update
from aiogram.types import Message as Told
from aiogram.types import User as Person

from bench.contenders import Contender, Counter, open_store
from bench.peers.books import Books, contenders_of
from socbot.dispatch.messages import Message


@asynccontextmanager
async def contenders(folder: Path) -> AsyncIterator[list[Contender]]:
    async with open_store(folder) as store:
        books, counter = Books(store.telemetry.record), Counter()
        account = aiogram.Bot("42:bench")

        async def ping(message: Any) -> None:
            counter.count += 1
            if counter.pauses:
                await counter.pause()

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
            made = aiogram.Dispatcher(disable_fsm=True)
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
        yield contenders_of("aiogram", store, counter, make, dispatcher(), full)
        await account.session.close()
