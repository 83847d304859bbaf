"""Reports: signals that other systems raise, so that all alerts come to one place."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from socbot.storage.connection import Connection
from socbot.systems.access import PLATFORM
from socbot.systems.signals import MOST_TEXT, MOST_TITLE, Draft, Severity, Signal, severity_of
from socbot.web.host import Host
from socbot.web.problems import Turned

PER_MINUTE = 60
"""Signals that one token may raise in a minute, and at once."""

MOST_AT_ONCE = 100
"""Alerts of one notification that become signals of their own; further ones are one together."""

Name = Annotated[str, Meta(min_length=1, max_length=100)]
Value = Annotated[str, Meta(max_length=1_000)] | int | float | bool
Labels = Annotated[dict[str, str], Meta(max_length=200)]


class Report(Struct, frozen=True, forbid_unknown_fields=True):
    """A signal from outside.

    :param kind: what it is about: which webhooks it goes to
    :param title: what happened, in one line
    :param text: more of it
    :param key: signals of one token with the same key, soon after one another, are one signal that is counted; the
        kind and title unless given
    :param fields: further facts by name
    """

    title: Annotated[str, Meta(min_length=1, max_length=MOST_TITLE)]
    kind: Literal["alert", "security", "health", "backup", "job", "error"] = "alert"
    severity: Severity = "warning"
    text: Annotated[str, Meta(max_length=MOST_TEXT)] = ""
    key: Annotated[str, Meta(max_length=200)] = ""
    fields: Annotated[dict[Name, Value], Meta(max_length=20)] = {}

    def draft(self, name: str) -> Draft:
        """What is raised of it, by the token ``name``."""
        fields = tuple((each, _written(value)) for each, value in self.fields.items())
        key = self.key or f"{self.kind}:{self.title}"
        return Draft(self.kind, self.title, self.text, self.severity, _source(name), _key(name, key), fields=fields)


class Taken(Struct, frozen=True):
    """A signal that was taken.

    :param id: what it is found under
    :param count: how often it was raised within a short time; above 1, nothing new was sent
    """

    id: str
    count: int


class Alert(Struct, frozen=True, rename="camel"):
    """One alert of Alertmanager's.

    :param starts_at: when it began to fire
    :param fingerprint: the same for the same labels
    :param generator_url: where it can be looked into
    """

    status: Literal["firing", "resolved"]
    labels: Labels = {}
    annotations: Labels = {}
    starts_at: str = ""
    fingerprint: str = ""
    generator_url: str = field(name="generatorURL", default="")

    @property
    def title(self) -> str:
        name = self.labels.get("alertname") or "alert"
        told = self.annotations.get("summary") or self.annotations.get("title") or name
        return f"Resolved: {told}" if self.status == "resolved" else told

    def draft(self, name: str) -> Draft:
        """What is raised of it, by the token ``name``."""
        severity = severity_of(self.labels.get("severity", "")) or "warning"
        text = self.annotations.get("description") or self.annotations.get("message") or ""
        fields = [(key, value) for key, value in sorted(self.labels.items()) if key and value]
        runbook = self.annotations.get("runbook_url")
        if runbook:
            fields.insert(0, ("runbook", runbook))
        # An alert that is repeated began when it began; one that fires again has begun anew.
        key = f"{self.fingerprint or sorted(self.labels.items())}:{self.starts_at}:{self.status}"
        return Draft(
            "alert",
            self.title[:MOST_TITLE],
            text,
            "info" if self.status == "resolved" else severity,
            _source(name),
            _key(name, key),
            fields=tuple(fields),
        )


class Alerts(Struct, frozen=True, rename="camel"):
    """A notification as Alertmanager's webhook sends it; what is not named here is ignored.

    :param truncated_alerts: how many more there were than were sent
    """

    alerts: tuple[Alert, ...]
    truncated_alerts: Annotated[int, Meta(ge=0)] = 0

    def drafts(self, name: str) -> tuple[Draft, ...]:
        """What is raised of it, by the token ``name``."""
        drafts = [alert.draft(name) for alert in self.alerts[:MOST_AT_ONCE]]
        more = len(self.alerts) - len(drafts) + self.truncated_alerts
        if more:
            title = f"{more} more alerts are not shown one by one"
            drafts.append(Draft("alert", title, source=_source(name), key=_key(name, "more alerts")))
        return tuple(drafts)


class TakenAlerts(Struct, frozen=True):
    """Alerts that were taken: the id of each one's signal, in their order."""

    ids: tuple[str, ...]


class Limiter:
    """Lets each token raise so many signals a minute. Used on one thread."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, name: str, count: int) -> None:
        """Count ``count`` signals of the token ``name``.

        :raises Turned: if it has to wait
        """
        now, (left, at) = self._now(), self._left.get(name, (float(PER_MINUTE), 0.0))
        rate = PER_MINUTE / 60.0
        left = min(float(PER_MINUTE), left + (now - at) * rate) if name in self._left else left
        if left < 1.0:
            wait = (1.0 - left) / rate
            text = f"A token may raise {PER_MINUTE} signals a minute; try again in {math.ceil(wait)} s."
            raise Turned(429, text, retry_after=wait)
        self._left[name] = (left - count, now)  # a notification of many is taken whole, and paid for afterwards


async def take(host: Host, name: str, drafts: Sequence[Draft]) -> tuple[Signal, ...]:
    """Raise ``drafts``, with a record of it, in one transaction; on the bot's loop.

    :raises StoreError: if they could not be written; none is raised then
    """
    signals, audit = host.signals, host.audit

    def write(connection: Connection) -> tuple[Signal, ...]:
        raised = tuple(signals.write(connection, draft) for draft in drafts)
        new = [signal for signal in raised if signal.count == 1]
        if new:
            more = f" and {len(new) - 1} more" if len(new) > 1 else ""
            told = f"{new[0].kind} {new[0].severity}: {new[0].title}{more}"
            audit.append(connection, audit.entry("signal", told, _source(name)))
        return raised

    raised = await host.database.write(write)
    signals.wake()
    return raised


def _source(name: str) -> str:
    return f"{PLATFORM}:{name}"


def _key(name: str, key: str) -> str:
    """Apart from what the bot raises itself and from what others do: nobody is to hide another's signal."""
    return f"{_source(name)}:{key}"


def _written(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
