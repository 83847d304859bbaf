"""A disk without room for backups: told once, nothing half done left, and it goes on when there is room again."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from socbot.config import StorageConfig
from socbot.storage.database import Database
from socbot.testing import FakeClock
from tests.killing import fill, small_disk
from tests.systems.backup.test_backups import Night

pytestmark = [pytest.mark.slow, pytest.mark.promise("P10")]  # it mounts


@pytest.fixture
async def night(tmp_path: Path, storage: StorageConfig, clock: FakeClock) -> AsyncIterator[Night]:
    with small_disk(tmp_path / "backups", "1m", options="mode=700"):
        async with Database.open(storage, clock) as database:
            yield Night(database, clock, tmp_path, storage)


async def test_a_full_disk(night: Night) -> None:
    await night.look()
    assert night.told == []
    disk = night.backups.shelf.folder
    ballast = fill(disk, leave=8_192)
    await night.pass_hours(4)
    assert night.told == ["Backup Failed"]
    assert "room" in night.host.notices[0].text
    assert sorted(path.name for path in disk.iterdir() if not path.name.endswith("gitignore")) == sorted(
        ["ballast", f"{(await night.names())[0]}.tar.zst"]
    )
    ballast.unlink()
    await night.pass_hours(1)
    assert night.told == ["Backup Failed", "Backups Work Again"]
