"""What the IRC host makes of a line, and of a reply."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydle.features.ircv3.tags import TaggedMessage

from examples import irc_bot
from socbot import Field, Message, Reply, escape


def heard(line: str) -> Message:
    return irc_bot.read(TaggedMessage.parse(line.encode() + b"\r\n"), "SocBot", "testnet")


def test_an_account_is_an_identity_and_a_nickname_is_not() -> None:
    account = heard("@account=Alice;msgid=m1 :al!~u@h PRIVMSG #Ops :!ping")
    nickname = heard(":Alice!~u@h PRIVMSG #Ops :!ping")
    assert (account.author.id, account.stable_ids, account.id) == ("alice", True, "m1")
    assert (nickname.identity, nickname.stable_ids, nickname.id) == (("irc", "~alice"), False, None)
    assert account.channel == nickname.channel == "#ops"
    assert account.guild == "testnet"


def test_a_line_to_the_bot_alone_is_a_direct_message() -> None:
    message = heard(":Bob!~u@h PRIVMSG socbot :!ping")
    assert (message.channel, message.guild) == ("Bob", None)


@pytest.mark.parametrize("said", ["\x02!ping\x02", "\x0304,01!ping", " !ping "])
def test_colours_and_bold_are_no_part_of_what_is_said(said: str) -> None:
    assert heard(f":bob!~u@h PRIVMSG #ops :{said}").text == "!ping"


def test_an_action_is_no_command() -> None:
    assert not heard(":bob!~u@h PRIVMSG #ops :\x01ACTION !ping\x01").text.startswith("!")


def test_an_at_sign_is_shown_without_an_escape() -> None:
    assert list(irc_bot.written(Reply(escape("mail @bob")))) == ["mail ＠bob"]


@given(st.text(max_size=3000), st.lists(st.text(max_size=600), max_size=40))
def test_no_line_is_too_long_or_more_than_one(text: str, items: list[str]) -> None:
    lines = list(irc_bot.written(Reply(text, fields=(Field("name", text),), items=tuple(items))))
    assert len(lines) <= irc_bot.MOST_LINES + 1
    for line in lines:
        assert line.strip()
        assert len(line.encode()) <= 400
        assert not set(line) & set("\r\n\0\x01\x1b\u2028")


def test_all_of_a_long_reply_is_written() -> None:
    words = [f"wörd{number}" for number in range(300)]
    lines = list(irc_bot.written(Reply(" ".join(words))))
    assert " ".join(lines).split() == words
    assert max(len(line.encode()) for line in lines) <= 400
