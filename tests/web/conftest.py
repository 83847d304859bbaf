"""A bot with its server on a port of its own, and somebody who is signed in there."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import httpx
import pytest

from socbot.bot import Bot
from socbot.config import WebConfig
from socbot.web import Web
from tests.conftest import MakeBot


class Site:
    """A bot that is served, and clients of it; ``visitor`` has nothing to show, the others a token."""

    def __init__(self, bot: Bot, web: Web, visitor: httpx.AsyncClient, owner: httpx.AsyncClient) -> None:
        self.bot, self.web, self.visitor, self.owner = bot, web, visitor, owner

    async def page(self, path: str) -> str:
        """What the owner sees there."""
        answer = await self.owner.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def facts(self, path: str) -> Any:
        """The same as JSON."""
        answer = await self.owner.get("/api/v1" + path)
        assert answer.status_code == 200, answer.text
        return answer.json()


MakeSite: TypeAlias = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture
def make_site(make_bot: MakeBot) -> MakeSite:
    """Serve bots as ``make_bot`` makes them: ``async with make_site(clock=clock) as site``."""

    @asynccontextmanager
    async def make(**options: Any) -> AsyncIterator[Site]:
        options.setdefault("web", WebConfig(port=0))
        async with make_bot(**options) as bot, Web(bot) as web:
            # On one store several may be made, one after the other.
            token = await bot.access.first_token() or await bot.access.add(
                f"another-{len(bot.access.tokens())}", "owner", "test"
            )
            async with (
                httpx.AsyncClient(base_url=web.address, trust_env=False) as visitor,
                httpx.AsyncClient(
                    base_url=web.address, trust_env=False, headers={"Authorization": f"Bearer {token}"}
                ) as owner,
            ):
                yield Site(bot, web, visitor, owner)

    return make
