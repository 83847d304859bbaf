"""Access: who may use the dashboard, by a token or a session that was begun with one."""

import hashlib
from random import Random
from typing import Literal, TypeAlias

from msgspec import Struct

from socbot.config import WebConfig
from socbot.dispatch.clock import Clock
from socbot.storage.database import Database

Role: TypeAlias = Literal["owner", "viewer", "sender"]
"""An owner may do everything, a viewer look, a sender raise signals and nothing else."""


class Token(Struct, frozen=True):
    """A token by its name; the token itself is not kept."""

    name: str
    role: Role


class Session(Struct, frozen=True):
    """A browser that is signed in.

    :param token: the name of the token it was begun with
    :param csrf: what each form must send back
    """

    token: str
    role: Role
    csrf: str
    expires_at: float


class Access:
    """Tokens and sessions. What is asked of each request is answered from memory, on any thread."""

    def __init__(self, database: Database, clock: Clock, random: Random, config: WebConfig) -> None:
        self._database, self._clock, self._random = database, clock, random
        self._tokens: dict[str, Token] = {}
        self._sessions: dict[str, Session] = {}
        self.configure(config)

    def configure(self, config: WebConfig) -> None:
        self._config = config

    async def load(self) -> None:
        """Read the tokens and sessions from the store."""

    async def first_token(self) -> str | None:
        """An owner's token, made now, if there is none at all yet: to be shown once."""
        token = f"{self._random.getrandbits(256):064x}"
        self._tokens[_digest(token)] = Token("first", "owner")
        return token

    def token(self, text: str) -> Token | None:
        """The token that is written so, if it is one."""
        return self._tokens.get(_digest(text))

    async def sign_in(self, token: Token) -> str:
        """Begin a session; what its cookie carries."""
        id, csrf = (f"{self._random.getrandbits(256):064x}" for _ in range(2))
        self._sessions[_digest(id)] = Session(token.name, token.role, csrf, self._clock.time() + self._config.session)
        return id

    def session(self, id: str) -> Session | None:
        """The session whose cookie carries ``id``, if there is one."""
        return self._sessions.get(_digest(id))

    async def sign_out(self, id: str) -> None:
        self._sessions.pop(_digest(id), None)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
