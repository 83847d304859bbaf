"""The older bot's settings: ``error_config``, ``rate_limit_config``, ``logging_config`` and ``backup_config``.

What is taken over stands above config.yaml, as if it had been set by a ``…_config`` command. A value that is what is in
force anyway, which the documented defaults are, is left alone.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from socbot.documents import ConfigError
from socbot.importing.documents import name_of
from socbot.importing.fields import count_of, listing, mapping, seconds_of, strangers
from socbot.importing.report import Finding, Note, Part, refused, there_already
from socbot.importing.world import IMPORTER, World
from socbot.storage.connection import Connection
from socbot.systems.settings import shown

Parts: TypeAlias = Iterator[Part | Note]
Check: TypeAlias = Callable[[object], Any]
"""The value as socbot keeps it; None if it is not of the kind."""

_MUST_BE = "a {} was expected, not {}"


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _level(value: object) -> str | None:
    return value.strip().upper() if isinstance(value, str) else None


_KINDS: dict[Check, str] = {_truth: "true or false", count_of: "count", seconds_of: "length of time", _level: "level"}

_ERRORS: dict[str, tuple[str, Check]] = {
    "notify_owner": ("errors.notify", _truth),
    "notify_threshold": ("errors.error_rate_threshold", count_of),
    "notify_critical_immediately": ("errors.notify_owner_on_critical", _truth),
    "max_errors_stored": ("errors.max_errors", count_of),
    "max_errors": ("errors.max_errors", count_of),
    "error_rate_threshold": ("errors.error_rate_threshold", count_of),
    "error_rate_window_minutes": ("errors.error_rate_window_minutes", seconds_of),
    "notify_owner_on_critical": ("errors.notify_owner_on_critical", _truth),
}
_RATE_LIMIT: dict[str, tuple[str, Check]] = {
    "default_cooldown": ("rate_limit.cooldown", seconds_of),
    "burst_limit": ("rate_limit.burst", count_of),
    "burst_window": ("rate_limit.window", seconds_of),
    "admin_exempt": ("rate_limit.exempt_admins", _truth),
    "owner_exempt": ("rate_limit.exempt_owner", _truth),
}
_LOGS: dict[str, tuple[str, Check]] = {
    "log_level": ("logs.level", _level),
    "max_size_mb": ("logs.max_megabytes", count_of),
    "backup_count": ("logs.copies", count_of),
}
_BACKUP: dict[str, tuple[str, Check]] = {
    "enabled": ("backup.enabled", _truth),
    "hourly_enabled": ("backup.hourly", _truth),
    "daily_enabled": ("backup.daily", _truth),
    "weekly_enabled": ("backup.weekly", _truth),
    "retention_hourly": ("backup.retention.hourly", count_of),
    "retention_daily": ("backup.retention.daily", count_of),
    "retention_weekly": ("backup.retention.weekly", count_of),
}

_OWN_PATHS = ("data", "transcripts", "cogs/data_manager.py")


def read_errors(document: dict[str, Any], world: World) -> Parts:
    yield from strangers([document], (*_ERRORS, "enabled", "owner_id", "track_commands"))
    yield from _wishes(document, _ERRORS, world)
    if document.get("enabled") is False:
        yield refused("enabled", "socbot always keeps errors; leave error_capture out of the chain to keep none")
    elif "enabled" in document:
        yield there_already("enabled", "socbot always keeps errors")
    if "track_commands" in document:
        yield refused("track_commands", "socbot has no such setting: an error always names its command")
    if document.get("owner_id"):
        yield refused("owner_id", "owners stand in config.yaml: bot.owners")


def read_rate_limit(document: dict[str, Any], world: World) -> Parts:
    known = ("enabled", "violation_threshold", "violation_action", "custom_cooldowns")
    yield from strangers([document], (*_RATE_LIMIT, *known))
    yield from _wishes(document, _RATE_LIMIT, world)
    if document.get("enabled") is False:
        yield refused("enabled", "it is not switched off unseen; `pipeline_mode rate_limit off` does it")
    elif "enabled" in document:
        yield there_already("enabled", "rate_limit stands in the chain")
    yield from _ladder(document, world)
    cooldowns, wrong = mapping(document, "custom_cooldowns")
    yield from wrong
    for name, value in cooldowns.items():
        yield _cooldown(name, value, world)


def read_logs(document: dict[str, Any], world: World) -> Parts:
    yield from strangers([document], (*_LOGS, "enabled_cogs"))
    yield from _wishes(document, _LOGS, world)
    if document.get("enabled_cogs"):
        yield refused("enabled_cogs", "socbot has no cogs; logs.loggers sets a level for each logger")


def read_backup(document: dict[str, Any], world: World) -> Parts:
    last = ("last_hourly", "last_daily", "last_weekly")
    yield from strangers([document], (*_BACKUP, *last, "paths", "backup_paths", "retention"))
    yield from _wishes(document, _BACKUP, world)
    retention, wrong = mapping(document, "retention")
    yield from wrong
    yield from strangers([retention], ("hourly", "daily", "weekly"), " of retention")
    names = {name: (f"backup.retention.{name}", count_of) for name in ("hourly", "daily", "weekly")}
    yield from _wishes(retention, names, world, "retention.")
    for name in ("paths", "backup_paths"):
        paths, wrong = listing(document, name)
        yield from wrong
        for path in paths:
            yield _path(path, world)
    for name in last:
        if document.get(name) is not None:
            yield refused(name, "socbot counts from its own backups")


def _wishes(
    document: Mapping[str, Any], known: Mapping[str, tuple[str, Check]], world: World, where: str = ""
) -> Parts:
    for name, (key, check) in known.items():
        if name not in document:
            continue
        value = check(document[name])
        if value is None:
            yield refused(where + name, _MUST_BE.format(_KINDS[check], name_of(document[name])))
        else:
            yield _wish(where + name, key, value, world)


def _wish(record: str, key: str, value: Any, world: World) -> Part:
    """``key`` set to ``value``, unless it cannot be, is so anyway, or was set by somebody since."""
    try:
        before, after = world.wish(key, value)
    except ConfigError as error:
        return refused(record, str(error))
    if before == after:
        return there_already(record, f"{key} is {shown(key, after)}")
    override = world.bot.settings.get(key).override
    if override is not None and override.set_by != IMPORTER:
        return there_already(record, f"{key} was set in socbot, which counts")
    finding = Finding(record, "taken", f"{key}: {shown(key, before)} → {shown(key, after)}")
    return Part(key, value, (finding,), lambda connection: _set(connection, key, value, world.now), again=True)


def _set(connection: Connection, key: str, value: Any, now: float) -> None:
    connection.change(
        "INSERT INTO settings (key, value, set_by, set_at) VALUES (:key, :value, :by, :now)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value, set_by = excluded.set_by, set_at = excluded.set_at",
        {"key": key, "value": msgspec.json.encode(value).decode(), "by": IMPORTER, "now": now},
    )


def _cooldown(name: str, value: object, world: World) -> Part:
    record, seconds = f"custom_cooldowns.{name[:40]}", seconds_of(value)
    command = world.bot.dispatcher.registry.get(name)
    if command is None:
        return refused(record, "socbot has no such command")
    if seconds is None:
        return refused(record, _MUST_BE.format(_KINDS[seconds_of], name_of(value)))
    return _wish(record, f"rate_limit.cooldowns.{command.name}", seconds, world)


def _ladder(document: dict[str, Any], world: World) -> Parts:
    """What violations cost: warnings up to the threshold, then the action.

    Left alone where both are what the older bot wrote by itself: then its documented ladder counts, which is socbot's.
    """
    if "violation_action" not in document and "violation_threshold" not in document:
        return
    record = "violation_action and violation_threshold"
    action, threshold = document.get("violation_action", "warn"), count_of(document.get("violation_threshold", 5))
    if action not in ("warn", "timeout", "blacklist") or not threshold:
        yield Part("", None, (Finding(record, "refused", "they are no ladder that socbot knows", 2),))
    elif (action, threshold) == ("warn", 5):
        yield Part("", None, (Finding(record, "there already", "they are the defaults", 2),))
    elif threshold > 20:
        yield Part("", None, (Finding(record, "refused", f"a ladder of {threshold} steps is none", 2),))
    else:
        last = {"warn": {}, "timeout": {"duration": 300.0}, "blacklist": {"duration": 3_600.0}}[action]
        steps = [{"action": "warn", "duration": None}] * (0 if action == "warn" else threshold - 1)
        ladder = [*steps, {"action": action, "duration": None} | last]
        part = _wish(record, "rate_limit.ladder", ladder, world)
        yield msgspec.structs.replace(part, findings=(msgspec.structs.replace(part.findings[0], count=2),))


def _path(path: object, world: World) -> Part:
    record = f"path {path[:60] if isinstance(path, str) else name_of(path)}"
    if not isinstance(path, str) or not path.strip() or "\0" in path or len(path) > 200:
        return refused(record, "that is no path")
    plain = path.replace("\\", "/").strip().rstrip("/")
    if plain in _OWN_PATHS:
        return refused(record, "that is the older bot's own; socbot's store is in every backup")
    parts = Path(plain).parts
    if Path(plain).is_absolute() or ".." in parts or ":" in plain:
        return refused(record, "only paths below the folder in which socbot runs are taken over")
    if not Path(plain).exists():
        return refused(record, "it is not there; add it to backup.paths once it is")
    return _add_path(record, plain, world)


def _add_path(record: str, path: str, world: World) -> Part:
    paths = world.value("backup.paths")
    if path in paths:
        return there_already(record, "it is one of backup.paths")
    part = _wish(record, "backup.paths", [*paths, path], world)
    return msgspec.structs.replace(part, key=f"path {path}")
