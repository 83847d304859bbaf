"""``socbot audit``, as a process: what was done, and whether anybody has changed it."""

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from socbot.config import StorageConfig
from socbot.version import VERSION
from tests.conftest import MakeBot
from tests.postgresql import Server
from tests.test_cli import line_of, running, socbot


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def done(folder: Path) -> None:
    for text in ("!blacklist_add user 900 spam \x1b[2J", "!blacklist", "!no_such_command"):
        socbot(folder, "exec", text)
    socbot(folder, "exec", "--as", "42", "!shutdown")


@pytest.mark.promise("P54")
def test_the_trail_is_listed_and_verified(tmp_path: Path) -> None:
    missing = socbot(tmp_path, "audit", "list")
    assert (missing.returncode, "there is no store yet" in missing.stderr) == (1, True)
    done(tmp_path)
    listed = socbot(tmp_path, "audit", "list").stdout.splitlines()
    assert [line.split(" · ")[2:] for line in listed] == [
        ["console:owner", "blacklist_add user 900 spam \\x1b[2J", "ok"],
        ["console:owner", "blacklist", "ok"],
        ["console:42", "shutdown", "denied"],
    ]
    assert [
        line[:4] for line in socbot(tmp_path, "audit", "list", "--count", "1", "--before", "3").stdout.splitlines()
    ] == ["2 · "]
    records = json.loads(socbot(tmp_path, "audit", "list", "--json").stdout)
    verified = socbot(tmp_path, "audit", "verify", "--hash", records[0]["hash"])
    assert verified.stdout == f"3 records, each as it was written. The last: {records[-1]['hash']}\n"
    assert verified.returncode == 0

    with closing(sqlite3.connect(tmp_path / "data/socbot.db")) as store, store:
        store.execute("UPDATE audit SET who = 'console:43' WHERE id = 2")
    changed = socbot(tmp_path, "audit", "verify")
    assert (changed.returncode, changed.stdout) == (
        1,
        "The audit trail was changed: record 2 is not as it was written.\n",
    )
    assert json.loads(socbot(tmp_path, "audit", "verify", "--json").stdout)["flaw"]["id"] == 2


async def test_the_trail_is_read_beside_a_running_bot(make_bot: MakeBot, tmp_path: Path) -> None:
    import anyio.to_thread

    async with make_bot(jobs=True) as bot:
        await bot.audit.flush()
        ran = await anyio.to_thread.run_sync(socbot, tmp_path, "audit", "list")
        assert ran.stdout.endswith("· socbot · start 0.1.0 · ok\n")


async def test_the_trail_is_read_from_postgresql(make_bot: MakeBot, tmp_path: Path, postgresql: Server) -> None:
    url = postgresql.new_database()
    async with make_bot(storage=StorageConfig(url=url)) as bot:
        await bot.audit.record("act")
    assert socbot(tmp_path, "audit", "verify", SOCBOT_STORAGE__URL=url).stdout.startswith("1 records, each as")


@pytest.mark.promise("P54")
def test_a_life_with_its_reloads_is_on_record(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("bot: {name: one}\n")
    with running(tmp_path) as bot:
        for name in ("name: two", "nome: three"):
            (tmp_path / "config.yaml").write_text(f"bot: {{{name}}}\n")
            bot.send_signal(signal.SIGHUP)
            line_of(bot, "bot.name: one → two" if name == "name: two" else "Nothing was changed")
        bot.send_signal(signal.SIGTERM)
        bot.wait(10)
    (tmp_path / "config.yaml").unlink()
    lines = [line.split(" · ")[2:] for line in socbot(tmp_path, "audit", "list").stdout.splitlines()]
    assert lines[0] == ["socbot", f"start {VERSION}", "ok"]
    assert lines[1] == ["signal SIGHUP", "reload bot.name: one → two", "ok"]
    assert lines[2][0] == "signal SIGHUP"
    assert lines[2][1].startswith("reload config.yaml line 1")
    assert lines[2][2] == "invalid"
    assert lines[-1] == ["socbot", "stop exit code 0", "ok"]
