"""Some hundreds of people who give commands at their time, whatever becomes of the ones before."""

import re
import time
from itertools import count
from random import Random

import anyio

from tests.soak.ledger import Expected, Ledger
from tests.standin import Channel, Message, Person, Standin
from tests.standin.world import Json

_PEOPLE, _SPAMMERS, _LISTED = 600, 40, 5
_CHANNELS = 400
"""So many, because Discord takes few messages a second in each."""

ANSWERS = ("POST", "/channels/*/messages")
_SPELL = 20.0
"""Seconds for which one of the spammers goes on."""

_KEPT_MESSAGES = 150
_KEPT_EVENTS = 20_000
_LAYER = re.compile(r"^\d+\. (\w+) \(", re.MULTILINE)
_GENERATION = re.compile(r"generation (\d+)")

_KINDS: dict[str, tuple[int, str, tuple[str, str], Expected]] = {
    # how often, the text, what the books are to say, how often it is answered
    "repeat": (70, "!repeat {number}", ("repeat", "ok"), "once"),
    "take": (3, "!take {seconds:.2f} {number}", ("take", "ok"), "once"),
    "broken": (4, "!broken {number}", ("broken", "failed"), "once"),
    "count": (4, "!count nothing {number}", ("count", "invalid"), "once"),
    "unknown": (4, "!nothing-like-{number}", ("(none)", "unknown"), "at most once"),
    "spam": (10, "!spam {number}", ("spam", "*"), "at most once"),
    "shut": (5, "!shut {number}", ("shut", "refused"), "never"),
}


class Crowd:
    """Everybody on the stand-in, and the owner."""

    def __init__(self, standin: Standin, ledger: Ledger, random: Random, rate: float) -> None:
        self._standin, self._ledger, self._random, self._rate = standin, ledger, random, rate
        self._number = count(1)
        self.latest = 0.0
        self.owner = standin.user("owner")
        everybody = [standin.user(f"person-{number}") for number in range(_PEOPLE + _SPAMMERS + _LISTED)]
        self._guild = standin.guild("guild", owner=self.owner, members=everybody)
        self._channels = [self._guild.channel(f"channel-{number}") for number in range(_CHANNELS)]
        self._people, self._spammers = everybody[:_PEOPLE], everybody[_PEOPLE : _PEOPLE + _SPAMMERS]
        self.listed = everybody[-_LISTED:]
        self._answers: dict[str, Json] = {}
        self._awaited: set[str] = set()
        standin.world.emit = self._emit
        self.limit_answers()

    def limit_answers(self) -> None:
        """Have the stand-in refuse what is too fast, and say in each answer what is left, as Discord does.

        Without a word of it discord.py sends one answer after the other.
        """
        self._standin.limits.bucket(*ANSWERS, limit=5, per=1.0)

    def _emit(self, event: str, payload: Json, guild: object) -> None:
        self._standin.gateway.emit(event, payload, guild)  # type: ignore[arg-type]
        if event == "MESSAGE_CREATE" and payload["author"]["id"] == self._standin.bot.id:
            self._ledger.hear(payload)
            reference = (payload.get("message_reference") or {}).get("message_id")
            if reference in self._awaited:
                self._answers[reference] = payload

    # -- the many -------------------------------------------------------------------------------------------

    async def talk(self, seconds: float) -> None:
        """Give commands at the rate for so long; ``latest`` is by how much one was late at most."""
        kinds, weights = list(_KINDS), [each[0] for each in _KINDS.values()]
        began = time.monotonic()
        for turn in range(int(seconds * self._rate)):
            due = began + turn / self._rate
            wait = due - time.monotonic()
            if wait > 0.001 or turn % 20 == 0:
                await anyio.sleep(max(0.0, wait))
            self.latest = max(self.latest, time.monotonic() - due)
            await self._say(self._random.choices(kinds, weights)[0])

    async def _say(self, kind: str) -> None:
        _, text, books, expected = _KINDS[kind]
        channel = self._random.choice(self._channels)
        person = self._person(kind)
        if channel.may_write(person):  # not while they are timed out
            said = text.format(number=next(self._number), seconds=self._random.uniform(0.3, 2.0))
            await self._give(person, said, channel, books, expected)

    def _person(self, kind: str) -> Person:
        if kind == "shut":
            return self._random.choice(self.listed)
        if kind == "spam":
            return self._spammers[int(time.monotonic() / _SPELL) % _SPAMMERS]
        return self._random.choice(self._people)

    async def _give(
        self, person: Person, text: str, channel: Channel, books: tuple[str, str], expected: Expected
    ) -> Message | None:
        """Say it; None if Discord has nobody to tell it to."""
        gateway = self._standin.gateway
        if not gateway.sessions:
            self._ledger.undelivered += 1
            return None
        said = await person.says(text, in_=channel)
        self._ledger.add(said.id, text, books, expected)
        return said

    # -- the owner ------------------------------------------------------------------------------------------

    async def ask(self, text: str, seconds: float = 60.0) -> str:
        """What the bot answers its owner.

        :raises AssertionError: if it does not in time
        """
        dm = self.owner.dm
        with anyio.fail_after(seconds):
            while True:
                name = text.split()[0].removeprefix("!")
                said = await self._give(self.owner, text, dm, (name, "*"), "once")
                if said is not None:
                    break
                await anyio.sleep(0.2)
        self._awaited.add(said.id)
        try:
            await self._standin.until(lambda: said.id in self._answers, seconds=seconds, what=f"an answer to {text!r}")
        finally:
            self._awaited.discard(said.id)
        answer = self._answers.pop(said.id)
        return next((each.text for each in reversed(dm.messages) if each.id == answer["id"]), "")

    async def chain(self) -> tuple[int, list[str]]:
        """The generation of the chain, and its middleware in order."""
        text = await self.ask("!pipeline")
        generation = _GENERATION.search(text)
        assert generation, text
        return int(generation[1]), _LAYER.findall(text)

    # -- so that it is not the stand-in that grows --------------------------------------------------------------

    def forget(self) -> None:
        """Drop what the stand-in would remember for ever."""
        standin = self._standin
        standin.limits.seen.clear()
        standin.rest.requests.clear()
        standin.gateway.heartbeats.clear()
        for channel in [*self._channels, self._guild.general, *standin.world.dms.values()]:
            gone = channel.messages[:-_KEPT_MESSAGES]
            del channel.messages[:-_KEPT_MESSAGES]
            for message in gone:
                channel.by_id.pop(message.id, None)
                if message.nonce is not None:
                    channel.by_nonce.pop((message.author.id, message.nonce), None)
                for attachment in message.attachments:
                    standin.world.attachments.pop(attachment.id, None)
        for session in standin.gateway.sessions.values():
            while len(session.sent) > _KEPT_EVENTS:
                session.sent.popleft()
