import base64
from urllib.parse import parse_qs, urlsplit

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.cli import main
from socbot.invite import PERMISSIONS, application_of, invite_link

APPLICATION = "1174000000000000001"
TOKEN = ".".join([base64.b64encode(APPLICATION.encode()).decode().rstrip("="), "abcdef", "x" * 27])


def test_the_link_asks_for_what_its_permissions_say_and_no_more() -> None:
    query = parse_qs(urlsplit(invite_link(APPLICATION)).query)
    asked = discord.Permissions(int(query["permissions"][0]))
    assert query["client_id"] == [APPLICATION]
    assert query["scope"] == ["bot applications.commands"]
    assert asked == discord.Permissions(
        view_channel=True,
        send_messages=True,
        send_messages_in_threads=True,
        embed_links=True,
        attach_files=True,
        read_message_history=True,
        manage_messages=True,
        moderate_members=True,
    )
    assert not asked.administrator


def test_a_token_says_whose_it_is() -> None:
    assert application_of(TOKEN) == APPLICATION


@given(st.text())
def test_what_is_no_token_is_nobodys(text: str) -> None:
    found = application_of(text)
    assert found is None or found.isdigit()


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c", APPLICATION, TOKEN.partition(".")[0], "٤" * 20 + ".b.c"])
def test_broken_tokens_are_nobodys(token: str) -> None:
    assert application_of(token) is None


def test_the_command_prints_the_link_and_every_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    assert main(["invite"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(invite_link(APPLICATION))
    assert all(permission.name in printed and permission.reason in printed for permission in PERMISSIONS)
    assert TOKEN not in printed


def test_an_application_may_be_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.delenv("DISCORD_TOKEN", raising=False)
    assert main(["invite", "--application", "1174000000000000009"]) == 0
    assert "client_id=1174000000000000009" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--application", "my bot"], ["--application", "1&scope=x"]])
def test_without_an_id_it_says_what_to_do(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.delenv("DISCORD_TOKEN", raising=False)
    assert main(["invite", *arguments]) == 78
    assert "--application" in capsys.readouterr().err
