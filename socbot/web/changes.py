"""Changes: what happened of late, from every system, the newest first."""

from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

from socbot.systems.audit import Record
from socbot.systems.errors import Group
from socbot.systems.health import Episode
from socbot.systems.signals import Signal
from socbot.web.host import Host

_READ: Final = 300
"""Records of the trail that are looked through: those that only looked are left out."""

_TOLD_OTHERWISE: Final = frozenset(("health", "error"))
"""Kinds of signals whose cause is among the changes itself."""

_LOOKING = """
    about analytics analytics_heatmap backup_status blacklist blacklist_check blacklist_export blacklist_history
    blacklist_stats bot_stats command_stats config dashboard error_dashboard error_details error_search error_stats
    error_trends export_analytics export_logs guild_stats health health_history help list_backups list_webhooks
    log_stats performance performance_compare performance_export ping pipeline profile_command rate_limit_stats
    rate_limit_status rate_limit_test recent_errors search_logs signals slow_commands task_info task_stats tasks
    tokens top_errors uptime user_stats view_logs webhook_deliveries webhook_info webhook_stats why
"""
LOOKING: Final = frozenset(_LOOKING.split()) | {"incident list", "incident show", "drill status"}
"""Commands that change nothing; the trail has them too."""

_SIGNALLED: Final = frozenset(("alert", "incident open", "incident note", "incident close", "drill start", "drill end"))
"""Commands whose signal says the same."""

_ROUTINE: Final = frozenset(("sign in", "sign out", "backup"))
"""What happens every day, and is to be seen on a page of its own."""


_UNTOLD: Final = LOOKING | _ROUTINE | _SIGNALLED


class Change(Struct, frozen=True):
    """Something that happened.

    :param by: who did it, as ``platform:id``, or the part of the bot that did
    :param to: the page that tells more; empty if there is none
    """

    at: float
    kind: Literal["done", "health", "signal", "error"]
    title: str
    text: str = ""
    by: str = ""
    to: str = ""


async def changes(host: Host, since: float, most: int) -> tuple[Change, ...]:
    """What happened after ``since``, at most ``most``."""
    history = await host.health.episodes(since)
    found = [
        *map(_done, await host.audit.entries(_READ)),
        *(change for episode in history for change in _episode(episode)),
        *(_signal(raised.signal) for raised in await host.signals.recent(limit=most)),
        *(_error(group) for group in await host.errors.groups(since)),
    ]
    kept = [each for each in found if each is not None and each.at >= since]
    return tuple(sorted(kept, key=lambda each: each.at, reverse=True)[:most])


def _done(record: Record) -> Change | None:
    looked = record.action.endswith("_config") and " " not in record.what
    if record.result == "ok" and (looked or record.action in _UNTOLD):
        return None
    result = "" if record.result == "ok" else f" ({record.result})"
    to = f"/traces/{record.trace_id}" if record.trace_id else "/audit"
    return Change(record.at, "done", record.action + result, record.what, record.who, to)


def _episode(episode: Episode) -> Iterator[Change]:
    yield Change(episode.started_at, "health", f"{episode.check} became {episode.status}", episode.text, to="/health")
    if episode.ended_at is not None:
        yield Change(episode.ended_at, "health", f"{episode.check} is healthy again", to="/health")


def _signal(signal: Signal) -> Change | None:
    if signal.kind in _TOLD_OTHERWISE:
        return None
    return Change(signal.at, "signal", signal.title, signal.text, signal.source, "/signals")


def _error(group: Group) -> Change:
    title = f"New error: {group.type}" + (f" in {group.command}" if group.command else "")
    return Change(group.first_at, "error", title, group.template, to=f"/errors/{group.group_id}")
