"""``socbot check`` and ``socbot commands``: what a configuration makes, and what there is."""

import tempfile
from pathlib import Path
from typing import Literal

import anyio
import msgspec
from msgspec import Struct

from socbot.bot import COMMANDS, Bot
from socbot.config import DiscordConfig, Loaded
from socbot.dispatch.commands import Command
from socbot.dispatch.replies import printable
from socbot.exit_codes import EXIT_OK
from socbot.remarks import on_dashboard, on_discord, on_privacy


class Place(Struct, frozen=True):
    """One middleware in the chain."""

    name: str
    kind: str
    mode: str


class Planned(Struct, frozen=True):
    """One job."""

    name: str
    schedule: str
    description: str
    scope: str


class Report(Struct, frozen=True):
    """What a configuration makes."""

    chain: tuple[Place, ...]
    jobs: tuple[Planned, ...]
    commands: int
    transport: str
    dashboard: str
    warnings: tuple[str, ...]


def check(loaded: Loaded, *, as_json: bool) -> int:
    """Build everything that ``loaded`` describes on a scratch store, and print it.

    :raises ConfigError: if it cannot be built
    """
    with tempfile.TemporaryDirectory(prefix="socbot-check-") as scratch:
        storage = msgspec.structs.replace(loaded.config.storage, url=f"sqlite:///{Path(scratch, 'check.db')}")
        config = msgspec.structs.replace(loaded.config, storage=storage)
        report = anyio.run(_report, msgspec.structs.replace(loaded, config=config))
    found = (*on_discord(loaded), *on_dashboard(loaded), *on_privacy(loaded))
    remarks = tuple(remark.text for remark in found if remark.level != "ok")
    report = msgspec.structs.replace(report, warnings=report.warnings + remarks)
    if as_json:
        print(msgspec.json.encode(report).decode())
        return EXIT_OK
    print(f"{loaded.path or 'no config.yaml: the defaults'}: usable")
    print("chain:")
    for position, place in enumerate(report.chain, 1):
        print(f"  {position}. {place.name} ({place.kind}, {place.mode})")
    print("jobs:")
    for job in report.jobs:
        where = " (once for all processes on one PostgreSQL)" if job.scope == "fleet" else ""
        print(f"  {job.name}: {job.schedule} – {job.description}{where}")
    print(f"commands: {report.commands}")
    print(f"transport: {report.transport}")
    print(f"dashboard: {report.dashboard.removeprefix('the dashboard ')}")
    for warning in report.warnings:
        print(f"warning: {printable(warning)}")
    return EXIT_OK


async def _report(loaded: Loaded) -> Report:
    async with Bot(loaded, jobs=False) as bot:
        warnings = [finding.text for finding in bot.pipeline.findings]
        if not bot.config.bot.owners:
            warnings.append("bot.owners is empty and BOT_OWNER_ID is not set: nobody on a platform is the owner")
        return Report(
            tuple(Place(layer.name, layer.placement.kind, layer.mode) for layer in bot.pipeline.layers),
            tuple(Planned(job.name, str(job.schedule), job.description, job.scope) for job in bot.jobs()),
            len(bot.dispatcher.registry),
            _transport(bot.config.discord),
            next(remark.text for remark in on_dashboard(loaded)),
            tuple(warnings),
        )


def _transport(config: DiscordConfig) -> str:
    """Where `socbot run` would run it."""
    if not config.token:
        return "the console, because there is no token for Discord"
    place = f"in {len(config.guilds)} guilds" if config.guilds else "everywhere"
    return f"Discord, shards {config.shards}, {f'slash commands {place}' if config.slash else 'no slash commands'}"


def list_commands(form: Literal["json", "markdown", "text"]) -> int:
    """Print every built-in command."""
    if form == "json":
        print(msgspec.json.format(msgspec.json.encode([_described(each) for each in COMMANDS])).decode())
    elif form == "markdown":
        print(markdown())
    else:
        for each in COMMANDS:
            print(f"{each.permission:<6} !{each.usage}\n       {each.description}")
    return EXIT_OK


def _described(each: Command) -> dict[str, object]:
    return {
        "name": each.name,
        "aliases": each.aliases,
        "group": each.group,
        "permission": each.permission,
        "private": each.private,
        "usage": each.usage,
        "description": each.description,
        "parameters": [
            {
                "name": parameter.name,
                "kind": parameter.kind,
                "expected": parameter.expected,
                "required": parameter.required,
                "choices": parameter.choices,
            }
            for parameter in each.parameters
        ],
    }


def markdown() -> str:
    """Every built-in command as tables, a table for each system."""
    groups: dict[str, list[Command]] = {}
    for each in COMMANDS:
        groups.setdefault(each.group, []).append(each)
    parts = ["# Commands\n\nPrinted by `socbot commands --markdown`."]
    for group, commands in groups.items():
        rows = "\n".join(
            f"| `{_cell(each.usage)}` | {each.permission} | {_cell(each.description)} |" for each in commands
        )
        parts.append(f"## {group}\n\n| command | who | does |\n|--|--|--|\n{rows}")
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
