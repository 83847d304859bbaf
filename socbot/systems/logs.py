"""The log as its owner sees it: its end, what is in it, what it says most, and what may be changed of it."""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime, tzinfo
from functools import partial
from typing import TypeVar, get_args

import anyio
import anyio.to_thread
from msgspec import Struct
from msgspec.structs import replace

from socbot.config import Level, LogsConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.errors import InvalidArgument, UserError
from socbot.jobs.job import Job
from socbot.jobs.schedules import Every
from socbot.logs import LogWriter, patterns, reading
from socbot.logs.entries import Wanted, those_wanted
from socbot.logs.reading import Counts, Found, Packed
from socbot.logs.writer import Follower
from socbot.storage.database import Database
from socbot.systems import log_templates
from socbot.systems.log_templates import Burst, Template, Templates
from socbot.tracebacks import Redact

T = TypeVar("T")

LEVELS: tuple[str, ...] = get_args(Level)

EXPORT_LIMIT = 8 * 1024 * 1024
"""Bytes of an exported log, so that it fits where no more than 10 MiB may be sent."""

MOST_EXPORTED = 64 * 1024 * 1024
"""Bytes of the log that are looked through for an export, or for statistics."""

MOST_FOUND = 100
LONGEST_QUERY = 200

_SEARCH_SECONDS = 10.0
_LIST_SECONDS = 1.0
_WRITER_SECONDS = 10.0
_LEARN_INTERVAL = 30.0
_SHOWN_TEMPLATES = 10
_DAY = 86_400.0


class NoLogFile(UserError):
    """There is no log: the bot runs one command, or in a program that logs by itself."""

    def __init__(self) -> None:
        super().__init__(
            "There is no log file here: `socbot run` writes one; a single command, and a bot that is a part of "
            "another program, do not. Look in that program's own log."
        )


class LogNotWritten(UserError):
    """The log's writer is held up, or its files cannot be used."""


class Said(Struct, frozen=True):
    """What the log says most, what it said for the first time in the last day, and what it suddenly says often."""

    commonest: tuple[Template, ...]
    new: tuple[Template, ...]
    bursting: tuple[Burst, ...]


class Statistics(Struct, frozen=True):
    """What the log holds and says.

    :param lost: lines that were never written since the start
    :param unheard: messages since the start that came too fast to be counted among the templates
    """

    counts: Counts
    lost: int
    unheard: int
    said: Said


class Logs:
    """Looks at the log that a writer writes, and changes how it is written.

    Everything but ``configure`` raises ``NoLogFile`` until a writer is attached.
    """

    def __init__(self, database: Database, clock: Clock, config: LogsConfig, redact: Redact, zone: tzinfo) -> None:
        self._database, self._clock, self._config = database, clock, config
        self._redact, self.zone = redact, zone
        self._attached: LogWriter | None = None
        self._templates: Templates | None = None
        self._learning = anyio.Lock()

    def attach(self, writer: LogWriter) -> None:
        """Have ``writer`` do as the configuration in force says, which may be another than it began with."""
        self._attached = writer
        writer.hears = True
        writer.configure(self._config)

    def configure(self, config: LogsConfig) -> None:
        self._config = config
        if self._attached is not None:
            self._attached.configure(config)

    def names(self) -> list[str]:
        """What can be given a level: all together, and each logger that there is."""
        return [*LEVELS, *sorted(logging.root.manager.loggerDict)]

    @property
    def is_written(self) -> bool:
        """Whether there is a log to look at."""
        return self._attached is not None

    @property
    def lost(self) -> int:
        """How many lines were never written since the start; 0 where there is no log."""
        return 0 if self._attached is None else self._attached.lost

    def check(self) -> None:
        """:raises NoLogFile: if there is none"""
        if not self.is_written:
            raise NoLogFile

    def jobs(self) -> tuple[Job, ...]:
        return (
            Job("log_templates", self.learn, Every(_LEARN_INTERVAL), "finds out what the log says again and again"),
        )

    async def last(self, count: int) -> tuple[str, ...]:
        """The last lines, oldest first."""
        writer = await self._written()
        return await _reading(lambda: tuple(map(self._redact_line, reading.last_lines(writer.path, count))))

    async def listed(self, wanted: Wanted, count: int) -> Found:
        """The last lines that are wanted, newest first; those that are found within a second."""
        writer = await self._written()

        def look() -> Found:
            found = reading.search(writer.path, partial(those_wanted, wanted), count, _LIST_SECONDS, count=False)
            return replace(found, lines=tuple(map(self._redact_line, found.lines)))

        return await _reading(look)

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Have ``follower`` called with each line from now on, until what is returned is called; on any thread.

        See ``LogWriter.follow``.
        """
        return self._writer.follow(follower)

    async def search(self, query: str) -> Found:
        """Lines that have ``query`` in them; between two ``/`` it is a regular expression.

        :raises InvalidArgument: if it cannot be looked for
        """
        matches = await anyio.to_thread.run_sync(_matches, query)
        writer = await self._written()

        def look() -> Found:
            found = reading.search(writer.path, matches, MOST_FOUND, _SEARCH_SECONDS)
            return replace(found, lines=tuple(map(self._redact_line, found.lines)))

        return await _reading(look)

    async def export(self) -> Packed:
        """All that is in the log and its copies, or the newest of it."""
        writer = await self._written()
        work = partial(reading.packed, writer.path, self._redact_line, EXPORT_LIMIT, MOST_EXPORTED)
        return await _reading(work)

    async def clear(self) -> list[str]:
        """Let the log begin anew; the names under which all former contents are kept beside it, newest first."""
        writer = self._writer
        stem = f"{writer.path.stem}_{self._stamp()}"
        try:
            return await _done(writer.set_aside(self._free(stem, writer)))
        except OSError as error:
            raise LogNotWritten(f"The log could not be set aside: {error.strerror}.") from error

    async def statistics(self) -> Statistics:
        writer = await self._written()
        await self._learn(writer)
        counts = await _reading(partial(reading.counts, writer.path, _hour_of, MOST_EXPORTED))
        return Statistics(counts, writer.lost, writer.unheard, await self.said())

    async def said(self) -> Said:
        """What the log says most, newly, and suddenly often, as it was last found out."""
        if self._templates is None:
            await self._learn(self._writer)
        now = self._clock.time()
        async with self._learning:  # nobody else reads or changes them meanwhile
            templates = self._templates
            assert templates is not None
            return Said(
                tuple(templates.commonest(_SHOWN_TEMPLATES)),
                tuple(templates.new(now - _DAY, _SHOWN_TEMPLATES)),
                tuple(templates.bursting(now, _SHOWN_TEMPLATES)),
            )

    async def learn(self) -> None:
        """Take in what was logged since the last time, and write down what is said in it."""
        if self._attached is not None:
            await self._learn(self._attached)

    async def _learn(self, writer: LogWriter) -> None:
        async with self._learning:
            templates = self._templates = self._templates or await self._known()
            said = [writer.heard.popleft() for _ in range(len(writer.heard))]
            await anyio.to_thread.run_sync(templates.learn, said)
            changed, now = templates.unsaved(), self._clock.time()
            if changed:
                await self._database.write(lambda connection: log_templates.write(connection, changed, now))
                log_templates.saved(changed)

    async def _known(self) -> Templates:
        rows = await self._database.read(log_templates.read)
        return await anyio.to_thread.run_sync(Templates, rows)

    @property
    def _writer(self) -> LogWriter:
        if self._attached is None:
            raise NoLogFile
        return self._attached

    async def _written(self) -> LogWriter:
        """The writer, once it has written what was logged up to now."""
        writer = self._writer
        await _done(writer.flushed())
        return writer

    def _redact_line(self, line: str) -> str:
        return self._redact(line, 65_536)  # the older bot's lines, and those of before a secret was known, hold them

    def _stamp(self) -> str:
        return f"{datetime.fromtimestamp(self._clock.time(), self.zone):%Y%m%d_%H%M%S}"

    def _free(self, stem: str, writer: LogWriter) -> str:
        suffix, number, name = writer.path.suffix, 1, f"{stem}{writer.path.suffix}"
        while writer.path.with_name(name).exists():
            number += 1
            name = f"{stem}_{number}{suffix}"
        return name


def _hour_of(moment: float) -> str:
    """As the lines of text have it: in the machine's own zone, like the older bot's."""
    return f"{datetime.fromtimestamp(moment):%Y-%m-%d %H}"


def _matches(query: str) -> reading.Matches:
    if len(query) > LONGEST_QUERY:
        raise InvalidArgument("query", query, f"a text or a pattern of at most {LONGEST_QUERY} characters")
    if len(query) < 3 or not (query.startswith("/") and query.endswith("/")):
        return patterns.text(query)
    try:
        return patterns.pattern(query[1:-1])
    except patterns.BadPattern as error:
        raise InvalidArgument("query", query, f"a regular expression that can be used: {error}") from None


async def _reading(work: Callable[[], T]) -> T:
    try:
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
    except OSError as error:
        raise LogNotWritten(f"The log cannot be read: {error.strerror or error}.") from error


async def _done(future: "Future[T]") -> T:
    """What the writer made of an order."""
    try:
        return await anyio.to_thread.run_sync(future.result, _WRITER_SECONDS, abandon_on_cancel=True)
    except TimeoutError as error:
        raise LogNotWritten(
            f"The log's writer is held up: its disk did not answer within {_WRITER_SECONDS:g} s."
        ) from error
