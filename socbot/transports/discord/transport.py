"""The bot on Discord: from the first look at the application to parting from the gateway."""

import logging
from collections.abc import Callable

import anyio
import discord
from anyio.abc import TaskGroup
from yarl import URL

from socbot.config import Config
from socbot.dispatch.replies import Reply, escape
from socbot.invite import invite_link
from socbot.storage.errors import StoreError
from socbot.systems import notices
from socbot.systems.starts import Starts
from socbot.transports.base import TransportRefused
from socbot.transports.discord.client import Client
from socbot.transports.discord.discretion import discreet
from socbot.transports.discord.events import command_log, leave_listed, ready
from socbot.transports.discord.faults import explain
from socbot.transports.discord.host import Host
from socbot.transports.discord.incoming import PLATFORM
from socbot.transports.discord.logins import Logins
from socbot.transports.discord.moderation import MemberTimeouts
from socbot.transports.discord.owners import tell_by
from socbot.transports.discord.preflight import Preflight, look_ahead, persistently
from socbot.transports.discord.requests import RequestGate
from socbot.transports.discord.responding import Responder
from socbot.transports.discord.slash import Slash
from socbot.transports.discord.syncing import OverHTTP, Synced, keep_in_sync

ANSWERS_TIMEOUT = 5.0
"""Seconds that answers under way have to arrive when the bot ends."""

GOODBYE_TIMEOUT, PARTING_TIMEOUT = 3.0, 1.0
"""Seconds to tell the owner that the bot ends, and to part from the gateway."""

_log = logging.getLogger("soc_bot")


class DiscordTransport:
    """Serves a bot on Discord.

    :param say: shows a line to whoever runs the process
    """

    def __init__(self, host: Host, say: Callable[[str], None] = lambda line: None) -> None:
        self._host, self._say = host, say
        self._responder = Responder(host, host.clock, host.random)
        self._client: Client | None = None
        self._starts: Starts | None = None
        self._scope = anyio.CancelScope()

    async def run(self) -> None:
        """Connect, and serve until closed.

        :raises TransportRefused: if Discord will not have the bot, with what to do about it
        """
        with self._scope, discreet():
            try:
                await self._serve()
            except Exception as error:  # whatever ended it: is it one of those that trying again cannot mend?
                fatal = explain(error)
                if fatal is None:
                    raise
                raise TransportRefused(fatal.text, fatal.exit_code) from None

    async def tell(self, reply: Reply) -> None:
        """Show the owner what became of something that was done to the process."""
        await self._host.notices.notify(reply)

    async def close(self) -> None:
        """Let answers under way arrive, say goodbye to the owner, and part from the gateway."""
        await self._responder.settle(ANSWERS_TIMEOUT)
        if self._client is not None:
            await self._say_goodbye()
            await _part(self._client)
        self._scope.cancel()

    # -- serving ------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        host, config = self._host, self._host.config.discord
        host.vitals.watch_links(PLATFORM, self._links)
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # nobody here wants to speak
        if config.api_url:
            discord.http.Route.BASE = config.api_url.rstrip("/")
        async with anyio.create_task_group() as tasks:

            def tell(reply: Reply) -> None:
                tasks.start_soon(host.notices.notify, reply)

            gate = RequestGate(host.clock, tell)
            preflight = await look_ahead(config, host.clock, host.random, gate)
            if config.api_url:
                discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = URL(preflight.gateway)
            self._introduce(preflight)
            logins = Logins(host.database, host.clock, tell)
            await logins.ready(preflight.shard_ids, preflight.shard_count, preflight.limit)
            slash = Slash(host.dispatcher.registry)

            async def log_in() -> Client:
                return await _logged_in(Client(host, self._responder, slash, preflight, logins, gate), config.token)

            client = self._client = await persistently(log_in, host.clock, host.random)
            try:
                self._offer(client)
                self._follow_settings(client, tasks)
                tasks.start_soon(self._responder.sweep)
                if config.slash and 0 in preflight.shard_ids:  # one of several processes is enough
                    tasks.start_soon(self._keep_in_sync, client, slash)
                tasks.start_soon(self._greet, client, preflight)
                await client.connect()
            finally:
                await _part(client)
            tasks.cancel_scope.cancel()

    def _introduce(self, preflight: Preflight) -> None:
        """Tell the bot who it is here, and who else owns it."""
        owners = preflight.owner_ids if self._host.config.discord.team_owners else ()
        self._host.recognise(
            owners=[(PLATFORM, str(id)) for id in owners], identities=[(PLATFORM, str(preflight.user_id))]
        )
        for sentence in preflight.warnings:
            _log.warning("%s", sentence)
            self._say(f"⚠ {sentence}")

    def _offer(self, client: Client) -> None:
        """Let the systems have what can be done and known here."""
        host = self._host
        for name, way in tell_by(client, host):
            host.on_notice(way, name)
        timeouts = MemberTimeouts(client, host.clock, lambda: host.config.discord.time_out_members)
        host.rate_limiter.enforce_with(PLATFORM, timeouts)
        host.vitals.measure_transport(PLATFORM, lambda: client.measured_latency)
        host.vitals.communities = client.communities
        host.dispatcher.observe(command_log(client.name_of_guild))

    def _links(self) -> tuple[float | None, ...]:
        """As long as there is no client, no shard has ever been connected."""
        return (self._client.links if self._client is not None else ()) or (float("inf"),)

    def _follow_settings(self, client: Client, tasks: TaskGroup) -> None:
        """Show a changed status or activity at once."""

        def prepare(config: Config) -> Callable[[], None]:
            before, after = self._host.config.discord, config.discord

            def apply() -> None:
                if (before.status, before.activity) != (after.status, after.activity):
                    tasks.start_soon(client.show_presence, after)

            return apply

        self._host.settings.participate(prepare)

    async def _keep_in_sync(self, client: Client, slash: Slash) -> None:
        host = self._host
        for warning in slash.warnings:
            _log.warning("%s", warning)

        def told(synced: Synced) -> None:
            if synced.reason:
                _log.warning("%s", synced.reason)
            elif synced.state == "put":
                _log.info("slash commands were brought up to date (%s)", synced.scope)

        remote = OverHTTP(client.http, str(client.application_id))
        await keep_in_sync(slash.commands, host.config.discord.guilds, remote, host.database, host.clock, told)

    async def _greet(self, client: Client, preflight: Preflight) -> None:
        """Once every guild is there."""
        await client.wait_until_ready()
        ready(client.guilds)
        await leave_listed(client.guilds, self._host.blacklist, self._host.notices.notify)
        self._say(f"{client.user} is on Discord: {client.communities()}.")
        if not client.guilds:
            self._say(f"It is in no server yet. Invite it: {invite_link(str(preflight.application_id))}")
        if self._host.config.discord.notify_start:
            self._starts = Starts(self._host.database, self._host.clock, f"{PLATFORM}.{preflight.shard_ids[0]}")
            untold = await self._untold_starts(self._starts)
            if untold is not None:
                await self._host.notices.notify(self._greeting(client, preflight, untold))

    async def _untold_starts(self, starts: Starts) -> int | None:
        try:
            return await starts.began()
        except StoreError as error:
            _log.warning("it is not known when the bot was started before: %s", error)
            return 0

    def _greeting(self, client: Client, preflight: Preflight, untold: int) -> Reply:
        crashes = (f"{untold} starts before this one were not told: each time the bot was cut short.",)
        # A bot that was killed just then may have told nobody.
        paused = [
            f"Webhook {escape(each.name)} is paused: {escape(each.state_reason, 200)}"
            for each in self._host.webhooks.all()
            if each.state == "paused"
        ]
        return notices.startup(
            guilds=len(client.guilds),
            users=client.user_count,
            chain=[stage.name for stage in self._host.dispatcher.chain.stages],
            shards=len(client.shards),
            problems=(*preflight.warnings, *(crashes if untold else ()), *paused),
        )

    async def _say_goodbye(self) -> None:
        if self._starts is None:
            return
        lifecycle = self._host.lifecycle
        goodbye = notices.shutting_down(uptime=lifecycle.uptime, restart=lifecycle.exit_code != 0)
        with anyio.move_on_after(GOODBYE_TIMEOUT):
            await self._host.notices.notify(goodbye)
        try:
            await self._starts.ended()
        except StoreError as error:
            _log.warning("that the bot has ended in order is not written down: %s", error)


async def _logged_in(client: Client, token: str) -> Client:
    """The client, logged in at Discord's API but not at its gateway; closed if that fails."""
    try:
        await client.login(token)
    except BaseException:
        await _part(client)
        raise
    return client


async def _part(client: Client) -> None:
    """Leave nothing of it open, whoever is in a hurry: a gateway that is away says no goodbye."""
    with anyio.CancelScope(shield=True):
        with anyio.move_on_after(PARTING_TIMEOUT):
            await client.close()
        await client.http.close()
