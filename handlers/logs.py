"""The log's commands."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from socbot.dispatch.arguments import Completes, Rest
from socbot.dispatch.commands import command
from socbot.dispatch.context import Confirm, Context
from socbot.dispatch.errors import InvalidArgument
from socbot.dispatch.replies import Chart, Field, File, Reply, escape, moment
from socbot.handlers.settings import config_command
from socbot.systems.links import Links
from socbot.systems.log_templates import Burst, Template
from socbot.systems.logs import EXPORT_LIMIT, LEVELS, Logs, Statistics
from socbot.systems.settings import Setting, Settings, shown

_SHOWN = 400
_MEBIBYTE = 1024 * 1024

LoggerName = Annotated[str, Completes("logger"), Meta(description="a logger, or the level of all", max_length=100)]


@command("view_logs", permission="owner", group="logs", private=True)
async def view_logs(ctx: Context, logs: Logs, links: Links, lines: Annotated[int, Meta(ge=1, le=500)] = 50) -> Reply:
    """The last lines of the log, the newest last."""
    last = await logs.last(lines)
    text, title = "" if last else "The log is empty.", f"The last {_lines(len(last))}"
    return Reply(text, title, links.field("logs"), tuple(map(_line, last)))


@command("search_logs", permission="owner", group="logs", private=True)
async def search_logs(ctx: Context, logs: Logs, query: Rest) -> Reply:
    """The lines that have a text in them, the newest first, over the rotated files too.

    Upper and lower case are alike. `/…/` is a regular expression, which is given up when it is slow.
    """
    found = await logs.search(query)
    text = f"{_lines(found.total)} with `{escape(query, 100)}`"
    if found.total > len(found.lines):
        text += f", the newest {len(found.lines)} of which are shown"
    if found.given_up:
        text += f". Only the newest {_lines(found.looked_at)} were looked at: {found.given_up}"
    items = tuple(map(_line, found.lines))
    return Reply(f"{text}.", "Log search", items=items, tone="warn" if found.given_up else "info")


@command("export_logs", permission="owner", group="logs", private=True, timeout=120.0)
async def export_logs(ctx: Context, logs: Logs) -> Reply:
    """The log with its copies as one file, compressed where it would not fit."""
    packed = await logs.export()
    text = _lines(packed.lines)
    if not packed.whole:
        text = f"The newest {text}; older ones do not fit into {EXPORT_LIMIT // _MEBIBYTE} MiB"
    name = f"bot_{datetime.fromtimestamp(ctx.trace.at, logs.zone):%Y%m%d_%H%M%S}.log"
    return Reply(f"{text}.", files=(File(f"{name}.gz" if packed.compressed else name, packed.content),))


@command("clear_logs", permission="owner", group="logs")
async def clear_logs(ctx: Context, logs: Logs) -> Confirm:
    """Let the log begin anew; what was in it is kept under another name."""
    logs.check()

    async def clear(ctx: Context) -> Reply:
        kept = await logs.clear()
        if not kept:
            return Reply("There was nothing to clear.")
        names = ", ".join(f"`{escape(name, 100)}`" for name in kept)
        return Reply.ok(f"The log begins anew. What was in it is kept beside it as {names}.")

    return Confirm("Let the log begin anew? What is in it is kept beside it under another name.", clear)


@command("log_level", permission="owner", group="logs")
async def log_level(ctx: Context, logs: Logs, settings: Settings, logger: LoggerName = "", level: str = "") -> Reply:
    """How much is logged, by all or by one logger; changes it at once and keeps it.

    `log_level DEBUG` is for all, `log_level httpx WARNING` for one and what is below it, `log_level httpx default`
    lets that one follow the others again.
    """
    if not logger and not level:
        return _levels(settings)
    if not level and logger.upper() in LEVELS:
        logger, level = "", logger
    wanted = level.upper()
    if wanted not in LEVELS and not (logger and wanted == "DEFAULT"):
        raise InvalidArgument("level", level or logger, f"one of {', '.join(LEVELS)}")
    if not logger:
        return _changed(logs, *await settings.set("logs.level", wanted, _by(ctx)))
    return await _set_one(logs, settings, logger, wanted, _by(ctx))


@command("set_log_size", permission="owner", group="logs")
async def set_log_size(
    ctx: Context, logs: Logs, settings: Settings, megabytes: Annotated[int, Meta(ge=1, le=100)]
) -> Reply:
    """How large the log gets before it is put aside as a copy."""
    return _changed(logs, *await settings.set("logs.max_megabytes", str(megabytes), _by(ctx)))


@command("set_log_backups", permission="owner", group="logs")
async def set_log_backups(
    ctx: Context, logs: Logs, settings: Settings, count: Annotated[int, Meta(ge=1, le=20)]
) -> Reply:
    """How many former logs are kept; those beyond go when the next one is put aside."""
    return _changed(logs, *await settings.set("logs.copies", str(count), _by(ctx)))


@command("log_stats", permission="owner", group="logs", private=True, timeout=120.0)
async def log_stats(ctx: Context, logs: Logs, links: Links) -> Reply:
    """Lines by level and hour, the size on disk, and what the log says most, newly, and suddenly often."""
    found = await logs.statistics()
    counts = found.counts
    partly = "" if counts.whole else ", of which the newest part was counted"
    return Reply(
        title="Log statistics",
        fields=(
            Field("By level", "\n".join(f"{escape(name, 20)}: {count}" for name, count in _ordered(counts.by_level))),
            Field("On disk", f"{counts.size / _MEBIBYTE:.1f} MiB in {counts.files} files{partly}"),
            Field("Lost", f"{_lines(found.lost)} since the start"),
            *links.field("logs"),
        ),
        items=tuple(_templates(found)),
        chart=_chart(counts.by_hour),
    )


async def _set_one(logs: Logs, settings: Settings, logger: str, level: str, by: str) -> Reply:
    if not all(part.isidentifier() or part.replace("-", "_").isidentifier() for part in logger.split(".")):
        raise InvalidArgument("logger", logger, "the name of a logger, such as `discord.gateway`")
    levels: dict[str, str] = dict(settings.config.logs.loggers)
    before = levels.pop(logger, "as the others")
    if level != "DEFAULT":
        levels[logger] = level
    await settings.set("logs.loggers", msgspec.json.encode(levels).decode(), by)
    after = levels.get(logger, "as the others")
    return Reply.ok(f"`{escape(logger, 100)}`: {before} → {after}{_idle(logs)}")


def _levels(settings: Settings) -> Reply:
    logs = settings.config.logs
    ones = tuple(f"`{escape(name, 100)}`: {level}" for name, level in sorted(logs.loggers.items()))
    return Reply(f"All: {logs.level}", "Log levels", items=ones)


def _changed(logs: Logs, before: Setting, after: Setting) -> Reply:
    text = f"{after.key}: {shown(before.key, before.value)} → {shown(after.key, after.value)}"
    return Reply.ok(text + _idle(logs))


def _idle(logs: Logs) -> str:
    return "" if logs.is_written else "\nThere is no log file here; it is kept for when `socbot run` writes one."


def _by(ctx: Context) -> str:
    return ctx.message.author.name or ctx.message.author.id


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"


def _line(line: str) -> str:
    """A line of the log, in which nothing is a link, a mention or a mark of any kind."""
    return f"`{escape(line, _SHOWN)}`"


def _ordered(by_level: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(by_level.items(), key=lambda each: LEVELS.index(each[0]) if each[0] in LEVELS else len(LEVELS))


def _templates(found: Statistics) -> list[str]:
    said = found.said
    lines = ["**most frequent**" + ("" if said.commonest else ": none")]
    lines += [_template(each) for each in said.commonest]
    lines.append("**new in 24 h**" + ("" if said.new else ": none"))
    lines += [f"{_template(each)}, first {moment(each.first_at)}" for each in said.new]
    lines.append("**suddenly often**" + ("" if said.bursting else ": none"))
    lines += [_burst(each) for each in said.bursting]
    if found.unheard:
        lines.append(f"{_lines(found.unheard)} came too fast to be counted here.")
    return lines


def _template(template: Template) -> str:
    return f"{template.count} times `{escape(template.text, 160)}`"


def _burst(burst: Burst) -> str:
    return f"{burst.count} times in 5 min, usually {burst.usual:.1f}: `{escape(burst.template.text, 160)}`"


def _chart(by_hour: dict[str, int]) -> Chart | None:
    hours = [(hour, count) for hour, count in by_hour.items() if hour][-24:]
    if not hours:
        return None
    labels, values = tuple(f"{hour[5:]}:00" for hour, _ in hours), tuple(float(count) for _, count in hours)
    return Chart("bar", labels, {"lines": values}, "lines")


COMMANDS = (
    view_logs,
    log_level,
    export_logs,
    search_logs,
    clear_logs,
    config_command("log_config", "logs"),
    set_log_size,
    set_log_backups,
    log_stats,
)
