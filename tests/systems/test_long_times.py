"""What is told of long times, from sums, is what the runs themselves add up to, whatever has been summed up by then."""

import random
from collections import Counter
from functools import partial
from typing import Any

import pytest

from socbot.config import AnalyticsConfig, ProfilerConfig, StorageConfig
from socbot.storage.connection import Connection
from socbot.systems.analytics import Person, Tally, UsageRow, add_rows
from socbot.systems.profiler import COMMAND, HANDLER, CommandCost, Course, Profile, add_profiles
from socbot.systems.sketch import Sketch
from socbot.testing import FakeClock
from tests.observed import Observed, observed

HOUR = 3_600.0
START = 472_220  # hours since 1970: 2023-11-14
COMMANDS, PEOPLE, GUILDS = ("ping", "take", "scan"), [str(number) for number in range(12)], ("g1", "g2", "")
ENDINGS = ("ok", "failed", "refused", "invalid")


class Ledger:
    """Every row that was ever counted, and what is to be told of them."""

    def __init__(self) -> None:
        self.rows: list[UsageRow] = []

    def at(self, runs: random.Random, hour: int) -> list[UsageRow]:
        """A few more rows, of ``hour``."""
        made: dict[Any, UsageRow] = {}
        for _ in range(runs.randrange(1, 5)):
            status = runs.choice((*ENDINGS, "unknown"))
            command = "" if status == "unknown" else runs.choice(COMMANDS)
            at = hour * HOUR + runs.random() * 3_599
            row = UsageRow(
                hour, "local", runs.choice(GUILDS), runs.choice(PEOPLE), command, status,
                "door" if status == "refused" else "", runs.randrange(1, 5), 1.5, at, at,
            )  # fmt: skip
            made[row.guild, row.subject, command, status] = row
        self.rows += made.values()
        return list(made.values())

    def tally(self, **wanted: Any) -> Tally:
        counts: Counter[str] = Counter()
        for row in self.of(**wanted):
            counts[row.status] += row.count
        return Tally(**counts)

    def of(self, since: int = 0, until: int = 10**9, **wanted: str) -> list[UsageRow]:
        return [
            row for row in self.rows
            if since <= row.hour < until and all(getattr(row, name) == value for name, value in wanted.items())
        ]  # fmt: skip

    def people(self, **wanted: Any) -> Counter[str]:
        counts: Counter[str] = Counter()
        for row in self.of(**wanted):
            if row.status != "unknown":
                counts[row.subject] += row.count
        return counts

    def by_command(self, **wanted: Any) -> dict[str, Tally]:
        return {name: tally for name in COMMANDS if (tally := self.tally(command=name, **wanted)) != Tally()}


def ranking(counts: Counter[str]) -> tuple[Person, ...]:
    return tuple(Person("local", who, n) for who, n in sorted(counts.items(), key=lambda each: (-each[1], each[0])))


async def the_figures_are_those_of(ledger: Ledger, world: Observed) -> None:
    usage = await world.analytics.usage()
    assert usage.tally == ledger.tally()
    assert {each.command: each.tally for each in usage.commands} == ledger.by_command()
    assert usage.users == ranking(ledger.people())[:10]
    assert usage.unique_users == len(ledger.people())
    for command in COMMANDS:
        one = await world.analytics.of_command(command)
        assert (one.tally, one.unique_users) == (ledger.tally(command=command), len(ledger.people(command=command)))
        assert one.users == ranking(ledger.people(command=command))[:10]
    for guild in ("g1", "g2"):
        one = await world.analytics.of_guild(("local", guild))
        assert (one.tally, one.users) == (ledger.tally(guild=guild), ranking(ledger.people(guild=guild))[:10])
        assert {each.command: each.tally for each in one.commands} == ledger.by_command(guild=guild)
    everybody = ledger.people()
    for who in PEOPLE:
        theirs = await world.analytics.of_user(("local", who))
        assert theirs.tally == ledger.tally(subject=who)
        assert {each.command: each.tally for each in theirs.commands} == ledger.by_command(subject=who)
        if everybody[who]:
            assert theirs.rank == 1 + sum(count > everybody[who] for count in everybody.values())
        assert theirs.ranked == len(everybody)
    assert sum(row.count for row in await world.analytics.export()) == sum(row.count for row in ledger.rows)


async def the_summaries_are_those_of(ledger: Ledger, world: Observed, runs: random.Random) -> None:
    now = int(world.clock.time() // HOUR) + 1
    for since, until in [(now - 24, now), (now - 30 * 24 - 5, now), sorted(runs.sample(range(now - 1_400, now), 2))]:
        found = await world.analytics.summary(since * HOUR, until * HOUR)
        named = {name: tally for name, tally in ledger.by_command(since=since, until=until).items() if tally.commands}
        assert found.tally == ledger.tally(since=since, until=until)
        assert {each.command: each.tally for each in found.by_command} == named
        in_steps = [tally for moment, tally in found.by_step if moment >= since * HOUR]
        assert sum(each.commands for each in in_steps) <= found.tally.commands
        assert sum(tally.commands for _, tally in found.by_step) == found.tally.commands
        assert found.people == (len(ledger.people(since=since)) if until == now else None)


async def live(world: Observed, ledger: Ledger, runs: random.Random, days: int) -> None:
    """Count and sum up for some days, with rows that come late."""
    for day in range(days):
        now = int(world.clock.time() // HOUR)
        hours = {now, *(now - runs.randrange(24) for _ in range(2))}
        if day % 9 == 0:
            hours.add(now - runs.randrange(24, 40 * 24))
        rows = [row for hour in sorted(hours) for row in ledger.at(runs, hour)]
        await world.database.write(partial(add_rows, rows=rows))
        if runs.random() < 0.6:
            await world.analytics.forget_old()
        world.clock.forward(24 * HOUR)


@pytest.mark.promise("P53")
async def test_usage_of_months_is_the_same_from_sums_as_from_its_rows(either_storage: StorageConfig) -> None:
    runs, ledger, clock = random.Random(7), Ledger(), FakeClock(START * HOUR)
    async with observed(either_storage, clock=clock, analytics=AnalyticsConfig(detail_days=5)) as world:
        for days in (4, 30, 30):
            await live(world, ledger, runs, days)
            await the_figures_are_those_of(ledger, world)
            await the_summaries_are_those_of(ledger, world, runs)
        spans = Counter(row.span for row in await world.analytics.export())
        assert spans["month"] > spans["hour"] > 0


async def test_nothing_is_left_of_what_is_too_old(either_storage: StorageConfig) -> None:
    runs, ledger, clock = random.Random(8), Ledger(), FakeClock(START * HOUR)
    config = AnalyticsConfig(detail_days=5, retention_days=20)
    async with observed(either_storage, clock=clock, analytics=config) as world:
        await live(world, ledger, runs, 50)
        kept = await world.analytics.export()
        assert min(row.hour for row in kept) >= clock.time() / HOUR - (20 + 31) * 24
        assert (await world.analytics.usage()).unique_users == len({row.subject for row in kept if row.command})
        clock.forward(60 * 24 * HOUR)
        await world.analytics.forget_old()
        for table in ("usage", "usage_counts", "usage_months", "usage_people", "usage_guilds"):
            assert await world.rows(f"SELECT * FROM {table}") == []


async def test_a_person_is_forgotten_in_every_sum_and_nobody_else(either_storage: StorageConfig) -> None:
    runs, ledger, clock = random.Random(9), Ledger(), FakeClock(START * HOUR)
    async with observed(either_storage, clock=clock, analytics=AnalyticsConfig(detail_days=5)) as world:
        await live(world, ledger, runs, 30)
        before = await world.analytics.usage()
        await world.erasure.forget(("local", "7"))
        for table in ("usage", "usage_months", "usage_people"):
            assert await world.rows(f"SELECT * FROM {table} WHERE subject = '7'") == []
        ledger.rows = [row for row in ledger.rows if row.subject != "7"]
        usage = await world.analytics.usage()
        assert usage.users == ranking(ledger.people())[:10]
        assert usage.tally == before.tally  # counts of which nobody knows whose they are
        assert (await world.analytics.of_guild(("local", "g1"))).tally == ledger.tally(guild="g1")


# -- the profiler -------------------------------------------------------------------------------------


class Times:
    """Every run that was ever measured."""

    def __init__(self) -> None:
        self.runs: list[Profile] = []

    def at(self, runs: random.Random, hour: int) -> list[Profile]:
        made = []
        for command in runs.sample(COMMANDS, 2):
            for part in (COMMAND, HANDLER):
                sketch = Sketch()
                sketch.add([runs.lognormvariate(-3, 1) for _ in range(5)])
                made.append(Profile(command, part, runs.choice(("ok", "failed", "refused")), sketch, hour))
        self.runs += made
        return made

    def merged(self, first: int, last: int, **wanted: str) -> Sketch:
        found = Sketch()
        for each in self.runs:
            if (
                first <= each.hour < last
                and (each.status != "refused" or "status" in wanted)
                and all(getattr(each, name) == value for name, value in wanted.items() if name != "status")
            ):
                found.merge(each.sketch)
        return found


def figures(sketch: Sketch) -> tuple[Any, ...]:
    shares = (sketch.quantile(share) for share in (0.5, 0.95, 0.99))
    return (sketch.count, pytest.approx(sketch.mean), *map(pytest.approx, shares))


def told(each: Course | CommandCost) -> tuple[Any, ...]:
    return (each.count, each.mean, each.p50, each.p95, each.p99)


async def the_times_are_those_of(times: Times, world: Observed, runs: random.Random) -> None:
    now = int(world.clock.time() // HOUR) + 1
    oldest = now - 40 * 24 - now % 24
    ranges = [(now - 24, now), (now - 7 * 24, now), (oldest, now), (oldest + 24 * 3, oldest + 24 * 11)]
    for first, last in ranges:
        if first < now - 4 * 24:  # by the day
            first -= first % 24
        for cost in await world.profiler.table(first * HOUR, last * HOUR):
            assert told(cost) == figures(times.merged(first, last, command=cost.command, part=cost.part))
        whole = await world.profiler.whole(first * HOUR, last * HOUR)
        assert (whole.count if whole else 0) == times.merged(first, last, part=COMMAND).count
        for command in (None, "ping"):
            wanted = {} if command is None else {"command": command}
            course = await world.profiler.course(first * HOUR, last * HOUR, command)
            assert len(course) <= 200
            assert sum(each.count for each in course) == times.merged(first, last, part=COMMAND, **wanted).count
        parts = await world.profiler.parts(first * HOUR, last * HOUR)
        assert {part: each.count for part, each in parts.items()} == {
            part: count
            for part in (COMMAND, HANDLER)
            if (count := times.merged(first, last, part=part, status="any").count)
        }
    for each in await world.profiler.commands():
        assert figures(each.runs) == figures(times.merged(0, now, command=each.command, part=COMMAND))
    assert sum(each.sketch.count for each in await world.profiler.export()) == 5 * len(times.runs)


@pytest.mark.promise("P53")
async def test_times_of_months_are_the_same_from_spans_as_from_the_runs(either_storage: StorageConfig) -> None:
    runs, times, clock = random.Random(5), Times(), FakeClock(START * HOUR)
    async with observed(either_storage, clock=clock, profiler=ProfilerConfig(detail_days=3)) as world:
        for day in range(34):
            now = int(clock.time() // HOUR)
            hours = {now, *(now - runs.randrange(24) for _ in range(2))}
            if day % 5 == 4:
                hours.add(now - runs.randrange(24, 30 * 24))
            profiles = [each for hour in sorted(hours) for each in times.at(runs, hour)]
            await world.database.write(partial(add_profiles, profiles=profiles))
            if runs.random() < 0.6:
                await world.profiler.tidy()
            if day in (1, 33):
                await the_times_are_those_of(times, world, runs)
            clock.forward(24 * HOUR)
        clock.forward(-24 * HOUR)
        spans = {row[0] for row in await world.rows("SELECT DISTINCT span FROM profile")}
        assert {1, 3, 24, 48, 192} <= spans


async def test_times_of_one_command_can_be_taken_out_of_those_of_all(storage: StorageConfig) -> None:
    runs, times, clock = random.Random(6), Times(), FakeClock(START * HOUR)
    async with observed(storage, clock=clock) as world:
        for _ in range(5):
            await world.database.write(partial(add_profiles, profiles=times.at(runs, int(clock.time() // HOUR))))
            clock.forward(20 * HOUR)
        await world.profiler.tidy()
        await world.profiler.reset("ping")
        times.runs = [each for each in times.runs if each.command != "ping"]
        whole = await world.profiler.whole(0.0, clock.time())
        left = times.merged(0, 10**9, part=COMMAND)
        assert whole is not None
        assert whole.count == left.count
        assert whole.total == pytest.approx(left.total)
        assert whole.p50 == pytest.approx(left.quantile(0.5), rel=0.011)


async def test_what_an_older_version_kept_is_told_before_it_is_filed_and_after(either_storage: StorageConfig) -> None:
    runs, times, clock = random.Random(4), Times(), FakeClock(START * HOUR)
    async with observed(either_storage, clock=clock) as world:
        for hour in (START // 24 * 24 - 240, START // 24 * 24 - 216, START - 2):
            await world.database.write(partial(add_profiles, profiles=times.at(runs, hour)))
        await world.database.write(lambda connection: connection.change("UPDATE profile SET span = 0"))
        before = await world.profiler.table(0.0, clock.time())
        await world.profiler.tidy()
        assert await world.rows("SELECT 1 FROM profile WHERE span = 0") == []
        assert [told(each) for each in await world.profiler.table(0.0, clock.time())] == [told(each) for each in before]
        assert len(before) > 3


def as_it_was(connection: Connection) -> None:
    """Make the store one of the revision before there were any sums."""
    for table in ("usage_counts", "usage_months", "usage_people", "usage_guilds", "rollups", "leases"):
        connection.execute(f"DROP TABLE {table}")
    connection.execute("DROP INDEX usage_guild")
    connection.execute("DROP INDEX signals_last_at")
    connection.execute("DROP INDEX rate_limit_violations_until")
    connection.execute("CREATE INDEX usage_command ON usage (command, hour)")
    binary = "BLOB" if connection.dialect == "sqlite" else "BYTEA"
    connection.execute(
        "CREATE TABLE older (hour BIGINT, command TEXT, part TEXT, status TEXT, count BIGINT, total DOUBLE PRECISION,"
        f" least DOUBLE PRECISION, most DOUBLE PRECISION, sketch {binary}, PRIMARY KEY (hour, command, part, status))"
    )
    columns = "hour, command, part, status, count, total, least, most, sketch"
    connection.execute(f"INSERT INTO older ({columns}) SELECT {columns} FROM profile")
    connection.execute("DROP TABLE profile")
    connection.execute("ALTER TABLE older RENAME TO profile")
    connection.execute("UPDATE alembic_version SET version_num = '0004'")


@pytest.mark.promise("P21")
async def test_a_store_without_sums_is_brought_up_to_date_with_all_that_it_holds(either_storage: StorageConfig) -> None:
    runs, ledger, times, clock = random.Random(3), Ledger(), Times(), FakeClock(START * HOUR)
    async with observed(either_storage, clock=clock) as world:
        for hour in (START - 2_000, START - 1_000, START - 30, START - 29, START - 1):
            await world.database.write(partial(add_rows, rows=ledger.at(runs, hour)))
            await world.database.write(partial(add_profiles, profiles=times.at(runs, hour)))
        await world.database.write(as_it_was)
    async with observed(either_storage, clock=clock) as world:
        for _ in range(2):
            await the_figures_are_those_of(ledger, world)
            await the_summaries_are_those_of(ledger, world, runs)
            for each in await world.profiler.commands():
                assert figures(each.runs) == figures(times.merged(0, START, command=each.command, part=COMMAND))
            await world.analytics.forget_old()
            await world.profiler.tidy()
