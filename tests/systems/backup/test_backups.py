"""Backups by their schedule: made, verified, pruned, and loud when they stop."""

import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from random import Random

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace

from socbot.config import BackupConfig, SignalsConfig, StorageConfig
from socbot.dispatch.errors import InvalidArgument
from socbot.documents import ConfigError
from socbot.redaction import Redactor
from socbot.storage.database import Database
from socbot.systems.audit import Audit
from socbot.systems.backup import Backups
from socbot.systems.backup.errors import BackupError
from socbot.systems.backup.paths import read_back, written
from socbot.systems.backup.system import RETRY
from socbot.systems.signals import Signals
from socbot.testing import FakeClock
from tests.systems.backup.restorer import Host

HOUR = 3_600.0


class Night:
    """Backups on a clock in hand."""

    def __init__(self, database: Database, clock: FakeClock, root: Path, storage: StorageConfig) -> None:
        self.database, self.clock, self.root = database, clock, root
        self.host = Host()
        self.config = BackupConfig(folder=str(root / "backups"), paths=())
        signals = Signals(database, clock, Random(1), SignalsConfig())
        self.backups = Backups(
            database, clock, storage, self.config, self.host, signals, Audit(database, clock, Redactor())
        )

    @property
    def told(self) -> list[str]:
        return [notice.title for notice in self.host.notices]

    async def signals(self) -> list[str]:
        rows = await self.database.read(
            lambda c: c.execute("SELECT title FROM signals WHERE kind = 'backup' ORDER BY at")
        )
        return [title for (title,) in rows]

    async def names(self) -> list[str]:
        return [each.backup.name for each in await self.backups.list()]

    async def types(self) -> list[str]:
        return [each.backup.type for each in await self.backups.list()]

    async def pass_hours(self, count: int) -> None:
        """Let the hours pass as the jobs see them."""
        for _ in range(count):
            for _ in range(12):
                self.clock.forward(HOUR / 12)
                await self.backups.watch()
            await self.look()

    async def look(self) -> bool:
        """What the job does each hour; whether it went well."""
        self.backups.close()  # it does not wait before it fails
        try:
            await self.backups.make_due()
        except Exception:
            return False
        return True


@pytest.fixture
async def night(tmp_path: Path, storage: StorageConfig, clock: FakeClock) -> AsyncIterator[Night]:
    async with Database.open(storage, clock) as database:
        yield Night(database, clock, tmp_path, storage)


# -- the schedule -------------------------------------------------------------------------------------


async def test_one_archive_serves_all_types_that_are_due(night: Night) -> None:
    await night.look()
    assert await night.types() == ["weekly"]
    await night.look()
    assert await night.types() == ["weekly"], "a restart makes none"
    night.clock.forward(HOUR)
    await night.look()
    assert await night.types() == ["hourly", "weekly"]
    night.clock.forward(23 * HOUR)
    await night.look()
    assert await night.types() == ["daily", "hourly", "weekly"]


async def test_each_is_verified_as_soon_as_it_is_made_and_on_record(night: Night) -> None:
    await night.look()
    [made] = await night.backups.list()
    assert made.mark.verified_at == night.clock.time()
    assert made.known.is_good
    rows = await night.database.read(lambda c: c.execute("SELECT who, action, what FROM audit WHERE id > 0"))
    assert rows == [("backup", "backup", made.backup.name)]
    assert made.backup.path.stat().st_mode & 0o777 == 0o600
    assert night.backups.shelf.folder.stat().st_mode & 0o777 == 0o700


async def test_what_is_switched_off_is_not_made(night: Night) -> None:
    night.backups.configure(replace(night.config, enabled=False))
    await night.look()
    assert await night.types() == []
    assert night.backups.age_intervals is None
    night.backups.configure(replace(night.config, weekly=False, daily=False))
    await night.look()
    assert await night.types() == ["hourly"]


async def test_a_night_of_scheduled_backups_is_thinned_out(night: Night) -> None:
    night.backups.configure(replace(night.config, retention=replace(night.config.retention, hourly=3)))
    await night.pass_hours(12)
    types = await night.types()
    assert types.count("hourly") == 3
    assert types.count("weekly") == 1
    assert night.told == []


@pytest.mark.slow
@pytest.mark.promise("P33")
@pytest.mark.parametrize("step", [-HOUR, HOUR, -1.0, -1_600_000_000.0, 24 * HOUR])
async def test_names_stay_unique_and_in_order_over_fifty_steps(night: Night, step: float) -> None:
    night.backups.configure(replace(night.config, retention=replace(night.config.retention, manual=1_000)))
    made = []
    for number in range(50):
        night.clock.step(step if number % 2 else -step)
        night.clock.forward(0.3)
        made.append((await night.backups.now()).backup.name)
    assert len(set(made)) == 50
    assert sorted(made) == made
    assert await night.names() == made[::-1]


@pytest.mark.promise("P33")
@pytest.mark.parametrize("step", [-HOUR, HOUR, -1.0, -1_600_000_000.0])
async def test_names_stay_unique_and_in_order_whatever_the_clock_does(night: Night, step: float) -> None:
    made = [(await night.backups.now()).backup.name]
    for seconds in (0.0, step, 0.0, 60.0, -step, 0.0):
        night.clock.step(seconds)
        made.append((await night.backups.now()).backup.name)
    assert len(set(made)) == len(made)
    assert sorted(made) == made
    assert await night.names() == made[::-1]


async def test_a_clock_that_was_in_the_future_keeps_no_backup_from_being_made(night: Night) -> None:
    night.clock.step(365 * 24 * HOUR)
    await night.look()
    night.clock.step(-365 * 24 * HOUR)
    await night.pass_hours(3)
    assert len(await night.names()) == 4
    assert night.told == []


async def test_two_things_at_once_are_refused(night: Night) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(night.backups.now)
        await anyio.lowlevel.checkpoint()
        for attempt in (night.backups.now, lambda: night.backups.restore("newest"), night.backups.undo):
            with pytest.raises(BackupError, match="under way"):
                await attempt()
    assert await night.types() == ["manual"]


async def test_what_is_made_by_schedule_is_waited_for(night: Night) -> None:
    told: list[str] = []

    async def tell(text: str) -> None:
        told.append(text)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(night.backups.make_due)
        await anyio.lowlevel.checkpoint()
        await night.backups.now(tell=tell)
    assert told[0] == "Waiting for the scheduled backup or drill to end…"
    assert sorted(await night.types()) == ["manual", "weekly"]


# -- when they stop -----------------------------------------------------------------------------------


@pytest.mark.promise("P10")
async def test_a_failure_is_told_once_and_so_is_its_end(night: Night) -> None:
    await night.look()
    folder = night.backups.shelf.folder
    aside = folder.rename(folder.with_name("aside"))
    folder.write_text("in the way")
    await night.pass_hours(5)
    assert night.told == ["Backup Failed"]
    assert await night.signals() == ["Backup Failed"]
    assert "backups" in night.host.notices[0].text
    assert (await night.backups.status()).failure
    folder.unlink()
    aside.rename(folder)
    await night.pass_hours(2)
    assert night.told == ["Backup Failed", "Backups Work Again"]
    assert await night.signals() == ["Backup Failed", "Backups Work Again"]
    assert (await night.backups.status()).failure == ""


@pytest.mark.promise("P10")
async def test_one_that_hangs_is_told_within_one_and_a_half_intervals(night: Night) -> None:
    await night.look()
    last = night.clock.time()
    async with anyio.create_task_group() as tasks, night.backups._turns.by_schedule():
        night.clock.forward(HOUR)
        tasks.start_soon(night.backups.make_due)  # it never comes to its turn
        for _ in range(36):
            night.clock.forward(300)
            await night.backups.watch()
            if night.told:
                break
        assert night.told == ["Backups Have Stopped"]
        assert night.clock.time() - last < 1.5 * HOUR
        for _ in range(36):
            night.clock.forward(300)
            await night.backups.watch()
        assert night.told == ["Backups Have Stopped"], "once"
        assert night.backups.age_intervals == pytest.approx((night.clock.time() - last) / HOUR)
        tasks.cancel_scope.cancel()
    await night.look()
    await night.backups.watch()
    assert night.told == ["Backups Have Stopped", "Backups Work Again"]


@pytest.mark.promise("P10")
async def test_a_bot_that_never_made_one_says_so(night: Night) -> None:
    await night.backups.watch()
    assert night.backups.age_intervals is None
    night.clock.forward(1.2 * HOUR)
    assert night.backups.age_intervals == pytest.approx(1.2)
    night.clock.forward(0.25 * HOUR)
    await night.backups.watch()
    assert night.told == ["Backups Have Stopped"]


@pytest.mark.promise("P10")
async def test_the_age_goes_on_over_a_restart(night: Night, storage: StorageConfig) -> None:
    await night.look()
    night.clock.forward(3 * HOUR)
    after = Backups(night.database, night.clock, storage, night.config, night.host)
    await after.watch()
    assert after.age_intervals == pytest.approx(3.0)


@pytest.mark.promise("P10")
async def test_what_is_not_there_as_it_was_written_is_no_backup(night: Night) -> None:
    """A disk that takes everything and keeps nothing."""
    folder = night.backups.shelf.folder

    async def swallow() -> None:
        while True:
            for path in folder.glob("backup_*.tar.zst"):
                with suppress(FileNotFoundError):
                    os.truncate(path, 0)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(swallow)
        assert not await night.look()
        tasks.cancel_scope.cancel()
    assert night.told == ["Backup Failed"]
    assert await night.names() == [], "what is no backup is not listed as one"
    assert night.backups.age_intervals is None


@pytest.mark.promise("P10")
async def test_a_failure_waits_before_the_job_may_try_again(night: Night) -> None:
    night.backups.shelf.folder.write_text("in the way")
    failed = anyio.Event()

    async def run() -> None:
        with suppress(BackupError):
            await night.backups.make_due()
        failed.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await night.host.told.wait()
        began = night.clock.time()
        while not failed.is_set():
            await night.clock.advance(10)
        assert night.clock.time() - began >= RETRY


# -- what is known of them ----------------------------------------------------------------------------


async def test_a_backup_that_rots_is_marked_and_nothing_is_deleted_for_it(night: Night) -> None:
    await night.pass_hours(3)
    newest = (await night.backups.list())[0].backup
    packed = bytearray(newest.path.read_bytes())
    packed[200] ^= 4
    newest.path.write_bytes(packed)
    _, report = await night.backups.verify("newest")
    assert not report.intact
    found = (await night.backups.list())[0]
    assert found.mark.verified_at is None
    assert found.mark.problem
    night.backups.configure(replace(night.config, retention=replace(night.config.retention, hourly=1)))
    assert all(verdict.kept for verdict in await night.backups.prune())
    await night.pass_hours(1)
    assert night.told == []


async def test_files_that_are_no_backups_are_left_alone(night: Night) -> None:
    await night.look()
    strangers = ["notes.txt", "backup_hourly_20250101_000000.zip", "backup_daily_99999999_999999.tar.zst"]
    for name in strangers:
        (night.backups.shelf.folder / name).write_text("mine")
    assert len(await night.names()) == 1
    await night.backups.prune()
    assert all((night.backups.shelf.folder / name).exists() for name in strangers)


async def test_what_goes_while_the_folder_is_read_is_no_failure(night: Night) -> None:
    await night.look()
    # An unfinished backup is listed under a name that a moment later leads nowhere.
    (night.backups.shelf.folder / "backup_daily_20260101_000000.tar.zst").symlink_to("gone")
    assert len(await night.names()) == 1


async def test_a_name_with_a_path_in_it_finds_nothing(night: Night) -> None:
    await night.look()
    for name in ("../backups/newest", "/etc/passwd", "newest\0", "", "x" * 5_000):
        with pytest.raises(InvalidArgument):
            await night.backups.find(name)


async def test_status_says_how_they_stand(night: Night) -> None:
    await night.pass_hours(3)
    await night.backups.now()
    status = await night.backups.status()
    assert status.count == 4
    assert status.last["weekly"] is not None
    assert status.last["daily"] is None
    assert status.oldest == status.last["weekly"]
    assert status.used == sum(each.backup.size for each in await night.backups.list())
    assert status.free > 0
    assert status.age == 0.0


# -- paths --------------------------------------------------------------------------------------------


async def test_paths_that_a_restore_would_mix_up_are_refused(night: Night, tmp_path: Path) -> None:
    for path in ("data", "data/socbot.db", "backups", "backups/old", "."):
        with pytest.raises(ConfigError, match="overlap"):
            night.backups.check(replace(night.config, paths=(str(tmp_path / path),)))
    with pytest.raises(ConfigError, match="within"):
        night.backups.check(replace(night.config, paths=(str(tmp_path / "a"), str(tmp_path / "a/b"))))
    night.backups.check(replace(night.config, paths=(str(tmp_path / "data/attachments"), "config.yaml")))


@pytest.mark.parametrize("name", ["a.txt", "ä ö", "con", "NUL.txt", "..a", "a.", " a", "a/b", "%2F", "💥", ".hidden"])
def test_names_of_files_survive_the_way_through_a_backup(name: str) -> None:
    packed = written(name)
    assert "/" not in packed
    assert packed.isascii()
    assert read_back(packed, "/") == name
