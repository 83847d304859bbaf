"""Secrets that must be kept and used, sealed while they lie in the store.

AES-256-GCM. What a secret belongs to is sealed with it, so that a sealed value copied to another place does not open.
"""

import base64
import binascii
import os
from contextlib import suppress
from pathlib import Path

from socbot.config import key_bytes
from socbot.documents import ConfigError
from socbot.folders import make_private_folder, sync_folder

_VERSION = "s1."
_NONCE = 12


class Unreadable(Exception):
    """It was sealed with another key, or for another place, or is damaged."""


class Seal:
    """Seals and opens with one key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "Seal()"

    def seal(self, secret: str, place: str) -> str:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE)
        sealed = AESGCM(self._key).encrypt(nonce, secret.encode(), place.encode())
        return _VERSION + base64.b64encode(nonce + sealed).decode()

    def open(self, sealed: str, place: str) -> str:
        """:raises Unreadable: if it cannot be opened"""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            raw = base64.b64decode(sealed.removeprefix(_VERSION), validate=True)
            return AESGCM(self._key).decrypt(raw[:_NONCE], raw[_NONCE:], place.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise Unreadable("it was sealed with another key") from None


def read_key(file: Path) -> bytes | None:
    """The key in ``file``; None if there is no such file.

    :raises ConfigError: if what is there is no key, or cannot be read
    """
    try:
        key = key_bytes(file.read_text("ascii"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        key = None
    if key is None:
        raise ConfigError(f"{file.name}: it cannot be read, or is no key of 32 bytes in base64")
    return key


def make_key(file: Path) -> bytes:
    """Keep a new key in ``file``, which only its owner can read; of two that do so at once, one key is both's.

    :raises OSError: if it cannot be written
    """
    make_private_folder(file.parent)
    draft = file.with_name(f"{file.name}.{os.urandom(8).hex()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(base64.b64encode(os.urandom(32)) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):  # another was quicker: its key counts
            os.link(draft, file)
    finally:
        draft.unlink()
    sync_folder(file.parent)
    key = read_key(file)
    assert key is not None
    return key
