"""Signals: what the bot has to tell other systems, each written down with what is to be sent of it."""

import hashlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Literal, TypeAlias, TypedDict, Unpack

import msgspec
from msgspec import Struct, structs

from socbot.config import SignalsConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.replies import printable
from socbot.jobs.job import Job
from socbot.jobs.schedules import Every
from socbot.redaction import redact as redact_shapes
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.errors import decoding
from socbot.systems.identities import storable
from socbot.tracebacks import Redact

Kind: TypeAlias = Literal["error", "alert", "drill", "incident", "health", "backup", "job", "security", "test"]
"""What a signal is about: these are the triggers of webhooks too."""

Severity: TypeAlias = Literal["info", "warning", "critical"]

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
"""Least first."""

MOST_TITLE = 200
MOST_TEXT = 4_000
_MOST_FIELDS = 20
_MOST_FIELD = 1_000
_MOST_KEY = 200
_GUILD = "Guild"  # the name of the first field of a signal that belongs to a guild
_COLUMNS = "signal_id, kind, severity, title, text, at, last_at, source, key, subject, fields, count"
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # without letters that are mistaken for others

Enqueue: TypeAlias = Callable[[Connection, "Signal"], None]
"""Writes what is to be sent of a signal, in the transaction that writes the signal."""


class Signal(Struct, frozen=True):
    """Something that happened. Moments are seconds since 1970.

    :param id: the same over every try to deliver it
    :param source: the system that raised it, or the person as ``platform:id``
    :param key: signals with the same key, soon after one another, are one signal that is counted
    :param subject: the drill or incident that it belongs to
    :param fields: further facts, each a name and a value; the first is the guild, as ``platform:id``, if it has one
    """

    id: str
    kind: Kind
    severity: Severity
    title: str
    text: str
    at: float
    last_at: float
    source: str = ""
    key: str = ""
    subject: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    count: int = 1


class Draft(Struct, frozen=True):
    """A signal that is about to be raised; without a key kind, guild, subject and title tell it apart.

    :param guild: whose it is, as ``platform:id``: its administrators are shown it; empty for the owner's alone
    """

    kind: Kind
    title: str
    text: str = ""
    severity: Severity = "warning"
    source: str = "bot"
    key: str = ""
    subject: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    guild: str = ""


class More(TypedDict, total=False):
    """What else a ``Draft`` may say."""

    severity: Severity
    source: str
    key: str
    subject: str
    fields: tuple[tuple[str, str], ...]
    guild: str


class Raised(Struct, frozen=True):
    """A signal, and how its delivery to each webhook stands: ``waiting``, ``delivered`` or ``dead``."""

    signal: Signal
    deliveries: tuple[tuple[str, str], ...] = ()


class Signals:
    """Writes signals down, alike ones as one, together with what webhooks are to send of them.

    :param redact: takes the secrets out of all that is written, for it goes to other systems
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        random: Random,
        config: SignalsConfig,
        redact: Redact = redact_shapes,
    ) -> None:
        self._database, self._clock, self._random, self._config = database, clock, random, config
        self._redact = redact
        self._enqueue: Enqueue | None = None
        self._wake: Callable[[], object] = lambda: None

    def configure(self, config: SignalsConfig) -> None:
        self._config = config

    def deliver_by(self, enqueue: Enqueue, wake: Callable[[], object]) -> None:
        """Have ``enqueue`` called in the transaction of each signal, and ``wake`` once that is committed."""
        self._enqueue, self._wake = enqueue, wake

    def jobs(self) -> tuple[Job, ...]:
        text = "Drops signals that are older than signals.retention_days"
        return (Job("signals", self.tidy, Every(86_400.0), text, scope="fleet"),)

    # -- raising ----------------------------------------------------------------------------------------

    async def raise_(self, kind: Kind, title: str, text: str = "", **more: Unpack[More]) -> Signal:
        """Write a signal down and have it delivered; ``more`` as in ``Draft``.

        :raises StoreError: if it could not be written; nothing is sent then
        """
        return await self.send(Draft(kind, title, text, **more))

    async def send(self, draft: Draft) -> Signal:
        """The same, of a draft."""
        signal = await self._database.write(lambda connection: self.write(connection, draft))
        self._wake()
        return signal

    def write(self, connection: Connection, draft: Draft) -> Signal:
        """The same within the caller's transaction, on the store's thread; ``wake`` is then the caller's to call."""
        now, clean = self._clock.time(), self._cleaned(draft)
        alike = connection.execute(
            f"SELECT {_COLUMNS} FROM signals "
            "WHERE key = :key AND last_at > :since AND last_at <= :now ORDER BY last_at DESC LIMIT 1",
            {"key": clean.key, "since": now - self._config.same_within, "now": now},
        )
        signal = self._repeated(connection, alike[0], clean, now) if alike else self._new(connection, clean, now)
        if self._enqueue is not None:
            self._enqueue(connection, signal)
        return signal

    def wake(self) -> None:
        """Have what was written delivered now."""
        self._wake()

    def _cleaned(self, draft: Draft) -> Draft:
        """``draft`` as it may be kept and sent: bounded, printable, without secrets; its guild as the first field."""
        guild, title = storable(draft.guild), _line(self._redact(draft.title, MOST_TITLE))
        subject = _line(draft.subject)
        fields = [(_line(name), self._text(value, _MOST_FIELD)) for name, value in draft.fields[:_MOST_FIELDS]]
        if guild:
            fields.insert(0, (_GUILD, guild))
        return structs.replace(
            draft,
            title=title,
            text=self._text(draft.text, MOST_TEXT),
            source=_line(draft.source),
            key=_bounded(draft.key or f"{draft.kind}:{guild}:{subject}:{title}"),
            subject=subject,
            fields=tuple(fields),
        )

    def _text(self, text: str, limit: int) -> str:
        return _cut(printable(self._redact(text, limit).strip()), limit) if text else ""

    def _new(self, connection: Connection, draft: Draft, now: float) -> Signal:
        signal = Signal(
            "S-" + "".join(self._random.choices(_ALPHABET, k=12)),
            draft.kind, draft.severity, draft.title, draft.text, now, now,
            draft.source, draft.key, draft.subject, draft.fields,
        )  # fmt: skip
        write_signal(connection, signal)
        return signal

    def _repeated(self, connection: Connection, row: Sequence[Any], draft: Draft, now: float) -> Signal:
        before = _signal(row)
        worst = max(before.severity, draft.severity, key=SEVERITIES.index)
        signal = structs.replace(before, count=before.count + 1, severity=worst, last_at=now)
        connection.change(
            "UPDATE signals SET count = :count, last_at = :now, severity = :severity WHERE signal_id = :id",
            {"count": signal.count, "now": now, "severity": worst, "id": signal.id},
        )
        return signal

    # -- asking -----------------------------------------------------------------------------------------

    async def recent(
        self,
        kind: Kind | None = None,
        *,
        guild: str | None = None,
        limit: int = 50,
        severity: Severity | None = None,
        before: float | None = None,
    ) -> tuple[Raised, ...]:
        """The last signals, newest first, and where they were delivered.

        :param guild: those of this one alone, as ``platform:id``
        :param before: those that were last raised before this moment, in seconds since 1970
        """
        wanted = _Wanted(kind, guild, severity, before, limit)
        return await self._database.read(lambda connection: _recent(connection, wanted))

    async def find(self, id: str) -> Raised | None:
        """The signal of that id, in either case, and where it was delivered."""
        return await self._database.read(lambda connection: _find(connection, storable(id, 64).upper()))

    async def counts(self, since: float) -> dict[tuple[Kind, Severity], int]:
        """How often signals of each kind and severity were raised, of those that began after ``since`` (since 1970)."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT kind, severity, SUM(count) FROM signals WHERE at >= :since GROUP BY kind, severity",
                {"since": since},
            )
        )
        return {(kind, severity): int(count) for kind, severity, count in rows}

    async def tidy(self) -> None:
        """Drop what is older than ``signals.retention_days``."""
        oldest = self._clock.time() - self._config.retention_days * 86_400.0
        await self._database.write(
            lambda connection: connection.change("DELETE FROM signals WHERE last_at < :oldest", {"oldest": oldest})
        )


def write_signal(connection: Connection, signal: Signal) -> None:
    """Keep ``signal`` within the caller's transaction; nothing is sent of it."""
    connection.change(
        "INSERT INTO signals (signal_id, kind, severity, title, text, fields, source, key, subject, at, last_at, "
        "count) VALUES (:id, :kind, :severity, :title, :text, :fields, :source, :key, :subject, :at, :last_at, 1)",
        structs.asdict(signal) | {"fields": _encoded(signal.fields)},
    )


def _line(text: str) -> str:
    return _cut(printable(" ".join(text[: 2 * MOST_TITLE].split())), MOST_TITLE)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _bounded(key: str) -> str:
    """A key that can be indexed, whatever it is made of."""
    return storable(key) if len(key) <= _MOST_KEY else hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def _encoded(fields: tuple[tuple[str, str], ...]) -> str:
    return msgspec.json.encode(fields).decode()


def _signal(row: Sequence[Any]) -> Signal:
    values = dict(zip(_COLUMNS.replace("signal_id", "id").split(", "), row, strict=True))
    with decoding(f"the signal {values['id']}"):
        return msgspec.convert(values | {"fields": msgspec.json.decode(values["fields"])}, Signal)


class _Wanted(Struct, frozen=True):
    kind: Kind | None
    guild: str | None
    severity: Severity | None
    before: float | None
    limit: int


def _recent(connection: Connection, wanted: _Wanted) -> tuple[Raised, ...]:
    values: dict[str, Any] = {"limit": wanted.limit}
    where = []
    if wanted.kind is not None:
        where.append("kind = :kind")
        values["kind"] = wanted.kind
    if wanted.severity is not None:
        where.append("severity = :severity")
        values["severity"] = wanted.severity
    if wanted.before is not None:
        where.append("last_at < :before")
        values["before"] = wanted.before
    if wanted.guild is not None:
        begins = _encoded(((_GUILD, storable(wanted.guild)),))[:-1]  # without the bracket that would close the list
        where.append("substr(fields, 1, :length) = :begins")
        values |= {"begins": begins, "length": len(begins)}
    matching = "WHERE " + " AND ".join(where) if where else ""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM signals {matching} ORDER BY last_at DESC LIMIT :limit", values)
    return tuple(Raised(signal, _deliveries(connection, signal.id)) for signal in map(_signal, rows))


def _find(connection: Connection, signal_id: str) -> Raised | None:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM signals WHERE signal_id = :id", {"id": signal_id})
    return Raised(_signal(rows[0]), _deliveries(connection, signal_id)) if rows else None


def _deliveries(connection: Connection, signal_id: str) -> tuple[tuple[str, str], ...]:
    rows = connection.execute(
        "SELECT webhook, state FROM deliveries WHERE event_id = :id ORDER BY webhook, id", {"id": signal_id}
    )
    return tuple(dict(rows).items())  # of each webhook the last


def severity_of(text: str) -> Severity | None:
    """The severity that people and other systems call by many names; None for a word that is none."""
    return _NAMES.get(text.strip().lower())


_NAMES: dict[str, Severity] = {
    **dict.fromkeys(("info", "information", "informational", "low", "minor", "notice", "debug", "1", "2"), "info"),
    **dict.fromkeys(("warning", "warn", "medium", "moderate", "elevated", "major", "3"), "warning"),
    **dict.fromkeys(("critical", "crit", "high", "severe", "error", "fatal", "emergency", "4", "5"), "critical"),
}
