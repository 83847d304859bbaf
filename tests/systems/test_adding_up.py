"""The figures hold against a ledger that is kept beside them, command by command."""

import math
import random
from collections import Counter, defaultdict

import pytest

from socbot.config import StorageConfig
from socbot.testing import FakeClock
from tests.observed import DOOR_SECONDS, Observed, observed

COMMANDS = 10_000


def something(runs: random.Random) -> tuple[str, str]:
    """A message, and who says it: every kind that there is, in no order."""
    author = runs.choice(["banned", *map(str, range(2, 40))])
    text = runs.choices(
        [
            f"!take {runs.lognormvariate(3, 1.2):.3f}", "!ping", "!broken", "!secret", "!take nothing",
            f"!junk{runs.randrange(10**9)}", "just talking",
        ],
        weights=[40, 20, 8, 5, 5, 12, 10],
    )[0]  # fmt: skip
    return text, author


class Ledger:
    """What happened, written down one by one."""

    def __init__(self) -> None:
        self.endings: Counter[str] = Counter()
        self.by_command: Counter[tuple[str, str]] = Counter()
        self.by_user: Counter[str] = Counter()
        self.refused_by: Counter[str] = Counter()
        self.times: defaultdict[str, list[float]] = defaultdict(list)

    async def say(self, world: Observed, text: str, author: str) -> None:
        before = world.clock.monotonic()
        outcome = await world.say(text, author)
        if outcome.status == "ignored":
            return
        self.endings[outcome.status] += 1
        if outcome.status != "unknown":
            self.by_user[author] += 1
        if outcome.command is not None:
            self.by_command[outcome.command, outcome.status] += 1
        if outcome.status == "refused":
            assert outcome.refused_by is not None
            self.refused_by[outcome.refused_by] += 1
        if outcome.status in ("ok", "failed") and outcome.command is not None:
            self.times[outcome.command].append(world.clock.monotonic() - before - DOOR_SECONDS)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1]


@pytest.mark.promise("P53")
async def test_after_ten_thousand_mixed_commands_every_figure_is_that_of_the_ledger(storage: StorageConfig) -> None:
    runs, ledger, clock = random.Random(53), Ledger(), FakeClock()
    for _ in range(2):  # with a restart in between
        async with observed(storage, clock=clock) as world:
            for number in range(COMMANDS // 2):
                await ledger.say(world, *something(runs))
                clock.forward(runs.expovariate(1 / 5.0))
                if number % 700 == 0:
                    await world.telemetry.flush()
    async with observed(storage, clock=clock) as world:
        await the_counters_are_those_of(ledger, world)
        await the_times_are_those_of(ledger, world)
        assert world.telemetry.dropped == 0


async def the_counters_are_those_of(ledger: Ledger, world: Observed) -> None:
    usage = await world.analytics.usage()
    tally = usage.tally
    told = {"ok": tally.ok, "failed": tally.failed, "refused": tally.refused, "invalid": tally.invalid}
    assert told | {"unknown": tally.unknown} == dict(ledger.endings)
    assert tally.commands == tally.ok + tally.failed + tally.invalid + sum(ledger.refused_by.values())
    by_command = {
        (each.command, status): count
        for each in usage.commands
        for status in ("ok", "failed", "refused", "invalid")
        if (count := getattr(each.tally, status))
    }
    assert by_command == dict(ledger.by_command)
    for author, count in ledger.by_user.items():
        assert (await world.analytics.of_user(("local", author))).tally.commands == count
    refused = await world.rows("SELECT refused_by, SUM(count) FROM usage WHERE status = 'refused' GROUP BY refused_by")
    assert {by: int(count) for by, count in refused} == dict(ledger.refused_by)
    assert sum(count for _, count in usage.by_day) == tally.commands
    assert sum(map(sum, (await world.analytics.heatmap(365)).counts)) == tally.commands
    assert (await world.rows("SELECT COUNT(DISTINCT command) FROM usage")) == [(5,)]  # junk names are one


async def the_times_are_those_of(ledger: Ledger, world: Observed) -> None:
    profiles = {each.command: each for each in await world.profiler.commands()}
    assert {name: each.runs.count for name, each in profiles.items() if each.runs.count} == {
        name: len(times) for name, times in ledger.times.items()
    }
    for name, times in ledger.times.items():
        measured = profiles[name].runs
        assert measured.total == pytest.approx(sum(times))
        assert measured.least == pytest.approx(min(times))
        assert measured.most == pytest.approx(max(times))
        for share in (0.5, 0.95, 0.99):
            assert measured.quantile(share) == pytest.approx(percentile(times, share), rel=0.0051)
