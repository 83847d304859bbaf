"""Commands: typed functions by name."""

import difflib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Literal, TypeAlias, get_args

from msgspec import Struct

from socbot.dispatch.arguments import Parameter, Signature, compile_signature

Permission: TypeAlias = Literal["owner", "admin", "public"]
"""``admin`` is the owner, or an administrator of the guild in which the command is used."""


class Concurrency(Struct, frozen=True):
    """At most ``limit`` runs at once, counted for each user, for each guild, or for all together."""

    limit: int
    per: Literal["user", "guild", "global"] = "global"


class Command(Struct, frozen=True, eq=False):  # a command is itself: compared and hashed by identity
    """A command: everything that is known of it comes from its handler's signature and docstring.

    :param group: the system it belongs to, for help and for slash command groups
    :param cooldown: seconds between two runs by one user; kept in memory by the dispatcher
    :param timeout: seconds until it is ended; None for the dispatcher's own. With one of its own it is waited for where
        others are told that the store does not answer
    :param private: its answers are not for a public channel
    :param sensitive: its arguments may hold secrets, so the message is to be deleted and never shown; set by itself
        where an argument is a ``Secret``
    :param metered: False where a rate limit is not to count it
    :param menu: its label in the menu of a user, on platforms where users have one; the user is its first ``UserRef``,
        or its ``id`` with the ``kind`` user
    :param hidden: it is listed and suggested nowhere
    """

    name: str
    handler: Callable[..., Awaitable[Any]]
    signature: Signature
    description: str
    help: str
    permission: Permission = "owner"
    aliases: tuple[str, ...] = ()
    group: str = ""
    cooldown: float = 0.0
    timeout: float | None = None
    concurrency: Concurrency | None = None
    private: bool = False
    sensitive: bool = False
    metered: bool = True
    menu: str = ""
    hidden: bool = False

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return self.signature.parameters

    @property
    def usage(self) -> str:
        return " ".join([self.name, *(parameter.usage for parameter in self.parameters)])

    @property
    def example(self) -> str:
        shown = [p.example for p in self.parameters if p.kind != "attachment" and (p.required or p.kind == "many")]
        return " ".join([self.name, *shown])

    def __repr__(self) -> str:
        return f"Command({self.usage!r})"


def command(
    name: str,
    *,
    permission: Permission = "owner",
    aliases: Iterable[str] = (),
    group: str = "",
    cooldown: float = 0.0,
    timeout: float | None = None,
    concurrency: Concurrency | None = None,
    private: bool = False,
    sensitive: bool = False,
    metered: bool = True,
    menu: str = "",
    hidden: bool = False,
) -> Callable[[Callable[..., Awaitable[Any]]], Command]:
    """Make a command of an async function ``(ctx, …) -> Reply | str | None``.

    Its parameters are the arguments (see ``socbot.dispatch.arguments``); the docstring's first line describes
    it, the rest is its help. Nobody but the owner may use it unless ``permission`` says so.

    :raises TypeError: if the signature cannot be read
    :raises ValueError: if a name or a number is unusable
    """

    def make(handler: Callable[..., Awaitable[Any]]) -> Command:
        for each in (name, *aliases):
            _check_name(each)
        if permission not in get_args(Permission):
            raise ValueError(f"command {name!r}: permission {permission!r} is not one of {get_args(Permission)}")
        if cooldown < 0 or (timeout is not None and timeout <= 0):
            raise ValueError(f"command {name!r}: cooldown ({cooldown}) and timeout ({timeout}) are positive seconds")
        if concurrency is not None and concurrency.limit < 1:
            raise ValueError(f"command {name!r}: a concurrency of {concurrency.limit} would never let it run")
        description, _, rest = (handler.__doc__ or "").strip().partition("\n")
        signature = compile_signature(handler)
        holds_secrets = sensitive or any(parameter.secret for parameter in signature.parameters)
        return Command(
            name, handler, signature, description, rest.strip(), permission, tuple(aliases),
            group, cooldown, timeout, concurrency, private, holds_secrets, metered, menu, hidden,
        )  # fmt: skip

    return make


def _check_name(name: str) -> None:
    words = name.split(" ")
    if len(words) > 2 or not all(word and word.replace("_", "a").replace("-", "a").isalnum() for word in words):
        raise ValueError(f"command name {name!r}: one or two words of letters, digits, - and _ are expected")
    if name != name.lower():
        raise ValueError(f"command name {name!r}: it is written in lower case; people may type it in any")


class Registry:
    """Commands by name and alias. A name of two words is found under its first (``incident open``)."""

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}
        self._groups: set[str] = set()
        self._near: dict[str, list[str]] | None = None

    def add(self, command: Command) -> None:
        """:raises ValueError: if a name is taken"""
        names = (command.name, *command.aliases)
        for name in names:
            if name in self._commands:
                raise ValueError(f"command {name!r} is already registered")
        for name in names:
            self._commands[name] = command
            first, space, _ = name.partition(" ")
            if space:
                self._groups.add(first)
        self._near = None

    def find(self, text: str) -> tuple[Command | None, str, str]:
        """The command that ``text`` names, the name as it was written, and what follows it.

        Where a group has no such command, the name is both words.
        """
        name, _, rest = text.partition(" ")
        found = self._commands.get(name)
        if found is not None and name not in self._groups:
            return found, name, rest
        parts = text.split(None, 1)
        if not parts:
            return None, "", ""
        name, rest = parts[0].lower(), parts[1] if len(parts) > 1 else ""
        if name in self._groups and rest:
            second, *further = rest.split(None, 1)
            both = f"{name} {second.lower()}"
            if both in self._commands or name not in self._commands:
                return self._commands.get(both), both, further[0] if further else ""
        return self._commands.get(name), name, rest

    def get(self, name: str) -> Command | None:
        """The command of that name or alias."""
        return self._commands.get(name.lower())

    def nearest(self, name: str, count: int = 2) -> tuple[str, ...]:
        """Names that differ from ``name`` by a letter left out, added or changed, or by two that are swapped.

        Costs the same whatever the number of commands: each name is filed under what is left of it when
        one of its letters is dropped.
        """
        if len(name) > 32:
            return ()
        if name.lower() in self._groups and name.lower() not in self._commands:
            return tuple(known for known in self._commands if known.startswith(name.lower() + " "))[:count]
        if self._near is None:
            self._near = {}
            for known in (name for name, each in self._commands.items() if not each.hidden):
                for rest in _with_dropped(known):
                    self._near.setdefault(rest, []).append(known)
        found = {known for rest in _with_dropped(name.lower()) for known in self._near.get(rest, ())}
        return tuple(difflib.get_close_matches(name.lower(), sorted(found), count, cutoff=0.6))

    def __iter__(self) -> Iterator[Command]:
        """Each command once, in the order of registration; hidden ones are not among them."""
        return iter(dict.fromkeys(each for each in self._commands.values() if not each.hidden))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _with_dropped(name: str) -> set[str]:
    return {name} | {name[:i] + name[i + 1 :] for i in range(len(name))}
