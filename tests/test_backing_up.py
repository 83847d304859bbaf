"""``socbot backup``: everything while the bot is down, and a way out when its store is out of order."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from socbot.cli import main
from socbot.exit_codes import EXIT_FAILURE, EXIT_OK, EXIT_REFUSED, EXIT_TRY_AGAIN, EXIT_USAGE
from socbot.storage.sqlite_file import SqliteFile
from tests.postgresql import Server
from tests.storage.test_sqlite_file import DAMAGES, contents

Socbot: TypeAlias = Callable[..., tuple[int, str, str]]
CONFIG = """\
storage: {url: 'sqlite:///data/socbot.db', busy_timeout: 100ms}
backup: {retention: {manual: 2}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def socbot(folder: Path, capsys: pytest.CaptureFixture[str]) -> Socbot:
    """Runs a command; its exit code, and what it printed on stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(arguments)
        return code, *capsys.readouterr()

    return run


def spoil(path: Path) -> bytes:
    """Write over the middle of the store; what is there then."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 20_000] = b"\xff" * 20_000
    path.write_bytes(content)
    return bytes(content)


def name_in(text: str) -> str:
    return next(word for word in text.replace("`", " ").replace(":", " ").split() if word.startswith("backup_"))


def test_made_listed_verified_tried_and_pruned(socbot: Socbot) -> None:
    code, out, err = socbot("backup", "now")
    assert code == EXIT_OK
    assert "Backup made and verified" in out
    assert "Packing" in err or "packing" in err, "progress goes where it spoils no pipe"
    name = name_in(out)
    code, out, _ = socbot("backup", "list")
    assert (code, name in out, "verified 2" in out) == (EXIT_OK, True, True)
    code, out, _ = socbot("backup", "verify", name)
    assert (code, f"{name} is intact" in out) == (EXIT_OK, True)
    code, out, _ = socbot("backup", "drill")
    assert (code, "passed" in out) == (EXIT_OK, True)
    assert "proven 2" in socbot("backup", "list")[1]
    socbot("backup", "now", "manual")
    socbot("backup", "now", "manual")
    code, out, _ = socbot("backup", "prune", "--dry-run")
    assert (code, "Nothing was deleted" in out, "Gone: 0" in out) == (EXIT_OK, True, True), "the proven one stays"
    assert socbot("backup", "list", "weekly")[1].startswith("Backups: 0")


def test_what_was_verified_is_known_on_postgresql_too(socbot: Socbot, folder: Path, postgresql: Server) -> None:
    (folder / "config.yaml").write_text(CONFIG.replace("sqlite:///data/socbot.db", postgresql.new_database()))
    name = name_in(socbot("backup", "now")[1])
    code, out, err = socbot("backup", "list")
    assert (code, err) == (EXIT_OK, "")
    assert f"{name}: manual" in out
    assert "verified 2" in out
    (folder / "config.yaml").write_text(CONFIG.replace("sqlite:///data/socbot.db", "postgresql://bot@127.0.0.1:1/none"))
    code, out, err = socbot("backup", "list")
    assert (code, name in out, "not verified" in out) == (EXIT_OK, True, True)
    assert "what was verified is not known" in err


def test_restored_and_taken_back(socbot: Socbot, folder: Path) -> None:
    socbot("exec", "!blacklist_add user 900 spam")
    name = name_in(socbot("backup", "now")[1])
    socbot("exec", "!blacklist_remove user 900")
    (folder / "config.yaml").write_text(CONFIG + "bot: {name: changed}\n")
    code, out, err = socbot("backup", "restore", name)
    assert (code, "--yes confirms" in err) == (EXIT_REFUSED, True)
    code, out, _ = socbot("backup", "restore", name, "--yes")
    assert (code, "pre_restore" in out) == (EXIT_OK, True)
    assert "900" in socbot("exec", "!blacklist")[1]
    assert (folder / "config.yaml").read_text() == CONFIG
    assert socbot("backup", "undo", "--yes")[0] == EXIT_OK
    assert "Nobody is listed" in socbot("exec", "!blacklist")[1]
    assert "changed" in (folder / "config.yaml").read_text()
    assert socbot("audit", "verify")[0] == EXIT_OK
    assert "restore_backup" in socbot("audit", "list")[1]


def test_while_the_bot_runs_only_what_disturbs_it_is_refused(socbot: Socbot, folder: Path) -> None:
    name = name_in(socbot("backup", "now")[1])
    file = SqliteFile("data/socbot.db")
    file.claim(1.0)
    try:
        for action in ("now", "drill", "prune", "undo"):
            assert socbot("backup", action, "--yes")[0] == EXIT_TRY_AGAIN, action
        assert socbot("backup", "restore", name, "--yes")[0] == EXIT_TRY_AGAIN
        assert socbot("backup", "list")[0] == socbot("backup", "verify", name)[0] == EXIT_OK
    finally:
        file.release()


@pytest.mark.promise("P20")
def test_a_store_that_refuses_to_start_names_the_latest_backup_that_is_intact(socbot: Socbot, folder: Path) -> None:
    socbot("exec", "!blacklist_add user 900 spam")
    good = name_in(socbot("backup", "now")[1])
    newer = name_in(socbot("backup", "now")[1])
    path = folder / "backups" / f"{newer}.tar.zst"
    path.write_bytes(path.read_bytes()[:-200])
    broken = spoil(folder / "data" / "socbot.db")
    code, _, err = socbot("exec", "!ping")
    assert code == EXIT_FAILURE
    assert f"The latest backup that is intact is {good}" in err
    assert (folder / "data" / "socbot.db").read_bytes() == broken, "it was left as it is"
    assert socbot("backup", "list")[0] == EXIT_OK
    code, _, err = socbot("backup", "restore", good, "--yes")
    assert (code, "put aside as it is" in err) == (EXIT_OK, True)
    assert "900" in socbot("exec", "!blacklist")[1]
    assert (folder / "data" / "socbot.db.before-restore").read_bytes() == broken


@pytest.mark.promise("P20")
def test_whatever_is_damaged_the_latest_intact_backup_is_named_and_no_store_is_begun(
    socbot: Socbot, folder: Path
) -> None:
    socbot("exec", "!blacklist_add user 900 spam")
    good = name_in(socbot("backup", "now")[1])
    store = folder / "data" / "socbot.db"
    sound = store.read_bytes()
    assert len(DAMAGES) >= 60
    for what, damage in DAMAGES.items():
        for file in folder.glob("data/socbot.db-*"):
            file.unlink()
        store.write_bytes(sound)
        damage(store)
        before = contents(store.parent)
        code, out, err = socbot("exec", "!ping")
        assert (code, "Pong" in out) == (EXIT_FAILURE, False), what
        assert f"The latest backup that is intact is {good}" in err, what
        assert "Traceback" not in err, what
        assert contents(store.parent) == before, what
    assert socbot("backup", "restore", good, "--yes")[0] == EXIT_OK
    assert "900" in socbot("exec", "!blacklist")[1]


@pytest.mark.promise("P20")
def test_a_store_that_is_gone_is_restored_too(socbot: Socbot, folder: Path) -> None:
    socbot("exec", "!blacklist_add user 900 spam")
    name = name_in(socbot("backup", "now")[1])
    for path in (folder / "data").glob("socbot.db*"):
        if not path.name.endswith(".lock"):
            path.unlink()
    code, _, err = socbot("exec", "!ping")
    assert (code, name in err) == (EXIT_FAILURE, True)
    assert socbot("backup", "drill")[0] == EXIT_OK
    assert socbot("backup", "restore", "newest", "--yes")[0] == EXIT_OK
    assert "900" in socbot("exec", "!blacklist")[1]


def test_without_any_backup_that_is_said(socbot: Socbot, folder: Path) -> None:
    socbot("exec", "!ping")
    spoil(folder / "data" / "socbot.db")
    code, _, err = socbot("exec", "!ping")
    assert (code, "no backup in backup.folder that is intact" in err) == (EXIT_FAILURE, True)
    code, out, _ = socbot("backup", "list")
    assert (code, "There is none yet" in out) == (EXIT_OK, True)


def test_what_is_wrong_is_said_in_a_line(socbot: Socbot) -> None:
    code, _, err = socbot("backup", "verify", "backup_daily_20250101_000000")
    assert (code, "is not the name of a backup" in err) == (EXIT_USAGE, True)
    assert socbot("backup", "now", "yearly")[0] == EXIT_USAGE
    code, _, err = socbot("backup", "undo", "--yes")
    assert (code, "no restore that could be undone" in err) == (EXIT_FAILURE, True)
    code, _, err = socbot("backup", "fetch")
    assert (code, "no second place" in err) == (EXIT_FAILURE, True)


def test_a_damaged_backup_ends_with_a_failure(socbot: Socbot, folder: Path) -> None:
    name = name_in(socbot("backup", "now")[1])
    path = folder / "backups" / f"{name}.tar.zst"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    code, out, _ = socbot("backup", "verify", name)
    assert (code, "NOT intact" in out) == (EXIT_FAILURE, True)
    assert socbot("backup", "restore", name, "--yes")[0] == EXIT_FAILURE


def told_to_end(folder: Path, sign: str, after: float, typed: str = "") -> None:
    """Run a bot, and send it SIGTERM ``after`` seconds from when a file like ``sign`` is there: it ends in time."""
    command = [sys.executable, "-m", "socbot", "run", "--transport", "console"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SOCBOT")}
    process: Any
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment) as process:
        process.stdin.write(typed.encode())
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not list(folder.glob(sign)):
            assert time.monotonic() < deadline, f"no {sign} was begun"
            time.sleep(0.01)
        time.sleep(after)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert process.wait(30) == EXIT_OK
        assert time.monotonic() - began < 5 + 1


@pytest.mark.slow
@pytest.mark.promise("P49")
@pytest.mark.parametrize("after", [0.0, 0.05, 0.2, 0.5])
def test_a_bot_that_is_told_to_end_during_a_backup_leaves_nothing_half_done(folder: Path, after: float) -> None:
    """Some hundred megabytes to pack; SIGTERM comes in the middle."""
    (folder / "big").mkdir()
    for number in range(8):
        (folder / "big" / str(number)).write_bytes(os.urandom(40_000_000))
    (folder / "config.yaml").write_text(CONFIG + "bot: {shutdown_timeout: 4s}\n" + "")
    text = (folder / "config.yaml").read_text().replace("backup: {", "backup: {paths: [big], ")
    (folder / "config.yaml").write_text(text)
    told_to_end(folder, "backups/.backup_*", after)
    assert not list(folder.glob("backups/.backup_*")), "what was half done is gone"
    assert main(["exec", "!ping"]) == EXIT_OK


@pytest.mark.slow
@pytest.mark.promise("P49")
@pytest.mark.promise("P07")
@pytest.mark.parametrize("after", [0.0, 0.1, 0.3, 1.0])
def test_a_bot_that_is_told_to_end_during_a_restore_ends_in_one_of_the_two_states(
    folder: Path, socbot: Socbot, after: float
) -> None:
    (folder / "big").mkdir()
    for number in range(8):
        (folder / "big" / str(number)).write_bytes(os.urandom(20_000_000))
    (folder / "config.yaml").write_text(
        CONFIG.replace("backup: {", "backup: {enabled: false, paths: [big], ") + "bot: {shutdown_timeout: 4s}\n"
    )
    socbot("exec", "!blacklist_add user 900 spam")
    name = name_in(socbot("backup", "now")[1])
    socbot("exec", "!blacklist_remove user 900")
    (folder / "big" / "0").write_text("changed")
    told_to_end(folder, "data/*.restoring", after, f"!restore_backup {name}\ny\n")
    changed = (folder / "big" / "0").stat().st_size == len("changed")
    assert ("Nobody is listed" in socbot("exec", "!blacklist")[1]) == changed, "the store and the files belong together"
    assert not [path for path in folder.rglob("*") if path.name.endswith((".restoring", ".restore", ".back"))]
