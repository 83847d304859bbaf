"""The thread that writes the log: whoever logs waits for no disk and gets no error of one."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from types import TracebackType
from typing import TypeAlias, TypeVar

from socbot.config import LogsConfig
from socbot.logs.events import Event
from socbot.logs.files import RotatingFile
from socbot.logs.levels import Levels
from socbot.logs.lines import Heard, Lines
from socbot.tracebacks import Redact

T = TypeVar("T")

MOST_WAITING = 32 * 1024 * 1024
"""Characters that may wait for a disk which does not keep up; lines beyond it are dropped and counted."""

_BATCH = 1_000
_MEGABYTE = 1024 * 1024
_HEARD = 20_000

_Order: TypeAlias = Callable[[], None]

Follower: TypeAlias = Callable[[str], None]
"""Is told each line as it is written, without its end and without secrets."""


class LogWriter:
    """Writes events to a file that is replaced when it is full.

    :ivar lost: lines that were never written
    :ivar heard: the last messages, for whoever takes them from its left end; none unless ``hears`` is set
    :ivar unheard: how many were pushed out of ``heard`` before anybody took them
    """

    def __init__(self, config: LogsConfig, redact: Redact) -> None:
        self.redact = redact
        self.path = Path(config.file)
        self.levels = Levels()
        self._lines = Lines(redact, config.format, self._hear)
        self._file = RotatingFile(self.path, config.max_megabytes * _MEGABYTE, config.copies)
        self._queue: SimpleQueue[Event | _Order | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="logs", daemon=True)
        self._accepted = self._written = 0  # characters; each is changed by one side only, but for rare rounding
        self._untold = 0
        self._last_at = 0.0
        self.lost = 0
        self.hears = False
        self.heard: deque[Heard] = deque(maxlen=_HEARD)
        self.unheard = 0
        self._followers: tuple[Follower, ...] = ()
        self._following = Lock()

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

    def add(self, event: Event) -> None:
        """Take ``event`` to be written; called on any thread."""
        if self._accepted - self._written > MOST_WAITING:
            self.lose()
            return
        self._accepted += event.size
        self._queue.put(event)

    def lose(self, count: int = 1) -> None:
        """Count lines that are not going to be written."""
        self.lost += count
        self._untold += count

    def configure(self, config: LogsConfig) -> None:
        """Put all but the file in force: what was logged before is still written as it was to be."""

        def change() -> None:
            self._lines = Lines(self.redact, config.format, self._hear)
            self._file.limit, self._file.copies = config.max_megabytes * _MEGABYTE, config.copies

        self.levels.apply(config)
        self._queue.put(change)

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Have ``follower`` called with each line from now on, until what is returned is called; on any thread.

        It is called on the thread that writes, which waits for it: it has to be quick. Whoever logs waits for nothing.
        """
        with self._following:
            self._followers = (*self._followers, follower)

        return lambda: self._leave(follower)

    def _leave(self, follower: Follower) -> None:
        with self._following:
            self._followers = tuple(each for each in self._followers if each is not follower)

    def set_aside(self, name: str) -> "Future[list[str]]":
        """Have the log begin anew, its former contents kept under ``name``; see ``RotatingFile.set_aside``."""
        return self._do(lambda: self._file.set_aside(name))

    def flushed(self) -> "Future[None]":
        """Done once everything that was logged before is in the file, or lost."""
        return self._do(lambda: None)

    def _do(self, work: Callable[[], T]) -> "Future[T]":
        """Have ``work`` done between two lines, on the thread that writes."""
        done: Future[T] = Future()

        def order() -> None:
            try:
                done.set_result(work())
            except Exception as error:  # it is for whoever waits, and the thread has to live
                done.set_exception(error)

        if self._thread.is_alive():
            self._queue.put(order)
        else:
            done.set_exception(RuntimeError("the log is closed"))
        return done

    def _run(self) -> None:
        following: _Order | None = _nothing
        while following is not None:
            batch, following = self._next()
            self._write(batch)
            if following is not None:
                following()

    def _next(self) -> tuple[list[Event], _Order | None]:
        """What waits, once anything does, and what is to be done after it; None is the end."""
        batch: list[Event] = []
        while True:
            item = self._queue.get()
            if not isinstance(item, Event):
                return batch, item
            batch.append(item)
            if len(batch) == _BATCH or self._queue.empty():
                return batch, _nothing

    def _write(self, batch: list[Event]) -> None:
        lines = [line for event in batch if (line := self._line(event))]
        self.lose(self._file.write(lines))
        if self._untold:
            self._tell_loss(batch)
        self._written += sum(event.size for event in batch)

    def _line(self, event: Event) -> bytes:
        try:
            line = self._lines(event)
            written = line.encode() + b"\n"
        except Exception:  # this thread has nobody to tell, and must live to write the next line
            self.lose()
            return b""
        for follower in self._followers:
            try:
                follower(line)
            except Exception:  # the line is written all the same
                self._leave(follower)
        return written

    def _tell_loss(self, batch: list[Event]) -> None:
        untold = self._untold
        self._last_at = batch[-1].at if batch else self._last_at
        line = self._line(Event("socbot.logs", "ERROR", self._last_at, f"{untold} log lines were lost"))
        if line and not self._file.write([line]):
            self._untold -= untold

    def _hear(self, heard: Heard) -> None:
        if self.hears:
            self.unheard += len(self.heard) == _HEARD
            self.heard.append(heard)


def _nothing() -> None:
    pass
