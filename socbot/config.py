"""The structs behind config.yaml, and the one reader.

Every number has its unit in its key's comment in config.yaml; a duration may be written ``5m`` or as seconds.
"""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, field

Mode: TypeAlias = Literal["enforce", "shadow", "off"]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=315_360_000)]
"""A length of time; config.yaml and the ``…_config`` commands also take ``90s``, ``5m``, ``24h``, ``7d``."""


class ConfigError(Exception):
    """config.yaml cannot be used; the text says line, path and what was expected."""


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


class ProfilerConfig(Struct, frozen=True, forbid_unknown_fields=True):
    slow: Annotated[float, Meta(gt=0, le=3600)] = 1.0
    slow_runs: Annotated[int, Meta(ge=1, le=100_000)] = 1_000
    retention_days: Annotated[int, Meta(ge=1, le=3650)] = 90


class AnalyticsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    retention_days: Annotated[int, Meta(ge=1, le=3650)] = 365
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


class JobConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator changes of one job; ``schedule`` as in ``every 5m`` or ``cron 0 3 * * *``."""

    schedule: str | None = None
    enabled: bool = True


class JobsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    max_restarts: Annotated[int, Meta(ge=0, le=1_000)] = 5
    within: Annotated[float, Meta(gt=0, le=86_400)] = 60.0
    keep_runs: Annotated[int, Meta(ge=1, le=100_000)] = 200
    jobs: dict[str, JobConfig] = {}


class LogsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    file: str = "logs/bot.log"
    format: Literal["text", "json"] = "text"
    max_megabytes: Annotated[int, Meta(ge=1, le=100)] = 10
    copies: Annotated[int, Meta(ge=1, le=20)] = 5


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
    jobs: JobsConfig = JobsConfig()
    logs: LogsConfig = LogsConfig()
