"""What a soak found, judged by the limits of P55."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations

from msgspec import Struct

from tests.soak.process import COPIES, Sample

MIB = 2**20
PER = 600.0
"""Slopes are told for so many seconds."""

WARM_UP = 1 / 3
"""The part of a run that is not judged: what is bounded fills meanwhile."""

WARM_UP_OF_MEMORY = 1 / 2
"""The same for memory, whose allocator takes more with each kind of burst that it has not had before."""

SHORTEST = 360.0
"""Seconds of a course below which its slope says nothing: noise of a MiB would be a slope of many."""

MOST_BLOCKS = 10_000
"""Blocks of Python's memory by which they may grow in ``PER``: about a MiB of small objects."""

MOST_WAL = 32 * MIB
MOST_LOGS = (COPIES + 1) * 2 * MIB + MIB // 4
"""All files of the log at its largest setting, and the lines that are under way."""


class Limit(Struct, frozen=True):
    """A figure and how large it may be; ``held`` None where the run was too short to tell."""

    name: str
    found: str
    limit: str
    held: bool | None


class Found(Struct, kw_only=True):
    """All that was seen."""

    minutes: float
    rate: float
    seed: int
    samples: list[Sample]
    tasks: list[tuple[float, float]]
    blocks: list[tuple[float, float]]
    used: float
    starved: float
    exit_code: int | None
    said: int
    undelivered: int
    answered: int
    lost: list[str]
    doubled: list[str]
    wrong: list[str]
    books: list[str]
    complaints: list[str]
    remarks: dict[str, int]
    delays: list[float]
    calm_delays: list[float]
    latest: float
    troubles: Counter[str]
    failed: list[str]
    pages: Counter[int]
    scrapes: int
    missing: list[str]
    integrity: str

    def limits(self) -> list[Limit]:
        samples, later = warm(self.samples), warm(self.samples, WARM_UP_OF_MEMORY)
        start = samples[0].at if samples else 0.0
        tasks, blocks = ([each for each in course if each[0] >= start] for course in (self.tasks, self.blocks))
        return [
            _slope("memory (RSS)", [(each.at, each.rss / MIB) for each in later], 1.0, "MiB"),
            _slope("descriptors", [(each.at, each.fds) for each in samples], 1.0, ""),
            _slope("threads", [(each.at, each.threads) for each in samples], 1.0, ""),
            _slope("tasks", tasks, 3.0, ""),
            _slope("Python's objects (blocks)", blocks, MOST_BLOCKS, ""),
            _most("write-ahead log", max(each.wal for each in self.samples), MOST_WAL),
            _most("files of the log", max(each.logs for each in self.samples), MOST_LOGS),
            _none("commands lost", self.lost),
            _none("commands answered twice", self.doubled),
            _none("wrong answers", self.wrong),
            _none("the bot's books differ", self.books),
            _none("exceptions that nobody retrieved", self.complaints),
            _none("troubles that were not borne", self.failed),
            _none("alerts that did not arrive", self.missing),
            Limit("pages that failed", f"{self._failed_pages}", "0", self._failed_pages == 0),
            Limit("exit code", f"{self.exit_code}", "0", self.exit_code == 0),
            Limit("the store afterwards", self.integrity, "ok", self.integrity == "ok"),
        ]

    @property
    def _failed_pages(self) -> int:
        return sum(count for status, count in self.pages.items() if status not in (200, 503))

    @property
    def held(self) -> bool:
        return all(limit.held is not False for limit in self.limits())

    def text(self) -> str:
        lines = [
            f"socbot, soaked for {self.minutes:g} min at {self.rate:g} commands/s (seed {self.seed})",
            "",
            f"commands          {self.said:,} said, {self.answered:,} answered; "
            f"{self.undelivered:,} more while Discord knew no session, which it loses by itself",
            f"answers           {_quantiles(self.calm_delays)} undisturbed, {_quantiles(self.delays)} in all",
            f"the crowd         at most {self.latest * 1e3:.0f} ms late",
            f"processor         {self.used:.0%} of one core; its loop waited for one in {self.starved:.0%} of the time",
            f"pages             {sum(self.pages.values())} read, of which {self.pages[503]} were told to come again "
            f"because the bot was busy; {self.scrapes} scrapes of /metrics",
            f"troubles          {', '.join(f'{count} {name}' for name, count in sorted(self.troubles.items()))}",
            "",
            *_table(self.samples, self.tasks, self.blocks),
            "",
            *(_verdict(limit) for limit in self.limits()),
        ]
        for title, found in (
            ("lost", self.lost),
            ("answered twice", self.doubled),
            ("wrong answers", self.wrong),
            ("the books", self.books),
            ("never retrieved and the like", self.complaints),
            ("not borne", self.failed),
            ("did not arrive", self.missing),
        ):
            if found:
                lines += ["", f"{title}:", *(f"  {each}" for each in found[:20])]
        if self.remarks:
            lines += ["", "warnings and errors in the log:"]
            lines += [
                f"  {count:>6}  {kind}" for kind, count in sorted(self.remarks.items(), key=lambda each: -each[1])
            ]
        return "\n".join(lines)


def warm(samples: Sequence[Sample], part: float = WARM_UP) -> list[Sample]:
    """The samples after the warm-up."""
    start = samples[0].at + part * (samples[-1].at - samples[0].at) if samples else 0.0
    return [each for each in samples if each.at >= start]


def slope(course: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between every two points (Theil and Sen), for each ``PER`` seconds.

    Up to 29 % of the points may be anything.
    """
    return PER * statistics.median(
        (y - x) / (later - earlier) for (earlier, x), (later, y) in combinations(course, 2) if later > earlier
    )


def _slope(name: str, course: Sequence[tuple[float, float]], most: float, unit: str) -> Limit:
    limit = f"{most:g}{' ' if unit else ''}{unit} in 10 min"
    if len(course) < 2:
        return Limit(name, "not measured", limit, held=False)
    found = slope(course)
    text = f"{found:+.2f}{' ' if unit else ''}{unit} in 10 min"
    if course[-1][0] - course[0][0] < SHORTEST:
        return Limit(name, text, limit, held=None)
    return Limit(name, text, limit, held=found <= most)


def _most(name: str, found: int, most: int) -> Limit:
    return Limit(name, f"{found / MIB:.1f} MiB at most", f"{most / MIB:.1f} MiB", found <= most)


def _none(name: str, found: Sequence[str]) -> Limit:
    return Limit(name, str(len(found)), "0", not found)


def _verdict(limit: Limit) -> str:
    said = {True: "ok", False: "BROKEN", None: "too short to tell"}[limit.held]
    return f"{limit.name:<34}{limit.found:<26}limit {limit.limit:<20}{said}"


def _quantiles(values: Sequence[float]) -> str:
    if not values:
        return "none"
    ordered = sorted(values)
    p50, p99 = (ordered[math.ceil(share * len(ordered)) - 1] * 1e3 for share in (0.5, 0.99))
    return f"P50 {p50:.0f} ms, P99 {p99:.0f} ms, worst {ordered[-1]:.1f} s"


_COLUMNS: Sequence[tuple[str, Callable[[Sample], str]]] = (
    ("min", lambda each: f"{each.at / 60:.1f}"),
    ("RSS MiB", lambda each: f"{each.rss / MIB:.1f}"),
    ("USS MiB", lambda each: f"{each.uss / MIB:.1f}"),
    ("fds", lambda each: str(each.fds)),
    ("threads", lambda each: str(each.threads)),
    ("store MiB", lambda each: f"{each.store / MIB:.1f}"),
    ("WAL MiB", lambda each: f"{each.wal / MIB:.1f}"),
    ("logs MiB", lambda each: f"{each.logs / MIB:.1f}"),
)


def _table(samples: Sequence[Sample], *others: Sequence[tuple[float, float]]) -> list[str]:
    """The course, in some fifteen lines."""
    lines = ["".join(f"{name:>10}" for name in (*(name for name, _ in _COLUMNS), "tasks", "blocks"))]
    for sample in [*samples[:: max(1, len(samples) // 15)], *samples[-1:]]:
        near = (min(other, key=lambda each: abs(each[0] - sample.at), default=(0.0, math.nan))[1] for other in others)
        lines.append("".join(f"{write(sample):>10}" for _, write in _COLUMNS) + "".join(f"{n:>10.0f}" for n in near))
    return lines
