"""A year of a bot with 1,000 guilds and 100,000 people, and how long each page of its dashboard takes.

10 million commands in the year, 27,000 a day, are what 100,000 people are who give two a week: few give most of them
(the busiest one gives 15 a day), guilds and commands too are used unequally, evenings and weekends more than nights.
3 % are refused, 2 % invalid, 1 % fail, 1 % name no command. The rest is as much as a bot keeps of it.

The store is filled through the schema: what is still known by the hour by the systems themselves, what is older as
they would have left it. It is kept in ``SOCBOT_BENCH_YEAR``, a folder, if that is set, and used again.
"""

import http.client
import json
import math
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, TypeAlias
from urllib.parse import quote

import anyio
import anyio.to_thread
import msgspec
from msgspec import Struct

from socbot.bot import Bot
from socbot.config import (
    AnalyticsConfig,
    BackupConfig,
    Config,
    ProfilerConfig,
    StorageConfig,
    WebConfig,
    WebhooksConfig,
)
from socbot.dispatch.messages import Message, User
from socbot.dispatch.outcomes import Outcome, Stage, Status, Trace
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.systems import audit
from socbot.systems.analytics import UsageRow, add_rows
from socbot.systems.profiler import COMMAND, HANDLER, Profile, SlowRun, add_profiles, add_slow_runs
from socbot.systems.sketch import Sketch
from socbot.web import Web

PEOPLE, GUILDS, COMMANDS, DAYS = 100_000, 1_000, 60, 365
A_DAY = 27_400
"""Commands."""

LIMIT = 0.150
"""Seconds that a page may take."""

ROOM = 2_000_000_000
"""Bytes that the store may take."""

PLATFORM = "discord"
ENDINGS: tuple[Status, ...] = ("ok", "refused", "invalid", "failed", "unknown")
SHARES = (93, 3, 2, 1, 1)
PARTS = ("blacklist", "rate_limit", "profiler", "analytics", "error_capture")
_TOKEN = "a-token-for-this-benchmark-alone-on-loopback"
_HOUR, _DAY = 3_600.0, 86_400.0
_STAGES = tuple(Stage(name, "guard" if number < 2 else "observer", "enforce") for number, name in enumerate(PARTS))
_SUMS = "ok, failed, refused, invalid, unknown, seconds, first_at, last_at"

Pile: TypeAlias = tuple[int, int, Status]
"""A person, a command, and how it ended."""


class Community:
    """Who there is, and how much each does."""

    def __init__(self, random: Random, days: int) -> None:
        self.random, self.days = random, days
        self.people = [str(100_000_000_000_000_000 + 7_919 * number) for number in range(PEOPLE)]
        self.guilds = [str(800_000_000_000_000_000 + 6_101 * number) for number in range(GUILDS)]
        self.commands = [f"command{number:02}" for number in range(COMMANDS)]
        self._activity = list(accumulate(random.lognormvariate(0, 1.6) for _ in range(PEOPLE)))
        self._used = list(accumulate(1 / (number + 1) for number in range(COMMANDS)))
        sizes = list(accumulate(1 / (number + 2) ** 0.8 for number in range(GUILDS)))
        self.home = random.choices(self.guilds, cum_weights=sizes, k=PEOPLE)
        self.second = random.choices(self.guilds, cum_weights=sizes, k=PEOPLE)

    def hour(self, hour: int) -> Counter[Pile]:
        """What is done in one hour."""
        of_day, weekday = hour % 24, (hour // 24 + 3) % 7
        share = (1 + 0.8 * math.sin((of_day - 14) / 24 * 2 * math.pi)) * (1.3 if weekday > 4 else 0.88) / 24
        count = int(A_DAY * share * self.random.uniform(0.85, 1.15))
        choose, some = self.random.choices, range(PEOPLE)
        return Counter(
            zip(
                choose(some, cum_weights=self._activity, k=count),
                choose(range(COMMANDS), cum_weights=self._used, k=count),
                choose(ENDINGS, SHARES, k=count),
                strict=True,
            )
        )

    def guild(self, person: int, command: int) -> str:
        return self.second[person] if (person * 31 + command * 17) % 5 == 0 else self.home[person]


# -- usage --------------------------------------------------------------------------------------------


def usage(database: "Store", community: Community, now: float, config: AnalyticsConfig) -> None:
    last = int(now // _HOUR)
    detail = last - config.detail_days * 24
    month: Counter[Pile] = Counter()
    for hour in range(last - community.days * 24, detail):
        counted = community.hour(hour)
        month.update(counted)
        database.write(lambda connection, hour=hour, counted=counted: _together(connection, community, hour, counted))
        if hour == detail - 1 or _month(hour + 1) != _month(hour):
            database.write(lambda connection, hour=hour: _fold(connection, community, _month(hour), month))
            month.clear()
    database.write(lambda connection: _add_up(connection, detail))
    for hour in range(detail, last + 1):
        rows = list(_rows(community, hour, community.hour(hour), now))
        database.write(lambda connection, rows=rows: add_rows(connection, rows))


def _month(hour: int) -> int:
    at = datetime.fromtimestamp(hour * _HOUR, UTC)
    return at.year * 12 + at.month - 1


def _together(connection: Connection, community: Community, hour: int, counted: Counter[Pile]) -> None:
    """The sums of an hour without people."""
    sums: dict[str, Counter[str]] = {}
    for (_, command, ending), count in counted.items():
        names = ("",) if ending == "unknown" else ("", community.commands[command])
        for name in names:
            sums.setdefault(name, Counter())[ending] += count
    rows = [
        {"span": span, "command": name, "hour": hour - hour % span, "at": hour * _HOUR + 1.0, "total": sum(of.values())}
        | {ending: of[ending] for ending in ENDINGS}
        for name, of in sums.items()
        for span in (1, 24)
    ]
    adding = ", ".join(f"{name} = usage_counts.{name} + excluded.{name}" for name in (*ENDINGS, "seconds"))
    connection.execute_many(
        f"INSERT INTO usage_counts (span, command, hour, {_SUMS}) VALUES (:span, :command, :hour, :ok, :failed,"
        " :refused, :invalid, :unknown, :total * 0.05, :at, :at + 3590)"
        f" ON CONFLICT (span, command, hour) DO UPDATE SET {adding}, last_at = excluded.last_at",
        rows,
    )


def _fold(connection: Connection, community: Community, month: int, counted: Counter[Pile]) -> None:
    piles: dict[tuple[str, str, str], Counter[str]] = {}
    for (person, command, ending), count in counted.items():
        key = (
            community.people[person],
            community.guild(person, command),
            "" if ending == "unknown" else community.commands[command],
        )
        piles.setdefault(key, Counter())[ending] += count
    began = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp()
    connection.execute_many(
        f"INSERT INTO usage_months (month, platform, subject, guild, command, {_SUMS}) VALUES (:month, '{PLATFORM}',"
        " :subject, :guild, :command, :ok, :failed, :refused, :invalid, :unknown, 0.5, :first, :last)",
        [
            {"month": month, "subject": key[0], "guild": key[1], "command": key[2]}
            | {ending: of[ending] for ending in ENDINGS}
            | {"first": began + community.random.random() * _DAY, "last": began + community.random.random() * 28 * _DAY}
            for key, of in sorted(piles.items())
        ],
    )


def _add_up(connection: Connection, detail: int) -> None:
    """The sums over all months, as if each hour had been added once it was over."""
    named = "SUM(ok + failed + refused + invalid)"
    for kind, scope, where in (("all", "''", ""), ("command", "command", ""), ("guild", "guild", "AND guild <> ''")):
        connection.change(
            f"INSERT INTO usage_people (kind, scope, platform, subject, count, last_at) SELECT '{kind}', {scope},"
            f" platform, subject, {named}, MAX(last_at) FROM usage_months WHERE command <> '' {where}"
            f" GROUP BY 2, platform, subject HAVING {named} > 0"
        )
    sums = ", ".join(f"SUM({name})" for name in (*_SUMS.split(", ")[:6],))
    connection.change(
        f"INSERT INTO usage_guilds (platform, guild, command, {_SUMS}) SELECT platform, guild, command, {sums},"
        " MIN(first_at), MAX(last_at) FROM usage_months WHERE guild <> '' GROUP BY platform, guild, command"
    )
    for name in ("usage", "usage.months"):
        connection.change("INSERT INTO rollups (name, upto) VALUES (:name, :upto)", {"name": name, "upto": detail})


def _rows(community: Community, hour: int, counted: Counter[Pile], now: float) -> Iterator[UsageRow]:
    random = community.random
    for (person, command, ending), count in counted.items():
        at = min(hour * _HOUR + random.random() * 3_590, now)
        yield UsageRow(
            hour, PLATFORM, community.guild(person, command), community.people[person],
            "" if ending == "unknown" else community.commands[command], ending,
            "rate_limit" if ending == "refused" else "", count, 0.05 * count, at, at,
        )  # fmt: skip


# -- times --------------------------------------------------------------------------------------------


def times(database: "Store", community: Community, now: float, config: ProfilerConfig) -> None:
    """Days as they are left once their hours are deleted, then hours."""
    last = int(now // _HOUR)
    hours_from = (last - config.detail_days * 24) // 24 * 24
    for day in range((last - community.days * 24) // 24 * 24, hours_from, 24):
        rows = list(_profiles(community, day, A_DAY))
        database.write(lambda connection, rows=rows: _days(connection, rows))
    marks = {"profile.hours": hours_from} | {f"profile.{span}": hours_from for span in (1, 3, 6, 12, 24)}
    database.write(
        lambda connection: connection.execute_many(
            "INSERT INTO rollups (name, upto) VALUES (:name, :upto)",
            [{"name": name, "upto": hour} for name, hour in marks.items()],
        )
    )
    for hour in range(hours_from, last + 1):
        rows = list(_profiles(community, hour, A_DAY // 24))
        database.write(lambda connection, rows=rows: add_profiles(connection, rows))


def _profiles(community: Community, hour: int, count: int) -> Iterator[Profile]:
    """For each command the times of all parts; of many runs some are measured, as often as makes many."""
    random, whole = community.random, sum(1 / (number + 1) for number in range(COMMANDS))
    for number, command in enumerate(community.commands):
        runs = count / (number + 1) / whole
        for status, share in (("ok", 0.93), ("refused", 0.03), ("invalid", 0.02), ("failed", 0.01)):
            expected = runs * share
            times = int(expected) + (random.random() < expected % 1)
            parts = PARTS[:2] if status == "refused" else (*PARTS, COMMAND, HANDLER)
            for part in parts if times else ():
                mean = 0.004 * (1 + number % 7) if part in (COMMAND, HANDLER) else 0.000_02
                yield Profile(command, part, status, _sketch(random, times, math.log(mean)), hour)


def _sketch(random: Random, count: int, mean: float) -> Sketch:
    sketch, measured = Sketch(), min(count, 200)
    sketch.add([random.lognormvariate(mean, 0.5) for _ in range(measured)])
    while sketch.count * 2 <= count:
        sketch.merge(Sketch.from_bytes(sketch.to_bytes()))
    return sketch


def _days(connection: Connection, rows: Sequence[Profile]) -> None:
    together: dict[tuple[str, str], Sketch] = {}
    for row in rows:
        together.setdefault((row.part, row.status), Sketch()).merge(row.sketch)
    everything = [*rows, *(Profile("", *key, sketch, rows[0].hour) for key, sketch in together.items())]
    connection.execute_many(
        "INSERT INTO profile (span, hour, command, part, status, count, total, least, most, sketch)"
        " VALUES (24, :hour, :command, :part, :status, :count, :total, :least, :most, :sketch)",
        [
            {
                "hour": row.hour, "command": row.command, "part": row.part, "status": row.status,
                "count": row.sketch.count, "total": row.sketch.total, "least": row.sketch.least,
                "most": row.sketch.most, "sketch": row.sketch.to_bytes(),
            }
            for row in everything
        ],
    )  # fmt: skip


# -- the rest -----------------------------------------------------------------------------------------


def outcomes(community: Community, count: int, now: float) -> Iterator[Outcome]:
    """The last commands, with their traces."""
    random = community.random
    for number in range(count):
        person, command = random.randrange(PEOPLE), random.randrange(COMMANDS)
        status = random.choices(ENDINGS[:4], SHARES[:4])[0]
        took, at = random.lognormvariate(-4, 1), now - (count - number) * 3.0
        reached = 2 if status == "refused" else len(PARTS)
        marks = [at + 0.000_01 * place for place in range(reached + 1)]
        spans = [[mark, mark + took] if place <= reached else [0.0, 0.0] for place, mark in enumerate(marks)]
        spans += [[0.0, 0.0]] * (len(PARTS) + 1 - len(spans))
        trace = Trace(_STAGES, 1, "YEAR", number, at, [mark for span in spans for mark in span], status != "refused")
        trace.note("rate_limit", f"{random.randrange(10)} of 10 left")
        yield Outcome(
            status,
            Message(
                f"!{community.commands[command]}", User(community.people[person]), PLATFORM, "1",
                community.guild(person, command), str(number),
            ),
            community.commands[command],
            refused_by="rate_limit" if status == "refused" else None,
            reason="too fast" if status == "refused" else None,
            error_id=f"E-{number:06}" if status == "failed" else None,
            trace=trace,
            seconds=took,
        )  # fmt: skip


def the_rest(connection: Connection, community: Community, now: float) -> None:
    for table, rows in _tables(community, now):
        while some := list(islice(rows, 5_000)):
            names = list(some[0])
            values = ", ".join(f":{name}" for name in names)
            connection.execute_many(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})", some)


def _tables(community: Community, now: float) -> Iterator[tuple[str, Iterator[dict[str, object]]]]:
    random, year = community.random, community.days * _DAY

    def ago() -> float:
        return now - random.random() * year

    def who() -> str:
        return random.choice(community.people)

    traceback = "Traceback (most recent call last):\n" + "".join(
        f'  File "/srv/bot/part{line}.py", line {line * 7}, in step{line}\n    result = await call(argument{line})\n'
        for line in range(16)
    )
    groups = [f"G-{number:05}" for number in range(80)]
    yield "error_groups", (
        {
            "group_id": group, "type": random.choice(("KeyError", "TimeoutError", "ValueError")),
            "severity": random.choice(("critical", "warning", "info")), "command": random.choice(community.commands),
            "template": f"no value for <*> in step {number}", "first_at": now - year, "last_at": now - 60.0 * number,
            "count": random.randrange(1, 20_000), "state": random.choice(("open", "open", "resolved")),
        }
        for number, group in enumerate(groups)
    )  # fmt: skip
    yield "errors", (
        {
            "error_id": f"E-{number:06}", "group_id": random.choice(groups), "at": now - 300.0 * (1_000 - number),
            "severity": "warning", "type": "KeyError", "message": f"no value for {number}",
            "command": random.choice(community.commands), "platform": PLATFORM, "subject": who(),
            "guild": random.choice(community.guilds), "channel": "1", "trace_id": f"T-YEAR{number}",
            "traceback": traceback,
        }
        for number in range(1_000)
    )  # fmt: skip
    yield (
        "error_hours",
        (
            {"hour": int(now // _HOUR) - hour, "group_id": group, "count": random.randrange(1, 9)}
            for group in groups
            for hour in range(community.days * 24)
            if random.random() < 0.1
        ),
    )
    yield "health_episodes", (
        {"check_name": random.choice(("cpu", "memory", "database")), "status": "degraded", "started_at": at,
         "ended_at": at + 900, "text": "92 % used"}
        for at in sorted(ago() - 1_000 for _ in range(1_000))
    )  # fmt: skip
    yield "signals", (
        {
            "signal_id": f"S-{number:06}", "kind": random.choice(("alert", "error", "health", "job", "security")),
            "severity": random.choice(("info", "warning", "critical")), "title": f"Something happened {number}",
            "text": "It was seen, and is told here in a sentence of the usual length.",
            "fields": '[["where","here"],["count","3"]]', "source": "health", "key": f"k{number % 500}", "subject": "",
            "at": at, "last_at": at + 60, "count": random.randrange(1, 30),
        }
        for number, at in enumerate(sorted(ago() for _ in range(20_000)))
    )  # fmt: skip
    yield "deliveries", (
        {
            "webhook": f"hook{number % 5}", "event_id": f"S-{number % 20_000:06}", "event": "{}",
            "state": "dead" if number % 50 == 0 else "delivered", "at": at, "next_at": at, "attempts": 1,
            "last_at": at + 1, "last_status": 200, "last_answer": "ok", "message_id": "", "reason": "",
        }
        for number, at in enumerate(sorted(ago() for _ in range(60_000)))
    )  # fmt: skip
    yield "rate_limit_violations", (
        {
            "platform": PLATFORM, "subject": who(), "at": at, "command": random.choice(community.commands),
            "action": random.choice(("warn", "warn", "timeout", "blacklist")), "until": at + 300,
            "guild": random.choice(community.guilds),
        }
        for at in sorted(ago() for _ in range(100_000))
    )  # fmt: skip
    yield (
        "rate_limit_refusals",
        ({"command": name, "count": random.randrange(1, 9_000), "last_at": ago()} for name in community.commands),
    )
    listed = random.sample(community.people, 5_000)
    for table, more in (("blacklist", {}), ("blacklist_history", {"action": "added", "done_by": f"{PLATFORM}:1"})):
        yield table, (
            {"platform": PLATFORM, "kind": "user", "subject": subject, "reason": "spam in many channels at once",
             "expires_at": None, "source": "manual"}
            | (more | {"at": ago()} if more else {"added_by": f"{PLATFORM}:1", "added_at": ago()})
            for subject in listed
        )  # fmt: skip
    yield (
        "blacklist_attempts",
        (
            {"platform": PLATFORM, "kind": "user", "subject": subject, "count": 3, "last_at": ago()}
            for subject in listed
        ),
    )
    yield "incidents", (
        {
            "incident_id": f"I-{number:04}", "kind": "incident" if number % 4 else "drill", "guild": "",
            "title": f"Raid {number}", "severity": "warning", "state": "closed" if number < 398 else "open",
            "opened_by": f"{PLATFORM}:1", "opened_at": at, "closed_by": f"{PLATFORM}:1",
            "closed_at": at + 3_600 if number < 398 else None, "details": "{}",
        }
        for number, at in enumerate(sorted(ago() for _ in range(400)))
    )  # fmt: skip
    yield "timeline", (
        {"incident_id": f"I-{number % 400:04}", "at": ago(), "done_by": f"{PLATFORM}:1", "action": "note",
         "text": "Looked at it and went on."}
        for number in range(8_000)
    )  # fmt: skip
    yield (
        "backups",
        (
            {"name": f"backup-{number:03}", "type": "hourly", "made_at": now - _HOUR * number, "problem": ""}
            for number in range(50)
        ),
    )
    yield (
        "backup_drills",
        (
            {"name": f"backup-{number:03}", "at": now - _DAY * number, "seconds": 3.0, "passed": 1, "steps": "[]"}
            for number in range(community.days)
        ),
    )
    yield (
        "log_templates",
        (
            {"template": f"something <*> of part {number}", "first_at": now - year, "last_at": ago(), "count": 9}
            for number in range(500)
        ),
    )


def trail(database: "Store", community: Community, now: float) -> None:
    for start in range(0, 200_000, 5_000):
        entries = [
            audit.Entry(
                now - (200_000 - start - number) * 150.0, f"{PLATFORM}:{community.random.choice(community.people)}",
                community.random.choice(community.commands), "one argument and another",
                "ok" if number % 20 else "denied", f"T-YEAR{number}",
            )
            for number in range(5_000)
        ]  # fmt: skip
        database.write(lambda connection, entries=entries: audit.append(connection, entries))


async def rounds(bot: Bot, now: float, days: int) -> None:
    """A round of health every five minutes, each like the one that the bot finds now; the runs of its jobs."""
    await bot.health.ask()
    [(status, checks)] = await bot.database.read(
        lambda connection: connection.execute("SELECT status, checks FROM health_rounds ORDER BY at DESC LIMIT 1")
    )
    jobs = [each.name for each in bot.supervisor.status()]

    def add(connection: Connection) -> None:
        connection.execute_many(
            "INSERT INTO health_rounds (at, status, checks) VALUES (:at, :status, :checks)",
            [{"at": now - 300.0 * number, "status": status, "checks": checks} for number in range(days * 288, 0, -1)],
        )
        connection.execute_many(
            "INSERT INTO job_runs (job, started_at, seconds, outcome, error) VALUES (:job, :at, 0.2, 'ok', '')",
            [{"job": job, "at": now - 3_600.0 * number} for number in range(100, 0, -1) for job in jobs],
        )

    await bot.database.write(add)


class Store:
    """A database whose transactions are waited for, from outside of any event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, work: Any) -> None:
        anyio.from_thread.run(self._database.write, work)


async def fill(config: Config, days: int, seed: int = 1) -> None:
    """Make the year."""
    community = Community(Random(seed), days)
    async with Bot.from_config(config, jobs=False) as bot:
        now, store = bot.clock.time(), Store(bot.database)
        await bot.database.write(lambda connection: connection.execute("PRAGMA cache_size = -400000"))
        for what, make in (
            ("usage", partial(usage, store, community, now, config.analytics)),
            ("times", partial(times, store, community, now, config.profiler)),
            ("the trail", partial(trail, store, community, now)),
            ("the rest", partial(store.write, partial(the_rest, community=community, now=now))),
        ):
            began = time.perf_counter()
            await anyio.to_thread.run_sync(make)
            print(f"{what}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        kept = iter(outcomes(community, 100_000, now))
        while some := list(islice(kept, 1_000)):
            await bot.database.write(partial(bot.traces.write, outcomes=some))
        slow = [
            SlowRun(
                now - 500.0 * number, community.random.choice(community.commands), 1.5, PLATFORM,
                community.random.choice(community.people), community.guilds[0], f"T-YEAR{number}",
            )
            for number in range(1_000, 0, -1)
        ]  # fmt: skip
        await bot.database.write(lambda connection: add_slow_runs(connection, slow, 1_000))
        await rounds(bot, now, days)
        for number in range(5):
            await bot.webhooks.add(f"hook{number}", "custom", f"http://127.0.0.1:9/{number}", (), f"{PLATFORM}:1")
        began = time.perf_counter()
        await bot.analytics.forget_old()
        await bot.profiler.tidy()
        print(f"the jobs: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)


# -- pages --------------------------------------------------------------------------------------------


class Timed(Struct, frozen=True):
    """How long a page takes, in seconds, the first time and mostly; how large it is, in bytes."""

    path: str
    status: int
    size: int
    first: float
    median: float


def addresses(found: dict[str, str]) -> list[str]:
    """Every view, with each range that it takes, as a page and as JSON.

    :param found: something that there is, for each name in a path
    """
    from socbot.web.views import VIEWS

    pages: list[str] = []
    for view in VIEWS:
        path = view.path
        for name, value in found.items():
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        if "/jobs/" in path or "/webhooks/" in path:
            path = path.replace("{name}", "telemetry" if "/jobs/" in path else "hook0")
        path = path.replace("{name}", "command00")
        ranges = next(
            (
                [f"?{field.name}={value}" for value in getattr(field.type, "__args__", ())]
                for field in msgspec.structs.fields(view.query)
                if field.name in ("days", "range")
            ),
            [],
        )
        pages += [path + query for query in ranges or [""]]
    more = (
        "/traces?status=failed", "/traces?command=command59&status=invalid", f"/traces?person={PLATFORM}:{found['id']}",
        "/audit?who=nobody", "/audit?result=denied", f"/abuse?search={found['id']}", "/logs?text=nothing",
        "/signals?severity=critical", "/webhooks?state=dead", "/errors?order=frequent&range=7d",
    )  # fmt: skip
    pages += more
    return [address for page in pages for address in (page, "/api/v1" + (page if page != "/" else "/overview"))]


def visit(address: str, token: str, pages: Iterable[str], times: int = 20) -> list[Timed]:
    """Ask for each of ``pages`` as a program beside the bot."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    found = []
    for page in pages:
        took = []
        for _ in range(times + 1):
            began = time.perf_counter()
            connection.request("GET", page, headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "gzip"})
            answer = connection.getresponse()
            size = len(answer.read())
            took.append(time.perf_counter() - began)
        found.append(Timed(page, answer.status, size, took[0], median(took[1:])))
    return found


def sizes(path: Path) -> list[tuple[str, int]]:
    """The bytes of each table with its indexes, the largest first, as far as SQLite can tell."""
    import sqlite3

    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        try:
            return connection.execute(
                "SELECT m.tbl_name, SUM(d.pgsize) FROM dbstat AS d JOIN sqlite_master AS m ON m.name = d.name"
                " GROUP BY 1 ORDER BY 2 DESC LIMIT 14"
            ).fetchall()
        except sqlite3.OperationalError:
            return []


async def measure(times: int = 20, days: int = DAYS) -> tuple[int, list[tuple[str, int]], list[Timed]]:
    """The size of the store, of its tables, and how long each page takes."""
    kept = os.environ.get("SOCBOT_BENCH_YEAR")
    with tempfile.TemporaryDirectory(prefix="socbot-bench-") as scratch:
        folder = Path(kept or scratch)
        path = folder / "data/socbot.db"
        config = Config(
            storage=StorageConfig(url=f"sqlite:///{path}", busy_timeout=60),
            backup=BackupConfig(enabled=False, folder=str(folder / "backups"), paths=()),
            web=WebConfig(port=0, token=_TOKEN),
            webhooks=WebhooksConfig(allow=("127.0.0.0/8",)),
        )
        if not path.exists():
            await fill(config, days)
        os.chdir(scratch)
        async with Bot.from_config(config, jobs=False) as bot, Web(bot) as web:
            await bot.analytics.forget_old()
            await bot.profiler.tidy()
            await bot.health.ask()
            pages = addresses(await _found(bot))
            asked = json.dumps([web.address, _TOKEN, pages, times])
            command = [sys.executable, "-m", "bench.year", "visit"]
            done = await anyio.run_process(command, input=asked.encode(), stderr=None, cwd=Path(__file__).parents[1])
            timed = msgspec.json.decode(done.stdout, type=list[Timed])
        return path.stat().st_size, sizes(path), timed


def _ask(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    return connection.execute(sql)


async def _found(bot: Bot) -> dict[str, str]:
    """Something that there is, for each name in a path."""
    asked = {
        "id": "SELECT subject FROM usage_people WHERE kind = 'all' ORDER BY count DESC LIMIT 1",
        "error_id": "SELECT error_id FROM errors ORDER BY at DESC LIMIT 1",
        "signal_id": "SELECT signal_id FROM signals ORDER BY at DESC LIMIT 1",
        "incident_id": "SELECT incident_id FROM incidents ORDER BY opened_at DESC LIMIT 1",
    }
    found = {name: str((await bot.database.read(partial(_ask, sql=sql)))[0][0]) for name, sql in asked.items()}
    newest = (await bot.traces.newest(count=1)).traces[0]
    return found | {"platform": PLATFORM, "kind": "user", "trace_id": newest.trace_id}


def report(found: tuple[int, list[tuple[str, int]], list[Timed]]) -> str:
    """
    :raises SystemExit: if a page or the store is beyond its limit
    """
    size, tables, timed = found
    lines = [f"The store: {size / 1e6:,.0f} MB of at most {ROOM / 1e6:,.0f}."]
    lines += [f"- {table}: {bytes / 1e6:,.1f} MB" for table, bytes in tables]
    lines += ["", "| page | bytes | first, ms | median, ms |", "|--|--:|--:|--:|"]
    lines += [f"| {each.path} | {each.size:,} | {each.first * 1e3:.1f} | {each.median * 1e3:.1f} |" for each in timed]
    wrong = [f"{each.path} answered {each.status}" for each in timed if each.status != 200]
    wrong += [
        f"{each.path} took {max(each.first, each.median):.3f} s"
        for each in timed
        if max(each.first, each.median) > LIMIT
    ]
    if size > ROOM:
        wrong.append(f"the store takes {size:,} bytes")
    if wrong:
        raise SystemExit("\n".join([*lines, "", "Beyond the limit:", *wrong]))
    return "\n".join(lines)


if __name__ == "__main__" and sys.argv[1:] == ["visit"]:
    sys.stdout.buffer.write(msgspec.json.encode(visit(*json.loads(sys.stdin.buffer.read()))))
