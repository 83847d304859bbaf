"""The older bot's folder is taken over: whole, once, each record accounted for."""

import json
import os
import time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from socbot.bot import Bot
from socbot.config import AnalyticsConfig, StorageConfig
from socbot.importing import Importer, Report
from socbot.importing.report import Finding
from socbot.storage.connection import Connection
from socbot.testing import FakeClock, owner_said
from tests.conftest import MakeBot
from tests.importing import older

ZONE = ZoneInfo("America/Los_Angeles")
NOW = 1_770_200_000.0  # 2026-02-04
SCHEMA_FREE = ("imported", "audit", "settings", "sqlite_sequence")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return older.write(tmp_path / "older")


async def take_over(make_bot: MakeBot, folder: Path, clock: FakeClock, **sections: Any) -> Report:
    async with make_bot(clock=clock, **sections) as bot:
        return await Importer(bot, ZONE).take_over(folder)


async def plan(make_bot: MakeBot, folder: Path, clock: FakeClock, **sections: Any) -> Report:
    async with make_bot(clock=clock, **sections) as bot:
        return await Importer(bot, ZONE).plan(folder)


def findings(report: Report, name: str) -> dict[str, Finding]:
    [file] = [file for file in report.files if file.name.endswith(name)]
    assert not file.problem
    return {each.record: each for each in file.findings}


def verdicts(report: Report, name: str) -> dict[str, str]:
    return {record: each.verdict for record, each in findings(report, name).items()}


async def contents(bot: Bot) -> dict[str, list[Any]]:
    def read(connection: Connection) -> dict[str, list[Any]]:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in tables}

    return await bot.database.read(read)


async def ask(bot: Bot, text: str) -> str:
    outcome = await bot.dispatch(owner_said(text))
    assert outcome.status == "ok", (text, str(outcome.reply))
    return str(outcome.reply)


# -- the whole of it ----------------------------------------------------------------------------------


async def test_what_was_taken_over_is_shown_by_the_commands(make_bot: MakeBot, folder: Path, clock: FakeClock) -> None:
    report = await take_over(make_bot, folder, clock)
    assert report.done
    async with make_bot(clock=clock) as bot:
        usage = await ask(bot, "!analytics")
        assert "commands: 7" in usage
        assert "say" in usage
        listed = await ask(bot, "!blacklist")
        assert all(part in listed for part in ("333", "spam", "Owner#1234", "444", older.GUILD, "raiders"))
        assert "555" not in listed
        errors = await ask(bot, "!error_stats 30")
        assert all(part in errors for part in ("CommandNotFound", "KeyError"))
        webhooks = await ask(bot, "!list_webhooks")
        assert all(part in webhooks for part in ("ops", "my-slack", "alert"))
        limits = await ask(bot, "!rate_limit_config")
        assert "5s" in limits
        assert "1m30s" in limits
        signals = await ask(bot, "!signals")
        assert all(part in signals for part in ("Raid", "Odd log-in"))
        assert "Token leak" in await ask(bot, "!incident list")
        shown = await ask(bot, "!incident show I-AB12CD34")
        assert all(part in shown for part in ("Phishing links", "blocked the domain"))
        assert "say" in await ask(bot, "!slow_commands 1s")
        assert "100" in await ask(bot, "!profile_command say")
        assert "12" in await ask(bot, "!task_info error_check")
        assert [record.action for record in await bot.audit.entries()][-1] == "import"
        assert await bot.audit.verify() is None


async def test_a_dry_run_touches_nothing_and_foretells_all(make_bot: MakeBot, folder: Path, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        before = await contents(bot)
        foretold = await Importer(bot, ZONE).plan(folder)
        assert await contents(bot) == before
        done = await Importer(bot, ZONE).take_over(folder)
        assert done.files == foretold.files
        assert (foretold.done, done.done) == (False, True)


@pytest.mark.parametrize("restarted", [False, True])
async def test_twice_is_the_same_as_once(make_bot: MakeBot, folder: Path, clock: FakeClock, restarted: bool) -> None:
    async with make_bot(clock=clock) as bot:
        first = await Importer(bot, ZONE).take_over(folder)
        once = await contents(bot)
        if not restarted:
            again = await Importer(bot, ZONE).take_over(folder)
            twice = await contents(bot)
    if restarted:
        async with make_bot(clock=clock) as bot:
            again = await Importer(bot, ZONE).take_over(folder)
            twice = await contents(bot)
    assert again.count("taken") == again.count("corrected") == 0
    assert again.count("refused") == first.count("refused")
    for table in once:
        if table not in ("audit", "settings"):
            assert twice[table] == once[table], table
    assert len(twice["audit"]) == len(once["audit"]) + 1


async def test_what_was_counted_is_not_counted_again_when_the_file_has_changed(
    make_bot: MakeBot, folder: Path, clock: FakeClock
) -> None:
    await take_over(make_bot, folder, clock)
    changed = json.loads(json.dumps(older.ANALYTICS))
    changed["commands"]["say"]["count"] = 40
    older.write(folder, {"data/command_analytics.json": changed})
    report = await take_over(make_bot, folder, clock)
    assert {each.verdict for each in findings(report, "command_analytics.json").values()} == {"refused"}
    async with make_bot(clock=clock) as bot:
        assert (await bot.analytics.usage()).tally.commands == 7


async def test_nothing_is_half_done(
    make_bot: MakeBot, folder: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("the power went out")

    monkeypatch.setattr("socbot.importing.incidents.write_signal", fail)
    async with make_bot(clock=clock) as bot:
        before = await contents(bot)
        with pytest.raises(RuntimeError):
            await Importer(bot, ZONE).take_over(folder)
        assert await contents(bot) == before
    monkeypatch.undo()
    assert (await take_over(make_bot, folder, clock)).count("taken") > 20


async def test_it_is_taken_over_on_postgresql_too(
    make_bot: MakeBot, folder: Path, clock: FakeClock, either_storage: StorageConfig
) -> None:
    first = await take_over(make_bot, folder, clock, storage=either_storage)
    again = await take_over(make_bot, folder, clock, storage=either_storage)
    assert first.count("taken") > 20
    assert again.count("taken") == again.count("corrected") == 0
    async with make_bot(clock=clock, storage=either_storage) as bot:
        assert (await bot.analytics.usage()).tally.commands == 7
        assert await bot.audit.verify() is None


async def test_no_secret_of_the_files_is_told_or_stored_in_the_open(
    make_bot: MakeBot, folder: Path, clock: FakeClock
) -> None:
    async with make_bot(clock=clock) as bot:
        report = await Importer(bot, ZONE).take_over(folder)
        stored = repr(await contents(bot))
    told = repr(report)
    for secret in (older.WEBHOOK, older.WEBHOOK[-20:], older.SLACK[-24:], "secret-part", "/home/carol"):
        assert secret not in told
        assert secret not in stored


# -- file by file -------------------------------------------------------------------------------------


async def test_the_blacklist(make_bot: MakeBot, folder: Path, clock: FakeClock) -> None:
    async with make_bot(clock=clock, owners=[("discord", "333"), ("local", "owner")]) as bot:
        await bot.blacklist.add("guild", ("discord", older.GUILD), reason="mine", by="local:owner")
        report = await Importer(bot, ZONE).take_over(folder)
    found = findings(report, "blacklist.json")
    assert {record: each.verdict for record, each in found.items()} == {
        "user 333": "refused",
        "user 444": "corrected",
        "user 555": "refused",
        "user not an id": "refused",
        f"guild {older.GUILD}": "there already",
    }
    assert found["user 333"].reason == "an owner or the bot itself cannot be listed"
    async with make_bot(clock=clock) as bot:
        [mine, listed] = sorted(await bot.blacklist.entries(), key=lambda entry: entry.kind)
        assert mine.reason == "mine"
        assert (listed.id, listed.reason, listed.added_by, listed.source) == ("444", "raid", "Owner#1234", "import")
        assert listed.added_at == NOW
        assert listed.expires_at == 1_893_484_800.0  # midnight in Los Angeles
        [change] = await bot.blacklist.history("user", ("discord", "444"))
        assert (change.action, change.by) == ("added", "import")
    notes = [file.notes for file in report.files if file.name.endswith("blacklist.json")]
    assert notes == [("total_users is not 4, which is how many there are", "keys that are not known of guilds: note")]


async def test_usage_adds_up_by_command_user_guild_and_hour(make_bot: MakeBot, folder: Path, clock: FakeClock) -> None:
    report = await take_over(make_bot, folder, clock)
    assert set(verdicts(report, "command_analytics.json").values()) == {"taken", "corrected"}
    async with make_bot(clock=clock) as bot:
        rows = await bot.analytics.export()
        assert sum(row.count for row in rows) == 7

        def by(name: str) -> dict[Any, int]:
            found: dict[Any, int] = {}
            for row in rows:
                found[getattr(row, name)] = found.get(getattr(row, name), 0) + row.count
            return found

        assert by("command") == {"say": 4, "ping": 3}
        assert by("subject") == {older.ALICE: 5, older.BOB: 2}
        assert by("guild") == {older.GUILD: 5, "": 2}
        assert by("status") == {"ok": 6, "failed": 1}
        hours = {time.strftime("%m-%d %H", time.gmtime(hour * 3600 - 8 * 3600)): n for hour, n in by("hour").items()}
        assert hours == {"02-01 12": 2, "02-02 20": 4, "02-02 21": 1}
        say = await bot.analytics.of_command("say")
        assert (say.first_at, say.last_at) == (1_770_091_860.0, 1_770_097_200.0)
        assert round(sum(row.seconds for row in rows), 6) == 1.5


async def test_errors_are_cleaned_and_classified_anew(make_bot: MakeBot, folder: Path, clock: FakeClock) -> None:
    report = await take_over(make_bot, folder, clock)
    found = findings(report, "error_log.json")
    assert {record: each.verdict for record, each in found.items()} == {
        "error 1": "corrected",
        "error 2": "taken",
        "error_types.CommandNotFound": "refused",
        "error_types.KeyError": "taken",
        "command_errors.unknown": "refused",
        "command_errors.say": "taken",
    }
    assert found["error_types.CommandNotFound"].reason.startswith("1 of 2 are not in the list")
    async with make_bot(clock=clock) as bot:
        first, second = await bot.errors.newest(10)
        assert (first.type, first.severity, first.command, first.subject) == (
            "CommandNotFound", "info", "", older.ALICE,
        )  # fmt: skip
        assert (second.type, second.severity, second.guild) == ("KeyError", "critical", older.GUILD)
        assert second.at == first.at - 60  # one with its offset, the other in the zone
        assert second.traceback.startswith('Traceback:\n  File "~/bot.py"')
        assert len(await bot.errors.groups()) == 2


async def test_the_settings(make_bot: MakeBot, folder: Path, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        await bot.settings.set("backup.retention.daily", "9", "local:owner")
        report = await Importer(bot, ZONE).take_over(folder)
    limits = verdicts(report, "rate_limit_config.json")
    assert limits["default_cooldown"] == limits["custom_cooldowns.restart"] == "taken"
    assert limits["custom_cooldowns.backup_now"] == limits["burst_limit"] == "there already"
    assert limits["custom_cooldowns.say"] == "refused"
    assert findings(report, "rate_limit_config.json")["violation_action and violation_threshold"].count == 2
    logs = findings(report, "logging_config.json")
    assert logs["log_level"].reason == "logs.level: INFO → WARNING"
    assert "20" in logs["backup_count"].reason
    backup = findings(report, "backup_config.json")
    assert backup["hourly_enabled"].verdict == "taken"
    assert backup["retention_daily"].reason == "backup.retention.daily was set in socbot, which counts"
    assert backup["path ../../etc"].verdict == backup["path transcripts/"].verdict == "refused"
    async with make_bot(clock=clock) as bot:
        config = bot.config
        assert not bot.settings.problems
        assert (config.rate_limit.cooldown, config.rate_limit.cooldowns["restart"]) == (5.0, 90.0)
        assert [(step.action, step.duration) for step in config.rate_limit.ladder] == [
            ("warn", None), ("warn", None), ("timeout", 300.0),
        ]  # fmt: skip
        assert (config.errors.error_rate_threshold, config.errors.notify_owner_on_critical) == (8, False)
        assert (config.logs.level, config.logs.copies) == ("WARNING", 5)
        assert (config.backup.hourly, config.backup.retention.daily) == (False, 9)
        setting = bot.settings.get("rate_limit.cooldown")
        assert setting.override is not None
        assert setting.override.set_by == "import"


async def test_the_documented_variants_of_the_settings(make_bot: MakeBot, tmp_path: Path, clock: FakeClock) -> None:
    documented = {"max_errors": 1000, "error_rate_threshold": 6, "error_rate_window_minutes": 10,
                  "notify_owner_on_critical": True}  # fmt: skip
    folder = older.write(
        tmp_path / "older",
        {"error_config.json": documented, "backup_config.json": older.OTHER_BACKUP_CONFIG,
         "logging_config_adv.json": {"log_level": "DEBUG"},
         "rate_limit_config.json": {"violation_threshold": 5, "violation_action": "warn"}},
    )  # fmt: skip
    report = await take_over(make_bot, folder, clock)
    assert verdicts(report, "rate_limit_config.json") == {"violation_action and violation_threshold": "there already"}
    assert verdicts(report, "backup_config.json") == {
        "retention.hourly": "there already", "retention.daily": "there already", "retention.weekly": "taken",
        "path data": "refused", "path cogs/data_manager.py": "refused",
    }  # fmt: skip
    async with make_bot(clock=clock) as bot:
        config = bot.config
        assert (config.errors.error_rate_threshold, config.errors.error_rate_window_minutes) == (6, 10.0)
        assert (config.backup.retention.weekly, config.logs.level) == (6, "DEBUG")


async def test_performance(make_bot: MakeBot, folder: Path, clock: FakeClock) -> None:
    report = await take_over(make_bot, folder, clock)
    assert verdicts(report, "performance_profile.json") == {
        "command say": "taken", "command never": "refused", "slow run 1": "taken",
    }  # fmt: skip
    async with make_bot(clock=clock) as bot:
        [profile] = await bot.profiler.commands("say")
        runs = profile.runs
        assert (runs.count, runs.least, runs.most) == (100, 0.05, 1.5)
        assert runs.mean == pytest.approx(0.2)
        [slow] = await bot.profiler.slow_runs()
        assert (slow.command, slow.seconds, slow.subject) == ("say", 1.5, older.ALICE)


async def test_health_jobs_and_webhooks(make_bot: MakeBot, folder: Path, clock: FakeClock) -> None:
    report = await take_over(make_bot, folder, clock)
    assert verdicts(report, "task_metrics.json") == {
        "task ErrorReporting.error_check": "taken", "task TriviaGame.ask": "refused",
    }  # fmt: skip
    hooks = findings(report, "webhooks.json")
    assert [(record, each.verdict) for record, each in hooks.items()] == [
        ("webhook ops", "corrected"),
        ("webhook My Slack", "corrected"),
        ("webhook inside", "refused"),
        ("stats.total_sent", "refused"),
        ("stats.failed", "refused"),
        ("stats.last_sent", "refused"),
    ]
    assert hooks["webhook inside"].reason.startswith("http://127.0.0.1/…")
    async with make_bot(clock=clock) as bot:
        job = bot.supervisor.find("ErrorReporting error_check")
        assert (job.runs, job.failures) == (12, 2)
        slack, ops = bot.webhooks.all()
        assert (ops.name, ops.type, ops.triggers, ops.readable, ops.created_by) == (
            "ops", "discord", ("error", "alert"), True, "Owner#1234",
        )  # fmt: skip
        assert (slack.name, slack.created_at) == ("my-slack", NOW)
        history = await bot.health.history(72)
        assert [(round.status, len(round.results)) for round in history.rounds] == [("degraded", 3)]


async def test_incidents_drills_and_alerts_in_each_shape(make_bot: MakeBot, folder: Path, clock: FakeClock) -> None:
    report = await take_over(make_bot, folder, clock)
    assert set(verdicts(report, "incidents.json").values()) == {"taken"}
    assert verdicts(report, "alerts.json")["alert 1"] == "corrected"
    assert list(verdicts(report, "security_drills.json").values()) == ["corrected"]
    async with make_bot(clock=clock) as bot:
        incidents = bot.incidents
        closed, entries = await incidents.find("I-AB12CD34")
        assert (closed.severity, closed.state, closed.seconds) == ("critical", "closed", 7_200.0)
        assert closed.guild == f"discord:{older.GUILD}"
        assert [(each.action, each.text) for each in entries] == [
            ("opened", ""), ("evidence", "screenshot.png"), ("note", "blocked the domain"), ("closed", ""),
        ]  # fmt: skip
        still_open, entries = await incidents.find("I-1")
        assert (still_open.state, still_open.opened_by) == ("open", f"discord:{older.ALICE}")
        assert [each.action for each in entries] == ["opened", "assigned", "created"]
        drills = await incidents.newest("drill")
        assert {each.id: (each.title, each.state, each.seconds) for each in drills} == {
            "DRILL-20260201100000": ("phishing", "closed", 1_800.0),
            f"DRILL-0001-{older.GUILD}": ("lockdown", "closed", 0.0),
            "D-1": ("fire", "closed", 900.0),
        }
        raid, odd = sorted((each.signal for each in await bot.signals.recent("alert")), key=lambda each: each.id)[::-1]
        assert (raid.title, raid.severity, raid.kind) == ("Raid", "critical", "alert")
        assert raid.fields[0] == ("Guild", f"discord:{older.GUILD}")
        assert (odd.severity, odd.source) == ("warning", f"discord:{older.ALICE}")
        assert bot.webhooks.backlog == 0


async def test_what_socbot_has_not_is_refused_record_by_record(
    make_bot: MakeBot, folder: Path, clock: FakeClock
) -> None:
    (folder / "data/analytics_export_20260202.json").write_text("{}")
    (folder / "data/dice.json").write_text("{}")
    report = await plan(make_bot, folder, clock)
    assert [(each.record, each.verdict, each.count) for each in findings(report, "bot_data.json").values()] == [
        ("warns", "refused", 2), ("reminders", "refused", 1),
    ]  # fmt: skip
    problems = {file.name: file.problem for file in report.files if file.problem}
    assert problems == {
        "data/analytics_export_20260202.json": "an export, which is not read",
        "data/dice.json": "no file of the older bot's that socbot knows",
    }


async def test_people_are_pseudonyms_where_ids_are_hashed(make_bot: MakeBot, folder: Path, clock: FakeClock) -> None:
    await take_over(make_bot, folder, clock, analytics=AnalyticsConfig(hash_ids=True))
    async with make_bot(clock=clock, analytics=AnalyticsConfig(hash_ids=True)) as bot:
        assert all(row.subject.startswith("#") for row in await bot.analytics.export())
        assert all(record.subject.startswith("#") for record in await bot.errors.newest(9))
        assert (await bot.analytics.of_user(("discord", older.ALICE))).tally.commands == 5


async def test_hours_that_were_twice_or_skipped_are_told(make_bot: MakeBot, tmp_path: Path) -> None:
    hourly = {"2026-03-08 02:00": 1, "2026-11-01 01:00": 1, "2026-11-01 05:00": 1}
    document = {"commands": {"say": {"count": 3, "errors": 0, "first_use": "2026-03-08T00:00:00",
                                     "last_use": "2026-11-02T00:00:00"}}, "hourly": hourly}  # fmt: skip
    folder = older.write(tmp_path / "older", {"command_analytics.json": document})
    report = await plan(make_bot, folder, FakeClock(1_796_000_000.0))
    reasons = {record: each.reason for record, each in findings(report, "command_analytics.json").items()}
    assert reasons == {
        "command say": "",
        "hour 2026-03-08 02:00": "that hour was skipped: the next",
        "hour 2026-11-01 01:00": "that hour was there twice: the first",
        "hour 2026-11-01 05:00": "",
    }


# -- hostile files ------------------------------------------------------------------------------------


@pytest.mark.promise("P20")
@pytest.mark.promise("P30")
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[" * 100_000, "nested more than 32 deep"),
        (b'{"users":' * 100_000, "nested more than 32 deep"),
        (b'{"a": [' + b"1," * 2_100_000 + b"1]}", "more than 2,000,000 values"),
        (b'{"users": \xff}', "byte 10 is not UTF-8"),
        (b'{"users"', "it is no JSON"),
        (b"]" * 100_000, "it is no JSON"),
        (b'""' * 9_000_000, "it is no JSON"),
        (b"[]", "a JSON object was expected in it, not a list"),
        (b"", "it is no JSON"),
        (b'{"a": "' + b"\\" * 200_001, "it is no JSON"),
    ],
)
async def test_a_hostile_file_is_refused_as_a_whole_and_the_others_are_taken(
    make_bot: MakeBot, folder: Path, clock: FakeClock, content: bytes, told: str
) -> None:
    (folder / "data/blacklist.json").write_bytes(content)
    async with make_bot(clock=clock) as bot:
        await ask(bot, "!blacklist_add user 900 spam")
        report = await Importer(bot, ZONE).take_over(folder)
        assert [entry.id for entry in await bot.blacklist.entries()] == ["900"], "no garbage is an amnesty"
    [problem] = [file.problem for file in report.files if file.name == "data/blacklist.json"]
    assert told in problem
    assert report.count("taken") > 20


@pytest.mark.promise("P30")
async def test_hostile_values_are_refused_and_the_rest_is_taken(
    make_bot: MakeBot, tmp_path: Path, clock: FakeClock
) -> None:
    text = (
        '{"users": {"1": {"reason": "\\u0000\\u001b[2J @everyone \\ud800", "added_at": "2026-02-01"},'
        f'"{"9" * 5_000}": {{}}, "-5": {{}}, "0": {{}}, "2": 7,'
        f'"3": {{"reason": {"7" * 5_000}, "added_by": {"8" * 5_000},'
        '"added_at": NaN, "expires_at": Infinity}, "1": {"reason": "twice", "added_at": "2026-02-01"}}, "guilds": []}'
    )
    folder = older.write(tmp_path / "older", {"data/error_log.json": {"errors": {}}})
    (folder / "data/blacklist.json").write_text(text)
    report = await take_over(make_bot, folder, clock)
    found = findings(report, "blacklist.json")
    assert {record[:8]: each.verdict for record, each in found.items()} == {
        "user 1": "taken", "user 999": "refused", "user -5": "refused", "user 0": "refused", "user 2": "refused",
        "user 3": "corrected", "guilds": "refused",
    }  # fmt: skip
    [notes] = [file.notes for file in report.files if file.name.endswith("blacklist.json")]
    assert notes == ("keys that are written twice, of which the last counts: 1",)
    async with make_bot(clock=clock) as bot:
        assert {entry.id: entry.reason for entry in await bot.blacklist.entries()} == {"1": "twice", "3": ""}


async def test_a_pipe_is_not_waited_for(make_bot: MakeBot, folder: Path, clock: FakeClock) -> None:
    (folder / "data/blacklist.json").unlink()
    os.mkfifo(folder / "data/blacklist.json")
    report = await plan(make_bot, folder, clock)
    assert "it is no ordinary file" in [file.problem for file in report.files]
