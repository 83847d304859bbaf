"""What happens around the bot on Discord: the older bot's log lines, and guilds that it does not stay in."""

import logging
import re
from collections.abc import Callable, Iterable

import discord

from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Field, Reply, escape, printable
from socbot.systems.blacklist import Blacklist
from socbot.systems.notices import Way
from socbot.tracebacks import Redact
from socbot.transports.discord.incoming import PLATFORM

_log = logging.getLogger("soc_bot")

_SHOWN = 50
_MENTION = re.compile(r"<@!?\d+>\s*")
_RAN = frozenset(("ok", "failed", "invalid"))


def ready(guilds: Iterable[discord.Guild]) -> None:
    sizes = [guild.member_count or 0 for guild in guilds]
    _log.info("Bot ready - %d guilds, %d users", len(sizes), sum(sizes))


async def guild_joined(guild: discord.Guild, blacklist: Blacklist, notify: Way) -> None:
    """Log it; leave one that is listed, and have the owner told."""
    _log.info("[GUILD_JOIN] %s, %d members", _named(guild.name, guild.id), guild.member_count or 0)
    if blacklist.is_listed("guild", (PLATFORM, str(guild.id))):
        await _leave(guild, notify)


async def leave_listed(guilds: Iterable[discord.Guild], blacklist: Blacklist, notify: Way) -> None:
    """Leave those that were listed for good, or added the bot, while it was away.

    One that is listed for a time keeps it: coming back needs an invitation.
    """
    for guild in tuple(guilds):
        identity = (PLATFORM, str(guild.id))
        entry = await blacklist.find("guild", identity) if blacklist.is_listed("guild", identity) else None
        if entry is not None and entry.expires_at is None:
            await _leave(guild, notify)


async def _leave(guild: discord.Guild, notify: Way) -> None:
    why_not = await _left(guild)
    _log.warning("[GUILD_BLACKLISTED] %s: %s", _named(guild.name, guild.id), why_not or "left")
    await notify(_listed_notice(guild, why_not))


def guild_left(guild: discord.Guild) -> None:
    _log.info("[GUILD_LEAVE] %s", _named(guild.name, guild.id))


def member_joined(member: discord.Member) -> None:
    _log.info("[MEMBER_JOIN] %s in %s", _named(member.name, member.id), _named(member.guild.name, member.guild.id))


def member_left(payload: discord.RawMemberRemoveEvent, guild: discord.Guild | None) -> None:
    """Take the raw event: the library knows who has left only where the members intent is on."""
    place = _named("" if guild is None else guild.name, payload.guild_id)
    _log.info("[MEMBER_LEAVE] %s in %s", _named(payload.user.name, payload.user.id), place)


def message_seen(message: discord.Message, prefix: str, redact: Redact) -> None:
    """Log how a message begins, at DEBUG; of a command only which, for what follows it may be a secret."""
    if not _log.isEnabledFor(logging.DEBUG):
        return
    guild = message.guild
    place = "None" if guild is None else _named(guild.name, guild.id)
    shown = _inert(_beginning(message.content, prefix, redact), _SHOWN)
    _log.debug("[MESSAGE] %s in %s: %s", _named(message.author.name, message.author.id), place, shown)


def command_log(guild_name: Callable[[str], str]) -> Callable[[Outcome], None]:
    """An observer that logs the commands that ran.

    Refused ones are not logged, so that nobody fills the log by being refused; ``!analytics`` counts them.

    :param guild_name: the name of a guild by its id
    """

    def observe(outcome: Outcome) -> None:
        message, reply = outcome.message, outcome.reply
        if outcome.status not in _RAN or message.platform != PLATFORM or not _log.isEnabledFor(logging.INFO):
            return
        if reply is not None and (reply.question is not None or reply.form is not None):  # it has not run yet
            return
        place = "None" if message.guild is None else _named(guild_name(message.guild), message.guild)
        _log.info("[COMMAND] %s -> %s in %s", _named(message.author.name, message.author.id), outcome.command, place)

    return observe


async def _left(guild: discord.Guild) -> str:
    """Leave it; why that failed, or an empty text."""
    try:
        await guild.leave()
    except discord.NotFound:
        return ""
    except discord.HTTPException as error:
        return f"it could not be left: Discord answered {error.status}, code {error.code}"
    return ""


def _listed_notice(guild: discord.Guild, why_not: str) -> Reply:
    fields = (
        Field("Guild", escape(guild.name, 100) or "without a name"),
        Field("Id", f"`{guild.id}`"),
        Field("Members", str(guild.member_count or 0)),
    )
    text = why_not or "Somebody added the bot to a guild that is on the blacklist; it has left."
    return Reply(text, "🚫 Guild Blacklisted", fields, tone="warn", private=True)


def _beginning(text: str, prefix: str, redact: Redact) -> str:
    spoken = _MENTION.sub("", text, count=1) if text.startswith("<@") else text
    if spoken is not text or text.startswith(prefix):
        words = spoken.split(maxsplit=1)
        return words[0] + (" …" if len(words) > 1 else "") if words else ""
    return redact(text, _SHOWN)


def _named(name: str, id: object) -> str:
    return f"{_inert(name, 64)} ({id})"


def _inert(text: str, limit: int) -> str:
    """Text that cannot forge or break a line of the log."""
    return escape(printable(text, ""), limit)
