"""``socbot import``, as a process: what is shown, what is asked, and what is done."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import anyio.to_thread
import pytest

from tests.conftest import MakeBot
from tests.importing import older
from tests.test_cli import ENVIRONMENT, socbot


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return older.write(tmp_path / "older")


def test_it_shows_first_and_does_it_with_yes(tmp_path: Path, folder: Path) -> None:
    shown = socbot(tmp_path, "import", "older")
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert lines[-1] == "Nothing was changed; --yes does it."
    assert "data/blacklist.json: 2 taken, 1 corrected, 2 refused" in lines
    assert "  refused: user 555: it has ended" in lines
    assert "  refused: warns (2): socbot has no such part" in lines
    assert "333" not in socbot(tmp_path, "exec", "!blacklist").stdout

    done = socbot(tmp_path, "import", "older", "--yes")
    assert done.stdout.splitlines()[-1].startswith("Done: ")
    assert "333" in socbot(tmp_path, "exec", "!blacklist").stdout
    again = socbot(tmp_path, "import", "older", "--yes")
    assert again.stdout.splitlines()[-1] == "There is nothing to take over."
    assert "import older: " in socbot(tmp_path, "audit", "list").stdout


def test_it_prints_one_object(tmp_path: Path, folder: Path) -> None:
    report = json.loads(socbot(tmp_path, "import", "older", "--json").stdout)
    assert report["done"] is False
    [file] = [file for file in report["files"] if file["name"] == "data/task_metrics.json"]
    assert file["findings"][1] == {
        "record": "task TriviaGame.ask", "verdict": "refused", "reason": "socbot has no such job", "count": 1,
    }  # fmt: skip
    assert json.loads(socbot(tmp_path, "import", "older", "--json", "--yes").stdout)["done"] is True


@pytest.mark.parametrize(("typed", "told"), [("y\n", "Done: "), ("\n", "Nothing was changed")])
def test_it_asks_at_a_terminal(tmp_path: Path, folder: Path, typed: str, told: str) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, typed.encode())
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "socbot", "import", "older"], cwd=tmp_path, env=ENVIRONMENT, stdin=theirs,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert "Take this over? [y/N]" in ran.stdout
    assert told in ran.stdout.splitlines()[-1]


def test_times_without_a_zone_are_of_the_zone_that_is_said(tmp_path: Path, folder: Path) -> None:
    assert socbot(tmp_path, "import", "older", "--zone", "Mars/Base").returncode == 78
    socbot(tmp_path, "import", "older", "--zone", "Europe/Berlin", "--yes")
    assert "2026-02-01 09:00:00 UTC" in socbot(tmp_path, "exec", "!incident show I-AB12CD34").stdout


async def test_a_store_that_a_running_bot_has_is_left_alone(make_bot: MakeBot, tmp_path: Path, folder: Path) -> None:
    async with make_bot():
        ran = await anyio.to_thread.run_sync(
            lambda: socbot(tmp_path, "import", "older", "--yes", SOCBOT_STORAGE__BUSY_TIMEOUT="0.1")
        )
        assert ran.returncode == 75, ran.stderr


@pytest.mark.parametrize("folder_name", ["nowhere", "empty"])
def test_a_folder_without_data_is_none(tmp_path: Path, folder_name: str) -> None:
    (tmp_path / "empty").mkdir()
    ran = socbot(tmp_path, "import", folder_name)
    assert ran.returncode == 78
    assert "no folder of the older bot's" in ran.stderr


def test_names_in_the_files_cannot_forge_lines(tmp_path: Path) -> None:
    hostile = "x\nrefused: forged\x1b[2J\u202e"
    older.write(tmp_path / "older", {"data/blacklist.json": {"users": {hostile: {}}, hostile: 1}})
    shown = socbot(tmp_path, "import", "older").stdout
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert not any(line.startswith("refused: forged") for line in shown.splitlines())
