"""The backups' commands, in a whole bot: what is restored is what every system goes by."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace

from socbot.bot import Bot
from socbot.config import BackupConfig, Config, RateLimitConfig, StorageConfig, WebhooksConfig
from socbot.dispatch.context import Send
from socbot.dispatch.errors import InvalidArgument
from socbot.dispatch.messages import Answer, Message, User
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.jobs.job import JobRefused, Run
from socbot.storage.connection import Connection
from socbot.systems.backup.errors import BackupError
from socbot.testing import OWNER, FakeClock, owner_said, said
from tests.conftest import MakeBot

Spoiled: TypeAlias = Callable[[Bot, Path], AbstractAsyncContextManager[None]]


async def ask(bot: Bot, text: str) -> Reply:
    reply = (await bot.dispatch(owner_said(text))).reply
    assert reply is not None
    return reply


async def agree(bot: Bot, text: str, send: Send | None = None) -> Outcome:
    """Say ``text`` as the owner, and yes to what is asked then."""
    asked = await ask(bot, text)
    assert asked.question is not None, asked.text
    answer = Answer(asked.question.token, True)
    return await bot.dispatch(Message("", User(OWNER[1]), OWNER[0], "c1", "g1", answer=answer), send=send)


async def confirmed(bot: Bot, text: str) -> Reply:
    outcome = await agree(bot, text)
    assert outcome.reply is not None
    assert outcome.status == "ok", outcome.reply.text
    return outcome.reply


def contents(path: Path) -> str:
    return path.read_text()


def write(path: Path, text: str) -> None:
    path.write_text(text)


def anything(folder: Path, pattern: str) -> bool:
    return any(folder.rglob(pattern))


def facts(reply: Reply) -> dict[str, str]:
    return {field.name: field.value for field in reply.fields}


@pytest.fixture
def anyio_backend() -> str:
    """Where a test does not ask for both."""
    return "asyncio"


@pytest.fixture
def backup(tmp_path: Path) -> BackupConfig:
    return BackupConfig(folder=f"{tmp_path}/backups", paths=(f"{tmp_path}/config.yaml",))


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"storage: {{url: 'sqlite:///{tmp_path}/data/socbot.db'}}\n"
        f"backup: {{enabled: false, folder: '{tmp_path}/backups', paths: ['{path}']}}\n"
        "rate_limit: {cooldown: 0s}\n"  # how long the test takes is to turn nobody away
    )
    return path


async def test_a_backup_says_what_it_is(make_bot: MakeBot, backup: BackupConfig) -> None:
    shown: list[Reply] = []

    async def show(reply: Reply) -> None:
        shown.append(reply)

    async with make_bot(backup=backup) as bot:
        reply = (await bot.dispatch(owner_said("!backup_now weekly"), send=show)).reply
        assert reply is not None
        said_of = facts(reply)
        assert said_of["Name"].startswith("`backup_weekly_")
        assert said_of["Type"] == "weekly"
        assert len(said_of["Manifest's SHA-256"]) == 66
        assert {"Files", "Bytes", "Compressed", "Encrypted", "Time"} < set(said_of)
        assert [each.text for each in shown] == ["Reading the store and packing…", "Verifying…"]
        listed = await ask(bot, "!list_backups weekly")
        assert "verified" in listed.items[0]
        assert "never proven" in listed.items[0]
        assert (await ask(bot, "!list_backups daily")).text.startswith("There is none yet")
        assert "Last weekly" in facts(await ask(bot, "!backup_status"))


async def test_verifying_names_what_is_wrong(make_bot: MakeBot, backup: BackupConfig) -> None:
    async with make_bot(backup=backup) as bot:
        made = (await bot.backups.now()).backup
        intact = await ask(bot, f"!verify_backup {made.name}")
        assert intact.title == f"{made.name} is intact"
        assert any("SHA-256" in item for item in intact.items)
        packed = bytearray(made.path.read_bytes())
        packed[len(packed) // 2] ^= 1
        made.path.write_bytes(packed)
        broken = await ask(bot, f"!verify_backup {made.name}")
        assert broken.title == f"{made.name} is NOT intact"
        assert broken.tone == "error"
        assert broken.items[0].startswith("✗")
        assert "DAMAGED" in (await ask(bot, "!list_backups")).items[0]
        refused = await agree(bot, f"!restore_backup {made.name}")
        assert refused.status == "invalid"
        assert "damaged" in str(refused.reply)


async def change_everything(bot: Bot) -> None:
    """One thing in each system that the owner can change."""
    for text in (
        "!blacklist_add user 900 spam",
        "!rate_limit_exempt 901",
        "!set_command_cooldown ping 5s",
        "!rate_limit_config set cooldown 7s",
        "!stop_task monitor",
        "!schedule_task blacklist_sweep every 9m",
        "!pipeline_mode profiler shadow",
        "!maintenance on back soon",
        "!add_webhook ops custom https://hooks.invalid/T0/x alert",
        "!incident open high The database is down",
        "!log_level httpx ERROR",
    ):
        outcome = await bot.dispatch(owner_said(text))
        assert outcome.status == "ok", (text, outcome.reply)


async def what_they_go_by(bot: Bot) -> Any:
    jobs = {status.name: (status.state == "stopped", str(status.schedule)) for status in bot.supervisor.status()}
    return {
        "listed": bot.blacklist.is_listed("user", (OWNER[0], "900")),
        "turned away": (await bot.dispatch(said("!ping", "900", platform=OWNER[0]))).refused_by,
        "exempt": await bot.rate_limiter.exemptions(),
        "config": bot.config,
        "monitor": jobs["monitor"],
        "sweep": jobs["blacklist_sweep"],
        "chain": [(stage.name, stage.mode) for stage in bot.dispatcher.chain.stages],
        "maintenance": bot.dispatcher.maintenance,
        "webhooks": [webhook.name for webhook in bot.webhooks.all()],
        "incidents": [incident.title for incident in await bot.incidents.newest("incident", "open")],
    }


@pytest.mark.promise("P07")
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_after_a_restore_every_system_goes_by_the_restored_store(make_bot: MakeBot, config_file: Path) -> None:
    async with make_bot(config_file, jobs=True) as bot:
        before = await what_they_go_by(bot)
        made = (await bot.backups.now()).backup.name
        await change_everything(bot)
        changed = await what_they_go_by(bot)
        assert all(changed[name] != before[name] for name in before), "nothing is the same"
        reply = await confirmed(bot, f"!restore_backup {made}")
        assert "pre_restore" in facts(reply)["Kept of the state before"]
        assert await what_they_go_by(bot) == before
        assert "before" in (await ask(bot, "!restore_backup undo")).text
        await confirmed(bot, "!restore_backup undo")
        assert await what_they_go_by(bot) == changed
    async with make_bot(config_file, jobs=True) as bot:
        assert await what_they_go_by(bot) == changed, "and so does a new process"


@pytest.mark.promise("P54")
async def test_a_restore_is_on_record_and_erases_no_record(make_bot: MakeBot, backup: BackupConfig) -> None:
    async with make_bot(backup=backup) as bot:
        made = (await bot.backups.now()).backup.name
        await ask(bot, "!blacklist_add user 900 spam")
        await confirmed(bot, f"!restore_backup {made}")
        rows = await bot.database.read(lambda c: c.execute("SELECT action FROM audit ORDER BY id"))
        assert [action for (action,) in rows][-2:] == ["blacklist_add", "restore_backup"]
        assert await bot.audit.verify() is None


@pytest.mark.promise("P14")
async def test_neither_a_restore_nor_its_undoing_forgets_what_was_asked_of_discord(
    make_bot: MakeBot, backup: BackupConfig, either_storage: StorageConfig
) -> None:
    async def asked() -> list[Any]:
        logins = "SELECT shard, shards, at FROM gateway_logins"
        puts = "SELECT scope, digest, puts FROM command_syncs"
        return await bot.database.read(lambda c: [*c.execute(logins), *c.execute(puts)])

    def ask_more(connection: Connection) -> None:
        connection.change("INSERT INTO gateway_logins (shard, shards, at) VALUES (0, 1, 1700000000)")
        connection.change(
            "INSERT INTO command_syncs (scope, digest, at, puts, puts_since) VALUES ('global', 'abc', 1, 7, 1)"
        )

    async with make_bot(backup=backup, storage=either_storage) as bot:
        made = (await bot.backups.now()).backup.name
        await bot.database.write(ask_more)
        before = await asked()
        await confirmed(bot, f"!restore_backup {made}")
        assert await asked() == before
        await confirmed(bot, "!restore_backup undo")
        assert await asked() == before


async def test_meanwhile_commands_are_answered_that_it_restores(make_bot: MakeBot, backup: BackupConfig) -> None:
    answers: list[Outcome] = []
    async with make_bot(backup=backup) as bot:
        made = (await bot.backups.now()).backup.name
        before = bot.dispatcher.closed

        async def show(reply: Reply) -> None:
            if reply.text == "Swapping…":
                tasks.start_soon(speak)

        async def speak() -> None:
            while bot.dispatcher.closed is None:
                await anyio.lowlevel.checkpoint()
            answers.append(await bot.dispatch(owner_said("!ping")))

        async with anyio.create_task_group() as tasks:
            await bot.backups.restore(made, lambda text: show(Reply(text)))
        assert before is bot.dispatcher.closed is None
        assert (await bot.dispatch(owner_said("!ping"))).status == "ok"
    assert [(answer.status, answer.reason) for answer in answers] == [("refused", "held")]
    assert "being restored" in str(answers[0].reply)


async def test_a_shutdown_that_comes_meanwhile_stays_one(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        async with bot.held():
            await bot.drain(0.0)
        assert "shutting down" in str((await bot.dispatch(owner_said("!ping"))).reply)


@pytest.mark.promise("P07")
async def test_a_config_yaml_that_cannot_be_used_is_reported_and_not_put_in_force(
    make_bot: MakeBot, config_file: Path
) -> None:
    async with make_bot(config_file) as bot:
        good = contents(config_file)
        write(config_file, good + "bot: {prefix: 5, nonsense: 1}\n")
        made = (await bot.backups.now()).backup.name
        write(config_file, good)
        reply = await confirmed(bot, f"!restore_backup {made}")
        assert any("config.yaml is not put in force" in item for item in reply.items)
        assert (await ask(bot, "!ping")).text
        assert "nonsense" in contents(config_file)


async def test_what_the_bot_cannot_go_by_is_put_back(make_bot: MakeBot, config_file: Path) -> None:
    async with make_bot(config_file) as bot:
        await ask(bot, "!blacklist_add user 900 spam")
        broken = "UPDATE settings SET value = '{not json'"
        await ask(bot, "!rate_limit_config set cooldown 7s")
        await bot.database.write(lambda connection: connection.change(broken + " WHERE key = 'rate_limit.cooldown'"))
        made = (await bot.backups.now()).backup.name
        await bot.database.write(
            lambda connection: connection.change("UPDATE settings SET value = '7.0' WHERE key = 'rate_limit.cooldown'")
        )
        await ask(bot, "!blacklist_add user 901 spam")
        outcome = await agree(bot, f"!restore_backup {made}")
        assert outcome.status == "invalid"
        assert "Everything is as it was" in str(outcome.reply)
        assert bot.blacklist.is_listed("user", (OWNER[0], "901"))
        assert bot.config.rate_limit.cooldown == 7.0
        assert len(await bot.blacklist.entries()) == 2


async def test_a_drill_starts_a_bot_that_nobody_hears_of(
    make_bot: MakeBot, backup: BackupConfig, notices: list[Reply], tmp_path: Path
) -> None:
    async with make_bot(backup=backup) as bot:
        await ask(bot, "!add_webhook ops custom https://hooks.invalid/T0/x all")
        await bot.backups.now()
        reply = await ask(bot, "!backup_drill")
        assert reply.tone == "ok", reply.items
        assert [item.partition(":")[0] for item in reply.items] == [
            "✓ unpack and verify", "✓ check the database", "✓ start a bot on it", "✓ run !ping", "✓ run !blacklist",
            "✓ run !analytics 7", "✓ run !health",
        ]  # fmt: skip
        assert "passed" in facts(await ask(bot, "!backup_status"))["Last drill"]
        assert "proven <t:" in (await ask(bot, "!list_backups")).items[0]
        assert notices == []
        assert await bot.database.read(lambda c: c.execute("SELECT COUNT(*) FROM backup_drills")) == [(1,)]
    assert not anything(tmp_path, "*.drill")


async def test_a_drill_that_fails_says_at_which_step(make_bot: MakeBot, backup: BackupConfig) -> None:
    async with make_bot(backup=replace(backup, drill_commands=("!ping", "!nonsense"))) as bot:
        made = (await bot.backups.now()).backup
        reply = await ask(bot, "!backup_drill")
        assert "FAILED" in reply.title
        assert reply.items[-1].startswith("✗ run !nonsense: unknown")
        assert "never proven" in (await ask(bot, "!list_backups")).items[0]
        made.path.write_bytes(made.path.read_bytes()[:-100])
        assert (await ask(bot, "!backup_drill")).items[0].startswith("✗ unpack and verify")


async def test_a_drill_that_is_due_and_fails_is_told(
    make_bot: MakeBot, backup: BackupConfig, notices: list[Reply]
) -> None:
    async with make_bot(backup=replace(backup, drill_commands=("!nonsense",))) as bot:
        await bot.backups.drill_due()
        assert notices == [], "there is nothing to try yet"
        await bot.backups.now()
        await bot.backups.drill_due()
        await bot.backups.drill_due()
        assert [notice.title for notice in notices] == ["Restore Drill Failed"]


async def test_pruning_asks_and_says_why(make_bot: MakeBot, backup: BackupConfig) -> None:
    few = replace(backup, retention=replace(backup.retention, manual=1))
    async with make_bot(backup=few) as bot:
        for _ in range(3):
            await bot.backups.now()
        shown = await ask(bot, "!backup_prune --dry-run")
        assert facts(shown) == {"Kept": "1", "Gone": "2"}
        assert len(await bot.backups.list()) == 3
        done = await confirmed(bot, "!backup_prune")
        assert facts(done) == {"Kept": "1", "Gone": "2"}
        assert sum("deleted:" in item for item in done.items) == 2
        assert len(await bot.backups.list()) == 1


async def test_settings_take_effect_at_once_in_both_spellings(make_bot: MakeBot, backup: BackupConfig) -> None:
    async with make_bot(backup=backup) as bot:
        await ask(bot, "!backup_config set retention_daily 9")
        assert bot.backups.config.retention.daily == 9
        assert "missing" not in (await ask(bot, "!backup_config set retention.daily 8")).text
        assert bot.backups.config.retention.daily == 8
        refused = await bot.dispatch(owner_said("!backup_config set retention.daily 0"))
        assert refused.status == "invalid"
        assert bot.backups.config.retention.daily == 8


@pytest.mark.parametrize("setting", ["folder /tmp/elsewhere", "s3.endpoint https://elsewhere.example", "key abc"])
async def test_where_backups_go_is_not_for_a_chat_account(
    setting: str, make_bot: MakeBot, backup: BackupConfig
) -> None:
    async with make_bot(backup=backup) as bot:
        outcome = await bot.dispatch(owner_said(f"!backup_config set {setting}"))
        assert outcome.status == "invalid"
        assert bot.config.backup == backup


async def test_the_older_bots_name_of_the_job_works(make_bot: MakeBot, backup: BackupConfig) -> None:
    async with make_bot(backup=replace(backup, hourly=True), jobs=True) as bot:
        assert "backup" in (await ask(bot, "!task_info AutoBackupSystem hourly_backup")).title
        assert bot.supervisor.find("hourly_backup").name == "backup"


async def test_the_key_of_the_webhooks_goes_into_encrypted_backups_only(
    make_bot: MakeBot, backup: BackupConfig, tmp_path: Path
) -> None:
    sealed = replace(backup, encryption=True, passphrase="correct horse battery staple")
    key = tmp_path / "data" / "webhooks.key"
    async with make_bot(backup=backup) as bot:
        await ask(bot, "!add_webhook ops custom https://hooks.invalid/T0/x all")
        assert key.exists()
        assert not any("key" in file.name for file in (await bot.backups.now()).manifest.files)
    async with make_bot(backup=sealed) as bot:
        made = await bot.backups.now()
        assert [file.name for file in made.manifest.files if "key" in file.name] == ["keys/webhooks.key"]
        assert made.backup.encrypted
        held, there = key.read_bytes(), b"another key altogether"
        key.write_bytes(there)
        await bot.backups.restore(made.backup.name)
        assert key.read_bytes() == there, "what is here was sealed with what is here"
        key.unlink()
        await bot.backups.restore(made.backup.name)
        assert key.read_bytes() == held
    async with make_bot(backup=backup) as bot:
        listed = await ask(bot, "!list_backups manual")
        assert "needs the key" in listed.items[0]
        assert "passphrase" not in str(made.manifest)


async def test_names_are_offered_while_one_is_typed(make_bot: MakeBot, backup: BackupConfig) -> None:
    async with make_bot(backup=backup) as bot:
        made = (await bot.backups.now()).backup.name
        assert await bot.completions.find("backup", "manual") == (made,)


@pytest.mark.parametrize("either", ["sqlite", "postgresql"])
async def test_on_both_databases(either: str, make_bot: MakeBot, backup: BackupConfig, request: Any) -> None:
    sections: dict[str, Any] = {"backup": backup}
    if either == "postgresql":
        url = request.getfixturevalue("postgresql").new_database()
        sections["storage"] = StorageConfig(url=url)
    async with make_bot(Config(), **sections) as bot:
        await ask(bot, "!blacklist_add user 900 spam")
        made = (await bot.backups.now()).backup.name
        assert (await ask(bot, "!backup_drill")).tone == "ok"
        await ask(bot, "!blacklist_remove user 900")
        await confirmed(bot, f"!restore_backup {made}")
        assert bot.blacklist.is_listed("user", (OWNER[0], "900"))
        assert (await ask(bot, "!blacklist_add user 901 spam")).tone == "ok"
        await confirmed(bot, "!restore_backup undo")
        assert not bot.blacklist.is_listed("user", (OWNER[0], "900"))


async def once(bot: Bot, job: str) -> Run | None:
    """Run it now; None where it runs by itself just then."""
    try:
        return await bot.supervisor.run_now(job)
    except JobRefused:
        return None


@pytest.mark.promise("P10")
async def test_the_process_of_a_fleet_that_leads_tries_its_backups(
    make_bot: MakeBot, backup: BackupConfig, request: Any
) -> None:
    storage = StorageConfig(url=request.getfixturevalue("postgresql").new_database())
    async with make_bot(Config(), backup=backup, storage=storage, jobs=True) as bot:
        with anyio.fail_after(20):
            while not bot.supervisor.leads:  # noqa: ASYNC110 (as an operator looks)
                await anyio.sleep(0.05)
        await bot.backups.now()
        with anyio.fail_after(20):
            while (ran := await once(bot, "drill")) is None:  # noqa: ASYNC110 (as an owner does)
                await anyio.sleep(0.05)
        assert ran.outcome == "ok"
        drill = (await bot.backups.status()).drill
        assert drill is not None
        assert drill.passed


@pytest.mark.promise("P07")
@pytest.mark.parametrize("either", ["sqlite", "postgresql"])
async def test_an_undo_gives_back_what_was_done_while_the_restore_was_made_ready(
    either: str, make_bot: MakeBot, backup: BackupConfig, request: Any
) -> None:
    sections: dict[str, Any] = {"backup": backup}
    if either == "postgresql":
        sections["storage"] = StorageConfig(url=request.getfixturevalue("postgresql").new_database())
    async with make_bot(Config(), **sections) as bot:
        made = (await bot.backups.now()).backup.name
        told: list[str] = []

        async def meanwhile(reply: Reply) -> None:
            told.append(reply.text)
            outcome = await bot.dispatch(owner_said(f"!blacklist_add user 90{len(told)} spam"))
            if outcome.status == "ok":
                listed.append(f"90{len(told)}")

        listed: list[str] = []
        assert (await agree(bot, f"!restore_backup {made}", meanwhile)).status == "ok"
        assert "Staging…" in told
        assert listed
        assert not await bot.blacklist.entries()
        await confirmed(bot, "!restore_backup undo")
        assert {entry.id for entry in await bot.blacklist.entries()} == set(listed)


@pytest.mark.promise("P07")
@pytest.mark.parametrize("either", ["sqlite", "postgresql"])
async def test_what_waits_for_a_webhook_that_a_restore_takes_away_is_seen_to_be_dead(
    either: str, make_bot: MakeBot, backup: BackupConfig, request: Any
) -> None:
    sections: dict[str, Any] = {"backup": backup, "webhooks": WebhooksConfig(allow=("127.0.0.0/8",))}
    if either == "postgresql":
        sections["storage"] = StorageConfig(url=request.getfixturevalue("postgresql").new_database())
    async with make_bot(Config(), **sections) as bot:

        async def add(name: str) -> None:
            await bot.webhooks.add(name, "custom", "http://127.0.0.1:9/hook", (), "local:owner")

        async def states() -> dict[str, tuple[str, str]]:
            return {each.webhook: (each.state, each.reason) for each in await bot.webhooks.deliveries()}

        await add("stays")
        await add("another")
        made = (await bot.backups.now()).backup.name
        await bot.webhooks.remove("another")
        await add("another")
        await add("late")
        await bot.signals.raise_("alert", "Door open")
        waiting, dead = ("waiting", ""), ("dead", "its webhook is not in what was restored")
        assert await states() == dict.fromkeys(("stays", "another", "late"), waiting)
        restored = await confirmed(bot, f"!restore_backup {made}")
        assert any(item.startswith("2 deliveries") for item in restored.items)
        assert await states() == {"stays": waiting, "another": dead, "late": dead}
        assert len((await ask(bot, "!webhook_deliveries dead")).items) == 2
        number = next(each.id for each in await bot.webhooks.deliveries() if each.webhook == "late")
        with pytest.raises(InvalidArgument):
            await bot.webhooks.retry(str(number))
        assert not (await confirmed(bot, "!restore_backup undo")).items
        assert await bot.webhooks.retry("late") == 1
        assert (await states())["late"] == waiting


@asynccontextmanager
async def nothing_is_made(_: Bot, __: Path) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def a_file_is_in_the_way(bot: Bot, folder: Path) -> AsyncIterator[None]:
    with in_the_way_of(folder):
        await fail(bot)
        yield


@contextmanager
def in_the_way_of(folder: Path) -> Iterator[None]:
    aside = folder.rename(folder.with_name("aside"))
    folder.write_text("in the way")
    yield
    folder.unlink()
    aside.rename(folder)


@asynccontextmanager
async def the_disk_keeps_nothing(bot: Bot, folder: Path) -> AsyncIterator[None]:
    before = archives(folder)

    async def swallow() -> None:
        while True:
            for path in archives(folder) - before:
                with suppress(FileNotFoundError):
                    os.truncate(path, 0)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(swallow)
        await fail(bot)
        tasks.cancel_scope.cancel()
    yield


def archives(folder: Path) -> set[Path]:
    return set(folder.glob("backup_*.tar.zst"))


async def fail(bot: Bot) -> None:
    bot.backups.close()  # it does not wait before it fails
    with pytest.raises(BackupError):
        await bot.backups.make_due()


@pytest.mark.promise("P10")
@pytest.mark.parametrize(
    ("spoiled", "title"),
    [
        (nothing_is_made, "Backups Have Stopped"),
        (a_file_is_in_the_way, "Backup Failed"),
        (the_disk_keeps_nothing, "Backup Failed"),
    ],
)
async def test_that_backups_have_stopped_is_seen_in_the_list_and_in_health(
    make_bot: MakeBot, tmp_path: Path, clock: FakeClock, notices: list[Reply], spoiled: Spoiled, title: str
) -> None:
    config = BackupConfig(folder=f"{tmp_path}/backups", paths=())
    unlimited = RateLimitConfig(cooldown=0.0, burst=1_000, cooldowns={})
    async with make_bot(clock=clock, backup=config, rate_limit=unlimited) as bot:
        await bot.backups.make_due()
        assert (await ask(bot, "!list_backups")).tone == "info"
        clock.forward(1.6 * 3_600)
        async with spoiled(bot, tmp_path / "backups"):
            for _ in range(3):
                await bot.backups.watch()
            assert [notice.title for notice in notices] == [title]
            listed = await ask(bot, "!list_backups")
            assert (listed.tone, "no good backup for 1.6 intervals" in listed.text) == ("warn", True)
            assert ("The last try failed" in listed.text) == (title == "Backup Failed")
            assert {each.name: each.status for each in (await bot.health.ask()).results}["backup"] == "degraded"
        await bot.backups.make_due()
        listed = await ask(bot, "!list_backups")
        assert (listed.tone, "⚠" in listed.text) == ("info", False)
        assert [notice.title for notice in notices] == [title, "Backups Work Again"]
