"""The keys that seal and sign backups: where they come from, and which of them opens which backup."""

import hashlib
from collections.abc import Callable
from typing import Annotated, Final

from msgspec import Meta, Struct

from socbot.config import BackupConfig, key_bytes
from socbot.systems.backup.errors import Damaged, KeyNeeded

KEY: Final = 32
_LARGEST: Final = 1 << 28
"""Bytes that a passphrase may cost at most, so that a forged header cannot ask for all of the memory."""


class Stretch(Struct, frozen=True, forbid_unknown_fields=True):
    """How a passphrase becomes a key: scrypt with 2**``cost``, ``block`` and ``lanes`` (RFC 7914).

    :param salt: 16 bytes; empty where the key was given as it is
    """

    salt: bytes = b""
    cost: int = 15
    block: int = 8
    lanes: int = 3

    def key(self, passphrase: str) -> bytes:
        """:raises Damaged: if that would take more memory than any honest backup asks for"""
        memory = 128 * self.block * (1 << self.cost)
        if not 10 <= self.cost <= 20 or not 1 <= self.block <= 32 or not 1 <= self.lanes <= 16 or memory > _LARGEST:
            raise Damaged("", "its header asks for what no backup needs to make a key of a passphrase")
        return hashlib.scrypt(
            passphrase.encode(), salt=self.salt, n=1 << self.cost, r=self.block, p=self.lanes,
            maxmem=memory + (1 << 20) * 4, dklen=KEY,
        )  # fmt: skip


AS_IT_IS: Final = Stretch()


class Signer(Struct, frozen=True, forbid_unknown_fields=True):
    """Which key signed, and how it is made of a passphrase."""

    key_id: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
    stretch: Stretch = AS_IT_IS


class Keyring:
    """The key in use and the older ones.

    A passphrase is stretched once for each salt; new backups take the salt that is known already, so that a list of
    a hundred backups costs one stretching and not a hundred.

    :param current: 32 bytes, a passphrase, or None if nothing is sealed or signed
    """

    def __init__(
        self, current: bytes | str | None, old: tuple[bytes | str, ...], random_bytes: Callable[[int], bytes]
    ) -> None:
        self._current, self._random_bytes = current, random_bytes
        self._all = (*(() if current is None else (current,)), *old)
        self._stretched: dict[tuple[str, Stretch], bytes] = {}
        self._salted: Stretch | None = None

    @classmethod
    def of(cls, config: BackupConfig) -> "Keyring":
        from os import urandom

        current = key_bytes(config.key) if config.key else config.passphrase or None
        return cls(current, tuple(key_bytes(text) or text for text in config.old_keys), urandom)

    @property
    def has_key(self) -> bool:
        """Whether new backups are signed, and can be sealed."""
        return self._current is not None

    def fresh(self, count: int) -> bytes:
        """Fresh ones, that nobody can guess."""
        return self._random_bytes(count)

    def newest(self) -> tuple[bytes, Stretch]:
        """The key for a new backup, and what it takes to make it again.

        :raises KeyNeeded: if there is none
        """
        if self._current is None:
            raise KeyNeeded("for new backups")
        if isinstance(self._current, bytes):
            return self._current, AS_IT_IS
        if self._salted is None:
            self._salted = Stretch(self.fresh(16))
        return self._made(self._current, self._salted), self._salted

    def find(self, id: str, stretch: Stretch) -> bytes:
        """The key of that id.

        :raises KeyNeeded: if it is none of ours
        """
        for secret in self._all:
            if isinstance(secret, bytes) != (not stretch.salt):
                continue
            key = secret if isinstance(secret, bytes) else self._made(secret, stretch)
            if key_id(key) == id:
                if secret is self._current and stretch.salt and stretch == Stretch(stretch.salt):
                    self._salted = self._salted or stretch
                return key
        raise KeyNeeded(id)

    def _made(self, passphrase: str, stretch: Stretch) -> bytes:
        made = self._stretched.get((passphrase, stretch))
        if made is None:
            made = self._stretched[passphrase, stretch] = stretch.key(passphrase)
        return made


def derived(key: bytes, purpose: bytes, salt: bytes = b"", length: int = KEY) -> bytes:
    """A key of its own for each purpose (HKDF with SHA-256, RFC 5869)."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), length, salt or None, purpose).derive(key)


def key_id(key: bytes) -> str:
    """What names a key without giving it away: 16 characters."""
    return derived(key, b"socbot backup key id", length=8).hex()


def signing_key(key: bytes) -> bytes:
    return derived(key, b"socbot backup manifest")
