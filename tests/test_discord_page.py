"""docs/discord.md says what the program says."""

import re
from pathlib import Path

import pytest

from socbot.config import DiscordConfig
from socbot.exit_codes import EXIT_CONFIGURATION, EXIT_TRY_AGAIN
from socbot.invite import PERMISSIONS
from socbot.transports.discord import faults
from socbot.transports.discord.answering import ACK_BUDGET
from socbot.transports.discord.books import LIFETIME
from socbot.transports.discord.logins import FREE_LOGINS, SessionLimit
from socbot.transports.discord.rendering import MAX_PAGES
from socbot.transports.discord.requests import MOST_INVALID
from socbot.transports.discord.slash import Slash
from socbot.transports.discord.syncing import MOST_PUTS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "discord.md").read_text("utf-8")


def section(title: str) -> str:
    return re.split(r"^## ", PAGE.split(f"\n## {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_the_permissions_are_those_that_the_link_asks_for() -> None:
    rows = re.findall(r"^\| ([A-Z][\w ]+) \| (.+) \|$", section("What it is given"), re.MULTILINE)
    assert rows == [(permission.name, permission.reason) for permission in PERMISSIONS]


@pytest.mark.parametrize("key", DiscordConfig.__struct_fields__)
def test_every_key_is_explained(key: str) -> None:
    assert re.search(rf"`?discord\.{key}\b|`{key}`|`{key}_file`", PAGE), key


def test_every_setting_that_the_page_names_is_one() -> None:
    named = set(re.findall(r"`discord\.(\w+)", PAGE))
    assert named <= {*DiscordConfig.__struct_fields__, "token_file"}


@pytest.mark.promise("P15")
def test_every_code_that_ends_the_bot_is_named_with_its_exit_code() -> None:
    text = section("When the connection breaks")
    assert {int(code) for code in re.findall(r"\b4\d{3}\b", text)} == set(faults._CLOSE_CODES)
    assert f"exit code {EXIT_CONFIGURATION}" in text
    assert f"not after exit code {EXIT_CONFIGURATION}" in section("As a service")
    assert f"exit code {EXIT_TRY_AGAIN}" in section("When it does not work")


def test_its_figures_are_the_programs() -> None:
    assert f"after {ACK_BUDGET} seconds" in PAGE
    assert LIFETIME == 600
    assert f"more than {MAX_PAGES} pages" in PAGE
    assert f"At {MOST_INVALID} the bot" in PAGE
    assert (MOST_PUTS, FREE_LOGINS) == (10, 3)
    assert f"at least {SessionLimit().reserve(1)} are never touched" in PAGE


def test_the_slash_commands_and_menus_that_it_names_are_there() -> None:
    from socbot.bot import COMMANDS

    slash = Slash(COMMANDS)
    paths = {slash.path_of(each) for each in COMMANDS}
    singles = set(re.findall(r"`/([a-z_]+(?: [a-z_]+)?)`", PAGE))
    assert singles
    for path in singles:
        assert any(each == path or each.startswith(path + " ") for each in paths), path
    for menu in (command["name"] for command in slash.commands if command["type"] == 2):
        assert menu in PAGE, menu


def test_what_it_quotes_is_said() -> None:
    """Of what the program says itself, the beginnings."""
    source = "".join(path.read_text("utf-8") for path in (ROOT / "socbot").rglob("*.py"))
    flat = re.sub(r'"\s*\n\s*f?"', "", source)
    for quoted in re.findall(r"“(.+?)”", section("When it does not work")):
        parts = [part for part in re.split(r" … |the owner", quoted) if part.strip()]
        assert all(part in flat for part in parts), quoted


def test_the_architecture_names_every_module_of_the_transport() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8").split("\n## On Discord\n")[1]
    modules = {path.stem for path in (ROOT / "socbot" / "transports" / "discord").glob("[a-z]*.py")}
    assert modules <= set(re.findall(r"`(\w+)`", page))


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)(.+?)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
