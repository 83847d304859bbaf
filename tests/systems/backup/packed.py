"""Backups to try things on: honest ones, and ones forged by hand."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import zstandard
from msgspec import structs

from socbot.storage.migrations import HEAD
from socbot.storage.snapshots import Moment, Source
from socbot.systems.backup import tape
from socbot.systems.backup.archive import write_archive
from socbot.systems.backup.keys import Keyring, Signer, key_id, signing_key
from socbot.systems.backup.manifest import File, Info, Manifest, written
from socbot.systems.backup.unpacking import frame_of

MADE_AT = 1_764_000_000
INFO = Info("manual", float(MADE_AT), "0.1.0", "a" * 64)
KEY = bytes(range(32))

HONEST = {
    "files/config.yaml": b"bot:\n  prefix: '!'\n" * 20,
    "files/notes/a.txt": Random(7).randbytes(3_000),
    "files/notes/empty.txt": b"",
    "store/other.bin": Random(8).randbytes(5_000) + bytes(5_000),
}


def keyring(current: bytes | str | None = None, *old: bytes | str, seed: int = 1) -> Keyring:
    return Keyring(current, old, Random(seed).randbytes)


def pack(
    target: Path, files: Mapping[str, bytes] = HONEST, keys: Keyring | None = None, *, seal: bool = False
) -> Manifest:
    """An honest backup of what is in memory."""
    sources = (Source(name, content=content) for name, content in files.items())
    now = Moment("sqlite", "pages", HEAD, sum(map(len, files.values())), sources)
    return write_archive(target, INFO, now, keys=keys or keyring(), seal=seal)


def listed(files: Iterable[tuple[str, bytes]]) -> tuple[File, ...]:
    return tuple(File(name, len(data), 0o600, hashlib.sha256(data).hexdigest()) for name, data in files)


def taped(files: Iterable[tuple[str, bytes]]) -> bytes:
    """The files as tar has them, with its end."""
    pieces = (tape.header(name, len(data), 0o600, MADE_AT) + data + tape.padding(len(data)) for name, data in files)
    return b"".join(pieces) + tape.END


def manifest_of(files: tuple[File, ...], packed: bytes) -> Manifest:
    return Manifest(
        1, "manual", float(MADE_AT), "0.1.0", "sqlite", "pages", HEAD, files, len(packed),
        hashlib.sha256(packed).hexdigest(),
    )  # fmt: skip


def forge(
    target: Path,
    files: tuple[File, ...],
    tar: bytes,
    *,
    key: bytes | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """A backup that says of itself what it likes, with hashes that fit."""
    packed = zstandard.ZstdCompressor(level=3, write_checksum=True).compress(tar)
    manifest = structs.replace(manifest_of(files, packed), **(changes or {}))
    signature = None
    if key:
        manifest = structs.replace(manifest, signed_by=Signer(key_id(key)))
        signature = signing_key(key)
    target.write_bytes(packed + frame_of(written(manifest, signature)))
    return target


def forge_text(target: Path, packed: bytes, body: bytes) -> Path:
    """A backup whose manifest is that text, with a trailer that fits."""
    digest = hashlib.sha256(body + bytes(32)).digest()
    end = digest + bytes(32) + len(body).to_bytes(4, "little") + bytes(4) + b"socbot\x00\x01"
    target.write_bytes(packed + frame_of(body + end))
    return target


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder``."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
