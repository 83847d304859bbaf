"""A view: one thing that can be seen, as a page for people and as JSON for programs, from the same facts."""

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import tzinfo
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct, structs

from socbot.dispatch.errors import describe
from socbot.systems.access import Role
from socbot.systems.identities import storable
from socbot.web.host import Host
from socbot.web.problems import Turned

Q = TypeVar("Q", bound=Struct)
R = TypeVar("R", bound=Struct)

LONGEST = 500
"""Characters of one value that may be asked for."""

MOST_INTEGER = 2**63 - 1
"""The largest number that a store takes."""

_RANKS: Final[dict[str, int]] = {"sender": 0, "viewer": 1, "owner": 2}
_FIELD = re.compile(r"{(\w+)(?::[^{}]*)?}")
_AT = re.compile(r" - at `\$\.?([\w.]*)[^`]*`$")


class Viewer(Struct, frozen=True):
    """Who looks.

    :param zone: in which times are told
    :param name: of the token that was shown
    """

    zone: tzinfo
    role: Role = "viewer"
    name: str = ""

    @property
    def is_owner(self) -> bool:
        return self.role == "owner"

    def may(self, role: Role) -> bool:
        """Whether they may see or do what needs ``role``."""
        return _RANKS[self.role] >= _RANKS[role]


class NotFound(Exception):
    """There is nothing of that name to be seen."""

    def __init__(self, what: str, name: str) -> None:
        self.text = f"There is no {what} {name!r}."
        super().__init__(self.text)


class BadQuery(Exception):
    """What was asked for cannot be: ``argument`` is not what it has to be.

    :ivar in_path: whether it is part of the path, so that there is nothing at that address
    """

    def __init__(self, argument: str, text: str, *, in_path: bool = False) -> None:
        self.argument, self.text, self.in_path = argument, f"{argument}: {text}", in_path
        super().__init__(self.text)


class View(Generic[Q, R]):
    """Facts with an address.

    :param path: of the page, with the query's fields in it where they are part of it: ``/errors/{error_id}``; the
        JSON is at ``/api/v1`` and the same
    :param title: of the page
    :param query: a struct of what may be asked for, every field with a default unless it is part of the path; text
        is converted to its types
    :param result: a struct of the facts, which is what the JSON is
    :param read: gets the facts, on the bot's event loop

        :raises NotFound: if there is nothing there
    :param template: draws the page of ``result`` (as ``it``) and ``query``
    :param shape: what the template needs beside them and JSON does not: charts above all; on the server's thread
    :param needs: the role of whoever may see it
    """

    def __init__(
        self,
        path: str,
        title: str,
        query: type[Q],
        result: type[R],
        read: Callable[[Host, Q, Viewer], Awaitable[R]],
        template: str,
        *,
        shape: Callable[[R, Q, Viewer], Mapping[str, Any]] = lambda result, query, viewer: {},
        needs: Role = "viewer",
    ) -> None:
        self.path, self.title, self.query, self.result = path, title, query, result
        self.read, self.template, self.shape, self.needs = read, template, shape, needs

    @property
    def summary(self) -> str:
        """What it shows, in one line."""
        return (self.result.__doc__ or self.title).partition("\n")[0]

    @property
    def path_fields(self) -> tuple[str, ...]:
        """The fields of the query that are part of the path."""
        return tuple(_FIELD.findall(self.path))

    @property
    def api_path(self) -> str:
        """Where its JSON is."""
        return "/api/v1" + (self.path if self.path != "/" else "/overview")

    async def answer(
        self,
        ask: Callable[..., Awaitable[R]],
        host: Host,
        given: Mapping[str, str],
        in_path: Mapping[str, str],
        who: Viewer,
    ) -> tuple[Q, R]:
        """The query that is written so, and what is read for it on the bot's loop.

        :raises Turned: if it cannot be asked, or there is no such thing
        """
        try:
            query = self.ask_for(given, in_path)
            return query, await ask(self.read, host, query, who)
        except BadQuery as error:
            raise Turned(404 if error.in_path else 422, error.text) from None
        except NotFound as error:
            raise Turned(404, error.text) from None

    def ask_for(self, given: Mapping[str, str], in_path: Mapping[str, str]) -> Q:
        """The query that is written so.

        :raises BadQuery: naming what is wrong with it
        """
        known = structs.fields(self.query)
        for name in given:
            if name in in_path or name not in {field.encode_name for field in known}:
                takes = ", ".join(field.encode_name for field in known if field.encode_name not in in_path) or "nothing"
                raise BadQuery(_shown(name), f"that cannot be asked for here; what can be is {takes}")
        for name, value in (*given.items(), *in_path.items()):
            if len(value) > LONGEST or storable(value, LONGEST) != value:
                expected = f"text of at most {LONGEST} characters, none of them NUL, is expected"
                raise BadQuery(name, expected, in_path=name in in_path)
        try:
            query = msgspec.convert({**given, **in_path}, self.query, strict=False)
        except msgspec.ValidationError as error:
            raise _told(error, self.query, given, in_path) from None
        for field in known:
            value, name = getattr(query, field.name), field.encode_name
            if value is None and name in given:  # "null": left out is how that is said
                raise BadQuery(name, f"{_shown(given[name])!r} cannot be asked for")
            if isinstance(value, float) and not math.isfinite(value):
                raise BadQuery(name, "a finite number is expected")
            if isinstance(value, int) and abs(value) > MOST_INTEGER:
                raise BadQuery(name, f"a number of at most {MOST_INTEGER} is expected")
        return query


def _told(
    error: msgspec.ValidationError, query: type[Struct], given: Mapping[str, str], in_path: Mapping[str, str]
) -> BadQuery:
    """What msgspec found, in the words of whoever asked."""
    text = describe(error)
    found = _AT.search(text)
    if found is None:  # a field without a default was not given
        lacking = re.search(r"`(\w+)`", text)
        return BadQuery(lacking[1] if lacking else "query", "this has to be given")
    name, what = found[1].partition(".")[0], _AT.sub("", text).partition(", got")[0].replace("`", "")
    for kind, words in _KINDS.items():
        what = what.replace(kind, words)
    if choices := _choices(query, name):
        what = f"expected {' or '.join(choices)}"
    value = _shown(given.get(name, in_path.get(name, "")))
    return BadQuery(name, f"{what[0].lower()}{what[1:]}, and {value!r} is not that", in_path=name in in_path)


def _choices(query: type[Struct], name: str) -> list[str]:
    """What ``name`` can be, where that is one of a few."""
    (schema,) = msgspec.json.schema_components([query])[1].values()
    found = schema["properties"].get(name, {})
    return [str(each) for kind in (found, *found.get("anyOf", ())) for each in kind.get("enum", ())]


_KINDS = {"int | null": "a whole number", "int": "a whole number", "float": "a number", "bool": "true or false"}


def _shown(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
