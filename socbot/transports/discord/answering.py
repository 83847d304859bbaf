"""How an answer reaches whoever asked: in the channel, to them alone, or as the response to an interaction."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

import aiohttp
import anyio
import discord
from discord.http import HTTPClient, handle_message_parameters
from msgspec import structs

from socbot.dispatch.clock import Clock
from socbot.transports.discord.letters import Letter

ACK_BUDGET = 1.5
"""Seconds after which an interaction without an answer is acknowledged; Discord gives three."""

TOKEN_LIFETIME = 14.5 * 60
"""Seconds in which an interaction's token is used; Discord takes it for fifteen minutes."""

DIRECTLY, IN_CHANNEL, ALONE = "by direct message", "in the channel", "by an answer that they alone saw"

CLOSED_DMS = 50_007
"""Discord's code for somebody who takes no direct messages."""

UNSENT = (discord.DiscordException, aiohttp.ClientError, OSError)
"""What a request ends with whose answer is no, or does not come."""

_CONNECTION_BROKE = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)
_OVER = (10_015, 10_062, 50_027)  # unknown webhook, unknown interaction, invalid token: the interaction's time is over
_NOBODY = discord.AllowedMentions.none()
_NOTE = Letter("📬 I answered you in a direct message.")
_MUTE = "I may not write in the channel where you asked, so here is the answer."
_CLOSED = Letter(
    "That is not for a public channel, and I cannot send you direct messages. "
    "Allow them for this server, or use the slash command: its answer is shown to you alone."
)

Edit: TypeAlias = Callable[[Letter], Awaitable[None]]
"""Shows something else in the place of what was sent."""

Vanish: TypeAlias = Callable[[discord.PartialMessage, float], None]
"""Has a message deleted after so many seconds."""


class Answering(Protocol):
    """Where what is said about one command goes.

    :ivar way: how the last of it went, in words
    """

    way: str

    async def progress(self, letter: Letter, *, private: bool = False) -> None:
        """Show how far it is, each in the place of the one before; what is private, only where nobody else sees it."""

    async def finish(
        self, letter: Letter, *, private: bool = False, fleeting: float = 0.0, secret: bool = True
    ) -> Edit:
        """Show the answer.

        :param private: to whoever asked alone
        :param fleeting: seconds after which it may go, where it can only be shown to everybody
        :param secret: whether nobody else may see what is private, also where its reader cannot be reached alone
        """

    async def silence(self) -> None:
        """There is no answer."""

    async def conceal(self) -> None:
        """Take away what was written, which holds a secret, where the bot may."""


class ChannelAnswer:
    """Answers a text message, below it; in private by a direct message, of which the channel is told."""

    def __init__(self, asked: discord.Message, http: HTTPClient, vanish: Vanish) -> None:
        self._asked, self._http, self._vanish = asked, http, vanish
        self._sent = 0
        self.way = ""
        self._progress: discord.PartialMessage | None = None

    async def progress(self, letter: Letter, *, private: bool = False) -> None:
        if private and self._asked.guild is not None:
            return
        if self._progress is None:
            self._progress = await self._reply(letter)
        else:
            await self._progress.edit(**letter.to_edit())

    async def finish(
        self, letter: Letter, *, private: bool = False, fleeting: float = 0.0, secret: bool = True
    ) -> Edit:
        if private and not fleeting and self._asked.guild is not None:
            return await self._in_private(letter, _CLOSED if secret else letter)
        if self._progress is not None:
            await self._progress.edit(**letter.to_edit())
            return _editing(self._progress)
        return _editing(await self._reply(letter, fleeting if private else 0.0))

    async def silence(self) -> None:
        if self._progress is not None:
            await self._progress.delete()

    async def conceal(self) -> None:
        allowed = _allowed_in(self._asked)
        if allowed is not None and allowed.manage_messages:
            await self._asked.delete()

    async def _reply(self, letter: Letter, fleeting: float = 0.0) -> discord.PartialMessage:
        asked = self._asked
        allowed = _allowed_in(asked)
        if allowed is not None and not _may_write(allowed, asked.channel):
            return await self._aside(letter)
        shown = letter if allowed is None or allowed.embed_links else letter.without_embed()
        nonce = f"{asked.id}{self._sent}"  # a request that is tried again makes no second message
        self._sent += 1
        try:
            sent = await self._send(shown, nonce)
        except _CONNECTION_BROKE:
            sent = await self._send(shown, nonce)
        self.way = IN_CHANNEL if asked.guild is not None else DIRECTLY
        if fleeting and asked.guild is not None:
            self._vanish(sent, fleeting)
        return sent

    async def _send(self, letter: Letter, nonce: str) -> discord.PartialMessage:
        # Not by channel.send: it makes two whole messages of what Discord says, and all that is needed is the id.
        channel, reference = self._asked.channel, self._asked.to_reference(fail_if_not_exists=False)
        with handle_message_parameters(
            **letter.to_send(),
            message_reference=reference.to_message_reference_dict(),
            nonce=nonce,
            previous_allowed_mentions=_NOBODY,
        ) as parameters:
            sent = await self._http.send_message(channel.id, params=parameters)
        return discord.PartialMessage(channel=channel, id=int(sent["id"]))

    async def _aside(self, letter: Letter) -> discord.PartialMessage:
        """To the author alone: a request that must fail would count against the bot."""
        shown = structs.replace(letter, content=f"{_MUTE}\n{letter.content}"[:2000].strip())
        self.way = DIRECTLY
        return await self._asked.author.send(**shown.to_send())

    async def _in_private(self, letter: Letter, otherwise: Letter) -> Edit:
        try:
            sent = await self._asked.author.send(**letter.to_send())
        except discord.Forbidden:
            return _editing(await self._reply(otherwise))
        if self._progress is not None:
            await self._progress.edit(**_NOTE.to_edit())
        else:
            await self._reply(_NOTE)
        self.way = DIRECTLY
        return _editing(sent)


class InteractionAnswer:
    """Answers a slash command, a menu, a form or a button; in private by an answer that they alone see.

    :param private: whether the answer is expected to be
    """

    def __init__(self, interaction: discord.Interaction, clock: Clock, private: bool = False) -> None:
        self._interaction, self._clock = interaction, clock
        self._private = private and interaction.guild_id is not None
        self._began = clock.monotonic()
        self._acting = anyio.Lock()
        self._shown = self._lost = False
        self.way = ""

    @property
    def acknowledged(self) -> bool:
        return self._interaction.response.is_done()

    async def acknowledge(self) -> None:
        """Tell Discord within its three seconds that an answer is coming, unless there is one by then."""
        await self._clock.sleep(ACK_BUDGET)
        with anyio.CancelScope(shield=True):  # whether it was acknowledged must be known
            async with self._acting:
                if not self.acknowledged:
                    await self._defer()

    async def _defer(self) -> None:
        try:
            await self._interaction.response.defer(ephemeral=self._private, thinking=True)
        except UNSENT:
            self._lost = True  # the command goes on, and its answer another way

    async def progress(self, letter: Letter, *, private: bool = False) -> None:
        await self._show(letter, self._private or (private and self._interaction.guild_id is not None))

    async def finish(
        self, letter: Letter, *, private: bool = False, fleeting: float = 0.0, secret: bool = True
    ) -> Edit:
        if self._interaction.guild_id is None:  # a direct message is private as it is
            private, self.way = False, DIRECTLY
        else:
            self.way = ALONE if private else IN_CHANNEL
        try:
            if not self._lost and self._clock.monotonic() - self._began < TOKEN_LIFETIME:
                return await self._show(letter, private)
        except discord.HTTPException as error:
            if error.code not in _OVER:
                raise
        return await self._without_the_token(letter, private)

    async def ask(self, modal: discord.ui.Modal) -> bool:
        """Open a form, if there is still time; whether there was."""
        async with self._acting:
            if self.acknowledged:
                return False
            await self._interaction.response.send_modal(modal)
            return True

    async def silence(self) -> None:
        async with self._acting:
            if self.acknowledged and not self._shown:
                await self._interaction.delete_original_response()

    async def conceal(self) -> None:
        """What was given to an interaction is shown to nobody."""

    async def _show(self, letter: Letter, private: bool) -> Edit:
        interaction = self._interaction
        async with self._acting:
            if not self.acknowledged:
                self._private = private
                self._shown = True
                await interaction.response.send_message(**letter.to_send(), ephemeral=private)
                return self._edit_original
            if private and not self._private:
                # What everybody sees cannot be made private, and what follows a "thinking" takes its place: away first.
                if not self._shown:
                    await interaction.delete_original_response()
                return _editing(await interaction.followup.send(**letter.to_send(), ephemeral=True, wait=True))
            self._shown = True
            await self._edit_original(letter)
            return self._edit_original

    async def _edit_original(self, letter: Letter) -> None:
        await self._interaction.edit_original_response(**letter.to_edit())

    async def _without_the_token(self, letter: Letter, private: bool) -> Edit:
        """By an ordinary message, since the interaction's time is over."""
        interaction = self._interaction
        if private or interaction.guild_id is None or not isinstance(interaction.channel, discord.abc.Messageable):
            self.way = DIRECTLY
            return _editing(await interaction.user.send(**letter.to_send()))
        return _editing(await interaction.channel.send(**letter.to_send()))


class ButtonAnswer(InteractionAnswer):
    """Answers the click on a button: what was clicked on is shown anew, what is said besides comes after it."""

    _said: Edit | None = None
    """Shows something else in the place of what was said last."""

    async def update(self, letter: Letter) -> Edit:
        """Show something else in the place of the message with the button."""
        async with self._acting:
            await self._interaction.response.edit_message(**letter.to_edit())
        return self._edit_original

    async def _show(self, letter: Letter, private: bool) -> Edit:
        interaction = self._interaction
        async with self._acting:
            if self._said is not None and (self._private or not private):
                await self._said(letter)
                return self._said
            self._private = private
            if not self.acknowledged:
                await interaction.response.send_message(**letter.to_send(), ephemeral=private)
                self._said = self._edit_original
            else:
                sent = await interaction.followup.send(**letter.to_send(), ephemeral=private, wait=True)
                self._said = _editing(sent)
            return self._said

    async def silence(self) -> None:
        return None


def _allowed_in(asked: discord.Message) -> discord.Permissions | None:
    """What the bot may do where that was written; None if that is not known, or everything."""
    if asked.guild is None or isinstance(asked.channel, discord.DMChannel | discord.GroupChannel):
        return None
    try:
        return asked.channel.permissions_for(asked.guild.me)
    except discord.ClientException:  # a thread whose parent is not known
        return None


def _may_write(allowed: discord.Permissions, channel: "discord.abc.MessageableChannel") -> bool:
    return allowed.send_messages_in_threads if isinstance(channel, discord.Thread) else allowed.send_messages


def _editing(sent: discord.PartialMessage) -> Edit:
    async def edit(letter: Letter) -> None:
        await sent.edit(**letter.to_edit())

    return edit
