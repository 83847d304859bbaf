"""What doctor and check say of how the bot is set up for Discord."""

import base64
import os
import re
import subprocess
from pathlib import Path

import pytest

from socbot.checking import check
from socbot.cli import main
from socbot.config import Loaded, load
from socbot.remarks import Remark, on_dashboard, on_discord
from tests.test_cli import socbot

APPLICATION = "1174000000000000001"
TOKEN = ".".join([base64.b64encode(APPLICATION.encode()).decode().rstrip("="), "GabcDe", "x" * 38])
OWNER = "123456789012345678"


def loaded(tmp_path: Path, text: str = "", **environ: str) -> Loaded:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    path.chmod(0o600)
    return load(path, {"DISCORD_TOKEN": TOKEN, "BOT_OWNER_ID": OWNER} | environ)


def warned(remarks: list[Remark]) -> list[str]:
    return [remark.text for remark in remarks if remark.level != "ok"]


def test_without_a_token_it_says_where_the_bot_runs() -> None:
    (remark,) = on_discord(load(None, {}))
    assert remark.level == "ok"
    assert "console" in remark.text
    assert "DISCORD_TOKEN" in remark.mend


def test_a_sound_set_up_has_nothing_to_warn_of_and_shows_no_token(tmp_path: Path) -> None:
    remarks = list(on_discord(loaded(tmp_path)))
    assert warned(remarks) == []
    assert f"DISCORD_TOKEN gives a token, of application {APPLICATION}" in [remark.text for remark in remarks]
    assert any(remark.text.startswith("discord.py 2.") for remark in remarks)
    assert TOKEN not in str(remarks)


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", APPLICATION, TOKEN + ".more", "x" * 32])
def test_what_is_no_token_is_told_without_being_shown(tmp_path: Path, token: str) -> None:
    remarks = list(on_discord(loaded(tmp_path, DISCORD_TOKEN=token)))
    assert warned(remarks) == ["what DISCORD_TOKEN gives does not look like a bot's token"]
    assert token not in str(remarks)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bot: {owners: [alice]}", "bot.owners: discord:alice is no id of Discord's"),
        ("discord: {shards: 1-4/16}", "the other processes do not know who is listed here"),
        ("discord: {shards: 0/2}\nstorage: {url: 'postgresql://db/x'}", "what another process changes then"),
    ],
)
def test_what_will_surprise_is_told(tmp_path: Path, text: str, said: str) -> None:
    (warning,) = warned(list(on_discord(loaded(tmp_path, text))))
    assert said in warning


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("discord: {message_content: 'off'}", "commands by prefix are not seen in servers"),
        ("discord: {members: 'on'}", "Discord refuses the login unless the application has it"),
        ("discord: {notice_channel: '42'}", "or else by channel"),
        ("discord: {api_url: 'http://localhost:7979/api/v10'}", "which sees the token"),
        ("discord: {shards: 0-3/4}", "discord.py"),  # all of them, so there is nothing to say
    ],
)
def test_what_was_chosen_is_told(tmp_path: Path, text: str, said: str) -> None:
    remarks = list(on_discord(loaded(tmp_path, text)))
    assert warned(remarks) == []
    assert any(said in remark.text for remark in remarks)


def test_that_nobody_on_discord_is_the_owner_is_told_unless_the_team_is(tmp_path: Path) -> None:
    text = "bot: {owners: [irc:alice]}\n"
    assert warned(list(on_discord(loaded(tmp_path, text, BOT_OWNER_ID="")))) == ["nobody on Discord is the bot's owner"]
    assert warned(list(on_discord(loaded(tmp_path, text + "discord: {team_owners: true}", BOT_OWNER_ID="")))) == []


@pytest.mark.promise("P18")
def test_secrets_that_everybody_can_read_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "token"
    secret.write_text(TOKEN)
    config = tmp_path / "config.yaml"
    store = f"storage: {{url: 'sqlite:///{tmp_path}/none.db'}}\n"
    for text, holder in (("discord: {token_file: token}\n", secret), (f"discord: {{token: {TOKEN}}}\n", config)):
        config.write_text(store + text)
        for mode, told in ((0o600, False), (0o640, False), (0o644, True)):
            secret.chmod(0o600)
            config.chmod(0o600)
            holder.chmod(mode)
            assert main(["doctor", "--config", str(config)]) == 0
            printed = capsys.readouterr().out
            assert ("can be read by everybody" in printed) is told, (text, oct(mode))
            assert (f"chmod 600 {holder}" in printed) is told
            assert TOKEN not in printed


def test_a_file_without_a_secret_may_be_read_by_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text((Path(__file__).parent.parent / "config.yaml").read_text("utf-8"))
    Path("config.yaml").chmod(0o644)
    assert main(["doctor"]) == 0
    assert "can be read by everybody" not in capsys.readouterr().out
    Path("config.yaml").write_text("storage: {url: 'postgresql://me:hunter2@127.0.0.1:1/x', busy_timeout: 0.1}\n")
    main(["doctor"])
    printed = capsys.readouterr().out
    assert "config.yaml holds a secret and can be read by everybody" in printed
    assert "hunter2" not in printed


def test_check_says_where_the_bot_would_run_and_what_to_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "bot: {owners: [bob]}\nstorage: {url: 'postgresql://db/x'}\ndiscord: {shards: 0/2, guilds: ['1']}\n"
    assert check(loaded(tmp_path, text, BOT_OWNER_ID=""), as_json=False) == 0
    printed = capsys.readouterr().out
    assert "transport: Discord, shards 0/2, slash commands in 1 guilds" in printed
    assert "warning: nobody on Discord is the bot's owner" in printed
    assert (
        "what another process changes then is not seen here" in printed
    )  # of the store that is set, not of the scratch


@pytest.mark.promise("P38")
def test_who_can_reach_the_dashboard_is_told(tmp_path: Path) -> None:
    expected = {
        "{}": ("only this machine can reach it", False),
        "{host: localhost, port: 9000}": ("localhost port 9000; only this machine", False),
        "{host: '::1'}": ("only this machine", False),
        "{url: 'https://bot.example.org'}": ("a proxy leads to it as https://bot.example.org", False),
        "{url: 'http://bot.example.org'}": ("a proxy leads to it as http://bot.example.org", True),
        "{host: 0.0.0.0}": ("others can reach it", True),
        "{host: 192.0.2.7, url: 'http://bot.example.org'}": ("others can reach it as http://bot.example.org", True),
        "{host: 0.0.0.0, url: 'https://bot.example.org'}": ("others can reach it as https://bot.example.org", False),
        "{enabled: false, host: 0.0.0.0}": ("there is no dashboard", False),
    }
    for web, (told, in_the_clear) in expected.items():
        remarks = list(on_dashboard(loaded(tmp_path, f"web: {web}\n")))
        assert told in remarks[0].text, web
        assert any("in the clear" in text for text in warned(remarks)) is in_the_clear, web


def test_check_and_doctor_say_where_the_dashboard_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"storage: {{url: 'sqlite:///{tmp_path}/none.db'}}\nweb: {{host: 0.0.0.0}}\n")
    for command in ("check", "doctor"):
        assert main([command, "--config", str(config)]) == 0
        printed = capsys.readouterr().out
        assert re.search(r"listens on 0\.0\.0\.0 port \d+; others can reach it", printed)
        assert "cross the network in the clear" in printed


def test_doctor_looks_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("DISCORD_", "BOT_", "SOCBOT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SOCBOT_CONFIG", "elsewhere.yaml")
    assert main(["doctor"]) == 1
    assert "elsewhere.yaml: cannot be read" in capsys.readouterr().out


@pytest.mark.promise("P18")
def test_a_start_says_what_others_can_read_and_what_git_would_take(tmp_path: Path) -> None:
    secret = "B" * 43 + "="

    def started() -> str:
        done = socbot(tmp_path, "run", "--transport", "console")
        assert done.returncode == 0, done.stderr
        assert secret not in done.stdout + done.stderr
        return done.stderr

    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    config = tmp_path / "config.yaml"
    config.write_text(f"webhooks: {{key: {secret}}}\n")
    config.chmod(0o600)
    assert started() == "", "the folder that it makes ignores itself"
    (tmp_path / "data" / ".gitignore").unlink()
    config.chmod(0o644)
    told = started()
    assert "config.yaml holds a secret and can be read by everybody: chmod 600" in told
    assert "data lies in a git work tree and is not ignored: add data/ to .gitignore" in told
    assert "data lies in a git work tree" in (tmp_path / "logs" / "bot.log").read_text()
    (tmp_path / ".gitignore").write_text("data/\n")
    config.chmod(0o600)
    assert started() == ""
