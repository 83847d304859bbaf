"""Traces: the way that each of the last commands took through the chain, for as long as anybody may ask."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from msgspec import Struct

from socbot.config import AnalyticsConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.messages import Identity
from socbot.dispatch.outcomes import Mode, Outcome, Step, Trace, Verdict
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


class _Step(Struct, array_like=True):
    """A step without its position, which is its place."""

    name: str
    mode: Mode
    verdict: Verdict
    note: str
    seconds: float
    own_seconds: float
    fault: str


class _Packed(Struct, array_like=True):
    """What is kept of a trace beside its columns."""

    generation: int
    refused_by: str
    reason: str
    error_id: str
    seconds: float
    handler_seconds: float | None
    steps: list[_Step]


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
        rows = [_row(outcome, trace, self._pseudonyms) for outcome in outcomes if (trace := outcome.trace) is not None]
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


def _row(outcome: Outcome, trace: Trace, pseudonyms: Pseudonyms) -> dict[str, object]:
    message = outcome.message
    return {
        "trace_id": trace.id,
        "at": trace.at,
        "platform": message.platform,
        "subject": pseudonyms.of((message.platform, message.author.id)),
        "guild": storable(message.guild or ""),
        "command": outcome.command or "",
        "status": outcome.status,
        "steps": _pack(outcome, trace),
    }


def _pack(outcome: Outcome, trace: Trace) -> bytes:
    steps = [
        _Step(
            step.name,
            step.mode,
            step.verdict,
            storable(step.note, _NOTE_LIMIT),
            step.seconds,
            step.own_seconds,
            storable(step.fault, _NOTE_LIMIT),
        )
        for step in trace.steps
    ]
    return _encode(
        _Packed(
            trace.generation,
            outcome.refused_by or "",
            storable(outcome.reason or "", _NOTE_LIMIT),
            outcome.error_id or "",
            outcome.seconds,
            trace.handler_seconds if trace.handler_reached else None,
            steps,
        )
    )


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
    return TraceRecord(
        trace_id,
        at,
        platform,
        subject,
        guild,
        command,
        status,
        rest.generation,
        rest.refused_by,
        rest.reason,
        rest.error_id,
        rest.seconds,
        rest.handler_seconds,
        tuple(
            Step(step.name, position, step.mode, step.verdict, step.note, step.seconds, step.own_seconds, step.fault)
            for position, step in enumerate(rest.steps)
        ),
    )
