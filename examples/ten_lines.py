"""A bot of ten lines on the bare dispatcher, with no file and no database: echo "!greet Ada" | python ten_lines.py"""

import asyncio
import sys

from socbot import Context, Dispatcher, Message, User

bot = Dispatcher()


@bot.command("greet", permission="public")
async def greet(ctx: Context, name: str = "world") -> str:
    """Say hello."""
    return f"Hello, {name}!"


for line in sys.stdin:
    outcome = asyncio.run(bot.dispatch(Message(line.strip(), User("me"))))
    print(outcome.reply or f"({outcome.status})")
