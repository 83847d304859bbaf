"""The ways in which Discord takes a notice to the bot's owner."""

from collections.abc import Iterator
from functools import partial

import aiohttp
import discord

from socbot.charts import picture
from socbot.dispatch.replies import Reply
from socbot.systems.notices import Way
from socbot.transports.discord.host import Host
from socbot.transports.discord.incoming import PLATFORM
from socbot.transports.discord.letters import Letter
from socbot.transports.discord.rendering import render


class Unreachable(Exception):
    """There is nobody to be told this way."""


def tell_by(client: discord.Client, host: Host) -> Iterator[tuple[str, Way]]:
    """The ways, by name, in the order in which they are to be tried."""
    config = host.config.discord
    yield "direct message", partial(_directly, client, host)
    if config.notice_channel:
        yield "channel", partial(_in_channel, client, int(config.notice_channel))
    if config.notice_webhook:
        yield "webhook", partial(_by_webhook, config.notice_webhook)


async def _directly(client: discord.Client, host: Host, reply: Reply) -> None:
    """To every owner; it counts when one of them was reached."""
    owners = [int(id) for platform, id in sorted(host.dispatcher.owners) if platform == PLATFORM and id.isdecimal()]
    failure: Exception = Unreachable("no owner on Discord is configured: set BOT_OWNER_ID or bot.owners")
    reached = False
    for owner in owners:
        try:
            user = client.get_user(owner) or await client.fetch_user(owner)
            await _send(user, reply)
        except discord.HTTPException as error:
            failure = error
        else:
            reached = True
    if not reached:
        raise failure


async def _in_channel(client: discord.Client, channel: int, reply: Reply) -> None:
    await _send(client.get_partial_messageable(channel), reply)


async def _by_webhook(url: str, reply: Reply) -> None:
    # By a connection of its own: that the bot's requests are paused must be told by some way.
    async with aiohttp.ClientSession() as session:
        webhook = discord.Webhook.from_url(url, session=session)
        for letter in await _letters(reply):
            await webhook.send(**letter.to_send(), allowed_mentions=discord.AllowedMentions.none(), wait=True)


async def _send(place: discord.abc.Messageable, reply: Reply) -> None:
    for letter in await _letters(reply):
        await place.send(**letter.to_send())


async def _letters(reply: Reply) -> list[Letter]:
    rendered = render(reply, await picture(reply.chart) if reply.chart else None)
    first, *rest = (Letter(page.content, page.embed) for page in rendered.pages[:3])
    return [Letter(first.content, first.embed, rendered.files), *rest]
