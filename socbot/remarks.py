"""What there is to say of how the bot is set up, as far as that can be seen from here, without asking Discord."""

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct

from socbot.bot import secrets_of
from socbot.config import DiscordConfig, Loaded
from socbot.invite import application_of, is_id
from socbot.shards import parse_shards

Level: TypeAlias = Literal["ok", "warning", "error"]

OLDEST_LIBRARY = (2, 7)
PORTAL = "https://discord.com/developers/applications"

_TOKEN = re.compile(r"[\w-]{18,}\.[\w-]{6,}\.[\w-]{25,}", re.ASCII)
_INTENTS = {
    "message_content": (
        "commands by prefix are not seen in servers (slash commands, mentions and direct messages are)",
        "Message Content Intent",
    ),
    "members": ("who joins and who leaves is not seen", "Server Members Intent"),
}


class Remark(Struct, frozen=True):
    """One thing that was looked at; ``mend`` says what to do about it."""

    level: Level
    text: str
    mend: str = ""


def on_discord(loaded: Loaded) -> Iterator[Remark]:
    """What to know of the section ``discord`` and what goes with it. No secret is in what is said."""
    config = loaded.config.discord
    if not config.token:
        mend = "for Discord, set DISCORD_TOKEN, or discord.token_file in config.yaml; docs/discord.md has all the steps"
        yield Remark("ok", "there is no token for Discord, so `socbot run` is on the console", mend)
        return
    yield _library()
    yield _token(loaded)
    yield from _owners(loaded)
    yield _ways(config)
    yield from _intents(config)
    yield from _shards(loaded)
    if config.api_url:
        yield Remark("ok", f"requests go through {config.api_url}, which sees the token")


def on_dashboard(loaded: Loaded) -> Iterator[Remark]:
    """What to know of the section ``web``: where the dashboard is, and who can reach it."""
    config = loaded.config.web
    if not config.enabled:
        yield Remark("ok", "there is no dashboard, and no probes: web.enabled is off")
        return
    is_local = config.is_local
    if is_local:
        reach = f"a proxy leads to it as {config.url}" if config.url else "only this machine can reach it"
    else:
        reach = f"others can reach it{f' as {config.url}' if config.url else ''}"
    yield Remark("ok", f"the dashboard listens on {config.host} port {config.port}; {reach}")
    if config.in_clear:
        text = "tokens for the dashboard cross the network in the clear: it is reached without https"
        mend = (
            "put a proxy with https in front of it, and set web.url to its address; docs/dashboard.md has all the steps"
        )
        yield Remark("warning", text, mend)
    if not is_local and not config.url:
        text = "the dashboard answers under its addresses and not under a name: web.url is not set"
        yield Remark("ok", text, "set web.url to the address under which people reach it")


def on_privacy(loaded: Loaded) -> Iterator[Remark]:
    """What others can read or may come to see: files with secrets, and a store that git would take."""
    for key, file in loaded.secret_files.items():
        if is_open_to_others(file):
            yield Remark("warning", f"{file}, which holds {key}, can be read by everybody", f"chmod 600 {file}")
    path = loaded.path
    if path is not None and is_open_to_others(path) and _holds_secret(path, loaded):
        yield Remark("warning", f"{path} holds a secret and can be read by everybody", f"chmod 600 {path}")
    storage = loaded.config.storage
    folder = storage.folder
    if storage.file is not None and folder.exists() and _is_tracked(folder):
        mend = f"add {folder.name}/ to .gitignore: it holds what the bot knows of people"
        yield Remark("warning", f"{folder} lies in a git work tree and is not ignored", mend)


def is_open_to_others(file: Path) -> bool:
    """Whether users of this machine who are neither its owner nor in its group may read or write it."""
    return os.name == "posix" and bool(file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH))


def _holds_secret(path: Path, loaded: Loaded) -> bool:
    text = path.read_text("utf-8", "replace")
    return any(secret in text for secret in secrets_of(loaded.config, {}))


def _is_tracked(folder: Path) -> bool:
    """Whether git would take what is in ``folder`` into a commit."""
    absolute = folder.absolute()
    if not any((each / ".git").exists() for each in (absolute, *absolute.parents)) or shutil.which("git") is None:
        return False
    ignored = subprocess.run(
        ["git", "-C", str(folder), "check-ignore", "-q", "socbot.db"], capture_output=True, check=False
    )
    return ignored.returncode == 1


def _library() -> Remark:
    mend = "pip install -U discord.py"
    try:
        found = version("discord.py")
    except PackageNotFoundError:
        return Remark("error", "discord.py is not installed", mend)
    numbers = tuple(map(int, re.findall(r"\d+", found)[:2]))
    if numbers < OLDEST_LIBRARY:
        return Remark("error", f"discord.py {found} is too old", mend)
    return Remark("ok", f"discord.py {found}")


def _token(loaded: Loaded) -> Remark:
    token = loaded.config.discord.token
    place = loaded.origins.get("discord.token", "the configuration")
    application = application_of(token) if _TOKEN.fullmatch(token) else None
    if application is None:
        mend = (
            "it has three parts with dots between them, and is shown once under Bot → Reset Token on "
            f"{PORTAL}; a client secret or a public key is something else"
        )
        return Remark("warning", f"what {place} gives does not look like a bot's token", mend)
    return Remark("ok", f"{place} gives a token, of application {application}")


def _owners(loaded: Loaded) -> Iterator[Remark]:
    owners = loaded.config.bot.owners
    ids = [each.removeprefix("discord:") for each in owners if ":" not in each or each.startswith("discord:")]
    how = "on Discord: Settings → Advanced → Developer Mode, then Copy User ID in the menu of your name"
    for id in ids:
        if not is_id(id):
            yield Remark("warning", f"bot.owners: discord:{id[:40]} is no id of Discord's", how)
    if not any(map(is_id, ids)) and not loaded.config.discord.team_owners:
        yield Remark("warning", "nobody on Discord is the bot's owner", f"set BOT_OWNER_ID to your id; {how}")


def _ways(config: DiscordConfig) -> Remark:
    second = [name for name in ("channel", "webhook") if getattr(config, f"notice_{name}")]
    if second:
        return Remark("ok", f"the owner is told by direct message, or else by {' or '.join(second)}")
    mend = "discord.notice_channel or discord.notice_webhook is a second way, for when direct messages are closed"
    return Remark("ok", "the owner is told by direct message alone", mend)


def _intents(config: DiscordConfig) -> Iterator[Remark]:
    for key, (effect, name) in _INTENTS.items():
        setting = getattr(config, key)
        if setting == "off":
            yield Remark("ok", f"discord.{key} is off: {effect}")
        elif setting == "on":
            mend = f"{name}, under Bot → Privileged Gateway Intents on {PORTAL}; with auto the bot runs without it"
            yield Remark("ok", f"discord.{key} is on: Discord refuses the login unless the application has it", mend)


def _shards(loaded: Loaded) -> Iterator[Remark]:
    text = loaded.config.discord.shards
    shards = parse_shards(text)
    if shards.ids is None or len(shards.ids) == shards.count:
        return
    if loaded.config.storage.file is not None:
        said = "its store is SQLite, which it has to itself: the other processes do not know who is listed here"
        yield Remark("warning", f"this process serves shards {text}, and {said}", "use one PostgreSQL for all of them")
        return
    said = "reads the settings when it starts: what another process changes then is not seen here"
    yield Remark("warning", f"this process serves shards {text}, and {said}", "restart the others after a change")
