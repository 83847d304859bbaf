"""What is observed about commands, on its way to the store: gathered in memory, written many at a time."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeAlias, TypeVar

import anyio

from socbot.config import StorageConfig
from socbot.dispatch.clock import Clock
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.storage.errors import StatementError, StoreError

T = TypeVar("T")
Stored: TypeAlias = Callable[[], object]
Sink: TypeAlias = Callable[[Connection, Sequence[T]], Stored | None]
"""Writes a batch; what it returns is called on the event loop, once, when that batch is on the disk.

It is given a batch again when the transaction failed, so what it keeps in memory it counts in there.
"""
OnError: TypeAlias = Callable[[Sink[T], Exception], None]

BATCH: Final = 1_000
"""The most events in one transaction, and how many cause one before the interval is over."""


class Telemetry(Generic[T]):
    """Events that may be lost in a crash, up to ``flush_interval``'s worth, so that no command waits for a disk.

    When the database fails, events are kept and tried again, the oldest of them giving way once ``buffer`` are
    waiting. A sink that fails by itself loses its share of that batch alone: the other sinks' is written.

    :param on_error: told which sink failed and how; called on the event loop
    """

    def __init__(
        self, database: Database, clock: Clock, config: StorageConfig, on_error: OnError[T] | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._on_error = on_error
        self._sinks: list[Sink[T]] = []
        self._buffer: deque[T] = deque()
        self._under_way: list[T] = []
        self._flushing = anyio.Lock()
        self._many = anyio.Event()
        self._took = 0.0
        self._dropped = 0
        self._sink_errors = 0
        self._failure: StoreError | None = None
        self.configure(config)

    def configure(self, config: StorageConfig) -> None:
        self._interval = config.flush_interval
        self._limit = config.buffer
        self._attention = min(BATCH, self._limit)

    def add_sink(self, sink: Sink[T]) -> None:
        """Give every later batch to ``sink``, on the database's thread, in the transaction that stores it."""
        self._sinks.append(sink)

    def record(self, event: T) -> None:
        """Keep ``event`` for the next flush. Waits for nothing and never fails."""
        self._buffer.append(event)
        if len(self._buffer) >= self._attention:
            self._attend()

    @property
    def waiting(self) -> int:
        """How many events are not stored yet."""
        return len(self._buffer) + len(self._under_way)

    @property
    def dropped(self) -> int:
        """How many events were given up because the database did not take them in time."""
        return self._dropped

    @property
    def sink_errors(self) -> int:
        """How many batches a sink failed to store."""
        return self._sink_errors

    @property
    def failure(self) -> StoreError | None:
        """Why the last flush failed; None if it did not."""
        return self._failure

    async def flush(self) -> None:
        """Return once everything recorded so far is stored.

        :raises StoreError: if the database failed; the events are kept for the next flush
        """
        due = self.waiting
        async with self._flushing:
            while self._buffer and due > 0:
                due -= await self._flush_batch()

    async def run(self) -> None:
        """Flush every ``flush_interval`` seconds, or as soon as a batch is full, until cancelled."""
        while True:
            await self._pause()
            try:
                await self.flush()
            except StoreError:
                # Kept in ``failure``, where health looks, and tried again; not at once, though the buffer be full.
                await self._clock.sleep(self._interval)

    async def close(self) -> None:
        """Store what is waiting; to be called when ``run`` has ended and nothing more is recorded.

        :raises StoreError: if the database failed; then what was waiting is lost and counted as dropped
        """
        with anyio.CancelScope(shield=True):
            try:
                await self.flush()
            finally:
                self._dropped += len(self._buffer)
                self._buffer.clear()

    def _attend(self) -> None:
        self._many.set()
        self._give_way()
        self._attention = self._limit - len(self._under_way)  # the next thing to attend to is a full buffer

    def _give_way(self) -> None:
        while self.waiting > self._limit and self._buffer:
            self._buffer.popleft()
            self._dropped += 1

    async def _pause(self) -> None:
        """Return when it is time to write, or there is a batch to write.

        An event that just missed a write waits for its end, for this, and for the end of the next one: all of that
        together is the interval, as long as the disk is not slower than that.
        """
        if len(self._buffer) >= BATCH:
            return
        self._many = anyio.Event()
        async with anyio.create_task_group() as tasks:

            async def full() -> None:
                await self._many.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(full)
            await self._clock.sleep(max(self._interval / 4, self._interval - 2 * self._took))
            tasks.cancel_scope.cancel()

    async def _flush_batch(self) -> int:
        """Store the oldest events, at most a batch; return how many there were."""
        batch = self._under_way = [self._buffer.popleft() for _ in range(min(BATCH, len(self._buffer)))]
        sinks, began = tuple(self._sinks), self._clock.monotonic()
        try:
            # To the end even if the caller is cancelled: only then is it known whether the batch is stored.
            with anyio.CancelScope(shield=True):
                failures, stored = await self._database.write(lambda connection: _store(connection, sinks, batch))
        except StoreError as error:
            self._failure = error
            self._buffer.extendleft(reversed(batch))
            raise
        else:
            self._failure = None
            self._took = self._clock.monotonic() - began
        finally:
            self._under_way = []
            self._attention = min(BATCH, self._limit)
            self._give_way()
        for tell in stored:
            tell()
        self._report(failures)
        return len(batch)

    def _report(self, failures: list[tuple[Sink[T], Exception]]) -> None:
        self._sink_errors += len(failures)
        if self._on_error is not None:
            for sink, error in failures:
                self._on_error(sink, error)


def _store(
    connection: Connection, sinks: Sequence[Sink[T]], batch: Sequence[T]
) -> tuple[list[tuple[Sink[T], Exception]], list[Stored]]:
    """Give ``batch`` to every sink; those that failed by themselves, with what they raised, and what the others return.

    :raises StoreError: if the database failed, so that nothing is stored
    """
    failures: list[tuple[Sink[T], Exception]] = []
    stored: list[Stored] = []
    for sink in sinks:
        connection.execute("SAVEPOINT sink")
        try:
            if (tell := sink(connection, batch)) is not None:
                stored.append(tell)
        # A boundary: what one sink gets wrong must not cost the others their data.
        except Exception as error:
            if isinstance(error, StoreError) and not isinstance(error, StatementError):
                raise
            failures.append((sink, error))
            connection.execute("ROLLBACK TO SAVEPOINT sink")
        connection.execute("RELEASE SAVEPOINT sink")
    return failures, stored
