"""Discord at the other end of a socket that is none: what every contender talks to.

A gateway's messages go in as text, through discord.py's own reader. Requests come out of aiohttp's own client as bytes,
and are answered with bytes that its own parser reads, as Discord would answer. There is no socket, no TLS and no wait.
"""

import asyncio
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import aiohttp
import discord
from aiohttp.client_proto import ResponseHandler
from discord.gateway import DiscordWebSocket

JSON: TypeAlias = dict[str, Any]

BOT, GUILD, CHANNEL, OWNER = "10", "20", "30", "40"

_NOW = "2024-01-01T00:00:00.000000+00:00"
_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)", re.IGNORECASE)
_HEADERS = (
    "Content-Type: application/json\r\nVia: 1.1 google\r\nX-RateLimit-Bucket: 0123456789abcdef0123456789abcdef\r\n"
    "X-RateLimit-Limit: 1000000\r\nX-RateLimit-Remaining: 999999\r\n"
    "X-RateLimit-Reset: 4000000000.000\r\nX-RateLimit-Reset-After: 1.000\r\n"
)
_numbers = itertools.count(1_000_000)


def user(id: str, is_bot: bool = False) -> JSON:
    return {"id": id, "username": f"user{id}", "discriminator": "0", "global_name": None, "avatar": None, "bot": is_bot}


def _member(id: str) -> JSON:
    roles = [str(number) for number in (21, 22)]
    return {"user": user(id), "roles": roles, "joined_at": _NOW, "deaf": False, "mute": False, "flags": 0}


def _message(content: str, author: JSON, **more: Any) -> JSON:
    return {
        "id": str(next(_numbers)), "channel_id": CHANNEL, "author": author, "content": content, "timestamp": _NOW,
        "edited_timestamp": None, "tts": False, "mention_everyone": False, "mentions": [], "mention_roles": [],
        "attachments": [], "embeds": [], "pinned": False, "type": 0, "flags": 0, "components": [], **more,
    }  # fmt: skip


def written(content: str, author: JSON) -> str:
    """What the gateway sends when somebody has written something in the guild."""
    member = {key: value for key, value in _member(author["id"]).items() if key != "user"}
    message = _message(content, author, guild_id=GUILD, member=member)
    return json.dumps({"t": "MESSAGE_CREATE", "s": 1, "op": 0, "d": message})


def _guild() -> JSON:
    roles: list[JSON] = [
        {"id": id, "name": id, "color": 0, "hoist": False, "position": place, "permissions": "2248473465835073",
         "managed": False, "mentionable": False, "flags": 0}
        for place, id in enumerate((GUILD, "21", "22"))
    ]  # fmt: skip
    channel = {"id": CHANNEL, "type": 0, "name": "general", "position": 0, "permission_overwrites": []}
    return {
        "id": GUILD, "name": "guild", "owner_id": OWNER, "roles": roles, "channels": [channel],
        "members": [_member(BOT)], "member_count": 1_000, "emojis": [], "features": [],
    }  # fmt: skip


class Wire:
    """A client's connection to Discord: it is logged in, and knows one guild.

    :ivar sent: how many messages the client has sent
    """

    def __init__(self, client: discord.Client, expected: bytes) -> None:
        self._client, self._expected = client, expected
        self.sent = 0

    async def connect(self) -> None:
        client = self._client
        connector = client.http.connector = client.http.connector or aiohttp.TCPConnector(limit=0)
        connector._create_connection = self._open  # type: ignore[method-assign,assignment]
        await client.login("a.b.c")
        client._connection.parsers["GUILD_CREATE"](_guild())
        # As DiscordWebSocket.from_client does it.
        nothing: Any = None
        self._gateway = DiscordWebSocket(nothing, loop=client.loop)
        self._gateway._connection = client._connection
        self._gateway._discord_parsers = client._connection.parsers
        self._gateway._dispatch = client.dispatch
        self._gateway.shard_id = 0

    async def receive(self, text: str) -> None:
        await self._gateway.received_message(text)

    async def _open(self, *_: Any) -> ResponseHandler:
        protocol: ResponseHandler = self._client.http.connector._factory()
        protocol.connection_made(_Transport(protocol, self))
        return protocol

    def answer(self, head: bytes, body: bytes) -> bytes:
        """What Discord answers to a request.

        :raises AssertionError: if nothing of the kind is expected
        """
        line = head.partition(b" HTTP/1.1\r\n")[0].decode()
        if line.endswith("/users/@me"):
            return _response(user(BOT, True))
        if line.endswith("/oauth2/applications/@me"):
            return _response(_application())
        assert re.fullmatch(rf"POST \S*/channels/{CHANNEL}/messages", line), line
        assert self._expected in body, body
        self.sent += 1
        return _REPLIED if b'"message_reference"' in body else _SENT


def _application() -> JSON:
    return {
        "id": BOT, "name": "bench", "icon": None, "description": "", "bot_public": True,
        "bot_require_code_grant": False, "verify_key": "", "owner": user(OWNER), "team": None, "flags": 0,
    }  # fmt: skip


def _response(body: JSON) -> bytes:
    content = json.dumps(body).encode()
    return f"HTTP/1.1 200 OK\r\n{_HEADERS}Content-Length: {len(content)}\r\n\r\n".encode() + content


_SENT = _response(_message("Pong", user(BOT, True)))
_REPLIED = _response(
    _message(
        "Pong",
        user(BOT, True),
        type=19,
        message_reference={"type": 0, "channel_id": CHANNEL, "guild_id": GUILD, "message_id": "50"},
        referenced_message=_message("!bench", user("60")),
    )
)


class _Transport(asyncio.Transport):
    """Takes requests, and answers them on the loop's next turn."""

    def __init__(self, protocol: ResponseHandler, wire: Wire) -> None:
        super().__init__()
        self._protocol, self._wire = protocol, wire
        self._received = b""
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if end and len(body) >= (int(length[1]) if length else 0):
            self._received = b""
            answer = self._wire.answer(head, body)
            asyncio.get_running_loop().call_soon(self._protocol.data_received, answer)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()


def authors(count: int) -> Iterator[JSON]:
    return itertools.cycle([user(str(1_000 + number)) for number in range(count)])
