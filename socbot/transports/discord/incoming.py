"""From Discord's events to messages of ours."""

import re
from collections.abc import Mapping

import discord

from socbot.dispatch.messages import Answer, Attachment, Message, User

PLATFORM = "discord"

_WRITTEN = frozenset((discord.MessageType.default, discord.MessageType.reply))


class Reader:
    """Tells which messages may be commands, and hands them on free of the platform.

    :param me: the bot's own id, for commands that begin by mentioning it
    """

    def __init__(self, me: int) -> None:
        self._mention = re.compile(rf"<@!?{me}>\s*")

    def read(self, message: discord.Message, prefix: str) -> Message | None:
        """The message, if it can be meant for the bot; None for all the rest, at next to no cost.

        What bots and webhooks write, and what the platform says by itself, is nobody's command.
        """
        text = message.content
        if not text.startswith((prefix, "<@", "confirm ", "Confirm ")):
            return None
        author = message.author
        if author.bot or message.webhook_id is not None or message.type not in _WRITTEN:
            return None
        if text.startswith("<@"):
            mention = self._mention.match(text)
            if mention is None:
                return None
            text = prefix + (text[mention.end() :] or "help").removeprefix(prefix)
        guild = message.guild
        return Message(
            text,
            User(str(author.id), author.name, guild is not None and is_admin(author)),
            PLATFORM,
            str(message.channel.id),
            None if guild is None else str(guild.id),
            str(message.id),
            tuple(map(attached, message.attachments)) if message.attachments else (),
        )


def is_admin(author: discord.User | discord.Member) -> bool:
    """Whether somebody is an administrator of the guild of which this is a member; its owner is one."""
    return isinstance(author, discord.Member) and author.guild_permissions.administrator


def attached(file: discord.Attachment) -> Attachment:
    return Attachment(file.filename, file.size, file.url, fetch=file.read)


def invoked(
    interaction: discord.Interaction,
    text: str,
    options: Mapping[str, str] | None = None,
    attachments: tuple[Attachment, ...] = (),
    answer: Answer | None = None,
) -> Message:
    """The message that an interaction stands for; ``options`` None where it answers something."""
    user = interaction.user
    return Message(
        text,
        User(
            str(user.id),
            user.name,
            interaction.guild_id is not None and interaction.permissions.administrator,
            user.bot,
        ),
        PLATFORM,
        str(interaction.channel_id or ""),
        None if interaction.guild_id is None else str(interaction.guild_id),
        str(interaction.id),
        attachments,
        answer=answer,
        options=None if options is None else dict(options),
        forms=options is not None,
    )
