import base64
import json
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.redaction import HIDDEN, MAX_LENGTH, Redactor, redact

SECRET = "c0rrect/horse battery+staple"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password=hunter2 then", "password=[redacted] then"),
        ('{"token": "ab\\"cd", "n": 1}', '{"token": "[redacted]", "n": 1}'),
        (r"{\"api_key\": \"abcd\", \"n\": 1}", r"{\"api_key\": \"[redacted]\", \"n\": 1}"),
        ("Config(client_secret='a b c', n=1)", "Config(client_secret='[redacted]', n=1)"),
        ("(b'Authorization', b'Bot abc.def')", "(b'Authorization', b'[redacted]')"),
        ("Authorization: Bearer abcdef", "Authorization: [redacted]"),
        ("with bearer abcdefghijklmnopqrstuvw ok", "with bearer [redacted] ok"),
        ("https://h/x?token=abc&n=1", "https://h/x?token=[redacted]&n=1"),
        ("tool --db-password abc --verbose", "tool --db-password [redacted] --verbose"),
        ("postgresql://bot:hun:t@er2@db/x", "postgresql://bot:[redacted]@db/x"),
        ("redis://:hunter2@cache", "redis://:[redacted]@cache"),
        ("see https://ptb.discord.com/api/v10/webhooks/123456/ab-CD_?wait=1 now", "see [redacted webhook URL] now"),
        ("see https:\\/\\/discord.com\\/api\\/webhooks\\/123456\\/abCD now", "see [redacted webhook URL] now"),
        ("https%3A%2F%2Fdiscordapp.com%2Fapi%2Fwebhooks%2F123456%2FabCD", "[redacted webhook URL]"),
        ("to https://hooks.slack.com/services/T00/B00/xyz.", "to [redacted webhook URL]"),
        ("POST /api/webhooks/123456/abCD", "POST /api/[redacted webhook URL]"),
        ("mail bob.x+1@example.co.uk now", "mail [redacted e-mail] now"),
        ('File "/home/bob/app/x.py", line 3', 'File "~/app/x.py", line 3'),
        (r"C:\Users\Bob Smith\x.py", r"~\x.py"),
        ("'/Users/bob/x'", "'~/x'"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nrest", "[redacted]\nrest"),
        ("digest 9f86d081884c7d659a2feaa0c55ad015 ok", "digest [redacted] ok"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "token",
    [
        "MTk4NjIyNDgzNDcxOTI1MjQ4" + ".Cl2FMQ." + "ZnCjm1XVW7vRze4b7Cq4se7kKWs",
        "123456789:" + "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw8",
        "xoxb-" + "123456789012-abcdefABCDEF",
        "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a",
        "AKIA" + "IOSFODNN7EXAMPLE",
        "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
        "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxIn0." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "syt_" + "Ym9i_abcdefghijklmnop_1a2b3c",
    ],
)
def test_the_tokens_of_the_usual_platforms_are_known_by_shape(token: str) -> None:
    assert token[8:] not in redact(f"it was <{token}>, he said")


@pytest.mark.parametrize(
    "text",
    [
        "KeyError: 'tokens'",
        "E-AB12CD failed in G-9XK2M4",
        "/usr/lib/python3.11/site-packages/sqlalchemy/engine/base.py",
        "test_rate_limit_lets_go_after_the_first_window_of_2026",
        "user 198622483471925248 in guild 81384788765712384",
        "request 2f1c2f52-9a0c-4f5c-8f0e-0d9c1f3b7a10 timed out after 3.5 s",
        "----------------------------------------------------------------1",
        "restored /var/lib/socbot/backups/backup_pre_restore_20260102_034859.tar.zst",
        "made backup_pre_restore_20261127_033655",
    ],
)
def test_what_an_operator_needs_to_read_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        quote_plus(SECRET),
        json.dumps(SECRET)[1:-1],
        json.dumps(json.dumps(SECRET)),
        SECRET.replace("/", r"\/"),
        SECRET[:9] + "\n" + SECRET[9:],
        SECRET[:9] + "\r\n" + SECRET[9:],
        SECRET[:9] + r"\n" + SECRET[9:],
        *(base64.b64encode(b"x" * n + SECRET.encode() + b"y").decode() for n in range(3)),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        base64.encodebytes(b"bot:" + SECRET.encode()).decode(),
    ],
)
def test_a_known_secret_is_found_in_every_form(form: str) -> None:
    shown = Redactor([SECRET])(f"he said {form} to me")
    assert HIDDEN in shown
    assert shown.startswith("he said ")
    assert shown.endswith(" to me")


@given(st.text(min_size=8), st.text(), st.text())
def test_a_known_secret_is_found_wherever_it_stands(secret: str, before: str, after: str) -> None:
    text = Redactor([secret])(before + secret + after)
    assert secret not in text or secret in HIDDEN


@given(st.text(min_size=8, max_size=40), st.integers(0, 2))
def test_a_known_secret_is_found_in_base64(secret: str, offset: int) -> None:
    encoded = base64.b64encode(b"x" * offset + secret.encode() + b"yy").decode()
    whole = encoded[(0, 2, 3)[offset] : -5]
    assert whole not in Redactor([secret])(f"<{encoded}>")


def test_the_password_of_a_known_url_is_a_secret_by_itself() -> None:
    redactor = Redactor(["postgresql://bot:p%40ss-word@db/socbot"])
    assert "p@ss-word" not in redactor("FATAL: p@ss-word is wrong")
    assert "p%40ss-word" not in redactor("FATAL: p%40ss-word is wrong")


def test_a_secret_that_is_cut_in_half_goes_as_well() -> None:
    for length in range(MAX_LENGTH - 40, MAX_LENGTH + 10):
        shown = Redactor([SECRET])("a " * (length // 2) + SECRET + " b" * 2_000)
        assert "c0rrect" not in shown


def test_a_secret_that_is_cut_in_half_goes_also_where_much_was_taken_out_before_it() -> None:
    for length in range(len(SECRET) + 1):
        shown = Redactor([SECRET])("x" * length + f"{SECRET} " * 10_000, 8_000)
        assert "c0" not in shown


@given(st.text(st.characters(min_codepoint=1, max_codepoint=127)))
def test_redacting_twice_changes_nothing(text: str) -> None:
    assert redact(redact(text)) == redact(text)


def test_a_redactor_does_not_show_what_it_knows() -> None:
    assert repr(Redactor([SECRET])) == "Redactor(1 secrets)"


HOSTILE = [
    "a", "@", "://", "\\", "\n", "1", "%40", "a@", "a.b-", "token:'", 'password="', "password=", "authorization ",
    "eyJ", "/home", "C:\\Users\\", "webhooks/", "-----BEGIN PRIVATE KEY-----", "://a:", "--token", "xoxb-", "bearer ",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_the_time_is_bounded_whatever_the_text(piece: str) -> None:
    redactor = Redactor([SECRET, "postgresql://bot:p%40ss-word@db/socbot"])
    redactor(piece)
    text = piece * (10_000_000 // len(piece))
    started = time.process_time()
    shown = redactor(text)
    assert time.process_time() - started < 1.0
    assert len(shown) <= MAX_LENGTH + 1


@pytest.mark.parametrize("piece", HOSTILE)
def test_the_time_grows_with_the_text_and_no_faster(piece: str) -> None:
    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        return min(_timed(text) for _ in range(3))

    redact(piece)
    assert seconds(64_000) < 4 * 6 * max(seconds(16_000), 0.0005)


def _timed(text: str) -> float:
    started = time.process_time()
    redact(text)
    return time.process_time() - started
