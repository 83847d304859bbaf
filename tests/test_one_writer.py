"""Whatever a whole bot does, one connection at a time writes and checkpoints its store, and the rest only read."""

import sqlite3
import threading
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from socbot.bot import Bot
from socbot.cli import main
from socbot.storage.connection import Connection
from socbot.testing import owner_said
from tests.conftest import MakeBot
from tests.test_tour import fail, names_in
from tests.tour import logged, take

READS = ("SELECT", "BEGIN", "COMMIT", "ROLLBACK", "PRAGMA", "SAVEPOINT", "RELEASE", "WITH", "--")


class Watch:
    """Every connection to one file: what it ran, and how many could write at once."""

    def __init__(self, live: Path) -> None:
        self.live = str(live.absolute())
        self.writing: set[int] = set()
        self.most_writing = self.opened = self.read_only = 0
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def began(self, number: int, database: str) -> None:
        with self._lock:
            self.opened += 1
            if database.endswith("mode=ro"):
                self.read_only += 1
            else:
                self.writing.add(number)
            self.most_writing = max(self.most_writing, len(self.writing))

    def ended(self, number: int) -> None:
        with self._lock:
            self.writing.discard(number)

    def ran(self, number: int, sql: str) -> None:
        words = sql.lstrip().upper()
        if "WAL_CHECKPOINT" in words or (number not in self.writing and not words.startswith(READS)):
            self.wrong.append(sql)
        if number not in self.writing and words.startswith(("BEGIN IMMEDIATE", "BEGIN EXCLUSIVE")):
            self.wrong.append(sql)


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch(tmp_path / "data" / "socbot.db")
    connect = sqlite3.connect

    class Watched(sqlite3.Connection):
        def close(self) -> None:
            super().close()
            watch.ended(id(self))

    def watched(database: object, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(database, factory=Watched, **options)  # type: ignore[call-overload]
        if str(database).startswith(f"{Path(watch.live).as_uri()}?"):
            watch.began(id(connection), str(database))
            connection.set_trace_callback(partial(watch.ran, id(connection)))
        return connection

    monkeypatch.setattr(sqlite3, "connect", watched)
    return watch


def write(bot: Bot, thread: int) -> None:
    """Write and read from a thread of its own, again and again."""
    for number in range(50):
        row = {"text": f"{thread}.{number}" + "x" * 5_000}
        sql = "INSERT INTO log_templates VALUES (:text, 0, 0, 1)"
        anyio.from_thread.run(bot.database.write, partial(_change, sql, row))
        anyio.from_thread.run(bot.database.read, _count)


def _change(sql: str, row: dict[str, str], connection: Connection) -> int:
    return connection.change(sql, row)


def _count(connection: Connection) -> object:
    return connection.execute("SELECT count(*) FROM log_templates")


@pytest.mark.promise("P04")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_no_second_connection_writes_or_checkpoints(make_bot: MakeBot, tmp_path: Path, watch: Watch) -> None:
    """Over the tour, with its backups, drills and restores, while four threads write."""
    path = tmp_path / "config.yaml"
    path.write_text(f"storage: {{url: 'sqlite:///{watch.live}'}}\nbackup: {{folder: '{tmp_path}/backups'}}\n")
    async with make_bot(path, commands=[fail], jobs=True) as bot:
        names = await names_in(bot)
        with logged(bot, tmp_path / "logs" / "bot.log"):
            async with anyio.create_task_group() as tasks:
                for thread in range(4):
                    tasks.start_soon(anyio.to_thread.run_sync, write, bot, thread)
                await bot.dispatch(owner_said("!backup_now"))
            outcomes = await take(bot, names)
        assert [outcome.status for outcome in outcomes if outcome.status != "ok"] == []
    assert watch.wrong == []
    assert watch.most_writing == 1
    assert watch.read_only > 0
    assert watch.writing == set()


@pytest.mark.promise("P04")
@pytest.mark.parametrize(
    ("version", "bad"),
    [("3.40.1", True), ("3.50.6", True), ("3.51.2", True), ("3.44.6", False), ("3.50.7", False), ("3.51.3", False),
     ("3.53.0", False)],
)  # fmt: skip
async def test_a_sqlite_that_can_damage_itself_is_told(
    make_bot: MakeBot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], version: str, bad: bool
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version", version)
    monkeypatch.setattr(sqlite3, "sqlite_version_info", tuple(map(int, version.split("."))))
    async with make_bot() as bot:
        stats = str((await bot.dispatch(owner_said("!bot_stats"))).reply)
        assert ("this SQLite can damage a store" in stats) is bad
    await anyio.to_thread.run_sync(main, ["doctor"])
    assert (f"SQLite {version} can damage a store that two programs write to" in capsys.readouterr().out) is bad
