"""Every command: it is there, it works for whom it is meant for, and for nobody else."""

from pathlib import Path

import pytest
from msgspec import structs

from socbot.bot import COMMANDS, Bot
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.messages import Message, User
from socbot.testing import OWNER, owner_said, said
from tests.conftest import MakeBot
from tests.tour import TOUR, Names, logged, message, name_of, take

OWNERS_OWN = """
blacklist_add blacklist_temp blacklist_remove blacklist blacklist_stats blacklist_history blacklist_export
blacklist_import rate_limit_config set_command_cooldown reset_violations rate_limit_stats rate_limit_exempt
rate_limit_test performance profile_command slow_commands performance_export reset_profile performance_compare
analytics command_stats user_stats guild_stats analytics_heatmap export_analytics reset_analytics
analytics_config top_errors forget_user error_dashboard recent_errors error_details error_stats error_config
view_logs log_level export_logs search_logs clear_logs log_config set_log_size set_log_backups log_stats
clear_errors error_search error_trends notify_errors error_resolve error_mute stop_task start_task restart_task
run_task schedule_task task_stats pipeline pipeline_mode reload bot_stats config maintenance shutdown restart
health_history health_config
add_webhook list_webhooks webhook_info webhook_config test_webhook remove_webhook webhook_stats webhook_deliveries
webhook_retry
backup_now list_backups restore_backup verify_backup backup_status backup_drill backup_prune backup_config
dashboard tokens token_add token_remove
""".split()  # noqa: SIM905 (a list that is read, not code)
EVERYBODYS = """
help ping uptime about health why blacklist_check rate_limit_status tasks task_info
""".split()  # noqa: SIM905 (a list that is read, not code)
ADMINISTRATORS = (
    "alert", "signals", "incident open", "incident note", "incident close", "incident list", "incident show",
    "drill start", "drill end", "drill status",
)  # fmt: skip
ALIASES = {
    "helpme": "help", "stats": "bot_stats", "stop": "shutdown", "halt": "shutdown", "reboot": "restart",
    "incident": "incident list", "drill": "drill status",
}  # fmt: skip
PRIVATE = """
blacklist_export export_analytics performance_export error_dashboard recent_errors error_details error_search
config reset_analytics view_logs search_logs export_logs log_stats add_webhook webhook_config
dashboard tokens token_add token_remove
""".split()  # noqa: SIM905 (a list that is read, not code)


@command("fail", permission="public")
async def fail(ctx: Context) -> str:
    """Fails."""
    raise ValueError("broken")


async def names_in(bot: Bot) -> Names:
    failed = await bot.dispatch(said("!fail", "900"))
    assert failed.trace is not None
    assert failed.error_id is not None
    record = await bot.errors.find(failed.error_id)
    assert record is not None
    return Names(failed.trace.id, failed.error_id, record.group_id)


def test_the_registry_carries_what_is_promised() -> None:
    permissions = {each.name: each.permission for each in COMMANDS}
    assert permissions == (
        dict.fromkeys(OWNERS_OWN, "owner")
        | dict.fromkeys(ADMINISTRATORS, "admin")
        | dict.fromkeys(EVERYBODYS, "public")
    )
    assert {alias: each.name for each in COMMANDS for alias in each.aliases} == ALIASES
    assert {each.name for each in COMMANDS if each.private} == set(PRIVATE)
    assert all(each.description and each.group for each in COMMANDS)


def test_the_tour_visits_every_command() -> None:
    visited = {name_of(call) for call in TOUR}
    assert visited == {each.name for each in COMMANDS}


async def test_every_command_works(make_bot: MakeBot, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    store, backups = f"sqlite:///{tmp_path}/data/socbot.db", f"{tmp_path}/backups"
    path.write_text(f"storage: {{url: '{store}'}}\nbackup: {{folder: '{backups}'}}\n")
    async with make_bot(path, commands=[fail], jobs=True) as bot:
        with logged(bot, tmp_path / "logs" / "bot.log"):
            outcomes = await take(bot, await names_in(bot))
        wrong = [
            (outcome.message.text, outcome.status, str(outcome.reply)) for outcome in outcomes if outcome.status != "ok"
        ]
        assert wrong == []
        assert all(outcome.reply is not None for outcome in outcomes)
        assert bot.lifecycle.stopping.is_set()


LISTED = "46"
ACTORS = {
    "a stranger": Message("", User("42"), OWNER[0], "c1", "g1"),
    "an administrator": Message("", User("43", is_admin=True), OWNER[0], "c1", "g1"),
    "the guild's owner": Message("", User("44", "server owner", is_admin=True), OWNER[0], "c1", "g1"),
    "another bot": Message("", User("45", is_bot=True), OWNER[0], "c1", "g1"),
    "a webhook in the owner's name": Message("", User(OWNER[1], "the owner", is_bot=True), OWNER[0], "c1", "g1"),
    "the owner's id on another platform": Message("", User(OWNER[1]), "elsewhere", "c1", "g1"),
    "the id with a space": Message("", User(OWNER[1] + " "), OWNER[0], "c1", "g1"),
    "id 0": Message("", User("0"), OWNER[0], "c1", "g1"),
    "no id": Message("", User(""), OWNER[0], "c1", "g1"),
    "a look-alike": Message("", User("оwner", "owner"), OWNER[0], "c1", "g1"),  # noqa: RUF001 (Cyrillic)
    "a listed account of the owner's name": Message("", User(LISTED, "the owner"), OWNER[0], "c1", "g1"),
    "an edited message": Message("", User(OWNER[1]), OWNER[0], "c1", "g1", edited=True),
    "an id that changes hands": Message("", User(OWNER[1]), OWNER[0], "c1", "g1", stable_ids=False),
}


@pytest.mark.promise("P01")
@pytest.mark.parametrize("actor", ACTORS)
async def test_only_the_owner_runs_owner_commands(actor: str, make_bot: MakeBot) -> None:
    like = ACTORS[actor]
    async with make_bot(commands=[fail]) as bot:
        await bot.blacklist.add("user", (OWNER[0], LISTED), reason="an alias", by="test")
        names = await names_in(bot)
        before = await stored(bot)
        for call in TOUR:
            if name_of(call) not in OWNERS_OWN:
                continue
            text = message(call, names).text
            asked = Message(
                text, like.author, like.platform, "c1", "g1", attachments=call.attachments, edited=like.edited,
                stable_ids=like.stable_ids,
            )  # fmt: skip
            outcome = await bot.dispatch(asked)
            assert outcome.status in ("refused", "ignored"), text
            assert outcome.trace is None or not outcome.trace.handler_reached, text
        assert await stored(bot) == before


@pytest.mark.promise("P01")
@pytest.mark.parametrize("actor", [each for each in ACTORS if each not in ("an administrator", "the guild's owner")])
async def test_only_administrators_run_their_commands(actor: str, make_bot: MakeBot) -> None:
    like = ACTORS[actor]
    async with make_bot(commands=[fail]) as bot:
        names = await names_in(bot)
        for call in TOUR:
            if name_of(call) not in ADMINISTRATORS:
                continue
            asked = structs.replace(like, text=message(call, names).text)
            outcome = await bot.dispatch(asked)
            assert outcome.status in ("refused", "ignored"), call.text
            assert outcome.trace is None or not outcome.trace.handler_reached, call.text
        assert await bot.signals.recent() == ()


@pytest.mark.promise("P01")
async def test_without_an_owner_nobody_is(make_bot: MakeBot) -> None:
    async with make_bot(owners=[]) as bot:
        assert (await bot.dispatch(owner_said("!shutdown"))).refused_by == "permission"


async def stored(bot: Bot) -> list[object]:
    """What owner commands change."""
    return [
        await bot.blacklist.entries(),
        await bot.rate_limiter.exemptions(),
        bot.config,
        bot.lifecycle.stopping.is_set(),
        len(await bot.errors.groups()),
    ]
