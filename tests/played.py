"""A demo that was played, for tests that look at it from outside of its event loop."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from socbot.demo import Demo, Options, playing
from socbot.web import Web


class Shown:
    """What was played, where its dashboard is, and what opens it."""

    def __init__(self, demo: Demo, web: Web, token: str, portal: BlockingPortal) -> None:
        self.demo, self.bot, self.address, self.token, self._portal = demo, demo.bot, web.address, token, portal

    def ask(self, function: Any, *arguments: object) -> Any:
        """What ``function`` gives, called on the bot's loop."""
        return self._portal.call(function, *arguments)

    def get(self, path: str) -> httpx.Response:
        """What the server answers the owner."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.get(self.address + path, headers=headers, trust_env=False)

    def facts(self, path: str) -> Any:
        answer = self.get("/api/v1" + path)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def showing(options: Options) -> Iterator[Shown]:
    """Play, and serve it on a thread of its own."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_served(options, portal)) as shown:
        yield shown


@asynccontextmanager
async def _served(options: Options, portal: BlockingPortal) -> AsyncIterator[Shown]:
    async with playing(options) as demo, Web(demo.bot) as web:
        token = await demo.bot.access.first_token()
        assert token is not None
        yield Shown(demo, web, token, portal)
