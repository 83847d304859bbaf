"""What Discord says of the bot before it logs in: who it is, what it may have, and how it should connect."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import TypeVar

import aiohttp
import anyio
import discord
from discord import AppInfo, ApplicationFlags, TeamMemberRole, TeamMembershipState
from msgspec import Struct
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from socbot.config import DiscordConfig
from socbot.dispatch.clock import Clock
from socbot.jobs.backoff import delay
from socbot.shards import Shards, parse_shards
from socbot.transports.discord.faults import UNAUTHORISED, DiscordRefused, explain
from socbot.transports.discord.logins import SessionLimit
from socbot.transports.discord.requests import RequestGate, RequestsPaused

T = TypeVar("T")

_log = logging.getLogger("soc_bot")

_WHERE = "under Bot → Privileged Gateway Intents on https://discord.com/developers/applications"

NO_MESSAGE_CONTENT = (
    "Prefix commands need the message content intent, which the application does not have: slash commands, mentions "
    f"and direct messages work. It is switched on {_WHERE}."
)
NO_MEMBERS = (
    "Who joins and who leaves is not seen: that needs the server members intent, which the application does not have. "
    f"It is switched on {_WHERE}."
)
NOT_GRANTED = "discord.{key} is on, but the application does not have that intent: Discord will refuse the login. "

LIMIT_TIMEOUT = 10.0
"""Seconds: a login waits no longer for what is only asked to be sure."""

_PASSING = (
    aiohttp.ClientError,
    OSError,
    TimeoutError,
    discord.HTTPException,
    discord.GatewayNotFound,
    discord.RateLimited,
)
_MAY_COMMAND = (TeamMemberRole.admin, TeamMemberRole.developer)


class Preflight(Struct, frozen=True):
    """What Discord said.

    :param owner_ids: the application's owner, or its team's owner and those of the team who may change it
    :param shards: this process's, all of it filled in
    :param warnings: a sentence for each thing that will not work
    """

    user_id: int
    application_id: int
    flags: ApplicationFlags
    owner_ids: tuple[int, ...]
    shards: Shards
    gateway: str
    limit: SessionLimit
    intents: discord.Intents
    warnings: tuple[str, ...] = ()

    @property
    def shard_ids(self) -> tuple[int, ...]:
        return self.shards.ids or ()

    @property
    def shard_count(self) -> int:
        return self.shards.count or 1


async def look_ahead(config: DiscordConfig, clock: Clock, random: Random, gate: RequestGate) -> Preflight:
    """Ask Discord, without logging in at its gateway; again and again while it cannot be reached.

    :raises DiscordRefused: if the token is wrong; that is tried once
    """
    return await persistently(partial(_ask, config, gate), clock, random)


async def persistently(ask: Callable[[], Awaitable[T]], clock: Clock, random: Random) -> T:
    """What ``ask()`` returns, which is tried again and again while Discord cannot be reached."""
    attempts = AsyncRetrying(
        sleep=clock.sleep,
        wait=lambda state: _wait(state, random),
        retry=retry_if_exception(_may_pass),
        before_sleep=_say,
        reraise=True,
    )
    return await attempts(ask)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, _PASSING) and explain(error) is None


def _wait(state: RetryCallState, random: Random) -> float:
    error = state.outcome.exception() if state.outcome else None
    paused = error.seconds if isinstance(error, RequestsPaused) else 0.0
    return max(paused, delay(state.attempt_number, random))


def _say(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log = _log.warning if state.attempt_number == 1 else _log.info
    log("Discord cannot be reached (%s: %s); trying again in %.0f s", type(error).__name__, error, state.upcoming_sleep)


async def session_limit(client: discord.Client) -> SessionLimit | None:
    """What Discord allows now; None if it does not say so within a few seconds."""
    try:
        with anyio.fail_after(LIMIT_TIMEOUT):
            _, _, limit = await client.http.get_bot_gateway()
    except _PASSING:
        return None
    return _limit(limit)


async def _ask(config: DiscordConfig, gate: RequestGate) -> Preflight:
    async with discord.Client(
        intents=discord.Intents(guilds=True),
        connector=gate.connector(),
        max_ratelimit_timeout=60.0,
        enable_debug_events=False,
    ) as probe:
        try:
            await probe.login(config.token)
        except discord.LoginFailure:
            raise DiscordRefused(UNAUTHORISED) from None
        application = await probe.application_info()
        return _judged(config, probe, application, await probe.http.get_bot_gateway())


def _limit(raw: "discord.types.gateway.SessionStartLimit") -> SessionLimit:
    return SessionLimit(
        max(1, raw["total"]), raw["remaining"], raw["reset_after"] / 1000, max(1, raw["max_concurrency"])
    )


def _judged(
    config: DiscordConfig,
    probe: discord.Client,
    application: AppInfo,
    gateway: "tuple[int, str, discord.types.gateway.SessionStartLimit]",
) -> Preflight:
    advised, url, limit = gateway
    intents, warnings = intents_for(config, application.flags)
    return Preflight(
        user_id=probe.user.id if probe.user else application.id,
        application_id=application.id,
        flags=application.flags,
        owner_ids=owners_of(application),
        shards=parse_shards(config.shards).resolved(advised),
        gateway=url,
        limit=_limit(limit),
        intents=intents,
        warnings=warnings,
    )


def intents_for(config: DiscordConfig, flags: ApplicationFlags) -> tuple[discord.Intents, tuple[str, ...]]:
    """What to ask for at the login, and a sentence for each thing that will not work."""
    content = flags.gateway_message_content or flags.gateway_message_content_limited
    members = flags.gateway_guild_members or flags.gateway_guild_members_limited
    intents = discord.Intents(
        guilds=True,
        guild_messages=True,
        dm_messages=True,
        message_content=_asked(config.message_content, content),
        members=_asked(config.members, members),
    )
    warnings = [
        *_warnings("message_content", config.message_content, content, NO_MESSAGE_CONTENT),
        *_warnings("members", config.members, members, NO_MEMBERS),
    ]
    return intents, tuple(warnings)


def _asked(setting: str, granted: bool) -> bool:
    return setting == "on" or (setting == "auto" and granted)


def _warnings(key: str, setting: str, granted: bool, text: str) -> list[str]:
    if setting == "off" or granted:
        return []
    return [NOT_GRANTED.format(key=key) + f"It is switched on {_WHERE}." if setting == "on" else text]


def owners_of(application: AppInfo) -> tuple[int, ...]:
    """The ids of those to whom the application belongs."""
    team = application.team
    if team is None:
        return (application.owner.id,)
    members = [
        member.id
        for member in team.members
        if member.membership_state is TeamMembershipState.accepted and member.role in _MAY_COMMAND
    ]
    return tuple(dict.fromkeys([*([team.owner_id] if team.owner_id else []), *members]))
