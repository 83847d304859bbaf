"""The bridge between the event loop and a database: one thread that owns one session."""

import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar, cast

import anyio
from anyio.lowlevel import current_token

from socbot.dispatch.clock import Clock
from socbot.storage.connection import Connection, Session
from socbot.storage.errors import StoreBusy, StoreError, StoreUncertain

T = TypeVar("T")

GROUP = 64
"""The most works that share a transaction, and so one wait for the disk."""


class _Ticket(Generic[T]):
    """One work that somebody waits for."""

    __slots__ = ("abandoned", "begun", "deadline", "done", "error", "post", "result", "work")

    def __init__(self, work: Callable[[Connection], T], deadline: float) -> None:
        self.work = work
        self.deadline = deadline
        self.abandoned = self.begun = False
        self.done = anyio.Event()
        self.post = _poster()
        self.error: BaseException | None = None
        self.result: T


class _Parking:
    """Between two works: the session is closed, and the thread waits until it may go on."""

    __slots__ = ("done", "go_on", "post")

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.go_on = threading.Event()
        self.post = _poster()


class Lane:
    """Runs works one after the other on a thread of its own, each in a transaction.

    Works that queue up behind one another share a transaction, each within a savepoint: one that fails takes
    nothing of the others with it, and all are answered after the one commit.

    :param connect: makes the session, on the thread, when the first work needs it or after it was lost
    :param patience: seconds that a work may wait for a lock that another process holds
    :param group: the most works that share a transaction
    """

    def __init__(
        self, name: str, connect: Callable[[], Session], clock: Clock, patience: float, group: int = GROUP
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._patience = patience
        self._group = group
        self._session: Session | None = None
        self._state = threading.Lock()
        self._at_work = self._overdue = False
        self._tickets: SimpleQueue[_Ticket[Any] | _Parking | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._closed = False
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many works have not begun."""
        return self._tickets.qsize()

    async def run(self, work: Callable[[Connection], T], within: float | None = None) -> T:
        """Return what ``work`` returns, after the commit; raise what it raises, after the rollback.

        If the caller is cancelled, work that has begun is finished and committed; work that has not is dropped.

        :param within: seconds after which the caller waits no longer, for its turn too; nobody else waits then for
            the transaction that is under way
        :raises StoreError: if the transaction could not be begun or committed
        :raises StoreBusy: if the work had not begun ``within`` that time, and is not done
        :raises StoreUncertain: if it had begun
        """
        if self._closed:
            raise StoreError("the database is closed")
        ticket = _Ticket(work, self._clock.monotonic() + self._patience)
        self._tickets.put(ticket)
        try:
            if within is None:
                await ticket.done.wait()
            else:
                with anyio.move_on_after(0.0 if self._overdue else within):
                    await ticket.done.wait()
        finally:
            with self._state:
                ticket.abandoned = True
        if not ticket.done.is_set():
            with self._state:
                self._overdue = self._at_work
            if ticket.begun:
                raise StoreUncertain("the database has not answered in time: the change may or may not be kept")
            raise StoreBusy("the database has not answered in time; nothing was changed")
        if ticket.error is not None:
            raise ticket.error
        return ticket.result

    @asynccontextmanager
    async def parked(self) -> AsyncIterator[None]:
        """Within the block there is no session, and what is asked for waits; what was asked for before is finished."""
        if self._closed:
            raise StoreError("the database is closed")
        parking = _Parking()
        self._tickets.put(parking)
        try:
            await parking.done.wait()
            yield
        finally:
            parking.go_on.set()

    async def close(self) -> None:
        """Finish what is queued, then close the session on its thread."""
        if self._closed:
            return
        self._closed = True
        self._tickets.put(None)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._thread.join)

    # -- on the thread ------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            group, last = self._next_group()
            if group:
                self._run(group)
            if last is None:
                break
            if isinstance(last, _Parking):
                self._park(last)
        self._leave()

    def _next_group(self) -> tuple[list[_Ticket[Any]], "_Ticket[Any] | _Parking | None"]:
        """Everything that waits, up to ``GROUP``, and what came last of it; None once the lane is closed."""
        group: list[_Ticket[Any]] = []
        ticket = self._tickets.get()
        while isinstance(ticket, _Ticket):
            if not ticket.abandoned:
                group.append(ticket)
            if len(group) == self._group:
                return group, ticket
            try:
                ticket = self._tickets.get_nowait()
            except Empty:
                return group, ticket
        return group, ticket

    def _park(self, parking: _Parking) -> None:
        self._leave()
        _answer([parking])
        parking.go_on.wait()

    def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _run(self, group: list[_Ticket[Any]]) -> None:
        """Run ``group`` as one transaction, and answer every ticket in it."""
        pending = group
        self._at_work = True
        try:
            session, pending = self._begin(group)
            with self._state:
                pending = [ticket for ticket in pending if not ticket.abandoned]
                for ticket in pending:
                    ticket.begun = True
            self._work(session, pending)
        # The boundary between two threads: whatever goes wrong here belongs to those who wait over there, and there
        # is no cancellation on this side.
        except BaseException as error:
            if self._session is not None:
                self._session.rollback()
            for ticket in pending:
                ticket.error = ticket.error or error
        with self._state:
            self._at_work = self._overdue = False
        _answer(group)

    def _begin(self, group: list[_Ticket[Any]]) -> tuple[Session, list[_Ticket[Any]]]:
        """Begin as soon as the database is free; also return those whose patience has not ended before.

        :raises StoreBusy: if nobody's patience was enough
        """
        pending = sorted(group, key=lambda ticket: ticket.deadline)
        while True:
            now = self._clock.monotonic()
            try:
                return self._begun(max(0.0, pending[0].deadline - now)), pending
            except StoreBusy as error:
                now = self._clock.monotonic()
                rest = [ticket for ticket in pending[1:] if ticket.deadline > now]
                if not rest:
                    raise
                late, pending = pending[: -len(rest)], rest
                for ticket in late:
                    ticket.error = error
                _answer(late)

    def _begun(self, patience: float) -> Session:
        """The session, in a transaction; a new one if the old was lost, since nothing has been done on it yet."""
        if self._session is not None and not self._session.broken:
            try:
                self._session.begin(patience)
                return self._session
            except StoreError:
                if not self._session.broken:
                    raise
        if self._session is not None:
            self._session.close()
            self._session = None
        self._session = self._connect()
        self._session.begin(patience)
        return self._session

    def _work(self, session: Session, pending: list[_Ticket[Any]]) -> None:
        if len(pending) == 1:
            pending[0].result = pending[0].work(session)
        else:
            for ticket in pending:
                _work_within_savepoint(session, ticket)
        session.commit()


def _work_within_savepoint(session: Session, ticket: _Ticket[Any]) -> None:
    """Keep or undo one work of a group.

    :raises StoreError: if the failure ended the whole transaction
    """
    session.execute("SAVEPOINT one")
    try:
        ticket.result = ticket.work(session)
    # As in ``_run``: the failure belongs to the one who waits for this work.
    except BaseException as error:
        ticket.error = error
        session.execute("ROLLBACK TO SAVEPOINT one")
    session.execute("RELEASE SAVEPOINT one")


def _poster() -> Callable[[Callable[[], object]], object]:
    """How another thread calls into the event loop that is running here, without waiting for it."""
    loop = cast(Any, current_token().native_token)
    post = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon
    return cast(Callable[[Callable[[], object]], object], post)


def _answer(tickets: "Iterable[_Ticket[Any] | _Parking]") -> None:
    """Wake those who wait."""
    for ticket in tickets:
        try:
            ticket.post(ticket.done.set)
        except RuntimeError:  # the loop has ended, and who waited on it with it
            continue
