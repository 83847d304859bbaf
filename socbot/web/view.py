"""A view: one thing that can be seen, as a page for people and as JSON for programs, from the same facts."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import tzinfo
from typing import Any, Generic, TypeVar

from msgspec import Struct

from socbot.systems.access import Role
from socbot.web.host import Host

Q = TypeVar("Q", bound=Struct)
R = TypeVar("R", bound=Struct)


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


class NotFound(Exception):
    """There is nothing of that name to be seen."""

    def __init__(self, what: str, name: str) -> None:
        self.text = f"There is no {what} {name!r}."
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
