"""Access: who may use the dashboard, by a token, by a session that was begun with one, or by a link from the chat.

Of a token, a session and a link only the SHA-256 is kept: each is random and long enough to need no more. Nothing of it
comes out of a backup, so that a restore brings back nothing that was taken away.
"""

from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Final, Literal, TypeAlias

import anyio
from msgspec import Struct, structs

from socbot.config import WebConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.errors import InvalidArgument, UserError
from socbot.dispatch.messages import Identity
from socbot.documents import ConfigError
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.systems.audit import Audit

Role: TypeAlias = Literal["owner", "viewer", "sender"]
"""An owner may do everything, a viewer look, a sender raise signals and nothing else."""

PLATFORM: Final = "dashboard"
"""The platform of what is done on the pages; no transport may have that name."""

CONFIGURED: Final = {"config": "owner", "config-viewer": "viewer"}
"""The names of the tokens that stand in the configuration, and their roles."""

FIRST: Final = "first"
"""The name of the token that is made when there is none."""

SHORTEST: Final = 16
"""Characters of a token that somebody has thought up: shorter ones can be guessed."""

MOST_TOKENS: Final = 50
MOST_SESSIONS: Final = 200
"""Browsers that are signed in at once; beyond it the one that would be signed out first is."""

TICKET_LIFE: Final = 300.0
"""Seconds for which a link signs in."""

NOTED: Final = 60.0
"""Seconds within which a use is noted once."""

_MOST_TICKETS: Final = 20
_PREFIX: Final = "soc_"  # by which redaction knows one that it was not told


class Token(Struct, frozen=True):
    """A token by its name; the token itself is not kept.

    :param made_by: ``platform:id`` of whoever made it; empty for one that stands in the configuration
    :param made_at: in seconds since 1970; None for one that stands in the configuration
    :param used_at: as far as that was noted
    """

    name: str
    role: Role
    made_by: str = ""
    made_at: float | None = None
    used_at: float | None = None


class Session(Struct, frozen=True):
    """A browser that is signed in.

    :param token: the name of the token it was begun with; ``platform:id`` of the owner who was sent a link
    :param csrf: what each form must send back
    :param expires_at: when it ends, unless it is used meanwhile
    """

    token: str
    role: Role
    csrf: str
    began_at: float
    expires_at: float

    def __repr__(self) -> str:
        return f"Session({self.token!r}, {self.role!r})"


class _Ticket(Struct, frozen=True):
    holder: str
    until: float  # on the monotonic clock: nobody lengthens it by setting the host's


class AccessError(UserError):
    """What was asked of the tokens cannot be done."""


class Access:
    """Tokens, sessions and links. What is asked of each request is answered from memory, on any thread.

    :ivar people: the bot's owners on their platforms, who may ask for links
    :ivar changed: called when ``identities`` may have changed
    """

    def __init__(self, database: Database, clock: Clock, random: Random, config: WebConfig, audit: Audit) -> None:
        self._database, self._clock, self._random, self._audit = database, clock, random, audit
        self._changing = anyio.Lock()
        # Replaced, never changed: the server's thread reads them.
        self._tokens: dict[str, Token] = {}
        self._configured: dict[str, Token] = {}
        self._of_run: dict[str, Token] = {}
        self._sessions: dict[str, Session] = {}
        self._tickets: dict[str, _Ticket] = {}
        self._ends: dict[str, float] = {}  # of sessions that were used, as far as it is not in the store yet
        self._used: dict[str, float] = {}
        self._unwritten: set[str] = set()  # of those uses
        self.people: frozenset[Identity] = frozenset()
        self.changed: Callable[[], None] = lambda: None
        self.configure(config)

    @staticmethod
    def check(config: WebConfig) -> None:
        """:raises ConfigError: if a token of the configuration can be guessed, or the two are one"""
        for key, token in (("token", config.token), ("viewer_token", config.viewer_token)):
            if token and (len(token) < SHORTEST or len(set(token)) < SHORTEST // 2):
                raise ConfigError(f"web.{key}: it could be guessed; take {SHORTEST} random characters or more")
        if config.token and config.token == config.viewer_token:
            raise ConfigError("web.viewer_token: it is the same as web.token, so who looks could do everything")

    def configure(self, config: WebConfig) -> None:
        """Go by ``config``. A session that was begun with a token of the configuration ends with that token.

        :raises ConfigError: see ``check``
        """
        self.check(config)
        self._config = config
        given = zip(CONFIGURED.items(), (config.token, config.viewer_token), strict=True)
        configured = {_digest(text): Token(name, _role_of(role)) for (name, role), text in given if text}
        gone = {token.name for digest, token in self._configured.items() if digest not in configured}
        self._configured = configured
        if gone:
            self._sessions = {id: each for id, each in self._sessions.items() if each.token not in gone}
        self.changed()

    async def load(self) -> None:
        """Read the tokens and sessions from the store.

        :raises StoreError: if it cannot be read
        """
        async with self._changing:
            await self._read()
            self._tickets, self._ends = {}, {}
        self.changed()

    async def flush(self) -> None:
        """Write down what was used, forget what has ended, and see what another process on the store has changed.

        :raises StoreError: if that cannot be done; it is done the next time
        """
        async with self._changing:
            used, ends = self._unwritten, self._ends
            self._unwritten, self._ends = set(), {}
            try:
                await self._write_uses(used, ends)
            except BaseException:
                self._unwritten, self._ends = used | self._unwritten, ends | self._ends
                raise
            await self._read()
        self.changed()

    async def _write_uses(self, used: Iterable[str], ends: Mapping[str, float]) -> None:
        marks = [{"name": name, "at": self._used[name]} for name in used]
        kept = [{"id": id, "at": at} for id, at in ends.items() if id in self._sessions]
        over = [{"id": id} for id in self._sessions if self._session(id) is None and id not in ends]

        def write(connection: Connection) -> None:
            connection.execute_many("UPDATE web_tokens SET used_at = :at WHERE name = :name", marks)
            connection.execute_many("UPDATE web_sessions SET expires_at = :at WHERE digest = :id", kept)
            connection.execute_many("DELETE FROM web_sessions WHERE digest = :id", over)

        if marks or kept or over:
            await self._database.write(write)

    async def _read(self) -> None:
        tokens, sessions = await self._database.read(_stored)
        by_name = {token.name: token for token in (*self._configured.values(), *tokens.values())}
        stamps = {token.name: _stamped(digest, token) for digest, token in self._configured.items()}
        self._tokens = tokens
        self._sessions = {
            id: structs.replace(session, token=name, role=by_name[name].role if name in by_name else session.role)
            for id, session in sessions.items()
            if (name := session.token.partition("#")[0]) and session.token == stamps.get(name, name)
        }

    # -- tokens ---------------------------------------------------------------------------------------

    @property
    def exists(self) -> bool:
        """Whether there is any token."""
        return bool(self._tokens or self._configured)

    def require_token(self) -> None:
        """:raises ConfigError: if the dashboard would be open to others and there is no token"""
        if not self._config.is_local and not self.exists:
            raise ConfigError(
                f"web.host: others can reach {self._config.host}, and there is no token yet that would keep them out."
                " Make one with `socbot exec '!token_add NAME owner'`, which shows it once, or set web.token_file; or"
                " set web.host to 127.0.0.1"
            )

    def tokens(self) -> tuple[Token, ...]:
        """All of them, by name; those of the configuration first."""
        made = sorted(self._tokens.values(), key=lambda token: token.name)
        return tuple(self._with_use(token) for token in (*self._configured.values(), *made))

    def token(self, text: str) -> Token | None:
        """The token that is written so, if it is one; that it was used is noted."""
        found, digest = None, _digest(text)
        for known, token in (*self._configured.items(), *self._of_run.items(), *self._tokens.items()):
            if _same(known, digest):  # and on: how long it takes tells nothing
                found = token
        if found is not None:
            self._note(found.name)
        return found

    async def first_token(self) -> str | None:
        """An owner's token, made now, if there is none at all yet: to be shown once."""
        if self.exists:
            return None
        text = await self.add(FIRST, "owner", "socbot")
        await self._audit.record("token_add", f"{FIRST} owner")
        return text

    def run_token(self) -> str:
        """A viewer's token that is valid as long as this process and is listed and kept nowhere: for its own machine.

        What was given before is one no longer.
        """
        text = self._secret()
        self._of_run = {_digest(text): Token("(this machine)", "viewer")}  # a name that no other can have
        return text

    async def add(self, name: str, role: Role, by: str) -> str:
        """Make a token, which is returned and not kept. The audit trail has the command that asks for it.

        :param by: ``platform:id`` of whoever makes it
        :raises InvalidArgument: if there is one of that name
        :raises AccessError: if there are too many
        """
        text = self._secret()
        token = Token(name, role, by, float(self._clock.time()))
        row = {"digest": _digest(text), **structs.asdict(token)}

        def write(connection: Connection) -> bool:
            [(count,)] = connection.execute("SELECT COUNT(*) FROM web_tokens")
            if count >= MOST_TOKENS:
                raise AccessError(f"There are {count} tokens, and more than {MOST_TOKENS} nobody can keep an eye on.")
            return bool(
                connection.change(
                    "INSERT INTO web_tokens (name, role, digest, made_by, made_at, used_at)"
                    " VALUES (:name, :role, :digest, :made_by, :made_at, :used_at) ON CONFLICT (name) DO NOTHING",
                    row,
                )
            )

        async with self._changing:
            if name in CONFIGURED or not await self._database.write(write):
                raise InvalidArgument("name", name, "a name that is not taken yet")
            self._tokens = {**self._tokens, row["digest"]: token}
        self.changed()
        return text

    async def remove(self, name: str) -> int:
        """Take a token away; how many sessions ended with it. The audit trail has the command that asks for it.

        A name that sessions have and no stored token, as that of an owner who was sent a link, ends those sessions.

        :raises InvalidArgument: if there is nothing of that name
        :raises AccessError: if it stands in the configuration
        """
        self.require_removable(name)

        def write(connection: Connection) -> None:
            connection.change("DELETE FROM web_tokens WHERE name = :name", {"name": name})
            _end(connection, name)

        async with self._changing:
            await self._database.write(write)
            self._tokens = {digest: token for digest, token in self._tokens.items() if token.name != name}
            ended = [id for id, session in self._sessions.items() if session.token == name]
            self._sessions = {id: each for id, each in self._sessions.items() if each.token != name}
            self._tickets = {id: each for id, each in self._tickets.items() if each.holder != name}
        self.changed()
        return len(ended)

    def require_removable(self, name: str) -> None:
        """Raise what ``remove`` would."""
        if any(token.name == name for token in self._configured.values()):
            key = "web.token" if CONFIGURED[name] == "owner" else "web.viewer_token"
            raise AccessError(
                f"That token stands in the configuration as {key}: change it there, and this one is gone."
            )
        if all(each.name != name for each in self._tokens.values()) and all(
            each.token != name for each in self._sessions.values()
        ):
            raise InvalidArgument("name", name, "the name of a token")

    def identities(self, people: Iterable[Identity]) -> frozenset[Identity]:
        """Who counts as the owner on the pages: each token with that role, and ``people`` who may be sent a link."""
        names = [token.name for token in (*self._configured.values(), *self._tokens.values()) if token.role == "owner"]
        return frozenset((PLATFORM, name) for name in (*names, *map(_written, people)))

    # -- sessions -------------------------------------------------------------------------------------

    def sessions(self) -> tuple[Session, ...]:
        """Those that have not ended, the newest first."""
        known = [found for id in tuple(self._sessions) if (found := self._session(id)) is not None]
        return tuple(sorted(known, key=lambda session: -session.began_at))

    def session(self, id: str, *, used: bool = True) -> Session | None:
        """The session whose cookie carries ``id``, if there is one; it lasts longer for being ``used``."""
        digest = _digest(id)
        found = self._session(digest)
        if found is None or not used:
            return found
        now = self._clock.time()
        end = min(found.began_at + self._config.session, now + self._config.idle)
        if end > found.expires_at:
            self._ends[digest] = end
        self._note(found.token)
        return found

    def _session(self, digest: str) -> Session | None:
        found = self._sessions.get(digest)
        if found is None:
            return None
        end = min(self._ends.get(digest, found.expires_at), found.began_at + self._config.session)
        role = self._role(found.token)
        if role is None or self._clock.time() >= end:
            return None
        return structs.replace(found, expires_at=end, role=role)

    def _role(self, holder: str) -> Role | None:
        """The role of whoever a session belongs to, as it is now; None if they have lost it."""
        if ":" in holder:
            return "owner" if any(_written(person) == holder for person in self.people) else None
        tokens = (*self._configured.values(), *self._tokens.values())
        return next((token.role for token in tokens if token.name == holder), None)

    async def sign_in(self, token: Token) -> str:
        """Begin a session with a token; what its cookie carries."""
        return await self._begin(token.name, token.role)

    async def sign_out(self, id: str) -> None:
        """End the session whose cookie carries ``id``, if there is one."""
        digest = _digest(id)
        async with self._changing:
            self._sessions = {each: session for each, session in self._sessions.items() if each != digest}
            await self._database.write(
                lambda connection: connection.change("DELETE FROM web_sessions WHERE digest = :id", {"id": digest})
            )

    async def _begin(self, holder: str, role: Role) -> str:
        id, now = self._secret(), self._clock.time()
        session = Session(holder, role, self._secret(), now, now + min(self._config.idle, self._config.session))
        digest, configured = _digest(id), self._configured.items()
        stored = next((_stamped(own, token) for own, token in configured if token.name == holder), holder)
        entry = self._audit.entry("sign in", role, f"{PLATFORM}:{holder}")
        async with self._changing:
            crowd = sorted(self._sessions, key=lambda each: self._sessions[each].expires_at)
            over = crowd[: max(0, len(crowd) + 1 - MOST_SESSIONS)]

            def write(connection: Connection) -> None:
                connection.execute_many("DELETE FROM web_sessions WHERE digest = :id", [{"id": id} for id in over])
                connection.change(
                    "INSERT INTO web_sessions (digest, token, role, csrf, began_at, expires_at)"
                    " VALUES (:digest, :token, :role, :csrf, :began_at, :expires_at)",
                    {"digest": digest, **structs.asdict(session), "token": stored},
                )
                self._audit.append(connection, entry)

            await self._database.write(write)
            kept = {id: each for id, each in self._sessions.items() if id not in over}
            self._sessions = {**kept, digest: session}
        return id

    # -- links ----------------------------------------------------------------------------------------

    def ticket(self, holder: str) -> str:
        """What signs in once, within ``TICKET_LIFE``.

        :param holder: the name of a token, or ``platform:id`` of an owner
        """
        text, now = self._secret(), self._clock.monotonic()
        known = {id: each for id, each in self._tickets.items() if each.until > now}
        newest = dict(list(known.items())[-_MOST_TICKETS + 1 :])
        self._tickets = {**newest, _digest(text): _Ticket(holder, now + TICKET_LIFE)}
        return text

    async def redeem(self, ticket: str) -> str | None:
        """Begin a session with a link's ticket; what its cookie carries, or None if it does not sign in any more."""
        digest = _digest(ticket)
        found = self._tickets.get(digest)
        self._tickets = {id: each for id, each in self._tickets.items() if id != digest}  # before anything is awaited
        if found is None or self._clock.monotonic() >= found.until:
            return None
        role = self._role(found.holder)
        return None if role is None else await self._begin(found.holder, role)

    # -- notes ----------------------------------------------------------------------------------------

    def _note(self, name: str) -> None:
        now = self._clock.time()
        if abs(now - self._used.get(name, -NOTED)) >= NOTED:
            self._used[name] = now
            self._unwritten.add(name)

    def _with_use(self, token: Token) -> Token:
        at = self._used.get(token.name)
        return token if at is None else structs.replace(token, used_at=at)

    def _secret(self) -> str:
        return f"{_PREFIX}{self._random.getrandbits(256):064x}"


def _written(identity: Identity) -> str:
    return ":".join(identity)


def _role_of(word: str) -> Role:
    return "owner" if word == "owner" else "viewer" if word == "viewer" else "sender"


def _stamped(digest: str, token: Token) -> str:
    """The name of a token that stands in the configuration, in a session's row: another token is another name."""
    return f"{token.name}#{digest[:16]}"


def _digest(text: str) -> str:
    from hashlib import sha256  # loads OpenSSL: a start that serves no dashboard does not wait for it

    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _same(one: str, other: str) -> bool:
    from hmac import compare_digest

    return compare_digest(one, other)


def _stored(connection: Connection) -> tuple[dict[str, Token], dict[str, Session]]:
    tokens = connection.execute("SELECT digest, name, role, made_by, made_at, used_at FROM web_tokens")
    sessions = connection.execute("SELECT digest, token, role, csrf, began_at, expires_at FROM web_sessions")
    return (
        {digest: Token(name, _role_of(role), *rest) for digest, name, role, *rest in tokens},
        {digest: Session(token, _role_of(role), *rest) for digest, token, role, *rest in sessions},
    )


def _end(connection: Connection, name: str) -> None:
    """End the sessions of ``name``, also those that were begun with a token of the configuration."""
    stamped = f"{name}#"
    connection.change(
        "DELETE FROM web_sessions WHERE token = :name OR substr(token, 1, :length) = :stamped",
        {"name": name, "stamped": stamped, "length": len(stamped)},
    )
