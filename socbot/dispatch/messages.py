"""What comes in, free of any platform. Every id is a string."""

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
    """A file that came with a message; ``size`` in bytes, ``content`` where the transport has it at hand."""

    name: str
    size: int
    url: str = ""
    content: bytes | None = None


class Answer(Struct, frozen=True):
    """The answer to a question that was asked with a ``Confirm``."""

    token: str
    yes: bool


class Message(Struct, frozen=True):
    """One message, as a transport hands it to the dispatcher.

    :param guild: the community it was written in; None for a direct message
    :param id: the platform's id of the event; one id runs once
    :param edited: edits and forwards never run anything
    :param stable_ids: False where an author's id may change hands (nicknames); such an author is nobody's owner or
        administrator
    :param answer: set instead of text where a platform has buttons
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
