"""The structs behind config.yaml, and the one reader.

Every number has its unit in its key's comment in config.yaml; a length of time may be written ``5m`` or in seconds.
"""

import os
import re
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct, field

from socbot.dispatch.arguments import seconds_of
from socbot.documents import ConfigError, parse_yaml
from socbot.shards import parse_shards

Mode: TypeAlias = Literal["enforce", "shadow", "off"]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=315_360_000)]
"""A length of time; config.yaml and the ``…_config`` commands also take ``90s``, ``5m``, ``24h``, ``7d``."""


class BotConfig(Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=64)] = "SOC Bot"
    prefix: Annotated[str, Meta(min_length=1, max_length=8)] = "!"
    owners: tuple[str, ...] = ()
    time_zone: str = "UTC"
    command_timeout: Annotated[float, Meta(gt=0, le=3600)] = 30.0
    max_running: Annotated[int, Meta(ge=1, le=100_000)] = 256
    shutdown_timeout: Annotated[float, Meta(gt=0, le=600)] = 20.0
    watch_config: bool = False


class MiddlewareConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the chain: ``use`` is a built-in's name or ``module:attribute``."""

    use: str
    mode: Mode = "enforce"
    kind: Literal["guard", "observer"] | None = None
    options: dict[str, Any] = field(name="with", default_factory=dict)


class StorageConfig(Struct, frozen=True, forbid_unknown_fields=True):
    url: str = "sqlite:///data/socbot.db"
    busy_timeout: Annotated[float, Meta(ge=0, le=60)] = 5.0
    flush_interval: Annotated[float, Meta(ge=0.01, le=10)] = 0.25
    buffer: Annotated[int, Meta(ge=100, le=1_000_000)] = 20_000

    @property
    def file(self) -> Path | None:
        """Where the store is, on SQLite."""
        prefix = "sqlite:///"
        return Path(self.url.removeprefix(prefix)) if self.url.startswith(prefix) else None

    @property
    def folder(self) -> Path:
        """Where lies what belongs to the store and is not in it."""
        return Path("data") if self.file is None else self.file.parent

    def __repr__(self) -> str:  # the URL may hold a password
        return "StorageConfig(url=…)"


class BlacklistConfig(Struct, frozen=True, forbid_unknown_fields=True):
    tell: bool = False
    tell_interval: Seconds = 3600.0
    appeal: Annotated[str, Meta(max_length=200)] = "Contact the bot's owner to appeal."
    sweep_interval: Annotated[float, Meta(ge=1, le=86_400)] = 60.0


class LadderStep(Struct, frozen=True, forbid_unknown_fields=True):
    """What the next violation costs; ``duration`` in seconds, None for ever (blacklist only)."""

    action: Literal["warn", "timeout", "blacklist"]
    duration: Annotated[float, Meta(gt=0, le=315_360_000)] | None = None


WithoutStore: TypeAlias = Literal["local", "open", "closed"]


class WithoutStoreConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of commands while the store of the shared limits does not answer, by who may run them."""

    public: WithoutStore = "local"
    admin: WithoutStore = "local"


class RateLimitConfig(Struct, frozen=True, forbid_unknown_fields=True):
    cooldown: Seconds = 3.0
    burst: Annotated[int, Meta(ge=1, le=10_000)] = 10
    window: Annotated[float, Meta(ge=0.001, le=86_400)] = 60.0
    cooldowns: dict[str, Seconds] = field(
        default_factory=lambda: {"backup_now": 300.0, "restore_backup": 600.0, "shutdown": 60.0, "restart": 60.0}
    )
    ladder: tuple[LadderStep, ...] = (
        LadderStep("warn"),
        LadderStep("timeout", 300.0),
        LadderStep("blacklist"),
    )
    tolerance: Annotated[int, Meta(ge=1, le=1000)] = 3
    decay: Annotated[float, Meta(ge=1, le=31_536_000)] = 86_400.0
    exempt_owner: bool = True
    exempt_admins: bool = True
    max_users: Annotated[int, Meta(ge=1_000, le=10_000_000)] = 1_000_000
    shared: bool = False
    processes: Annotated[int, Meta(ge=1, le=1_000)] = 1
    without_store: WithoutStoreConfig = WithoutStoreConfig()


class ProfilerConfig(Struct, frozen=True, forbid_unknown_fields=True):
    slow: Annotated[float, Meta(gt=0, le=3600)] = 1.0
    slow_runs: Annotated[int, Meta(ge=1, le=100_000)] = 1_000
    detail_days: Annotated[int, Meta(ge=1, le=3650)] = 8
    retention_days: Annotated[int, Meta(ge=1, le=3650)] = 365


class AnalyticsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    retention_days: Annotated[int, Meta(ge=1, le=3650)] = 365
    detail_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    trace_retention_days: Annotated[int, Meta(ge=1, le=365)] = 7
    max_traces: Annotated[int, Meta(ge=100, le=10_000_000)] = 100_000
    hash_ids: bool = False
    excluded_commands: tuple[str, ...] = ()
    excluded_users: tuple[str, ...] = ()


class ErrorsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    max_errors: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000
    error_rate_threshold: Annotated[int, Meta(ge=1, le=1_000_000)] = 5
    error_rate_window_minutes: Annotated[float, Meta(gt=0, le=1_440)] = 5.0
    notify_owner_on_critical: bool = True
    notify: bool = True
    severities: dict[str, Literal["critical", "warning", "info"]] = field(
        default_factory=lambda: {
            **dict.fromkeys(
                ("AttributeError", "KeyError", "TypeError", "ValueError", "IndexError", "NameError"), "critical"
            ),
            **dict.fromkeys(("NotFound", "Forbidden", "HTTPException"), "warning"),
        }
    )


class RetentionConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How many backups of each type are kept: of the first three, one for each hour, day and week that has any."""

    hourly: Annotated[int, Meta(ge=1, le=10_000)] = 24
    daily: Annotated[int, Meta(ge=1, le=10_000)] = 7
    weekly: Annotated[int, Meta(ge=1, le=10_000)] = 4
    manual: Annotated[int, Meta(ge=1, le=10_000)] = 20
    pre_restore: Annotated[int, Meta(ge=1, le=10_000)] = 5
    pre_upgrade: Annotated[int, Meta(ge=1, le=10_000)] = 3


class S3Config(Struct, frozen=True, forbid_unknown_fields=True):
    """A bucket of an S3-compatible store; switched on by its name."""

    bucket: str = ""
    prefix: Annotated[str, Meta(max_length=200)] = ""
    endpoint: str = ""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = ""

    def __repr__(self) -> str:
        return f"S3Config(bucket={self.bucket!r})"


class BackupConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is backed up, when, where to, and what is kept. ``old_keys`` and old passphrases still open old backups."""

    enabled: bool = True
    folder: str = "backups"
    paths: tuple[str, ...] = ("config.yaml",)
    hourly: bool = True
    daily: bool = True
    weekly: bool = True
    retention: RetentionConfig = RetentionConfig()
    level: Annotated[int, Meta(ge=1, le=19)] = 3
    encryption: bool = False
    key: str = ""
    passphrase: str = ""
    old_keys: tuple[str, ...] = ()
    drill_interval: Annotated[float, Meta(ge=3600, le=31_536_000)] = 604_800.0
    drill_commands: tuple[str, ...] = ("!ping", "!blacklist", "!analytics 7", "!health")
    s3: S3Config = S3Config()

    def __repr__(self) -> str:  # the keys are secrets
        return f"BackupConfig(folder={self.folder!r}, encryption={self.encryption})"


class Threshold(Struct, frozen=True, forbid_unknown_fields=True):
    """From which figures on a check is degraded, and unhealthy; where the second is lower, less is worse."""

    degraded: float
    unhealthy: float


class HealthConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The checks' thresholds, in the unit that ends their names.

    :param margin: the part of a threshold by which a figure must be better than it to count as recovered
    :param changes: how many of the last ``of`` rounds must agree before a check's status changes
    :param checks: modules with checks of the operator's own; read at the start only
    """

    interval: Annotated[float, Meta(ge=1, le=86_400)] = 300.0
    timeout: Annotated[float, Meta(ge=0.1, le=60)] = 5.0
    margin: Annotated[float, Meta(ge=0, le=0.9)] = 0.1
    changes: Annotated[int, Meta(ge=1, le=100)] = 2
    of: Annotated[int, Meta(ge=1, le=100)] = 3
    off: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    notify: bool = True
    retention_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    transport_ms: Threshold = Threshold(100, 300)
    database_ms: Threshold = Threshold(250, 2_000)
    memory_mb: Threshold = Threshold(500, 1_000)
    cpu_percent: Threshold = Threshold(50, 80)
    machine_cpu_percent: Threshold = Threshold(80, 95)
    loop_lag_ms: Threshold = Threshold(100, 500)
    disk_free_mb: Threshold = Threshold(1_000, 200)
    wal_mb: Threshold = Threshold(64, 512)
    failed_jobs: Threshold = Threshold(1, 3)
    webhook_backlog: Threshold = Threshold(100, 1_000)
    backup_age_intervals: Threshold = Threshold(1.5, 3)
    telemetry_dropped: Threshold = Threshold(1, 1_000)
    canary_ms: Threshold = Threshold(250, 2_000)
    dead_mans_switch: str = ""

    def __repr__(self) -> str:  # the switch's URL is a secret
        return f"HealthConfig(interval={self.interval})"


class WebhooksConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How events are delivered.

    :param key: seals the webhooks' addresses in the store; without it a file beside the store holds one
    :param allow: networks, hosts or host:port that may be reached although they are private, or not by https
    :param apprise: lets webhooks of that type be added, whose requests none of these rules hold for
    """

    enabled: bool = True
    key: str = ""
    allow: tuple[str, ...] = ()
    proxy: str = ""
    apprise: bool = False
    timeout: Annotated[float, Meta(ge=1, le=60)] = 15.0
    tries: Annotated[int, Meta(ge=1, le=50)] = 10
    span: Annotated[float, Meta(ge=60, le=2_592_000)] = 86_400.0
    longest_wait: Annotated[float, Meta(ge=1, le=86_400)] = 3_600.0
    most_waiting: Annotated[int, Meta(ge=10, le=1_000_000)] = 10_000
    pause_after: Annotated[float, Meta(ge=60, le=2_592_000)] = 43_200.0
    digest_after: Annotated[int, Meta(ge=2, le=10_000)] = 20
    retention_days: Annotated[int, Meta(ge=1, le=3650)] = 30

    def __repr__(self) -> str:  # the key is a secret
        return f"WebhooksConfig(timeout={self.timeout}, tries={self.tries})"


class SignalsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    same_within: Seconds = 300.0
    retention_days: Annotated[int, Meta(ge=1, le=3650)] = 365


class JobConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator changes of one job; ``schedule`` as in ``every 5m`` or ``cron 0 3 * * *``."""

    schedule: str | None = None
    enabled: bool = True


class JobsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    max_restarts: Annotated[int, Meta(ge=0, le=1_000)] = 5
    within: Annotated[float, Meta(gt=0, le=86_400)] = 60.0
    keep_runs: Annotated[int, Meta(ge=1, le=100_000)] = 200
    lease: Annotated[float, Meta(ge=1, le=600)] = 15.0
    jobs: dict[str, JobConfig] = {}


Level: TypeAlias = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


class LogsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    level: Level = "INFO"
    loggers: dict[str, Level] = {}
    file: str = "logs/bot.log"
    format: Literal["text", "json"] = "text"
    max_megabytes: Annotated[int, Meta(ge=1, le=100)] = 10
    copies: Annotated[int, Meta(ge=1, le=20)] = 5


GuildId: TypeAlias = Annotated[str, Meta(pattern=r"^\d{1,20}$")]


class DiscordConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How the bot is on Discord. ``message_content`` and ``members`` are the intents that must be applied for."""

    token: str = ""
    shards: str = "auto"
    message_content: Literal["auto", "on", "off"] = "auto"
    members: Literal["auto", "on", "off"] = "auto"
    status: Literal["online", "idle", "dnd", "invisible"] = "online"
    activity: Annotated[str, Meta(max_length=128)] = ""
    slash: bool = True
    guilds: tuple[GuildId, ...] = ()
    team_owners: bool = False
    time_out_members: bool = True
    delete_secrets: bool = True
    notify_start: bool = True
    notice_channel: Annotated[str, Meta(pattern=r"^\d{0,20}$")] = ""
    notice_webhook: str = ""
    api_url: str = ""

    def __repr__(self) -> str:  # the token and the webhook are secrets
        return f"DiscordConfig(shards={self.shards!r}, slash={self.slash})"


class WebConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the probes, the metrics and the dashboard are served.

    :ivar url: under which people reach it, if that is not ``host`` and ``port``; the bot's answers link to it
    """

    enabled: bool = True
    host: Annotated[str, Meta(min_length=1, max_length=253)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8787
    url: Annotated[str, Meta(pattern=r"^(https?://[^/?#\s@]+)?$")] = ""
    token: str = ""
    viewer_token: str = ""
    session: Annotated[float, Meta(ge=60, le=31_536_000)] = 604_800.0
    idle: Annotated[float, Meta(ge=60, le=31_536_000)] = 86_400.0

    @property
    def is_https(self) -> bool:
        """Whether people reach it by https."""
        return self.url.lower().startswith("https://")

    @property
    def in_clear(self) -> bool:
        """Whether tokens cross the network unencrypted."""
        return (not self.is_local or bool(self.url)) and not self.is_https

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach what listens on ``host``."""
        from ipaddress import ip_address  # which only a bot that serves something needs

        try:
            return ip_address(self.host.strip("[]").partition("%")[0]).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    def __repr__(self) -> str:  # the tokens are secrets
        return f"WebConfig(enabled={self.enabled}, host={self.host!r}, port={self.port})"


SECRET_KEYS = frozenset(
    (
        "discord.token",
        "discord.notice_webhook",
        "backup.key",
        "backup.passphrase",
        "backup.old_keys",
        "backup.s3.access_key",
        "backup.s3.secret_key",
        "health.dead_mans_switch",
        "webhooks.key",
        "webhooks.proxy",
        "web.token",
        "web.viewer_token",
    )
)
"""Keys whose values are never shown, whatever they look like."""


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """All of config.yaml; ``middleware`` is the order of execution."""

    bot: BotConfig = BotConfig()
    middleware: tuple[MiddlewareConfig, ...] = tuple(
        MiddlewareConfig(name) for name in ("blacklist", "rate_limit", "profiler", "analytics", "error_capture")
    )
    handlers: tuple[str, ...] = ()
    storage: StorageConfig = StorageConfig()
    blacklist: BlacklistConfig = BlacklistConfig()
    rate_limit: RateLimitConfig = RateLimitConfig()
    profiler: ProfilerConfig = ProfilerConfig()
    analytics: AnalyticsConfig = AnalyticsConfig()
    errors: ErrorsConfig = ErrorsConfig()
    backup: BackupConfig = BackupConfig()
    health: HealthConfig = HealthConfig()
    jobs: JobsConfig = JobsConfig()
    logs: LogsConfig = LogsConfig()
    webhooks: WebhooksConfig = WebhooksConfig()
    signals: SignalsConfig = SignalsConfig()
    discord: DiscordConfig = DiscordConfig()
    web: WebConfig = WebConfig()


# -- reading it ---------------------------------------------------------------------------------------

MAX_BYTES = 256 * 1024

Origins: TypeAlias = dict[str, str]
"""Where each key that is not at its default was set: ``config.yaml line 12``, ``SOCBOT_BOT__NAME``."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_UNKNOWN = re.compile(r"unknown field `(.*?)`")
_PATH = re.compile(r" - at `(?:key in )?\$\.?(.*?)`$")


class Loaded(Struct, frozen=True):
    """A configuration with where its values come from.

    :param secret_files: the files that values were read from, by key
    """

    config: Config
    origins: Origins = {}
    path: Path | None = None
    secret_files: dict[str, Path] = {}

    @contextmanager
    def placing(self) -> Iterator[None]:
        """Have what turns out to be wrong with a key when it is used say where the key stands, as ``load`` does."""
        try:
            yield
        except ConfigError as error:
            key = _nearest(str(error).partition(": ")[0], self.origins)
            if not key:
                raise
            raise ConfigError(f"{self.origins[key]}: {error}") from error.__cause__


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> Loaded:
    """Read config.yaml, then the environment over it. Without a path, the defaults and the environment.

    :raises ConfigError: naming file, line, key, and what was expected
    """
    name = path.name if path else "config"
    source = _Source(path or Path(name), environ)
    tree = {} if path is None else _parse(source)
    origins = {key: f"{name} line {line}" for key, line in source.lines.items()}
    _overlay(tree, origins, source)
    config = decode(tree, lambda key: _place(name, key, source.lines, origins))
    return Loaded(config, origins, path, source.files)


def decode(tree: dict[str, Any], place: "Any" = str) -> Config:
    """Make a configuration of plain values.

    :param place: tells where a key was set, for the error
    :raises ConfigError: if a key is unknown, or a value is not what its key takes
    """
    entries = tree.get("middleware")
    if isinstance(entries, list):
        tree = tree | {"middleware": [{"use": entry} if isinstance(entry, str) else entry for entry in entries]}
    try:
        config = msgspec.convert(_lengths_of_time(tree, Config), Config)
    except msgspec.ValidationError as error:
        text = str(error)
        found = _PATH.search(text)
        key = found[1] if found else ""
        unknown = _UNKNOWN.search(text)
        own_key = f"{key}.{unknown[1]}".lstrip(".") if unknown else key
        raise ConfigError(f"{place(own_key)}: {key or 'the file'}: {_explained(text, key)}") from None
    _check_values(config, place)
    return config


def _check_values(config: Config, place: Any) -> None:
    for key, problem in _problems(config):
        # After the colon of a secret's key its value would stand: what removes secrets would take the reason for it.
        text = f"{key}, set by {place(key)}, {problem}" if key in SECRET_KEYS else f"{place(key)}: {key}: {problem}"
        raise ConfigError(text)


def _problems(config: Config) -> Iterator[tuple[str, str]]:
    """What no type can say of a value, by key; never the value of a secret."""
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(config.bot.time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        problem = f"{config.bot.time_zone!r} is not a time zone; write one like Europe/Berlin or UTC"
        yield "bot.time_zone", problem
    for position, step in enumerate(config.rate_limit.ladder):
        if step.action == "timeout" and step.duration is None:
            yield f"rate_limit.ladder[{position}]", "a timeout needs a duration, such as 5m"
    if config.rate_limit.shared and not config.storage.url.startswith("postgres"):
        yield "rate_limit.shared", "needs a store that processes can share: storage.url with postgresql://"
    if any(character.isspace() for character in config.bot.prefix):
        yield "bot.prefix", f"{config.bot.prefix!r} must not contain spaces"
    yield from _problems_of_discord(config.discord)
    yield from _problems_of_backup(config.backup)
    yield from _problems_of_health(config.health)
    yield from _problems_of_webhooks(config.webhooks)


def _problems_of_backup(config: BackupConfig) -> Iterator[tuple[str, str]]:
    for key, value in (("key", config.key), *((f"old_keys[{i}]", each) for i, each in enumerate(config.old_keys))):
        if value and key_bytes(value) is None and key == "key":
            yield "backup.key", f"has to be 32 bytes in base64; {_MAKE_KEY}"
        elif not value.strip() and key != "key":
            yield "backup.old_keys", "has an empty one"
    if config.encryption and not (config.key or config.passphrase):
        yield "backup.encryption", f"needs backup.key_file or backup.passphrase_file; {_MAKE_KEY}"
    if config.key and config.passphrase:
        yield "backup.passphrase", "cannot be set beside backup.key; keep one of them"
    if config.s3.bucket and not (config.s3.access_key and config.s3.secret_key):
        yield "backup.s3.bucket", "needs backup.s3.access_key_file and backup.s3.secret_key_file"


def _problems_of_health(config: HealthConfig) -> Iterator[tuple[str, str]]:
    if config.changes > config.of:
        yield "health.changes", f"{config.changes} of {config.of} rounds can never be; at most health.of"
    if config.dead_mans_switch and not _is_url(config.dead_mans_switch):
        yield "health.dead_mans_switch", "is no address; one that begins with https:// was expected"


def _problems_of_webhooks(config: WebhooksConfig) -> Iterator[tuple[str, str]]:
    if config.key and key_bytes(config.key) is None:
        yield "webhooks.key", f"has to be 32 bytes in base64; {_MAKE_KEY}"
    if config.proxy and not _is_url(config.proxy):
        yield "webhooks.proxy", "is no address; one that begins with http:// was expected"
    for entry in config.allow:
        if (problem := _why_not_allowed(entry)) is not None:
            yield "webhooks.allow", f"{entry!r} is no network, host, or host:port: {problem}"


def _why_not_allowed(entry: str) -> str | None:
    from socbot.egress.policy import Allowed

    try:
        Allowed.parse(entry)
    except ValueError as problem:
        return str(problem)
    return None


_MAKE_KEY = "`openssl rand -base64 32` makes one"


def key_bytes(text: str) -> bytes | None:
    """The key that ``text`` writes in base64: 32 bytes; None if it is none."""
    import base64
    import binascii

    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == 32 else None


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


_WEBHOOK = re.compile(
    r"https://(?:(?:ptb|canary)\.)?discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[A-Za-z0-9._-]{60,}"
)


def _problems_of_discord(config: DiscordConfig) -> Iterator[tuple[str, str]]:
    if not re.fullmatch(r"[!-~]*", config.token):
        yield "discord.token", "has a space or a line's end in it; it is the token alone, without the word Bot"
    try:
        parse_shards(config.shards)
    except ConfigError as error:
        yield "discord.shards", str(error).removeprefix("discord.shards: ")
    if config.notice_webhook and not _WEBHOOK.fullmatch(config.notice_webhook):
        yield (
            "discord.notice_webhook",
            "is no webhook of Discord's; their addresses begin with https://discord.com/api/webhooks",
        )
    if config.api_url and not _is_plain_url(config.api_url):
        expected = "such as http://localhost:7979/api/v10, without a password"
        yield "discord.api_url", f"the address of a REST proxy was expected, {expected}"


def _is_plain_url(text: str) -> bool:
    """Whether it is an address that paths can be added to."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return False
    extra = url.username or url.password or url.query or url.fragment or any(map(str.isspace, text))
    return url.scheme in ("http", "https") and bool(url.hostname) and port != 0 and not extra


def _explained(text: str, key: str) -> str:
    text = _PATH.sub("", text)
    unknown = _UNKNOWN.search(text)
    if not unknown:
        return text
    section: Any = Config
    for part in filter(None, re.split(r"[.\[]", key)):
        section = _field_type(section, part)
    import difflib

    names = list(_fields(section))
    near = difflib.get_close_matches(unknown[1], names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(names)}"
    return f"unknown key {unknown[1]!r}; {hint}"


def _place(name: str, key: str, lines: Mapping[str, int], origins: Origins) -> str:
    if key in origins:
        return origins[key]
    key = _nearest(key, lines)
    return f"{name} line {lines[key]}" if key else name


def _nearest(key: str, known: Container[str]) -> str:
    """``key``, or the nearest to it of what holds it that is ``known``; nothing if there is none."""
    while key and key not in known:
        key = key[:-1].rpartition(".")[0] if not key.endswith("]") else key.rpartition("[")[0]
    return key


class _Source(Struct):
    """What is being read: a file and the environment, and what was found out on the way."""

    path: Path
    environ: Mapping[str, str]
    lines: dict[str, int] = {}
    files: dict[str, Path] = {}

    def place(self, key: str) -> str:
        return f"{self.path.name} line {self.lines.get(key, 1)}: {key}"


def _parse(source: _Source) -> dict[str, Any]:
    path = source.path
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path.name}: {len(raw)} bytes is too large; at most {MAX_BYTES} are read")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    tree, lines = parse_yaml(text, path.name)
    source.lines.update(lines)
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path.name} line 1: sections such as `bot:` were expected, not {type(tree).__name__}")
    made: dict[str, Any] = _substituted(tree, source)
    return made


def _substituted(value: Any, source: _Source, key: str = "") -> Any:
    """Put in ``${NAME}`` from the environment, and ``<key>_file`` from the file that it names."""
    if isinstance(value, str):

        def put(match: re.Match[str]) -> str:
            if match[1] not in source.environ:
                raise ConfigError(f"{source.place(key)}: the environment variable {match[1]} is not set")
            return source.environ[match[1]]

        return _VARIABLE.sub(put, value)
    if isinstance(value, list):
        return [_substituted(item, source, f"{key}[{i}]") for i, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for name, item in value.items():
        inner = f"{key}.{name}" if key else name
        item = _substituted(item, source, inner)
        if name.endswith("_file") and isinstance(item, str) and key:
            made[name.removesuffix("_file")] = _content(source.path.parent / item, inner, source.place(inner), source)
            source.lines[inner.removesuffix("_file")] = source.lines.get(inner, 1)
        else:
            made[name] = item
    return made


def _content(file: Path, key: str, place: str, source: _Source) -> str:
    """What is in ``file``, for the key that ``key`` without its ``_file`` names."""
    source.files[key.removesuffix("_file")] = file
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{place}: {file} cannot be read: {reason}") from None


def _overlay(tree: dict[str, Any], origins: Origins, source: _Source) -> None:
    """Put ``SOCBOT_<SECTION>__<KEY>`` and the older bot's variables over the file's values."""
    environ = source.environ
    for name, value in sorted(environ.items()):
        section, separator, key = name.removeprefix("SOCBOT_").lower().partition("__")
        if not name.startswith("SOCBOT_") or not separator:
            continue
        if key.endswith("_file"):
            value, key = _content(Path(value), f"{section}.{key}", name, source), key.removesuffix("_file")
        kind = _field_type(_field_type(Config, section), key)
        if kind is None:
            raise ConfigError(f"{name}: there is no key {section}.{key}")
        target = tree.setdefault(section, {})
        if isinstance(target, dict):
            target[key] = parse_value(value, kind, name)
            _came_from(name, f"{section}.{key}", origins, source)
    token = environ.get("DISCORD_TOKEN", "").strip()
    if token and isinstance(tree.setdefault("discord", {}), dict):
        tree["discord"]["token"] = token
        _came_from("DISCORD_TOKEN", "discord.token", origins, source)
    owner = environ.get("BOT_OWNER_ID", "").strip()
    if owner and owner != "0":
        if not owner.isascii() or not owner.isdigit():
            raise ConfigError("BOT_OWNER_ID: a Discord user id was expected, digits only")
        bot = tree.setdefault("bot", {})
        if isinstance(bot, dict) and isinstance(bot.setdefault("owners", []), list):
            bot["owners"] = [*bot["owners"], f"discord:{owner}"]
            origins["bot.owners"] = "BOT_OWNER_ID"


def _came_from(variable: str, key: str, origins: Origins, source: _Source) -> None:
    origins[key] = variable
    if not variable.endswith("_FILE"):
        source.files.pop(key, None)


# -- values as people write them ----------------------------------------------------------------------


def parse_value(text: str, kind: Any, key: str) -> Any:
    """Read what somebody typed for a key of type ``kind``: plain text, a number, on/off, or JSON.

    :raises ConfigError: if it cannot be that
    """
    base = _base(kind)
    if base is str:
        return text
    if base is bool:
        if text.lower() in ("on", "true", "yes", "1", "off", "false", "no", "0"):
            return text.lower() in ("on", "true", "yes", "1")
        raise ConfigError(f"{key}: {text!r} is neither on nor off")
    if base is float and is_length_of_time(key) and seconds_of(text) is not None:
        return text
    if get_origin(base) is Literal:
        return text
    value, _ = parse_yaml(text, key)
    return value


def is_length_of_time(key: str) -> bool:
    """Whether a number with a fraction at ``key`` is one of seconds."""
    return not key.endswith(("_minutes", ".degraded", ".unhealthy", ".margin"))


def _lengths_of_time(value: Any, kind: Any, key: str = "") -> Any:
    """Turn ``5m`` into 300.0 wherever a number of seconds is expected."""
    base = _base(kind)
    if isinstance(value, str) and base is float and is_length_of_time(f".{key}"):
        seconds = seconds_of(value)
        return value if seconds is None else seconds
    if isinstance(value, dict):
        if isinstance(base, type) and issubclass(base, Struct):
            return {key: _lengths_of_time(item, _field_type(base, key), key) for key, item in value.items()}
        if get_origin(base) is dict:
            return {key: _lengths_of_time(item, get_args(base)[1]) for key, item in value.items()}
    if isinstance(value, list) and get_origin(base) is tuple:
        return [_lengths_of_time(item, get_args(base)[0]) for item in value]
    return value


def _base(kind: Any) -> Any:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    parts = [part for part in get_args(kind) if part is not type(None)]
    if type(None) in get_args(kind) and len(parts) == 1:
        return _base(parts[0])
    return kind


def _fields(kind: Any) -> dict[str, Any]:
    base = _base(kind)
    return _fields_of(base) if isinstance(base, type) and issubclass(base, Struct) else {}


@cache  # every key that is looked up walks down from the top
def _fields_of(kind: type[Struct]) -> dict[str, Any]:
    return {each.encode_name: each.type for each in msgspec.structs.fields(kind)}


def _field_type(kind: Any, name: str) -> Any:
    base = _base(kind)
    if get_origin(base) is dict:
        return get_args(base)[1]
    if get_origin(base) is tuple:
        return get_args(base)[0]
    return _fields(base).get(name)


@lru_cache(1_024)
def key_type(key: str) -> Any:
    """The type of a dotted key such as ``rate_limit.burst``; None if there is no such key."""
    kind: Any = Config
    for part in parts_of(key):
        kind = _field_type(kind, part)
        if kind is None:
            return None
    return kind


@lru_cache(1_024)
def parts_of(key: str) -> tuple[str, ...]:
    """What a dotted key is made of; a name in a map of plain values, such as that of a logger, has its own dots."""
    kind: Any = Config
    names = key.split(".")
    for position, name in enumerate(names):
        base = _base(kind)
        if get_origin(base) is dict and not _fields(get_args(base)[1]):
            return (*names[:position], ".".join(names[position:]))
        kind = _field_type(kind, name)
    return tuple(names)


_WRITTEN_LENGTH = {"type": "string", "pattern": r"^(\d{1,9}(\.\d{1,3})?(ms|[smhdw]))+$"}


def schema() -> dict[str, Any]:
    """The JSON Schema of config.yaml, for editors."""
    made = msgspec.json.schema(Config)
    entry = made["$defs"]["Config"]["properties"]["middleware"]
    entry["items"] = {"anyOf": [{"type": "string"}, entry["items"]]}
    for described in made["$defs"].values():
        for key, property_ in described.get("properties", {}).items():
            if property_.get("type") == "number" and is_length_of_time(f".{key}"):
                described["properties"][key] = {"anyOf": [property_, _WRITTEN_LENGTH]}
    return made
