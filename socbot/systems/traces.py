"""Traces: the way that each of the last commands took through the chain, for as long as anybody may ask."""

import re
from collections.abc import Awaitable, Callable, Container, Sequence

import msgspec
from msgspec import Struct

from socbot.config import AnalyticsConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.errors import describe
from socbot.dispatch.messages import Identity
from socbot.dispatch.outcomes import Kind, Mode, Outcome, Stage, Step, Trace, Verdict
from socbot.jobs.job import Job
from socbot.jobs.schedules import Every
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.systems.identities import Pseudonyms, storable

_DAY = 86_400.0
_NOTE_LIMIT = 300
_MOST_IN_ROW = 1_000  # a row holds the traces of one flush: a row for each would cost more than all the rest
_ID = re.compile(r"[A-Z0-9-]{1,40}", re.ASCII)


class TraceRecord(Struct, frozen=True):
    """One command's way, as it was stored.

    :param subject: the person's id, or the pseudonym
    :param command: empty where none was found
    :param refused_by: who refused, if it was refused
    :param seconds: the whole dispatch
    :param handler_seconds: the handler alone; None if it was not reached
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


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Packed]).decode


class Traces:
    """The last traces: at most ``max_traces`` and a fifth more, for ``trace_retention_days``.

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

    def configure(self, config: AnalyticsConfig) -> None:
        self._config = config

    def jobs(self) -> tuple[Job, ...]:
        return (Job("trace_retention", self.forget_old, Every(3600.0), "forgets traces that are too old or too many"),)

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
        return await self._database.read(lambda connection: _find(connection, key))

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
    """Delete the traces of one person, by any of the names in ``subjects``; the result is how many."""
    erased, last = 0, 0
    while rows := connection.execute(
        "SELECT id, packed FROM traces WHERE id > :last ORDER BY id LIMIT 50", {"last": last}
    ):
        for last, packed in rows:
            traces = _decode(packed)
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


def _find(connection: Connection, key: str) -> TraceRecord | None:
    """``key`` is in capitals, and has nothing in it that means something to LIKE."""
    for (trace_id,) in connection.execute("SELECT trace_id FROM errors WHERE error_id = :key", {"key": key}):
        key = trace_id
    for (packed,) in connection.execute("SELECT packed FROM traces WHERE ids LIKE :key", {"key": f"% {key} %"}):
        for each in _decode(packed):
            if each.trace_id == key:
                return _record(each)
    return None


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
