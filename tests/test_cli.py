"""The command line, as a process: what is printed, and the exit code."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if not key.startswith(("SOCBOT_", "DISCORD_", "BOT_"))},
    "SOCBOT_WEB__PORT": "0",  # each its own
}


def socbot(folder: Path, *arguments: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "socbot", *arguments],
        cwd=folder,
        input=given,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_bot_with_nothing_to_read_ends_in_order(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "socbot", "run"]
    done = subprocess.run(
        command, cwd=tmp_path, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_exec_answers_with_the_outcome_as_exit_code(tmp_path: Path) -> None:
    assert socbot(tmp_path, "exec", "!ping").stdout.startswith("Pong!")
    codes = {
        "!uptime": 0,
        "!ping too many": 2,
        "!nothing_like_it": 2,
        "no command": 2,
    }
    for text, code in codes.items():
        assert socbot(tmp_path, "exec", text).returncode == code, text
    assert socbot(tmp_path, "exec", "--as", "42", "!shutdown").returncode == 3
    assert socbot(tmp_path, "exec", "--yes", "!restart").returncode == 26


def test_exec_prints_one_object(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("rate_limit: {cooldown: 10m}\n")
    ran = socbot(tmp_path, "exec", "--json", "--as", "42", "!help ping")
    printed = json.loads(ran.stdout)
    assert set(printed) == {
        "outcome", "command", "refused_by", "reason", "error_id", "trace_id", "ms", "reply"
    }  # fmt: skip
    assert set(printed["reply"]) == {"title", "text", "fields", "tone", "files", "private"}
    assert printed["outcome"] == "ok"
    assert printed["command"] == "help"
    refused = json.loads(socbot(tmp_path, "exec", "--json", "--as", "42", "!help").stdout)
    assert (refused["outcome"], refused["refused_by"]) == ("refused", "rate_limit")  # a second command within 3 s


def test_a_stranger_is_limited_over_separate_processes_and_the_owner_sees_it(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("rate_limit: {cooldown: 10m}\n")  # however slow this machine is
    assert socbot(tmp_path, "exec", "--as", "7", "!ping").returncode == 0
    for _ in range(3):
        assert socbot(tmp_path, "exec", "--as", "7", "!ping").returncode == 3
    assert "7" in socbot(tmp_path, "exec", "!rate_limit_stats").stdout
    assert socbot(tmp_path, "exec", "!blacklist_add user 7 spam").returncode == 0
    assert socbot(tmp_path, "exec", "--as", "7", "!ping").returncode == 3
    assert "refused: 4" in socbot(tmp_path, "exec", "!analytics").stdout


def test_a_pipe_is_read_as_a_conversation(tmp_path: Path) -> None:
    talk = "!ping\n/as 42\n!ping\n!ping\n!shutdown\n/as owner\n!shutdown\ny\n!ping\n"
    ran = socbot(tmp_path, "run", given=talk)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("Pong!") == 2
    assert "Rate Limit Exceeded" in ran.stdout
    assert "Shut the bot down? (y/n, within 30 s)" in ran.stdout
    assert ran.stdout.rstrip().endswith("Goodbye.")
    assert not any(ord(character) < 32 and character not in "\n\t" for character in ran.stdout)


@pytest.mark.promise("P37")
def test_what_is_typed_cannot_steer_the_terminal(tmp_path: Path) -> None:
    ran = socbot(tmp_path, "run", given="!\x1b[31mevil\x07\u202e\n!help \x1b]0;title\x07\n!maintenance on \x1b[2J\n")
    assert "\x1b" not in ran.stdout
    assert "\x07" not in ran.stdout
    assert "\u202e" not in ran.stdout


def test_check_tells_what_a_configuration_makes(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "middleware: [rate_limit, blacklist, {use: 'greeting:Greeter', kind: observer, with: {text: hello}}]\n"
    )
    (tmp_path / "greeting.py").write_text(
        "class Greeter:\n    def __init__(self, text):\n        self.text = text\n\n"
        "    async def __call__(self, ctx, call_next):\n        return await call_next(ctx)\n"
    )
    ran = socbot(tmp_path, "check")
    assert ran.returncode == 0, ran.stderr
    assert "1. rate_limit (guard, enforce)" in ran.stdout
    assert "3. Greeter (observer, enforce)" in ran.stdout
    assert "blacklist stands after rate_limit" in ran.stdout
    assert not (tmp_path / "data").exists()  # it looks, and leaves nothing behind
    (tmp_path / "config.yaml").write_text("middleware: [blacklist]\n")
    broken = socbot(tmp_path, "check")
    assert broken.returncode == 78
    assert "rate_limit is missing" in broken.stderr


def test_commands_and_schema_and_doctor(tmp_path: Path) -> None:
    listed = json.loads(socbot(tmp_path, "commands", "--json").stdout)
    assert {"name", "usage", "permission", "parameters"} <= set(listed[0])
    assert "| `ping` | public |" in socbot(tmp_path, "commands", "--markdown").stdout
    assert "RateLimitConfig" in socbot(tmp_path, "schema").stdout
    healthy = socbot(tmp_path, "doctor")
    assert healthy.returncode == 0
    socbot(tmp_path, "exec", "!ping")
    store = tmp_path / "data" / "socbot.db"
    store.write_bytes(b"not a database" * 1000)
    ill = socbot(tmp_path, "doctor")
    assert ill.returncode == 1
    assert "✗" in ill.stdout
    assert socbot(tmp_path, "exec", "!ping").returncode == 1
    assert store.read_bytes() == b"not a database" * 1000


def test_two_bots_on_one_store_are_told_apart(tmp_path: Path) -> None:
    with running(tmp_path) as bot:
        ran = socbot(tmp_path, "exec", "!ping", SOCBOT_STORAGE__BUSY_TIMEOUT="0.2")
        assert ran.returncode == 75
        assert str(bot.pid) in ran.stderr
        looked = socbot(tmp_path, "doctor", SOCBOT_STORAGE__BUSY_TIMEOUT="0.2")
        assert looked.returncode == 0, looked.stdout  # that the bot runs is nothing to mend
        assert "if that is the bot, all is well" in looked.stdout


@pytest.mark.promise("P49")
def test_a_signal_ends_it_well_and_sighup_reloads(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("bot: {name: one}\n")
    with running(tmp_path) as bot:
        (tmp_path / "config.yaml").write_text("bot: {name: two}\n")
        bot.send_signal(signal.SIGHUP)
        assert "Reloaded" in line_of(bot, "Reloaded")
        (tmp_path / "config.yaml").write_text("bot: {nome: two}\n")
        bot.send_signal(signal.SIGHUP)
        assert "line 1" in line_of(bot, "Nothing was changed")
        bot.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert bot.wait(10) == 0
        assert time.monotonic() - started < 5


def test_a_watched_file_is_put_in_force_when_it_changes(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("bot: {name: one, watch_config: true}\n")
    with running(tmp_path) as bot:
        (tmp_path / "config.yaml").write_text("bot: {name: another, watch_config: true}\n")
        assert "Reloaded" in line_of(bot, "Reloaded")
        assert "bot.name: one → another" in line_of(bot, "bot.name")


def test_restart_makes_the_same_process_anew(tmp_path: Path) -> None:
    with running(tmp_path) as bot:
        assert bot.stdin is not None
        for line, answer in (
            ("!restart", "Restart the bot?"),
            ("y", "Restarting."),
            ("!blacklist", "Nobody is listed"),
        ):
            bot.stdin.write(line + "\n")
            bot.stdin.flush()
            line_of(bot, answer)
        bot.stdin.close()
        assert bot.wait(20) == 0


NAP = """
import anyio
from socbot import command

@command("nap", permission="public", timeout=60.0)
async def nap(ctx):
    "Sleeps."
    await ctx.send("sleeping")
    await anyio.sleep(50)

COMMANDS = (nap,)
"""


@pytest.mark.promise("P49")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
def test_a_second_signal_ends_it_at_once_and_says_so(number: int, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(NAP)  # commands of the operator's own, by import path
    (tmp_path / "config.yaml").write_text("handlers: [own]\nbot: {shutdown_timeout: 40s}\n")
    with running(tmp_path) as bot:
        assert bot.stdin is not None
        bot.stdin.write("!nap\n")
        bot.stdin.flush()
        line_of(bot, "sleeping")
        started = time.monotonic()
        bot.send_signal(number)
        time.sleep(0.5)  # two signals, not one that arrives twice
        bot.send_signal(number)
        line_of(bot, "The bot is shutting down.")
        assert bot.wait(10) == 0
        assert time.monotonic() - started < 8


def test_without_a_token_discord_is_refused_plainly(tmp_path: Path) -> None:
    ran = socbot(tmp_path, "run", "--transport", "discord")
    assert ran.returncode == 78
    assert "DISCORD_TOKEN" in ran.stderr


@contextmanager
def running(folder: Path) -> "Iterator[subprocess.Popen[str]]":
    """A bot on a pipe, until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-m", "socbot", "run"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        try:
            assert process.stdin is not None
            process.stdin.write("!ping\n")
            process.stdin.flush()
            line_of(process, "Pong!")
            yield process
        finally:
            process.kill()


def line_of(process: "subprocess.Popen[str]", text: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"{text!r} was never printed")


def test_doctor_looks_at_the_backups(tmp_path: Path) -> None:
    assert "there is no backup yet" in socbot(tmp_path, "doctor").stdout
    socbot(tmp_path, "backup", "now")
    said = socbot(tmp_path, "doctor").stdout
    assert re.search(r"✓ the newest backup is backup_manual_\d{8}_\d{6}, \d+m?s old", said)
    assert "a disk that dies may take them too" in said
    [file] = (tmp_path / "backups").glob("*.zst")
    file.write_bytes(file.read_bytes()[:-40])
    assert f"! {file.name.partition('.')[0]} is of no use" in socbot(tmp_path, "doctor").stdout
    off = socbot(tmp_path, "doctor", SOCBOT_BACKUP__ENABLED="off").stdout
    assert "! no backups are made by themselves" in off


def test_doctor_finds_secrets_that_all_can_read(tmp_path: Path) -> None:
    key = tmp_path / "backup.key"
    key.write_text("A" * 43 + "=")
    key.chmod(0o644)
    (tmp_path / "config.yaml").write_text("backup: {key_file: backup.key}\nwebhooks: {key: " + "B" * 43 + "=}\n")
    (tmp_path / "config.yaml").chmod(0o644)
    said = socbot(tmp_path, "doctor").stdout
    assert "backup.key, which holds backup.key, can be read by everybody" in said
    assert "config.yaml holds a secret" in said
    assert "AAAA" not in said
    assert "BBBB" not in said
