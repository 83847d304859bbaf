"""nonebot2, with its adapter for OneBot: hooks before the event and before the matcher refuse, and one measures.

A hook after the matcher takes down how it ended, failures too. Its hooks are the process's, not a bot's: they are put
aside while the bare command is measured. It puts every event into words for its log before it knows whether anybody
reads it; its handler for the log is taken away, since nobody else in this run has one. Rules and parameters are looked
at in tasks of their own, and what ``on_command`` gives its rule is got in worker threads, as every synchronous
dependency is. So not all of 64 events at once meet in the handler, but some 15.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic, time
from typing import Any

import nonebot
import nonebot.log
import nonebot.message
from msgspec import structs
from nonebot.adapters.onebot.v11 import Adapter, Bot, GroupMessageEvent
from nonebot.adapters.onebot.v11 import Message as Told
from nonebot.adapters.onebot.v11.event import Sender
from nonebot.exception import IgnoredException
from nonebot.typing import T_State

from bench.contenders import Contender, Counter, open_store
from bench.peers.books import Books, contenders_of
from socbot.dispatch.messages import Message

_HOOKS = (
    nonebot.message._event_preprocessors,
    nonebot.message._run_preprocessors,
    nonebot.message._run_postprocessors,
)


@asynccontextmanager
async def contenders(folder: Path) -> AsyncIterator[list[Contender]]:
    nonebot.log.logger.remove()
    nonebot.init(driver="~none", command_start={"!"})
    bot = Bot(Adapter(nonebot.get_driver()), "4")
    async with open_store(folder) as store:
        books, counter = Books(store.telemetry.record), Counter()
        command = nonebot.on_command("ping")

        @command.handle()
        async def ping() -> None:
            counter.count += 1
            if counter.pauses:
                await counter.pause()

        @nonebot.message.event_preprocessor
        async def refuse_listed(event: GroupMessageEvent) -> None:
            user = event.get_user_id()
            if books.is_listed(user):
                now = monotonic()
                books.record(user, str(event.group_id), "refused", now, now, "blacklist")
                raise IgnoredException("listed")

        @nonebot.message.run_preprocessor
        async def limit(event: GroupMessageEvent) -> None:
            if not books.admits(event.get_user_id()):
                raise IgnoredException("limited")

        @nonebot.message.run_preprocessor
        async def profile(state: T_State) -> None:
            state["started"] = monotonic()

        @nonebot.message.run_postprocessor
        async def record(event: GroupMessageEvent, state: T_State, exception: Exception | None) -> None:
            status: Any = "ok" if exception is None else "failed"
            books.record(event.get_user_id(), str(event.group_id), status, state["started"], state["started"])

        hooks = [(kind, set(kind)) for kind in _HOOKS]

        def put_aside() -> None:
            for kind, ours in hooks:
                kind.difference_update(ours)

        def put_back() -> None:
            for kind, ours in hooks:
                kind.update(ours)

        bare, *concerned = contenders_of("nonebot2", store, counter, _make, bot.handle_event, bot.handle_event)
        yield [
            structs.replace(bare, prepare=put_aside),
            *(structs.replace(each, prepare=put_back) for each in concerned),
        ]
        put_aside()
        command.destroy()


def _make(message: Message) -> Any:
    told, user = Told("!ping"), int(message.author.id)
    return GroupMessageEvent(
        time=int(time()), self_id=4, post_type="message", sub_type="normal", message_type="group", user_id=user,
        message_id=int(message.id or 0), message=told, original_message=told, raw_message="!ping", font=0, group_id=1,
        sender=Sender(user_id=user),
    )  # fmt: skip
