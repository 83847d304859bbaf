"""What Prometheus reads: that it adds up with the store, stays small, and comes through whatever is out of order."""

import random
import re
import sqlite3
import time
from collections import Counter
from pathlib import Path
from subprocess import run
from typing import Any

import anyio
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from socbot.config import BackupConfig, MiddlewareConfig, RateLimitConfig, StorageConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context, Handler
from socbot.dispatch.errors import Refused
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.storage.errors import StoreError
from socbot.systems.counters import MOST_NAMES, OTHER
from socbot.systems.webhooks.endpoint import Endpoint, Row
from socbot.testing import FakeClock, owner_said, said
from socbot.web import metrics as metrics_module
from tests.conftest import MakeBot
from tests.web.conftest import MakeSite, Site

ROOT = Path(__file__).parents[2]
OPEN = RateLimitConfig(cooldown=0.0, burst=10_000, window=1.0, ladder=())


@pytest.fixture
def anyio_backend() -> str:
    """The server's own loop is always the same."""
    return "asyncio"


class Scrape:
    """What was read, by the sample's name and its labels."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: list[Metric] = list(parse(text))
        self.samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families
            for sample in family.samples
        }

    def __getitem__(self, name: str) -> float:
        return self.samples[name, ()]

    def of(self, name: str, **labels: str) -> float:
        return self.samples.get((name, tuple(sorted(labels.items()))), 0.0)

    def by(self, name: str, *labels: str) -> dict[Any, float]:
        """The values of ``name`` by these labels, without those that are 0."""
        found = {
            tuple(dict(labelled)[label] for label in labels): value
            for (known, labelled), value in self.samples.items()
            if known == name and value
        }
        return found if len(labels) > 1 else {key[0]: value for key, value in found.items()}

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.samples}


async def scrape(site: Site) -> Scrape:
    answer = await site.owner.get("/metrics")
    assert answer.status_code == 200, answer.text
    return Scrape(answer.text)


@command("work", permission="public")
async def work(ctx: Context, milliseconds: float) -> str:
    return "done"


@command("broken", permission="public")
async def broken(ctx: Context) -> str:
    raise KeyError("gone")


@command("picky", permission="public")
async def picky(ctx: Context) -> str:
    raise Refused(f"not for {ctx.message.author.id}")


async def would_refuse(ctx: Context, call_next: Handler) -> Reply | None:
    if ctx.message.author.id == "7":
        raise Refused("seven")
    return await call_next(ctx)


async def breaks(ctx: Context, call_next: Handler) -> Reply | None:
    if ctx.message.author.id == "9":
        raise ValueError("nine")
    return await call_next(ctx)


CHAIN = (
    *(MiddlewareConfig(name) for name in ("blacklist", "rate_limit")),
    MiddlewareConfig(f"{__name__}:would_refuse", mode="shadow"),
    *(MiddlewareConfig(name) for name in ("profiler", "analytics")),
    MiddlewareConfig(f"{__name__}:breaks", kind="observer"),
    MiddlewareConfig("error_capture"),
)


@command("endless", permission="public")
async def endless(ctx: Context) -> str:
    """Is cancelled by whoever gave it."""
    await anyio.sleep_forever()
    return "never"


COMMANDS = (work, broken, picky, endless)


def something(runs: random.Random, number: int) -> tuple[str, str]:
    """A command, and who gives it: every kind that there is, in no order."""
    text = runs.choices(
        [
            "!work 1",
            "!ping",
            "!broken",
            "!picky",
            "!blacklist",
            "!work nothing",
            f"!junk{number}",
            "just talking",
            "!endless",
        ],
        weights=[40, 20, 4, 5, 5, 5, 12, 9, 3],
    )[0]
    return text, str(runs.randrange(2, 40))


async def stored(site: Site) -> Counter[tuple[str, str, str]]:
    """What the store has of commands: name, status, by whom it was refused."""
    await site.bot.telemetry.flush()
    rows = await site.bot.database.read(
        lambda db: db.execute("SELECT command, status, refused_by, SUM(count) FROM usage GROUP BY 1, 2, 3")
    )
    return Counter({(name or "(none)", status, by): int(count) for name, status, by, count in rows})


def agree(found: Scrape, ledger: Counter[tuple[str, str, str]]) -> None:
    """All that is counted is what the ledger says."""
    endings, refusals = Counter[tuple[str, str]](), Counter[str]()
    for (name, status, by), count in ledger.items():
        endings[name, status] += count
        refusals[by] += count if status == "refused" else 0
    assert found.by("socbot_commands_total", "command", "outcome") == endings
    refused: Counter[str] = Counter()
    for (by, _), times in found.by("socbot_refusals_total", "by", "reason").items():
        refused[by] += round(times)
    assert refused == +refusals
    failed = sum(number for (_, status), number in endings.items() if status == "failed")
    assert sum(found.by("socbot_failures_total", "type").values()) == failed


@pytest.mark.promise("P53")
@pytest.mark.slow
async def test_after_ten_thousand_mixed_commands_the_counters_are_the_ledger(
    make_site: MakeSite, clock: FakeClock
) -> None:
    await _mixed(make_site, clock, 10_000)


@pytest.mark.promise("P53")
async def test_the_counters_are_the_ledger(make_site: MakeSite, clock: FakeClock) -> None:
    await _mixed(make_site, clock, 1_500)


async def _mixed(make_site: MakeSite, clock: FakeClock, count: int) -> None:
    runs, ledger = random.Random(53), Counter[tuple[str, str, str]]()
    reached, refused_in_shadow, faults, listed = 0, 0, 0, 0
    async with make_site(clock=clock, middleware=CHAIN, rate_limit=OPEN, commands=COMMANDS) as site:
        await site.bot.blacklist.add("user", ("local", "13"), reason="unlucky", by="test:1")
        seen: list[Outcome] = []
        site.bot.dispatcher.observe(seen.append)
        for number in range(count):
            text, author = something(runs, number)
            with anyio.CancelScope() as scope:
                if text == "!endless":
                    scope.cancel()
                await site.bot.dispatch(said(text, author))
            clock.forward(runs.expovariate(1 / 5.0))
            if not seen or (outcome := seen.pop()).status == "ignored":
                continue
            ledger[outcome.command or "(none)", outcome.status, outcome.refused_by or ""] += 1
            if outcome.trace is not None:
                reached += 1
                refused_in_shadow += "would_refuse" in outcome.trace.would_refuse
                faults += "breaks" in outcome.trace.blamed
            if number % 700 == 0:
                await site.bot.telemetry.flush()
        assert await stored(site) == ledger
        found = await scrape(site)
        agree(found, ledger)
        cancelled = ledger["endless", "failed", ""]
        assert found.of("socbot_failures_total", type="CancelledError") == cancelled > 0
        assert {status for _, status, _ in ledger} == {"ok", "failed", "refused", "invalid", "unknown"}
        assert found.of("socbot_middleware_calls_total", middleware="blacklist") == reached
        assert found.of("socbot_middleware_would_refuse_total", middleware="would_refuse") == refused_in_shadow > 0
        assert found.of("socbot_middleware_faults_total", middleware="breaks") == faults > 0
        listed = sum(count for (_, _, by), count in ledger.items() if by == "blacklist")
        assert found.of("socbot_middleware_refusals_total", middleware="blacklist") == listed > 0
        assert found.of("socbot_refusals_total", by="blacklist", reason="the user is listed") == listed
        assert found.of("socbot_refusals_total", by="handler", reason="Refused") > 0, "a text of anybody's is no reason"
        assert found["socbot_telemetry_waiting"] == found["socbot_telemetry_dropped_total"] == 0


@pytest.mark.promise("P53")
async def test_a_transaction_that_is_tried_again_is_counted_once(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        bot = site.bot
        for _ in range(3):
            await bot.dispatch(said("!ping"))
            clock.forward(60)

        def fail(connection: object, outcomes: object) -> None:
            raise StoreError("the disk is gone")

        bot.telemetry.add_sink(fail)
        for _ in range(3):
            with pytest.raises(StoreError):
                await bot.telemetry.flush()
        found = await scrape(site)
        assert found.by("socbot_commands_total", "command", "outcome") == {}
        assert (found["socbot_telemetry_waiting"], found["socbot_telemetry_failing"]) == (3, 1)
        bot.telemetry._sinks.remove(fail)
        await bot.telemetry.flush()
        found = await scrape(site)
        assert found.by("socbot_commands_total", "command", "outcome") == {("ping", "ok"): 3}
        assert found.of("socbot_middleware_calls_total", middleware="profiler") == 3
        assert (found["socbot_telemetry_waiting"], found["socbot_telemetry_failing"]) == (0, 0)
        assert [each.calls for each in (await bot.pipeline.figures()).values()] == [3] * 5


@pytest.mark.promise("P53")
async def test_a_crash_loses_what_was_not_written_yet_and_it_is_said_how_much_that_is(
    make_bot: MakeBot, make_site: MakeSite, clock: FakeClock
) -> None:
    async with make_bot(clock=clock) as bot:
        for number in range(10):
            await bot.dispatch(said("!ping", str(number)))
            if number == 6:
                await bot.telemetry.flush()
        assert bot.telemetry.waiting == 3
        bot.telemetry._buffer.clear()  # as a process that is killed does
    async with make_site(clock=clock) as site:
        assert (await site.bot.analytics.usage()).tally.ok == 7
        found = await scrape(site)
        assert found.by("socbot_commands_total", "command", "outcome") == {}, "counted since the start"
        assert found["socbot_telemetry_flush_interval_seconds"] == StorageConfig().flush_interval
        assert found["process_start_time_seconds"] < time.time()


async def test_times_are_counted_in_their_buckets(make_site: MakeSite, clock: FakeClock) -> None:
    @command("take", permission="public")
    async def take(ctx: Context, milliseconds: float) -> str:
        clock.forward(milliseconds / 1_000)
        return "taken"

    times = [0.05, 0.4, 3, 3, 80, 700, 12_000, 29_000]
    async with make_site(clock=clock, commands=(take,), rate_limit=OPEN) as site:
        for number, each in enumerate(times):
            await site.bot.dispatch(said(f"!take {each}", str(number)))
        await site.bot.telemetry.flush()
        found = await scrape(site)
        for name, label in (("command", "outcome"), ("middleware", "middleware")):
            value = "ok" if name == "command" else "blacklist"
            assert found.of(f"socbot_{name}_duration_seconds_count", **{label: value}) == len(times)
        within_bounds = {"0.0001": 1, "0.0005": 2, "0.005": 4, "0.1": 5, "1.0": 6, "30.0": 8, "+Inf": 8}
        for le, within in within_bounds.items():
            assert found.of("socbot_command_duration_seconds_bucket", outcome="ok", le=le) == within
            own = found.of("socbot_middleware_duration_seconds_bucket", middleware="blacklist", le=le)
            assert own == len(times), "its own time is without what it wraps"
        assert found.of("socbot_command_seconds_total", command="take") == pytest.approx(sum(times) / 1_000)


async def junk_makes_no_series(make_site: MakeSite, clock: FakeClock, count: int) -> None:
    """Whatever names of commands people make up, from wherever they join, there is nothing new to scrape."""
    async with make_site(clock=clock, rate_limit=OPEN) as site:
        for number in range(count + 1):
            await site.bot.dispatch(
                said(f"!junk{number} x", f"j{number % 997}", guild=f"g{number}", channel=f"c{number}")
            )
            if number == 0 or number % 5_000 == 0:
                await site.bot.telemetry.flush()
            if number == 0:
                await site.bot.health.ask()
                before = await scrape(site)
        await site.bot.telemetry.flush()
        after = await scrape(site)
        assert len(after.samples) == len(before.samples)
        assert after.of("socbot_commands_total", command="(none)", outcome="unknown") == count + 1


@pytest.mark.promise("P35")
async def test_junk_names_of_commands_make_no_series(make_site: MakeSite, clock: FakeClock) -> None:
    await junk_makes_no_series(make_site, clock, 2_000)


@pytest.mark.slow
@pytest.mark.promise("P35")
async def test_100_000_junk_names_of_commands_make_no_series(make_site: MakeSite, clock: FakeClock) -> None:
    await junk_makes_no_series(make_site, clock, 100_000)


# -- small --------------------------------------------------------------------------------------------


@pytest.mark.promise("P53")
@pytest.mark.slow
async def test_hostile_names_make_no_series(make_site: MakeSite, clock: FakeClock) -> None:
    """Every command with every ending, 100,000 names of none, 1,000 classes of error, and all webhooks that may be."""
    async with make_site(clock=clock, rate_limit=OPEN, commands=(*COMMANDS, fails_variously)) as site:
        bot = site.bot
        for number in range(1_000):
            await bot.dispatch(said(f"!fail {number}", str(number)))
            await bot.dispatch(said("!picky", f"person-{number}"))
        for number in range(100_000):
            await bot.dispatch(said(f'!j"{{}}\\{number}', str(number % 500), guild=f"guild-{number}"))
            if number % 5_000 == 0:
                await bot.telemetry.flush()
        await bot.telemetry.flush()
        await every_ending(site)
        for number in range(50):
            row = Row(f"hook-{number}", "custom", "", "", ("all",), "info", True, "", 0.0, "test:1", clock.time())
            bot.webhooks._endpoints[row.name] = Endpoint(row, lambda: None)
        await bot.health.ask()
        found = await scrape(site)
        assert len(found.samples) <= 2_000
        assert len(found.by("socbot_failures_total", "type")) == MOST_NAMES + 1
        assert found.of("socbot_failures_total", type=OTHER) >= 1_000 - MOST_NAMES
        assert found.of("socbot_commands_total", command="(none)", outcome="unknown") >= 1_000
        assert not re.search('guild-|person-|j\\\\"', found.text)
        assert len(found.text) < 300_000


@command("fail", permission="public")
async def fails_variously(ctx: Context, number: int) -> str:
    raise type(f"Error{number}", (Exception,), {})("no")


async def every_ending(site: Site) -> None:
    """Count each command of the bot once with each status."""
    outcome = await site.bot.dispatch(said("!ping"))
    import msgspec

    for each in site.bot.dispatcher.registry:
        for status in ("ok", "refused", "failed", "invalid"):
            site.bot.telemetry.record(
                msgspec.structs.replace(
                    outcome, command=each.name, status=status, refused_by="permission", error=KeyError("x")
                )
            )
    await site.bot.telemetry.flush()


# -- whatever is out of order -------------------------------------------------------------------------


@pytest.mark.promise("P53")
async def test_it_can_be_read_in_both_formats(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        await fill(site)
        plain = await site.owner.get("/metrics")
        assert plain.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        wanted = {"Accept": "application/openmetrics-text; version=1.0.0; charset=utf-8"}
        modern = await site.owner.get("/metrics", headers=wanted)
        assert modern.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        assert modern.text.endswith("\n# EOF\n")
        assert modern.text.count("# EOF") == 1
        strict = openmetrics.text_string_to_metric_families(modern.text)  # type: ignore[no-untyped-call]
        old, new = list(parse(plain.text)), list(strict)
        assert [len(each.samples) for each in old] == [len(each.samples) for each in new]
        assert all(each.documentation for each in old)
        assert "Content-Encoding" not in plain.headers


@pytest.mark.slow
async def test_promtool_finds_nothing_to_object_to(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        await fill(site)
        text = (await scrape(site)).text
        checked = await anyio.to_thread.run_sync(
            lambda: run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


async def fill(site: Site) -> None:
    """Something of everything."""
    bot = site.bot
    for text in ("!ping", "!nope", "!backup", "!help"):
        await bot.dispatch(said(text))
    row = Row("team", "custom", "", "", ("all",), "info", True, "", 0.0, "test:1", 0.0)
    bot.webhooks._endpoints[row.name] = Endpoint(row, lambda: None)
    bot.vitals.watch_links("chat", lambda: (None, None))
    bot.vitals.measure_transport("chat", lambda: 0.02)
    await bot.signals.raise_("alert", "Something", severity="critical")
    await bot.blacklist.add("user", ("local", "13"), reason="unlucky", by="test:1")
    await bot.health.ask()
    await bot.telemetry.flush()


@pytest.mark.promise("P10")
async def test_the_age_of_the_last_backup_is_a_figure(
    make_site: MakeSite, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_module, "STORED_FOR", 0.0)
    backup = BackupConfig(folder=f"{tmp_path}/backups", paths=())
    async with make_site(clock=clock, backup=backup) as site:
        assert "socbot_backup_age_seconds" not in (await scrape(site)).names
        made = await site.bot.backups.now("hourly")
        clock.forward(7_200)
        found = await scrape(site)
        assert found["socbot_backup_age_seconds"] == pytest.approx(7_200, abs=60)
        assert found["socbot_backup_age_intervals"] == pytest.approx(2.0, abs=0.1)
        assert found.of("socbot_backup_last_success_timestamp_seconds", type="hourly") == made.backup.made_at
        assert found.of("socbot_backup_last_size_bytes", type="hourly") == made.backup.size > 0
        assert found["socbot_backup_last_verified_timestamp_seconds"] >= made.backup.made_at
        assert (found["socbot_backups"], found["socbot_backup_failed"]) == (1, 0)
        site.bot.backups._watch.failure = "the disk is full"
        assert (await scrape(site))["socbot_backup_failed"] == 1


async def test_figures_come_from_whoever_keeps_them(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock, rate_limit=RateLimitConfig(cooldown=0.0, burst=2, tolerance=1)) as site:
        await fill(site)
        site.bot.vitals.watch_links("chat", lambda: (None, 5.0))
        for _ in range(5):
            await site.bot.dispatch(said("!ping", "66"))
        await site.bot.telemetry.flush()
        found = await scrape(site)
        assert found.by("socbot_blacklist_entries", "kind") == {"user": 1}
        assert found.of("socbot_rate_limit_violations_total", action="warn") == 1
        assert found["socbot_rate_limit_users"] >= 2
        assert found.of("socbot_refusals_total", by="rate_limit", reason="burst") == 3
        assert found.of("socbot_signals_recent", kind="alert", severity="critical") == 1
        assert found.of("socbot_transport_connections", platform="chat") == 2
        assert found.of("socbot_transport_connected", platform="chat") == 1
        assert found.of("socbot_transport_latency_seconds", platform="chat") == 0.02
        assert found.of("socbot_health_check_value", check="transport", unit="seconds") == pytest.approx(0.02)
        assert found.of("socbot_health_check_value", check="disk", unit="bytes") > 1e6
        assert found.of("socbot_job_state", job_name="backup", state="waiting") == 1
        assert found["socbot_store_size_bytes"] > 10_000
        assert 0 < found["socbot_store_wal_size_bytes"] == site.bot.database.wal_size
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(anyio.sleep_forever)
            assert (await scrape(site))["socbot_event_loop_tasks"] >= found["socbot_event_loop_tasks"] + 50 - 5
            tasks.cancel_scope.cancel()
        assert found["socbot_live"] == found["socbot_ready"] == found["socbot_blacklist_available"] == 1
        assert found.by("socbot_scrape_part_ok", "part") == {"loop": 1, "store": 1}
        assert found["socbot_audit_records"] >= 0
        await site.bot.drain(0.0)
        assert (await scrape(site))["socbot_ready"] == 0


@pytest.mark.alone
async def test_a_loop_that_stands_still_is_no_reason_to_say_nothing(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    import httpx

    monkeypatch.setattr(metrics_module, "PATIENCE", 0.3)
    async with make_site() as site:
        await site.bot.dispatch(said("!ping"))
        await site.bot.telemetry.flush()
        seen: list[tuple[float, str]] = []

        def ask() -> None:
            headers, began = dict(site.owner.headers), time.monotonic()
            text = httpx.get(f"{site.web.address}/metrics", headers=headers, trust_env=False).text
            seen.append((time.monotonic() - began, text))

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(5)  # which the loop does not survive well: it stands still
        seconds, text = seen[0]
        assert seconds < 1.5
        found = Scrape(text)
        assert found.of("socbot_scrape_part_ok", part="loop") == found.of("socbot_scrape_part_ok", part="store") == 0
        assert found.of("socbot_commands_total", command="ping", outcome="ok") == 1
        assert {"socbot_live", "process_resident_memory_bytes", "socbot_telemetry_waiting"} <= found.names
        assert "socbot_backup_age_intervals" not in found.names
        assert not any(name.startswith("socbot_job_") for name in found.names)
        assert (await scrape(site)).of("socbot_scrape_part_ok", part="loop") == 1


async def test_a_store_that_fails_is_said_and_the_rest_is_there(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        await site.bot.database.write(lambda connection: connection.execute("DROP TABLE signals"))
        found = await scrape(site)
        assert found.by("socbot_scrape_part_ok", "part") == {"loop": 1}
        assert "socbot_store_size_bytes" not in found.names
        assert found.of("socbot_job_state", job_name="backup", state="waiting") == 1


@pytest.mark.alone
async def test_a_scrape_costs_the_loop_little(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        await every_ending(site)
        await fill(site)
        took = []
        for _ in range(20):
            began = time.thread_time()
            await metrics_module._look(site.bot)
            took.append(time.thread_time() - began)
        assert sorted(took)[10] < 0.005


@pytest.mark.promise("P04")
@pytest.mark.parametrize(("version", "bad"), [((3, 51, 2), 1.0), ((3, 51, 3), 0.0)])
async def test_a_sqlite_that_can_damage_itself_is_a_figure(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], bad: float
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    async with make_site() as site:
        assert (await scrape(site))["socbot_sqlite_wal_reset_bug"] == bad


async def test_strangers_read_nothing(make_site: MakeSite) -> None:
    async with make_site() as site:
        assert (await site.visitor.get("/metrics")).status_code == 401


async def test_each_figure_is_described_for_who_reads_it_at_night(make_site: MakeSite, clock: FakeClock) -> None:
    """docs/metrics.md has all that there is, and nothing else."""
    async with make_site(clock=clock, middleware=CHAIN, commands=COMMANDS) as site:
        await fill(site)
        for text in ("!broken", "!picky"):
            await site.bot.dispatch(said(text, "77"))
        await site.bot.dispatch(owner_said("!ping"))
        await site.bot.telemetry.flush()
        found = await scrape(site)
    described = set(re.findall(r"^\| `([a-z_]+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    there = {each.name + ("_total" if each.type == "counter" else "") for each in found.families}
    assert described == there
