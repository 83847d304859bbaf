"""Who is there, what they say, and when."""

from collections.abc import Iterator
from random import Random

from msgspec import Struct

from socbot.dispatch.messages import Answer, Message, User

PLATFORM = "demo"
GUILDS = tuple(f"guild-{number}" for number in range(1, 6))
PEOPLE = 40
SPAMMERS = ("user-91", "user-92")
OPERATOR = "user-1"
"""The owner."""

ADMINISTRATOR = "user-3"

DAY = 86_400.0
HOUR = 3_600.0

_RHYTHM = (2, 1, 1, 1, 1, 1, 2, 4, 5, 6, 6, 7, 9, 8, 6, 6, 8, 10, 12, 14, 14, 11, 7, 4)
"""How much is said in each hour of the day, UTC."""

_SAID = {
    "!roll": 9, "!roll 2d6": 14, "!roll 3d20": 6, "!coin": 12,
    "!weather": 9, "!weather harbour": 7, "!weather old-town": 5, "!weather lighthouse": 5, "!weather island": 4,
    "!ranking": 9, "!quote": 8, "!remind 10m the tea": 5, "!remind 1h30m the meeting": 3,
    "!ping": 6, "!help": 4, "!help weather": 1, "!uptime": 3, "!health": 2, "!about": 1, "!tasks": 1,
    "!rate_limit_status": 2, "!blacklist_check": 1,
    "!wether": 2, "!rol": 1, "!roll 99d1": 2, "!weather moon": 2, "!remind soon the tea": 1, "!shutdown": 0.3,
}  # fmt: skip
"""What is said, and how often: the last ones are mistakes, as people make them."""


class Said(Struct, frozen=True):
    """What somebody says at a moment."""

    at: float
    author: str
    text: str


def message(text: str, author: str, id: str | None = None, *, answer: Answer | None = None) -> Message:
    """As a transport would hand it over."""
    number = int(author.rpartition("-")[2])
    user = User(author, author, is_admin=author == ADMINISTRATOR)
    return Message(text, user, PLATFORM, "general", _home(number), id=id, answer=answer)


def _home(number: int) -> str:
    """The guild that somebody is in: the first ones are the largest."""
    return GUILDS[(0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4)[number % 11]]


class Crowd:
    """What people say by themselves."""

    def __init__(self, random: Random) -> None:
        self.random = random
        people = [f"user-{number}" for number in range(2, PEOPLE + 2)]
        self._people = random.sample(people, PEOPLE)
        self._weights = [1 / (place + 2) for place in range(PEOPLE)]  # a few are there all the time, most now and then

    def says(self) -> str:
        return self.random.choices(tuple(_SAID), tuple(_SAID.values()))[0]

    def somebody(self) -> str:
        return self.random.choices(self._people, self._weights)[0]

    def day(self, begins: float, count: int) -> Iterator[Said]:
        """About ``count`` things that are said within a day, in no order."""
        said = 0
        while said < count:
            hour = self.random.choices(range(24), _RHYTHM)[0]
            at = begins + (hour * HOUR - begins) % DAY + self.random.random() * HOUR
            somebody = self.somebody()
            for _ in range(self.random.choice((1, 1, 2, 2, 3, 4))):
                if at < begins + DAY:
                    yield Said(at, somebody, self.says())
                said += 1
                at += self.random.uniform(2.0, 45.0)
