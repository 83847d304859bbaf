"""Traces: the way that each of the last commands took through the chain, for as long as anybody may ask."""

import logging
import re
from collections.abc import Awaitable, Callable, Container, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from socbot.config import AnalyticsConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.errors import describe
from socbot.dispatch.messages import Identity
from socbot.dispatch.outcomes import Kind, Mode, Outcome, Stage, Step, Trace, Verdict
from socbot.documents import UNDECODABLE
from socbot.jobs.job import Job
from socbot.jobs.schedules import Every
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.systems.identities import Pseudonyms, storable

_DAY = 86_400.0
_NOTE_LIMIT = 300
_MOST_IN_ROW = 1_000  # a row holds the traces of one flush: a row for each would cost more than all the rest
_ID = re.compile(r"[A-Z0-9-]{1,40}", re.ASCII)
_PLACE = re.compile(r"(\d{1,18})-(\d{1,4})", re.ASCII)
_LOOKED_AT, _ROWS = 20_000, 5_000  # what one search reads at most: some 40 ms
_TOGETHER = 1_000  # traces that are read by one statement
_DAMAGE = (*UNDECODABLE, IndexError)  # a trace may also name a place in the chain that there is not

_log = logging.getLogger(__name__)


class TraceRecord(Struct, frozen=True):
    """One command's way, as it was stored.

    :param subject: the person's id, or the pseudonym
    :param command: empty where none was found
    :param refused_by: who refused, if it was refused
    :param seconds: the whole dispatch
    :param handler_seconds: the handler alone; None if it was not reached
    :param handler_entered: seconds after the outermost middleware was entered
    """

    trace_id: str
    at: float
    platform: str
    subject: str
    guild: str
    command: str
    status: str
    generation: int
    refused_by: str
    reason: str
    error_id: str
    seconds: float
    handler_seconds: float | None
    steps: tuple[Step, ...]
    handler_entered: float = 0.0


class Wanted(Struct, frozen=True):
    """Which traces are looked for; what is empty is not asked for.

    :param command: a command's own name
    :param middleware: who refused, would have refused, answered or broke: a middleware, or ``permission`` and the like
    :param person: who gave the command
    :param seconds: what the whole of it took at least
    """

    status: str = ""
    command: str = ""
    middleware: str = ""
    person: Identity | None = None
    seconds: float = 0.0


class Found(Struct, frozen=True):
    """Traces, newest first.

    :param older: from where to go on, for ``newest``; empty if there is nothing older
    :param looked_at: how many were looked at
    :param back_to: when the oldest of those was given, in seconds since 1970; None if there was none
    """

    traces: tuple[TraceRecord, ...]
    older: str
    looked_at: int
    back_to: float | None


class _Packed(Struct, array_like=True):
    """What is kept of a trace: what it is made of, which is put into words when it is read."""

    stages: tuple[tuple[str, Kind, Mode], ...]
    generation: int
    times: list[float]
    trace_id: str
    at: float
    platform: str
    subject: str
    guild: str
    command: str
    status: str
    refused_by: str | None
    reason: str
    error_id: str | None
    seconds: float
    notes: list[tuple[str, str]]
    verdicts: dict[int, Verdict]
    faults: dict[int, str]


class _Glance(Struct, array_like=True):
    """What of a trace tells whether it is wanted; the rest is left as it is, which takes a third of the time."""

    stages: msgspec.Raw
    generation: int
    times: msgspec.Raw
    trace_id: str
    at: float
    platform: str
    subject: str
    guild: str
    command: str
    status: str
    refused_by: str | None
    reason: msgspec.Raw
    error_id: msgspec.Raw
    seconds: float
    notes: msgspec.Raw
    verdicts: dict[int, Verdict]


_encode = msgspec.msgpack.Encoder().encode
_apart = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_glance = msgspec.msgpack.Decoder(_Glance).decode
_whole = msgspec.msgpack.Decoder(_Packed).decode
_stages_of = msgspec.msgpack.Decoder(list[tuple[str, str, str]]).decode
_decode = msgspec.msgpack.Decoder(list[_Packed]).decode


class Traces:
    """The last traces: at most ``max_traces`` and a fifth more, for ``trace_retention_days``.

    What is damaged in the store is left out, and told in the log.

    :param flush: writes what was recorded and is still in memory
    """

    def __init__(
        self,
        database: Database,
        flush: Callable[[], Awaitable[None]],
        clock: Clock,
        config: AnalyticsConfig,
        pseudonyms: Pseudonyms,
    ) -> None:
        self._database = database
        self._flush = flush
        self._clock = clock
        self._config = config
        self._pseudonyms = pseudonyms
        self._since_trimmed = 0
        self._damage = _Damage()

    def configure(self, config: AnalyticsConfig) -> None:
        self._config = config

    def jobs(self) -> tuple[Job, ...]:
        text = "forgets traces that are too old or too many"
        return (Job("trace_retention", self.forget_old, Every(3600.0), text, scope="fleet"),)

    def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> None:
        """Store the traces of ``outcomes``: a telemetry sink."""
        packer = _Packer((), self._pseudonyms)
        ids: list[str] = []
        packed: list[object] = []
        for outcome in outcomes:
            trace = outcome.trace
            if trace is None:
                continue
            if trace.stages is not packer.stages:
                packer = _Packer(trace.stages, self._pseudonyms)
            ids.append(trace.id)
            packed.append(packer.pack(outcome, trace, ids[-1]))
        if not ids:
            return
        size, now = min(_MOST_IN_ROW, self._config.max_traces // 10), self._clock.time()
        rows = [
            {"at": now} | _row(ids[start : start + size], packed[start : start + size])
            for start in range(0, len(ids), size)
        ]
        connection.execute_many("INSERT INTO traces (at, count, ids, packed) VALUES (:at, :count, :ids, :packed)", rows)
        self._since_trimmed += len(ids)
        if self._since_trimmed > self._config.max_traces // 10:
            self._since_trimmed = 0
            self._trim(connection)

    async def find(self, key: str) -> TraceRecord | None:
        """The trace of that trace id or error id, in any case; None if there is none, or no longer."""
        key = key.strip().upper()
        if not _ID.fullmatch(key):
            return None
        await self._flush()
        return await self._database.read(lambda connection: _find(connection, key, self._damage))

    async def newest(self, wanted: Wanted = Wanted(), count: int = 50, before: str = "") -> Found:  # noqa: B008 (frozen)
        """The newest traces that are ``wanted``, at most ``count``.

        It looks at a bounded number: where few are wanted it may find fewer, and ``older`` goes on.

        :param before: the ``older`` of what was found before
        :raises ValueError: if ``before`` is none
        """
        place = _PLACE.fullmatch(before) if before else None
        if before and place is None:
            raise ValueError(f"before: {before!r} is no place in the traces")
        row, position = (int(place[1]), int(place[2])) if place else (2**62, 0)
        search = _Search(wanted, self._subjects(wanted.person), count, self._damage)
        await self._flush()
        return await self._database.read(lambda connection: search.run(connection, row, position))

    def _subjects(self, person: Identity | None) -> tuple[str, ...]:
        return () if person is None else self._pseudonyms.all_of(person)

    def belongs_to(self, record: TraceRecord, identity: Identity) -> bool:
        """Whether ``identity`` gave the command."""
        return record.platform == identity[0] and record.subject in self._pseudonyms.all_of(identity)

    async def forget_old(self) -> None:
        """Delete what is older or more than is kept."""
        await self._database.write(self._trim)

    def _trim(self, connection: Connection) -> None:
        before = self._clock.time() - self._config.trace_retention_days * _DAY
        connection.change("DELETE FROM traces WHERE at < :before", {"before": before})
        connection.change(
            "DELETE FROM traces WHERE id <= (SELECT MAX(id) FROM"
            " (SELECT id, SUM(count) OVER (ORDER BY id DESC) - count AS newer FROM traces) AS sums"
            " WHERE newer >= :kept)",
            {"kept": self._config.max_traces},
        )


def erase(connection: Connection, platform: str, subjects: Container[str]) -> int:
    """Delete the traces of one person, by any of the names in ``subjects``; the result is how many.

    A row that is damaged goes too: nobody can tell that nothing in it is theirs.
    """
    erased, last = 0, 0
    while rows := connection.execute(
        "SELECT id, count, packed FROM traces WHERE id > :last ORDER BY id LIMIT 50", {"last": last}
    ):
        for last, count, packed in rows:
            try:
                traces = _decode(packed)
            except UNDECODABLE:
                erased += count
                _rewrite(connection, last, ())
                continue
            left = [each for each in traces if each.platform != platform or each.subject not in subjects]
            if len(left) < len(traces):
                erased += len(traces) - len(left)
                _rewrite(connection, last, left)
    return erased


def _rewrite(connection: Connection, row: int, traces: Sequence[_Packed]) -> None:
    if not traces:
        connection.change("DELETE FROM traces WHERE id = :id", {"id": row})
        return
    connection.change(
        "UPDATE traces SET count = :count, ids = :ids, packed = :packed WHERE id = :id",
        {"id": row} | _row([each.trace_id for each in traces], traces),
    )


def _row(ids: Sequence[str], packed: Sequence[object]) -> dict[str, object]:
    return {"count": len(ids), "ids": f" {' '.join(ids)} ", "packed": _encode(packed)}


class _Packer:
    """Packs traces of one order of the chain, which is packed once."""

    def __init__(self, stages: tuple[Stage, ...], pseudonyms: Pseudonyms) -> None:
        self.stages = stages
        self._packed = msgspec.Raw(_encode([(stage.name, stage.kind, stage.mode) for stage in stages]))
        self._pseudonyms = pseudonyms

    def pack(self, outcome: Outcome, trace: Trace, trace_id: str) -> tuple[object, ...]:
        """The fields of a ``_Packed``."""
        message, reason = outcome.message, outcome.reason
        notes, verdicts, faults = trace.remarks
        return (
            self._packed,
            trace.generation,
            trace.times,
            trace_id,
            trace.at,
            message.platform,
            self._pseudonyms.of(message.identity),
            storable(message.guild) if message.guild else "",
            outcome.command or "",
            outcome.status,
            outcome.refused_by,
            storable(reason, _NOTE_LIMIT) if reason else "",
            outcome.error_id,
            outcome.seconds,
            [(name, storable(describe(fact), _NOTE_LIMIT)) for name, fact in notes],
            verdicts,
            {position: storable(fault, _NOTE_LIMIT) for position, fault in faults.items()},
        )


class _Damage:
    """Says of each row once that there is something in it that cannot be read: searches come by again and again."""

    def __init__(self) -> None:
        self._rows: set[int] = set()

    def tell(self, row: int, error: Exception) -> None:
        if row not in self._rows:
            self._rows.add(row)
            _log.warning("a trace cannot be read, and is left out (row %d: %s)", row, error)


def _find(connection: Connection, key: str, damage: _Damage) -> TraceRecord | None:
    """``key`` is in capitals, and has nothing in it that means something to LIKE."""
    for (trace_id,) in connection.execute("SELECT trace_id FROM errors WHERE error_id = :key", {"key": key}):
        key = trace_id
    for row, packed in connection.execute("SELECT id, packed FROM traces WHERE ids LIKE :key", {"key": f"% {key} %"}):
        try:
            for each in _decode(packed):
                if each.trace_id == key:
                    return _record(each)
        except _DAMAGE as error:
            damage.tell(row, error)
    return None


class _Search:
    """A search through what is stored, from the newest on."""

    def __init__(self, wanted: Wanted, subjects: Container[str], count: int, damage: _Damage) -> None:
        self._wanted, self._subjects, self._count, self._damage = wanted, subjects, count, damage
        self._found: list[TraceRecord] = []
        self._looked_at = 0
        self._back_to: float | None = None

    def run(self, connection: Connection, row: int, position: int) -> Found:
        """Begin before ``position`` in ``row``; rows and positions are counted upwards with time."""
        last = ""
        for id, traces in self._stored(connection, row):
            for place in range(min(position, len(traces)) if id == row else len(traces), 0, -1):
                if len(self._found) == self._count or self._looked_at == _LOOKED_AT:
                    return self._ended(connection, last)
                last = f"{id}-{place - 1}"
                self._look_at(traces[place - 1], id)
        return self._ended(connection, last)

    def _stored(self, connection: Connection, row: int) -> Iterator[tuple[int, list[msgspec.Raw]]]:
        for id, packed in _stored(connection, row):
            try:
                yield id, _apart(packed)
            except _DAMAGE as error:
                self._damage.tell(id, error)

    def _look_at(self, packed: msgspec.Raw, row: int) -> None:
        self._looked_at += 1
        try:
            glance = _glance(packed)
            self._back_to = glance.at
            if self._is_wanted(glance):
                self._found.append(_record(_whole(packed)))
        except _DAMAGE as error:
            self._damage.tell(row, error)

    def _ended(self, connection: Connection, last: str) -> Found:
        older = last if last and _is_any_before(connection, last) else ""
        return Found(tuple(self._found), older, self._looked_at, self._back_to)

    def _is_wanted(self, glance: _Glance) -> bool:
        wanted = self._wanted
        if glance.seconds < wanted.seconds:
            return False
        if (wanted.status and glance.status != wanted.status) or (wanted.command and glance.command != wanted.command):
            return False
        if wanted.person is not None and (glance.platform != wanted.person[0] or glance.subject not in self._subjects):
            return False
        return not wanted.middleware or wanted.middleware in _acted(glance)


def _acted(glance: _Glance) -> Iterator[str]:
    """Who did anything but let the command pass."""
    if glance.refused_by:
        yield glance.refused_by
    if glance.verdicts:
        stages = _stages_of(glance.stages)
        yield from (stages[position][0] for position in glance.verdicts)


def _stored(connection: Connection, row: int) -> Iterator[tuple[Any, ...]]:
    """Rows of traces from ``row`` backwards, read a few at a time; as many as one search may look at."""
    rows = connection.execute(
        "SELECT id, count FROM traces WHERE id <= :row ORDER BY id DESC LIMIT :most", {"row": row, "most": _ROWS}
    )
    for some in _batches(rows):
        packed = connection.execute(
            "SELECT id, packed FROM traces WHERE id >= :last AND id <= :first ORDER BY id DESC",
            {"first": some[0][0], "last": some[-1][0]},
        )
        yield from packed


def _batches(rows: Sequence[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    some: list[tuple[Any, ...]] = []
    traces = 0
    for row in rows:
        if some and traces + row[1] > _TOGETHER:
            yield some
            some, traces = [], 0
        some.append(row)
        traces += row[1]
    if some:
        yield some


def _is_any_before(connection: Connection, place: str) -> bool:
    row, _, position = place.partition("-")
    if position != "0":
        return True
    return bool(connection.execute("SELECT 1 FROM traces WHERE id < :row LIMIT 1", {"row": int(row)}))


def _record(packed: _Packed) -> TraceRecord:
    trace = _unpacked(packed)
    return TraceRecord(
        packed.trace_id,
        packed.at,
        packed.platform,
        packed.subject,
        packed.guild,
        packed.command,
        packed.status,
        packed.generation,
        packed.refused_by or "",
        packed.reason,
        packed.error_id or "",
        packed.seconds,
        trace.handler_seconds if trace.handler_reached else None,
        trace.steps,
        trace.handler_entered if trace.handler_reached else 0.0,
    )


def _unpacked(packed: _Packed) -> Trace:
    trace = Trace(tuple(Stage(*stage) for stage in packed.stages), packed.generation, "", 0, packed.at)
    trace.times = packed.times
    trace.handler_reached = packed.times[-2] != 0.0
    for name, note in packed.notes:
        trace.note(name, note)
    for position, verdict in packed.verdicts.items():
        trace.judge(position, verdict)
    for position, fault in packed.faults.items():
        trace.blame(position, fault)
    return trace
