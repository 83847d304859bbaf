"""slack_bolt's ``AsyncApp``: two global middlewares refuse, a message listener is the command.

An event as Socket Mode brings it is dispatched, so that there is no signature to verify; it is made a request
beforehand. Bolt acknowledges an event by itself before its listener runs, in a task of its own; a middleware that
keeps an event for itself answers 200, so that Slack does not send it again. A middleware has ended before a listener
begins, so what measures and counts the command is a decorator of the listener; what fails comes to the app's error
handler. To wait for the end, as with all others, an event lies in the request's context. The workspace's token is
found by an ``authorize`` function, as for an app in many workspaces: with one token Bolt would ask Slack about it.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse

from bench.contenders import Contender, Counter, open_store
from bench.peers.books import Books, contenders_of
from socbot.dispatch.messages import Message


async def _authorize(**facts: Any) -> Any:
    return AuthorizeResult(
        enterprise_id=None,
        team_id="1",
        bot_user_id="B1",
        bot_id="B1",
        bot_token="xoxb-bench",
        bot_scopes=["chat:write"],
    )


def _make(message: Message) -> Any:
    event = {
        "type": "message", "user": message.author.id, "text": "!ping", "ts": "1577836800.000100", "team": "1",
        "channel": "2", "channel_type": "channel", "event_ts": "1577836800.000100",
    }  # fmt: skip
    body = {
        "token": "t", "team_id": "1", "api_app_id": "A1", "event": event, "type": "event_callback",
        "event_id": f"Ev{message.id}", "event_time": 1577836800, "is_ext_shared_channel": False,
        "authorizations": [{"enterprise_id": None, "team_id": "1", "user_id": "B1", "is_bot": True}],
    }  # fmt: skip
    return AsyncBoltRequest(mode="socket_mode", body=body, context={"ended": asyncio.Event()})


@asynccontextmanager
async def contenders(folder: Path) -> AsyncIterator[list[Contender]]:
    async with open_store(folder) as store:
        books, counter = Books(store.telemetry.record), Counter()

        async def ping(context: Any) -> None:
            counter.count += 1
            if counter.pauses:
                await counter.pause()

        async def refuse_listed(payload: Any, context: Any, next: Any) -> Any:
            if books.is_listed(payload["user"]):
                now = monotonic()
                books.record(payload["user"], context.team_id, "refused", now, now, "blacklist")
                context["ended"].set()
                return BoltResponse(status=200)
            return await next()

        async def limit(payload: Any, context: Any, next: Any) -> Any:
            if books.admits(payload["user"]):
                return await next()
            context["ended"].set()
            return BoltResponse(status=200)

        def measured(listener: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
            async def listen(context: Any) -> None:
                context["started"] = monotonic()
                await listener(context)
                books.record(context.user_id, context.team_id, "ok", context["started"], context["started"])
                context["ended"].set()

            return listen

        async def listen(context: Any) -> None:
            await ping(context)
            context["ended"].set()

        async def capture(error: Exception, context: Any) -> None:
            books.record(context.user_id, context.team_id, "failed", context["started"], context["started"])
            context["ended"].set()

        def app(listener: Callable[[Any], Awaitable[None]], *middlewares: Any) -> Callable[[Any], Awaitable[object]]:
            made = AsyncApp(authorize=_authorize, signing_secret="bench")
            for middleware in middlewares:
                made.use(middleware)
            made.message(re.compile("^!ping"))(listener)
            made.error(capture)

            async def run(request: Any) -> None:
                await made.async_dispatch(request)
                await request.context["ended"].wait()

            return run

        yield contenders_of("slack_bolt", store, counter, _make, app(listen), app(measured(ping), refuse_listed, limit))
