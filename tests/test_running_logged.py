"""What `socbot run` logs: whatever is said, warned of or raised, by whomever, in one file and nowhere else."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMMANDS = '''
import asyncio, gc, logging, threading, warnings

import structlog

from socbot.dispatch.commands import command

facts = structlog.get_logger("facts")

async def _fails():
    raise ValueError("in a task that nobody awaits")

class _Rubbish:
    def __del__(self):
        raise ValueError("in a finalizer")

@command("misbehave", permission="public")
async def misbehave(ctx):
    """Does what nobody should."""
    facts.info("with facts", number=3)
    warnings.warn("this is old", DeprecationWarning)
    thread = threading.Thread(target=lambda: 1 / 0, name="broken one")
    thread.start()
    thread.join()
    _Rubbish()
    task = asyncio.create_task(_fails())
    await asyncio.sleep(0)
    del task
    gc.collect()
    logging.getLogger("a.library").debug("the details")
    return "done"

COMMANDS = (misbehave,)
'''


def run(folder: Path, text: str) -> tuple[list[dict[str, Any]], str]:
    """The log of a bot that was told ``text``, and what it printed where errors are printed."""
    (folder / "mine.py").write_text(COMMANDS)
    (folder / "config.yaml").write_text(
        "handlers: [mine]\nlogs: {format: json, loggers: {a.library: DEBUG}}\nrate_limit: {cooldown: 0s}\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "default", "-m", "socbot", "run"],
        cwd=folder, input=text, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    lines = (folder / "logs" / "bot.log").read_text().splitlines()
    return [json.loads(line) for line in lines], done.stderr


def test_everything_goes_to_the_log_and_nothing_beside_it(tmp_path: Path) -> None:
    found, printed = run(tmp_path, "!misbehave\n")
    said = {(each["name"], each["level"]): each for each in found}
    assert said["facts", "INFO"]["pairs"] == {"number": 3}
    assert said["facts", "INFO"]["command"] == "misbehave"
    assert "DeprecationWarning: this is old" in said["py.warnings", "WARNING"]["message"]
    assert "ZeroDivisionError" in said["socbot", "CRITICAL"]["exception"]
    assert "broken one" in said["socbot", "CRITICAL"]["message"]
    assert "in a finalizer" in said["socbot", "ERROR"]["exception"]
    assert "in a task that nobody awaits" in said["asyncio", "ERROR"]["exception"]
    assert said["a.library", "DEBUG"]["user"] == "console:owner"
    assert printed == ""


@pytest.mark.promise("P11")
def test_a_bot_that_cannot_go_on_says_why_in_its_log(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "socbot.db").write_bytes(b"no database" * 1_000)
    found, printed = run(tmp_path, "!ping\n")
    assert [each["level"] for each in found][-1] == "CRITICAL"
    assert "StoreDamaged" in found[-1]["exception"]
    assert "Traceback" not in printed
