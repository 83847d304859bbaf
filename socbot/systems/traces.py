"""Traces: the way that each of the last commands took through the chain, for as long as anybody may ask."""

from collections.abc import Awaitable, Callable, Sequence

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
    """What is kept of a trace beside its columns: what it is made of, which is put into words when it is read."""

    stages: tuple[tuple[str, Kind, Mode], ...]
    generation: int
    times: list[float]
    refused_by: str | None
    reason: str
    error_id: str | None
    seconds: float
    notes: list[tuple[str, str]]
    verdicts: dict[int, Verdict]
    faults: dict[int, str]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


class Traces:
    """The last traces: at most ``max_traces`` and a tenth more, for ``trace_retention_days``.

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
        packer = _Packer(())
        rows: list[dict[str, object]] = []
        for outcome in outcomes:
            trace = outcome.trace
            if trace is None:
                continue
            if trace.stages is not packer.stages:
                packer = _Packer(trace.stages)
            message = outcome.message
            rows.append(
                {
                    "trace_id": trace.id,
                    "at": trace.at,
                    "platform": message.platform,
                    "subject": self._pseudonyms.of((message.platform, message.author.id)),
                    "guild": storable(message.guild) if message.guild else "",
                    "command": outcome.command or "",
                    "status": outcome.status,
                    "steps": packer.pack(outcome, trace),
                }
            )
        if not rows:
            return
        connection.execute_many(_INSERT, rows)
        self._since_trimmed += len(rows)
        if self._since_trimmed > self._config.max_traces // 10:
            self._since_trimmed = 0
            self._trim(connection)

    async def find(self, key: str) -> TraceRecord | None:
        """The trace of that trace id or error id, in any case; None if there is none, or no longer."""
        await self._flush()
        key = storable(key.strip().upper(), 40)
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
            "DELETE FROM traces WHERE at <= (SELECT at FROM traces ORDER BY at DESC LIMIT 1 OFFSET :kept)",
            {"kept": self._config.max_traces},
        )


_INSERT = (
    "INSERT INTO traces (trace_id, at, platform, subject, guild, command, status, steps)"
    " VALUES (:trace_id, :at, :platform, :subject, :guild, :command, :status, :steps)"
    " ON CONFLICT (trace_id) DO NOTHING"
)


class _Packer:
    """Packs traces of one order of the chain, which is packed once."""

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        self.stages = stages
        self._packed = msgspec.Raw(_encode([(stage.name, stage.kind, stage.mode) for stage in stages]))

    def pack(self, outcome: Outcome, trace: Trace) -> bytes:
        notes, verdicts, faults = trace.remarks
        reason = outcome.reason
        return _encode(
            (
                self._packed,
                trace.generation,
                trace.times,
                outcome.refused_by,
                storable(reason, _NOTE_LIMIT) if reason else "",
                outcome.error_id,
                outcome.seconds,
                [(name, storable(describe(fact), _NOTE_LIMIT)) for name, fact in notes],
                verdicts,
                {position: storable(fault, _NOTE_LIMIT) for position, fault in faults.items()},
            )
        )


def _unpacked(packed: _Packed, at: float) -> Trace:
    trace = Trace(tuple(Stage(*stage) for stage in packed.stages), packed.generation, "", 0, at)
    trace.times = packed.times
    for name, note in packed.notes:
        trace.note(name, note)
    for position, verdict in packed.verdicts.items():
        trace.judge(position, verdict)
    for position, fault in packed.faults.items():
        trace.blame(position, fault)
    return trace


def _find(connection: Connection, key: str) -> TraceRecord | None:
    rows = connection.execute(
        "SELECT trace_id, at, platform, subject, guild, command, status, steps FROM traces WHERE trace_id = :key"
        " OR trace_id IN (SELECT trace_id FROM errors WHERE error_id = :key)",
        {"key": key},
    )
    if not rows:
        return None
    trace_id, at, platform, subject, guild, command, status, packed = rows[0]
    rest = _decode(packed)
    trace = _unpacked(rest, at)
    return TraceRecord(
        trace_id,
        at,
        platform,
        subject,
        guild,
        command,
        status,
        rest.generation,
        rest.refused_by or "",
        rest.reason,
        rest.error_id or "",
        rest.seconds,
        trace.handler_seconds if trace.handler_reached else None,
        trace.steps,
    )
