"""The look for secrets finds them, and what is redacted holds none."""

import base64
import json
import logging
from pathlib import Path
from urllib.parse import quote

import pytest

from socbot.bot import Bot
from socbot.config import LogsConfig, RateLimitConfig
from socbot.dispatch.arguments import Rest
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.logs import logging_to
from socbot.redaction import Redactor, redact
from socbot.testing import owner_said
from tests.canary import CANARIES, leaks
from tests.conftest import MakeBot

BY_VALUE_ALONE = ("database password", "ops token")
"""They look like nothing; the bot must know them to take them out."""


def said_in_many_ways(secret: str) -> list[str]:
    return [
        f"before {secret} after",
        json.dumps({"value": secret}),
        f"https://example.org/?value={quote(secret, safe='')}",
        base64.b64encode(b"x" + secret.encode() + b"yy").decode(),
        base64.encodebytes(secret.encode()).decode(),
        f"before {secret[:7]}\n{secret[7:]} after",
        repr(ValueError(secret)),
        repr({"value": secret}),
    ]


@pytest.mark.parametrize("name", CANARIES)
def test_the_look_finds_each_secret_in_each_form(name: str) -> None:
    for text in said_in_many_ways(CANARIES[name]):
        assert leaks(text), text
    assert leaks("nothing of the kind") == []


@pytest.mark.promise("P11")
@pytest.mark.parametrize("name", CANARIES)
def test_a_known_secret_is_taken_out_in_each_form(name: str) -> None:
    redactor = Redactor([CANARIES[name]])
    for text in said_in_many_ways(CANARIES[name]):
        assert leaks(redactor(text)) == [], text


@pytest.mark.promise("P11")
@pytest.mark.parametrize("name", [name for name in CANARIES if name not in BY_VALUE_ALONE])
def test_a_secret_that_nobody_knows_is_taken_out_by_its_looks(name: str) -> None:
    assert leaks(redact(f"before {CANARIES[name]} after")) == []
    assert leaks(redact(json.dumps({"value": CANARIES[name]}))) == []


@pytest.mark.promise("P11")
@pytest.mark.parametrize("name", CANARIES)
@pytest.mark.parametrize("key", ["password", "api_key", "client-secret", "DISCORD_TOKEN", "Authorization"])
def test_a_secret_is_taken_out_by_its_name(name: str, key: str) -> None:
    secret = CANARIES[name]
    if " " not in secret and "\n" not in secret:
        assert leaks(redact(f"{key}={secret} and {key}: {secret}")) == []
    assert leaks(redact(json.dumps({key: secret}))) == []
    assert leaks(redact(f"{key}={secret!r}")) == []


@command("fail", permission="public")
async def fail(ctx: Context, what: Rest) -> str:
    """Fails, and says all it knows."""
    try:
        raise KeyError(what)
    except KeyError as error:
        raise ValueError(f"could not use {what}") from error


@pytest.mark.promise("P11")
async def test_no_secret_is_in_what_is_kept_told_or_logged_of_an_error(
    make_bot: MakeBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notices: list[object]
) -> None:
    unlimited = RateLimitConfig(cooldown=0.0, burst=10_000, window=0.001)
    log = tmp_path / "logs" / "bot.log"
    secrets = [secret for name, secret in CANARIES.items() if name not in BY_VALUE_ALONE]
    monkeypatch.setenv("DISCORD_TOKEN", CANARIES["ops token"])
    async with make_bot(commands=[fail], rate_limit=unlimited) as bot:
        with logging_to(LogsConfig(file=str(log), level="DEBUG"), bot.redactor):
            for secret in (*secrets, CANARIES["ops token"]):
                outcome = await bot.dispatch(owner_said(f"!fail {secret}"))
                assert outcome.error_id is not None
                logging.getLogger("test").error("failed with %s", secret, exc_info=outcome.error)
                assert leaks(str(outcome.reply)) == []
                await _no_leak(bot, f"!error_details {outcome.error_id}")
            for text in (
                "!error_dashboard",
                "!recent_errors 100",
                "!error_search could",
                "!error_trends",
                "!top_errors",
            ):
                await _no_leak(bot, text)
            await bot.errors.check()
            await _no_leak(bot, "!clear_errors")
    assert notices
    assert all(leaks(repr(notice)) == [] for notice in notices)
    assert log.stat().st_size > 1_000
    assert leaks(log.read_bytes()) == []
    for file in (tmp_path / "data").iterdir():
        assert leaks(file.read_bytes()) == [], file.name


async def _no_leak(bot: Bot, text: str) -> None:
    outcome = await bot.dispatch(owner_said(text))
    assert outcome.reply is not None
    assert leaks(str(outcome.reply)) == []
    assert all(leaks(file.content) == [] for file in outcome.reply.files)
    if outcome.reply.question:
        await _no_leak(bot, f"confirm {outcome.reply.question.code}")
