"""What the report says of a course, and that each limit can be broken."""

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec
import pytest

from tests.soak.ledger import Ledger
from tests.soak.process import Sample
from tests.soak.report import MIB, MOST_LOGS, MOST_WAL, Found, slope


def course(seconds: float = 1_800, *, leak: float = 0.0, fds: float = 0.0, threads: float = 0.0) -> list[Sample]:
    """A sample each 15 s of a bot that fills its caches in the first third, with noise, and spikes at each backup.

    :param leak: MiB in ten minutes; the others are so many in ten minutes
    """
    random, samples = Random(1), []
    for at in range(0, int(seconds), 15):
        filled = min(1.0, at / (seconds / 3))
        rss = 90 + 30 * filled + leak * at / 600 + random.gauss(0, 0.3) + (25 if at % 300 < 60 else 0)
        samples.append(
            Sample(
                at,
                int(rss * MIB),
                int(rss * MIB * 0.9),
                40 + int(fds * at / 600) + random.randrange(3),
                9 + int(threads * at / 600),
                int(at * 5_000),
                4 * MIB,
                6 * MIB,
            )
        )
    return samples


def tasks(*, leak: float = 0.0, seconds: float = 1_800) -> list[tuple[float, float]]:
    random = Random(2)
    return [(at, 50 + random.randrange(20) + leak * at / 600) for at in range(0, int(seconds), 15)]


def blocks(*, leak: float = 0.0, seconds: float = 1_800) -> list[tuple[float, float]]:
    random = Random(3)
    return [(at, 600_000 + random.randrange(20_000) + leak * at / 600) for at in range(0, int(seconds), 15)]


def found(**changed: Any) -> Found:
    values: dict[str, Any] = {
        "minutes": 30.0, "rate": 200.0, "seed": 1, "samples": course(), "tasks": tasks(),
        "blocks": blocks(), "used": 0.3, "starved": 0.0,
        "exit_code": 0, "said": 360_000, "undelivered": 0, "answered": 300_000, "lost": [], "doubled": [], "wrong": [],
        "books": [], "complaints": [], "remarks": {}, "delays": [0.01], "calm_delays": [0.01], "latest": 0.0,
        "troubles": Counter(), "failed": [], "pages": Counter({200: 10}), "scrapes": 120, "missing": [],
        "integrity": "ok",
    }  # fmt: skip
    return Found(**values | changed)


@dataclass(frozen=True)
class Rot:
    """What goes wrong, and the limit that it breaks."""

    limit: str
    changed: dict[str, Any]


ROTS = (
    Rot("memory (RSS)", {"samples": course(leak=2.0)}),
    Rot("descriptors", {"samples": course(fds=4.0)}),
    Rot("threads", {"samples": course(threads=4.0)}),
    Rot("tasks", {"tasks": tasks(leak=10.0)}),
    Rot("tasks", {"tasks": []}),
    Rot("Python's objects (blocks)", {"blocks": blocks(leak=20_000.0)}),
    Rot("write-ahead log", {"samples": [*course(), msgspec.structs.replace(course()[-1], wal=MOST_WAL + 1)]}),
    Rot("files of the log", {"samples": [*course(), msgspec.structs.replace(course()[-1], logs=MOST_LOGS + 1)]}),
    Rot("commands lost", {"lost": ["!repeat 1"]}),
    Rot("commands answered twice", {"doubled": ["!repeat 1"]}),
    Rot("wrong answers", {"wrong": ["'!repeat 1' was answered with '2'"]}),
    Rot("the bot's books differ", {"books": ["/metrics: repeat ok: 1 instead of 2"]}),
    Rot("exceptions that nobody retrieved", {"complaints": ["Task exception was never retrieved"]}),
    Rot("troubles that were not borne", {"failed": ["reload"]}),
    Rot("alerts that did not arrive", {"missing": ["alert-0"]}),
    Rot("pages that failed", {"pages": Counter({200: 10, 500: 1})}),
    Rot("exit code", {"exit_code": None}),
    Rot("the store afterwards", {"integrity": "row 7 missing from index"}),
)


def test_a_bot_that_does_not_rot_is_within_every_limit() -> None:
    report = found(samples=course(leak=0.5))
    assert report.held, report.text()
    assert "BROKEN" not in report.text()


@pytest.mark.parametrize("rot", ROTS, ids=lambda rot: rot.limit)
def test_each_way_to_rot_breaks_its_limit_and_no_other(rot: Rot) -> None:
    report = found(**rot.changed)
    assert [limit.name for limit in report.limits() if limit.held is False] == [rot.limit]
    assert not report.held
    assert report.text().count("BROKEN") == 1


def test_a_slope_is_not_told_from_a_short_course() -> None:
    report = found(samples=course(300, leak=60.0), tasks=tasks(seconds=300), blocks=blocks(seconds=300))
    assert [limit.held for limit in report.limits()[:4]] == [None] * 4
    assert report.held


def test_a_slope_is_not_moved_by_outliers() -> None:
    line = [(float(at), 3.0 * at / 600) for at in range(0, 1_200, 10)]
    spoiled = [(at, 1_000.0 if number % 5 == 0 else value) for number, (at, value) in enumerate(line)]
    assert slope(line) == pytest.approx(3.0)
    assert slope(spoiled) == pytest.approx(3.0, rel=0.05)


# -- the ledger -------------------------------------------------------------------------------------------


def answer_to(id: str, content: str) -> dict[str, Any]:
    return {"content": content, "message_reference": {"message_id": id}}


def test_what_is_lost_doubled_or_mixed_up_is_found() -> None:
    ledger = Ledger()
    for id in ("1", "2", "3", "4"):
        ledger.add(id, f"!repeat {id}", ("repeat", "ok"), "once")
    ledger.add("5", "!shut 5", ("shut", "refused"), "never")
    ledger.add("6", "!spam 6", ("spam", "*"), "at most once")
    for id, content in (("1", "1"), ("2", "2"), ("2", "2"), ("3", "33"), ("5", "5"), ("7", "7")):
        ledger.hear(answer_to(id, content))
    assert ledger.waiting == 1
    ledger.settle(all_=True)
    assert ledger.lost == ["!repeat 4"]
    assert ledger.doubled == ["!repeat 2"]
    assert len(ledger.wrong) == 3
    ledger.hear(answer_to("1", "1"))
    assert len(ledger.wrong) == 4, "also one that comes when all is settled"


def test_books_that_differ_are_told_by_command_and_outcome() -> None:
    ledger = Ledger()
    for number in range(3):
        ledger.add(f"a{number}", f"!repeat {number}", ("repeat", "ok"), "once")
        ledger.add(f"b{number}", f"!spam {number}", ("spam", "*"), "at most once")
    right = {("repeat", "ok"): 3.0, ("spam", "ok"): 1.0, ("spam", "refused"): 2.0}
    assert ledger.compare(right, "books") == []
    assert ledger.compare(right | {("spam", "ok"): 2.0}, "books") == ["books: spam: 4 instead of 3"]
    assert ledger.compare(right | {("repeat", "ok"): 2.0, ("repeat", "refused"): 1.0}, "books") == [
        "books: repeat ok: 2 instead of 3",
        "books: repeat refused: 1 instead of 0",
    ]
    assert ledger.compare(right | {("canary", "ok"): 1.0}, "books") == ["books: canary ok: 1 instead of 0"]
