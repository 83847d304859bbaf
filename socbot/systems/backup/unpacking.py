"""Reading a backup's file: nothing is believed before it is compared, and nothing is read without a bound."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Protocol, TypeAlias, cast

from msgspec import Struct

from socbot.systems.backup import manifest as manifests
from socbot.systems.backup import tape
from socbot.systems.backup.errors import BackupError, Damaged, KeyNeeded, NotSigned
from socbot.systems.backup.keys import Keyring, signing_key
from socbot.systems.backup.manifest import File, Manifest
from socbot.systems.backup.sealed import MAGIC, Unsealed

CHUNK: Final = 1024 * 1024
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_SKIPPED: Final = (0x184D2A5B).to_bytes(4, "little")
"""How a frame begins that zstd passes over (RFC 8878, 3.1.2)."""

_WINDOW: Final = 1 << 25
"""The most memory that unpacking may ask for, in bytes: four times what our highest level needs."""


class Container(Protocol):
    """What was packed, whether it lies there sealed or not."""

    @property
    def size(self) -> int: ...

    def read_at(self, offset: int, count: int) -> bytes: ...


class _Plain:
    def __init__(self, read_at: Callable[[int, int], bytes], size: int) -> None:
        self.read_at, self.size = read_at, size


@contextmanager
def opened(path: Path, keys: Keyring) -> Iterator[Container]:
    """:raises BackupError: if it is no backup, or sealed with a key that is not ours"""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise BackupError(f"The backup {path.name} cannot be read: {error.strerror or error}.") from None
    try:
        yield _container(descriptor, keys)
    finally:
        os.close(descriptor)


def is_sealed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _container(descriptor: int, keys: Keyring) -> Container:
    def read_at(offset: int, count: int) -> bytes:
        return os.pread(descriptor, count, offset)

    size = os.fstat(descriptor).st_size
    begins = read_at(0, len(MAGIC))
    if begins == MAGIC:
        return Unsealed(read_at, size, keys)
    if begins[:4] != _ZSTD:
        raise Damaged("", "it is empty" if not begins else "it does not begin as a backup does")
    return _Plain(read_at, size)


# -- the manifest -------------------------------------------------------------------------------------


class Ending(Struct, frozen=True):
    """The manifest with what it was read from; ``signature`` says in words how far it is signed."""

    manifest: Manifest
    signature: str


def frame_of(written: bytes) -> bytes:
    """The manifest as it stands at the end of the file, where zstd passes over it."""
    return _SKIPPED + len(written).to_bytes(4, "little") + written


def ending(container: Container, keys: Keyring, unsigned: bool) -> Ending:
    """Read the manifest, and nothing else.

    :raises BackupError: if it cannot be read or trusted
    """
    size = container.size
    trailer = _read_at(container, size - manifests.TRAILER, manifests.TRAILER)
    length = manifests.length_before(trailer)
    start = size - manifests.TRAILER - length
    body = _read_at(container, start, length)
    manifest = manifests.read(body, trailer)
    frame = _SKIPPED + (length + manifests.TRAILER).to_bytes(4, "little")
    if _read_at(container, start - len(frame), len(frame)) != frame or manifest.packed != start - len(frame):
        raise Damaged(
            "", "the manifest is not where it says that it is: it belongs to another backup, or bytes are gone"
        )
    return Ending(manifest, _signature(manifest, body, trailer, keys, unsigned))


def _signature(manifest: Manifest, body: bytearray, trailer: bytearray, keys: Keyring, unsigned: bool) -> str:
    signer = manifest.signed_by
    if signer is None:
        if keys.has_key and not unsigned:
            raise NotSigned
        return "not signed"
    try:
        key = keys.find(signer.key_id, signer.stretch)
    except KeyNeeded:
        if keys.has_key:
            raise
        return f"signed with the key {signer.key_id}, which is not set here: not looked at"
    if not manifests.is_signed_with(body, trailer, signing_key(key)):
        raise Damaged("", "its signature is not that of the key that it names")
    return f"signed with the key {signer.key_id}"


def _read_at(container: Container, offset: int, count: int) -> bytearray:
    """Exactly ``count`` bytes."""
    if offset < 0:
        raise Damaged("", "it was cut off, or it is none")
    found = bytearray()
    while len(found) < count:
        piece = container.read_at(offset + len(found), min(CHUNK, count - len(found)))
        if not piece:
            raise Damaged("", "it was cut off")
        found += piece
    return found


# -- the files ----------------------------------------------------------------------------------------

Receive: TypeAlias = Callable[[File, Iterator[memoryview]], object]
"""Is given a file and its contents, piece by piece; it must read all of them, and each before the next."""

Fault: TypeAlias = Callable[[str, str], object]
"""Told of a file whose contents are not what the manifest says, and what is wrong."""


class _Region:
    """The packed bytes as the decompressor reads them, hashed as they pass."""

    def __init__(self, container: Container, size: int) -> None:
        self._container, self._size, self._at = container, size, 0
        self._hash = hashlib.sha256()

    def read(self, count: int = -1) -> bytes:
        left = self._size - self._at
        piece = self._container.read_at(self._at, min(left, count if count >= 0 else CHUNK))
        self._hash.update(piece)
        self._at += len(piece)
        return piece

    def digest(self) -> str:
        """Of all of it, also of what nobody has read yet."""
        while self.read(CHUNK):
            pass
        return self._hash.hexdigest() if self._at == self._size else ""


class Unpacker:
    """Reads the files of a backup in the order in which its manifest lists them.

    :param step: told, after each piece, how many bytes it had; what it raises ends the reading
    """

    def __init__(self, container: Container, manifest: Manifest, step: Callable[[int], object]) -> None:
        from zstandard import ZstdDecompressor

        self._region = _Region(container, manifest.packed)
        decompressor = ZstdDecompressor(max_window_size=_WINDOW)
        self._stream = decompressor.stream_reader(
            cast(IO[bytes], self._region), read_size=CHUNK, read_across_frames=True
        )
        self._manifest, self._step = manifest, step
        self._buffer = memoryview(bytearray(CHUNK))
        self._doing = ""

    def run(self, receive: Receive, fault: Fault) -> None:
        """Hand every file to ``receive``.

        :raises Damaged: where it cannot go on, naming the file
        """
        for file in self._manifest.files:
            self._doing = file.name
            self._expect(tape.header(file.name, file.size, file.mode, int(self._manifest.made_at)))
            digest = hashlib.sha256()
            receive(file, self._contents(file.size, digest.update))
            if digest.hexdigest() != file.sha256:
                fault(file.name, "its contents are not what its SHA-256 says")
            self._expect(tape.padding(file.size))
        self._doing = ""
        self._expect(tape.END)
        if self._read(1):
            raise Damaged("", "something stands behind its last file")
        if self._region.digest() != self._manifest.packed_sha256:
            fault("", "what was packed is not what its SHA-256 says")

    def _contents(self, size: int, update: Callable[[memoryview], object]) -> Iterator[memoryview]:
        while size:
            piece = self._read(min(size, CHUNK))
            if not piece:
                raise Damaged(self._doing, "it was cut off")
            update(piece)
            yield piece
            size -= len(piece)
            self._step(len(piece))

    def _expect(self, wanted: bytes) -> None:
        found = bytearray()
        while len(found) < len(wanted):
            piece = self._read(min(len(wanted) - len(found), CHUNK))
            if not piece:
                raise Damaged(self._doing, "it is missing, and all that comes after it")
            found += piece
        if found != wanted:
            text = tape.described(bytes(found[: tape.BLOCK])) if len(found) >= tape.BLOCK else "something else"
            raise Damaged(self._doing, f"it is not where the manifest says: {text} stands there")

    def _read(self, count: int) -> memoryview:
        from zstandard import ZstdError

        try:
            return self._buffer[: self._stream.readinto(self._buffer[:count])]
        except ZstdError as error:
            raise Damaged(self._doing, f"from here on it cannot be unpacked ({error})") from None
        except Damaged as error:  # from what is sealed, where no names are known
            raise Damaged(self._doing, error.problem) from None
