"""The bot's own commands, from help to restart."""

import platform
import sys
from typing import Annotated, Literal

from socbot.config import key_type
from socbot.dispatch.arguments import Completes, Duration, Rest
from socbot.dispatch.commands import Command, command
from socbot.dispatch.context import Confirm, Context
from socbot.dispatch.dispatcher import Dispatcher
from socbot.dispatch.errors import InvalidArgument
from socbot.dispatch.replies import Field, Reply, escape
from socbot.exit_codes import EXIT_OK, EXIT_RESTART
from socbot.handlers.settings import origin
from socbot.redaction import redact
from socbot.systems.lifecycle import Lifecycle
from socbot.systems.settings import Settings, shown
from socbot.systems.vitals import Reading, Vitals
from socbot.version import VERSION


@command("help", permission="public", group="bot", aliases=("helpme",))
async def help_(ctx: Context, dispatcher: Dispatcher, topic: Annotated[Rest, Completes("topic")] = "") -> Reply:
    """What you may use; `help COMMAND` or `help SYSTEM` tells more."""
    allowed = [each for each in dispatcher.registry if _may_use(ctx, each)]
    if not topic:
        return _overview(ctx, allowed)
    name = topic.strip().lower().removeprefix(ctx.prefix)
    found = dispatcher.registry.get(name)
    family = [each for each in allowed if each.name.startswith(f"{name} ")]
    if found is not None and found in allowed and not family:
        return _explained(ctx, found)
    group = family or [each for each in allowed if each.group == name]
    if group:
        return Reply(title=name, items=tuple(_line(ctx, each) for each in group))
    near = ", ".join(dispatcher.registry.nearest(name))
    raise InvalidArgument(
        "topic", topic, "a command or a system that you may use" + (f"; near: {near}" if near else "")
    )


def _may_use(ctx: Context, each: Command) -> bool:
    return each.permission == "public" or ctx.is_owner or (each.permission == "admin" and ctx.is_admin)


def _overview(ctx: Context, allowed: list[Command]) -> Reply:
    groups: dict[str, list[str]] = {}
    for each in allowed:
        groups.setdefault(each.group or "other", []).append(each.name)
    fields = tuple(Field(group, ", ".join(names), inline=False) for group, names in groups.items())
    return Reply(f"`{ctx.prefix}help COMMAND` tells more about one.", title="What you may use", fields=fields)


def _explained(ctx: Context, each: Command) -> Reply:
    fields = [Field("usage", f"`{ctx.prefix}{each.usage}`", inline=False)]
    fields += [Field(p.name, p.expected + ("" if p.required else " (optional)"), inline=False) for p in each.parameters]
    fields.append(Field("example", f"`{ctx.prefix}{each.example}`", inline=False))
    if each.aliases:
        fields.append(Field("also", ", ".join(each.aliases)))
    who = {"owner": "the owner", "admin": "the owner, and administrators in their guild", "public": "everybody"}
    fields.append(Field("who", who[each.permission]))
    return Reply(f"{each.description}\n{each.help}".strip(), title=ctx.prefix + each.name, fields=tuple(fields))


def _line(ctx: Context, each: Command) -> str:
    return f"`{ctx.prefix}{each.usage}` – {each.description}"


@command("ping", permission="public", group="bot")
async def ping(ctx: Context, vitals: Vitals) -> Reply:
    """Whether the bot answers, and how fast."""
    chain = f"chain {vitals.since(ctx.trace.times[0]) * 1e6:.0f} µs" if ctx.trace.stages else "no chain"
    latency = vitals.transport_latency(ctx.message.platform)
    transport = f"transport {latency * 1000:.0f} ms, " if latency is not None else ""
    return Reply(f"Pong! {transport}{chain}.")


@command("uptime", permission="public", group="bot")
async def uptime(ctx: Context, lifecycle: Lifecycle) -> Reply:
    """How long the bot has been running."""
    return Reply(f"Up for {Duration(round(lifecycle.uptime) or 1)}.")


@command("about", permission="public", group="bot")
async def about(ctx: Context, settings: Settings) -> Reply:
    """What this bot is."""
    return Reply(
        "socbot, the operations layer for chat bots: commands flow through a chain of middleware that its operator "
        "arranges in config.yaml.",
        title=settings.config.bot.name,
        fields=(
            Field("version", VERSION),
            Field("transport", ctx.message.platform),
            Field("docs", "README.md and docs/ of the project"),
        ),
    )


@command("bot_stats", permission="owner", group="bot", aliases=("stats",))
async def bot_stats(ctx: Context, dispatcher: Dispatcher, lifecycle: Lifecycle, vitals: Vitals) -> Reply:
    """Uptime, load and versions."""
    now, latency = vitals.read(), vitals.transport_latency(ctx.message.platform)
    fields = [
        Field("uptime", str(Duration(round(lifecycle.uptime) or 1))),
        Field("latency", "not measured" if latency is None else f"{latency * 1000:.0f} ms"),
        Field("commands", str(len(dispatcher.registry))),
        Field("middleware", str(len(dispatcher.chain.stages))),
        Field("running now", f"{dispatcher.running} of {dispatcher.max_running}"),
        Field("memory", f"{now.memory / 1e6:.0f} MB"),
        Field("CPU", f"{now.cpu:.0f} % of one core"),
        Field("event loop", _loop(now)),
        Field("telemetry", f"{now.telemetry_waiting} waiting, {now.telemetry_dropped} dropped"),
        Field("guilds and users", now.communities),
        Field("store", now.store),
        Field("versions", f"socbot {VERSION}, Python {platform.python_version()}, {sys.platform}"),
    ]
    return Reply(title="Bot statistics", fields=tuple(fields))


def _loop(now: Reading) -> str:
    if now.loop_lag is None:
        return "not measured"
    return f"{now.loop_lag * 1000:.1f} ms late when last seen, {now.stalls} stalls"


@command("config", permission="owner", group="bot", private=True)
async def config(ctx: Context, settings: Settings, key: Annotated[str, Completes("setting")] = "") -> Reply:
    """The effective configuration and where each value comes from; secrets are masked."""
    if not key:
        sections = settings.config.__struct_fields__
        return Reply(f"Sections: {', '.join(sections)}. `{ctx.prefix}config SECTION` shows one.", title="Configuration")
    if key in settings.config.__struct_fields__:
        lines = tuple(_setting_line(settings, each.key) for each in settings.view(key))
        return Reply(title=key, items=lines)
    if key_type(key) is None:
        raise InvalidArgument("key", key, "a section or a key of config.yaml")
    return Reply(_setting_line(settings, key))


def _setting_line(settings: Settings, key: str) -> str:
    setting = settings.get(key)
    return f"{key} = {escape(redact(shown(setting.key, setting.value)), 300)}  ({origin(setting)})"


@command("maintenance", permission="owner", group="bot")
async def maintenance(
    ctx: Context, settings: Settings, state: Literal["on", "off"] | None = None, message: Rest = ""
) -> Reply:
    """While it is on, everybody but the owner gets the message instead of an answer."""
    if state is None:
        told = settings.maintenance
        return Reply("Maintenance is off." if told is None else f"Maintenance is on: {escape(told, 500)}")
    by = ctx.message.author.name or ctx.message.author.id
    if state == "off":
        await settings.set_maintenance(None, by)
        return Reply.ok("Maintenance is off.")
    text = message[:500] or "The bot is being worked on. Please try again later."
    await settings.set_maintenance(text, by)
    return Reply.ok(f"Maintenance is on. Everybody else is told: {escape(text, 500)}")


@command("shutdown", permission="owner", group="bot", aliases=("stop", "halt"))
async def shutdown(ctx: Context, lifecycle: Lifecycle) -> Confirm:
    """Let running commands end, write everything down, and exit."""

    async def stop(ctx: Context) -> Reply:
        lifecycle.stop(EXIT_OK)
        return Reply("Goodbye.")

    return Confirm("Shut the bot down?", stop)


@command("restart", permission="owner", group="bot", aliases=("reboot",))
async def restart(ctx: Context, lifecycle: Lifecycle) -> Confirm:
    """The same as shutdown, and then the bot starts anew."""

    async def stop(ctx: Context) -> Reply:
        lifecycle.stop(EXIT_RESTART)
        return Reply("Restarting.")

    return Confirm("Restart the bot?", stop)


COMMANDS = (help_, ping, uptime, about, bot_stats, config, maintenance, shutdown, restart)
