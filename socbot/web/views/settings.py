"""The settings: each key's value, where it comes from, what it is for, and what it takes to change it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from socbot.config import SECRET_KEYS, Config, key_type
from socbot.documents import parse_yaml
from socbot.systems.settings import Effect, Setting, default, effect, shown
from socbot.web.actions import SECTIONS
from socbot.web.host import Host
from socbot.web.view import View, Viewer

LONGEST = 300
"""Characters of a value that are shown."""


class Query(Struct, frozen=True):
    """Which settings.

    :param q: a part of their key, their value or what they are for; all if empty
    """

    q: Annotated[str, Meta(max_length=100)] = ""


class KeyFacts(Struct, frozen=True):
    """One key of config.yaml as it stands.

    :param value: in force now, as config.yaml would have it; of a secret only whether there is one
    :param default: what it would be if nobody set it
    :param changed: whether that is another
    :param origin: where the value comes from: ``default``, a line of config.yaml, a variable of the environment, or
        ``set``, at run time
    :param set_by: who set it at run time, and ``set_at`` when, in seconds since 1970
    :param purpose: what it is for
    :param effect: what it takes for a change to be in force: nothing more, a reload, or a restart
    :param editable: whether it can be changed from here
    :param resettable: whether it, and not the whole map that it is in, was set at run time, and can be taken back here
    :param choices: what it can be, if that is one of a few words
    """

    key: str
    section: str
    value: str
    default: str
    changed: bool
    origin: str
    set_by: str
    set_at: float | None
    purpose: str
    effect: Effect
    editable: bool
    resettable: bool
    choices: tuple[str, ...] = ()


class Settings(Struct, frozen=True):
    """Every key of every section: its value, where it comes from, what it is for, what it takes to change it.

    :param path: of config.yaml; empty if the bot was started without one
    :param maintenance: what everybody but the owner is told while the bot is being worked on; None while it is not
    :param problems: what was set at run time and is not used, with the reason
    :param awaiting_start: keys that were changed since the start, and are as they were until the next one
    :param keys: those that were asked for, in the order of config.yaml
    :param count: how many there are in all
    """

    path: str
    maintenance: str | None
    problems: tuple[str, ...]
    awaiting_start: tuple[str, ...]
    keys: tuple[KeyFacts, ...]
    count: int


async def read(host: Host, query: Query, viewer: Viewer) -> Settings:
    settings = host.settings
    keys = [
        _facts(setting, section, host) for section in Config.__struct_fields__ for setting in (*settings.view(section),)
    ]
    return Settings(
        str(settings.path or ""),
        settings.maintenance,
        tuple(host.redactor(each) for each in settings.problems),
        settings.awaiting_start,
        tuple(key for key in keys if _fits(key, query.q)),
        len(keys),
    )


def _fits(key: KeyFacts, wanted: str) -> bool:
    folded = wanted.casefold().strip()
    return any(folded in text.casefold() for text in (key.key, key.value, key.purpose))


def _facts(setting: Setting, section: str, host: Host) -> KeyFacts:
    key, override = setting.key, setting.override
    takes = effect(key)
    if takes == "at once" and section not in SECTIONS:  # no command changes it
        takes = "reload"
    usual = default(key)
    return KeyFacts(
        key,
        section,
        host.redactor(_told(key, setting.value), LONGEST),
        "" if key in SECRET_KEYS else _told(key, usual)[:LONGEST] if usual is not None else "not there",
        setting.value != usual,
        setting.origin,
        "" if override is None else override.set_by,
        None if override is None else override.set_at,
        purpose(key),
        takes,
        takes == "at once",
        override is not None and section in SECTIONS and host.settings.get(key.rpartition(".")[0]).override is None,
        _choices(key_type(key)),
    )


def _told(key: str, value: Any) -> str:
    """``value`` without what may be a secret in it, whatever its name."""
    if key == "middleware":  # the options of an operator's own may hold anything
        return ", ".join(f"{each.use}{'' if each.mode == 'enforce' else f' ({each.mode})'}" for each in value)
    if key == "storage.url":
        return without_password(value)
    return shown(key, value)


def without_password(url: str) -> str:
    """The address of a store, as it may be shown."""
    try:
        parts = urlsplit(url)
        if parts.password is None and not parts.query:
            return url
        host = parts.netloc.rpartition("@")[2]
        user = f"{parts.username}:…@" if parts.password is not None else f"{parts.username}@" if parts.username else ""
    except ValueError:
        return "(cannot be shown)"
    return f"{parts.scheme}://{user}{host}{parts.path}" + ("?…" if parts.query else "")


def _choices(kind: Any) -> tuple[str, ...]:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if kind is bool:
        return ("true", "false")
    return tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()


# -- what each is for ---------------------------------------------------------------------------------


def purpose(key: str) -> str:
    """What the comment beside ``key`` says in the config.yaml that is shipped; of a map's entry, that of the map."""
    known = _purposes()
    while key not in known and key.count(".") > 1:
        key = key.rpartition(".")[0]
    return known.get(key, "")


@cache
def _purposes() -> Mapping[str, str]:
    text = (files("socbot.web") / "config.yaml").read_text(encoding="utf-8")
    _, lines = parse_yaml(text)
    return dict(_comments(text.splitlines(), lines))


_BESIDE = re.compile(r"""^[^#'"]*(?:(?:'[^']*'|"[^"]*"|(?<=\S)#)[^#'"]*)*?(?P<mark>(?:^|(?<=\s))#)\s?(?P<text>.*)$""")


def _comments(lines: Sequence[str], keys: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    for key, number in keys.items():
        beside = _BESIDE.match(lines[number - 1])
        if beside is not None:
            yield key, " ".join((beside["text"], *_going_on(lines[number:], beside.start("mark"))))
        elif "." not in key and (above := [*_above(lines, number - 1)]):
            yield key, " ".join(reversed(above))


def _going_on(lines: Sequence[str], column: int) -> Iterator[str]:
    for line in lines:
        if line.find("#") != column or line[:column].strip():
            return
        yield line[column + 1 :].strip()


def _above(lines: Sequence[str], index: int) -> Iterator[str]:
    while index and lines[index - 1].startswith("#"):
        index -= 1
        yield lines[index][1:].strip()


# -- drawn --------------------------------------------------------------------------------------------


def _shape(result: Settings, query: Query, viewer: Viewer) -> Mapping[str, Any]:
    sections: dict[str, list[KeyFacts]] = {}
    for key in result.keys:
        sections.setdefault(key.section, []).append(key)
    return {
        "sections": sections,
        "changed": [key for key in result.keys if key.changed or key.origin == "set"],
        "set": [key for key in result.keys if key.origin == "set"],
    }


VIEWS: tuple[View[Any, Any], ...] = (
    View("/settings", "Settings", Query, Settings, read, "settings.html", shape=_shape),
)
