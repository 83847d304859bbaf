"""discord.py's client: what each of its events means to the bot."""

import math
import sys
from contextlib import suppress
from functools import partial
from typing import Any

import aiohttp
import anyio
import discord
from discord import InteractionType
from discord.gateway import DiscordWebSocket
from discord.shard import Shard

from socbot.config import DiscordConfig
from socbot.dispatch.commands import Command
from socbot.dispatch.messages import Answer, Attachment, Message
from socbot.systems.completions import fitting
from socbot.systems.errors import Where
from socbot.transports.discord import events
from socbot.transports.discord.answering import ButtonAnswer, ChannelAnswer, InteractionAnswer
from socbot.transports.discord.books import JSON, UNKNOWN, filled_in, parse_custom_id
from socbot.transports.discord.connection import ShardConnection
from socbot.transports.discord.host import Host
from socbot.transports.discord.incoming import PLATFORM, Reader, invoked
from socbot.transports.discord.letters import Letter
from socbot.transports.discord.logins import Logins
from socbot.transports.discord.preflight import Preflight, session_limit
from socbot.transports.discord.requests import RequestGate
from socbot.transports.discord.responding import Responder
from socbot.transports.discord.slash import Focus, Slash

_STALE = Letter("That command is not there any more; Discord will show the new ones in a moment.")


class Client(discord.AutoShardedClient):
    """The plain gateway client. It has no commands of its own: everything goes through the one dispatcher.

    It keeps no members and no messages: nothing that it holds grows with the number of users.
    """

    def __init__(
        self, host: Host, responder: Responder, slash: Slash, preflight: Preflight, logins: Logins, gate: RequestGate
    ) -> None:
        config = host.config.discord
        super().__init__(
            intents=preflight.intents,
            shard_ids=list(preflight.shard_ids),
            shard_count=preflight.shard_count,
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            status=discord.Status(config.status),
            activity=activity_of(config.activity),
            connector=gate.connector(),
            max_ratelimit_timeout=60.0,
        )
        self._host, self._responder, self._slash, self._logins = host, responder, slash, logins
        self._reader = Reader(preflight.user_id)
        self._serving = anyio.CancelScope()
        self._kept: list[ShardConnection] = []

    # -- messages -----------------------------------------------------------------------------------------

    async def on_message(self, message: discord.Message) -> None:
        prefix = self._host.dispatcher.prefixes[0]
        events.message_seen(message, prefix, self._host.redactor)
        incoming = self._reader.read(message, prefix)
        if incoming is None:
            return
        await self._responder.respond(incoming, ChannelAnswer(message, self.http, self._responder.vanish))

    # -- slash commands, menus, buttons, forms --------------------------------------------------------------

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        data: JSON = dict(interaction.data or {})
        if interaction.type is InteractionType.application_command:
            await self._invoke(interaction, data)
        elif interaction.type is InteractionType.autocomplete:
            await self._complete(interaction, data)
        elif self._is_shut_out(interaction):
            return
        elif interaction.type is InteractionType.component:
            await self._press(interaction, data["custom_id"])
        elif interaction.type is InteractionType.modal_submit:
            await self._submit(interaction, data["custom_id"], filled_in(data["components"]))

    async def _invoke(self, interaction: discord.Interaction, data: JSON) -> None:
        found = self._slash.command_of(data)
        if found is None:
            if not self._is_shut_out(interaction):
                await InteractionAnswer(interaction, self._host.clock).finish(_STALE, private=True)
            return
        command, options = found
        files = tuple(map(self._attached, self._slash.attachments_of(data)))
        message = invoked(interaction, self._host.dispatcher.prefixes[0] + command.name, options, files)
        answer = InteractionAnswer(interaction, self._host.clock, command.private)
        await self._responder.respond_in_time(message, answer)

    def _attached(self, file: JSON) -> Attachment:
        url = str(file["url"])
        return Attachment(file["filename"], file["size"], url, fetch=partial(self.http.get_from_cdn, url))

    async def _complete(self, interaction: discord.Interaction, data: JSON) -> None:
        """Names for what is being typed: for who may use the command, and nobody who is listed."""
        focus = self._slash.focused(data)
        names: tuple[str, ...] = ()
        who = invoked(interaction, "")
        if focus is not None and self._may_use(who, focus.command):
            names = await self._names(who, focus)
        await interaction.response.autocomplete([discord.app_commands.Choice(name=name, value=name) for name in names])

    async def _names(self, who: Message, focus: Focus) -> tuple[str, ...]:
        def may_be_known(name: str) -> bool:
            found = self._host.dispatcher.registry.get(name)
            return found is None or self._may_use(who, found)

        kind = focus.parameter.completes
        if not kind:
            return fitting(focus.parameter.choices, focus.typed)
        keep = may_be_known if kind in ("command", "topic") else None
        own = None if who.identity in self._host.dispatcher.owners else f"{who.platform}:{who.guild}"
        return await self._host.completions.find(kind, focus.typed, keep=keep, guild=own)

    def _may_use(self, who: Message, command: Command) -> bool:
        if who.identity in self._host.dispatcher.owners:
            return True
        if self._is_listed(who):
            return False
        return command.permission == "public" or (command.permission == "admin" and who.author.is_admin)

    def _is_listed(self, who: Message) -> bool:
        """Whether somebody is, or the guild in which they are; an owner never counts as listed."""
        if who.identity in self._host.dispatcher.owners:
            return False
        return self._host.blacklist.listed(who.identity, who.guild) is not None

    def _is_shut_out(self, interaction: discord.Interaction) -> bool:
        """Whether the buttons and forms of somebody who is listed are dead: where the chain refuses their commands."""
        if not self._is_listed(invoked(interaction, "")):
            return False
        stages = self._host.dispatcher.chain.stages
        return any(stage.name == "blacklist" and stage.mode == "enforce" for stage in stages)

    async def _press(self, interaction: discord.Interaction, custom_id: str) -> None:
        pressed = parse_custom_id(custom_id)
        if pressed is None:
            await ButtonAnswer(interaction, self._host.clock).finish(Letter(UNKNOWN), private=True)
        elif pressed.kind == "book":
            await self._responder.turn(interaction, custom_id)
        elif pressed.kind == "question":
            await self._responder.decide(interaction, pressed)

    async def _submit(self, interaction: discord.Interaction, custom_id: str, given: dict[str, str]) -> None:
        submitted = parse_custom_id(custom_id)
        if submitted is not None and submitted.kind == "book":
            await self._responder.turn(interaction, custom_id, given.get("page", ""))
        elif submitted is not None and submitted.kind == "form":
            message = invoked(interaction, "", answer=Answer(submitted.token, True, given))
            await self._responder.respond_in_time(message, InteractionAnswer(interaction, self._host.clock, True))

    # -- the connection -------------------------------------------------------------------------------------

    async def connect(self, *, reconnect: bool = True) -> None:
        """Keep every shard connected until the client is closed.

        :raises discord.ConnectionClosed: in a group, if Discord ends it with a code that no new attempt can mend
        """
        self._reconnect, state, logging_in = reconnect, self._connection, anyio.Lock()
        state.shard_count, state.shard_ids = self.shard_count, list(self.shard_ids or ())
        with self._serving:
            async with anyio.create_task_group() as tasks:
                self._kept = [self._shard(shard_id, logging_in) for shard_id in state.shard_ids]
                for shard in self._kept:
                    tasks.start_soon(shard.keep)

    def _shard(self, shard_id: int, logging_in: anyio.Lock) -> ShardConnection:
        return ShardConnection(
            self,
            shard_id,
            self._host.clock,
            self._host.random,
            logging_in=logging_in,
            login_turn=self._login_turn,
            adopt=self._adopt,
            report=self._report,
        )

    async def _login_turn(self, shard_id: int) -> None:
        await self._logins.ready([shard_id], self.shard_count or 1, await session_limit(self))

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        await self._logins.take(shard_id or 0, self.shard_count or 1)

    def _adopt(self, shard_id: int, ws: DiscordWebSocket) -> None:
        """Let the library find the shard's connection: for its latency, its presence, and to close it."""
        vars(self)["_AutoShardedClient__shards"][shard_id] = Shard(ws, self, lambda item: None)

    async def close(self) -> None:
        self._serving.cancel()
        await super().close()

    async def on_guild_join(self, guild: discord.Guild) -> None:
        await events.guild_joined(guild, self._host.blacklist, self._host.notices.notify)

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        events.guild_left(guild)

    async def on_member_join(self, member: discord.Member) -> None:
        events.member_joined(member)

    async def on_raw_member_remove(self, payload: discord.RawMemberRemoveEvent) -> None:
        events.member_left(payload, self.get_guild(payload.guild_id))

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        """What an event of the library broke is an error of the bot's, like any other."""
        error = sys.exc_info()[1]
        if error is not None:
            await self._report(error, event_method)

    async def _report(self, error: BaseException, event: str = "gateway") -> None:
        await self._host.errors.capture(error, Where(platform=PLATFORM, command=f"discord:{event}"))

    async def show_presence(self, config: DiscordConfig) -> None:
        self.status, activity = discord.Status(config.status), activity_of(config.activity)
        self._connection._activity = activity.to_dict() if activity else None
        with suppress(OSError, aiohttp.ClientError):  # the connection is broken: the next login tells it
            await self.change_presence(status=self.status, activity=activity)

    # -- what is known of it ----------------------------------------------------------------------------------

    @property
    def user_count(self) -> int:
        return sum(guild.member_count or 0 for guild in self.guilds)

    def communities(self) -> str:
        guilds = len(self.guilds)
        return f"{guilds} guild{'s' * (guilds != 1)}, {self.user_count} users"

    def name_of_guild(self, id: str) -> str:
        guild = self.get_guild(int(id))
        return "" if guild is None else guild.name

    @property
    def links(self) -> tuple[float | None, ...]:
        """Of each shard for how many seconds it has been without a session; None of one that has one."""
        return tuple(shard.lost_for for shard in self._kept)

    @property
    def measured_latency(self) -> float | None:
        """Seconds that the gateway took to answer the last heartbeat; None while there is none."""
        return self.latency if self.shards and math.isfinite(self.latency) else None


def activity_of(text: str) -> discord.BaseActivity | None:
    """What is shown beneath the bot's name: ``watching …``, ``playing …``, ``listening to …``, or as it stands."""
    for start, kind in _ACTIVITIES.items():
        if text.lower().startswith(start):
            return discord.Activity(type=kind, name=text[len(start) :])
    return discord.CustomActivity(text) if text else None


_ACTIVITIES = {
    "watching ": discord.ActivityType.watching,
    "playing ": discord.ActivityType.playing,
    "listening to ": discord.ActivityType.listening,
    "competing in ": discord.ActivityType.competing,
}
