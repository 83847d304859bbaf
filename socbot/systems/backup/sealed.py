"""A file in AES-256-GCM that can be written as a stream and read anywhere: the STREAM construction.

A header, then segments of one size, each with its tag. A segment's nonce holds its number and whether it is the last,
so that none can be left out, moved or put at the end; the key of each file is its own (HKDF over a fresh salt and the
header), so that a nonce is never used twice and the header cannot be changed. As Tink's AES-GCM-HKDF streaming does it.
"""

import struct
from collections.abc import Callable
from typing import BinaryIO, Final

from msgspec import Struct

from socbot.systems.backup.errors import Damaged, TooNewBackup
from socbot.systems.backup.keys import AS_IT_IS, Keyring, Stretch, derived, key_id

MAGIC: Final = b"SOCBOTSEAL"
SEGMENT: Final = 256 * 1024
TAG: Final = 16
_VERSION: Final = 1
_HEADER: Final = struct.Struct("<10sBBBBBx8s16s32s7sx")
HEADER: Final = _HEADER.size
_PURPOSE: Final = b"socbot backup contents"


class Header(Struct, frozen=True):
    """What stands before the segments.

    :param key_id: names the key without giving it away
    :param salt: makes this file's own key, 32 bytes
    :param prefix: begins every nonce, 7 bytes
    """

    key_id: str
    stretch: Stretch
    salt: bytes
    prefix: bytes

    def packed(self) -> bytes:
        stretch = self.stretch if self.stretch.salt else Stretch(bytes(16), 0, 0, 0)
        return _HEADER.pack(
            MAGIC, _VERSION, bool(self.stretch.salt), stretch.cost, stretch.block, stretch.lanes,
            bytes.fromhex(self.key_id), stretch.salt, self.salt, self.prefix,
        )  # fmt: skip


def header_of(packed: bytes) -> Header:
    """:raises Damaged: if that is none"""
    if len(packed) != HEADER:
        raise Damaged("", "it was cut off within its header")
    magic, version, stretched, cost, block, lanes, id, stretch_salt, salt, prefix = _HEADER.unpack(packed)
    if magic == MAGIC and version > _VERSION:
        raise TooNewBackup(version)
    stretch = Stretch(stretch_salt, cost, block, lanes) if stretched else AS_IT_IS
    header = Header(id.hex(), stretch, salt, prefix)
    if header.packed() != packed:
        raise Damaged("", "its header is none")
    return header


class Sealer:
    """Writes what it is given, sealed, to ``file``. Nothing plain is ever written."""

    def __init__(self, file: BinaryIO, keys: Keyring) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key, stretch = keys.newest()
        header = Header(key_id(key), stretch, keys.fresh(32), keys.fresh(7))
        packed = header.packed()
        self._encrypt = AESGCM(_own_key(key, header, packed)).encrypt
        self._file, self._prefix, self._number = file, header.prefix, 0
        self._waiting = bytearray()
        file.write(packed)

    def write(self, data: bytes | memoryview) -> None:
        self._waiting += data
        while len(self._waiting) > SEGMENT:  # the last may be full, and only ``close`` knows which it is
            self._seal(SEGMENT, last=False)

    def close(self) -> None:
        """Seal what is left, as the end; the file stays open."""
        self._seal(len(self._waiting), last=True)

    def _seal(self, length: int, last: bool) -> None:
        with memoryview(self._waiting) as waiting:
            self._file.write(self._encrypt(_nonce(self._prefix, self._number, last), waiting[:length], None))
        del self._waiting[:length]
        self._number += 1


class Unsealed:
    """What was sealed, at any place of it; ``size`` in bytes, all of it authenticated before it is handed over."""

    def __init__(self, read_at: Callable[[int, int], bytes], sealed_size: int, keys: Keyring) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        packed = read_at(0, HEADER)
        header = header_of(packed)
        body = sealed_size - HEADER
        self._segments = max(1, -(-body // (SEGMENT + TAG)))
        self.size = body - self._segments * TAG
        if self.size < 0:
            raise Damaged("", "it was cut off")
        self._decrypt = AESGCM(_own_key(keys.find(header.key_id, header.stretch), header, packed)).decrypt
        self._read_at, self._prefix, self._sealed_size = read_at, header.prefix, sealed_size
        self._opened, self._segment = -1, b""

    def read_at(self, offset: int, count: int) -> bytes:
        """Up to ``count`` bytes, fewer only at the end of a segment or of all.

        :raises Damaged: if what is there was not sealed so
        """
        number, within = divmod(offset, SEGMENT)
        if number >= self._segments:
            return b""
        if number != self._opened:
            self._segment, self._opened = self._open(number), number
        return self._segment[within : within + count]

    def _open(self, number: int) -> bytes:
        from cryptography.exceptions import InvalidTag

        start = HEADER + number * (SEGMENT + TAG)
        sealed = self._read_at(start, min(SEGMENT + TAG, self._sealed_size - start))
        last = number == self._segments - 1
        try:
            return self._decrypt(_nonce(self._prefix, number, last), sealed, None)
        except (InvalidTag, ValueError):
            raise Damaged("", f"what is sealed was changed or cut off (segment {number:,})") from None


def _own_key(key: bytes, header: Header, packed: bytes) -> bytes:
    return derived(key, _PURPOSE + packed, header.salt)


def _nonce(prefix: bytes, number: int, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])
