"""The log: its last lines, as they are wanted, and what it says again and again."""

import logging
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, structs

from socbot.dispatch.errors import UserError
from socbot.logs.entries import Entry, Wanted, entry_of
from socbot.systems.log_templates import Template
from socbot.systems.logs import NoLogFile
from socbot.web.host import Host
from socbot.web.view import View, Viewer

LONGEST = 4_000
"""Characters of a message, and of what follows it."""

MOST_SHOWN = 160_000
"""Characters of all lines together."""

Level: TypeAlias = Literal["", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


class Query(Struct, frozen=True):
    """Which lines.

    :param level: the least
    :param logger: its name; those below it too
    :param text: a part of the line, in any case
    :param lines: how many, at most
    """

    level: Level = ""
    logger: Annotated[str, Meta(max_length=100)] = ""
    text: Annotated[str, Meta(max_length=200)] = ""
    lines: Annotated[int, Meta(ge=1, le=1_000)] = 200

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.level, self.logger.strip(), self.text.strip())


class TemplateFacts(Struct, frozen=True):
    """Something that the log says, with ``#`` in place of what differs. Moments are seconds since 1970.

    :param recent: times within the last five minutes; None where that was not asked
    :param usual: times within five minutes, usually; None where that was not asked
    """

    text: str
    count: int
    first_at: float
    last_at: float
    recent: int | None = None
    usual: float | None = None


class LevelFacts(Struct, frozen=True):
    """A logger that has a level of its own, and who gave it that: config.yaml and the settings, or its own code."""

    logger: str
    level: str
    configured: bool


class Logs(Struct, frozen=True):
    """The last lines of the log, what it says again and again, and how much each logger says.

    :param problem: why there are no lines to be seen; empty if there are
    :param entries: oldest first
    :param looked_at: lines that were gone through for them
    :param given_up: why older lines were not; empty if all were, or enough were found
    :param lost: lines that were never written since the start
    :param level: of all loggers that have none of their own
    """

    problem: str
    entries: tuple[Entry, ...]
    looked_at: int
    given_up: str
    lost: int
    level: str
    levels: tuple[LevelFacts, ...]
    commonest: tuple[TemplateFacts, ...] = ()
    new: tuple[TemplateFacts, ...] = ()
    bursting: tuple[TemplateFacts, ...] = ()


async def read(host: Host, query: Query, viewer: Viewer) -> Logs:
    logs, config = host.logs, host.config.logs
    try:
        found = await logs.listed(query.wanted, query.lines)
        said = await logs.said()
    except NoLogFile as error:
        return Logs(str(error), (), 0, "", 0, config.level, _levels(host))
    except UserError as error:  # its disk, mostly
        return Logs(str(error), (), 0, "", logs.lost, config.level, _levels(host))
    return Logs(
        "",
        _fitting([short(entry_of(line)) for line in found.lines]),
        found.looked_at,
        found.given_up,
        logs.lost,
        config.level,
        _levels(host),
        tuple(map(_template, said.commonest)),
        tuple(map(_template, said.new)),
        tuple(
            structs.replace(_template(each.template), recent=each.count, usual=each.usual) for each in said.bursting
        ),
    )  # fmt: skip


def short(entry: Entry) -> Entry:
    """``entry``, cut to what is shown of it."""
    return structs.replace(entry, message=_cut(entry.message), more=_cut(entry.more))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _fitting(newest_first: list[Entry]) -> tuple[Entry, ...]:
    """So many of the newest as one page can hold, oldest first."""
    shown: list[Entry] = []
    size = 0
    for entry in newest_first:
        size += len(entry.message) + len(entry.more) + 200
        if size > MOST_SHOWN and shown:
            break
        shown.append(entry)
    return tuple(reversed(shown))


def _template(template: Template) -> TemplateFacts:
    return TemplateFacts(template.text, template.count, template.first_at, template.last_at)


def _levels(host: Host) -> tuple[LevelFacts, ...]:
    configured = host.config.logs.loggers
    own = {
        name: logging.getLevelName(each.level)
        for name, each in sorted(logging.root.manager.loggerDict.items())
        if isinstance(each, logging.Logger) and each.level and name not in configured
    }
    return (
        *(LevelFacts(name, level, True) for name, level in sorted(configured.items())),
        *(LevelFacts(name, level, False) for name, level in own.items()),
    )[:50]


def _shape(result: Logs, query: Query, viewer: Viewer) -> Mapping[str, Any]:
    asked = {"level": query.level, "logger": query.logger, "text": query.text}
    return {
        "asked": {name: value for name, value in asked.items() if value},
        "levels": ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    }


LOG: View[Query, Logs] = View("/logs", "Logs", Query, Logs, read, "logs.html", shape=_shape, needs="owner")
VIEWS: tuple[View[Any, Any], ...] = (LOG,)
