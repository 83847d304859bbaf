"""What goes out fits every platform, and nothing of a person's text is live in it."""

from datetime import timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.dispatch.replies import Field, File, Question, Reply, author, escape, moment, person, plain, printable

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=400) | st.text("ab \n😀é€", max_size=400)


def without_space(text: str) -> str:
    return "".join(text.split())


@given(TEXT, st.integers(4, 60))
def test_pieces_fit_in_characters_and_lose_only_white_space(text: str, limit: int) -> None:
    pieces = list(Reply(text).chunks(limit))
    assert all(0 < len(piece) <= limit for piece in pieces)
    assert without_space("".join(pieces)) == without_space(text)


@given(TEXT, st.integers(4, 60))
def test_pieces_fit_in_bytes_and_never_split_a_character(text: str, limit: int) -> None:
    pieces = [piece.encode() for piece in Reply(text).chunks(limit, "bytes")]
    assert all(0 < len(piece) <= limit for piece in pieces)
    assert without_space(b"".join(pieces).decode()) == without_space(text)


@given(TEXT, st.integers(4, 60))
def test_no_piece_is_empty_to_the_eye(text: str, limit: int) -> None:
    assert not any(piece.isspace() for piece in Reply(text).chunks(limit))


def test_pieces_are_cut_where_lines_or_words_end() -> None:
    assert list(Reply("one two\nthree four").chunks(9)) == ["one two", "three", "four"]


def test_a_limit_below_the_longest_character_is_refused() -> None:
    with pytest.raises(ValueError, match="least is 4"):
        list(Reply("text").chunks(3))


@pytest.mark.promise("P36")
@given(st.text(max_size=300), st.integers(2, 100))
def test_escaped_text_mentions_nobody_and_stays_in_its_code_span(text: str, limit: int) -> None:
    shown = escape(text, limit)
    assert not any(character in shown for character in "`<>\n\r\x00\x1b\u202e\u2066\u2028\u061c")
    assert "@" not in shown
    assert "](" not in shown
    shown.encode()


@pytest.mark.parametrize(
    "text",
    ["@everyone", "@here", "<@42>", "<@&42>", "<#42>", "<!channel>", "@\u200beveryone", "@\u2060here", "`@everyone`"],
)
@pytest.mark.promise("P36")
def test_no_form_of_a_mention_survives(text: str) -> None:
    shown = escape(text)
    assert "@everyone" not in shown
    assert "@here" not in shown
    assert not set("<>`") & set(shown)


@pytest.mark.promise("P36")
@pytest.mark.parametrize("text", ["[a bank](https://evil.example)", "[x](<https://evil.example>)", "[[a](b)](c)"])
def test_no_words_of_a_persons_link_to_somewhere_else(text: str) -> None:
    assert "](" not in escape(text)
    assert len(escape(text)) == len(text)


@pytest.mark.parametrize("mark", ["\u061c", "\u200e", "\u202e", "\u2066", "\u206a", "\xad", "\ufeff", "\U000e0041"])
def test_marks_that_nobody_sees_are_shown(mark: str) -> None:
    assert escape(f"a{mark}b") == "a�b"
    assert mark not in printable(f"a{mark}b")


def test_what_is_cut_is_shown_by_an_ellipsis() -> None:
    assert escape("x" * 50, 10) == "x" * 9 + "…"
    assert escape("x" * 10, 10) == "x" * 10


@given(st.text(max_size=200))
def test_printable_text_has_no_control_character_but_line_ends(text: str) -> None:
    shown = printable(text)
    assert all(character == "\n" or character >= " " for character in shown)
    assert "\x7f" not in shown


def test_a_moment_is_written_out_in_the_zone_asked_for() -> None:
    text = f"since {moment(1_700_000_000.9)}"
    assert plain(text) == "since 2023-11-14 22:13:20 UTC"
    assert "2023-11-15 00:13:20" in plain(text, timezone(timedelta(hours=2)))


@pytest.mark.parametrize("text", ["<t:999999999999>", "<t:-999999999999>", "<t:>", "<t:1:", "<t:1e5>"])
def test_a_moment_that_is_none_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


def test_all_of_a_reply_is_in_its_plain_text() -> None:
    reply = Reply(
        "text",
        "title",
        (Field("name", "value"),),
        ("item",),
        files=(File("a.csv", b"123"),),
        question=Question("secret", "ABC234", 30.0),
    )
    assert str(reply) == (
        "title\ntext\nname: value\nitem\n[file a.csv, 3 bytes]\nTo go on, answer within 30 s: confirm ABC234"
    )
    assert "secret" not in repr(reply.question)


def test_a_user_of_the_same_platform_is_named_as_the_platform_does() -> None:
    here = person("discord", "198622483471925248", "discord")
    assert here == "<@198622483471925248>"
    assert Reply(here).plain() == "`198622483471925248`"
    assert person("discord", "198622483471925248", "irc") == "`discord:198622483471925248`"
    assert person("irc", "a<@1>`b", "irc") == "`a‹＠1›ˋb`"
    assert author("discord:198622483471925248", "discord") == here
    assert author("rate_limit", "discord") == "rate_limit"
