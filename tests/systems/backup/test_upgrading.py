"""An older store on PostgreSQL is backed up before the first statement of its upgrade, or stays as it is."""

import shutil
import threading
from pathlib import Path

import anyio
import pytest

from socbot.config import BackupConfig, RetentionConfig, StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.storage.connection import Connection
from socbot.storage.database import Database, StoreTooOld
from socbot.storage.errors import StoreError
from socbot.storage.migrations import HEAD, RELEASED, Revisions
from socbot.systems.backup import upgrading
from socbot.systems.backup.making import pack
from socbot.systems.backup.manifest import Manifest
from socbot.systems.backup.retention import judge
from socbot.systems.backup.shelf import Backup, Shelf
from socbot.systems.backup.upgrading import BeforeUpgrade
from socbot.testing import owner_said, said
from tests.conftest import MakeBot
from tests.postgresql import Server
from tests.storage.released import up_to
from tests.test_cli import socbot

pytestmark = pytest.mark.promise("P21")

CLOCK = SystemClock()
OLDER = RELEASED.names[-2]
LISTED = (
    "INSERT INTO blacklist (platform, kind, subject, reason, added_by, added_at, expires_at, source) "
    "VALUES ('local', 'user', '900', 'spam', 'local:owner', 0, NULL, 'manual')"
)

FAILS = '''
from alembic import op

revision = "next"
down_revision = "{head}"

def upgrade():
    """Cannot be done."""
    op.execute("DELETE FROM settings")
    op.execute("SELECT 1 / 0")
'''


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def older(postgresql: Server) -> StorageConfig:
    """A store of the version before, in which a user is listed."""
    config = StorageConfig(url=postgresql.new_database(), busy_timeout=2.0)
    async with Database.open(config, CLOCK, up_to(OLDER)) as database:
        await database.write(lambda connection: connection.execute(LISTED))
    return config


@pytest.fixture
def backup(tmp_path: Path) -> BackupConfig:
    return BackupConfig(enabled=False, folder=f"{tmp_path}/backups", paths=())


def revision_in(config: StorageConfig, server: Server) -> str:
    name = config.url.partition("@/")[2].partition("?")[0]
    return server.sql("SELECT version_num FROM alembic_version", name)


def made(backup: BackupConfig) -> list[Backup]:
    return list(Shelf(backup).backups())


async def test_a_bot_backs_up_an_older_store_and_can_go_back_to_it(
    older: StorageConfig, backup: BackupConfig, make_bot: MakeBot, postgresql: Server
) -> None:
    async with make_bot(storage=older, backup=backup) as bot:
        assert revision_in(older, postgresql) == HEAD
        [found] = await bot.backups.list()
        assert (found.backup.type, found.known.is_good) == ("pre_upgrade", True)
        assert found.backup.name in str(await bot.dispatch(owner_said("!list_backups")))
        assert ("backup", found.backup.name) in [(each.action, each.what) for each in await bot.audit.entries(10)]
        assert (await bot.dispatch(owner_said("!blacklist_remove user 900"))).status == "ok"
        assert (await bot.dispatch(said("!ping", "900"))).status == "ok"
        await bot.backups.restore(found.backup.name)
        assert (await bot.dispatch(said("!ping", "900"))).refused_by == "blacklist"
    async with make_bot(storage=older, backup=backup) as bot:
        assert len(await bot.backups.list("pre_upgrade")) == 1, "it is backed up once"


async def test_a_store_that_cannot_be_backed_up_is_not_upgraded_and_it_is_said_why(
    older: StorageConfig, postgresql: Server, tmp_path: Path
) -> None:
    (tmp_path / "backups").write_text("a file in the way")
    (tmp_path / "config.yaml").write_text(f"storage: {{url: '{older.url}'}}\n")
    for arguments in (("run", "--transport", "console"), ("exec", "!ping"), ("backup", "now")):
        ran = socbot(tmp_path, *arguments)
        assert (ran.returncode, ran.stdout) == (1, "")
        assert "was not upgraded" in ran.stderr
        assert "backup.folder" in ran.stderr
        assert "Canary-5ecret" not in ran.stderr
        assert "Traceback" not in ran.stderr
        assert revision_in(older, postgresql) == OLDER


async def test_looking_at_an_older_store_does_not_upgrade_it(
    older: StorageConfig, postgresql: Server, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(f"storage: {{url: '{older.url}'}}\n")
    ran = socbot(tmp_path, "doctor")
    assert ran.returncode == 0
    assert f"the store is at revision '{OLDER}'" in ran.stdout
    assert revision_in(older, postgresql) == OLDER


async def test_a_backup_that_is_not_what_was_packed_is_none(
    older: StorageConfig, backup: BackupConfig, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pack_and_spoil(*arguments: object) -> tuple[str, Manifest]:
        name, manifest = pack(*arguments)  # type: ignore[arg-type]
        path = Shelf(backup).find(name).path
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 1
        path.write_bytes(content)
        return name, manifest

    monkeypatch.setattr(upgrading, "pack", pack_and_spoil)
    with pytest.raises(StoreError, match="damaged"):
        async with Database.open(older, CLOCK, back_up=BeforeUpgrade(older, backup, CLOCK)):
            pass
    assert revision_in(older, postgresql) == OLDER
    assert made(backup) == []


async def test_who_waits_no_more_stops_the_backup(
    older: StorageConfig, backup: BackupConfig, postgresql: Server
) -> None:
    before, abandoned = BeforeUpgrade(older, backup, CLOCK), threading.Event()

    def give_up(connection: Connection, ended: threading.Event) -> None:
        abandoned.set()
        assert ended.wait(10)
        before(connection, ended)

    async with anyio.create_task_group() as tasks:

        async def start() -> None:
            async with Database.open(older, CLOCK, back_up=give_up):
                pass

        tasks.start_soon(start)
        await anyio.to_thread.run_sync(abandoned.wait)
        tasks.cancel_scope.cancel()
    assert revision_in(older, postgresql) == OLDER
    assert made(backup) == []


async def test_of_several_processes_one_backs_up_and_upgrades(
    older: StorageConfig, backup: BackupConfig, postgresql: Server
) -> None:
    befores = [BeforeUpgrade(older, backup, CLOCK) for _ in range(4)]

    async def start(before: BeforeUpgrade) -> None:
        async with Database.open(older, CLOCK, back_up=before):
            assert revision_in(older, postgresql) == HEAD

    async with anyio.create_task_group() as tasks:
        for before in befores:
            tasks.start_soon(start, before)
    assert [before.made for before in befores].count(None) == 3
    assert len(made(backup)) == 1


async def test_an_upgrade_that_fails_again_and_again_leaves_one_backup(
    older: StorageConfig, backup: BackupConfig, postgresql: Server, tmp_path: Path
) -> None:
    async with Database.open(older, CLOCK, back_up=BeforeUpgrade(older, backup, CLOCK)):
        pass
    folder = tmp_path / "versions"
    shutil.copytree(RELEASED.folder, folder)
    (folder / "next.py").write_text(FAILS.format(head=HEAD))
    newer = Revisions((*RELEASED.names, "next"), folder)
    names = set()
    for _ in range(3):
        before = BeforeUpgrade(older, backup, CLOCK)
        with pytest.raises(StoreError, match="division by zero"):
            async with Database.open(older, CLOCK, newer, before):
                pass
        assert before.made is not None
        names.add(before.made.name)
        assert revision_in(older, postgresql) == HEAD
    assert len(names) == 3
    assert [each.name for each in made(backup)] == [max(names), min(each.name for each in made(backup))]


async def test_who_does_not_back_up_does_not_upgrade(older: StorageConfig, postgresql: Server) -> None:
    with pytest.raises(StoreTooOld, match="socbot run"):
        async with Database.open(older, CLOCK):
            pass
    assert revision_in(older, postgresql) == OLDER


async def test_the_last_of_them_are_kept(older: StorageConfig, backup: BackupConfig, make_bot: MakeBot) -> None:
    async with make_bot(storage=older, backup=backup) as bot:
        [found] = await bot.backups.list()
        await bot.backups.now()
        [manual, upgrade] = judge([each.known for each in await bot.backups.list()], RetentionConfig())
        assert (manual.kept, upgrade.backup.name, upgrade.kept) == (True, found.backup.name, True)
        assert "pre_upgrade" in str(upgrade.reasons)
