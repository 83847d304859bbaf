"""The audit trail: who did what, when, and what came of it, each record chained to the one before by its hash.

Every command that is not for everybody leaves one record, and so does everything that the bot does by itself about
people or its own state. Nothing ever deletes a record. Whoever edits, removes or reorders one in the store is found by
``verify``; whoever rewrites the whole chain is found by comparing its head with one that was kept elsewhere, as
in the manifest of each backup. Ids stay in it when a person is forgotten: it is what the bot's owners answer by. With
``analytics.hash_ids`` they are pseudonyms from the beginning.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import anyio
import msgspec
from msgspec import Struct, structs

from socbot.dispatch.clock import Clock
from socbot.dispatch.commands import Command
from socbot.dispatch.errors import WITHHELD, GuardFailed, InvalidArgument
from socbot.dispatch.messages import Identity
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Field, Reply
from socbot.jobs.job import Job
from socbot.jobs.schedules import Continuous
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.errors import StoreError
from socbot.storage.sql import like
from socbot.systems.identities import storable
from socbot.tracebacks import Redact

_log = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds that a command's answer waits for its record to be on the disk."""

MOST_PENDING = 10_000
"""Records kept in memory while the store fails; further ones are counted."""

MOST_DENIED = 100
"""Denials that are recorded one by one within a minute; further ones are one record together: a flood is no trail."""

MOST_LOOKED_AT = 20_000
"""Records that one search goes through."""

KEPT_FINE = 60.0
"""Seconds for which a trail that was verified whole is not verified again."""

MOST_TEXT = 300
"""Characters of a record's ``what``."""

HEAD_ROW = 0
"""The id of the row that is no record: it says how many there are, and how the last one hashes."""

_LOCK = 0x50C_A0D1  # any number, the same in every process that writes the trail
_BATCH = 500
_MINUTE = 60.0
_RETRY = 1.0
_GATHER = 0.25
_CLOSE_PATIENCE = 5.0
_DENIED = ("permission", "confirmation")
_TURNED_DOWN = (*_DENIED, "cooldown", "concurrency")  # by the dispatcher's own gate, behind the permission


class Entry(Struct, frozen=True):
    """What is to be recorded; ``at`` in seconds since 1970.

    :param who: ``platform:id``, or the part of the bot that acted by itself
    :param what: a command's arguments, or what was acted on, without secrets
    """

    at: float
    who: str
    action: str
    what: str = ""
    result: str = "ok"
    trace_id: str = ""


class Record(Struct, frozen=True):
    """An entry in its place: the first is 1, and none is left out.

    :param previous: the hash of the record before; empty for the first
    """

    id: int
    at: float
    who: str
    action: str
    what: str
    result: str
    trace_id: str
    previous: str
    hash: str


class Head(Struct, frozen=True):
    """Where the chain ends: how many records, and the hash of the last."""

    count: int = 0
    hash: str = ""


class Flaw(Struct, frozen=True):
    """The first record that is not as it was written, and what is wrong with it."""

    id: int
    what: str

    def __str__(self) -> str:
        return f"record {self.id} {self.what}"


class Wanted(Struct, frozen=True):
    """Which records: those that have ``who`` in theirs, are of ``action``, and begin with ``result``; all if empty."""

    who: str = ""
    action: str = ""
    result: str = ""


class Found(Struct, frozen=True):
    """Records that were looked for, newest first.

    :param before: the record before which to go on; None once there are no more
    """

    records: tuple[Record, ...]
    before: int | None = None


class Inspection(Struct, frozen=True):
    """How far the trail has been verified, piece by piece from its first record on.

    :param at: when the last piece was looked at, in seconds since 1970
    :param looked_at: records that are as they were written
    :param total: records that there are
    :param done: whether that is all of them, or a flaw was found
    :param flaw: what is wrong, and with which record; empty if nothing is
    """

    at: float
    looked_at: int
    total: int
    done: bool
    flaw: str = ""


class Kept(Struct, frozen=True):
    """A whole trail, to be put into another store."""

    records: list[Record]
    head: Head


class Audit:
    """Writes the trail. Also the dispatcher's ``Ledger``.

    :param redact: takes secrets out of what is recorded
    :param name_of: how a person is written down
    :ivar lost: records that could not be kept at all, because the store failed for too long
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        redact: Redact,
        name_of: Callable[[Identity], str] = lambda identity: storable(identity[1]),
    ) -> None:
        self._database, self._clock, self._redact, self._name_of = database, clock, redact, name_of
        self._pending: deque[Entry] = deque()
        self._written = 0  # of all that were ever pending
        self._doubtful = 0  # of the first pending: written by a transaction whose end was not seen
        self._since = 0  # records that were there before those
        self._failing = False
        self._minute, self._denied, self._unlisted = -_MINUTE, 0, 0
        self._flushing = anyio.Lock()
        self._wake = anyio.Event()
        self._untold = 0
        self._sound, self._inspection = Head(), Inspection(0.0, 0, 0, True)
        self._inspecting = anyio.Lock()
        self.lost = 0

    def jobs(self) -> tuple[Job, ...]:
        return (Job("audit", self.run, Continuous(), "writes down who did what", protected=True),)

    @property
    def pending(self) -> int:
        """How many records are not on the disk yet."""
        return len(self._pending)

    # -- what the bot does by itself ------------------------------------------------------------------

    def entry(self, action: str, what: str = "", by: str = "socbot", result: str = "ok", trace_id: str = "") -> Entry:
        """What ``append`` takes: bounded and without secrets."""
        shown = storable(self._redact(what, MOST_TEXT), MOST_TEXT + 1)
        return Entry(float(self._clock.time()), storable(by), storable(action), shown, storable(result), trace_id)

    def append(self, connection: Connection, *entries: Entry) -> None:
        """Record ``entries`` within the caller's transaction, on the store's thread."""
        append(connection, entries)

    async def record(self, action: str, what: str = "", by: str = "socbot", result: str = "ok") -> None:
        """Record what the bot did by itself; on the disk when this returns, unless the store fails for now.

        Raises nothing of its own: what was done is done.
        """
        self.remember(action, what, by, result)
        await self._flushed()

    def remember(self, action: str, what: str = "", by: str = "socbot", result: str = "ok") -> None:
        """Record it a moment later."""
        self._add(self.entry(action, what, by, result))

    # -- commands: the dispatcher's ledger ------------------------------------------------------------

    def note(self, outcome: Outcome, command: Command | None, arguments: str) -> int | None:
        """Take down how a command ended; the number that ``settle`` waits for, where its handler was reached."""
        reached = outcome.trace is not None and outcome.trace.handler_reached
        if reached:
            if outcome.status == "ok" and outcome.reply is not None and outcome.reply.question is not None:
                return None  # it has only asked
            return self._add(self._entry_of(outcome, command, arguments))
        turned_down = outcome.refused_by in _TURNED_DOWN or isinstance(outcome.error, GuardFailed)
        if (outcome.status == "invalid" or turned_down) and self._is_within_bounds():
            self._add(self._entry_of(outcome, command, arguments))
        return None

    async def settle(self, number: int, outcome: Outcome) -> Outcome:
        """Return ``outcome`` once what was noted of it is on the disk, or with a word about it if that takes long."""
        if not self._failing:
            await self._flushed()
        if self._written >= number:
            return outcome
        return structs.replace(outcome, reply=_unrecorded(outcome.reply))

    def _entry_of(self, outcome: Outcome, command: Command | None, arguments: str) -> Entry:
        platform = outcome.identity[0]
        return self.entry(
            command.name if command else "confirm",
            _given(outcome, command, arguments),
            f"{platform}:{self._name_of(outcome.identity)}",
            _result(outcome),
            "" if outcome.trace is None else outcome.trace.id,
        )

    def _is_within_bounds(self) -> bool:
        now = self._clock.monotonic()
        if now - self._minute >= _MINUTE:
            self._sum_up()
            self._minute, self._denied = now, 0
        self._denied += 1
        if self._denied <= MOST_DENIED:
            return True
        self._unlisted += 1
        return False

    def _sum_up(self) -> None:
        """Record the denials that were too many to be recorded one by one."""
        if self._unlisted:
            self.remember("denied", f"{self._unlisted} more within a minute", result="denied")
            self._unlisted = 0

    # -- to the store ---------------------------------------------------------------------------------

    def _add(self, entry: Entry) -> int:
        """Keep ``entry`` until it is written; its number."""
        if len(self._pending) >= MOST_PENDING:
            # The newest gives way: nobody is to push what is on record out of it by doing more.
            self.lost += 1
            self._untold += 1
            return self._written + MOST_PENDING + 1
        self._pending.append(entry)
        self._wake.set()
        return self._written + len(self._pending)

    async def _flushed(self) -> None:
        """Flush for as long as an answer can wait."""
        try:
            with anyio.move_on_after(PATIENCE, shield=True) as patience:
                await self.flush()
        except StoreError as error:
            _log.error("the audit trail cannot be written: %s", error)
        if patience.cancelled_caught:
            self._failing = True

    async def flush(self) -> None:
        """Return once everything noted so far is on the disk.

        :raises StoreError: if that failed; it is kept for the next time
        """
        due = self._written + len(self._pending)
        async with self._flushing:
            while self._written < due:
                await self._flush_batch()
            if self._untold:
                untold, self._untold = self._untold, 0
                self.remember("audit", f"{untold} records were lost: the store failed for too long", result="lost")

    async def _flush_batch(self) -> None:
        batch = tuple(islice(self._pending, _BATCH))
        doubtful, since = self._doubtful, self._since
        self._doubtful = len(batch)
        try:
            head = await self._database.write(lambda connection: _write(connection, batch, doubtful, since))
        except StoreError:
            self._failing = True
            raise
        for _ in batch:
            self._pending.popleft()
        self._written += len(batch)
        self._doubtful, self._since, self._failing = 0, head.count, False

    async def run(self) -> None:
        """Write what no answer waits for, until cancelled."""
        while True:
            await self._wake.wait()
            await self._clock.sleep(_RETRY if self._failing else _GATHER)
            self._wake = anyio.Event()
            try:
                await self.flush()
            except StoreError:
                self._wake.set()  # ``pending`` tells health of it

    async def close(self) -> None:
        """Write what is left, as far as that can be done in a few seconds."""
        self._sum_up()
        with anyio.move_on_after(_CLOSE_PATIENCE, shield=True):
            try:
                await self.flush()
            except StoreError as error:
                _log.error("%d records of the audit trail were lost: %s", len(self._pending), error)

    # -- asking ---------------------------------------------------------------------------------------

    async def entries(self, count: int = 100, before: int | None = None) -> tuple[Record, ...]:
        """The newest records, newest first; those before the record ``before`` if given."""
        await self.flush()
        return await self._database.read(lambda connection: newest(connection, count, before))

    async def find(self, wanted: Wanted, count: int = 50, before: int | None = None) -> Found:
        """The newest records that fit, of at most ``MOST_LOOKED_AT`` before the record ``before``."""
        await self.flush()
        return await self._database.read(lambda connection: find(connection, wanted, count, before))

    async def inspect(self, seconds: float = 0.02) -> Inspection:
        """Verify the next piece of the trail, for about so long, and begin anew a minute after it was verified whole.

        A long trail is verified by asking again and again; whoever asks waits for no more than a piece.
        """
        await self.flush()
        async with self._inspecting:
            now, ends = self._clock.time(), self._clock.monotonic() + seconds
            last = self._inspection
            if last.done:
                if 0 <= now - last.at < KEPT_FINE and last.total:
                    return last
                self._sound = Head()
            while True:
                piece = await self._database.read(lambda connection: _piece(connection, self._sound))
                self._sound, flaw, total, done = piece
                if done or self._clock.monotonic() >= ends:
                    break
            self._inspection = Inspection(now, self._sound.count, total, done, "" if flaw is None else str(flaw))
            return self._inspection

    async def head(self) -> Head:
        """Where the chain ends: what to keep elsewhere."""
        await self.flush()
        return await self._database.read(head_of)

    async def verify(self, anchor: str = "") -> Flaw | None:
        """The first record that is not as it was written; None if all are.

        :param anchor: the hash of a record that must be among them, as one kept elsewhere
        """
        await self.flush()
        return await self._database.read(lambda connection: verify(connection, anchor))


# -- in words -----------------------------------------------------------------------------------------


def _given(outcome: Outcome, command: Command | None, arguments: str) -> str:
    """The arguments; nothing of them where one may be a secret."""
    if command is None or outcome.refused_by == "confirmation":
        return outcome.reason or ""
    withheld = isinstance(outcome.error, InvalidArgument) and outcome.error.value == WITHHELD
    return WITHHELD if arguments and (command.sensitive or withheld) else arguments


def _result(outcome: Outcome) -> str:
    if outcome.status == "refused":
        return "denied" if outcome.refused_by in _DENIED else f"refused: {outcome.refused_by}"
    if outcome.status == "failed":
        return f"failed {outcome.error_id or outcome.reason or ''}".rstrip()
    return outcome.status


def _unrecorded(reply: Reply | None) -> Reply:
    reply = reply or Reply()
    text = "This could not be written to the audit trail yet: the store does not answer. It is written when it does."
    return structs.replace(reply, fields=(*reply.fields, Field("Not recorded", text, inline=False)))


# -- the chain in the store ---------------------------------------------------------------------------

_COLUMNS = ", ".join(Record.__struct_fields__)
_INSERT = f"INSERT INTO audit ({_COLUMNS}) VALUES ({', '.join(':' + name for name in Record.__struct_fields__)})"


def append(connection: Connection, entries: Sequence[Entry]) -> Head:
    """Add ``entries`` to the end of the chain; where it ends then."""
    if connection.dialect == "postgresql":
        # Other processes write to it too, and none may take the same place.
        connection.execute("SELECT pg_advisory_xact_lock(:lock)", {"lock": _LOCK})
    head, rows = head_of(connection), []
    for entry in entries:
        record = Record(id=head.count + 1, **structs.asdict(entry), previous=head.hash, hash="")
        record = structs.replace(record, hash=_hash(record))
        rows.append(structs.asdict(record))
        head = Head(record.id, record.hash)
    connection.execute_many(_INSERT, rows)
    if rows:
        _set_head(connection, head, rows[-1]["at"])
    return head


def head_of(connection: Connection) -> Head:
    """Where the chain ends, as it was last written; behind what was put in since, whose place is taken."""
    return max(_stored_head(connection) or Head(), _last(connection), key=lambda head: head.count)


def newest(connection: Connection, count: int, before: int | None = None) -> tuple[Record, ...]:
    """The newest records, newest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM audit WHERE id > :head AND id < :before ORDER BY id DESC LIMIT :count",
        {"head": HEAD_ROW, "before": 2**62 if before is None else before, "count": count},
    )
    return tuple(Record(*row) for row in rows)


def find(connection: Connection, wanted: Wanted, count: int, before: int | None) -> Found:
    """The newest records that fit; see ``Audit.find``."""
    last = before if before is not None else _last(connection).count + 1
    floor = max(HEAD_ROW, last - MOST_LOOKED_AT - 1)
    clauses = {
        "who": "lower(who) LIKE :who ESCAPE '!'",
        "action": "lower(action) = :action",
        "result": "lower(result) LIKE :result ESCAPE '!'",
    }
    likes = {"who": f"%{like(wanted.who)}%", "action": wanted.action.lower(), "result": f"{like(wanted.result)}%"}
    given = [name for name in clauses if getattr(wanted, name)]
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM audit WHERE id > :floor AND id < :before"
        + "".join(f" AND {clauses[name]}" for name in given)
        + " ORDER BY id DESC LIMIT :count",
        {"floor": floor, "before": last, "count": count} | {name: likes[name] for name in given},
    )
    records = tuple(Record(*row) for row in rows)
    following = records[-1].id if len(records) == count else floor + 1
    return Found(records, following if following > HEAD_ROW + 1 else None)


def _piece(connection: Connection, sound: Head) -> tuple[Head, Flaw | None, int, bool]:
    """Verify what is after ``sound``: up to where it is, what is wrong, how many there are, whether that was all."""
    stored, total = _stored_head(connection), head_of(connection).count
    # Before the first there is none: what was put in there is in the first piece.
    after = sound.count if sound.count else -(2**62)
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM audit WHERE id > :after AND id <> :head ORDER BY id LIMIT 2000",
        {"after": after, "head": HEAD_ROW},
    )
    for record in (Record(*row) for row in rows):
        if flaw := _flaw(record, sound):
            return sound, flaw, total, True
        sound = Head(record.id, record.hash)
    if len(rows) == 2000:
        return sound, None, total, False
    return sound, _flaw_at_the_end(stored, sound), total, True


def verify(connection: Connection, anchor: str = "") -> Flaw | None:
    """The first record that is not as it was written; see ``Audit.verify``."""
    head, last, anchored = _stored_head(connection), Head(), not anchor
    for record in _oldest_first(connection):
        if flaw := _flaw(record, last):
            return flaw
        last = Head(record.id, record.hash)
        anchored = anchored or record.hash == anchor
    if flaw := _flaw_at_the_end(head, last):
        return flaw
    return None if anchored else Flaw(last.count, f"ends a chain in which no record has the hash {anchor[:64]}")


def _flaw(record: Record, last: Head) -> Flaw | None:
    due = last.count + 1
    if record.id > due:
        return Flaw(due, "is missing")
    if record.id < due:
        return Flaw(record.id, "was put in before the first")
    if record.hash != _hash(record):
        return Flaw(record.id, "is not as it was written")
    if record.previous != last.hash:
        # Each is sound in itself, and the later one knew another in this place.
        return Flaw(max(1, last.count), "is not the one that the next was chained to")
    return None


def _flaw_at_the_end(head: Head | None, last: Head) -> Flaw | None:
    if head is None:
        return Flaw(last.count, "may not be the last: where the chain ends is not on record") if last.count else None
    if last.count < head.count:
        return Flaw(last.count + 1, "is missing")
    if last.count > head.count:
        return Flaw(head.count + 1, "was put in after the last")
    return None if last.hash == head.hash else Flaw(last.count, "is not the one that was written last")


def _hash(record: Record) -> str:
    """SHA-256 over everything else in the record, its place and the hash before it among that."""
    from hashlib import sha256  # loads OpenSSL, on the store's thread: a start does not wait for it

    return sha256(msgspec.json.encode(structs.astuple(record)[:-1])).hexdigest()


def _oldest_first(connection: Connection) -> Iterator[Record]:
    after, sql = -(2**62), f"SELECT {_COLUMNS} FROM audit WHERE id > :after ORDER BY id LIMIT 1000"
    while rows := connection.execute(sql, {"after": after}):
        yield from (Record(*row) for row in rows if row[0] != HEAD_ROW)
        after = rows[-1][0]


def _write(connection: Connection, entries: Sequence[Entry], doubtful: int, since: int) -> Head:
    """Append ``entries``, but of the first ``doubtful`` those only that are not there yet."""
    missing = [entry for entry in entries[:doubtful] if not _is_there(connection, entry, since)]
    return append(connection, [*missing, *entries[doubtful:]])


def _is_there(connection: Connection, entry: Entry, since: int) -> bool:
    where = " AND ".join(f"{name} = :{name}" for name in Entry.__struct_fields__)
    values = structs.asdict(entry) | {"since": since}
    return bool(connection.execute(f"SELECT 1 FROM audit WHERE id > :since AND {where} LIMIT 1", values))


def _stored_head(connection: Connection) -> Head | None:
    rows = connection.execute("SELECT what, hash FROM audit WHERE id = :head", {"head": HEAD_ROW})
    return Head(int(rows[0][0]) if rows[0][0].isdecimal() else 0, rows[0][1]) if rows else None


def _last(connection: Connection) -> Head:
    rows = connection.execute(
        "SELECT id, hash FROM audit WHERE id > :head ORDER BY id DESC LIMIT 1", {"head": HEAD_ROW}
    )
    return Head(*rows[0]) if rows else Head()


def _set_head(connection: Connection, head: Head, at: float) -> None:
    row = Record(HEAD_ROW, at, "", "head", str(head.count), "", "", "", head.hash)
    connection.change(
        f"{_INSERT} ON CONFLICT (id) DO UPDATE SET at = excluded.at, what = excluded.what, hash = excluded.hash",
        structs.asdict(row),
    )


# -- from one store into another ----------------------------------------------------------------------


def keep(connection: Connection) -> Kept:
    """The whole trail of a store that is about to be replaced, its head with it."""
    return Kept(list(_oldest_first(connection)), head_of(connection))


def put_back(connection: Connection, kept: Kept) -> None:
    """Make ``kept`` the trail of this store, in place of what it has; nothing changes if ``kept`` is empty."""
    if not kept.records:
        return
    connection.change("DELETE FROM audit")
    connection.execute_many(_INSERT, [structs.asdict(record) for record in kept.records])
    _set_head(connection, kept.head, kept.records[-1].at)


def carry_over(live: Connection, restored: Connection) -> None:
    """Take the trail of the store that was in use into the one that takes its place: a restore erases none of it."""
    put_back(restored, keep(live))
