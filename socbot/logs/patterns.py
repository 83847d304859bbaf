"""What is looked for in a log: a text, or a pattern that somebody typed and that must not hold anybody up."""

import re
from time import thread_time

from socbot.logs.reading import Block, Matches, TooSlow

PATIENCE = 0.08
"""Seconds that a pattern may compute beyond what looking takes anyway, before it is given up.

Counted on the thread that looks: a machine that is busy with something else gives no pattern up.
"""

_PACE = 10 * 1024 * 1024  # characters a second that any sensible pattern keeps up with
_AT_ONCE = 0.002  # seconds for one line, before it is tried again without holding up other threads
_LARGEST = 20_000


class BadPattern(ValueError):
    """A pattern cannot be used; its text says why."""


def text(wanted: str) -> Matches:
    """Lines with ``wanted`` in them, in any case."""
    needle = wanted.casefold()

    def matches(block: Block) -> list[str]:
        if needle not in "\n".join(block).casefold():
            return []
        return [line for line in block if needle in line.casefold()]

    return matches


def pattern(source: str) -> Matches:
    """Lines in which the regular expression ``source`` fits, in any case.

    :raises BadPattern: if it is none, or would fill the memory
    """
    import regex

    if size_of(source) > _LARGEST:
        raise BadPattern("its repetitions multiply to more than can be tried")
    try:
        compiled = regex.compile(source, regex.IGNORECASE)
    except (regex.error, RecursionError, OverflowError, ValueError) as error:
        raise BadPattern(str(error)) from None

    def fits(line: str, ends: float) -> bool:
        try:
            return compiled.search(line, timeout=_AT_ONCE) is not None
        except TimeoutError:
            pass  # it is a slow one: from here on other threads run beside it
        try:
            return compiled.search(line, timeout=max(ends - thread_time(), 0.001), concurrent=True) is not None
        except (TimeoutError, MemoryError):
            raise TooSlow from None

    def matches(block: Block) -> list[str]:
        began, patient, found = thread_time(), budget.left, []
        read = 0
        for line in block:
            ends = began + patient + read / _PACE
            if thread_time() > ends:
                raise TooSlow
            if fits(line, ends):
                found.append(line)
            read += len(line)
        budget.spend(thread_time() - began - read / _PACE)
        return found

    budget = _Budget()
    return matches


class _Budget:
    """The patience that is left: what a slow block takes of it, a fast one does not give back."""

    def __init__(self) -> None:
        self.left = PATIENCE

    def spend(self, seconds: float) -> None:
        self.left -= max(0.0, seconds)


_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]])*\]?|\{(?P<counts>[^{}]*)\}|.", re.DOTALL)


def size_of(source: str) -> int:
    """How large a pattern gets once its counted repetitions are written out, about."""
    levels, last = [0], 0
    for token in _TOKEN.finditer(source):
        counts = re.findall(r"\d{1,9}", token["counts"] or "")
        if token[0] == "(":
            levels.append(0)
            last = 0
        elif token[0] == ")" and len(levels) > 1:
            last = levels.pop() + 1
            levels[-1] += last
        elif counts:
            levels[-1] += last * (max(map(int, counts)) - 1)
            last *= max(map(int, counts))
        else:
            last = 1
            levels[-1] += 1
    return sum(levels)
