"""The whole stand-in: the world, served."""

import base64
import secrets
import time
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Self

import pytest
import yarl
from aiohttp import web

from tests.standin.gateway import Gateway
from tests.standin.interactions import Interactions
from tests.standin.limits import Limits
from tests.standin.people import Person
from tests.standin.rest import PREFIX, Request, Rest
from tests.standin.world import Application, Channel, Guild, Message, User, World


class Standin:
    """A Discord on 127.0.0.1.

    :param now: the time that ids and timestamps tell; a test with a clock in hand gives that clock's
    :param ack_seconds: how long an interaction waits for its first answer
    :param shards: how many shards it recommends

    Leaving it raises ``AssertionError`` if the bot sent anything that Discord would refuse as malformed, or that
    might ping somebody, unless the test took that out of ``complaints``.
    """

    def __init__(
        self,
        *,
        message_content: bool = True,
        members: bool = True,
        shards: int = 1,
        ack_seconds: float = 3.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.world = World(now, lambda: secrets.token_urlsafe(24))
        self.token = _token(self.world.bot.id)
        self.gateway = Gateway(self.world, self.token)
        self.gateway.recommended_shards = shards
        self.rest = Rest(self.world, self.gateway)
        self.interactions = Interactions(self.rest, ack_seconds)
        self.limits = Limits()
        self.application.message_content, self.application.members = message_content, members
        self.world.emit = self.gateway.emit
        self._runner: web.AppRunner | None = None

    # Where it is

    @property
    def api_url(self) -> str:
        return self.world.api

    def environment(self) -> dict[str, str]:
        """What makes a bot of another process use it."""
        return {"DISCORD_TOKEN": self.token, "SOCBOT_DISCORD__API_URL": self.api_url}

    def point_discord_py(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let discord.py of this process use it."""
        monkeypatch.setattr("discord.http.Route.BASE", self.api_url)
        gateway = yarl.URL(f"{self.gateway.url}/gateway")
        monkeypatch.setattr("discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY", gateway)
        monkeypatch.setattr("discord.asset.Asset.BASE", self.world.cdn)

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self.limits.middleware], client_max_size=64 * 1024 * 1024)
        app.add_routes([web.get(path, self.gateway.serve) for path in ("/gateway", "/resume", "/gateway/", "/resume/")])
        app.add_routes([*self.rest.routes(), *self.interactions.routes()])
        app.router.add_get("/cdn/attachments/{channel}/{attachment}/{name}", self.rest.attachment)
        app.router.add_route("*", "/{rest:.*}", self.rest.unknown)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.world.api, self.world.cdn = f"http://{host}:{port}{PREFIX}", f"http://{host}:{port}/cdn"
        self.gateway.url = f"ws://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner
        self.gateway.close(1001)
        await self._runner.cleanup()
        if self.complaints and error:
            error.add_note("Discord would have refused: " + "; ".join(self.complaints))
        elif self.complaints:
            raise AssertionError("Discord would have refused:\n" + "\n".join(self.complaints))

    # What there is

    @property
    def application(self) -> Application:
        return self.world.application

    @property
    def bot(self) -> User:
        return self.world.bot

    def user(self, name: str, *, bot: bool = False) -> Person:
        return self.world.add(Person(self.world.snowflake(), name, bot, world=self.world))

    def guild(self, name: str, *, owner: Person | None = None, members: Iterable[Person] = ()) -> Guild:
        """Create a guild with the bot in it; the first is on shard 0, each next on the next shard."""
        owner = owner or self.user(f"{name}'s owner")
        return self.world.guild(name, owner, members)

    # What the bot did

    @property
    def complaints(self) -> list[str]:
        return self.rest.complaints

    @property
    def requests(self) -> list[Request]:
        """What reached the routes; ``limits`` has those that were refused before, too."""
        return self.rest.requests

    def requested(self, method: str, path: str) -> list[Request]:
        """The requests so far whose path matches, such as ``/channels/*/messages``."""
        return [r for r in self.requests if r.method == method and fnmatchcase(r.path, path)]

    async def message(self, *, in_: Channel, after: Message | None = None, seconds: float = 5.0) -> Message:
        """Wait for the bot's next message in a channel: the first that no call returned yet, or that comes ``after``.

        One that says that the bot is thinking counts once it has its answer.

        :raises AssertionError: if none comes in time
        """
        if after:
            in_.read_up_to = after.index + 1
        await in_.bell.until(lambda: _next(in_), seconds, lambda: f"a message of the bot's in {in_.name}{_last(in_)}")
        in_.read_up_to += 1
        return in_.messages[in_.read_up_to - 1]

    async def until(self, holds: Callable[[], object], *, seconds: float = 5.0, what: str = "it") -> None:
        """Wait until something holds, here or in the bot.

        :raises AssertionError: if it does not in time
        """
        await self.world.changed.until(holds, seconds, lambda: what)


def _next(channel: Channel) -> bool:
    """Move on to the next message of the bot's; whether there is one, and it is complete."""
    messages = channel.messages
    while channel.read_up_to < len(messages) and not messages[channel.read_up_to].by_bot:
        channel.read_up_to += 1
    return channel.read_up_to < len(messages) and not messages[channel.read_up_to].loading


def _last(channel: Channel) -> str:
    return f", where {channel.messages[-1].text!r} was the last one" if channel.messages else ""


def _token(bot: str) -> str:
    """One that looks like Discord's, put together anew each time."""
    start = base64.urlsafe_b64encode(bot.encode()).decode().rstrip("=")
    return ".".join([start, secrets.token_urlsafe(5)[:6], secrets.token_urlsafe(30)[:38]])
