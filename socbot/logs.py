"""The log of a running bot: one line an event, without secrets, written by a thread of its own.

Whoever logs waits for no disk and gets no error of one.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Literal, TypeAlias

from socbot.config import LogsConfig
from socbot.dispatch.replies import printable
from socbot.tracebacks import Redact, describe

MOST_WAITING = 32 * 1024 * 1024
"""Characters that may wait for a disk which does not keep up; lines beyond it are dropped and counted."""

_MESSAGE = 16_384
_BATCH = 1_000
_MEGABYTE = 1024 * 1024

_Format: TypeAlias = Callable[["_Event"], str]


@contextmanager
def logging_to(config: LogsConfig, redact: Redact) -> Iterator["LogWriter"]:
    """Have everything that is logged written to ``config.file`` while the block runs; all of it is there afterwards.

    :raises OSError: if the file cannot be opened
    """
    root = logging.getLogger()
    before = root.level
    with LogWriter(config, redact) as writer:
        handler = _Handler(writer)
        root.addHandler(handler)
        root.setLevel(config.level)
        try:
            yield writer
        finally:
            root.setLevel(before)
            root.removeHandler(handler)


class LogWriter:
    """Writes events to a file that is replaced when it is full.

    :ivar lost: lines that were never written
    """

    def __init__(self, config: LogsConfig, redact: Redact) -> None:
        self._format = _FORMATS[config.format]
        self.redact = redact
        self._file = RotatingFile(Path(config.file), config.max_megabytes * _MEGABYTE, config.copies)
        self._queue: SimpleQueue[_Event | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="logs", daemon=True)
        self._accepted = self._written = 0  # characters; each is changed by one side only, but for rare rounding
        self._untold = 0
        self._last_at = 0.0
        self.lost = 0

    def __enter__(self) -> "LogWriter":
        self._file.open()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._queue.put(None)
        self._thread.join()
        self._file.close()

    def add(self, event: "_Event") -> None:
        """Take ``event`` to be written; called on any thread."""
        if self._accepted - self._written > MOST_WAITING:
            self._lose(1)
            return
        self._accepted += event.size
        self._queue.put(event)

    def _run(self) -> None:
        ended = False
        while not ended:
            batch, ended = self._next()
            lines = [line for event in batch if (line := self._line(event))]
            self._lose(self._file.write(lines))
            if self._untold:
                self._tell_loss(batch)
            self._written += sum(event.size for event in batch)

    def _next(self) -> "tuple[list[_Event], bool]":
        """What waits, once anything does, and whether that is the end."""
        batch: list[_Event] = []
        event = self._queue.get()
        while event is not None:
            batch.append(event)
            if len(batch) == _BATCH or self._queue.empty():
                return batch, False
            event = self._queue.get()
        return batch, True

    def _line(self, event: "_Event") -> bytes:
        try:
            return self._format(event.redacted(self.redact)).encode() + b"\n"
        except Exception:  # this thread has nobody to tell, and must live to write the next line
            self._lose(1)
            return b""

    def _tell_loss(self, batch: "list[_Event]") -> None:
        untold = self._untold
        self._last_at = batch[-1].at if batch else self._last_at
        line = self._line(_Event(__name__, "ERROR", self._last_at, f"{untold} log lines were lost"))
        if line and not self._file.write([line]):
            self._untold -= untold

    def _lose(self, count: int) -> None:
        self.lost += count
        self._untold += count


class _Event:
    """Something that was logged; ``at`` in seconds since 1970."""

    __slots__ = ("at", "exception", "level", "message", "name")

    def __init__(self, name: str, level: str, at: float, message: str, exception: str = "") -> None:
        self.name, self.level, self.at, self.message, self.exception = name, level, at, message, exception

    @property
    def size(self) -> int:
        return len(self.message) + len(self.exception) + 200

    def redacted(self, redact: Redact) -> "_Event":
        return _Event(self.name, self.level, self.at, redact(self.message, _MESSAGE), self.exception)


def _as_text(event: _Event) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at))
    text = f"{event.message}\n{event.exception}" if event.exception else event.message
    return printable(f"{at} - {event.name} - {event.level} - {text}", keep="")


def _as_json(event: _Event) -> str:
    import json

    fields = {"time": event.at, "name": event.name, "level": event.level, "message": event.message}
    if event.exception:
        fields["exception"] = event.exception
    return json.dumps(fields)  # in ASCII, so that no character of it can pass for the end of a line


_FORMATS: dict[Literal["text", "json"], _Format] = {"text": _as_text, "json": _as_json}


class _Handler(logging.Handler):
    """Turns what is logged into events, on the thread that logs."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def createLock(self) -> None:
        """Nothing here is shared between threads but the queue."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        exception = _exception(record, self._writer.redact)
        self._writer.add(_Event(record.name, record.levelname, record.created, _message(record), exception))


# What is logged is anybody's code, and a line that cannot be made must break nothing: hence the wide nets.


def _exception(record: logging.LogRecord, redact: Redact) -> str:
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return redact(record.stack_info, _MESSAGE) if record.stack_info else ""
    try:
        return describe(error, redact)
    except Exception as broken:
        return f"{type(error).__name__} (it cannot be shown: {type(broken).__name__})"


def _message(record: logging.LogRecord) -> str:
    try:
        message = record.getMessage()
    except Exception as broken:
        return f"{record.module}:{record.lineno} logged what cannot be shown: {type(broken).__name__}"
    return message if len(message) <= 2 * _MESSAGE else message[: 2 * _MESSAGE] + "…"


class RotatingFile:
    """A file that begins anew when it is full; ``copies`` former ones are kept as ``.1``, ``.2`` and so on.

    A disk that is full, or a folder that nothing may be made in, costs lines and raises nothing.
    """

    def __init__(self, path: Path, limit: int, copies: int) -> None:
        self._path, self._limit, self._copies = path, limit, copies
        self._descriptor = -1
        self._size = 0
        self._is_torn = False

    def open(self) -> None:
        """:raises OSError: if it cannot be"""
        for folder in reversed([each for each in self._path.parents if not each.exists()]):
            folder.mkdir(mode=0o700)
            folder.chmod(0o700)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if os.name == "posix":
                os.fchmod(descriptor, 0o600)  # whatever the umask, and also what the older bot left
            self._size = os.fstat(descriptor).st_size
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def write(self, lines: list[bytes]) -> int:
        """Write ``lines``, and return how many of them could not be."""
        lost = 0
        pending: list[bytes] = []
        size = self._size
        for line in lines:
            if pending and size + len(line) > self._limit:
                lost += self._append(pending)
                pending, size = [], self._size
            if not pending and self._size and self._size + len(line) > self._limit:
                self._rotate()
                size = self._size
            pending.append(line)
            size += len(line)
        return lost + self._append(pending)

    def _append(self, lines: list[bytes]) -> int:
        mend = b"\n" if self._is_torn else b""
        content, written = mend + b"".join(lines), 0
        try:
            if self._descriptor < 0:
                self.open()
            while written < len(content):
                count = os.write(self._descriptor, content[written:])
                written += count
                self._size += count
        except OSError:
            whole = content[:written]
            if whole:
                self._is_torn = not whole.endswith(b"\n")
            return len(lines) - max(0, whole.count(b"\n") - len(mend))
        self._is_torn = False
        return 0

    def _rotate(self) -> None:
        """Make room; if that cannot be done, the file goes on growing: better a large log than none."""
        with suppress(OSError):
            for number in range(self._copies - 1, 0, -1):
                if self._copy(number).exists():
                    self._copy(number).replace(self._copy(number + 1))
            self._path.replace(self._copy(1))
        self.close()
        self._size = 0  # and if it cannot be opened now, the next line tries again
        with suppress(OSError):
            self.open()

    def _copy(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
