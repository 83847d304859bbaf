"""Writing a backup's file: what goes in is hashed, compressed and, if asked, sealed, as it is read."""

import hashlib
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from socbot.storage.snapshots import Source
from socbot.systems.backup import tape
from socbot.systems.backup.errors import Unreadable
from socbot.systems.backup.manifest import MOST_FILES, Digest, File, check_names

CHUNK: Final = 1024 * 1024
PIECE: Final = 128 * 1024
"""What is compressed at once where no other threads do it, in bytes: one of zstd's blocks. Only between two can it be
told to stop."""

THREADED: Final = 6
"""The highest level at which other threads compress: they cannot be stopped before they have done all they were
given, which is tens of megabytes, and above this level takes seconds."""

WHOLE: Final = 4 * 1024 * 1024
"""Files up to this size are read at once, and again if they changed meanwhile; bytes."""

LARGEST_DATABASE: Final = 64 * 1024 * 1024
"""A database of the operator's own is taken through memory, because nothing plain may be written; bytes."""

_TRIES: Final = 3
_COMPANIONS: Final = ("-wal", "-shm", "-journal")
_DATABASES: Final = (".db", ".sqlite", ".sqlite3", ".db3")


class Sink(Protocol):
    def write(self, data: bytes | memoryview, /) -> object: ...


class _Counted:
    """Passes on what it is given and knows how much that was, and its hash."""

    def __init__(self, sink: Sink) -> None:
        self._sink, self.hash, self.size = sink, hashlib.sha256(), 0

    def write(self, data: bytes) -> None:
        self.hash.update(data)
        self.size += len(data)
        self._sink.write(data)


class Packed(Struct, frozen=True):
    """What was written: bytes, and their SHA-256."""

    files: tuple[File, ...]
    size: int
    sha256: Digest


class Packer:
    """Writes sources, one after the other, to ``sink``.

    :param threads: how many compress, where that can be left to others
    :param moment: what the files are dated, seconds since 1970
    :param step: told, after each piece, how many bytes it had; what it raises ends the packing
    """

    def __init__(self, sink: Sink, level: int, threads: int, moment: int, step: Callable[[int], object]) -> None:
        from zstandard import ZstdCompressor

        self._sink = _Counted(sink)
        behind = threads if level <= THREADED else 0
        self._piece = CHUNK if behind else PIECE
        self._compressor = ZstdCompressor(level=level, threads=behind, write_checksum=True).compressobj()
        self._moment, self._step = moment, step
        self._files: list[File] = []

    def add(self, source: Source) -> None:
        """:raises Unreadable: if it cannot be read, or did not hold still"""
        check_names((source.name,))
        if len(self._files) == MOST_FILES:
            raise Unreadable(source.name, f"there are more than {MOST_FILES:,} files")
        if source.path is None:
            self._add(source.name, 0o600, len(source.content), iter((source.content,)))
            return
        with _opened(source.path) as file:
            before = os.fstat(file.fileno())
            if before.st_size <= WHOLE:
                content = _whole(file, source.path)
                chunks, size = iter((content,)), len(content)
            else:
                chunks, size = _chunks(file, source.path, before), before.st_size
            self._add(source.name, before.st_mode & 0o777, size, chunks)

    def finish(self) -> Packed:
        """:raises Damaged: if the names of the sources do not go together"""
        check_names(file.name for file in self._files)
        self._write(tape.END)
        self._sink.write(self._compressor.flush())
        return Packed(tuple(self._files), self._sink.size, self._sink.hash.hexdigest())

    def _add(self, name: str, mode: int, size: int, chunks: Iterator[bytes | memoryview]) -> None:
        self._write(tape.header(name, size, mode, self._moment))
        digest = hashlib.sha256()
        for piece in chain.from_iterable(map(self._pieces, chunks)):
            digest.update(piece)
            self._write(piece)
            self._step(len(piece))
        self._write(tape.padding(size))
        self._files.append(File(name, size, mode, digest.hexdigest()))

    def _pieces(self, chunk: bytes | memoryview) -> Iterator[memoryview]:
        view = memoryview(chunk)
        return (view[start : start + self._piece] for start in range(0, len(view), self._piece))

    def _write(self, data: bytes | memoryview) -> None:
        if packed := self._compressor.compress(data):
            self._sink.write(packed)


def held_still(files: Sequence[Source]) -> Iterator[Source]:
    """``files``, each SQLite database among them as it is at one moment, and without what is kept beside one.

    :raises Unreadable: naming a database that cannot be read
    """
    databases = {each.path for each in files if each.path is not None}
    for each in files:
        if each.path is None:
            yield each
        elif (content := database_in(each.path)) is not None:
            yield Source(each.name, content=content)
        elif _main_of(each.path) not in databases:
            yield each


def _main_of(path: Path) -> Path | None:
    """The database that ``path`` is beside, if it is called so: it is of another moment than that would be."""
    main, _, ending = path.name.rpartition("-")
    return path.with_name(main) if f"-{ending}" in _COMPANIONS and main else None


def database_in(path: Path) -> bytes | None:
    """What is in the SQLite database at ``path``, at one moment; None if it is none.

    It is not opened as a file is: closing that would let go of the locks that others in this process have on it.

    :raises Unreadable: if it is one, but cannot be read, or is larger than is held in memory
    """
    beside = any(path.with_name(path.name + ending).exists() for ending in _COMPANIONS)
    if not beside and path.suffix not in _DATABASES:
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            [(size,)] = connection.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
            if size > LARGEST_DATABASE:
                raise Unreadable(str(path), f"a database may have {LARGEST_DATABASE:,} bytes at most: export it")
            return connection.serialize() if size else None
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            return None
        raise Unreadable(str(path), f"it is a database that cannot be read ({error})") from None


def _opened(path: Path) -> FileIO:
    """The plain file at ``path``, and nothing that merely stands there: no link, pipe or device."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise Unreadable(str(path), "it is no plain file")
    except OSError as error:
        raise Unreadable(str(path), error.strerror or str(error)) from None
    return FileIO(descriptor)


def _whole(file: FileIO, path: Path) -> memoryview:
    """All of it, as it was at one moment."""
    for _ in range(_TRIES):
        before = os.fstat(file.fileno())
        file.seek(0)
        content = memoryview(bytearray(before.st_size + 1))
        count = _read_into(file, content, path)
        if _unchanged(before, os.fstat(file.fileno())) and count == before.st_size:
            return content[:count]
    raise Unreadable(str(path), "it changes all the time; back up a copy of it")


def _chunks(file: FileIO, path: Path, before: os.stat_result) -> Iterator[memoryview]:
    """As much as there was at the beginning: what was added meanwhile belongs to the next backup.

    Each piece is gone when the next is asked for.
    """
    left, buffer = before.st_size, memoryview(bytearray(CHUNK))
    while left:
        count = _read_into(file, buffer[: min(CHUNK, left)], path)
        if not count:
            raise Unreadable(str(path), "it became shorter while it was read")
        left -= count
        yield buffer[:count]
    after = os.fstat(file.fileno())
    if not _unchanged(before, after) and after.st_size <= before.st_size:
        raise Unreadable(str(path), "it was changed while it was read")


def _read_into(file: FileIO, buffer: memoryview, path: Path) -> int:
    try:
        return file.readinto(buffer)
    except OSError as error:
        raise Unreadable(str(path), error.strerror or str(error)) from None


def _unchanged(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
