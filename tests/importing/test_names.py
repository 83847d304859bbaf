"""What the older bot's users type goes on working: its names of jobs, and both spellings of its settings."""

import pytest

from tests.conftest import MakeBot
from tests.importing.test_importer import ask

JOBS = {
    "AutoBackupSystem hourly_backup": "backup",
    "ErrorReporting error_check": "error_check",
    "HealthCheckSystem health_check_task": "health",
    "ScheduledTasksDashboard monitor_tasks": "monitor",
    "DataManager auto_save": "telemetry",
}


@pytest.mark.parametrize("name", JOBS)
async def test_its_jobs_are_found_by_its_names(make_bot: MakeBot, name: str) -> None:
    async with make_bot() as bot:
        assert bot.supervisor.find(name).name == JOBS[name]
        assert JOBS[name] in await ask(bot, f"!task_info {name}")


@pytest.mark.parametrize("key", ["retention.daily", "retention_daily", "backup.retention.daily", "Retention_Daily"])
async def test_both_spellings_of_a_setting_work(make_bot: MakeBot, key: str) -> None:
    async with make_bot() as bot:
        await ask(bot, f"!backup_config set {key} 9")
        assert bot.config.backup.retention.daily == 9


@pytest.mark.parametrize(("command", "key"), [("error_config", "max_errors"), ("error_config", "error_rate_threshold")])
async def test_settings_that_kept_their_names_work(make_bot: MakeBot, command: str, key: str) -> None:
    async with make_bot() as bot:
        await ask(bot, f"!{command} set {key} 77")
        assert getattr(bot.config.errors, key) == 77
