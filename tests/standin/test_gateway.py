"""The gateway as discord.py finds it: logins, what is told to whom, and connections that break."""

import json
from typing import Any

import aiohttp
import anyio
import discord
import pytest

from tests.standin import Standin
from tests.standin.conftest import Client, Connect

RESUMABLE = [1000, 4000, 4001, 4002, 4003, 4005, 4008]
FATAL = [4004, 4010, 4011, 4012, 4013, 4014]


async def test_a_message_gets_there_and_back(standin: Standin, connect: Connect) -> None:
    alice = standin.user("alice")
    guild = standin.guild("g", owner=alice)
    async with connect() as client:
        await alice.says("!ping", in_=guild.general)
        assert (await standin.message(in_=guild.general)).text == "pong"
        await standin.until(lambda: len(client.heard) == 2)
    assert [message.author.name for message in client.heard] == ["alice", "socbot"]
    assert client.heard[0].author.guild_permissions.administrator  # type: ignore[union-attr]


async def test_direct_messages_and_threads_are_heard(standin: Standin, connect: Connect) -> None:
    alice = standin.user("alice")
    guild = standin.guild("g", owner=alice)
    thread = guild.thread("t")
    async with connect() as client:
        for place in (alice.dm, thread):
            await alice.says("!ping", in_=place)
            assert (await standin.message(in_=place)).text == "pong"
    assert client.heard[0].guild is None
    assert isinstance(client.heard[2].channel, discord.Thread)


async def test_the_stream_is_compressed_as_the_client_asks(standin: Standin, connect: Connect) -> None:
    standin.guild("g")
    async with connect():
        assert [connection.compression for connection in standin.gateway.connections] == ["zstd-stream"]


async def test_without_compression_plain_text_is_sent(standin: Standin) -> None:
    async with _websocket(standin) as ws:
        assert (await ws.receive_json())["op"] == 10


async def test_a_cut_connection_resumes_with_what_was_missed_exactly_once(standin: Standin, connect: Connect) -> None:
    alice = standin.user("alice")
    guild = standin.guild("g", owner=alice)
    async with connect() as client:
        await alice.says("before", in_=guild.general)
        await standin.until(lambda: client.texts == ["before"])
        assert standin.gateway.drop() == 1
        await alice.says("!ping while away")
        assert (await standin.message(in_=guild.general)).text == "pong while away"
        await alice.says("!ping after")
        assert (await standin.message(in_=guild.general)).text == "pong after"
        assert client.texts == ["before", "!ping while away", "!ping after"]
    assert len(standin.gateway.identifies) == 1
    assert [resume.replayed for resume in standin.gateway.resumes] == [1]


async def test_a_resume_may_bring_known_events_again(standin: Standin, connect: Connect) -> None:
    alice = standin.user("alice")
    guild = standin.guild("g", owner=alice)
    standin.gateway.overlap = 1
    async with connect() as client:
        await alice.says("once", in_=guild.general)
        await standin.until(lambda: client.texts == ["once"])
        standin.gateway.drop()
        await standin.gateway.resumed()
        await standin.until(lambda: client.texts == ["once", "once"])


@pytest.mark.parametrize("happens", ["reconnect", "invalidate"])
async def test_asked_to_reconnect_the_client_resumes(standin: Standin, connect: Connect, happens: str) -> None:
    alice = standin.user("alice")
    guild = standin.guild("g", owner=alice)
    async with connect() as client:
        if happens == "reconnect":
            standin.gateway.reconnect()
        else:
            standin.gateway.invalidate(resumable=True)
        await standin.gateway.resumed()
        await alice.says("!ping", in_=guild.general)
        await standin.message(in_=guild.general)
        assert client.texts == ["!ping"]
    assert len(standin.gateway.identifies) == 1


async def test_an_invalid_session_makes_the_client_log_in_anew(standin: Standin, connect: Connect) -> None:
    async with connect():
        standin.gateway.invalidate()
        await standin.gateway.identified(2)
        await standin.gateway.ready()
    assert standin.gateway.resumes == []


async def test_a_refused_resume_makes_the_client_log_in_anew(standin: Standin, connect: Connect) -> None:
    standin.gateway.refuse_resume = True
    async with connect():
        standin.gateway.drop()
        await standin.gateway.identified(2)
        await standin.gateway.ready()
    assert [resume.replayed for resume in standin.gateway.resumes] == [-1]


@pytest.mark.parametrize("code", RESUMABLE)
async def test_after_most_close_codes_the_client_resumes(standin: Standin, connect: Connect, code: int) -> None:
    async with connect():
        standin.gateway.close(code)
        await standin.gateway.resumed()
    assert len(standin.gateway.identifies) == 1


@pytest.mark.parametrize("code", [4007, 4009])
async def test_after_the_codes_that_end_a_session_the_client_logs_in_anew(
    standin: Standin, connect: Connect, code: int
) -> None:
    async with connect():
        standin.gateway.close(code)
        await standin.gateway.identified(2)
        await standin.gateway.ready()
    assert [resume.replayed for resume in standin.gateway.resumes] == [-1]


@pytest.mark.parametrize("code", FATAL)
async def test_a_fatal_close_code_ends_the_client_after_one_login(standin: Standin, code: int) -> None:
    standin.gateway.refuse = code
    expected = discord.PrivilegedIntentsRequired if code == 4014 else discord.ConnectionClosed
    async with Client() as client:
        with pytest.raises(expected):
            await client.start(standin.token)
    assert [identify.refused for identify in standin.gateway.identifies] == [code]


async def test_a_wrong_token_is_refused_by_either_side(standin: Standin) -> None:
    async with Client() as client:
        with pytest.raises(discord.LoginFailure):
            await client.start("wrong")
    async with _websocket(standin) as ws:
        assert await _identified(ws, token="wrong") == 4004


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"shard": [4, 4]}, 4010),
        ({"intents": 1 << 30}, 4013),
        ({"intents": "1"}, 4013),
        ({"intents": 1 << 15}, 4014),
        ({"intents": 1 << 1}, 4014),
    ],
)
async def test_a_login_that_asks_for_what_is_not_granted_is_closed(
    standin: Standin, asked: dict[str, Any], code: int
) -> None:
    standin.application.message_content = standin.application.members = False
    async with _websocket(standin) as ws:
        assert await _identified(ws, **({"token": standin.token, "intents": 1} | asked)) == code


@pytest.mark.parametrize(("text", "code"), [("nonsense", 4002), ('{"op": 3, "d": {}}', 4003), ("[]", 4002)])
async def test_what_is_no_command_closes_the_connection(standin: Standin, text: str, code: int) -> None:
    async with _websocket(standin) as ws:
        await ws.send_str(text)
        assert await _closed(ws) == code


async def test_more_than_120_commands_in_a_minute_close_the_connection(standin: Standin) -> None:
    async with _websocket(standin) as ws:
        for _ in range(121):
            await ws.send_json({"op": 1, "d": None})
        assert await _closed(ws) == 4008


async def test_content_is_blanked_without_its_intent_but_for_the_documented_exceptions(
    standin: Standin, connect: Connect
) -> None:
    alice = standin.user("alice")
    guild = standin.guild("g", owner=alice)
    standin.application.message_content = False
    async with connect(intents=discord.Intents.default()) as client:
        await alice.says("hidden", in_=guild.general, files={"a.txt": b"1"})
        await alice.says(f"{standin.bot.mention} seen")
        await alice.says("private", in_=alice.dm)
        await standin.until(lambda: len(client.heard) == 3)
        await client.heard[0].channel.send("own")
        await standin.until(lambda: len(client.heard) == 4)
    assert [message.content for message in client.heard] == ["", f"{standin.bot.mention} seen", "private", "own"]
    assert client.heard[0].attachments == []


async def test_each_shard_hears_its_guilds_and_the_first_one_direct_messages(
    standin: Standin, connect: Connect
) -> None:
    alice = standin.user("alice")
    guilds = [standin.guild(name, owner=alice) for name in "abc"]
    async with connect(shard_count=2) as client:
        for place in [*(guild.general for guild in guilds), alice.dm]:
            await alice.says("!ping", in_=place)
            await standin.message(in_=place)
        assert {guild.name: guild.shard_id for guild in client.guilds} == {"a": 0, "b": 1, "c": 0}
        standin.gateway.drop(shard=1)
        await alice.says("!ping again", in_=guilds[1].general)
        assert (await standin.message(in_=guilds[1].general)).text == "pong again"
    assert [(identify.shard, identify.shards) for identify in standin.gateway.identifies] == [(0, 2), (1, 2)]
    assert len(standin.gateway.resumes) == 1


async def test_the_recommended_number_of_shards_is_what_the_client_makes(standin: Standin, connect: Connect) -> None:
    standin.gateway.recommended_shards = 2
    async with connect() as client:
        await standin.gateway.ready(2)
        assert client.shard_count == 2


async def test_heartbeats_are_answered_and_without_answers_the_client_resumes(
    standin: Standin, connect: Connect
) -> None:
    standin.gateway.heartbeat = 0.05
    async with connect(heartbeat_timeout=1.0):
        await standin.until(lambda: len(standin.gateway.heartbeats) >= 4)
        assert standin.gateway.resumes == []
        standin.gateway.acks = False
        await standin.gateway.resumed(seconds=3)
        standin.gateway.acks = True


async def test_a_login_beyond_the_limit_resets_the_token(standin: Standin, connect: Connect) -> None:
    standin.gateway.remaining = 1
    async with connect() as client:
        limits = await client.fetch_session_start_limits()
        assert limits.remaining == 0
    async with Client() as client:
        with pytest.raises(discord.ConnectionClosed) as closed:
            await client.start(standin.token)
    assert closed.value.code == 4004
    async with Client() as client:
        with pytest.raises(discord.LoginFailure):
            await client.start(standin.token)


async def test_logins_too_close_to_each_other_are_refused_if_asked_for(standin: Standin) -> None:
    standin.gateway.strict_starts = True
    async with _websocket(standin) as first, _websocket(standin) as second:
        await first.send_json(_identify(standin.token))
        assert (await _next(first, 0))["t"] == "READY"
        await second.send_json(_identify(standin.token))
        assert (await _next(second, 9))["d"] is False


async def test_an_event_can_come_twice(standin: Standin, connect: Connect) -> None:
    alice = standin.user("alice")
    guild = standin.guild("g", owner=alice)
    async with connect() as client:
        said = await alice.says("hello", in_=guild.general)
        standin.gateway.repeat()
        await standin.until(lambda: len(client.heard) == 2)
    assert [message.id for message in client.heard] == [int(said.id)] * 2


async def test_members_come_and_go_and_a_guild_can_be_lost(standin: Standin, connect: Connect) -> None:
    alice, bob = standin.user("alice"), standin.user("bob")
    guild = standin.guild("g", owner=alice)
    intents = discord.Intents.default() | discord.Intents(message_content=True, members=True)
    async with connect(intents=intents) as client:
        await standin.until(lambda: client.guilds and client.guilds[0].get_member(int(alice.id)))
        await bob.joins(guild)
        await standin.until(lambda: client.guilds[0].get_member(int(bob.id)))
        await bob.leaves(guild)
        await client.guilds[0].leave()
        await standin.until(lambda: len(client.events) == 3)
    assert client.events == [("join", "bob"), ("leave", "bob"), ("lost", "g")]


async def test_without_the_members_intent_nobody_comes_or_goes(standin: Standin, connect: Connect) -> None:
    alice, bob = standin.user("alice"), standin.user("bob")
    guild = standin.guild("g", owner=alice)
    async with connect() as client:
        await bob.joins(guild)
        await alice.says("!ping", in_=guild.general)
        await standin.message(in_=guild.general)
    assert client.events == []


async def test_a_guild_that_is_joined_later_is_heard_too(standin: Standin, connect: Connect) -> None:
    alice = standin.user("alice")
    async with connect() as client:
        guild = standin.guild("g", owner=alice)
        await alice.says("!ping", in_=guild.general)
        await standin.message(in_=guild.general)
        assert [known.name for known in client.guilds] == ["g"]


async def test_presence_is_seen_at_login_and_when_it_changes(standin: Standin, connect: Connect) -> None:
    activity = discord.Activity(type=discord.ActivityType.watching, name="the chain")
    async with connect(activity=activity, status=discord.Status.idle) as client:
        await client.change_presence(status=discord.Status.dnd)
        await standin.until(lambda: standin.gateway.presences)
    assert standin.gateway.identifies[0].presence == {
        "status": "idle",
        "game": activity.to_dict(),
        "since": 0,
        "afk": False,
    }
    assert standin.gateway.presences[0]["status"] == "dnd"


# -- without discord.py ---------------------------------------------------------------------------------------


class _websocket:
    """A plain websocket on the gateway."""

    def __init__(self, standin: Standin) -> None:
        self._url = f"{standin.gateway.url}/gateway?v=10&encoding=json"

    async def __aenter__(self) -> aiohttp.ClientWebSocketResponse:
        self._session = aiohttp.ClientSession()
        return await self._session.ws_connect(self._url)

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()


def _identify(token: str, **more: Any) -> dict[str, Any]:
    return {"op": 2, "d": {"token": token, "intents": 1, "properties": {}} | more}


async def _identified(ws: aiohttp.ClientWebSocketResponse, **fields: Any) -> int | None:
    """Log in, and return the close code that this is answered with."""
    await ws.send_json(_identify(**fields))
    return await _closed(ws)


async def _closed(ws: aiohttp.ClientWebSocketResponse) -> int | None:
    with anyio.fail_after(5):
        async for _ in ws:
            pass
    return ws.close_code


async def _next(ws: aiohttp.ClientWebSocketResponse, op: int) -> dict[str, Any]:
    with anyio.fail_after(5):
        async for frame in ws:
            said: dict[str, Any] = json.loads(frame.data)
            if said["op"] == op:
                return said
    raise AssertionError("closed")
