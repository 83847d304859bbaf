"""The ladder's timeout, as Discord can carry it out: the member may not write in that guild."""

from collections.abc import Callable
from datetime import UTC, datetime

import discord

from socbot.dispatch.clock import Clock
from socbot.dispatch.messages import Identity
from socbot.transports.discord.requests import RequestsPaused

LONGEST = 28 * 86_400.0 - 60.0
"""Discord takes up to 28 days; a minute is left for its clock and ours to differ."""

_ROUNDING = 2.0


class MemberTimeouts:
    """Times members out, with one request, and none where Discord would refuse it: those are counted, up to a ban.

    :param enabled: whether it is wanted at all (``discord.time_out_members``)
    """

    def __init__(self, client: discord.Client, clock: Clock, enabled: Callable[[], bool] = lambda: True) -> None:
        self._client, self._clock, self._enabled = client, clock, enabled

    async def time_out(self, identity: Identity, guild: str, seconds: float, reason: str) -> str | None:
        """Time the member out; why that was not possible, in words.

        :raises discord.DiscordServerError: if Discord may or may not have done it
        """
        if not self._enabled():
            return "switched off by discord.time_out_members"
        place, user = self._client.get_guild(int(guild)), int(identity[1])
        if place is None:
            return "the bot is not in that guild"
        until = self._clock.time() + min(seconds, LONGEST)
        return _hindrance(place, user, until) or await self._edit(place, user, until, reason)

    async def lift(self, identity: Identity, guild: str, until: float) -> str | None:
        """End the member's timeout, unless a moderator has set one that lasts longer; why not, in words.

        :raises discord.DiscordServerError: if Discord may or may not have done it
        """
        place, user = self._client.get_guild(int(guild)), int(identity[1])
        if place is None:
            return "the bot is not in that guild"
        if not place.me.guild_permissions.moderate_members:
            return _MISSING
        try:
            member = place.get_member(user) or await place.fetch_member(user)
        except discord.NotFound:
            return "no longer a member"
        ends = _timed_out_until(member)
        if ends <= self._clock.time():
            return None
        if ends > until + _ROUNDING:
            return "a moderator has set a longer timeout"
        return await self._edit(place, user, None, "lifted")

    async def _edit(self, guild: discord.Guild, user: int, until: float | None, reason: str) -> str | None:
        # Past the library's Member, which is at hand only where the members intent is on.
        moment = None if until is None else datetime.fromtimestamp(until, UTC).isoformat()
        try:
            await self._client.http.edit_member(guild.id, user, reason=reason, communication_disabled_until=moment)
        except discord.NotFound:
            return "no longer a member"
        except (discord.RateLimited, RequestsPaused):
            return "Discord takes no more requests for now"
        except discord.HTTPException as error:
            if error.status >= 500:
                raise
            return f"Discord refused it ({error.status}, code {error.code})"
        return None


_MISSING = "the bot lacks the permission to time out members"


def _hindrance(guild: discord.Guild, user: int, until: float) -> str:
    """Why Discord would refuse it, as far as that is known here; an empty text if it should not."""
    if not guild.me.guild_permissions.moderate_members:
        return _MISSING
    if user == guild.owner_id:
        return "the owner of the guild"
    member = guild.get_member(user)
    if member is None:
        return ""
    if member.guild_permissions.administrator:
        return "an administrator"
    if guild.me.top_role <= member.top_role and guild.me.id != guild.owner_id:
        return "a role as high as the bot's"
    return "timed out for longer already" if _timed_out_until(member) > until else ""


def _timed_out_until(member: discord.Member) -> float:
    """Seconds since 1970; 0 for somebody who is not."""
    return member.timed_out_until.timestamp() if member.timed_out_until else 0.0
