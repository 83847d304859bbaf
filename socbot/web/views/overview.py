"""The overview: whether all is well, what wants somebody, and what changed in the last day."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from socbot.dispatch.replies import Chart
from socbot.systems.analytics import CommandTally, Tally
from socbot.systems.backup.errors import BackupError
from socbot.systems.health import Probe, Status
from socbot.version import VERSION
from socbot.web.changes import Change, changes
from socbot.web.host import Host
from socbot.web.troubles import Trouble, troubles
from socbot.web.view import View, Viewer

_DAY: Final = 86_400.0
_MOST_CHANGES: Final = 25
_MOST_COMMANDS: Final = 8


class Query(Struct, frozen=True):
    """Nothing can be asked for."""


class Platform(Struct, frozen=True):
    """A platform that the bot is on; ``latency`` in seconds, None where it is not known."""

    name: str
    connected: bool
    latency: float | None


class Overview(Struct, frozen=True):
    """Whether all is well, what wants somebody, and what changed in the last day.

    :param uptime: seconds
    :param health: the worst of what health found when it looked, at ``checked_at``
    :param day: the commands of the last 24 hours; ``day_before`` those of the 24 hours before
    :param hours: the same by the hour, each with its beginning
    :param commands: those used most in the last 24 hours
    :param p50: seconds that half of the commands of the last 24 hours took at most; ``p95`` 95 of 100
    :param people: how many different people gave them, where it is known
    :param backlog: deliveries that wait
    :param backup_at: when the last good backup was made
    """

    name: str
    version: str
    uptime: float
    live: Probe
    ready: Probe
    health: Status
    checked_at: float | None
    platforms: tuple[Platform, ...]
    day: Tally
    day_before: Tally
    hours: tuple[tuple[float, Tally], ...]
    commands: tuple[CommandTally, ...]
    p50: float | None
    p95: float | None
    people: int | None
    running: int
    blacklisted: int
    jobs: int
    jobs_failed: int
    backlog: int
    backup_at: float | None
    troubles: tuple[Trouble, ...]
    changes: tuple[Change, ...]


async def read(host: Host, query: Query, viewer: Viewer) -> Overview:
    now = host.clock.time()
    summary = await host.analytics.summary(now - _DAY, now)
    before = await host.analytics.summary(now - 2 * _DAY, now - _DAY)
    cost = await host.profiler.whole(now - _DAY, now)
    round, jobs = host.health.last, host.supervisor.status()
    return Overview(
        host.config.bot.name,
        VERSION,
        host.lifecycle.uptime,
        host.health.live,
        host.health.ready,
        round.status if round is not None else "unknown",
        round.at if round is not None else None,
        tuple(_platform(host, name) for name in host.vitals.platforms),
        summary.tally,
        before.tally,
        summary.by_step,
        summary.by_command[:_MOST_COMMANDS],
        cost.p50 if cost is not None else None,
        cost.p95 if cost is not None else None,
        summary.people,
        host.dispatcher.running,
        host.blacklist.count("user") + host.blacklist.count("guild"),
        len(jobs),
        sum(job.state == "failed" for job in jobs),
        host.webhooks.backlog,
        await _last_backup(host),
        await troubles(host, now - _DAY),
        await changes(host, now - _DAY, _MOST_CHANGES),
    )


def _platform(host: Host, name: str) -> Platform:
    lost = [seconds for seconds in host.vitals.links(name) if seconds]
    return Platform(name, not lost, host.vitals.transport_latency(name))


async def _last_backup(host: Host) -> float | None:
    try:
        status = await host.backups.status()
    except BackupError:  # which the troubles tell of
        return None
    return max((each.backup.made_at for each in status.last.values() if each is not None), default=None)


def shape(it: Overview, query: Query, viewer: Viewer) -> Mapping[str, Any]:
    """The day as a chart, in the viewer's zone, and how today compares with yesterday."""
    labels = tuple(f"{datetime.fromtimestamp(at, viewer.zone):%H:%M}" for at, _ in it.hours)
    series = {
        "ok": tuple(float(tally.ok) for _, tally in it.hours),
        "refused": tuple(float(tally.refused) for _, tally in it.hours),
        "failed": tuple(float(tally.failed) for _, tally in it.hours),
    }
    before = it.day_before.commands
    return {
        "chart": Chart("bar", labels, series, "commands an hour"),
        "growth": (it.day.commands - before) / before if before else None,
    }


VIEWS = (View("/", "Overview", Query, Overview, read, "overview.html", shape=shape),)
