"""The older bot's folder, made in the shapes in which it kept its data: each file in its variants."""

import json
from pathlib import Path
from typing import Any

WEBHOOK = "https://discord.com/api/webhooks/123456789012345678/" + "aB3-" * 17
SLACK = "https://hooks.slack.com/services/T00000000/B00000000/" + "x1Y2" * 6
ALICE, BOB, GUILD = "111111111111111111", "222222222222222222", "777777777777777777"

ANALYTICS: dict[str, Any] = {
    "total_commands": 7,
    "total_errors": 11,
    "commands": {
        "say": {"count": 4, "errors": 1, "total_time": 0, "users": [ALICE, BOB],
                "first_use": "2026-02-02T20:11:00", "last_use": "2026-02-02T21:40:00"},
        "ping": {"count": 3, "errors": 0, "total_time": 1.5, "users": [ALICE],
                 "first_use": "2026-02-01T09:00:00", "last_use": "2026-02-02T20:30:00"},
    },
    "users": {ALICE: {"count": 5, "commands": {"say": 2, "ping": 3}}, BOB: {"count": 2, "commands": {"say": 2}}},
    "guilds": {GUILD: {"count": 5, "commands": {"say": 4, "ping": 1}}, "DM": {"count": 2, "commands": {"ping": 2}}},
    "hourly": {"2026-02-02 20:00": 4, "2026-02-02 21:00": 1},
    "daily": {"2026-02-01": 2, "2026-02-02": 5},
    "start_time": "2026-02-01T00:00:00",
}  # fmt: skip
ERRORS: dict[str, Any] = {
    "total_errors": 3,
    "errors": [
        {"timestamp": "2026-02-02T20:15:00", "type": "CommandNotFound", "message": 'Command "hlep" is not found',
         "command": "unknown", "user_id": int(ALICE), "guild_id": None, "channel_id": 5, "traceback": "",
         "severity": "warning"},
        {"timestamp": "2026-02-02T20:14:00-08:00", "type": "KeyError", "message": f"'token' at {WEBHOOK}",
         "command": "say", "user_id": int(BOB), "guild_id": int(GUILD), "channel_id": 5,
         "traceback": 'Traceback:\n  File "/home/carol/bot.py", line 1\nKeyError', "severity": "critical"},
    ],
    "error_types": {"CommandNotFound": 2, "KeyError": 1},
    "command_errors": {"unknown": 2, "say": 1},
}  # fmt: skip
BLACKLIST: dict[str, Any] = {
    "users": {
        "333": {"reason": "spam", "added_by": "Owner#1234", "added_at": "2026-02-01T10:00:00", "expires_at": None},
        "444": {"reason": "raid", "added_by": "Owner#1234", "added_at": "never", "expires_at": "2030-01-01T00:00:00"},
        "555": {"reason": "old", "added_by": "x", "added_at": "2026-01-01T00:00:00",
                "expires_at": "2026-01-02T00:00:00"},
        "not an id": {"reason": "?"},
    },
    "guilds": {GUILD: {"reason": "raiders", "added_by": "Owner#1234", "added_at": "2026-02-01T10:00:00",
                       "expires_at": None, "note": "x"}},
    "total_users": 2,
    "total_guilds": 1,
}  # fmt: skip
PERFORMANCE: dict[str, Any] = {
    "command_stats": {
        "say": {"count": 100, "total_time": 20.0, "avg_time": 0.2, "min_time": 0.05, "max_time": 1.5},
        "never": {"count": 0, "total_time": 0, "avg_time": 0, "min_time": float("inf"), "max_time": 0},
    },
    "slow_commands": [{"command": "say", "time": 1.5, "timestamp": "2026-02-02T20:20:00", "user_id": int(ALICE),
                       "guild_id": None}],
}  # fmt: skip
HEALTH: dict[str, Any] = {
    "status": "degraded",
    "last_check": "2026-02-02T20:30:00",
    "checks": {"discord_api": {"status": "healthy", "message": "45 ms", "checked_at": "2026-02-02T20:30:00"},
               "memory": {"status": "degraded", "message": "612 MB"}, "cpu": "unknown"},
    "uptime_checks": 12,
    "failed_checks": 0,
}  # fmt: skip
TASKS: dict[str, Any] = {
    "tasks": {
        "ErrorReporting.error_check": {"runs": 12, "errors": 2, "last_run": None, "status": "running",
                                       "next_iteration": "2026-02-02T20:35:00+00:00"},
        "TriviaGame.ask": {"runs": 3, "errors": 0, "last_run": None, "status": "running", "next_iteration": None},
    },
    "total_runs": 15,
    "total_errors": 2,
}  # fmt: skip
WEBHOOKS: dict[str, Any] = {
    "endpoints": {
        "ops": {"url": WEBHOOK, "type": "discord", "triggers": ["error", "alert", "nonsense"],
                "created_at": "2026-02-01T10:00:00", "created_by": "Owner#1234"},
        "My Slack": {"url": SLACK, "type": "slack", "triggers": ["all"], "created_at": "?", "created_by": "x"},
        "inside": {"url": "http://127.0.0.1/hook/secret-part", "type": "custom", "triggers": ["all"]},
    },
    "stats": {"total_sent": 9, "failed": 1, "last_sent": "2026-02-02T20:30:00"},
}  # fmt: skip
INCIDENTS: dict[str, Any] = {
    GUILD: {
        "ab12cd34": {"id": "ab12cd34", "title": "Phishing links", "severity": "HIGH", "status": "closed",
                     "created_at": "2026-02-01T10:00:00", "created_by": int(ALICE), "closed_at": "2026-02-01T12:00:00",
                     "closed_by": int(BOB), "evidence": ["screenshot.png"],
                     "notes": [{"timestamp": "2026-02-01T11:00:00", "author": "Alice", "text": "blocked the domain"}]},
    },
    "incidents": {
        "1": {"id": 1, "title": "Token leak", "description": "in a paste", "severity": "critical", "status": "open",
              "assigned_to": int(BOB), "created_by": int(ALICE), "created_at": "2026-02-02T10:00:00",
              "timeline": [{"timestamp": "2026-02-02T10:05:00", "action": "created", "user": int(ALICE)}]},
    },
    "counter": 1,
}  # fmt: skip
ALERTS: dict[str, Any] = {
    GUILD: {"ff00ff00": {"id": "ff00ff00", "title": "Raid", "severity": 5, "description": "40 joins", "source": "joins",
                         "status": "resolved", "created_at": "2026-02-02T10:00:00", "acknowledged": True,
                         "acknowledged_by": int(ALICE), "acknowledged_at": "2026-02-02T10:01:00", "resolved": True,
                         "resolved_by": "Alice", "escalation_level": 3, "escalated_to": "mods"}},
    "alerts": {"1": {"id": 1, "title": "Odd log-in", "severity": "odd", "status": "new", "source": "auth",
                     "created_by": int(ALICE), "created_at": "2026-02-02T11:00:00"}},
    "counter": 1,
}  # fmt: skip
THREAT_DRILLS: dict[str, Any] = {
    "history": [{"drill_id": "DRILL-20260201100000", "guild_id": int(GUILD), "type": "phishing", "difficulty": "hard",
                 "score": 80, "started_at": "2026-02-01T10:00:00", "ended_at": "2026-02-01T10:30:00",
                 "duration_seconds": 1800}],
}  # fmt: skip
SECURITY_DRILLS: dict[str, Any] = {
    GUILD: {"drills": [{"drill_id": "DRILL-0001", "type": "lockdown", "protocol": "RED", "level": 3,
                        "activated_by": int(ALICE), "activated_at": "2026-02-01T10:00:00", "status": "ACTIVE",
                        "team_responses": [{"user": int(BOB), "text": "here"}], "timeline": []}]},
}  # fmt: skip
OLD_DRILLS: dict[str, Any] = {
    "drills": {"1": {"id": 1, "type": "fire", "status": "ended", "started_by": int(ALICE),
                     "started_at": "2026-02-01T10:00:00", "duration_minutes": 15, "events": ["alarm"]}},
    "counter": 1,
}  # fmt: skip
DATA: dict[str, Any] = {
    "warns": {ALICE: [{}], BOB: [{}, {}]},
    "reminders": [{"user_id": ALICE, "reminder": "x"}],
    "custom_data": {},
}
ERROR_CONFIG: dict[str, Any] = {
    "enabled": True, "notify_owner": True, "notify_threshold": 8, "notify_critical_immediately": False,
    "owner_id": 0, "track_commands": True, "max_errors_stored": 1000,
}  # fmt: skip
RATE_LIMIT_CONFIG: dict[str, Any] = {
    "enabled": True, "default_cooldown": 5, "burst_limit": 10, "burst_window": 60, "admin_exempt": True,
    "owner_exempt": True, "violation_threshold": 3, "violation_action": "timeout",
    "custom_cooldowns": {"backup_now": 300, "restart": 90, "say": 10},
}  # fmt: skip
LOGGING_CONFIG: dict[str, Any] = {"log_level": "warning", "max_size_mb": 10, "backup_count": 50, "enabled_cogs": []}
BACKUP_CONFIG: dict[str, Any] = {
    "enabled": True, "hourly_enabled": False, "daily_enabled": True, "weekly_enabled": True, "retention_hourly": 24,
    "retention_daily": 14, "retention_weekly": 4, "paths": ["data/", "transcripts/", "../../etc"], "last_hourly": None,
}  # fmt: skip
OTHER_BACKUP_CONFIG: dict[str, Any] = {
    "retention": {"hourly": 24, "daily": 7, "weekly": 6}, "backup_paths": ["data", "cogs/data_manager.py"],
}  # fmt: skip

FILES: dict[str, dict[str, Any]] = {
    "data/command_analytics.json": ANALYTICS,
    "data/error_log.json": ERRORS,
    "data/error_config.json": ERROR_CONFIG,
    "data/rate_limit_config.json": RATE_LIMIT_CONFIG,
    "data/blacklist.json": BLACKLIST,
    "data/performance_profile.json": PERFORMANCE,
    "data/health_status.json": HEALTH,
    "data/task_metrics.json": TASKS,
    "data/logging_config.json": LOGGING_CONFIG,
    "data/webhooks.json": WEBHOOKS,
    "data/bot_data.json": DATA,
    "data/threat_drills.json": THREAT_DRILLS,
    "data/security_drills.json": SECURITY_DRILLS,
    "data/drills.json": OLD_DRILLS,
    "data/incidents.json": INCIDENTS,
    "data/alerts.json": ALERTS,
    "backups/backup_config.json": BACKUP_CONFIG,
}


def write(folder: Path, files: dict[str, dict[str, Any]] = FILES) -> Path:
    for name, document in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document))
    return folder
