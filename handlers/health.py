"""Commands about how the bot itself is."""

from collections.abc import Iterable
from datetime import datetime, tzinfo
from typing import Annotated

from msgspec import Meta

from socbot.dispatch.arguments import Duration
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.replies import Chart, Field, Reply, Tone, escape, moment
from socbot.handlers.settings import config_command
from socbot.systems.health import SIGNS, Episode, Health, History, Probe, Result, Round, Status
from socbot.systems.lifecycle import Lifecycle
from socbot.systems.links import Links

_TONES: dict[Status, Tone] = {"healthy": "ok", "unknown": "warn", "degraded": "warn", "unhealthy": "error"}
_MOST_BARS = 48


@command("health", permission="public", group="health")
async def health(ctx: Context, health: Health, lifecycle: Lifecycle, links: Links) -> Reply:
    """How the bot is: its uptime, and what each check found.

    The owner gets a fresh look at everything, everybody else what was seen last.
    """
    round = await health.ask() if ctx.is_owner else health.last
    uptime = f"Up for {Duration(round_up(lifecycle.uptime))}."
    if round is None:
        return Reply(f"{uptime} Nothing has been checked yet.", "Health: unknown", tone="warn")
    return Reply(
        f"{uptime} Checked {_age(ctx.trace.at - round.at)}.",
        f"{SIGNS[round.status]} Health: {round.status}",
        (*_probes(health), *links.field("health")) if ctx.is_owner else (),
        tuple(_line(result, ctx.trace.at - round.at, whole=ctx.is_owner) for result in round.results),
        _TONES[round.status],
    )


@command("health_history", permission="owner", group="health")
async def health_history(
    ctx: Context, health: Health, hours: Annotated[int, Meta(ge=1, le=87_600, description="how far back")] = 24
) -> Reply:
    """What was checked in the last hours, how often it was well, and each time of trouble."""
    history = await health.history(hours)
    title = f"Health of the last {Duration(hours * 3600)}"
    if not history.rounds and not history.episodes:
        return Reply("Nothing was checked in that time.", title)
    return Reply(
        title=title,
        fields=_sums(history),
        items=tuple(_episode(episode) for episode in history.episodes) or ("No incidents.",),
        chart=_chart(history.rounds, ctx.trace.at, hours, health.zone) if history.rounds else None,
    )


def round_up(seconds: float) -> int:
    return max(1, round(seconds))


def _probes(health: Health) -> tuple[Field, ...]:
    return (Field("Live", _answer(health.live)), Field("Ready", _answer(health.ready)))


def _answer(probe: Probe) -> str:
    return "yes" if probe.ok else "no: " + escape("; ".join(probe.reasons), 500)


def _line(result: Result, age: float, *, whole: bool) -> str:
    parts = [f"{SIGNS[result.status]} **{escape(result.name, 60)}**: {result.status}"]
    if result.figure is not None and (whole or result.public):
        parts.append(figure(result.figure, result.unit))
    if whole and result.text:
        parts.append(escape(result.text, 400))
    if whole and result.settled not in (None, result.status):
        votes, needed = result.agreeing
        parts.append(f"counts as {result.settled} until {needed} rounds agree ({votes} do)")
    parts.append(_age(age))
    return ", ".join(parts)


def figure(value: float, unit: str) -> str:
    """``value`` with its unit, as precise as anybody reads it."""
    written = f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.1f}"
    return f"{written} {unit}".rstrip()


def _age(seconds: float) -> str:
    return "just now" if seconds < 1 else f"{Duration(round(seconds) or 1)} ago"


def _sums(history: History) -> tuple[Field, ...]:
    count = len(history.rounds)
    rate = f"{history.healthy / count:.1%}" if count else "no rounds"
    failures = "\n".join(f"{escape(name, 60)}: {failed} of {count}" for name, failed in history.failures.items())
    return (
        Field("Rounds", str(count)),
        Field("Not healthy", str(count - history.healthy)),
        Field("Success rate", rate),
        Field("Incidents", str(len(history.episodes))),
        Field("Failures", failures or "none", inline=False),
    )


def _episode(episode: Episode) -> str:
    name = f"{SIGNS[episode.status]} **{escape(episode.check, 60)}** {episode.status}"
    told = f": {escape(episode.text, 200)}" if episode.text else ""
    if episode.ended_at is None:
        return f"{name} since {moment(episode.started_at)}{told}"
    lasted = Duration(round_up(episode.ended_at - episode.started_at))
    return f"{name} from {moment(episode.started_at)} to {moment(episode.ended_at)} ({lasted}){told}"


def _chart(rounds: Iterable[Round], now: float, hours: int, zone: tzinfo) -> Chart:
    """How many of the rounds found nothing, by parts of the time that are alike."""
    step = -(-hours // _MOST_BARS) * 3600
    bars = -(-hours * 3600 // step)
    first = (now // step - bars + 1) * step
    good, all_of_them = [0] * bars, [0] * bars
    for round in rounds:
        place = int((round.at - first) // step)
        if 0 <= place < bars:
            all_of_them[place] += 1
            good[place] += round.status == "healthy"
    shares = tuple(100.0 * well / count if count else 0.0 for well, count in zip(good, all_of_them, strict=True))
    labels = tuple(f"{datetime.fromtimestamp(first + step * bar, zone):%m-%d %H:%M}" for bar in range(bars))
    return Chart("bar", labels, {"healthy": shares}, "% of rounds")


COMMANDS = (health, health_history, config_command("health_config", "health"))
