"""config.yaml: what is read can be written down and is read again as the same."""

import tempfile
from functools import cache
from pathlib import Path

import msgspec
import yaml

from socbot.config import Config, load
from socbot.documents import ConfigError

SECTIONS = [f"{name}:" for name in Config.__struct_fields__]
PIECES = (
    *SECTIONS, "\n  ", "\n", " ", "  - ", "- ", "{", "}", "[", "]", ": ", ", ", "prefix: ", "burst: ", "cooldown: ",
    "cooldowns: {ping: ", "ladder:\n    - {action: timeout, duration: ", "use: blacklist", "mode: shadow", "with: {a: ",
    "allow: [", "url: ", "levels: {", "1", "-1", "0", "0o17", "0x1F", "1_000", "1:30", ".nan", ".inf", "1.0e+400",
    "9" * 70, "1h30m", "5m", "on", "off", "null", "~", "2026-11-27", "'", '"', "\\x00", "\\ud800", "&a", "*a", "<<: ",
    "!!python/object:os.system", "!!binary", "!!set", "? ", "%YAML 1.2", "---", "...", "#", "|", ">-", "\t", "\ufeff",
    "\x85", "\u2028", "\udc80", "${HOME}", "${", "[" * 20,
)  # fmt: skip
FRAMES = (
    "bot:\n  prefix: …\n  name: …\n", "rate_limit:\n  cooldown: …\n  burst: …\n", "rate_limit: {cooldowns: {…: …}}\n",
    "middleware:\n  - use: …\n    with: {a: …, …}\n", "webhooks:\n  allow: [….0.0.0/8, …]\n",
    "logs:\n  levels: {…: …}\n", "rate_limit:\n  ladder:\n    - {action: …, duration: …}\n",
)  # fmt: skip


def fuzz(data: bytes) -> None:
    if b"_file" in data:  # it would read whatever lies on this machine
        return
    config = read(data)
    if config is None:
        return
    again = yaml.safe_dump(msgspec.to_builtins(config), allow_unicode=True).encode("utf-8", "surrogatepass")
    assert read(again) == config


def read(data: bytes) -> Config | None:
    path = scratch() / "config.yaml"
    path.write_bytes(data)
    try:
        return load(path, {}).config
    except ConfigError as refusal:
        check_told(str(refusal))
        return None


def check_told(text: str) -> None:
    assert "config.yaml" in text
    assert len(text) < 3_000


@cache
def scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz"))
