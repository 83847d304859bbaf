"""What an import finds: each record with what becomes of it, and why."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from socbot.storage.connection import Connection

Verdict: TypeAlias = Literal["taken", "corrected", "refused", "there already"]

VERDICTS: tuple[Verdict, ...] = ("taken", "corrected", "refused", "there already")

Write: TypeAlias = Callable[[Connection], object]
"""Puts something into the store, on its thread."""


class Finding(Struct, frozen=True):
    """What becomes of a record, or of ``count`` alike ones."""

    record: str
    verdict: Verdict = "taken"
    reason: str = ""
    count: int = 1


class Part(Struct, frozen=True):
    """What is taken over as one, once: one record, or several that make sense together only.

    :param key: what it is, within its file
    :param content: what is in it, of JSON's types: by this it is known again
    :param write: None where there is nothing to write
    :param again: whether it is taken anew where its content has changed since; otherwise it was taken for good
    """

    key: str
    content: Any
    findings: tuple[Finding, ...]
    write: Write | None = None
    again: bool = False


class Note(Struct, frozen=True):
    """Something about a file that is no record."""

    text: str


class FileReport(Struct, frozen=True):
    """What was found in one file; ``problem`` is why it was not read."""

    name: str
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""

    def count(self, verdict: Verdict) -> int:
        return sum(each.count for each in self.findings if each.verdict == verdict)


class Report(Struct, frozen=True):
    """What was found in all files; ``done`` is False for a dry run."""

    files: tuple[FileReport, ...]
    done: bool = False

    def count(self, verdict: Verdict) -> int:
        return sum(each.count(verdict) for each in self.files)

    @property
    def summary(self) -> str:
        return summed_up(self.count)


def summed_up(count: Callable[[Verdict], int]) -> str:
    """``3 taken, 1 refused``."""
    return ", ".join(f"{number} {verdict}" for verdict in VERDICTS if (number := count(verdict))) or "nothing"


def refused(record: str, reason: str, count: int = 1) -> Part:
    return Part("", None, (Finding(record, "refused", reason, count),))


def there_already(record: str, reason: str) -> Part:
    return Part("", None, (Finding(record, "there already", reason),))


def judged(record: str, corrections: Iterable[str]) -> Finding:
    """Taken, or corrected if there is anything that was."""
    reason = "; ".join(corrections)
    return Finding(record, "corrected" if reason else "taken", reason)
