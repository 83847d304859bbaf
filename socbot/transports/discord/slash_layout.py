"""Where each command stands among the slash commands: at top level, or in the group of its system.

Discord cannot hide a part of a group, so that nobody but administrators is shown a group at all, and what everybody
may use stands outside, under its own name. It allows 100 names at top level and 25 in a group; what is beyond
that is put together in larger groups, in a way that depends on the registry alone.
"""

import re
from collections.abc import Iterable
from typing import TypeAlias

from msgspec import Struct

from socbot.dispatch.commands import Command
from socbot.transports.discord.slash_options import (
    DETAILS,
    MOST_CHARACTERS,
    MOST_OPTIONS,
    NAME_LENGTH,
    TEXT_LENGTH,
    options_of,
    size,
    slash_name,
    unique,
)

MOST_AT_TOP = 100
MOST_IN_GROUP = 25

Base: TypeAlias = tuple[str, bool]
"""What a group is for: a system, and whether everybody is shown it. ("", …) is the top level."""

_AT_TOP = ("", "bot")
_CALLED = {"chain": "pipeline", "tasks": "task", "webhooks": "webhook"}
"""Groups whose slash command reads better under another name than their system's."""

_SHORT = {"blacklist": "list"}
"""Commands that are named as their group is, and not called ``show`` in it."""

_MIXED = {True: "more", False: "manage"}
"""Groups of what has no room under a name of its own, by whether everybody is shown them."""


class Group(Struct, frozen=True):
    """A top-level command of several.

    :param public: whether everybody is shown it
    :param members: the commands, by their names in it
    """

    name: str
    public: bool
    members: dict[str, Command]


class Layout(Struct, frozen=True):
    """All slash commands by name; ``warnings`` says what is not as anybody would expect."""

    singles: dict[str, Command]
    groups: tuple[Group, ...]
    warnings: tuple[str, ...]


def laid_out(commands: Iterable[Command]) -> Layout:
    """Give every command its place; the same commands get the same places."""
    placed, warnings = _Placing(commands), []
    if placed.excess > 0:
        placed.gather()
        placed.fold()
        warnings.append(
            f"More than {MOST_AT_TOP} slash commands at top level: some that would stand there are in groups."
        )
    dropped = placed.drop()
    if dropped:
        names = ", ".join(command.name for command in dropped)
        warnings.append(f"Discord has no room for these as slash commands; they work as text: {names}")
    return placed.named(warnings)


class _Placing:
    """Finds a base for each command, so that there are at most ``MOST_AT_TOP`` names."""

    def __init__(self, commands: Iterable[Command]) -> None:
        commands = tuple(commands)
        self._dropped = [each for each in commands if _required(each) > MOST_OPTIONS]
        self._commands = [each for each in commands if _required(each) <= MOST_OPTIONS]
        self._order = {command: position for position, command in enumerate(self._commands)}
        self._weights = {command: _weight(command) for command in self._commands}
        hidden = {_first_word(each) for each in self._commands if each.permission != "public" and " " in each.name}
        self._bases = {each: _base(each, hidden) for each in self._commands}

    @property
    def excess(self) -> int:
        """How many names there are too many."""
        return len(self._singles()) + sum(map(len, self._chunked().values())) - MOST_AT_TOP

    def gather(self) -> None:
        """Put what everybody may use into a group of its system, too."""
        for command, (name, public) in self._bases.items():
            if public and not name and command.group not in _AT_TOP:
                self._bases[command] = (command.group, True)

    def fold(self) -> None:
        """Put the smallest groups, and the last of them first, together with each other."""
        candidates = sorted(self._units(), key=lambda unit: (len(unit), -self._order[unit[0]]), reverse=True)
        while (excess := self.excess) > 0 and candidates:
            for _ in range(min(excess, len(candidates))):
                unit = candidates.pop()
                for command in unit:
                    self._bases[command] = (_MIXED[self._bases[command][1]], self._bases[command][1])

    def drop(self) -> list[Command]:
        """Leave out the last groups if there are still too many; what was left out in all."""
        chunks = [chunk for chunks in self._chunked().values() for chunk in chunks]
        for chunk in chunks[len(chunks) - max(0, self.excess) :]:
            for command in chunk:
                del self._bases[command]
                self._dropped.append(command)
        return self._dropped

    def named(self, warnings: Iterable[str]) -> Layout:
        singles: dict[str, Command] = {}
        for command in self._singles():
            singles[unique(slash_name(command.name), singles)] = command
        taken, groups, told = set(singles), [], list(warnings)
        for (name, public), chunks in self._chunked().items():
            base = _group_name(name, taken)
            for number, chunk in enumerate(chunks):
                found = base if not number else unique(base, taken)
                taken.add(found)
                groups.append(Group(found, public, _members(name, chunk)))
            if len(chunks) > 1:
                told.append(f"/{base} has too much for one slash command: the rest is in /{base}2 and so on.")
        return Layout(singles, tuple(groups), tuple(told))

    def _singles(self) -> list[Command]:
        return [command for command, (name, _) in self._bases.items() if not name]

    def _units(self) -> list[list[Command]]:
        """What takes one name at top level and may be put together with others."""
        singles = [[command] for command in self._singles() if command.group != "bot"]
        return singles + [chunks[0] for chunks in self._chunked().values() if len(chunks) == 1]

    def _chunked(self) -> dict[Base, list[list[Command]]]:
        bases: dict[Base, list[list[Command]]] = {}
        weights: dict[Base, int] = {}
        for command, base in self._bases.items():
            if not base[0]:
                continue
            chunks, weight = bases.setdefault(base, [[]]), self._weights[command]
            used = weights.get(base, _GROUP_WEIGHT)
            if len(chunks[-1]) == MOST_IN_GROUP or used + weight > MOST_CHARACTERS:
                chunks.append([])
                used = _GROUP_WEIGHT
            chunks[-1].append(command)
            weights[base] = used + weight
        return bases


_GROUP_WEIGHT = NAME_LENGTH + TEXT_LENGTH


def _required(command: Command) -> int:
    return sum(parameter.required and not parameter.secret for parameter in command.parameters)


def _weight(command: Command) -> int:
    """The characters that it takes at the least, whatever it is called in its group."""
    return NAME_LENGTH + DETAILS[-1].description + size({"options": options_of(command, DETAILS[-1])})


def _first_word(command: Command) -> str:
    return command.name.partition(" ")[0]


def _base(command: Command, hidden: set[str]) -> Base:
    public, first = command.permission == "public", _first_word(command)
    if " " in command.name and not (public and first in hidden):
        return first, public
    return ("" if public or command.group in _AT_TOP else command.group), public


# -- names --------------------------------------------------------------------------------------------


def _group_name(name: str, taken: set[str]) -> str:
    name = slash_name(_CALLED.get(name, name))
    return next((each for each in (name, _stem(name), f"{name[:26]}_admin") if each not in taken), unique(name, taken))


def _members(base: str, commands: Iterable[Command]) -> dict[str, Command]:
    members: dict[str, Command] = {}
    for command in commands:
        whole = slash_name(command.name.rpartition(" ")[2])
        short = whole if base in _MIXED.values() else _short(base, command)
        members[short if short not in members else unique(whole, members)] = command
    return members


def _short(base: str, command: Command) -> str:
    """The command's name without the words of its group, in singular or plural."""
    if " " in command.name:
        return slash_name(command.name.rpartition(" ")[2])
    known = {_stem(word) for name in (base, _CALLED.get(base, base)) for word in _words(name)}
    left = [word for word in _words(command.name) if _stem(word) not in known]
    return slash_name("_".join(left)) if left else _SHORT.get(command.name, "show")


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", name.lower()) if word]


def _stem(word: str) -> str:
    """The singular, more or less."""
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
