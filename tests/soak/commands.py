"""The commands of the bot that is soaked: each ends in the one way that its name tells."""

import anyio

from socbot.dispatch.arguments import Rest
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context

_ERRORS = (KeyError, ValueError, RuntimeError, LookupError, ConnectionError, ZeroDivisionError)


@command("repeat", permission="public")
async def repeat(ctx: Context, text: Rest) -> str:
    """Say it again."""
    return text


@command("take", permission="public")
async def take(ctx: Context, seconds: float, number: int) -> str:
    """Take so long."""
    await anyio.sleep(seconds)
    return str(number)


@command("broken", permission="public")
async def broken(ctx: Context, number: int) -> str:
    """Fail, in one of several ways."""
    raise _ERRORS[number % len(_ERRORS)](f"broken as asked for: {number}")


@command("count", permission="public")
async def count(ctx: Context, upto: int, number: int) -> str:
    """Want a number, and be given none."""
    return f"{upto} {number}"


@command("spam", permission="public")
async def spam(ctx: Context, number: int) -> str:
    """Be asked for too often."""
    return str(number)


@command("shut", permission="public")
async def shut(ctx: Context, number: int) -> str:
    """Be asked for by those who are listed."""
    return str(number)


COMMANDS = (repeat, take, broken, count, spam, shut)
