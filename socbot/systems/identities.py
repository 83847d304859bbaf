"""How people are written down: as they are, or under a pseudonym that only this store can make."""

import os

import msgspec

from socbot.dispatch.clock import Clock
from socbot.dispatch.messages import Identity
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.errors import decoding

KEY_SETTING = "analytics.hash_key"
"""The row of ``settings`` that holds the key. Whoever has it can tell people from their pseudonyms: never shown."""

_PSEUDONYM = "#"  # begins every pseudonym, and no id that a message can name
_REMEMBERED = 10_000


def storable(text: str, limit: int = 200) -> str:
    """``text`` from outside, bounded and without what a database refuses: NUL and half surrogates."""
    if len(text) > limit:
        text = text[:limit]
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


class Pseudonyms:
    """Names for people in the tables of what happened.

    :param enabled: whether people are written down under pseudonyms; may be changed at any time
    """

    def __init__(self, database: Database, clock: Clock, *, enabled: bool = False) -> None:
        self.enabled = enabled
        self._database = database
        self._clock = clock
        self._key = b""
        self._known: dict[Identity, str] = {}

    async def load(self) -> None:
        """Read the key, or make it, once for the life of the store.

        :raises StoreError: if that cannot be done
        """
        found = await self._database.read(_stored_key)
        if found is None:
            found = await self._database.write(self._make_key)
        self._key = bytes.fromhex(found)
        self._known.clear()

    def of(self, identity: Identity) -> str:
        """What ``identity`` is written down as from now on."""
        if not self.enabled:
            return storable(identity[1])
        name = self._known.get(identity)
        if name is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            name = self._known[identity] = self._pseudonym(identity)
        return name

    def all_of(self, identity: Identity) -> tuple[str, str]:
        """Everything ``identity`` may have been written down as, now or under the other setting."""
        return storable(identity[1]), self._pseudonym(identity)

    def _pseudonym(self, identity: Identity) -> str:
        import hashlib  # loads OpenSSL: most bots never need it

        text = f"{identity[0]}\n{identity[1]}".encode("utf-8", "surrogatepass")
        return _PSEUDONYM + hashlib.blake2b(text, key=self._key, digest_size=12).hexdigest()

    def _make_key(self, connection: Connection) -> str:
        connection.change(
            "INSERT INTO settings (key, value, set_by, set_at) VALUES (:key, :value, 'socbot', :now)"
            " ON CONFLICT (key) DO NOTHING",
            {
                "key": KEY_SETTING,
                "value": msgspec.json.encode(os.urandom(32).hex()).decode(),
                "now": self._clock.time(),
            },
        )
        made = _stored_key(connection)
        assert made is not None
        return made


def _stored_key(connection: Connection) -> str | None:
    rows = connection.execute("SELECT value FROM settings WHERE key = :key", {"key": KEY_SETTING})
    with decoding(f"the setting {KEY_SETTING}"):
        return msgspec.json.decode(rows[0][0], type=str) if rows else None
