"""config.yaml: read within bounds, or refused with the line, the key and what was expected."""

from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.config import Config, LadderStep, load, schema
from socbot.documents import ConfigError, parse_yaml

SHIPPED = Path(__file__).parent.parent / "config.yaml"


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_shipped_file_says_the_defaults() -> None:
    assert load(SHIPPED, {}).config == Config()


def test_the_shipped_file_names_every_key() -> None:
    text = SHIPPED.read_text("utf-8")
    for section in Config.__struct_fields__:
        assert f"\n{section}:" in text
        value = getattr(Config(), section)
        if isinstance(value, msgspec.Struct):
            for name in value.__struct_fields__:
                assert f"\n  {name}:" in text, f"{section}.{name}"


def test_values_as_people_write_them(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "rate_limit:\n  cooldown: 1m30s\n  ladder:\n    - {action: timeout, duration: 2h}\nmiddleware:\n"
        "  - use: blacklist\n    mode: shadow\n  - rate_limit\n",
    )
    config = load(path, {}).config
    assert config.rate_limit.cooldown == 90.0
    assert config.rate_limit.ladder == (LadderStep("timeout", 7200.0),)
    assert [(entry.use, entry.mode) for entry in config.middleware] == [
        ("blacklist", "shadow"),
        ("rate_limit", "enforce"),
    ]


def test_the_environment_is_above_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "bot: {prefix: '?', owners: [irc:alice]}\n")
    environ = {"SOCBOT_BOT__PREFIX": "$", "SOCBOT_RATE_LIMIT__COOLDOWN": "7s", "BOT_OWNER_ID": "42"}
    loaded = load(path, environ)
    assert loaded.config.bot.prefix == "$"
    assert loaded.config.rate_limit.cooldown == 7.0
    assert loaded.config.bot.owners == ("irc:alice", "discord:42")
    assert loaded.origins["bot.prefix"] == "SOCBOT_BOT__PREFIX"


def test_secrets_come_from_the_environment_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://bot:secret@db/socbot\n")
    assert load(written(tmp_path, "storage: {url_file: url}\n"), {}).config.storage.url.endswith("@db/socbot")
    loaded = load(written(tmp_path, "storage: {url: '${DSN}'}\n"), {"DSN": "sqlite:///x.db"})
    assert loaded.config.storage.url == "sqlite:///x.db"
    assert "secret" not in repr(loaded.config)


def test_the_token_comes_from_a_file_that_either_names(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("made.up.token\n")
    path = written(tmp_path, "discord:\n  shards: '2'\n  token_file: token\n")
    by_file = load(path, {})
    assert by_file.config.discord.token == "made.up.token"
    assert by_file.origins["discord.token"] == "config.yaml line 3"
    by_variable = load(None, {"SOCBOT_DISCORD__TOKEN_FILE": str(secret)})
    assert by_variable.config.discord.token == "made.up.token"
    assert by_file.secret_files == by_variable.secret_files == {"discord.token": secret}
    above = load(path, {"DISCORD_TOKEN": "another.made.up"})
    assert above.config.discord.token == "another.made.up"
    assert above.secret_files == {}
    with pytest.raises(ConfigError, match=r"^SOCBOT_DISCORD__TOKEN_FILE: .*nowhere cannot be read"):
        load(None, {"SOCBOT_DISCORD__TOKEN_FILE": str(tmp_path / "nowhere")})


def test_a_refused_secret_is_not_shown() -> None:
    secret = "hunter2 and more"
    for variable in ("DISCORD_TOKEN", "SOCBOT_DISCORD__NOTICE_WEBHOOK", "SOCBOT_DISCORD__API_URL"):
        value = f"http://me:{secret}@proxy" if variable.endswith("URL") else secret
        with pytest.raises(ConfigError) as refusal:
            load(None, {variable: value})
        assert "hunter2" not in str(refusal.value)


def test_what_discord_takes_is_taken() -> None:
    webhook = "https://canary.discord.com/api/webhooks/" + "1" * 18 + "/" + "x-_" * 20
    for url in ("http://localhost:7979/api/v10", "https://proxy.example", "http://[::1]:80/"):
        environ = {"SOCBOT_DISCORD__API_URL": url, "SOCBOT_DISCORD__NOTICE_WEBHOOK": webhook}
        assert load(None, environ).config.discord.api_url == url
    with pytest.raises(ConfigError, match=r"discord\.api_url"):
        load(None, {"SOCBOT_DISCORD__API_URL": "http://[::1"})


BROKEN = {
    "a typo": ("rate_limit:\n  burts: 3\n", "line 2: rate_limit: unknown key 'burts'; did you mean 'burst'"),
    "an unknown section": (
        "bot: {name: x}\nratelimit: {}\n",
        "line 2: the file: unknown key 'ratelimit'; did you mean 'rate_limit'",
    ),
    "a wrong type": ("bot:\n  name: x\nrate_limit:\n  burst: lots\n", "line 4: rate_limit.burst.*Expected `int`"),
    "an impossible value": ("rate_limit:\n  burst: 0\n", "line 2: rate_limit.burst.*>= 1"),
    "a duplicate key": ("bot:\n  prefix: '!'\n  prefix: '?'\n", "line 3: bot.prefix: written twice, first on line 2"),
    "a tab": ("bot:\n\tprefix: '!'\n", "line 2"),
    "half a file": ("bot: {prefix: '!'\nmiddleware", "line"),
    "no mapping": ("- a\n- b\n", "sections such as"),
    "an alias": ("bot: &a {name: x}\nlogs: *a\n", "line 1: anchors and aliases"),
    "a tag": ("bot: !!python/object:os.system {}\n", "line 1: the tag '!!python/object:os.system' is not read"),
    "a tag that lies": ("bot:\n  name: !!int x\n", "line 2: the tag '!!int' is not read"),
    "a time zone": ("bot:\n  time_zone: Mars/Olympus\n", "line 2: bot.time_zone.*Europe/Berlin"),
    "a timeout without end": ("rate_limit:\n  ladder:\n    - action: timeout\n", "line 3: .*needs a duration"),
    "an unset variable": ("storage:\n  url: ${NOWHERE}\n", "line 2: storage.url: the environment variable NOWHERE"),
    "a missing secret": ("storage:\n  url_file: nowhere\n", "line 2: storage.url_file: .*nowhere cannot be read"),
    "a mode": ("middleware:\n  - use: blacklist\n    mode: maybe\n", "line 3: middleware"),
    "shards that cannot be": ("discord:\n  shards: 4-1/16\n", "line 2: discord.shards: .*from 0 to 15"),
    "shards of no kind": ("discord:\n  shards: many\n", "line 2: discord.shards: .*a range such as 1-4/16"),
    "a token with its prefix": (
        "discord:\n  token: Bot x.y.z\n",
        "discord.token, set by config.yaml line 2, .*word Bot",
    ),
    "any webhook": (
        "discord:\n  notice_webhook: https://example.org/x\n",
        "discord.notice_webhook, .* line 2, is no webhook",
    ),
    "a proxy that is none": ("discord:\n  api_url: localhost:7979\n", "line 2: discord.api_url: .*http://localhost"),
    "a proxy's password": ("discord:\n  api_url: http://me:x@localhost/\n", "discord.api_url: .*without a password"),
    "a guild's name": ("discord:\n  guilds: [My Server]\n", "line 2: discord.guilds"),
    "deep nesting": ("a: " + "[" * 17 + "]" * 17, "line 1: nested more than 16 deep"),
    "nesting without an end": ("a: " + "[" * 2000, "line 1.* nest(ed more than 16 deep|ing depth)"),
    "a huge number": ("rate_limit:\n  burst: " + "9" * 5000 + "\n", "line 2"),
}


@pytest.mark.promise("P28")
@pytest.mark.promise("P30")
@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_refused_with_its_line(what: str, tmp_path: Path) -> None:
    text, message = BROKEN[what]
    with pytest.raises(ConfigError, match=message):
        load(written(tmp_path, text), {})


@pytest.mark.promise("P30")
@pytest.mark.parametrize(
    "content",
    [
        b"bot: \xff\xfe\n",
        b"x" * 10_000_000,
        b"a: " + b"{a: " * 100_000,
        b"- " * 100_000,
        b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n",
        b"\x00\x01",
        b"[" * 20_000,
    ],
    ids=["not UTF-8", "10 MB", "deep maps", "deep lists", "alias bomb", "NUL", "brackets"],
)
def test_a_hostile_file_is_one_typed_error(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load(written(tmp_path, content), {})


@pytest.mark.promise("P29")
@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text: str) -> None:
    with suppress(ConfigError):  # the one way in which it may fail
        parse_yaml(text)


def test_an_empty_file_and_a_byte_order_mark_are_fine(tmp_path: Path) -> None:
    assert load(written(tmp_path, ""), {}).config == Config()
    assert load(written(tmp_path, b"\xef\xbb\xbfbot: {name: x}\n"), {}).config.bot.name == "x"


def test_the_schema_describes_the_shipped_file() -> None:
    described = schema()["$defs"]
    assert set(described["Config"]["properties"]) == set(Config.__struct_fields__)
    assert described["RateLimitConfig"]["additionalProperties"] is False
    cooldown = described["RateLimitConfig"]["properties"]["cooldown"]["anyOf"]
    assert [kind["type"] for kind in cooldown] == ["number", "string"]
    assert described["ErrorsConfig"]["properties"]["error_rate_window_minutes"]["type"] == "number"
