import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import aiohttp
import discord
import pytest

from socbot.config import DiscordConfig
from socbot.exit_codes import EXIT_CONFIGURATION
from socbot.transports.discord.faults import DiscordRefused, explain
from tests.standin import Standin

FATAL = {4004: "token", 4010: "shard", 4011: "shards", 4012: "discord.py", 4013: "intent", 4014: "Privileged"}
RECOVERABLE = [1000, 1001, 4000, 4001, 4002, 4003, 4005, 4007, 4008, 4009]


class Client(discord.AutoShardedClient):
    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """The library waits five seconds between two logins."""


def client() -> Client:
    return Client(intents=discord.Intents(guilds=True), shard_count=1)


@pytest.mark.promise("P15")
@pytest.mark.parametrize(("code", "word"), FATAL.items())
async def test_a_fatal_close_ends_it_after_one_attempt(standin: Standin, code: int, word: str) -> None:
    standin.gateway.refuse = code
    async with client() as bot:
        with pytest.raises(discord.ClientException) as raised:
            await asyncio.wait_for(bot.start(standin.token), 10)
    assert len(standin.gateway.identifies) == 1
    fatal = explain(raised.value)
    assert fatal is not None
    assert fatal.exit_code == EXIT_CONFIGURATION == 78
    assert word in fatal.text
    assert standin.token not in fatal.text


@pytest.mark.promise("P15")
@pytest.mark.parametrize("code", FATAL)
async def test_a_fatal_close_in_the_midst_of_it_ends_it_too(standin: Standin, code: int) -> None:
    async with client() as bot:
        running = asyncio.create_task(bot.start(standin.token))
        await standin.gateway.ready()
        standin.gateway.close(code)
        with pytest.raises(discord.ClientException) as raised:
            await asyncio.wait_for(running, 10)
    assert explain(raised.value) is not None
    assert len(standin.gateway.identifies) == 1
    assert standin.gateway.resumes == []


@pytest.mark.promise("P15")
async def test_a_wrong_token_is_tried_once(standin: Standin) -> None:
    async with client() as bot:
        with pytest.raises(discord.LoginFailure) as raised:
            await bot.start("a" + standin.token)
    fatal = explain(raised.value)
    assert fatal is not None
    assert "Reset Token" in fatal.text
    assert standin.token not in fatal.text
    assert len(standin.limits.seen) == 1
    assert standin.gateway.identifies == []


@pytest.mark.promise("P15")
@pytest.mark.parametrize("code", RECOVERABLE)
async def test_every_other_close_reconnects(standin: Standin, code: int) -> None:
    await _reconnects(standin, lambda: standin.gateway.close(code))


@pytest.mark.promise("P15")
@pytest.mark.parametrize("how", ["drop", "reconnect", "invalidate"])
async def test_every_other_break_reconnects(standin: Standin, how: str) -> None:
    await _reconnects(standin, getattr(standin.gateway, how))


async def _reconnects(standin: Standin, break_it: Callable[[], object]) -> None:
    async with client() as bot:
        running = asyncio.create_task(bot.start(standin.token))
        await standin.gateway.ready()
        [connection] = standin.gateway.connections
        break_it()
        await standin.until(
            lambda: any(c.session and c is not connection for c in standin.gateway.connections), what="a new connection"
        )
        assert not running.done()
        await bot.close()
        await running


def _closed(code: int) -> discord.ConnectionClosed:
    socket: aiohttp.ClientWebSocketResponse = SimpleNamespace(close_code=code)  # type: ignore[assignment]
    return discord.ConnectionClosed(socket, shard_id=0, code=code)


@pytest.mark.parametrize("error", [OSError("no route"), TimeoutError(), ValueError("x"), discord.ClientException("x")])
def test_other_errors_are_not_explained_away(error: Exception) -> None:
    assert explain(error) is None
    assert explain(ExceptionGroup("several", [error])) is None


@pytest.mark.parametrize("code", RECOVERABLE)
def test_nor_are_recoverable_closes(code: int) -> None:
    assert explain(_closed(code)) is None


def test_the_fatal_one_is_found_among_several() -> None:
    error = ExceptionGroup("several", [OSError("no route"), ExceptionGroup("inner", [_closed(4004)])])
    fatal = explain(error)
    assert fatal is not None
    assert fatal.text.endswith("(close code 4004)")
    assert explain(DiscordRefused("why")) is not None
    assert "token" not in repr(DiscordConfig(token="a" + "b" * 30))
