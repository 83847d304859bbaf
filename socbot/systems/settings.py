"""Settings: config.yaml below, what the owner changed at run time above it."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import anyio
import msgspec
from msgspec import Struct

from socbot.config import SECRET_KEYS, Config, Loaded, decode, is_length_of_time, key_type, load, parse_value, parts_of
from socbot.dispatch.arguments import Duration
from socbot.dispatch.clock import Clock
from socbot.documents import ConfigError
from socbot.jobs.job import Job
from socbot.jobs.schedules import Continuous
from socbot.storage import tail
from socbot.storage.connection import Connection, Row
from socbot.storage.database import Database
from socbot.storage.errors import decoding
from socbot.systems.identities import KEY_SETTING

_log = logging.getLogger(__name__)

Commit: TypeAlias = Callable[[], None]
Prepare: TypeAlias = Callable[[Config], Commit]
"""Gets a configuration before it is in force, raises ConfigError if it cannot be, and returns what puts it in force."""

EDITABLE = ("analytics", "errors", "profiler", "rate_limit", "blacklist", "jobs", "backup", "health", "logs")
"""Sections that can be changed at run time; the others need config.yaml."""

AT_START = frozenset({"logs.file", "health.checks"})
"""Keys in them that cannot: they are read at the start, and come from nobody's chat."""

IN_FILE = ("backup.folder", "backup.s3.")
"""How keys begin that cannot either: they say where what the bot knows goes to, which is not for a chat account."""


READ_AT_START = (
    "storage.", "handlers", "bot.time_zone", "bot.watch_config", "health.checks", "logs.file", "discord.token",
    "discord.shards", "discord.message_content", "discord.members", "discord.slash", "discord.guilds",
    "discord.team_owners", "discord.api_url", "web.enabled", "web.host", "web.port", "web.url",
)  # fmt: skip
"""Keys, and how keys begin, of which a change is in force from the next start on."""

Effect: TypeAlias = Literal["at once", "reload", "restart"]


class Override(Struct, frozen=True):
    """A value that was set at run time."""

    value: Any
    set_by: str
    set_at: float


class Setting(Struct, frozen=True):
    """One key as it stands: its value, and where that comes from."""

    key: str
    value: Any
    origin: str
    override: Override | None = None


def why_fixed(key: str) -> str:
    """Why ``key`` cannot be changed at run time; empty if it can."""
    if key_type(key) is None or key.partition(".")[0] not in EDITABLE:
        return f"{key!r} cannot be changed at run time; edit config.yaml and reload"
    if key in AT_START:
        return f"{key} is read at the start only; edit config.yaml and start again"
    if key.startswith(IN_FILE):
        return f"{key} says where backups go; edit config.yaml and reload"
    if key in SECRET_KEYS:
        return f"{key} is a secret: it belongs in a file that config.yaml names as {key}_file"
    return ""


def effect(key: str) -> Effect:
    """What it takes for a change of ``key`` to be in force."""
    if any(key.startswith(each) if each.endswith(".") else key == each for each in READ_AT_START):
        return "restart"
    return "reload" if why_fixed(key) else "at once"


class Settings:
    """The effective configuration. Those who depend on it take part: all of them accept a change, or none sees it."""

    def __init__(self, database: Database, clock: Clock, loaded: Loaded) -> None:
        self._database, self._clock, self._loaded = database, clock, loaded
        self._overrides: dict[str, Override] = {}
        self._rows: Sequence[Row] = ()
        self._changing = anyio.Lock()
        self._participants: list[Prepare] = []
        self.config = self._began = loaded.config
        self.problems: tuple[str, ...] = ()

    def jobs(self) -> tuple[Job, ...]:
        if self._database.dialect != "postgresql":
            return ()
        follow = "takes over what other processes on the same store have set"
        return (Job("settings_follow", self._follow, Continuous(), follow),)

    async def load(self) -> None:
        """Read what was set at run time; what config.yaml no longer allows is left out, and named in ``problems``.

        :raises StoreError: if the store cannot be read
        """
        async with self._changing:
            await self._load()

    async def _load(self) -> None:
        self._rows = await self._database.read(_read)
        self._overrides, self.problems = self._usable(self._rows)
        self.config = self._effective(self._loaded, self._overrides)

    def _usable(self, rows: Sequence[Row]) -> tuple[dict[str, Override], tuple[str, ...]]:
        """What of ``rows`` the configuration allows, and why the rest is left out."""
        overrides: dict[str, Override] = {}
        problems = []
        for key, value, set_by, set_at in rows:
            with decoding(f"the setting {key}"):
                override = Override(msgspec.json.decode(value), set_by, set_at)
            if key == "maintenance" or key.startswith("pipeline."):
                overrides[key] = override
            elif key.partition(".")[0] in EDITABLE:
                try:
                    self._effective(self._loaded, overrides | {key: override})
                    overrides[key] = override
                except ConfigError as error:
                    problems.append(f"{key}, set by {set_by}, is not used: {error}")
        return overrides, tuple(problems)

    async def _follow(self) -> None:
        await tail.follow(self._clock, self.catch_up)

    async def catch_up(self) -> None:
        """Put in force what other processes have set; what this one cannot use is named in ``problems``.

        :raises StoreError: if the store cannot be read
        """
        known = self._overrides
        rows = await self._database.read(_read)  # nobody who changes something waits for it
        async with self._changing:
            if rows == self._rows or known is not self._overrides:  # changed here meanwhile: the next look sees all
                return
            overrides, problems = self._usable(rows)
            self._rows = rows
            if overrides == self._overrides:
                self.problems = problems
                return
            before = self.config
            try:
                self._put_in_force(self._effective(self._loaded, overrides), overrides)
            except ConfigError as error:
                self.problems = (*problems, f"what another process has set is not put in force: {error}")
            else:
                self.problems = problems
                for line in _differences(before, self.config):
                    _log.info("set by another process: %s", line)

    async def restored(self) -> tuple[str, ...]:
        """Go by config.yaml and the store as they are now; what cannot be put in force is returned, and left out.

        :raises StoreError: if the store cannot be read
        """
        async with self._changing:
            before, found = (self.config, self._loaded), []
            if self._loaded.path is not None:
                try:
                    self._loaded = load(self._loaded.path)
                except ConfigError as error:
                    found.append(f"config.yaml is not put in force: {error}")
            await self._load()
            try:
                self._put_in_force(self.config, self._overrides)
            except ConfigError as error:
                found.append(f"the restored settings are not put in force: {error}")
                self.config, self._loaded = before
            return (*found, *self.problems)

    def participate(self, prepare: Prepare) -> None:
        """Have ``prepare`` asked about each new configuration, and what it returns called once all have accepted."""
        self._participants.append(prepare)

    def begin(self) -> None:
        """Put the configuration that the bot starts with in force.

        :raises ConfigError: if somebody cannot accept it
        """
        self._put_in_force(self.config, self._overrides)
        self._began = self.config

    @property
    def path(self) -> Path | None:
        """The file that the configuration was read from."""
        return self._loaded.path

    @property
    def awaiting_start(self) -> tuple[str, ...]:
        """Keys that were changed since the start, and are as they were until the next one."""
        keys = dict.fromkeys(key for section in Config.__struct_fields__ for key in self.keys(section))
        return tuple(key for key in keys if effect(key) == "restart" and _at(self.config, key) != _at(self._began, key))

    @property
    def maintenance(self) -> str | None:
        """What everybody but the owner is told while the bot is being worked on."""
        override = self._overrides.get("maintenance")
        return None if override is None else str(override.value)

    def view(self, section: str) -> tuple[Setting, ...]:
        """Each key of ``section``."""
        return tuple(self._setting(key) for key in self.keys(section))

    def keys(self, section: str) -> tuple[str, ...]:
        """The dotted names of what is in ``section``."""
        return _keys(section, getattr(self.config, section))

    def find(self, section: str, key: str) -> str:
        """The dotted key that ``key`` means within ``section``, in either spelling of the older bot.

        :raises ConfigError: if there is no such key
        """
        flat = key.strip().lower().removeprefix(f"{section}.").replace(".", "_").replace("-", "_")
        known = _keys(section, getattr(self.config, section))
        for each in known:
            if each.removeprefix(f"{section}.").replace(".", "_") == flat:
                return each
        dotted = f"{section}.{key.strip().lower().removeprefix(section + '.')}"
        if key_type(dotted) is not None:
            return dotted
        import difflib

        near = difflib.get_close_matches(dotted, known, 3, 0.5) or known[:5]
        raise ConfigError(f"{key!r} is no key of {section}; there are {', '.join(near)}")

    def get(self, key: str) -> Setting:
        """:raises ConfigError: if there is no such key"""
        if key_type(key) is None:
            raise ConfigError(f"there is no key {key!r}")
        return self._setting(key)

    async def set(self, key: str, text: str, by: str) -> tuple[Setting, Setting]:
        """Change ``key`` to what ``text`` says, durably and at once.

        :returns: the setting before and after
        :raises ConfigError: if the value is not what the key takes; nothing changes then
        """
        if reason := why_fixed(key):
            raise ConfigError(reason)
        return await self._change(key, Override(parse_value(text, key_type(key), key), by, self._clock.time()))

    async def reset(self, key: str) -> tuple[Setting, Setting]:
        """Return ``key`` to config.yaml; the setting before and after."""
        return await self._change(key, None)

    async def set_mode(self, middleware: str, mode: str, by: str) -> None:
        """Override the mode of one middleware.

        :raises ConfigError: if the chain does not allow it
        """
        await self._change(f"pipeline.{middleware}", Override(mode, by, self._clock.time()))

    async def set_maintenance(self, text: str | None, by: str) -> None:
        await self._change("maintenance", None if text is None else Override(text, by, self._clock.time()))

    async def reload(self) -> tuple[str, ...]:
        """Read config.yaml again and put it in force in one step.

        :returns: what changed, one line a key
        :raises ConfigError: if the file cannot be used; everything stays as it was
        """
        if self._loaded.path is None:
            raise ConfigError("this bot was not started from a file")
        async with self._changing:
            loaded = load(Path(self._loaded.path))
            before = self.config
            with loaded.placing():
                self._put_in_force(self._effective(loaded, self._overrides), self._overrides)
            self._loaded = loaded
            return _differences(before, self.config)

    async def _change(self, key: str, override: Override | None) -> tuple[Setting, Setting]:
        with anyio.CancelScope(shield=True):  # what is committed must be in force
            async with self._changing:
                before = self._setting(key)
                overrides = {name: value for name, value in self._overrides.items() if name != key}
                if override is not None:
                    overrides[key] = override
                config = self._effective(self._loaded, overrides)
                commits = [prepare(config) for prepare in self._participants]
                await self._database.write(lambda connection: _write(connection, key, override))
                self._commit(config, overrides, commits)
        return before, self._setting(key)

    def _put_in_force(self, config: Config, overrides: dict[str, Override]) -> None:
        self._commit(config, overrides, [prepare(config) for prepare in self._participants])

    def _commit(self, config: Config, overrides: dict[str, Override], commits: Sequence[Commit]) -> None:
        self.config, self._overrides = config, overrides
        for commit in commits:
            commit()

    def _effective(self, loaded: Loaded, overrides: dict[str, Override]) -> Config:
        tree: dict[str, Any] = msgspec.to_builtins(loaded.config)
        for key, override in overrides.items():
            section, *rest = parts_of(key)
            if section in EDITABLE:
                _put(tree[section], rest, override.value)
        for entry in tree["middleware"]:
            mode = overrides.get(f"pipeline.{entry['use'].rpartition(':')[2]}")
            if mode is not None:
                entry["mode"] = mode.value
        return decode(tree)

    def _setting(self, key: str) -> Setting:
        value = _at(self.config, key)
        override = self._override(key)
        if override is not None:
            return Setting(key, value, "set", override)
        return Setting(key, value, self._origin(key))

    def _override(self, key: str) -> Override | None:
        """What was set for ``key``, or for the map that it is in."""
        while key and key not in self._overrides:
            key = key.rpartition(".")[0]
        return self._overrides.get(key)

    def _origin(self, key: str) -> str:
        """Where ``key`` was set, or the map that it is in; that a section is written says nothing of its keys."""
        asked = key
        while key:
            if key in self._loaded.origins and ("." in key or key == asked):
                return self._loaded.origins[key]
            key = key.rpartition(".")[0]
        return "default"


def default(key: str) -> Any:
    """The value of ``key`` where nobody sets it; None where there is no such key by default."""
    return _at(_DEFAULTS, key)


_DEFAULTS = Config()


def _at(config: Config, key: str) -> Any:
    value: Any = config
    for part in parts_of(key):
        value = value.get(part) if isinstance(value, dict) else getattr(value, part, None)
    return value


def _read(connection: Connection) -> list[Row]:
    return connection.execute(
        "SELECT key, value, set_by, set_at FROM settings WHERE key <> :secret ORDER BY key", {"secret": KEY_SETTING}
    )


def _write(connection: Connection, key: str, override: Override | None) -> None:
    if override is None:
        connection.change("DELETE FROM settings WHERE key = :key", {"key": key})
        return
    connection.change(
        "INSERT INTO settings (key, value, set_by, set_at) VALUES (:key, :value, :set_by, :set_at) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value, set_by = excluded.set_by, set_at = excluded.set_at",
        {
            "key": key,
            "value": msgspec.json.encode(override.value).decode(),
            "set_by": override.set_by,
            "set_at": override.set_at,
        },
    )


def _put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value


def _keys(prefix: str, value: Any) -> tuple[str, ...]:
    """The dotted keys below a section: a map is one key, and so is each of its entries."""
    if isinstance(value, Struct):
        names = [each.encode_name for each in msgspec.structs.fields(value)]
        return tuple(key for name in names for key in _keys(f"{prefix}.{name}", getattr(value, name)))
    if isinstance(value, dict) and value:
        return tuple(f"{prefix}.{name}" for name in value)
    return (prefix,)


def _differences(before: Config, after: Config) -> tuple[str, ...]:
    lines = []
    for section in Config.__struct_fields__:
        old, new = getattr(before, section), getattr(after, section)
        if old == new:
            continue
        if section == "middleware":
            lines.append(f"middleware: {_chain(before)} → {_chain(after)}")
        elif section == "storage":
            lines.append("storage: changed; takes effect at the next start")  # its URL may hold a password
        elif isinstance(old, Struct):
            for name in old.__struct_fields__:
                was, now = getattr(old, name), getattr(new, name)
                if was != now:
                    key = f"{section}.{name}"
                    later = "; takes effect at the next start" if effect(key) == "restart" else ""
                    lines.append(f"{key}: {shown(key, was)} → {shown(key, now)}{later}")
        else:
            lines.append(f"{section}: {shown(section, old)} → {shown(section, new)}")
    return tuple(lines)


def _chain(config: Config) -> str:
    return ", ".join(
        entry.use.rpartition(":")[2] + ("" if entry.mode == "enforce" else f" ({entry.mode})")
        for entry in config.middleware
    )


def shown(key: str, value: Any) -> str:
    """The value of ``key`` as config.yaml would have it; of a secret only whether there is one."""
    if key in SECRET_KEYS:
        return "(set)" if value else "(not set)"
    if isinstance(value, str):
        return value
    if isinstance(value, float) and is_length_of_time(key):
        return str(Duration(value)) if value else "0s"
    return msgspec.json.encode(value).decode()
