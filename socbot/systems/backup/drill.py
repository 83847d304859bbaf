"""A restore that is tried: into a scratch folder, with a bot started on it that answers commands.

A backup that was verified is what was packed; one that was proven is a bot that works.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import anyio

from socbot.config import StorageConfig
from socbot.dispatch.clock import Clock
from socbot.dispatch.outcomes import Outcome
from socbot.storage import swaps
from socbot.storage.database import Database
from socbot.storage.errors import StoreError
from socbot.storage.snapshots import stage as stage_store
from socbot.systems.backup import records
from socbot.systems.backup.archive import extract
from socbot.systems.backup.errors import BackupError
from socbot.systems.backup.records import Drill, DrillStep, Mark
from socbot.systems.backup.restore import STORE, place_of
from socbot.systems.backup.shelf import Backup, Shelf
from socbot.systems.backup.threads import OffLoop, Tell, Work, on_a_thread, silent

Run: TypeAlias = Callable[[str], Awaitable[Outcome]]
Rehearse: TypeAlias = Callable[[Path], AbstractAsyncContextManager[Run]]
"""Starts a bot on the store at that path, apart from everything else, and gives what runs a command on it."""

RETRY: Final = 86_400.0
"""Seconds until a drill that failed is tried again, unless the next is due before."""


class Drills:
    """Drills, and what they prove of the backups, on record."""

    def __init__(
        self, database: Database, clock: Clock, storage: StorageConfig, shelf: Shelf, rehearse: Rehearse | None
    ) -> None:
        self._database, self._clock, self._storage, self._shelf = database, clock, storage, shelf
        self._rehearse = rehearse
        self._off_loop = OffLoop(clock)

    @property
    def are_possible(self) -> bool:
        """Whether there is a bot that can be tried."""
        return self._rehearse is not None

    async def is_due(self) -> bool:
        """Whether the last is ``backup.drill_interval`` ago."""
        last = await self._database.read(records.last_drill)
        if last is None:
            return True
        interval = self._shelf.config.drill_interval
        if not last.passed:
            interval = min(interval, RETRY)
        return not 0 <= self._clock.time() - last.at < interval

    async def run(self, name: str | None, tell: Tell = silent) -> Drill:
        """Try the backup of that name, or the newest.

        :raises InvalidArgument: if there is none of that name
        :raises BackupError: if there is none at all, or no bot to try
        """
        if self._rehearse is None:
            raise BackupError("There is no bot here that could be tried on it.")
        backup = await self._off_loop(lambda work: self._wanted(name))
        config = self._shelf.config
        scratch = place_of(self._storage, config).scratch
        done = await drill(backup, self._shelf, scratch, config.drill_commands, self._rehearse, self._clock, tell)

        def proven(mark: Mark) -> Mark:
            return Mark(done.at, done.at, "") if done.passed else Mark(mark.verified_at, None, mark.problem)

        await self._database.write(lambda connection: records.add_drill(connection, done))
        await self._database.write(lambda connection: records.change_mark(connection, backup, proven))
        return done

    def _wanted(self, name: str | None) -> Backup:
        if name is not None:
            return self._shelf.find(name)
        backups = self._shelf.backups()
        if not backups:
            raise BackupError("There is no backup yet; `backup_now` makes one.")
        return backups[0]


async def drill(
    backup: Backup, shelf: Shelf, scratch: Path, commands: Sequence[str], rehearse: Rehearse, clock: Clock,
    tell: Tell = silent,
) -> Drill:  # fmt: skip
    """Try to restore ``backup`` into ``scratch``, which is private, and gone again afterwards.

    The bot has a thread and an event loop of its own, so that nothing it does holds up the one that is running.
    """
    steps = _Steps(clock)
    at, started = clock.time(), clock.monotonic()

    def attempt(work: Work) -> None:
        try:
            _attempt(backup, shelf, scratch, commands, rehearse, steps, work)
        finally:
            swaps.discard(scratch)

    await tell(f"Trying to restore `{backup.name}`…")
    await on_a_thread(attempt, clock, "Unpacking", tell)
    passed = all(step.passed for step in steps.taken)
    return Drill(backup.name, at, clock.monotonic() - started, passed, tuple(steps.taken))


def _attempt(
    backup: Backup, shelf: Shelf, scratch: Path, commands: Sequence[str], rehearse: Rehearse, steps: "_Steps",
    work: Work,
) -> None:  # fmt: skip
    swaps.discard(scratch)
    store = scratch / STORE
    unpacked = steps.take(
        "unpack and verify",
        lambda: extract(backup.path, scratch, shelf.keys, progress=work.progress, cancelled=work.cancelled),
    )
    if unpacked is None or work.cancelled():
        return
    if steps.take("check the database", lambda: _checked(scratch, store)) is None or work.cancelled():
        return
    anyio.run(partial(_converse, store, commands, rehearse, steps, work))


def _checked(scratch: Path, store: Path) -> Path:
    stage_store(scratch, store)
    return store


async def _converse(store: Path, commands: Sequence[str], rehearse: Rehearse, steps: "_Steps", work: Work) -> None:
    starting = steps.begin("start a bot on it")
    try:
        async with rehearse(store) as run:
            starting("ok", True)
            for command in commands:
                if work.cancelled():
                    return
                ended = steps.begin(f"run {command}")
                outcome = await run(command)
                ended(_result(outcome), outcome.status == "ok")
    # The boundary of the trial: whatever keeps a bot from starting or ending is what the trial is for.
    except Exception as error:
        starting(f"{type(error).__name__}: {error}"[:300], False)


def _result(outcome: Outcome) -> str:
    return outcome.status if outcome.reason is None else f"{outcome.status}: {outcome.reason}"[:300]


class _Steps:
    """What was done, how it went, and how long it took."""

    def __init__(self, clock: Clock) -> None:
        self.taken: list[DrillStep] = []
        self._clock = clock

    def begin(self, step: str) -> Callable[[str, bool], None]:
        """Returned is what is called at the step's end; only the first call counts."""
        started, place = self._clock.monotonic(), len(self.taken)

        def end(result: str, passed: bool) -> None:
            if not ended:
                ended.append(True)
                self.taken.insert(place, DrillStep(step, result, self._clock.monotonic() - started, passed))
            elif not passed:
                self.taken.append(DrillStep("end it", result, 0.0, False))

        ended: list[bool] = []
        return end

    def take(self, step: str, function: Callable[[], object]) -> object | None:
        """What ``function`` returns; None if it failed, which is on record then."""
        end = self.begin(step)
        try:
            result = function()
        except (BackupError, StoreError, OSError) as error:
            end(str(error)[:300], False)
            return None
        end("ok", True)
        return result
