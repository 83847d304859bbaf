"""The second place: what was verified is copied there, and its failures are its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from socbot.config import S3Config, StorageConfig
from socbot.exit_codes import EXIT_OK
from socbot.storage.database import Database
from socbot.systems.backup.targets import Bucket
from socbot.testing import FakeClock
from tests.systems.backup import test_archive_bucket as server
from tests.systems.backup.test_backups import Night

endpoint, config = server.endpoint, server.config


@pytest.fixture
async def night(
    tmp_path: Path, storage: StorageConfig, clock: FakeClock, config: S3Config
) -> AsyncIterator[Night]:  # fmt: skip
    async with Database.open(storage, clock) as database:
        night = Night(database, clock, tmp_path, storage)
        night.backups.configure(replace(night.config, s3=config))
        yield night


async def stored(config: S3Config) -> list[str]:
    return [each.name.removesuffix(".tar.zst") for each in await Bucket(config).list()]


async def test_what_was_verified_is_copied_and_kept_by_the_same_rules(night: Night, config: S3Config) -> None:
    few = replace(night.config.retention, hourly=2, daily=1, weekly=1)
    night.backups.configure(replace(night.config, s3=config, retention=few))
    await night.pass_hours(6)
    assert sorted(await stored(config)) == sorted(await night.names())
    assert night.told == []
    status = await night.backups.status()
    assert "3 backups" in status.elsewhere


async def test_what_is_lost_here_is_not_deleted_there(night: Night, config: S3Config) -> None:
    await night.pass_hours(3)
    before = await stored(config)
    for each in await night.backups.list():
        each.backup.path.unlink()
    await night.pass_hours(1)
    assert set(before) < set(await stored(config))


async def test_a_copy_that_fails_is_told_once_and_fails_no_backup(night: Night, config: S3Config) -> None:
    night.backups.configure(replace(night.config, s3=replace(config, bucket="there-is-none")))
    await night.pass_hours(3)
    assert len(await night.names()) == 3
    assert night.told == ["Backup Not Copied"]
    assert night.host.notices[0].tone == "warn"
    assert server.SECRET not in str(night.host.notices[0])
    made = await night.backups.now()
    assert "failed" in made.elsewhere
    night.backups.configure(replace(night.config, s3=config))
    await night.pass_hours(1)
    assert (await stored(config)) != []


async def test_one_is_brought_back_by_the_command_line(
    night: Night, config: S3Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from socbot.cli import main

    await night.look()
    [made] = await night.backups.list()
    made.backup.path.unlink()
    settings = f"bucket: {config.bucket}, prefix: {config.prefix}, endpoint: '{config.endpoint}'"
    keys = f"access_key: {config.access_key}, secret_key: {config.secret_key}"
    (tmp_path / "config.yaml").write_text(f"backup: {{folder: '{tmp_path}/backups', s3: {{{settings}, {keys}}}}}\n")
    monkeypatch.chdir(tmp_path)

    def fetch() -> tuple[int, int, int]:
        return main(["backup", "fetch"]), main(["backup", "fetch", made.backup.name]), main(["backup", "verify"])

    assert await anyio.to_thread.run_sync(fetch) == (EXIT_OK, EXIT_OK, EXIT_OK)
    out = capsys.readouterr().out
    assert made.backup.name in out
    assert "is intact" in out
    assert server.SECRET not in out
