"""What the readers of the older bot's files know of the bot that takes them over."""

from datetime import tzinfo
from typing import Any

import msgspec

from socbot.bot import Bot
from socbot.config import Config, decode
from socbot.dispatch.messages import Identity
from socbot.dispatch.replies import printable
from socbot.documents import ConfigError
from socbot.importing.fields import digest_of, id_of, moment_of
from socbot.systems.blacklist import Kind
from socbot.systems.identities import Pseudonyms, storable

PLATFORM = "discord"
"""Where the older bot was: all of its ids are from there."""

IMPORTER = "import"
"""Who has done what was taken over, where it is not known otherwise."""


class World:
    """The bot, the moment, and the zone of what carries none.

    :ivar saved_at: when the file that is being read was last written
    :ivar addresses: those of the webhooks that are taken over, by name
    :ivar sealed: the same, as they are stored
    """

    def __init__(self, bot: Bot, zone: tzinfo, pseudonyms: Pseudonyms) -> None:
        self.bot, self.zone, self._pseudonyms = bot, zone, pseudonyms
        self.now = self.saved_at = bot.clock.time()
        self.listed: dict[tuple[Kind, Identity], str] = {}
        self.addresses: dict[str, str] = {}
        self.sealed: dict[str, str] = {}
        self._ids: set[str] = set()
        self._tree: dict[str, Any] = msgspec.to_builtins(bot.config)

    async def look(self) -> None:
        """Read what is in the store already."""
        await self._pseudonyms.load()
        entries = await self.bot.blacklist.entries()
        self.listed = {(entry.kind, entry.identity): entry.reason for entry in entries}

    @property
    def config(self) -> Config:
        return self.bot.config

    async def seal(self) -> None:
        """Seal the addresses that are taken over, which makes the key for it if there is none.

        :raises UserError: if there is no key, and none can be made
        """
        for name, url in self.addresses.items():
            self.sealed[name] = await self.bot.webhooks.sealed(name, url)

    def own_id(self, id: str, distinction: str) -> str:
        """``id``, or one made of it where something else that is taken over has it."""
        if id in self._ids:
            id = f"{id}-{digest_of([id, distinction, len(self._ids)])[:8].upper()}"
        self._ids.add(id)
        return id

    def past(self, value: object) -> float | None:
        """A moment that has been."""
        return moment_of(value, self.zone, self.now)

    def text(self, value: object, limit: int, keep: str = "") -> str:
        """Text as it may be kept: bounded, printable, without secrets; empty for what is none."""
        if not isinstance(value, str):
            return ""
        shown = printable(self.bot.redactor(value, limit), keep)
        return storable(shown if len(shown) <= limit else shown[: limit - 1] + "…", limit)

    def subject(self, value: object) -> str:
        """How the person of that id is written down; empty for no id."""
        id = id_of(value)
        return "" if id is None else self._pseudonyms.of((PLATFORM, id))

    def person(self, value: object) -> str:
        """Who did something: ``discord:id``, or the name that was written, which is nobody's id."""
        id = id_of(value)
        return f"{PLATFORM}:{id}" if id else self.text(value, 64).replace(":", " ").strip() or IMPORTER

    def value(self, key: str) -> Any:
        """What ``key`` of the configuration is, as JSON has it; the wishes before count too."""
        return _found(self._tree, key.split("."))

    def wish(self, key: str, value: Any) -> tuple[Any, Any]:
        """What ``key`` of the configuration is, and what it would be; the wishes before count too.

        :raises ConfigError: if it cannot be that
        """
        tree = msgspec.json.decode(msgspec.json.encode(self._tree))
        path = key.split(".")
        before = _found(tree, path)
        _put(tree, path, value)
        after = msgspec.to_builtins(decode(tree))
        self._tree = after
        return before, _found(after, path)


def _found(tree: dict[str, Any], path: list[str]) -> Any:
    value: Any = tree
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        tree = tree[part]
        if not isinstance(tree, dict):
            raise ConfigError(f"{'.'.join(path)}: there is no such key")
    tree[path[-1]] = value
