"""What comes in, free of any platform. Every id is a string."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from msgspec import Struct

Identity: TypeAlias = tuple[str, str]
"""Platform and immutable id: the only thing by which anybody is recognised."""


class User(Struct, frozen=True):
    """Who wrote a message.

    ``is_admin`` means administrator of the guild in which the message was written. ``is_bot`` covers
    other bots, webhooks and the bot itself: nothing that they write is ever a command.
    """

    id: str
    name: str = ""
    is_admin: bool = False
    is_bot: bool = False


class Attachment(Struct, frozen=True):
    """A file that came with a message; ``size`` in bytes.

    :param content: where the transport has it at hand
    :param fetch: gets it otherwise; a transport's own, called by ``read``
    """

    name: str
    size: int
    url: str = ""
    content: bytes | None = None
    fetch: Callable[[], Awaitable[bytes]] | None = None

    async def read(self) -> bytes:
        """The file's content, fetched when it is not at hand: only what passed the chain costs a download.

        :raises FileNotFoundError: if the transport gave neither the content nor a way to it
        """
        if self.content is not None:
            return self.content
        if self.fetch is None:
            raise FileNotFoundError(f"the content of {self.name!r} did not come with the message")
        return await self.fetch()


class Answer(Struct, frozen=True):
    """The answer to a question that was asked with a ``Confirm``, or what was filled into a ``Form``.

    :param options: what was filled in, by the name of the argument
    """

    token: str
    yes: bool
    options: dict[str, str] = {}

    def __repr__(self) -> str:  # what is filled in may be a secret
        return f"Answer(yes={self.yes}, options={sorted(self.options)})"


class Message(Struct, frozen=True):
    """One message, as a transport hands it to the dispatcher.

    :param guild: the community it was written in; None for a direct message
    :param id: the platform's id of the event; one id runs once
    :param edited: edits and forwards never run anything
    :param stable_ids: False where an author's id may change hands (nicknames); such an author is nobody's owner or
        administrator
    :param answer: set instead of text where a platform has buttons
    :param options: the arguments by name, as somebody would type each, where a platform has a form for them; the text
        is the command's name alone then
    :param forms: whether an argument that is missing can be asked for with a ``Form``
    """

    text: str
    author: User
    platform: str = "local"
    channel: str = ""
    guild: str | None = None
    id: str | None = None
    attachments: tuple[Attachment, ...] = ()
    edited: bool = False
    stable_ids: bool = True
    answer: Answer | None = None
    options: dict[str, str] | None = None
    forms: bool = False

    def __repr__(self) -> str:  # what is filled into a form may be a secret
        given = "" if self.options is None else f", options={sorted(self.options)}"
        return (
            f"Message({self.text!r}, {self.author!r}, {self.platform!r}, guild={self.guild!r}, id={self.id!r}{given})"
        )

    @property
    def identity(self) -> Identity:
        """Whose it is. An id that may change hands is set apart by a ``~``, so that it is never taken for one that
        may not.
        """
        return (self.platform, self.author.id if self.stable_ids else "~" + self.author.id)


class UserRef(Struct, frozen=True):
    """A user whom a message names."""

    platform: str
    id: str
    name: str = ""

    @property
    def identity(self) -> Identity:
        return (self.platform, self.id)


class GuildRef(Struct, frozen=True):
    """A guild that a message names."""

    platform: str
    id: str
    name: str = ""

    @property
    def identity(self) -> Identity:
        return (self.platform, self.id)


class ChannelRef(Struct, frozen=True):
    """A channel that a message names."""

    platform: str
    id: str
    name: str = ""
