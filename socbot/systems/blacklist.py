"""Who is shut out: users and guilds, for ever or for a time, with everything that was ever done about them.

The store is the truth. What the hot path asks, whether somebody is listed now, is answered from memory: two
look-ups, whatever the number of entries. While the bot is up, an entry ends by the monotonic clock, so that a step
of the wall clock neither frees nor traps anyone; the stored end counts after a restart.

Where several processes share the store, each follows what the others write to the history of the list.
"""

import heapq
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import anyio
import anyio.lowlevel
from msgspec import Struct, structs

from socbot.config import BlacklistConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.errors import UserError
from socbot.dispatch.messages import Identity
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import escape
from socbot.jobs.job import Job
from socbot.jobs.schedules import Continuous, Every
from socbot.storage import tail
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.errors import StoreError
from socbot.storage.sql import like
from socbot.storage.tail import Mark
from socbot.systems.audit import Audit
from socbot.systems.identities import storable

Kind: TypeAlias = Literal["user", "guild"]

MAX_REASON = 500
"""Characters of a reason that are kept."""

_HISTORY = "blacklist_history"

_COLUMNS = "platform, kind, subject, reason, added_by, added_at, expires_at, source"


class Entry(Struct, frozen=True):
    """One entry of the blacklist; moments in seconds since 1970, ``expires_at`` None for ever.

    :param added_by: ``platform:id`` of a person, or the name of a system
    :param source: ``manual``, ``rate_limit`` or ``import``
    """

    platform: str
    kind: Kind
    id: str
    reason: str
    added_by: str
    added_at: float
    expires_at: float | None = None
    source: str = "manual"

    @property
    def identity(self) -> Identity:
        return (self.platform, self.id)


class Listed(Struct, frozen=True):
    """An entry, with the commands that it has stopped up to the last flush of the telemetry, and when it last did."""

    entry: Entry
    blocked: int
    blocked_at: float | None


class Change(Struct, frozen=True):
    """One thing that was done about a user or guild."""

    action: Literal["added", "changed", "removed", "expired"]
    by: str
    at: float
    reason: str
    expires_at: float | None
    source: str


class BlacklistStats(Struct, frozen=True):
    """``blocked`` is how many commands were refused, up to the last flush of the telemetry."""

    permanent: int
    temporary: int
    expired: int
    by_source: dict[str, int]
    blocked: int


class ImportPlan(Struct, frozen=True):
    """What an import would do; ``refused`` pairs an entry with why it will not be taken."""

    added: tuple[Entry, ...]
    changed: tuple[Entry, ...]
    unchanged: tuple[Entry, ...]
    refused: tuple[tuple[Entry, str], ...]


class Protected(UserError):
    """The owners and the bot itself cannot be listed."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        super().__init__(f"`{escape(identity[1], 64)}` is an owner or the bot itself, and cannot be listed.")


class NotListed(UserError):
    """There is no such entry; ``nearest`` are the ids that look most like it."""

    def __init__(self, kind: Kind, identity: Identity, nearest: tuple[str, ...]) -> None:
        self.kind, self.identity, self.nearest = kind, identity, nearest
        super().__init__(kind, identity, nearest)

    def __str__(self) -> str:
        text = f"The {self.kind} `{escape(self.identity[1], 64)}` is not listed."
        if self.nearest:
            text += " Did you mean " + " or ".join(f"`{escape(each, 64)}`" for each in self.nearest) + "?"
        return text


_End: TypeAlias = tuple[float, Kind, Identity, float]
"""When an entry ends, in monotonic seconds, and when it does in the store."""


class _Index(Struct):
    """Until when each is listed, in monotonic seconds, and those that end by themselves as a heap.

    :param mark: how far the history has been read; None where no other process writes it
    """

    ends: dict[Kind, dict[Identity, float]]
    ending: list[_End]
    mark: Mark | None = None


class _Followed(Struct, frozen=True):
    """What became of an entry that another process, or this one, has changed; moments as the store has them."""

    kind: Kind
    identity: Identity
    listed: bool
    expires_at: float | None


class Blacklist:
    """Users and guilds that are shut out.

    A change is committed before it takes effect, and has taken effect when the call returns.

    :param protected: who can never be listed: the owners and the bot itself
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        config: BlacklistConfig,
        protected: Callable[[Identity], bool],
        audit: Audit | None = None,
    ) -> None:
        self._database, self.clock, self._config = database, clock, config
        self._protected, self._audit = protected, audit
        self._ends: dict[Kind, dict[Identity, float]] = {"user": {}, "guild": {}}
        self._users, self._guilds = self._ends["user"], self._ends["guild"]
        self._ending: list[_End] = []
        self._mark: Mark | None = None
        self._mine: dict[tuple[Kind, Identity], float | None] = {}
        self._changing = anyio.Lock()
        self.problem: str | None = "not loaded yet"

    @property
    def available(self) -> bool:
        """Whether it knows who is listed; while it does not, nobody but the owner is let through."""
        return self.problem is None

    @property
    def config(self) -> BlacklistConfig:
        return self._config

    def configure(self, config: BlacklistConfig) -> None:
        self._config = config

    def jobs(self) -> tuple[Job, ...]:
        sweep = Job(
            "blacklist_sweep",
            self.sweep,
            Every(self._config.sweep_interval),
            description="Moves expired entries of the blacklist to its history; loads it again if that failed",
        )
        follow = Job(
            "blacklist_follow",
            self.follow,
            Continuous(),
            description="Takes over what other processes on the same store change of the blacklist",
        )
        return (sweep, follow) if self._database.dialect == "postgresql" else (sweep,)

    async def load(self) -> None:
        """Read who is listed. If the store cannot be read, ``problem`` says why and everybody is shut out."""
        with anyio.CancelScope(shield=True):
            async with self._changing:
                await self._load()

    async def _load(self) -> None:
        to_monotonic = self.clock.monotonic() - self.clock.time()
        before = None if self._mark is None or self._mark.whole else self._mark
        try:
            index = await self._database.read(lambda connection: _read_index(connection, to_monotonic, before))
        except StoreError as error:
            self.problem = str(error) or type(error).__name__
            return
        self._ends, self._ending, self._mark = index.ends, index.ending, index.mark
        self._users, self._guilds = index.ends["user"], index.ends["guild"]
        self._mine.clear()
        self.problem = None

    async def follow(self) -> None:
        """Take over what other processes change, until cancelled."""
        await tail.follow(self.clock, self.catch_up)

    async def catch_up(self) -> None:
        """Take over what other processes have changed up to now.

        :raises StoreError: if the store cannot be read; what is known stays in force
        """
        with anyio.CancelScope(shield=True):
            async with self._changing:
                mark = self._mark
                if mark is None or self.problem is not None:
                    return
                news = await self._database.read(lambda connection: _read_news(connection, mark))
                if news is None:
                    await self._load()
                else:
                    self._mark = news[1]
                    self._apply(news[0])

    def _apply(self, changes: Sequence[_Followed]) -> None:
        for each in changes:
            key = (each.kind, each.identity)
            if key in self._mine and self._mine.pop(key) == each.expires_at and each.listed:
                continue  # it counts from when this process made it: the wall clock may have been set since
            if each.listed:
                self._remember(each.kind, each.identity, each.expires_at, self._end_of(each.expires_at))
            else:
                self._ends[each.kind].pop(each.identity, None)

    # -- the hot path -----------------------------------------------------------------------------------

    def listed(self, user: Identity, guild: str | None) -> Kind | None:
        """Whether the user, or the guild of that id on the user's platform, is listed now."""
        until = self._users.get(user)
        if until is not None and until > self.clock.monotonic():
            return "user"
        if guild is not None and self._guilds:
            until = self._guilds.get((user[0], guild))
            if until is not None and until > self.clock.monotonic():
                return "guild"
        return None

    def is_listed(self, kind: Kind, identity: Identity) -> bool:
        return self._ends[kind].get(identity, -math.inf) > self.clock.monotonic()

    def is_protected(self, identity: Identity) -> bool:
        """Whether ``identity`` can never be listed."""
        return self._protected(identity)

    # -- changes ----------------------------------------------------------------------------------------

    async def add(
        self,
        kind: Kind,
        identity: Identity,
        *,
        reason: str,
        by: str,
        duration: float | None = None,
        source: str = "manual",
        also: Callable[[Connection, Entry], object] | None = None,
    ) -> tuple[Entry, Entry | None]:
        """List ``identity``, for ``duration`` seconds or for ever; an entry that it has is replaced.

        :param also: what else is to be written with the entry, in its transaction
        :returns: the entry, and the one that it replaced
        :raises Protected: if it cannot be listed
        :raises StoreError: if it could not be stored; then nothing has changed
        """
        self._refuse_protected(kind, identity)
        now, end = self.clock.time(), self.clock.monotonic() + (math.inf if duration is None else duration)
        entry = Entry(
            *(identity[0], kind, identity[1], storable(reason, MAX_REASON), by, now),
            None if duration is None else now + duration,
            source,
        )
        with anyio.CancelScope(shield=True):  # what is committed must be in force
            async with self._changing:
                was_listed = self.is_listed(kind, identity)
                replaced = await self._database.write(lambda connection: _added(connection, entry, also))
                self._changed(entry, end)
        return entry, replaced if was_listed else None

    async def remove(self, kind: Kind, identity: Identity, *, reason: str, by: str) -> Entry:
        """Take ``identity`` off the list.

        :returns: what was removed
        :raises NotListed: with the nearest that are
        :raises StoreError: if it could not be stored; then nothing has changed
        """
        self._require_loaded()
        with anyio.CancelScope(shield=True):
            async with self._changing:
                removed = None
                if self.is_listed(kind, identity):
                    now = self.clock.time()
                    removed = await self._database.write(
                        lambda connection: _drop(
                            connection, kind, identity, "removed", by, now, storable(reason, MAX_REASON)
                        )
                    )
                self._ends[kind].pop(identity, None)
        if removed is None:
            raise NotListed(kind, identity, await self._database.read(lambda db: _nearest(db, kind, identity)))
        return removed

    async def sweep(self) -> None:
        """Move what has expired to the history; load again what could not be loaded.

        :raises StoreError: if the store is out of order
        """
        if self.problem is not None:
            await self.load()
            return
        with anyio.CancelScope(shield=True):
            async with self._changing:
                await self._sweep()

    async def _sweep(self) -> None:
        now, due = self.clock.monotonic(), []
        while self._ending and self._ending[0][0] <= now:
            ending = heapq.heappop(self._ending)
            if self._ends[ending[1]].get(ending[2]) == ending[0]:  # it was not changed or removed since
                due.append(ending)
        if not due:
            return
        at = self.clock.time()

        def move(connection: Connection) -> None:
            ended = [
                f"{kind} {':'.join(identity)}"
                for _, kind, identity, expires_at in due
                if _expire(connection, kind, identity, expires_at, at)
            ]
            if ended and self._audit is not None:
                self._audit.append(connection, self._audit.entry("expired", ", ".join(ended), "blacklist"))

        try:
            await self._database.write(move)
        except StoreError:
            for each in due:
                heapq.heappush(self._ending, each)
            raise
        for _, kind, identity, _ in due:
            del self._ends[kind][identity]

    def _changed(self, entry: Entry, end: float) -> None:
        """An entry was made or changed by this process.

        :param end: of it, in monotonic seconds
        """
        if self._mark is not None:
            self._mine[entry.kind, entry.identity] = entry.expires_at
        self._remember(entry.kind, entry.identity, entry.expires_at, end)

    def _remember(self, kind: Kind, identity: Identity, expires_at: float | None, end: float) -> None:
        self._ends[kind][identity] = end
        if expires_at is not None:
            heapq.heappush(self._ending, (end, kind, identity, expires_at))

    def _end_of(self, expires_at: float | None) -> float:
        """In monotonic seconds, by what the wall clock says now."""
        return math.inf if expires_at is None else self.clock.monotonic() + expires_at - self.clock.time()

    def _require_loaded(self) -> None:
        if self.problem is not None:
            raise StoreError(f"the blacklist could not be read: {self.problem}")

    def _refuse_protected(self, kind: Kind, identity: Identity) -> None:
        if kind == "user" and self._protected(identity):
            raise Protected(identity)

    # -- import -----------------------------------------------------------------------------------------

    async def plan_import(self, entries: Sequence[Entry]) -> ImportPlan:
        """What taking over ``entries`` would do; touches nothing.

        :raises StoreError: if the store cannot be read
        """
        self._require_loaded()
        now = self.clock.time()
        return await self._database.read(lambda connection: self._plan(connection, entries, now))

    def _plan(self, connection: Connection, entries: Sequence[Entry], now: float) -> ImportPlan:
        known = {(entry.kind, entry.identity): entry for entry in self._in_force(connection)}
        added, changed, unchanged, refused = [], [], [], []
        for entry in {(entry.kind, entry.identity): entry for entry in entries}.values():
            mine = known.get((entry.kind, entry.identity))
            if entry.kind == "user" and self._protected(entry.identity):
                refused.append((entry, "an owner or the bot itself"))
            elif entry.expires_at is not None and entry.expires_at <= now:
                refused.append((entry, "expired already"))
            elif mine is None:
                added.append(entry)
            elif (mine.reason, mine.expires_at) == (storable(entry.reason, MAX_REASON), entry.expires_at):
                unchanged.append(entry)
            else:
                changed.append(entry)
        return ImportPlan(tuple(added), tuple(changed), tuple(unchanged), tuple(refused))

    async def take_over(self, entries: Sequence[Entry], by: str) -> ImportPlan:
        """Add and change what ``entries`` say, all of it or nothing.

        :raises StoreError: if it could not be stored; then nothing has changed
        """
        with anyio.CancelScope(shield=True):
            async with self._changing:
                plan = await self.plan_import(entries)
                now = self.clock.time()
                taken = [
                    structs.replace(entry, reason=storable(entry.reason, MAX_REASON), source="import")
                    for entry in (*plan.added, *plan.changed)
                ]

                def store(connection: Connection) -> None:
                    for entry in taken:
                        _store(connection, entry, by, now)

                await self._database.write(store)
                for number, entry in enumerate(taken):
                    self._changed(entry, self._end_of(entry.expires_at))
                    if number % 2_000 == 1_999:
                        await anyio.lowlevel.checkpoint()  # others run while a long list is read in
        return plan

    # -- reports ----------------------------------------------------------------------------------------

    async def find(self, kind: Kind, identity: Identity) -> Entry | None:
        """The entry that is in force for ``identity``."""
        self._require_loaded()
        if not self.is_listed(kind, identity):
            return None
        return await self._database.read(lambda connection: _find(connection, kind, identity))

    async def entries(self, kind: Kind | None = None) -> tuple[Entry, ...]:
        """All entries that are in force, newest first."""
        self._require_loaded()
        return await self._database.read(
            lambda connection: tuple(each for each in self._in_force(connection) if kind in (None, each.kind))
        )

    def count(self, kind: Kind) -> int:
        """How many are listed, from memory; the last to expire are among them until the next sweep."""
        return len(self._ends[kind])

    async def listing(
        self, kind: Kind | None = None, text: str = "", *, limit: int = 50, skip: int = 0
    ) -> tuple[Listed, ...]:
        """Entries that are in force, newest first.

        :param text: what ``platform:id`` has in it, in either case
        """
        self._require_loaded()
        now = self.clock.time()
        found = await self._database.read(lambda connection: _listing(connection, kind, text, now, limit, skip))
        return tuple(each for each in found if self.is_listed(each.entry.kind, each.entry.identity))

    async def blocked(self, kind: Kind, identity: Identity) -> tuple[int, float | None]:
        """How many commands of ``identity`` were stopped, and when it was last; up to the last flush of telemetry."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT count, last_at FROM blacklist_attempts"
                " WHERE platform = :platform AND kind = :kind AND subject = :subject",
                _key(kind, identity),
            )
        )
        return rows[0] if rows else (0, None)

    def _in_force(self, connection: Connection) -> Iterator[Entry]:
        rows = connection.execute(f"SELECT {_COLUMNS} FROM blacklist ORDER BY added_at DESC, subject")
        entries = (Entry(*row) for row in rows)
        return (each for each in entries if self.is_listed(each.kind, each.identity))

    async def history(self, kind: Kind, identity: Identity) -> tuple[Change, ...]:
        """Everything that was done about ``identity``, newest first."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT action, done_by, at, reason, expires_at, source FROM blacklist_history"
                " WHERE platform = :platform AND kind = :kind AND subject = :subject ORDER BY id DESC",
                _key(kind, identity),
            )
        )
        return tuple(Change(*row) for row in rows)

    async def stats(self) -> BlacklistStats:
        entries = await self.entries()
        by_source: dict[str, int] = {}
        for entry in entries:
            by_source[entry.source] = by_source.get(entry.source, 0) + 1
        temporary = sum(entry.expires_at is not None for entry in entries)
        expired, blocked = await self._database.read(_read_counts)
        return BlacklistStats(len(entries) - temporary, temporary, expired, by_source, blocked)

    def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> None:
        """Sink for the telemetry: count the commands that were refused, by the entry that stopped them."""
        attempts: dict[tuple[str, str, str], int] = {}
        for outcome in outcomes:
            if outcome.refused_by == "blacklist":
                message = outcome.message
                by_guild = outcome.reason == REASONS["guild"] and message.guild is not None
                kind, subject = ("guild", message.guild) if by_guild else ("user", message.identity[1])
                key = (message.platform, kind, storable(subject or ""))
                attempts[key] = attempts.get(key, 0) + 1
        if attempts:
            now = self.clock.time()
            connection.execute_many(
                "INSERT INTO blacklist_attempts (platform, kind, subject, count, last_at)"
                " VALUES (:platform, :kind, :subject, :count, :at) ON CONFLICT (platform, kind, subject)"
                " DO UPDATE SET count = blacklist_attempts.count + excluded.count, last_at = excluded.last_at",
                [
                    {"platform": platform, "kind": kind, "subject": subject, "count": count, "at": now}
                    for (platform, kind, subject), count in attempts.items()
                ],
            )


REASONS: Mapping[Kind, str] = {"user": "the user is listed", "guild": "the guild is listed"}
"""What an outcome's ``reason`` says of a refusal."""


def _key(kind: Kind, identity: Identity) -> dict[str, Any]:
    return {"platform": identity[0], "kind": kind, "subject": identity[1]}


def _read_index(connection: Connection, to_monotonic: float, before: Mark | None) -> _Index:
    shared = connection.dialect == "postgresql"
    index = _Index({"user": {}, "guild": {}}, [], tail.here(connection, _HISTORY, before) if shared else None)
    kind: Kind
    for platform, kind, subject, expires_at in connection.execute(
        "SELECT platform, kind, subject, expires_at FROM blacklist"
    ):
        end = math.inf if expires_at is None else expires_at + to_monotonic
        index.ends[kind][platform, subject] = end
        if expires_at is not None:
            index.ending.append((end, kind, (platform, subject), expires_at))
    heapq.heapify(index.ending)
    return index


def _read_news(connection: Connection, mark: Mark) -> tuple[list[_Followed], Mark] | None:
    """What has become of the entries that were changed since; None if the whole list is to be read again."""
    found = tail.read_on(connection, _HISTORY, mark)
    if found is None:
        return None
    ids, mark = found
    if not ids:
        return [], mark
    rows = connection.execute(
        "SELECT DISTINCT h.kind, h.platform, h.subject, b.subject, b.expires_at FROM blacklist_history h"
        " LEFT JOIN blacklist b ON b.platform = h.platform AND b.kind = h.kind AND b.subject = h.subject"
        " WHERE h.id >= :first AND h.id <= :last",
        {"first": ids[0], "last": ids[-1]},
    )
    return [
        _Followed(kind, (platform, subject), listed is not None, expires_at)
        for kind, platform, subject, listed, expires_at in rows
    ], mark


def _read_counts(connection: Connection) -> tuple[int, int]:
    expired = connection.execute("SELECT count(*) FROM blacklist_history WHERE action = 'expired'")
    blocked = connection.execute("SELECT coalesce(sum(count), 0) FROM blacklist_attempts")
    return int(expired[0][0]), int(blocked[0][0])


def _find(connection: Connection, kind: Kind, identity: Identity) -> Entry | None:
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM blacklist WHERE platform = :platform AND kind = :kind AND subject = :subject",
        _key(kind, identity),
    )
    return Entry(*rows[0]) if rows else None


def _listing(connection: Connection, kind: Kind | None, text: str, now: float, limit: int, skip: int) -> list[Listed]:
    where = "(b.expires_at IS NULL OR b.expires_at > :now)"
    where += " AND b.kind = :kind" if kind is not None else ""
    where += " AND LOWER(b.platform || ':' || b.subject) LIKE :pattern ESCAPE '!'" if text else ""
    rows = connection.execute(
        f"SELECT {', '.join(f'b.{name}' for name in _COLUMNS.split(', '))}, COALESCE(a.count, 0), a.last_at"
        " FROM blacklist b LEFT JOIN blacklist_attempts a"
        f" ON a.platform = b.platform AND a.kind = b.kind AND a.subject = b.subject WHERE {where}"
        " ORDER BY b.added_at DESC, b.subject LIMIT :limit OFFSET :skip",
        {"now": now, "kind": kind, "pattern": f"%{like(storable(text))}%", "limit": limit, "skip": skip},
    )
    return [Listed(Entry(*entry), blocked, at) for *entry, blocked, at in rows]


def _added(connection: Connection, entry: Entry, also: Callable[[Connection, Entry], object] | None) -> Entry | None:
    replaced = _store(connection, entry, entry.added_by, entry.added_at)
    if also is not None:
        also(connection, entry)
    return replaced


def _store(connection: Connection, entry: Entry, by: str, now: float) -> Entry | None:
    """Write the entry and its line of history; the entry that it replaces."""
    replaced = _find(connection, entry.kind, entry.identity)
    connection.execute_many(
        f"INSERT INTO blacklist ({_COLUMNS})"
        " VALUES (:platform, :kind, :subject, :reason, :added_by, :added_at, :expires_at, :source)"
        " ON CONFLICT (platform, kind, subject) DO UPDATE SET reason = excluded.reason, added_by = excluded.added_by,"
        " added_at = excluded.added_at, expires_at = excluded.expires_at, source = excluded.source",
        [
            _key(entry.kind, entry.identity)
            | {
                "reason": entry.reason,
                "added_by": entry.added_by,
                "added_at": entry.added_at,
                "expires_at": entry.expires_at,
                "source": entry.source,
            }
        ],
    )
    _write_history(connection, "changed" if replaced else "added", entry, by, now, entry.reason)
    return replaced


def write_entry(connection: Connection, entry: Entry, by: str, now: float) -> None:
    """List what ``entry`` says within the caller's transaction; a blacklist in memory knows of it once it is loaded."""
    _store(connection, entry, by, now)


def _drop(
    connection: Connection, kind: Kind, identity: Identity, action: str, by: str, now: float, reason: str
) -> Entry | None:
    """Delete the entry, if there is one, and write why into the history."""
    entry = _find(connection, kind, identity)
    if entry is not None:
        connection.change(
            "DELETE FROM blacklist WHERE platform = :platform AND kind = :kind AND subject = :subject",
            _key(kind, identity),
        )
        _write_history(connection, action, entry, by, now, reason)
    return entry


def _expire(connection: Connection, kind: Kind, identity: Identity, expires_at: float, now: float) -> bool:
    """Move the entry to the history, if it still is the one that ends now: another process may have changed it."""
    entry = _find(connection, kind, identity)
    if entry is None or entry.expires_at != expires_at:
        return False
    _drop(connection, kind, identity, "expired", "blacklist", now, "")
    return True


def _write_history(connection: Connection, action: str, entry: Entry, by: str, now: float, reason: str) -> None:
    connection.change(
        "INSERT INTO blacklist_history (platform, kind, subject, action, done_by, at, reason, expires_at, source)"
        " VALUES (:platform, :kind, :subject, :action, :by, :at, :reason, :expires_at, :source)",
        _key(entry.kind, entry.identity)
        | {
            "action": action,
            "by": by,
            "at": now,
            "reason": reason,
            "expires_at": entry.expires_at,
            "source": entry.source,
        },
    )


def _nearest(connection: Connection, kind: Kind, identity: Identity) -> tuple[str, ...]:
    """Listed ids that look like that of ``identity``, of those that begin or end as it does."""
    import difflib

    near = connection.execute(
        "SELECT subject FROM blacklist WHERE platform = :platform AND kind = :kind"
        " AND (substr(subject, 1, 3) = :head OR substr(subject, length(subject) - 2, 3) = :tail) LIMIT 1000",
        {"platform": identity[0], "kind": kind, "head": identity[1][:3], "tail": identity[1][-3:]},
    )
    return tuple(difflib.get_close_matches(identity[1], [row[0] for row in near], 3, cutoff=0.7))
