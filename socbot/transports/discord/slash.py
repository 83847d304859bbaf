"""The registry as slash commands and menus, and what Discord says of one that was used, back as a command."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from msgspec import Struct

from socbot.dispatch.arguments import Parameter
from socbot.dispatch.commands import Command
from socbot.dispatch.messages import UserRef
from socbot.transports.discord.slash_layout import Group, laid_out
from socbot.transports.discord.slash_options import (
    ATTACHMENT,
    DETAILS,
    JSON,
    MOST_CHARACTERS,
    NAME_LENGTH,
    SUB_COMMAND,
    SUB_COMMAND_GROUP,
    Detail,
    clip,
    described,
    left_out,
    offered,
    options_of,
    size,
    typed,
)

SLASH, USER_MENU = 1, 2
MOST_MENUS = 5

Path: TypeAlias = tuple[str, ...]
"""A slash command's name, and its name in its group if it stands in one."""

_Told: TypeAlias = Callable[[Detail], JSON]


class Focus(Struct, frozen=True):
    """What somebody is typing into an option.

    :param typed: so far
    :param options: the other arguments, as far as they are filled in
    """

    command: Command
    parameter: Parameter
    typed: str
    options: dict[str, str]


class Slash:
    """All commands as Discord is told of them, made once, and the way back.

    :ivar commands: the whole list, to be put in place of what Discord has; the same registry makes the same list
    :ivar warnings: what is not as an operator would expect
    """

    def __init__(self, registry: Iterable[Command]) -> None:
        commands = tuple(registry)
        layout = laid_out(commands)
        self._menus = _menus(commands)
        self._paths: dict[Path, Command] = {(name,): command for name, command in layout.singles.items()}
        for group in layout.groups:
            self._paths |= {(group.name, name): command for name, command in group.members.items()}
        self._by_command = {command: path for path, command in self._paths.items()}
        self._parameters = {command: offered(command) for command in (*self._by_command, *self._menus.values())}
        singles = (_single(name, command) for name, command in layout.singles.items())
        listed = (*singles, *map(_group, layout.groups), *map(_menu, self._menus.values()))
        self.commands: list[JSON] = sorted(listed, key=lambda each: (each["type"], each["name"]))
        self.warnings = (*layout.warnings, *_menu_warnings(commands, self._menus), *_option_warnings(self._by_command))

    def path_of(self, command: Command) -> str:
        """What is typed after the slash (``blacklist add``); empty if it is no slash command."""
        return " ".join(self._by_command.get(command, ()))

    def command_of(self, data: JSON) -> tuple[Command, dict[str, str]] | None:
        """The command that was used, and its arguments by the names of its parameters, as somebody would type them.

        None if there is no such command, or no longer.

        :param data: the ``data`` of an interaction
        """
        if data.get("type", SLASH) == USER_MENU:
            chosen = self._menus.get(str(data.get("name")))
            target = None if chosen is None else _target(chosen, str(data.get("target_id")))
            return None if chosen is None or target is None else (chosen, target)
        path, options = _opened(data)
        command = self._paths.get(path)
        return None if command is None else (command, self._texts(command, options))

    def attachments_of(self, data: JSON) -> tuple[JSON, ...]:
        """The files that were given, in the order of the command's parameters."""
        path, options = _opened(data)
        command = self._paths.get(path)
        if command is None:
            return ()
        given = {option["name"]: option.get("value") for option in options if option.get("type") == ATTACHMENT}
        files = data.get("resolved", {}).get("attachments", {})
        order = {id(parameter): position for position, parameter in enumerate(command.parameters)}
        named = sorted(self._parameters[command].items(), key=lambda item: order[id(item[1])])
        return tuple(files[given[name]] for name, _ in named if given.get(name) in files)

    def focused(self, data: JSON) -> Focus | None:
        """What is being typed, for autocompletion; None if there is no such command, or no longer."""
        path, options = _opened(data)
        command = self._paths.get(path)
        focus = next((option for option in options if option.get("focused")), None)
        if command is None or focus is None or focus["name"] not in self._parameters[command]:
            return None
        others = self._texts(command, [option for option in options if option is not focus])
        return Focus(command, self._parameters[command][focus["name"]], typed(focus.get("value", "")), others)

    def _texts(self, command: Command, options: Iterable[JSON]) -> dict[str, str]:
        known, texts = self._parameters[command], {}
        for option in options:
            parameter, value = known.get(option["name"]), option.get("value")
            if parameter is None or value is None or parameter.kind == "attachment":
                continue
            if parameter.kind == "flag" and not value:
                continue
            texts[parameter.name] = typed(value)
        return texts


def application_commands(registry: Iterable[Command]) -> list[JSON]:
    """All commands as Discord is told of them."""
    return Slash(registry).commands


# -- as Discord is told of them -----------------------------------------------------------------------


def _top(kind: int, name: str, description: str, public: bool) -> JSON:
    # Nobody but administrators sees a command that is not for everybody; whether they may use it, the dispatcher says.
    return {
        "type": kind,
        "name": name,
        "description": description,
        "default_member_permissions": None if public else "0",
        "contexts": [0, 1],
        "integration_types": [0],
    }


def _single(name: str, command: Command) -> JSON:
    return _as_full_as_possible(
        lambda detail: (
            _top(SLASH, name, described(command.description, command.usage), command.permission == "public")
            | _options(options_of(command, detail))
        )
    )


def _group(group: Group) -> JSON:
    top = _top(SLASH, group.name, described(f"{group.name}: {len(group.members)} commands", group.name), group.public)

    def told(detail: Detail) -> JSON:
        return top | {"options": [_member(name, command, detail) for name, command in group.members.items()]}

    return _as_full_as_possible(told)


def _member(name: str, command: Command, detail: Detail) -> JSON:
    description = described(command.description, command.usage, detail.description)
    member: JSON = {"type": SUB_COMMAND, "name": name, "description": description}
    return member | _options(options_of(command, detail))


def _options(options: list[JSON]) -> JSON:
    return {"options": options} if options else {}


def _as_full_as_possible(told: _Told) -> JSON:
    made = (told(detail) for detail in DETAILS)
    return next((command for command in made if size(command) <= MOST_CHARACTERS), None) or told(DETAILS[-1])


# -- menus of a user ----------------------------------------------------------------------------------


def _menus(commands: Iterable[Command]) -> dict[str, Command]:
    menus: dict[str, Command] = {}
    for command in commands:
        if command.menu and _target(command, "") is not None and len(menus) < MOST_MENUS:
            menus.setdefault(_label(command), command)
    return menus


def _label(command: Command) -> str:
    return clip(command.menu, NAME_LENGTH)


def _menu(command: Command) -> JSON:
    return _top(USER_MENU, _label(command), "", command.permission == "public")


def _target(command: Command, user: str) -> dict[str, str] | None:
    """The arguments that name the user whose menu was opened; None if the command is about no user."""
    names = {parameter.name for parameter in command.parameters}
    for parameter in command.parameters:
        if parameter.type is UserRef:
            return {parameter.name: user}
    if "id" not in names:
        return None
    return {"kind": "user", "id": user} if "kind" in names else {"id": user}


def _menu_warnings(commands: Iterable[Command], menus: dict[str, Command]) -> Iterator[str]:
    for command in commands:
        if command.menu and command not in menus.values():
            yield f"{command.name} is in no menu: it is about no user, or there are {MOST_MENUS} already."


def _option_warnings(commands: Iterable[Command]) -> Iterator[str]:
    for command in commands:
        if missing := left_out(command):
            names = ", ".join(parameter.name for parameter in missing)
            yield f"{command.name} has more options than Discord allows; without: {names}"


# -- and back -----------------------------------------------------------------------------------------


def _opened(data: JSON) -> tuple[Path, list[JSON]]:
    """The path, and the options of the innermost command."""
    path: Path = (str(data.get("name")),)
    options: list[JSON] = data.get("options") or []
    while options and options[0].get("type") in (SUB_COMMAND, SUB_COMMAND_GROUP):
        path, options = (*path, str(options[0]["name"])), options[0].get("options") or []
    return path, options
