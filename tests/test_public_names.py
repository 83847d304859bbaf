"""What embedders import, and what that costs them."""

import inspect
import subprocess
import sys

import pytest

import socbot

PUBLIC = [
    "Answer", "Attachment", "Bot", "ChannelRef", "Chart", "Command", "Completes", "Concurrency", "Config",
    "ConfigError", "Confirm", "Context", "Dispatcher", "Duration", "DurationRange", "Field", "File", "Finding",
    "GuildRef", "Handler", "Identity", "InvalidArgument", "Layer", "Message", "Middleware", "Mode", "Outcome",
    "Placement", "Question", "Refused", "Registry", "Reply", "Rest", "Secret", "Status", "Step", "StoreError",
    "Trace", "User", "UserError", "UserRef", "check_order", "command", "escape", "moment",
]  # fmt: skip

ENGINE = "Message User Dispatcher Context Reply command"


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_public_names_are_these() -> None:
    assert socbot.__all__ == PUBLIC == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_can_be_imported(name: str) -> None:
    found = getattr(socbot, name)
    assert getattr(socbot, name) is found
    assert inspect.isclass(found) <= (getattr(found, "__name__", "") == name)
    assert name in dir(socbot)


def test_a_name_that_is_not_public_is_named() -> None:
    with pytest.raises(AttributeError, match="module 'socbot' has no attribute 'Bott'"):
        _ = socbot.Bott  # type: ignore[attr-defined]


def test_importing_socbot_imports_nothing_else() -> None:
    assert run("import sys; before = set(sys.modules); import socbot; print(set(sys.modules) - before)") == "{'socbot'}"


def test_the_engine_comes_without_database_files_and_terminal() -> None:
    names = ", ".join(ENGINE.split())
    loaded = run(f"import sys; from socbot import {names}; print(*sys.modules)").split()
    heavy = {"sqlalchemy", "alembic", "yaml", "rich", "psutil", "tenacity", "cronsim", "sqlite3", "trio"}
    assert not heavy & {name.partition(".")[0] for name in loaded}
