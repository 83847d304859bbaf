"""Signals: what the bot has to tell other systems, each written down with what is to be sent of it."""

from collections.abc import Callable
from random import Random
from typing import Literal, TypeAlias, TypedDict, Unpack

import msgspec
from msgspec import Struct, structs

from socbot.config import SignalsConfig
from socbot.dispatch.clock import Clock
from socbot.storage.connection import Connection
from socbot.storage.database import Database

Kind: TypeAlias = Literal["error", "alert", "drill", "incident", "health", "backup", "job", "security", "test"]
"""What a signal is about: these are the triggers of webhooks too."""

Severity: TypeAlias = Literal["info", "warning", "critical"]

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
"""Least first."""

MOST_TEXT = 4_000
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # without letters that are mistaken for others

Enqueue: TypeAlias = Callable[[Connection, "Signal"], None]
"""Writes what is to be sent of a signal, in the transaction that writes the signal."""


class Signal(Struct, frozen=True):
    """Something that happened. Moments are seconds since 1970.

    :param id: the same over every try to deliver it
    :param source: the system that raised it, or the person as ``platform:id``
    :param key: signals with the same key, soon after one another, are one signal that is counted
    :param subject: the drill or incident that it belongs to
    :param fields: further facts, each a name and a value
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
    """A signal that is about to be raised; without a key it is told from others by kind, title and subject."""

    kind: Kind
    title: str
    text: str = ""
    severity: Severity = "warning"
    source: str = "bot"
    key: str = ""
    subject: str = ""
    fields: tuple[tuple[str, str], ...] = ()


class More(TypedDict, total=False):
    """What else a ``Draft`` may say."""

    severity: Severity
    source: str
    key: str
    subject: str
    fields: tuple[tuple[str, str], ...]


class Signals:
    """Writes signals down, alike ones as one, together with what webhooks are to send of them."""

    def __init__(self, database: Database, clock: Clock, random: Random, config: SignalsConfig) -> None:
        self._database, self._clock, self._random, self._config = database, clock, random, config
        self._enqueue: Enqueue | None = None
        self._wake: Callable[[], object] = lambda: None

    def configure(self, config: SignalsConfig) -> None:
        self._config = config

    def deliver_by(self, enqueue: Enqueue, wake: Callable[[], object]) -> None:
        """Have ``enqueue`` called in the transaction of each signal, and ``wake`` once that is committed."""
        self._enqueue, self._wake = enqueue, wake

    async def raise_(self, kind: Kind, title: str, text: str = "", **more: Unpack[More]) -> Signal:
        """Write a signal down and have it delivered; ``more`` as in ``Draft``.

        :raises StoreError: if it could not be written; nothing is sent then
        """
        draft = Draft(kind, title, text, **more)
        signal = await self._database.write(lambda connection: self.write(connection, draft))
        self._wake()
        return signal

    def write(self, connection: Connection, draft: Draft) -> Signal:
        """The same within the caller's transaction, on the store's thread; ``wake`` is then the caller's to call."""
        now, key = self._clock.time(), draft.key or f"{draft.kind}:{draft.subject}:{draft.title}"
        alike = connection.execute(
            "SELECT signal_id, kind, severity, title, text, at, source, subject, fields, count FROM signals "
            "WHERE key = :key AND last_at > :since AND last_at <= :now ORDER BY last_at DESC LIMIT 1",
            {"key": key, "since": now - self._config.same_within, "now": now},
        )
        if alike:
            signal = self._repeated(connection, alike[0], draft, now, key)
        else:
            signal = self._new(connection, draft, now, key)
        if self._enqueue is not None:
            self._enqueue(connection, signal)
        return signal

    def wake(self) -> None:
        """Have what was written delivered now."""
        self._wake()

    def _new(self, connection: Connection, draft: Draft, now: float, key: str) -> Signal:
        signal = Signal(
            "S-" + "".join(self._random.choices(_ALPHABET, k=12)),
            draft.kind, draft.severity, draft.title[:200], draft.text[:MOST_TEXT], now, now,
            draft.source, key, draft.subject, draft.fields[:20],
        )  # fmt: skip
        connection.change(
            "INSERT INTO signals (signal_id, kind, severity, title, text, fields, source, key, subject, at, last_at, "
            "count) VALUES (:id, :kind, :severity, :title, :text, :fields, :source, :key, :subject, :at, :last_at, 1)",
            structs.asdict(signal) | {"fields": msgspec.json.encode(signal.fields).decode()},
        )
        return signal

    def _repeated(self, connection: Connection, row: tuple[object, ...], draft: Draft, now: float, key: str) -> Signal:
        id, kind, severity, title, text, at, source, subject, fields, count = row
        before = msgspec.convert(
            {
                "id": id, "kind": kind, "severity": severity, "title": title, "text": text, "at": at, "last_at": now,
                "source": source, "key": key, "subject": subject, "fields": msgspec.json.decode(str(fields)),
                "count": count,
            },
            Signal,
        )  # fmt: skip
        worst = max(before.severity, draft.severity, key=SEVERITIES.index)
        signal = structs.replace(before, count=before.count + 1, severity=worst)
        connection.change(
            "UPDATE signals SET count = :count, last_at = :now, severity = :severity WHERE signal_id = :id",
            {"count": signal.count, "now": now, "severity": worst, "id": signal.id},
        )
        return signal


def severity_of(text: str) -> Severity | None:
    """The severity that people and other systems call by many names; None for a word that is none."""
    return _NAMES.get(text.strip().lower())


_NAMES: dict[str, Severity] = {
    **dict.fromkeys(("info", "information", "informational", "low", "minor", "notice", "debug", "1", "2"), "info"),
    **dict.fromkeys(("warning", "warn", "medium", "moderate", "elevated", "major", "3"), "warning"),
    **dict.fromkeys(("critical", "crit", "high", "severe", "error", "fatal", "emergency", "4", "5"), "critical"),
}
