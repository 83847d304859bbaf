"""Troubles: what wants somebody, from every system, the worst first."""

from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from socbot.systems.health import Episode
from socbot.web.host import Host

Tone: TypeAlias = Literal["bad", "warn"]

_NEW_ERRORS: Final = 5
_LATE: Final = 1.5  # intervals without a good backup, as the owner is told of them too


class Trouble(Struct, frozen=True):
    """Something that wants somebody.

    :param to: the page that tells more
    """

    tone: Tone
    text: str
    to: str


async def troubles(host: Host, since: float) -> tuple[Trouble, ...]:
    """All there are now; of errors those that first came after ``since``."""
    found = [
        *_serving(host),
        *map(_episode, host.health.lasting),
        *await _incidents(host),
        *await _errors(host, since),
        *_jobs(host),
        *_webhooks(host),
        *_backups(host),
        *_chain(host),
        *(Trouble("warn", problem, "/settings") for problem in host.settings.problems),
    ]
    return tuple(sorted(found, key=lambda each: each.tone != "bad"))


def _serving(host: Host) -> Iterator[Trouble]:
    for reason in host.health.ready.reasons:
        yield Trouble("bad", f"Not ready: {reason}", "/health")
    if host.settings.maintenance is not None:
        yield Trouble("warn", "Maintenance: only the owner's commands are taken", "/settings")
    if host.telemetry.failure is not None:
        yield Trouble("bad", "Telemetry cannot be stored; figures lag behind", "/health")


def _episode(episode: Episode) -> Trouble:
    tone: Tone = "bad" if episode.status == "unhealthy" else "warn"
    told = f": {episode.text}" if episode.text else ""
    return Trouble(tone, f"{episode.check} is {episode.status}{told}", "/health")


async def _incidents(host: Host) -> list[Trouble]:
    open_ones = await host.incidents.newest("incident", "open", limit=5)
    return [Trouble("bad", f"Incident {each.id} is open: {each.title}", f"/incidents/{each.id}") for each in open_ones]


async def _errors(host: Host, since: float) -> list[Trouble]:
    new = [group for group in await host.errors.groups(since) if group.first_at >= since and group.state == "open"]
    return [
        Trouble(
            "bad" if group.severity == "critical" else "warn",
            f"New error: {group.type} in {group.command or 'the bot'}, {group.count} times",
            f"/errors/{group.group_id}",
        )
        for group in new[:_NEW_ERRORS]
    ]


def _jobs(host: Host) -> Iterator[Trouble]:
    for job in host.supervisor.status():
        if job.state == "failed":
            yield Trouble("bad", f"Job {job.name} has failed", f"/jobs/{job.name}")
        elif job.state == "backing off":
            yield Trouble("warn", f"Job {job.name} crashed and is about to be tried again", f"/jobs/{job.name}")


def _webhooks(host: Host) -> Iterator[Trouble]:
    counts = host.webhooks.stats().each
    for webhook in host.webhooks.all():
        to = f"/webhooks/{webhook.name}"
        if webhook.state == "paused":
            yield Trouble("bad", f"Webhook {webhook.name} is paused: {webhook.state_reason}", to)
        if dead := counts[webhook.name].dead if webhook.name in counts else 0:
            yield Trouble("warn", f"Webhook {webhook.name}: {dead} could not be delivered", to)


def _backups(host: Host) -> Iterator[Trouble]:
    age = host.backups.age_intervals
    if host.backups.config.enabled and age is not None and age >= _LATE:
        yield Trouble("bad", f"The last good backup is {age:.1f} intervals of the schedule old", "/backups")


def _chain(host: Host) -> Iterator[Trouble]:
    for layer in host.pipeline.layers:
        if layer.placement.kind == "guard" and layer.mode == "off":
            yield Trouble("bad", f"{layer.name} is switched off", "/chain")
    for finding in host.pipeline.findings:
        if not finding.chosen:
            yield Trouble("warn", finding.text, "/chain")
