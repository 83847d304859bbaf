"""The smallest bot, run as its reader would run it."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "ten_lines.py"


def test_the_bot_of_ten_lines_answers_what_is_typed() -> None:
    typed = "!greet Ada\n!greet\n!gret Ada\n!greet Ada Lovelace\njust chatting\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLE], input=typed, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[:2] == ["Hello, Ada!", "Hello, world!"]
    assert lines[2] == "Unknown command `gret`. Did you mean `!greet`?"
    assert "Usage: `!greet [name]`" in lines
    assert lines[-1] == "(ignored)"
    assert done.stderr == ""


def test_it_has_ten_lines() -> None:
    code = EXAMPLE.read_text().partition("socbot import")[2].splitlines()[1:]
    assert len([line for line in code if line.strip()]) <= 10
