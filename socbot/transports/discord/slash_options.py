"""One command's parameters as options of a slash command, and what people chose as the text that they would type."""

import math
import unicodedata
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias

from msgspec import Struct

from socbot.dispatch.arguments import MAX_LENGTH, Parameter
from socbot.dispatch.commands import Command
from socbot.dispatch.messages import ChannelRef, UserRef
from socbot.transports.discord.cutting import sound, units

JSON: TypeAlias = dict[str, Any]
"""An object as Discord's interface has it."""

SUB_COMMAND, SUB_COMMAND_GROUP, STRING, INTEGER, BOOLEAN, USER, CHANNEL = range(1, 8)
NUMBER, ATTACHMENT = 10, 11

MOST_OPTIONS = 25
MOST_CHOICES = 25
MOST_CHARACTERS = 8_000
"""Of names, descriptions and values in one top-level command."""

NAME_LENGTH = 32
TEXT_LENGTH = 100

_TYPES: dict[object, int] = {bool: BOOLEAN, int: INTEGER, float: NUMBER, UserRef: USER, ChannelRef: CHANNEL}
_SAFE_INTEGER = 2**53 - 1  # to which JavaScript counts exactly
_DECIMALS = 18  # that the parser of numbers reads


class Detail(Struct, frozen=True):
    """How much a command tells, so that it stays within its characters: those of a description, and choices or not."""

    description: int
    choices: bool = True


DETAILS = (Detail(TEXT_LENGTH), Detail(60), Detail(30), Detail(30, choices=False))
"""From all to the least, at which any command alone is within ``MOST_CHARACTERS``."""


# -- text within limits -------------------------------------------------------------------------------


def clip(text: str, limit: int) -> str:
    """``text`` in at most ``limit`` characters; what is cut is shown by an ellipsis, no letter loses its accent."""
    if units(text) <= limit:
        return text
    kept = text[: limit - 1]
    while units(kept) > limit - 1 or _joined(text, len(kept)):
        kept = kept[:-1]
    return kept.rstrip() + "…"


def _joined(text: str, at: int) -> bool:
    """Whether what is on both sides of ``at`` belongs together."""
    return "\u200d" in text[max(0, at - 1) : at + 1] or unicodedata.category(text[at]).startswith("M")


def described(text: str, otherwise: str, limit: int = TEXT_LENGTH) -> str:
    """A description on one line; never empty, because Discord refuses that."""
    return clip(" ".join(sound(text).split()) or otherwise, limit)


def slash_name(text: str) -> str:
    """``text`` as the name of a slash command, group or option."""
    kept = "".join(character if character.isalnum() or character in "-_" else "_" for character in text.lower())
    return kept[:NAME_LENGTH].strip("_") or "unnamed"


def unique(name: str, taken: "set[str] | dict[str, Any]") -> str:
    """``name``, with a number behind it if it is taken."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name[: NAME_LENGTH - len(str(number))]}{number}"
    return found


# -- parameters as options ----------------------------------------------------------------------------


def offered(command: Command) -> dict[str, Parameter]:
    """The parameters that become options, by the option's name: the required ones first.

    A secret is never an option: what is typed there stays in sight.
    """
    named: dict[str, Parameter] = {}
    for parameter in command.parameters:
        if not parameter.secret:
            named[unique(slash_name(parameter.name), named)] = parameter
    ordered = sorted(named.items(), key=lambda item: not item[1].required)
    return dict(ordered[:MOST_OPTIONS])


def left_out(command: Command) -> tuple[Parameter, ...]:
    """The parameters for which there is no room among the options."""
    there = set(map(id, offered(command).values()))
    return tuple(each for each in command.parameters if not each.secret and id(each) not in there)


def options_of(command: Command, detail: Detail) -> list[JSON]:
    return [_option(name, parameter, detail) for name, parameter in offered(command).items()]


def _option(name: str, parameter: Parameter, detail: Detail) -> JSON:
    kind = _type_of(parameter)
    option: JSON = {"type": kind, "name": name, "description": _description(parameter, detail.description)}
    if parameter.required:
        option["required"] = True
    if kind in (INTEGER, NUMBER):
        return option | _bounds(parameter, kind)
    if kind != STRING:
        return option
    if detail.choices and _has_room_for_choices(parameter):
        return option | {"choices": [{"name": choice, "value": choice} for choice in parameter.choices]}
    option["max_length"] = MAX_LENGTH
    return option | {"autocomplete": True} if completes(parameter) else option


def _type_of(parameter: Parameter) -> int:
    if parameter.kind == "attachment":
        return ATTACHMENT
    if parameter.kind == "flag":
        return BOOLEAN
    if parameter.kind == "many" or parameter.choices or parameter.completes:
        return STRING
    if parameter.type is int and not all(abs(bound) <= _SAFE_INTEGER for bound in _limits(parameter)):
        return STRING
    return _TYPES.get(parameter.type, STRING)


def completes(parameter: Parameter) -> bool:
    """Whether something can be suggested while it is typed."""
    return parameter.kind != "many" and bool(parameter.completes or parameter.choices)


def _limits(parameter: Parameter) -> list[float]:
    return [bound for bound in (parameter.minimum, parameter.maximum) if bound is not None]


def _bounds(parameter: Parameter, kind: int) -> JSON:
    bounds: JSON = {}
    if parameter.minimum is not None:
        bounds["min_value"] = math.ceil(parameter.minimum) if kind == INTEGER else parameter.minimum
    if parameter.maximum is not None:
        bounds["max_value"] = math.floor(parameter.maximum) if kind == INTEGER else parameter.maximum
    return bounds


def _has_room_for_choices(parameter: Parameter) -> bool:
    fitting = (0 < units(choice) <= TEXT_LENGTH for choice in parameter.choices)
    return parameter.kind == "word" and 0 < len(parameter.choices) <= MOST_CHOICES and all(fitting)


def _description(parameter: Parameter, limit: int) -> str:
    text = f"the flag {parameter.expected}" if parameter.kind == "flag" else parameter.expected
    if (default := _default(parameter)) and units(f"{text}; {default} if left out") <= limit:
        text = f"{text}; {default} if left out"
    return described(text, parameter.name, limit)


def _default(parameter: Parameter) -> str:
    default = parameter.default
    if parameter.required or default in (None, "", False):
        return ""
    return default.name.lower() if isinstance(default, Enum) else str(default)


def size(command: JSON) -> int:
    """The characters of a command that count towards ``MOST_CHARACTERS``."""
    own: int = sum(units(str(command.get(key, ""))) for key in ("name", "description", "value"))
    return own + sum(size(part) for key in ("options", "choices") for part in command.get(key, ()))


# -- what was chosen, as text -------------------------------------------------------------------------


def typed(value: object) -> str:
    """What somebody would type for an option's value, which Discord gives as text, number or truth."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return _number(value)
    return str(value)


def _number(value: float) -> str:
    exact = Decimal(repr(value))
    exponent = exact.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -_DECIMALS:
        return f"{exact:f}"
    return repr(value)  # too near zero to be read without an exponent
