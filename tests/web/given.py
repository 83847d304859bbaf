"""Commands that take as long as they say on the clock in hand, and people who give them."""

from collections.abc import Sequence

from socbot.dispatch.commands import Command, command
from socbot.dispatch.context import Context
from socbot.dispatch.outcomes import Outcome
from socbot.testing import FakeClock, said
from tests.web.conftest import Site

HOSTILE = '"><script>alert(1)</script>'
DAY = 86_400.0


def commands_on(clock: FakeClock) -> Sequence[Command]:
    @command("take", permission="public", aliases=("takes",), group="work", cooldown=0.0)
    async def take(ctx: Context, milliseconds: float) -> str:
        """Take some time."""
        clock.forward(milliseconds / 1_000)
        return "taken"

    @command("broken", permission="public")
    async def broken(ctx: Context) -> str:
        """Fail."""
        clock.forward(0.05)
        raise KeyError(HOSTILE)

    return (take, broken)


async def give(site: Site, clock: FakeClock, text: str, author: str = "42", guild: str | None = "g1") -> Outcome:
    """A command some while after the one before, so that no limit is met."""
    clock.forward(60)
    return await site.bot.dispatch(said(text, author, guild=guild))


def trace_of(outcome: Outcome) -> str:
    assert outcome.trace is not None
    return outcome.trace.id
