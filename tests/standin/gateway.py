"""The gateway: sessions that outlive their connections, and all that can happen to a connection."""

import json
import time
import zlib
from asyncio import Queue, Transport
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module

import anyio
import msgspec
from aiohttp import WSMsgType, web
from msgspec import Struct

from tests.standin.world import Guild, Json, World

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, VOICE, RESUME, RECONNECT, REQUEST_MEMBERS = 0, 1, 2, 3, 4, 6, 7, 8
INVALID_SESSION, HELLO, HEARTBEAT_ACK = 9, 10, 11

GUILDS, MEMBERS, PRESENCES, GUILD_MESSAGES, DIRECT_MESSAGES, MESSAGE_CONTENT = (
    1 << bit for bit in (0, 1, 8, 9, 12, 15)
)
_EVERY_INTENT = (1 << 26) - 1
_FATAL = {4004, 4010, 4011, 4012, 4013, 4014}
_ENDS_SESSION = _FATAL | {4007, 4009}
_MOST_BYTES = 4096
_MOST_COMMANDS, _COMMANDS_PER = 120, 60.0

_encode = msgspec.json.encode


class Identify(Struct, frozen=True):
    """One IDENTIFY as it came; ``at`` is monotonic. ``refused`` is the close code, or 9 for an invalid session."""

    at: float
    shard: int
    shards: int
    intents: int
    presence: Json | None
    refused: int = 0


class Resume(Struct, frozen=True):
    """One RESUME as it came; ``replayed`` counts the events that it brought, -1 if it was refused."""

    at: float
    session_id: str
    seq: int
    replayed: int


class Connection:
    """One websocket. What is put is sent in order; a number closes it with that code, noted in ``closed_with``."""

    def __init__(self, ws: web.WebSocketResponse, transport: Transport, compression: str) -> None:
        self.session: Session | None = None
        self.compression = compression
        self.closed_with: int | None = None
        self._ws, self._transport = ws, transport
        self._squeeze = _COMPRESSIONS[compression]() if compression in _COMPRESSIONS else None
        self._outgoing: Queue[bytes | int] = Queue()
        self._commands: deque[float] = deque(maxlen=_MOST_COMMANDS)

    def put(self, frame: bytes) -> None:
        self._outgoing.put_nowait(frame)

    def close(self, code: int) -> None:
        self.closed_with = code
        self._outgoing.put_nowait(code)

    def op(self, code: int, data: object = None) -> None:
        self.put(_encode({"op": code, "d": data, "s": None, "t": None}))

    def abort(self) -> None:
        """Break the TCP connection, as a cut cable would."""
        self._transport.abort()

    def too_fast(self) -> bool:
        """Count a command that came; whether it was one more than 120 in a minute."""
        now = time.monotonic()
        over = len(self._commands) == _MOST_COMMANDS and now - self._commands[0] < _COMMANDS_PER
        self._commands.append(now)
        return over

    async def write(self) -> None:
        """Send what is put until the connection ends."""
        while isinstance(frame := await self._outgoing.get(), bytes):
            try:
                await self._send(frame)
            except ConnectionError:  # the peer is gone, which the reader finds out too
                return
        await self._ws.close(code=frame)

    async def _send(self, frame: bytes) -> None:
        if self._squeeze:
            await self._ws.send_bytes(self._squeeze(frame))
        else:
            await self._ws.send_str(frame.decode())


def _zlib_stream() -> Callable[[bytes], bytes]:
    deflate = zlib.compressobj(level=1)
    return lambda frame: deflate.compress(frame) + deflate.flush(zlib.Z_SYNC_FLUSH)


def _zstd_stream() -> Callable[[bytes], bytes]:
    """From whichever of the two modules discord.py found, too."""
    try:
        zstandard = import_module("zstandard")
    except ImportError:
        compressor = import_module("compression.zstd").ZstdCompressor(level=1)
        return lambda frame: compressor.compress(frame, mode=compressor.FLUSH_BLOCK)
    deflate = zstandard.ZstdCompressor(level=1).compressobj()
    return lambda frame: deflate.compress(frame) + deflate.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


_COMPRESSIONS = {"zlib-stream": _zlib_stream, "zstd-stream": _zstd_stream}


@dataclass(slots=True, eq=False)
class Session:
    """What a shard has been told, numbered; kept while it is away, and replayed."""

    id: str
    shard: int
    shards: int
    intents: int
    connection: Connection | None = None
    seq: int = 0
    sent: deque[tuple[int, bytes]] = field(default_factory=deque)

    def hears_of(self, guild: Guild | None) -> bool:
        return self.shard == (0 if guild is None else (int(guild.id) >> 22) % self.shards)

    def tell(self, event: str, data: object) -> None:
        self.seq += 1
        frame = _encode({"op": DISPATCH, "d": data, "s": self.seq, "t": event})
        self.sent.append((self.seq, frame))
        if self.connection:
            self.connection.put(frame)

    def replay(self, seq: int, overlap: int) -> int:
        """Send again what came after ``seq``, and so many before it; returns how many that were."""
        assert self.connection
        while self.sent and self.sent[0][0] <= seq - overlap:
            self.sent.popleft()
        for _, frame in self.sent:
            self.connection.put(frame)
        return len(self.sent)


class Gateway:
    """Who is connected, what they asked for, and switches for what goes wrong.

    ``heartbeat`` is the interval in seconds; ``acks`` False withholds the answers to heartbeats; ``refuse`` closes
    every IDENTIFY with that code; ``refuse_resume`` answers every RESUME with an invalid session; ``duplicated`` names
    events of which each is sent twice, and ``overlap`` how many events known already a resume brings again.
    ``remaining`` counts session starts down: at none left, the next one resets the token, as Discord does.
    ``strict_starts`` answers a session start within five seconds of another, beyond ``max_concurrency``, with an
    invalid session.
    """

    def __init__(self, world: World, token: str) -> None:
        self._world = world
        self.token = token
        self.url = ""
        self.recommended_shards = 1
        self.max_concurrency = 1
        self.total, self.remaining, self.reset_after = 1000, 1000, 14_400.0
        self.heartbeat = 41.25
        self.acks = True
        self.refuse: int | None = None
        self.refuse_resume = False
        self.strict_starts = False
        self.duplicated: set[str] = set()
        self.overlap = 0
        self.token_was_reset = False
        self.identifies: list[Identify] = []
        self.resumes: list[Resume] = []
        self.presences: list[Json] = []
        self.heartbeats: list[float] = []
        self.closes: list[int] = []
        self.sessions: dict[str, Session] = {}
        self.connections: set[Connection] = set()
        self._last: dict[str, tuple[Json, Guild | None]] = {}
        self._started: dict[int, float] = {}

    # What a test does to connections

    def drop(self, shard: int | None = None) -> int:
        """Break the TCP connections of a shard, or of all; returns how many."""
        dropped = [connection for connection in self.connections if _is_of(connection, shard)]
        for connection in dropped:
            self._detach(connection)
            connection.abort()
        return len(dropped)

    def close(self, code: int, shard: int | None = None) -> None:
        """Close with a code; the fatal ones end the session too."""
        for connection in [*self.connections]:
            if _is_of(connection, shard):
                self._refuse(connection, code)

    def reconnect(self, shard: int | None = None) -> None:
        """Ask to reconnect and resume (op 7)."""
        for session in self._connected(shard):
            session.connection.op(RECONNECT)  # type: ignore[union-attr]

    def invalidate(self, *, resumable: bool = False, shard: int | None = None) -> None:
        """Say that the session is invalid (op 9)."""
        for session in self._connected(shard):
            assert session.connection
            session.connection.op(INVALID_SESSION, resumable)
            if not resumable:
                del self.sessions[session.id]

    def repeat(self, event: str = "MESSAGE_CREATE") -> None:
        """Send the last event of that name once more, as an event of its own."""
        payload, guild = self._last[event]
        self.emit(event, payload, guild)

    def forget_sessions(self) -> None:
        """Lose the sessions of whoever is away: a resume is answered with an invalid session."""
        self.sessions = {id: session for id, session in self.sessions.items() if session.connection}

    def _connected(self, shard: int | None) -> list[Session]:
        return [s for s in self.sessions.values() if s.connection and (shard is None or s.shard == shard)]

    # What a test waits for

    async def ready(self, count: int = 1, *, seconds: float = 10.0) -> None:
        """Wait until so many shards are connected with a session."""
        await self._world.changed.until(
            lambda: len(self._connected(None)) >= count, seconds, lambda: f"{count} sessions: {self.summary()}"
        )

    async def resumed(self, count: int = 1, *, seconds: float = 10.0) -> None:
        """Wait until so many RESUMEs were accepted, in all."""
        await self._world.changed.until(
            lambda: sum(resume.replayed >= 0 for resume in self.resumes) >= count,
            seconds,
            lambda: f"{count} resumes: {self.summary()}",
        )

    async def identified(self, count: int = 1, *, seconds: float = 10.0) -> None:
        """Wait until so many IDENTIFYs came, refused ones too."""
        await self._world.changed.until(
            lambda: len(self.identifies) >= count, seconds, lambda: f"{count} identifies: {self.summary()}"
        )

    def summary(self) -> str:
        return f"{len(self.identifies)} identifies, {len(self.resumes)} resumes, closes {dict(Counter(self.closes))}"

    # What happens

    def emit(self, event: str, payload: Json, guild: Guild | None) -> None:
        """Tell every session that is to hear of it."""
        if guild and not guild.has_bot:
            return
        self._last[event] = (payload, guild)
        for session in self.sessions.values():
            if session.hears_of(guild) and _intended(event, guild, session.intents):
                data = self._blanked(payload, guild, session.intents) if event.startswith("MESSAGE_") else payload
                for _ in range(2 if event in self.duplicated else 1):
                    session.tell(event, data)

    def _blanked(self, payload: Json, guild: Guild | None, intents: int) -> Json:
        """Without the content, unless the intent, a direct message, a mention or authorship gives it."""
        bot = self._world.bot.id
        if intents & MESSAGE_CONTENT or guild is None or "author" not in payload:
            return payload
        if payload["author"]["id"] == bot or any(user["id"] == bot for user in payload["mentions"]):
            return payload
        return payload | {"content": "", "embeds": [], "attachments": [], "components": []}

    def limits(self) -> Json:
        """GET /gateway/bot"""
        return {
            "url": f"{self.url}/gateway",
            "shards": self.recommended_shards,
            "session_start_limit": {
                "total": self.total,
                "remaining": self.remaining,
                "reset_after": int(self.reset_after * 1000),
                "max_concurrency": self.max_concurrency,
            },
        }

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One websocket, from HELLO to its end."""
        ws = web.WebSocketResponse(compress=False, max_msg_size=0)
        await ws.prepare(request)
        assert isinstance(request.transport, Transport)
        connection = Connection(ws, request.transport, request.query.get("compress", ""))
        self.connections.add(connection)
        if request.query.get("v") not in ("9", "10"):
            connection.close(4012)
        connection.op(HELLO, {"heartbeat_interval": int(self.heartbeat * 1000), "_trace": []})
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(connection.write)
                await self._read(ws, connection)
                tasks.cancel_scope.cancel()
        finally:
            self._ended(connection, ws.close_code or 1006)
        return ws

    async def _read(self, ws: web.WebSocketResponse, connection: Connection) -> None:
        async for frame in ws:
            if frame.type is WSMsgType.TEXT:
                if len(frame.data) > _MOST_BYTES:
                    self._refuse(connection, 4002)
                elif connection.too_fast():
                    self._refuse(connection, 4008)
                else:
                    self._hear(connection, frame.data)
                self._world.changed.ring()

    def _hear(self, connection: Connection, text: str) -> None:
        try:
            said = json.loads(text)
            code, data = said["op"], said["d"]
        except (ValueError, KeyError, TypeError):
            self._refuse(connection, 4002)
            return
        if code == HEARTBEAT:
            self._beat(connection)
        elif code == IDENTIFY:
            self._identify(connection, data)
        elif code == RESUME:
            self._resume(connection, data)
        elif connection.session is None:
            self._refuse(connection, 4003)
        elif code == PRESENCE:
            self.presences.append(data)
        elif code == REQUEST_MEMBERS:
            self._send_members(connection.session, data)
        elif code != VOICE:
            self._refuse(connection, 4001)

    def _beat(self, connection: Connection) -> None:
        self.heartbeats.append(time.monotonic())
        if self.acks:
            connection.op(HEARTBEAT_ACK)

    def _identify(self, connection: Connection, data: Json) -> None:
        shard, shards = data.get("shard") or (0, 1)
        refused = self._why_not(connection, data, shard, shards)
        self.identifies.append(
            Identify(time.monotonic(), shard, shards, data.get("intents", 0), data.get("presence"), refused)
        )
        self._started[shard % self.max_concurrency] = time.monotonic()
        if refused == INVALID_SESSION:
            connection.op(INVALID_SESSION, False)
        elif refused:
            self._refuse(connection, refused)
        else:
            self._begin(connection, Session(self._world.secret(), shard, shards, data["intents"], connection))

    def _why_not(self, connection: Connection, data: Json, shard: int, shards: int) -> int:
        if data.get("token") != self.token or self.token_was_reset:
            return 4004
        if self._takes_too_many():
            return 4004
        return self.refuse or self._wrong_request(connection, data, shard, shards) or self._too_soon(shard)

    def _wrong_request(self, connection: Connection, data: Json, shard: int, shards: int) -> int:
        if connection.session:
            return 4005
        if not 0 <= shard < shards:
            return 4010
        intents = data.get("intents")
        if not isinstance(intents, int) or intents & ~_EVERY_INTENT:
            return 4013
        return 4014 if intents & ~self._granted() else 0

    def _takes_too_many(self) -> bool:
        """Count a session start; one too many resets the token."""
        self.token_was_reset = self.remaining <= 0
        self.remaining = max(0, self.remaining - 1)
        return self.token_was_reset

    def _too_soon(self, shard: int) -> int:
        before = self._started.get(shard % self.max_concurrency, -5.0)
        return INVALID_SESSION if self.strict_starts and time.monotonic() - before < 5.0 else 0

    def _granted(self) -> int:
        application = self._world.application
        switches = {MESSAGE_CONTENT: application.message_content, MEMBERS: application.members}
        switches[PRESENCES] = application.presences
        return _EVERY_INTENT & ~sum(intent for intent, is_on in switches.items() if not is_on)

    def _begin(self, connection: Connection, session: Session) -> None:
        same = (session.shard, session.shards)
        left = [old for old in self.sessions.values() if (old.shard, old.shards) == same and not old.connection]
        for old in left:
            del self.sessions[old.id]
        self.sessions[session.id] = session
        connection.session = session
        guilds = [guild for guild in self._world.guilds.values() if guild.has_bot and session.hears_of(guild)]
        session.tell("READY", self._ready(session, guilds))
        if session.intents & GUILDS:
            for guild in guilds:
                session.tell("GUILD_CREATE", guild.payload([guild.bot]))

    def _ready(self, session: Session, guilds: list[Guild]) -> Json:
        application = self._world.application
        return {
            "v": 10,
            "user": self._world.bot.payload() | {"verified": True, "mfa_enabled": True, "email": None, "flags": 0},
            "guilds": [{"id": guild.id, "unavailable": True} for guild in guilds],
            "session_id": session.id,
            "resume_gateway_url": f"{self.url}/resume",
            "shard": [session.shard, session.shards],
            "application": {"id": application.id, "flags": application.flags},
            "private_channels": [],
            "session_type": "normal",
        }

    def _resume(self, connection: Connection, data: Json) -> None:
        session = self.sessions.get(data["session_id"])
        if data.get("token") != self.token or self.token_was_reset:
            self._refuse(connection, 4004)
        elif session is None or self.refuse_resume or not 0 < data["seq"] <= session.seq:
            self.resumes.append(Resume(time.monotonic(), data["session_id"], data["seq"], -1))
            connection.op(INVALID_SESSION, False)
        else:
            session.connection, connection.session = connection, session
            replayed = session.replay(data["seq"], self.overlap)
            session.tell("RESUMED", {"_trace": []})
            self.resumes.append(Resume(time.monotonic(), session.id, data["seq"], replayed))

    def _send_members(self, session: Session, data: Json) -> None:
        guild = self._world.guilds[str(data["guild_id"])]
        if not session.intents & MEMBERS and not (data.get("user_ids") or data.get("query")):
            return
        chosen = [*_chosen(guild, data)]
        parts = [chosen[start : start + 1000] for start in range(0, len(chosen), 1000)] or [[]]
        for index, part in enumerate(parts):
            chunk: Json = {"guild_id": guild.id, "members": part, "chunk_index": index, "chunk_count": len(parts)}
            session.tell("GUILD_MEMBERS_CHUNK", chunk | ({"nonce": data["nonce"]} if "nonce" in data else {}))

    def _refuse(self, connection: Connection, code: int) -> None:
        if code in _ENDS_SESSION and connection.session:
            self.sessions.pop(connection.session.id, None)
        self._detach(connection)
        connection.close(code)

    def _detach(self, connection: Connection) -> None:
        if connection.session and connection.session.connection is connection:
            connection.session.connection = None

    def _ended(self, connection: Connection, code: int) -> None:
        self.connections.discard(connection)
        self.closes.append(connection.closed_with or code)
        self._detach(connection)
        if connection.closed_with is None and code in (1000, 1001) and connection.session:
            self.sessions.pop(connection.session.id, None)
        self._world.changed.ring()


def _is_of(connection: Connection, shard: int | None) -> bool:
    return shard is None or (connection.session is not None and connection.session.shard == shard)


def _intended(event: str, guild: Guild | None, intents: int) -> bool:
    if event.startswith("INTERACTION_"):
        return True
    if event.startswith("MESSAGE_"):
        return bool(intents & (GUILD_MESSAGES if guild else DIRECT_MESSAGES))
    return bool(intents & (MEMBERS if event.startswith("GUILD_MEMBER_") else GUILDS))


def _chosen(guild: Guild, data: Json) -> Iterator[Json]:
    wanted = {str(id) for id in data.get("user_ids") or ()}
    start, limit = (data.get("query") or "").lower(), data.get("limit") or len(guild.members)
    for member in [*guild.members.values()][: None if wanted or start else limit]:
        if (not wanted or member.user.id in wanted) and member.user.name.lower().startswith(start):
            yield member.payload()
