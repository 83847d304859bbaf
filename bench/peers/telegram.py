"""python-telegram-bot: a ``PrefixHandler``, with handlers for every update in the groups before and after its own.

As its documentation has it, what is to happen before every update is a ``TypeHandler`` in a lower group that raises
``ApplicationHandlerStop`` to refuse, what happens after it one in a higher group, what is known of one update lies in
a context of one's own class, and what fails comes to an error handler. ``initialize`` asks Telegram who the bot is: a
request class of our own, which is a documented way to change the network, answers that.
"""

import datetime
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from telegram import Chat, Update
from telegram import Message as Told
from telegram import User as Person
from telegram.ext import (
    Application,
    ApplicationHandlerStop,
    CallbackContext,
    ContextTypes,
    PrefixHandler,
    TypeHandler,
)
from telegram.request import BaseRequest

from bench.contenders import Contender, Counter, open_store
from bench.peers.books import Books, contenders_of
from socbot.dispatch.messages import Message

_ME = b'{"ok": true, "result": {"id": 42, "is_bot": true, "first_name": "bench", "username": "bench_bot"}}'


class NoNetwork(BaseRequest):
    """Answers any request with who the bot is."""

    @property
    def read_timeout(self) -> float | None:
        return None

    async def initialize(self) -> None:
        pass

    async def shutdown(self) -> None:
        pass

    async def do_request(self, *arguments: Any, **more: Any) -> tuple[int, bytes]:
        return 200, _ME


class Timed(CallbackContext):
    started = 0.0


@asynccontextmanager
async def contenders(folder: Path) -> AsyncIterator[list[Contender]]:
    async with open_store(folder) as store, AsyncExitStack() as stack:
        books, counter = Books(store.telemetry.record), Counter()

        async def ping(update: Any, context: Any) -> None:
            counter.count += 1
            if counter.pauses:
                await counter.pause()

        async def refuse_listed(update: Any, context: Any) -> None:
            user = str(update.effective_user.id)
            if books.is_listed(user):
                now = monotonic()
                books.record(user, str(update.effective_chat.id), "refused", now, now, "blacklist")
                raise ApplicationHandlerStop

        async def limit(update: Any, context: Any) -> None:
            if not books.admits(str(update.effective_user.id)):
                raise ApplicationHandlerStop

        async def profile(update: Any, context: Any) -> None:
            context.started = monotonic()

        async def count(update: Any, context: Any) -> None:
            started = context.started
            books.record(str(update.effective_user.id), str(update.effective_chat.id), "ok", started, started)

        async def capture(update: Any, context: Any) -> None:
            now = monotonic()
            books.record(str(update.effective_user.id), str(update.effective_chat.id), "failed", now, now)
            raise ApplicationHandlerStop

        async def application(*, concerned: bool) -> Any:
            builder = Application.builder().token("42:bench").request(NoNetwork()).get_updates_request(NoNetwork())
            made = builder.context_types(ContextTypes(context=Timed)).build()
            made.add_handler(PrefixHandler("!", "ping", ping))
            if concerned:
                for group, callback in ((-3, refuse_listed), (-2, limit), (-1, profile), (1, count)):
                    made.add_handler(TypeHandler(Update, callback), group)
                made.add_error_handler(capture)
            await stack.enter_async_context(made)
            return made

        bare, full = await application(concerned=False), await application(concerned=True)

        def make(message: Message) -> Any:
            told = Told(
                message_id=int(message.id or 0),
                date=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
                chat=Chat(id=1, type="group"),
                from_user=Person(id=int(message.author.id), is_bot=False, first_name="u"),
                text="!ping",
            )
            return Update(update_id=int(message.id or 0), message=told)

        yield contenders_of("python-telegram-bot", store, counter, make, bare.process_update, full.process_update)
