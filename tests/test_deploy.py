"""What is in deploy/ fits the program: its arguments, exit codes, keys, paths and times."""

import re
import shlex
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from socbot.cli import _parser
from socbot.config import Config, load
from socbot.documents import parse_yaml
from socbot.exit_codes import EXIT_CONFIGURATION, EXIT_RESTART
from socbot.running import _LAST_RESORT
from socbot.watchdog import Systemd

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
STATE = "/var/lib/socbot"
CONFIG = "/etc/socbot/config.yaml"


@pytest.fixture
def service() -> dict[str, str]:
    unit = ConfigParser(interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "socbot.service")
    return dict(unit["Service"])


@pytest.fixture
def compose() -> Any:
    return parse_yaml((DEPLOY / "compose.yaml").read_text(), "compose.yaml")[0]


@pytest.fixture
def steps() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    found = (line.partition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return [(instruction, argument) for instruction, _, argument in found]


def last(steps: list[tuple[str, str]], wanted: str) -> str:
    return [argument for instruction, argument in steps if instruction == wanted][-1]


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def longest_end() -> float:
    """Seconds after which the bot has ended by itself."""
    return Config().bot.shutdown_timeout + _LAST_RESORT


# -- systemd ------------------------------------------------------------------------------------------


def test_the_unit_starts_the_bot_with_arguments_that_it_has(service: dict[str, str]) -> None:
    program, *arguments = shlex.split(service["ExecStart"])
    assert program.endswith("/.venv/bin/socbot")
    parsed = _parser().parse_args(arguments)
    assert (parsed.transport, parsed.config) == ("discord", CONFIG)


@pytest.mark.promise("P15")
def test_the_unit_tries_again_what_may_pass_and_nothing_else(service: dict[str, str]) -> None:
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == str(EXIT_CONFIGURATION)
    assert service["RestartForceExitStatus"] == service["SuccessExitStatus"] == str(EXIT_RESTART)


def test_the_unit_hands_the_token_on_under_a_key_that_there_is(service: dict[str, str], tmp_path: Path) -> None:
    name, source = service["LoadCredential"].split(":")
    variable, value = service["Environment"].split()[0].split("=")
    assert value == f"%d/{name}"
    assert source.startswith("/etc/socbot/")
    (tmp_path / name).write_text("made.up.token\n")
    loaded = load(None, {variable: value.replace("%d", str(tmp_path))})
    assert loaded.config.discord.token == "made.up.token"


def test_the_unit_gives_the_bot_its_one_folder_and_time_to_end(service: dict[str, str]) -> None:
    assert service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory']}" == STATE
    assert (service["StateDirectoryMode"], service["UMask"]) == ("0700", "0077")
    assert seconds(service["TimeoutStopSec"]) > longest_end()
    store = Config().storage.url.removeprefix("sqlite:///")
    assert not store.startswith("/")
    assert not Config().logs.file.startswith("/")  # both are below the working directory


def test_the_unit_is_told_how_the_bot_is(service: dict[str, str]) -> None:
    assert service["Type"] == "notify"
    microseconds = str(seconds(service["WatchdogSec"]) * 1_000_000)
    assert Systemd.from_environment({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": microseconds}).interval == 30.0


def test_the_unit_takes_every_right_away_that_the_bot_does_not_need(service: dict[str, str]) -> None:
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    for key in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "RestrictSUIDSGID"):
        assert service[key] == "yes", key
    assert service["User"] not in ("", "root", "0")


# -- containers ---------------------------------------------------------------------------------------


def test_the_image_is_made_of_what_there_is_and_what_the_builder_is_given(steps: list[tuple[str, str]]) -> None:
    allowed = [
        line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    ]
    copied = [argument.split()[:-1] for instruction, argument in steps if instruction == "COPY"]
    for source in (source for sources in copied for source in sources if not sources[0].startswith("--from")):
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source.split("/")[0], pattern) for pattern in allowed), source
    assert "*" in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert not {"data", "logs", "deploy", ".git"} & set(allowed)


def test_the_image_is_pinned_and_runs_as_nobody_special(steps: list[tuple[str, str]]) -> None:
    installs = [argument for instruction, argument in steps if instruction == "RUN" and "pip install" in argument]
    assert all("--require-hashes" in each or "--no-deps" in each for each in installs)
    user = last(steps, "USER")
    assert user.isdigit()
    assert f"--uid {user} " in "".join(argument for instruction, argument in steps if instruction == "RUN")
    bases = [argument for instruction, argument in steps if instruction == "FROM"]
    assert {base.split()[0] for base in bases} == {"python:3.11-slim"}  # a virtual environment moves to its like only


def test_the_image_starts_the_bot_in_the_folder_that_is_kept(steps: list[tuple[str, str]]) -> None:
    assert last(steps, "WORKDIR") == last(steps, "VOLUME") == STATE
    assert f"SOCBOT_CONFIG={CONFIG}" in last(steps, "ENV").split()
    assert f"config.yaml {CONFIG}" in [argument for instruction, argument in steps if instruction == "COPY"]
    assert last(steps, "STOPSIGNAL") == "SIGTERM"
    assert last(steps, "ENTRYPOINT") == '["socbot"]'
    assert _parser().parse_args(re.findall(r'"(.*?)"', last(steps, "CMD"))).transport == "discord"


def test_compose_builds_that_image_and_keeps_the_token_out_of_it(compose: Any, tmp_path: Path) -> None:
    service = compose["services"]["socbot"]
    context = (DEPLOY / service["build"]["context"]).resolve()
    assert context == ROOT
    assert (context / service["build"]["dockerfile"]).exists()
    (name,) = service["secrets"]
    secret = compose["secrets"][name]["file"]
    assert f"/deploy/{Path(secret).name}\n" in (ROOT / ".gitignore").read_text()
    assert service["environment"]["SOCBOT_DISCORD__TOKEN_FILE"] == f"/run/secrets/{name}"
    (tmp_path / name).write_text("made.up.token\n")
    assert load(None, {"SOCBOT_DISCORD__TOKEN_FILE": str(tmp_path / name)}).config.discord.token == "made.up.token"


def test_compose_keeps_the_store_and_gives_the_bot_time_to_end(compose: Any) -> None:
    service = compose["services"]["socbot"]
    volumes = {target: source for source, target in (each.split(":")[:2] for each in service["volumes"])}
    assert volumes[STATE] in compose["volumes"]
    assert (DEPLOY / volumes[CONFIG]).resolve() == ROOT / "config.yaml"
    assert seconds(service["stop_grace_period"]) > longest_end()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
