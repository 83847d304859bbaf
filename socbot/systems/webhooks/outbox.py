"""The outbox: what is to be sent, in the store until it is delivered, dead, or too old to be kept."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, structs

from socbot.documents import UNDECODABLE
from socbot.storage.connection import Connection
from socbot.storage.errors import decoding
from socbot.systems.signals import SEVERITIES, Signal
from socbot.systems.webhooks.endpoint import Row
from socbot.systems.webhooks.model import Delivery, DeliveryState, Shown

BATCH = 200
"""Deliveries that are read at once."""

EDIT_EVERY = 5.0
"""Seconds between two edits of one message."""

SHORTEST_PAUSE, LONGEST_PAUSE = 60.0, 3_600.0
"""Seconds before what goes on is told again where nothing can be edited: as long as it has gone on, within these."""

_COLUMNS = "id, webhook, event, state, at, next_at, attempts, last_at, last_status, last_answer, message_id, reason"


class Result(Struct, frozen=True):
    """What became of one delivery by one try.

    :param event: what was sent, as it is stored
    :param next_at: when it is tried again, in seconds since 1970
    """

    id: int
    event: str
    state: DeliveryState
    at: float
    attempts: int
    status: int
    answer: str
    next_at: float = 0.0
    message_id: str = ""
    reason: str = ""


class Due(Struct, frozen=True):
    """A delivery that waits, with its event as it is stored."""

    delivery: Delivery
    raw: str


# -- what is enqueued ---------------------------------------------------------------------------------


class Told(Struct, frozen=True):
    """How many more deliveries wait for a webhook, and how many were dropped for them."""

    webhook: str
    more: int
    dropped: int


def enqueue(connection: Connection, signal: Signal, most: int, now: float) -> list[Told]:
    """Write what is to be sent of ``signal``, to each webhook that wants it."""
    told = []
    raw = msgspec.json.encode(signal).decode()
    for name, type, triggers, severity in connection.execute(
        "SELECT name, type, triggers, severity FROM webhooks WHERE enabled = 1 ORDER BY name"
    ):
        with decoding(f"what is sent to the webhook {name}"):
            wanted = msgspec.json.decode(triggers, type=tuple[str, ...])
        if _wants(wanted, severity, signal):
            more = _put(connection, name, type, signal, raw, now)
            told.append(Told(name, more, _drop(connection, name, most) if more else 0))
    return told


def _wants(triggers: Sequence[str], severity: str, signal: Signal) -> bool:
    known = SEVERITIES.index(severity) if severity in SEVERITIES else 0
    return SEVERITIES.index(signal.severity) >= known and ("all" in triggers or signal.kind in triggers)


def _put(connection: Connection, name: str, type: str, signal: Signal, raw: str, now: float) -> int:
    """Have it sent, or have what is sent of it already say how often it has happened; how many more wait."""
    before = _last(connection, name, signal.id) if signal.count > 1 else None
    if before is None:
        _insert(connection, name, signal, raw, 0.0, signal.id if type == "custom" else "", now)
        return 1
    id, state, message_id, last_at = before
    if state == "waiting":
        connection.change("UPDATE deliveries SET event = :event WHERE id = :id", {"event": raw, "id": id})
        return 0
    if state == "delivered" and type == "discord" and message_id:
        _edit(connection, id, raw, max(now, last_at + EDIT_EVERY))
        return 1
    _go_on(connection, name, type, signal, raw, now)
    return 1


def _last(connection: Connection, name: str, event_id: str) -> tuple[int, str, str, float] | None:
    rows = connection.execute(
        "SELECT id, state, message_id, coalesce(last_at, 0) FROM deliveries"
        " WHERE event_id = :event AND webhook = :webhook ORDER BY id DESC LIMIT 1",
        {"event": event_id, "webhook": name},
    )
    return rows[0] if rows else None


def _insert(
    connection: Connection, name: str, signal: Signal, raw: str, next_at: float, message_id: str, now: float
) -> None:
    connection.change(
        "INSERT INTO deliveries (webhook, event_id, event, state, at, next_at, attempts, last_at, last_status,"
        " last_answer, message_id, reason)"
        " VALUES (:webhook, :event_id, :event, 'waiting', :at, :next_at, 0, NULL, 0, '', :message_id, '')",
        {
            "webhook": name, "event_id": signal.id, "event": raw, "at": now, "next_at": next_at,
            "message_id": message_id,
        },
    )  # fmt: skip


def _edit(connection: Connection, id: int, raw: str, next_at: float) -> None:
    connection.change(
        "UPDATE deliveries SET state = 'waiting', event = :event, next_at = :next_at, attempts = 0 WHERE id = :id",
        {"event": raw, "next_at": next_at, "id": id},
    )


def _go_on(connection: Connection, name: str, type: str, signal: Signal, raw: str, now: float) -> None:
    """Tell it once more, later, with an id of its own: the count of then counts."""
    pause = min(LONGEST_PAUSE, max(SHORTEST_PAUSE, signal.last_at - signal.at))
    message_id = f"{signal.id}.{signal.count}" if type == "custom" else ""
    _insert(connection, name, signal, raw, now + pause, message_id, now)


def _drop(connection: Connection, name: str, most: int) -> int:
    """Delete the oldest of what waits beyond ``most``; how many."""
    values = {"webhook": name, "most": most}
    waiting = connection.execute(
        "SELECT count(*) FROM deliveries WHERE state = 'waiting' AND webhook = :webhook", {"webhook": name}
    )[0][0]
    if waiting <= most:
        return 0
    dropped = connection.change(
        "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE state = 'waiting'"
        " AND webhook = :webhook ORDER BY id LIMIT :beyond)",
        {"webhook": name, "beyond": waiting - most},
    )
    connection.change("UPDATE webhooks SET dropped = dropped + :n WHERE name = :webhook", values | {"n": dropped})
    return dropped


# -- what is due --------------------------------------------------------------------------------------


def due(connection: Connection, name: str, now: float) -> tuple[list[Due], float | None]:
    """What may be sent, oldest first, with what stands in its way by failing; and when more will be."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM deliveries WHERE state = 'waiting' AND webhook = :webhook"
        # A pause is never longer than the longest: one that seems to be was written before the clock was set back.
        " AND (attempts > 0 OR reason <> '' OR next_at <= :now OR next_at > :beyond) ORDER BY id LIMIT :limit",
        {"webhook": name, "now": now, "beyond": now + LONGEST_PAUSE, "limit": BATCH},
    )
    later = connection.execute(
        "SELECT min(next_at) FROM deliveries WHERE state = 'waiting' AND webhook = :webhook AND next_at > :now",
        {"webhook": name, "now": now},
    )[0][0]
    return [Due(_delivery(row), row[2]) for row in rows], later


def _delivery(row: Sequence[object]) -> Delivery:
    values = dict(zip(_FIELDS, row, strict=True))
    return msgspec.convert(values | {"event": _event(str(row[2]))}, Delivery)


def _event(raw: str) -> Signal:
    """What was written; of what cannot be read, that much, so that it holds up nothing behind it."""
    try:
        return msgspec.json.decode(raw, type=Signal)
    except UNDECODABLE:
        return Signal("?", "error", "warning", "An event that cannot be read", "", 0.0, 0.0)


_FIELDS = Delivery.__struct_fields__


# -- what came of it ----------------------------------------------------------------------------------


def record(connection: Connection, results: Iterable[tuple[str, str, Result]], rows: Iterable[Row]) -> Counter[str]:
    """Write results, each with its webhook's name and type, and how the webhooks stand; how many more wait by it."""
    grown: Counter[str] = Counter()
    for name, type, result in results:
        grown[name] += _record(connection, name, type, result)
    for row in rows:
        values = structs.asdict(row)
        connection.change(_STANDING, {name: values[name] for name in _STANDS})
    return grown


_STANDS = ("name", "state", "state_reason", "failing_since", "sent", "failed", "last_at", "last_answer")
_STANDING = f"UPDATE webhooks SET {', '.join(f'{name} = :{name}' for name in _STANDS[1:])} WHERE name = :name"


def _record(connection: Connection, name: str, type: str, result: Result) -> int:
    values = structs.asdict(result)
    where = "id = :id AND event = :event" if result.state == "delivered" else "id = :id"
    written = connection.change(
        "UPDATE deliveries SET state = :state, last_at = :at, attempts = :attempts, last_status = :status,"
        " last_answer = :answer, next_at = :next_at, message_id = :message_id, reason = :reason"
        f" WHERE {where} AND state = 'waiting'",
        values,
    )
    return 0 if written or result.state != "delivered" else _grown(connection, name, type, result, values)


def _grown(connection: Connection, name: str, type: str, result: Result, values: dict[str, object]) -> int:
    """It was delivered, but has happened again while it was on its way: that is told too."""
    rows = connection.execute("SELECT event FROM deliveries WHERE id = :id AND state = 'waiting'", {"id": result.id})
    if not rows:
        return 0  # it was dropped, or its webhook removed
    raw = str(rows[0][0])
    _record(connection, name, type, structs.replace(result, event=raw))
    if type == "discord" and result.message_id:
        _edit(connection, result.id, raw, result.at + EDIT_EVERY)
    else:
        _go_on(connection, name, type, _event(raw), raw, result.at)
    return 1


def revive(connection: Connection, name: str) -> None:
    """Let what waits be tried at once, and as often as if it had not been tried."""
    connection.change(
        "UPDATE deliveries SET attempts = 0, next_at = 0, reason = '' WHERE state = 'waiting' AND webhook = :webhook"
        " AND (attempts > 0 OR reason <> '')",
        {"webhook": name},
    )


def again(connection: Connection, name: str | None, id: int | None) -> int:
    """Let dead deliveries be tried again: one, or all of a webhook's; how many."""
    which = "webhook = :webhook" if id is None else "id = :id"
    return connection.change(
        f"UPDATE deliveries SET state = 'waiting', attempts = 0, next_at = 0, reason = ''"
        f" WHERE state = 'dead' AND webhook IN (SELECT name FROM webhooks) AND {which}",
        {"webhook": name} if id is None else {"id": id},
    )


def sweep(connection: Connection, now: float, keep: float, most: int) -> int:
    """Forget what is older than ``keep`` seconds, and of the dead of each webhook all but the newest ``most``."""
    before = {"before": now - keep}
    gone = connection.change("DELETE FROM deliveries WHERE state IN ('delivered', 'dead') AND at < :before", before)
    connection.change(
        "UPDATE deliveries SET state = 'dead', reason = 'waited too long' WHERE state = 'waiting' AND at < :before",
        before,
    )
    for (name,) in connection.execute("SELECT name FROM webhooks"):
        gone += connection.change(
            "DELETE FROM deliveries WHERE state = 'dead' AND webhook = :webhook AND id NOT IN (SELECT id FROM"
            " deliveries WHERE state = 'dead' AND webhook = :webhook ORDER BY id DESC LIMIT :most)",
            {"webhook": name, "most": most},
        )
    return gone


ORPHANED = "its webhook is not in what was restored"


def identities(connection: Connection) -> dict[str, float]:
    """Which webhooks there are: one that was added anew under a name is another."""
    return dict(connection.execute("SELECT name, created_at FROM webhooks"))


def orphan(connection: Connection, former: Mapping[str, float]) -> tuple[int, ...]:
    """What waits for one of the ``former`` webhooks that is there no more is dead from now on; the numbers of it."""
    there = identities(connection)
    waiting = connection.execute("SELECT id, webhook FROM deliveries WHERE state = 'waiting'")
    gone = tuple(id for id, name in waiting if name not in there or there[name] != former.get(name))
    values = [{"id": id, "reason": ORPHANED} for id in gone]
    connection.execute_many("UPDATE deliveries SET state = 'dead', reason = :reason WHERE id = :id", values)
    return gone


def adopt(connection: Connection, orphans: Iterable[int]) -> None:
    """Take back what ``orphan`` has done."""
    connection.execute_many(
        "UPDATE deliveries SET state = 'waiting', reason = '' WHERE id = :id AND state = 'dead'",
        [{"id": id} for id in orphans],
    )


# -- what is asked ------------------------------------------------------------------------------------

_STATES: dict[Shown | None, tuple[str, ...]] = {
    "waiting": ("state = 'waiting'",),
    "delivered": ("state = 'delivered'",),
    "dead": ("state = 'dead'",),
    "failed": ("state = 'dead'", "state = 'waiting' AND attempts > 0"),
    None: ("state = 'waiting'", "state = 'delivered'", "state = 'dead'"),
}


class Wanted(Struct, frozen=True):
    """Which deliveries: of one webhook, in one state, of one signal, with a lower number; of all where None."""

    webhook: str | None = None
    state: Shown | None = None
    event: str | None = None
    before: int | None = None


def listed(connection: Connection, wanted: Wanted, limit: int) -> tuple[Delivery, ...]:
    """Newest first."""
    if wanted.event is not None or (wanted.webhook is None and wanted.state is None):
        parts = ["1 = 1"] if wanted.state is None else [" OR ".join(f"({each})" for each in _STATES[wanted.state])]
        names: Sequence[str | None] = [wanted.webhook]
    else:
        # Each part goes along one index, so that a few dead ones are found among any number of delivered ones.
        parts = list(_STATES[wanted.state])
        names = [wanted.webhook] if wanted.webhook is not None else _names(connection)
    rows = [row for name in names for part in parts for row in _part(connection, wanted, name, part, limit)]
    return tuple(map(_delivery, sorted(rows, key=lambda row: -row[0])[:limit]))


def _part(connection: Connection, wanted: Wanted, name: str | None, part: str, limit: int) -> Sequence[tuple[Any, ...]]:
    given = {"webhook": name, "event_id": wanted.event, "id": wanted.before}
    clauses = [f"{key} {'<' if key == 'id' else '='} :{key}" for key, value in given.items() if value is not None]
    values = {key: value for key, value in given.items() if value is not None}
    where = " AND ".join((f"({part})", *clauses))
    return connection.execute(
        f"SELECT {_COLUMNS} FROM deliveries WHERE {where} ORDER BY id DESC LIMIT :limit", values | {"limit": limit}
    )


def _names(connection: Connection) -> list[str]:
    """Of the webhooks, and of those for which something is dead since they are not there any more."""
    return [
        name
        for (name,) in connection.execute(
            "SELECT name FROM webhooks UNION SELECT webhook FROM deliveries WHERE state = 'dead'"
        )
    ]


def newest(connection: Connection) -> dict[str, int]:
    """Of each webhook for which something waits, the number of the newest of that."""
    return dict(connection.execute("SELECT webhook, max(id) FROM deliveries WHERE state = 'waiting' GROUP BY webhook"))


def counts(connection: Connection) -> tuple[dict[tuple[str, str], int], dict[str, int]]:
    """How many wait and are dead, by webhook and state; and of each webhook how many were dropped."""
    rows = connection.execute(
        "SELECT webhook, state, count(*) FROM deliveries WHERE state IN ('waiting', 'dead') GROUP BY webhook, state"
    )
    dropped = connection.execute("SELECT name, dropped FROM webhooks")
    return {(name, state): number for name, state, number in rows}, dict(dropped)


# -- webhooks -----------------------------------------------------------------------------------------

_ROW = (
    "name, type, address, masked, triggers, severity, enabled, secrets, rate, created_by, created_at, state,"
    " state_reason, failing_since, sent, failed, dropped, last_at, last_answer"
)


def webhooks(connection: Connection) -> list[Row]:
    rows = connection.execute(f"SELECT {_ROW} FROM webhooks ORDER BY name")
    with decoding("a webhook"):
        return [
            msgspec.convert(
                dict(zip(Row.__struct_fields__, row, strict=True))
                | {"triggers": msgspec.json.decode(row[4]), "enabled": bool(row[6])},
                Row,
            )
            for row in rows
        ]


def keep(connection: Connection, row: Row) -> None:
    """Write a webhook that is new, or what was changed of it."""
    names = Row.__struct_fields__
    changed = ", ".join(f"{name} = excluded.{name}" for name in names if name not in ("name", "dropped"))
    values = structs.asdict(row) | {
        "triggers": msgspec.json.encode(row.triggers).decode(),
        "enabled": int(row.enabled),
    }
    connection.change(
        f"INSERT INTO webhooks ({_ROW}) VALUES ({', '.join(f':{name}' for name in names)})"
        f" ON CONFLICT (name) DO UPDATE SET {changed}",
        values,
    )


def forget(connection: Connection, name: str) -> None:
    connection.change("DELETE FROM deliveries WHERE webhook = :webhook", {"webhook": name})
    connection.change("DELETE FROM webhooks WHERE name = :webhook", {"webhook": name})
