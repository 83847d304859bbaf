"""The link that adds the bot to a guild, with the rights that it asks for and why."""

import base64
import binascii
from urllib.parse import urlencode

from msgspec import Struct

SCOPES = ("bot", "applications.commands")


class Permission(Struct, frozen=True):
    """A right as Discord calls it; ``bit`` is its place in the number that Discord knows it by."""

    name: str
    bit: int
    reason: str


PERMISSIONS = (
    Permission("View Channels", 10, "to see the channels in which people speak to it"),
    Permission("Send Messages", 11, "to answer"),
    Permission("Send Messages in Threads", 38, "to answer where a command was given in a thread"),
    Permission("Embed Links", 14, "answers with a title, fields and colours are embeds"),
    Permission("Attach Files", 15, "charts, exports and long answers are files"),
    Permission("Read Message History", 16, "to answer as a reply to the command's message"),
    Permission("Manage Messages", 13, "to delete a message that carried a secret"),
    Permission("Moderate Members", 40, "the rate limit's timeouts are Discord's own too"),
)


def invite_link(application: str) -> str:
    """The link for the application with this id."""
    bits = sum(1 << permission.bit for permission in PERMISSIONS)
    query = {"client_id": application, "scope": " ".join(SCOPES), "permissions": bits}
    return f"https://discord.com/oauth2/authorize?{urlencode(query)}"


def application_of(token: str) -> str | None:
    """The id that a bot's token begins with, or None if it does not look like a token."""
    first, dot, _ = token.strip().partition(".")
    try:
        decoded = base64.b64decode(first + "=" * (-len(first) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    return decoded if dot and is_id(decoded) else None


def is_id(text: str) -> bool:
    """Whether it is written as Discord writes ids."""
    return text.isascii() and text.isdigit() and 15 <= len(text) <= 20


def described(application: str) -> str:
    """The link and what each right is for, as it is printed."""
    width = max(len(permission.name) for permission in PERMISSIONS)
    rights = [f"  {permission.name:<{width}}  {permission.reason}" for permission in PERMISSIONS]
    lines = [invite_link(application), "", "It asks for these rights, each of which you may leave out:", *rights]
    return "\n".join(lines)
