"""The tour: every command once, with arguments that make it do its work."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from socbot.bot import COMMANDS, Bot
from socbot.config import LogsConfig
from socbot.dispatch.messages import Answer, Attachment, Message, User
from socbot.dispatch.outcomes import Outcome
from socbot.logs import logging_to
from socbot.testing import OWNER

CANARY_FREE = '{"users": {"901": {"reason": "imported"}}, "guilds": {}}'


THE_OWNER = User(OWNER[1], "the owner")


class Call(NamedTuple):
    """One command of the tour, in an order in which each finds what it needs."""

    text: str
    attachments: tuple[Attachment, ...] = ()


TOUR = (
    Call("!help"),
    Call("!help blacklist_add"),
    Call("!help rate_limit"),
    Call("!ping"),
    Call("!uptime"),
    Call("!about"),
    Call("!bot_stats"),
    Call("!config"),
    Call("!config storage"),
    Call("!maintenance on back soon"),
    Call("!maintenance off"),
    Call("!pipeline"),
    Call("!pipeline_mode profiler shadow"),
    Call("!pipeline_mode profiler enforce"),
    Call("!why {trace}"),
    Call("!reload"),
    Call("!blacklist_add user 900 spam and scams"),
    Call("!blacklist_temp guild 77 2h raid"),
    Call("!blacklist"),
    Call("!blacklist_check user 900"),
    Call("!blacklist_stats"),
    Call("!blacklist_history user 900"),
    Call("!blacklist_export"),
    Call("!blacklist_export --csv"),
    Call(
        "!blacklist_import",
        (Attachment("blacklist.json", len(CANARY_FREE), content=CANARY_FREE.encode()),),
    ),
    Call("!blacklist_remove user 900 appealed"),
    Call("!rate_limit_status"),
    Call("!rate_limit_status 900"),
    Call("!rate_limit_config"),
    Call("!rate_limit_config set cooldown 4s"),
    Call("!rate_limit_config reset cooldown"),
    Call("!set_command_cooldown ping 5s"),
    Call("!reset_violations 900"),
    Call("!rate_limit_stats"),
    Call("!rate_limit_exempt 901 2h"),
    Call("!rate_limit_exempt"),
    Call("!rate_limit_test 900 ping 5"),
    Call("!performance"),
    Call("!profile_command ping"),
    Call("!slow_commands 500ms"),
    Call("!performance_export --csv"),
    Call("!performance_compare ping help"),
    Call("!reset_profile ping"),
    Call("!analytics 7"),
    Call("!command_stats ping"),
    Call("!user_stats"),
    Call("!guild_stats"),
    Call("!analytics_heatmap"),
    Call("!export_analytics --csv"),
    Call("!analytics_config"),
    Call("!top_errors"),
    Call("!forget_user 901"),
    Call("!error_dashboard"),
    Call("!recent_errors 5"),
    Call("!error_details {error}"),
    Call("!error_stats"),
    Call("!error_config"),
    Call("!error_search broken"),
    Call("!error_trends daily"),
    Call("!notify_errors on"),
    Call("!error_mute {group} 2h"),
    Call("!error_resolve {group}"),
    Call("!add_webhook ops custom https://hooks.invalid/T0/s3cret alert incident drill"),
    Call("!list_webhooks"),
    Call("!webhook_config ops severity warning"),
    Call("!alert critical somebody is raiding us"),
    Call("!incident open high The database is down"),
    Call("!incident note last the disk was full"),
    Call("!incident list"),
    Call("!incident show last"),
    Call("!incident close last"),
    Call("!drill start phishing click on nothing"),
    Call("!drill status"),
    Call("!drill end"),
    Call("!signals"),
    Call("!webhook_info ops"),
    Call("!webhook_stats"),
    Call("!webhook_deliveries ops"),
    Call("!webhook_retry ops"),
    Call("!test_webhook ops"),
    Call("!remove_webhook ops"),
    Call("!health"),
    Call("!health_history 24"),
    Call("!health_config"),
    Call("!health_config set transport_ms.degraded 120"),
    Call("!health_config reset transport_ms.degraded"),
    Call("!view_logs 20"),
    Call("!log_level httpx WARNING"),
    Call("!log_level httpx default"),
    Call("!search_logs /error|warning/"),
    Call("!export_logs"),
    Call("!log_config"),
    Call("!set_log_size 20"),
    Call("!set_log_backups 3"),
    Call("!log_stats"),
    Call("!clear_logs"),
    Call("!backup_now"),
    Call("!list_backups"),
    Call("!verify_backup newest"),
    Call("!backup_drill"),
    Call("!restore_backup newest"),
    Call("!restore_backup undo"),
    Call("!backup_config set retention_manual 1"),
    Call("!backup_config reset retention.manual"),
    Call("!backup_prune --dry-run"),
    Call("!backup_prune"),
    Call("!backup_status"),
    Call("!tasks"),
    Call("!task_info monitor"),
    Call("!stop_task monitor"),
    Call("!start_task monitor"),
    Call("!restart_task monitor"),
    Call("!run_task monitor"),
    Call("!schedule_task monitor every 5m"),
    Call("!task_stats"),
    Call("!dashboard"),
    Call("!token_add prometheus viewer"),
    Call("!tokens"),
    Call("!token_remove prometheus"),
    Call("!clear_errors"),
    Call("!reset_analytics"),
    Call("!restart"),
    Call("!shutdown"),
)


def name_of(call: Call) -> str:
    """The command's name, of one word or two."""
    words = call.text.removeprefix("!").split()
    both = " ".join(words[:2])
    return both if both in {each.name for each in COMMANDS} else words[0]


class Names(NamedTuple):
    """What some commands of the tour are about."""

    trace: str
    error: str
    group: str


def message(call: Call, names: Names) -> Message:
    text = call.text.format(trace=names.trace, error=names.error, group=names.group)
    return Message(text, THE_OWNER, OWNER[0], "c1", "g1", attachments=call.attachments)


@contextmanager
def logged(bot: Bot, file: Path) -> Iterator[None]:
    """A log for the bot, as ``socbot run`` has one."""
    with logging_to(LogsConfig(file=str(file), level="DEBUG"), bot.redactor) as writer:
        bot.logs.attach(writer)
        yield


async def take(bot: Bot, names: Names) -> list[Outcome]:
    """Run the whole tour as the owner, saying yes to every question; each outcome."""
    outcomes = []
    for call in TOUR:
        outcome = await bot.dispatch(message(call, names))
        outcomes.append(outcome)
        if outcome.reply is not None and outcome.reply.question is not None:
            answer = Message(
                "", User(OWNER[1]), OWNER[0], "c1", "g1", answer=Answer(outcome.reply.question.token, True)
            )
            outcomes.append(await bot.dispatch(answer))
    return outcomes
