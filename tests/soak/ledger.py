"""What was said to the bot and what it answered, command by command, beside the bot's own books."""

import math
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Expected = Literal["once", "at most once", "never"]

_ID = re.compile(r"(\d+)$")
_SETTLED_AFTER = 180.0


@dataclass(slots=True)
class Said:
    """One command that Discord took; ``books`` is what the bot should write down of it, "*" any outcome."""

    text: str
    books: tuple[str, str]
    expected: Expected
    at: float
    calm: bool
    answers: int = 0


class Ledger:
    """Every command until it is settled, and the counts of all.

    :ivar undelivered: commands that Discord itself lost: they were said while the bot had no session
    :ivar disturbed: whether something is out of order now, so that answers may take longer
    """

    def __init__(self) -> None:
        self.said: Counter[tuple[str, str]] = Counter()
        self.undelivered = 0
        self.answered = 0
        self.lost: list[str] = []
        self.doubled: list[str] = []
        self.wrong: list[str] = []
        self.disturbed = False
        self.delays: list[float] = []
        self.calm_delays: list[float] = []
        self._open: dict[str, Said] = {}

    @property
    def total(self) -> int:
        return sum(self.said.values())

    @property
    def waiting(self) -> int:
        """Commands that must be answered and are not yet."""
        return sum(said.expected == "once" and not said.answers for said in self._open.values())

    def add(self, message_id: str, text: str, books: tuple[str, str], expected: Expected) -> None:
        self.said[books] += 1
        self._open[message_id] = Said(text, books, expected, time.monotonic(), not self.disturbed)

    def hear(self, payload: Mapping[str, Any]) -> None:
        """Take an answer of the bot's: a message that refers to a command."""
        reference = (payload.get("message_reference") or {}).get("message_id")
        if reference is None:
            return
        said = self._open.get(reference)
        if said is None:
            self.wrong.append(f"an answer to what was settled or never said: {payload['content']!r:.80}")
            return
        said.answers += 1
        if said.answers > 1:
            self.doubled.append(said.text)
            return
        self._note(said, payload)

    def _note(self, said: Said, payload: Mapping[str, Any]) -> None:
        self.answered += 1
        if said.expected == "never":
            self.wrong.append(f"{said.text!r} was answered: {payload['content']!r:.80}")
        elif said.books[1] == "ok" and not _fits(said.text, payload["content"]):
            self.wrong.append(f"{said.text!r} was answered with {payload['content']!r:.80}")
        if said.books[0] == "repeat":
            delay = time.monotonic() - said.at
            self.delays.append(delay)
            if said.calm and not self.disturbed:
                self.calm_delays.append(delay)

    def settle(self, *, all_: bool = False) -> None:
        """Close what is old enough; what had to be answered and was not is lost."""
        until = math.inf if all_ else time.monotonic() - _SETTLED_AFTER
        for id in [id for id, said in self._open.items() if said.at < until]:
            said = self._open.pop(id)
            if said.expected == "once" and not said.answers:
                self.lost.append(said.text)

    def compare(self, books: Mapping[tuple[str, str], float], of: str) -> list[str]:
        """In what ``books``, by command and outcome, differ from what was said."""
        found = Counter({key: int(count) for key, count in books.items()})
        wanted, differences = Counter(self.said), []
        for (command, outcome), count in self.said.items():
            if outcome == "*":
                of_command = sum(each for (name, _), each in found.items() if name == command)
                wanted[command, outcome] = 0
                if of_command != count:
                    differences.append(f"{of}: {command}: {of_command} instead of {count}")
                found = Counter({key: each for key, each in found.items() if key[0] != command})
        for key in sorted({*wanted, *found}):
            if wanted[key] != found[key]:
                differences.append(f"{of}: {key[0]} {key[1]}: {found[key]} instead of {wanted[key]}")
        return differences


def _fits(text: str, answer: str) -> bool:
    """Whether the answer ends with the command's own number."""
    asked, told = _ID.search(text), _ID.search(answer)
    return asked is None or (told is not None and told[1] == asked[1])
