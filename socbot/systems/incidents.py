"""Alerts, incidents and drills: what people report, each change of it in a timeline and told to other systems."""

import hashlib
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct, structs

from socbot.dispatch.arguments import Duration
from socbot.dispatch.clock import Clock
from socbot.dispatch.errors import InvalidArgument, UserError
from socbot.dispatch.replies import escape
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.systems.identities import storable
from socbot.systems.signals import MOST_TEXT, MOST_TITLE, Draft, Severity, Signal, Signals

Kind: TypeAlias = Literal["incident", "drill"]
State: TypeAlias = Literal["open", "closed"]
Action: TypeAlias = Literal["opened", "note", "closed"]

EVERYWHERE: Final = None
"""Instead of a guild: the owner's view, over all guilds and what belongs to none."""

LAST: Final = "last"
"""Instead of an id: the incident that was opened last, of those that are open."""

MOST_OPEN = 50
"""Incidents of one guild that can be open at once."""

MOST_ENTRIES = 1_000
"""Entries of one timeline."""

MOST_TOLD, WINDOW = 60, 600.0
"""What the people of one guild can have told within so many seconds: who listens is not theirs to flood."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # without letters that are mistaken for others
_COLUMNS = "incident_id, kind, guild, title, severity, state, opened_by, opened_at, closed_by, closed_at"


class Incident(Struct, frozen=True):
    """An incident, or a drill; moments in seconds since 1970.

    :param guild: where it was opened, as ``platform:id``; empty if not in a guild
    :param opened_by: ``platform:id``
    """

    id: str
    kind: Kind
    guild: str
    title: str
    severity: Severity
    state: State
    opened_by: str
    opened_at: float
    closed_by: str | None = None
    closed_at: float | None = None

    @property
    def seconds(self) -> float | None:
        """How long it lasted; None while it lasts."""
        return None if self.closed_at is None else max(0.0, self.closed_at - self.opened_at)


class Entry(Struct, frozen=True):
    """One entry of a timeline; ``action`` may be another word in what was imported."""

    at: float
    by: str
    action: str
    text: str


class AlreadyOpen(UserError):
    """What is to be opened is open."""

    def __init__(self, incident: Incident) -> None:
        self.incident = incident
        super().__init__(incident.id)

    def __str__(self) -> str:
        title, id = escape(self.incident.title, 100), self.incident.id
        if self.incident.kind == "drill":
            return f"A drill is on already: {title} (`{id}`). `drill end` ends it."
        return f"An incident of that title is open already: `{id}`. `incident note {id} …` adds to it."


class TooMuchTold(UserError):
    """The guild has had enough told for now; ``wait`` in seconds."""

    def __init__(self, wait: float) -> None:
        self.wait = wait
        super().__init__(f"That was a lot from this guild: {MOST_TOLD} in ten minutes. Go on in {Duration(wait)}.")


class NotOpen(UserError):
    """What is to be ended is not open."""


class Incidents:
    """Incidents and drills of each guild, and the alerts that people raise.

    Every change is an entry of a timeline and a signal, written in one transaction.
    """

    def __init__(self, database: Database, clock: Clock, random: Random, signals: Signals) -> None:
        self._database, self._clock, self._random, self._signals = database, clock, random, signals
        self._told: dict[str, deque[float]] = {}

    async def alert(self, message: str, severity: Severity, by: str, guild: str) -> Signal:
        """Raise a security alert.

        :raises StoreError: if it could not be written; nothing is sent then
        """
        self._bound(guild)
        title, rest = _headline(message)
        key = "alert:" + hashlib.sha256(f"{guild}\n{message}".encode("utf-8", "replace")).hexdigest()
        return await self._signals.raise_(
            "alert", title, rest, severity=severity, source=by, key=key, guild=guild, fields=(("By", by),)
        )

    async def open(self, title: str, severity: Severity, by: str, guild: str) -> Incident:
        """Open an incident.

        :raises AlreadyOpen: if one of that title is
        """
        headline, rest = _headline(title)
        return await self._begin("incident", headline, rest, severity, by, guild)

    async def start_drill(self, kind: str, message: str, by: str, guild: str) -> Incident:
        """Begin a drill of that kind.

        :raises AlreadyOpen: if one is on in that guild
        """
        return await self._begin("drill", _headline(kind)[0], message, "info", by, guild)

    async def note(self, id: str, text: str, by: str, within: str | None) -> Incident:
        """Add to a timeline, of a closed incident too.

        :param within: the guild that it must belong to, as for ``find``
        :raises InvalidArgument: if there is none
        """
        return await self._change(id, "note", text, by, within)

    async def close(self, id: str, text: str, by: str, within: str | None) -> Incident:
        """Close an incident, or end a drill; ``text`` may be empty.

        :raises InvalidArgument: if there is none
        :raises NotOpen: if it is closed
        """
        return await self._change(id, "closed", text, by, within)

    async def end_drill(self, text: str, by: str, guild: str) -> Incident:
        """End the drill that is on in ``guild``.

        :raises NotOpen: if none is
        """
        drills = await self.newest("drill", "open", guild)
        if not drills:
            raise NotOpen("No drill is on here. `drill start` begins one.")
        return await self.close(drills[0].id, text, by, guild)

    # -- asking -----------------------------------------------------------------------------------------

    async def find(self, id: str, within: str | None = EVERYWHERE) -> tuple[Incident, tuple[Entry, ...]]:
        """The incident or drill of that id, or ``LAST``, and its timeline, oldest first.

        :param within: the guild that it must belong to; ``EVERYWHERE`` for the owner
        :raises InvalidArgument: if there is none
        """

        def work(connection: Connection) -> tuple[Incident, tuple[Entry, ...]]:
            found = _found(connection, id, within)
            return found, _timeline(connection, found.id)

        return await self._database.read(work)

    async def newest(
        self, kind: Kind, state: State | None = None, within: str | None = EVERYWHERE, limit: int = 100
    ) -> tuple[Incident, ...]:
        """Incidents or drills, the newest first."""
        return await self._database.read(lambda connection: _newest(connection, kind, state, within, limit))

    # -- changing ---------------------------------------------------------------------------------------

    def _bound(self, guild: str | None) -> None:
        """:raises TooMuchTold: if ``guild`` is one, and has had enough told"""
        if not guild:
            return
        now = self._clock.monotonic()
        told = self._told.setdefault(guild, deque(maxlen=MOST_TOLD))
        if len(told) == MOST_TOLD and (wait := told[0] + WINDOW - now) > 0:
            raise TooMuchTold(wait)
        told.append(now)

    async def _begin(self, kind: Kind, title: str, text: str, severity: Severity, by: str, guild: str) -> Incident:
        self._bound(guild)
        incident = Incident(
            self._new_id(kind), kind, storable(guild), storable(title), severity, "open", by, self._clock.time()
        )

        def work(connection: Connection) -> None:
            _refuse_second(connection, incident)
            _insert(connection, incident)
            self._enter(connection, incident, Entry(incident.opened_at, by, "opened", text))

        await self._database.write(work)
        self._signals.wake()
        return incident

    async def _change(self, id: str, action: Action, text: str, by: str, within: str | None) -> Incident:
        self._bound(within)
        now = self._clock.time()

        def work(connection: Connection) -> Incident:
            incident = _found(connection, id, within)
            if action == "closed":
                incident = _closed(connection, incident, by, now)
            self._enter(connection, incident, Entry(now, by, action, text))
            return incident

        changed = await self._database.write(work)
        self._signals.wake()
        return changed

    def _enter(self, connection: Connection, incident: Incident, entry: Entry) -> None:
        """Write an entry of the timeline, and the signal that tells of it."""
        entry = structs.replace(entry, text=storable(entry.text, MOST_TEXT))
        number = _append(connection, incident.id, entry)
        self._signals.write(connection, _draft(incident, entry, f"{incident.id}:{number}"))

    def _new_id(self, kind: Kind) -> str:
        return ("I-" if kind == "incident" else "D-") + "".join(self._random.choices(_ALPHABET, k=6))


def _headline(text: str) -> tuple[str, str]:
    """The first line of what somebody wrote, and all of it if there is more."""
    first = text.strip().partition("\n")[0].strip()
    if len(first) > MOST_TITLE:
        first = first[: MOST_TITLE - 1] + "…"
    return first, "" if first == text.strip() else text.strip()


# -- what is told -------------------------------------------------------------------------------------

_TOLD = {
    ("incident", "opened"): "Incident opened",
    ("incident", "note"): "Incident updated",
    ("incident", "closed"): "Incident closed",
    ("drill", "opened"): "DRILL started",
    ("drill", "note"): "DRILL updated",
    ("drill", "closed"): "DRILL ended",
}


def _draft(incident: Incident, entry: Entry, key: str) -> Draft:
    """What is told of a change. The end is as severe as the beginning, so that whoever heard of one hears of both."""
    facts = [("Drill" if incident.kind == "drill" else "Incident", incident.id), ("By", entry.by)]
    if incident.seconds is not None and entry.action == "closed":
        facts.append(("Duration", lasted(incident)))
    return Draft(
        incident.kind,
        f"{_TOLD[incident.kind, entry.action]}: {incident.title}",
        entry.text,
        incident.severity,
        entry.by,
        key,
        incident.id,
        tuple(facts),
        incident.guild,
    )


def lasted(incident: Incident) -> str:
    """How long it lasted, in words; empty while it lasts."""
    return "" if incident.seconds is None else str(Duration(round(incident.seconds))) or "less than a second"


# -- in the store -------------------------------------------------------------------------------------


def _insert(connection: Connection, incident: Incident) -> None:
    connection.change(
        f"INSERT INTO incidents ({_COLUMNS}, details) VALUES (:id, :kind, :guild, :title, :severity, :state, "
        ":opened_by, :opened_at, :closed_by, :closed_at, '{}')",
        structs.asdict(incident),
    )


def write_incident(connection: Connection, incident: Incident, entries: Sequence[Entry]) -> None:
    """Keep one that is over elsewhere with its timeline, within the caller's transaction; nobody is told of it."""
    _insert(connection, incident)
    connection.execute_many(
        "INSERT INTO timeline (incident_id, at, done_by, action, text) VALUES (:id, :at, :by, :action, :text)",
        [structs.asdict(entry) | {"id": incident.id} for entry in entries],
    )


def _append(connection: Connection, id: str, entry: Entry) -> int:
    """The entry's number.

    :raises UserError: if the timeline is full
    """
    [(count,)] = connection.execute("SELECT count(*) FROM timeline WHERE incident_id = :id", {"id": id})
    if count >= MOST_ENTRIES and entry.action == "note":
        raise UserError(f"The timeline of `{escape(id, 64)}` is full: it has {MOST_ENTRIES} entries.")
    [(number,)] = connection.execute(
        "INSERT INTO timeline (incident_id, at, done_by, action, text) VALUES (:id, :at, :by, :action, :text) "
        "RETURNING id",
        structs.asdict(entry) | {"id": id},
    )
    return int(number)


def _refuse_second(connection: Connection, new: Incident) -> None:
    """:raises UserError: if the guild has one like it, or too many"""
    on = _newest(connection, new.kind, "open", new.guild, MOST_OPEN)
    for each in on:
        if new.kind == "drill" or each.title == new.title:
            raise AlreadyOpen(each)
    if len(on) >= MOST_OPEN:
        raise UserError(f"{MOST_OPEN} incidents are open here. `incident close` closes those that are over.")


def _closed(connection: Connection, incident: Incident, by: str, now: float) -> Incident:
    if incident.state == "closed":
        raise NotOpen(f"`{escape(incident.id, 64)}` is closed already.")
    connection.change(
        "UPDATE incidents SET state = 'closed', closed_by = :by, closed_at = :now WHERE incident_id = :id",
        {"by": by, "now": now, "id": incident.id},
    )
    return structs.replace(incident, state="closed", closed_by=by, closed_at=now)


def _found(connection: Connection, id: str, within: str | None) -> Incident:
    if id.lower() == LAST:
        for incident in _newest(connection, "incident", "open", within, 1):
            return incident
        raise InvalidArgument("id", id, "there: no incident is open")
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM incidents WHERE incident_id = :id OR incident_id = :upper",
        {"id": storable(id, 64), "upper": storable(id.upper(), 64)},
    )
    for row in rows:
        incident = Incident(*row)
        if within is EVERYWHERE or incident.guild == storable(within):
            return incident
    raise InvalidArgument("id", id, "the id of an incident; `incident list` shows them")


def _newest(
    connection: Connection, kind: Kind, state: State | None, within: str | None, limit: int
) -> tuple[Incident, ...]:
    wanted: dict[str, Any] = {"kind": kind, "limit": limit}
    where = "kind = :kind"
    if state is not None:
        where += " AND state = :state"
        wanted["state"] = state
    if within is not EVERYWHERE:
        where += " AND guild = :guild"
        wanted["guild"] = storable(within)
    rows: Sequence[Sequence[Any]] = connection.execute(
        f"SELECT {_COLUMNS} FROM incidents WHERE {where} ORDER BY opened_at DESC, incident_id LIMIT :limit", wanted
    )
    return tuple(Incident(*row) for row in rows)


def _timeline(connection: Connection, id: str) -> tuple[Entry, ...]:
    rows = connection.execute(
        "SELECT at, done_by, action, text FROM timeline WHERE incident_id = :id ORDER BY id", {"id": id}
    )
    return tuple(Entry(*row) for row in rows)
