"""Addresses within the dashboard: of pages, and of a page with something else asked for."""

from collections.abc import Callable
from urllib.parse import quote, urlencode

from msgspec import Struct, structs


def to(*parts: str) -> str:
    """The path of a page, such as ``to("abuse", "discord", "user", id)``, whatever is in its parts."""
    return "".join("/" + quote(part, safe="") for part in parts)


PLACES = ("page", "before")
"""Fields that say where in a list the reader is; who asks for something else begins at its beginning."""


def linking(query: Struct, *path: str) -> Callable[..., str]:
    """What makes addresses of the same page: what was asked for, but for what is given; None takes something out.

    :param path: the fields that are part of the path
    """
    defaults = {field.name: field.default for field in structs.fields(query)}
    asked = {name: value for name, value in structs.asdict(query).items() if name not in (*path, *PLACES)}

    def link(**changes: object) -> str:
        wanted = {name: value for name, value in (asked | changes).items() if value not in (None, "", defaults[name])}
        return "?" + urlencode(wanted)

    return link
