"""The community that is played: what its bot can do, and what goes on around it."""

import logging
import math
from collections.abc import Awaitable, Callable
from random import Random
from typing import Annotated, ClassVar

from msgspec import Meta

from socbot.config import Threshold
from socbot.dispatch.arguments import Duration, Rest
from socbot.dispatch.chain import Decision, Placement, pass_if
from socbot.dispatch.clock import Clock
from socbot.dispatch.commands import Command, command
from socbot.dispatch.context import Context, Handler
from socbot.dispatch.errors import InvalidArgument, Refused
from socbot.dispatch.replies import Field, Reply, escape
from socbot.systems.health import Check, Measured

_log = logging.getLogger("harbour")

STATIONS = {
    "harbour": {"sky": "clear", "degrees": 14, "wind": 3},
    "old-town": {"sky": "cloudy", "degrees": 13, "wind": 2},
    "lighthouse": {"sky": "fog", "degrees": 11, "wind": 6},
    "island": {"sky": "showers", "degrees": 12, "wind": 7},
    "airport": {"sky": "cloudy", "degrees": 13, "wind": 5},
}
QUOTES = (
    "A watched queue drains all the same.",
    "The backup nobody restored is a rumour.",
    "It worked yesterday is a timestamp, not a diagnosis.",
    "Every alert asks for a decision.",
)


class World:
    """What goes on around the bot, and how long it takes.

    :param pass_: lets seconds pass
    :ivar stations_lack: a reading that the stations stopped to send
    :ivar ranking: seconds that adding up the ranking takes
    :ivar map_server: milliseconds in which the map server answers
    :ivar quotes_down: the quotes cannot be fetched
    """

    def __init__(self, clock: Clock, random: Random, pass_: Callable[[float], Awaitable[None]]) -> None:
        self._clock, self._random, self._pass = clock, random, pass_
        self.stations_lack = ""
        self.ranking = 0.35
        self.map_server = 42.0
        self.quotes_down = False

    @property
    def hour(self) -> int:
        """Of the day, in UTC."""
        return int(self._clock.time() // 3600 % 24)

    async def take(self, seconds: float) -> None:
        """Take about ``seconds``, seldom much longer, as what is asked over a network does."""
        await self._pass(seconds * math.exp(self._random.gauss(0.0, 0.35)))

    def roll(self, dice: int, sides: int) -> tuple[int, ...]:
        return tuple(self._random.randint(1, sides) for _ in range(dice))

    def choose(self, options: tuple[str, ...]) -> str:
        return self._random.choice(options)

    def checks(self) -> tuple[Check, ...]:
        async def measure() -> Measured:
            return Measured(self.map_server, "answer of the map server")

        return (Check("map_server", measure, "ms", Threshold(150, 800), public=True),)


class QuotesUnavailable(Exception):
    """The quotes' server does not answer."""


Dice = Annotated[str, Meta(description="how many dice with how many sides", max_length=10, examples=["2d6"])]
Place = Annotated[str, Meta(description="one of the stations", max_length=40, examples=["harbour"])]
What = Annotated[Rest, Meta(description="of what", min_length=1, max_length=200, examples=["the tea"])]


@command("roll", permission="public", group="community")
async def roll(ctx: Context, world: World, dice: Dice = "1d6") -> Reply:
    """Roll dice."""
    count, _, sides = dice.lower().partition("d")
    if not (count.isdecimal() and sides.isdecimal() and 1 <= int(count) <= 20 and 2 <= int(sides) <= 100):
        raise InvalidArgument("dice", dice, "dice such as 2d6, 20 at most")
    rolled = world.roll(int(count), int(sides))
    return Reply(f"{' + '.join(map(str, rolled))} = {sum(rolled)}", "🎲")


@command("coin", permission="public", group="community")
async def coin(ctx: Context, world: World) -> str:
    """Heads or tails."""
    return world.choose(("Heads.", "Tails."))


@command("weather", permission="public", group="community")
async def weather(ctx: Context, world: World, place: Place = "harbour") -> Reply:
    """The weather at one of the stations."""
    if place not in STATIONS:
        raise InvalidArgument("place", place, ", ".join(STATIONS))
    await world.take(0.06)
    _log.info("read the station %s", place)
    reading = {key: value for key, value in STATIONS[place].items() if key != world.stations_lack}
    return Reply(f"{reading['sky']}, {reading['degrees']} °C, wind {reading['wind']}", f"Weather: {place}", tone="info")


@command("remind", permission="public", group="community")
async def remind(ctx: Context, world: World, after: Duration, what: What) -> Reply:
    """Be reminded of something."""
    await world.take(0.012)
    return Reply.ok(f"In {after}: {escape(what, 200)}")


@command("ranking", permission="public", group="community")
async def ranking(ctx: Context, world: World) -> Reply:
    """Who was here most."""
    await world.take(world.ranking)
    if world.ranking > 1:
        _log.warning("the ranking was added up from all rows: its index is not used")
    return Reply(title="Ranking", fields=tuple(Field(f"{place}.", f"{900 - 71 * place} points") for place in (1, 2, 3)))


@command("quote", permission="public", group="community")
async def quote(ctx: Context, world: World) -> str:
    """Something to think about."""
    await world.take(0.11)
    if world.quotes_down:
        _log.error("quotes: no answer on port 7400")
        raise QuotesUnavailable("the quotes' server does not answer")
    return world.choose(QUOTES)


COMMANDS: tuple[Command, ...] = (roll, coin, weather, remind, ranking, quote)

QUIET = range(1, 5)
"""Hours of the day, in UTC."""


class QuietHours:
    """Refuse games at night. It is on trial: in shadow mode it can be seen whom it would hit."""

    placement: ClassVar[Placement] = Placement(kind="guard", acts="before", may_refuse=True)

    def __init__(self, world: World) -> None:
        self._world = world

    async def __call__(self, ctx: Context, call_next: Handler) -> Reply | None:
        return await pass_if(self.decide(ctx), ctx, call_next)

    def decide(self, ctx: Context) -> Decision:
        if ctx.command.name in ("roll", "coin") and self._world.hour in QUIET:
            return Refused("quiet hours", Reply("The dice sleep until five.", tone="warn"))
        return None
