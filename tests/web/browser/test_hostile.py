"""Whatever people write, it is text on every page."""

import html
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio.from_thread
import httpx
import pytest
from msgspec import structs
from playwright.sync_api import Browser

from socbot.bot import Bot
from socbot.config import BackupConfig, Config, LogsConfig, RateLimitConfig, StorageConfig, WebConfig, WebhooksConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.messages import Message, User
from socbot.logs import logging_to
from socbot.testing import OWNER
from socbot.web import Web
from socbot.web.views import VIEWS
from tests.receiver import Receiver, answer
from tests.web.browser.hostile import CAME_IN, strings
from tests.web.browser.visiting import DESKTOP, Visitor, sign_in
from tests.web.browser.ways import MENU, ways_to

pytestmark = pytest.mark.slow

STRINGS = tuple(strings())
AT_ONCE = 40

_log = logging.getLogger("hostile")


@command("echo", permission="public")
async def echo(ctx: Context, *words: str) -> str:
    """Says what it was told, and logs it."""
    _log.warning("was told %s", " ".join(words))
    return " ".join(words)


@command("fail", permission="public")
async def fail(ctx: Context, *words: str) -> str:
    """Fails with what it was told."""
    raise ValueError(" ".join(words))


class Target:
    """A bot that anybody may write to, and its dashboard."""

    def __init__(self, bot: Bot, web: Web, token: str, receiver: Receiver) -> None:
        self.bot, self.web, self.token, self._receiver = bot, web, token, receiver
        self._number = 0

    def get(self, path: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.get(self.web.address + path, headers=headers, trust_env=False)

    async def suffer(self, texts: tuple[str, ...]) -> None:
        """Have each of ``texts`` written into every place that chat reaches."""
        for text in texts:
            self._number += 1
            name = f"{self._number}{text}"
            for said in (f"!echo {text}", f"!fail {text}", f"!{text}", f"!roll {text}", f"!ping {text}"):
                await self._say(said, name, guild=text)
            for said in (f"!alert high {text}", f"!incident open low {text}", f"!incident note last {text}"):
                await self._say(said, name, guild=text, admin=True)
            await self._say(f"!incident close last {text}", name, guild=text, admin=True)
            await self._owner(f"!blacklist_add user local:u{self._number} {text}")
            await self._owner(f"!blacklist_remove user local:u{self._number} {text}")
            await self.bot.blacklist.add("guild", ("local", text), reason=text, by=f"local:{name}")
        await self._owner(f"!drill start x {texts[0]}")
        await self._owner(f"!drill end {texts[1]}")
        await self._owner(f"!maintenance on {texts[2]}")
        await self.bot.health.ask()
        await self.bot.telemetry.flush()

    async def hear(self, texts: tuple[str, ...]) -> None:
        """Have each of ``texts`` reported by another system, and sent back by whoever is told of it."""
        self._number += 1
        reporter, webhook = f"reporter-{self._number}", f"hook-{self._number}"
        self._receiver.on("/", *(answer(400, body=f"answered {text}") for text in texts))
        await self.bot.webhooks.add(webhook, "custom", self._receiver.url(), (), f"local:{texts[0]}")
        headers = {"Authorization": f"Bearer {await self.bot.access.add(reporter, 'sender', 'local:owner')}"}
        async with httpx.AsyncClient(base_url=self.web.address, headers=headers, trust_env=False) as client:
            for text in texts:
                report = {"title": f"a {text}"[:200], "text": f"b {text}", "fields": {text[:60]: f"c {text}"}}
                answered = await client.post("/api/v1/signals", json=report | {"key": text[:100]})
                assert answered.status_code == 202, answered.text
        with anyio.fail_after(30):
            while len(await self.bot.webhooks.deliveries(webhook, "dead", 100)) < len(texts):  # noqa: ASYNC110
                await anyio.sleep(0.05)
        await self.bot.webhooks.set(webhook, "enabled", "false", "local:owner")

    async def _say(self, text: str, author: str, guild: str, *, admin: bool = False) -> None:
        user = User(author, author, is_admin=admin)
        await self.bot.dispatch(Message(text, user, "local", channel=text, guild=guild))

    async def _owner(self, text: str) -> None:
        await self.bot.dispatch(Message(text, User(OWNER[1]), OWNER[0], "c", "g"))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Target, anyio.from_thread.BlockingPortal]]:
    with ExitStack() as stack:
        portal = stack.enter_context(anyio.from_thread.start_blocking_portal())
        yield stack.enter_context(portal.wrap_async_context_manager(_target(tmp_path_factory.mktemp("target")))), portal


@asynccontextmanager
async def _target(folder: Path) -> AsyncIterator[Target]:
    async def hear(reply: Any) -> None:
        return None

    config = structs.replace(
        Config(),
        storage=StorageConfig(url=f"sqlite:///{folder}/data/socbot.db"),
        backup=BackupConfig(enabled=False, folder=f"{folder}/backups", paths=()),
        logs=LogsConfig(file=f"{folder}/bot.log"),
        rate_limit=RateLimitConfig(cooldown=0.0, burst=10_000),
        web=WebConfig(port=0),
        webhooks=WebhooksConfig(allow=("127.0.0.0/8",)),
    )
    bot = Bot.from_config(config, commands=(echo, fail), owners=[OWNER], notify=hear)
    with logging_to(config.logs, bot.redactor) as log:
        async with Receiver() as receiver, bot, Web(bot) as web:
            bot.logs.attach(log)
            token = await bot.access.first_token()
            assert token is not None
            yield Target(bot, web, token, receiver)


@pytest.mark.promise("P38")
def test_what_people_write_is_text_on_every_page(target: Any, browser: Browser) -> None:
    bot, portal = target
    context = browser.new_context(**DESKTOP)
    visitor = Visitor(context.new_page(), bot.web.address, bot.web.address.removeprefix("http://"))
    sign_in(visitor.page, bot.web.address, bot.token)
    unseen = set(STRINGS)
    for first in range(0, len(STRINGS), AT_ONCE):
        texts = STRINGS[first : first + AT_ONCE]
        portal.call(bot.suffer, texts)
        found = ways_to(bot.get)
        for path in dict.fromkeys((*(address for address, _ in MENU), *found.values())):
            source = visitor.go(path).text()
            assert visitor.page.evaluate(CAME_IN) == [], path
            assert visitor.page.evaluate("window.hit") is None, path
            assert "49" not in visitor.page.title()
            unseen -= {text for text in unseen if _written(text) in source}
    assert visitor.faults == []
    assert unseen == set()
    context.close()


@pytest.mark.promise("P38")
def test_what_other_systems_report_and_answer_is_text_on_every_page(target: Any, browser: Browser) -> None:
    bot, portal = target
    context = browser.new_context(**DESKTOP)
    visitor = Visitor(context.new_page(), bot.web.address, bot.web.address.removeprefix("http://"))
    sign_in(visitor.page, bot.web.address, bot.token)
    reported, answered = set(STRINGS), set(STRINGS)
    for first in range(0, len(STRINGS), AT_ONCE):
        portal.call(bot.hear, STRINGS[first : first + AT_ONCE])
        found = ways_to(bot.get)
        for path in dict.fromkeys((*(address for address, _ in MENU), *found.values())):
            source = visitor.go(path).text()
            assert visitor.page.evaluate(CAME_IN) == [], path
            assert visitor.page.evaluate("window.hit") is None, path
            reported -= {text for text in reported if f"b {_written(text)}" in source}
            answered -= {text for text in answered if f"answered {_written(text[:80])}" in source}
    assert visitor.faults == []
    assert (reported, answered) == (set(), set())
    context.close()


@pytest.mark.promise("P38")
@pytest.mark.parametrize("text", STRINGS[:: len(STRINGS) // 20])
def test_what_is_asked_for_is_text_on_every_page(text: str, target: Any, browser: Browser) -> None:
    bot, _ = target
    context = browser.new_context(**DESKTOP)
    visitor = Visitor(context.new_page(), bot.web.address, bot.web.address.removeprefix("http://"))
    sign_in(visitor.page, bot.web.address, bot.token)
    for view in VIEWS:
        fields = view.query.__struct_fields__
        path = "/".join(quote(text, safe="") if part.startswith("{") else part for part in view.path.split("/"))
        asked = "&".join(f"{name}={quote(text, safe='')}" for name in fields)
        visitor.page.goto(f"{bot.web.address}{path}?{asked}")
        assert visitor.page.evaluate(CAME_IN) == [], path
        assert visitor.page.evaluate("window.hit") is None, path
    assert [fault for fault in visitor.faults if "the server responded with a status of 4" not in fault] == []
    context.close()


def _written(text: str) -> str:
    """``text`` as a page has it."""
    return html.escape(text, quote=True).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
