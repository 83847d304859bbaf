"""Which errors of Discord's end the bot for good, in words for whoever has to mend them."""

import discord
from msgspec import Struct

from socbot.exit_codes import EXIT_CONFIGURATION
from socbot.transports.base import TransportRefused

_PORTAL = "https://discord.com/developers/applications"

UNAUTHORISED = (
    "Discord does not know this token. It was mistyped, or reset since: make a new one under Bot → Reset Token on "
    f"{_PORTAL}, and put it into DISCORD_TOKEN or the file that discord.token_file names."
)

_CLOSE_CODES = {
    4004: UNAUTHORISED,
    4010: "Discord refused the number of a shard. In discord.shards the numbers run from 0 to one less than the count.",
    4011: "The bot is in more guilds than so few shards may serve. Set discord.shards to auto, or to a higher number.",
    4012: "Discord no longer speaks this version of its gateway. Update discord.py: pip install -U discord.py",
    4013: "Discord does not know an intent that was asked for. Update discord.py: pip install -U discord.py",
    4014: (
        "The application may not have an intent that was asked for. Either switch it on under Bot → Privileged Gateway "
        f"Intents on {_PORTAL}, or set discord.message_content and discord.members to auto or off."
    ),
}


class DiscordRefused(TransportRefused):
    """Discord will not have this bot; the text says what to do."""

    def __init__(self, text: str) -> None:
        super().__init__(text, EXIT_CONFIGURATION)


class Fatal(Struct, frozen=True):
    """Why the bot cannot go on, and what the process exits with."""

    exit_code: int
    text: str


def explain(error: BaseException) -> Fatal | None:
    """What to tell the operator of an error that no new attempt can mend; None for every other error."""
    if isinstance(error, BaseExceptionGroup):
        found = (explain(inner) for inner in error.exceptions)
        return next((fatal for fatal in found if fatal is not None), None)
    text = _text_of(error)
    return None if text is None else Fatal(EXIT_CONFIGURATION, text)


def _text_of(error: BaseException) -> str | None:
    if isinstance(error, DiscordRefused):
        return error.text
    if isinstance(error, discord.PrivilegedIntentsRequired):
        return _CLOSE_CODES[4014]
    if isinstance(error, discord.ConnectionClosed) and error.code in _CLOSE_CODES:
        return f"{_CLOSE_CODES[error.code]} (close code {error.code})"
    if isinstance(error, discord.LoginFailure) or (isinstance(error, discord.HTTPException) and error.status == 401):
        return UNAUTHORISED
    return None
