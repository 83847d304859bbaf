"""An address as it is shown tells whose it is, and nothing that lets somebody use it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.egress import mask


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"https://discord.com/api/webhooks/123456789012345678/{'x' * 60}1a2b", "https://discord.com/api/webhooks/…/…1a2b"),
        (f"https://ptb.discord.com/api/v10/webhooks/1/{'x' * 60}1a2b", "https://ptb.discord.com/api/webhooks/…/…1a2b"),
        ("https://discord.com/api/webhooks/1/abc", "https://discord.com/api/webhooks/…/…"),
        ("https://hooks.slack.com/services/T00000000/B00000000/" + "X" * 20 + "wxyz", "https://hooks.slack.com/services/…/…wxyz"),
        ("https://hooks.slack.com/workflows/T1/A1/1/" + "X" * 20 + "wxyz", "https://hooks.slack.com/workflows/…/…wxyz"),
        ("https://example.org/", "https://example.org"),
        ("https://example.org:8443/a/b", "https://example.org:8443/…"),
        ("https://example.org/hook?token=0123456789abcdefwxyz", "https://example.org/…wxyz"),
        ("https://example.org/hook?token=short", "https://example.org/…"),
        ("http://10.0.0.1:8080/" + "a" * 30, "http://10.0.0.1:8080/…aaaa"),
        ("https://bücher.example/x", "https://xn--bcher-kva.example/…"),
        ("https://me:secret@example.org/x", "https://…"),
        ("tgram://123:token/chat", "tgram://…"),
        ("mailto:me@example.org", "…"),
        ("", "…"),
        ("\x00" * 10_000, "…"),
    ],
)  # fmt: skip
def test_an_address_is_shown_as_its_host_and_the_end_of_a_long_secret(url: str, shown: str) -> None:
    assert mask(url) == shown


@given(st.text(max_size=200) | st.from_regex(r"[a-z]{1,9}://[^/]{0,30}(/.{0,60})?", fullmatch=True))
def test_no_text_breaks_it_or_gets_out_of_its_line(text: str) -> None:
    shown = mask(text)
    assert shown.replace("…", "").isascii()
    assert shown.isprintable()
    assert len(shown) < 300


@given(
    st.text("ABCDEFGHabcdefgh0123456789_-", min_size=1, max_size=80),
    st.sampled_from(["", "api/webhooks/1/", "?t=", "services/T/B/"]),
)
def test_no_more_than_four_characters_of_a_secret_are_shown(secret: str, path: str) -> None:
    shown = mask(f"https://hook.example.org/{path}{secret}")
    kept = shown.rpartition("…")[2]
    assert kept == ("" if len(secret) < 16 else secret[-4:])
