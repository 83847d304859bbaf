"""Whatever stands in the older bot's files: nothing breaks, each record is accounted for, and twice is once."""

import copy
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from socbot.bot import Bot
from socbot.config import Config, Loaded, StorageConfig
from socbot.importing import Importer, Report
from socbot.storage.connection import Connection
from socbot.systems.identities import KEY_SETTING
from socbot.testing import FakeClock
from tests.importing import older

SECTIONS = {
    "blacklist": ("users", "guilds"),
    "command_analytics": ("commands", "users", "guilds", "hourly", "daily"),
    "error_log": ("errors", "error_types", "command_errors"),
    "performance_profile": ("command_stats", "slow_commands"),
    "task_metrics": ("tasks",),
    "threat_drills": ("history",),
}
"""Where the records of a file are, for those in which there is nothing else to account for."""

JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.integers(10**17, 10**40), st.floats(), st.text(max_size=12),
    st.just("2026-02-02T20:00:00"), st.just("9" * 60), st.just([]), st.just({}), st.just([{}]),
    st.just({"x": {"y": 1}}),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)  # fmt: skip


class Run:
    """A bot that lives as long as the tests, on a loop of its own."""

    def __init__(self, portal: BlockingPortal, bot: Bot) -> None:
        self._portal, self._bot, self._importer = portal, bot, Importer(bot, ZoneInfo("America/Los_Angeles"))

    def forget(self) -> None:
        """Have nothing imported."""
        self._portal.call(self._bot.database.write, _forget)

    def plan(self, folder: Path) -> Report:
        return self._portal.call(self._importer.plan, folder)

    def take_over(self, folder: Path) -> Report:
        return self._portal.call(self._importer.take_over, folder)


def _forget(connection: Connection) -> None:
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
        if table not in ("alembic_version", "settings", "sqlite_sequence"):
            connection.change(f"DELETE FROM {table}")
    connection.change("DELETE FROM settings WHERE set_by IN ('import', 'socbot') AND key <> :key", {"key": KEY_SETTING})


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with tempfile.TemporaryDirectory() as folder, start_blocking_portal() as portal:
        config = Config(storage=StorageConfig(url=f"sqlite:///{folder}/socbot.db"))
        bot = Bot(Loaded(config), clock=FakeClock(1_770_200_000.0), random=Random(1), jobs=False)
        with portal.wrap_async_context_manager(bot):
            yield Run(portal, bot)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """One of the older bot's files, with up to six things in it changed, removed or added."""
    name = draw(st.sampled_from(sorted(older.FILES)))
    document = copy.deepcopy(older.FILES[name])
    for _ in range(draw(st.integers(0, 6))):
        places = list(_places(document))
        parent, key = draw(st.sampled_from(places)) if places else (document, "users")
        what = draw(st.sampled_from(("change", "remove", "add")))
        if what == "remove" and places:
            del parent[key]
        elif what == "add" and isinstance(parent, dict):
            parent[draw(st.text(max_size=12) | st.just("999") | st.just("DM"))] = copy.deepcopy(draw(JUNK))
        else:
            parent[key] = copy.deepcopy(draw(JUNK))
    return name, document


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)


def records(name: str, document: dict[str, Any]) -> int | None:
    """How many there are to account for; None where that is more than entries of its sections."""
    sections = SECTIONS.get(Path(name).stem)
    if sections is None:
        return None
    values = [document.get(section) for section in sections]
    expected = ["history", "errors", "slow_commands"]
    wanted = [list if section in expected else dict for section in sections]
    return sum(
        len(value) if isinstance(value, kind) else int(value is not None)
        for value, kind in zip(values, wanted, strict=True)
    )


UNHURRIED: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@given(mutated())
@settings(max_examples=100, **UNHURRIED)
def test_each_record_is_accounted_for_and_twice_is_once(run: Run, file: tuple[str, dict[str, Any]]) -> None:
    check(run, *file)


@pytest.mark.slow
@given(mutated())
@settings(max_examples=3_000, **UNHURRIED)
def test_each_record_of_many_more_is_accounted_for(run: Run, file: tuple[str, dict[str, Any]]) -> None:
    check(run, *file)


def check(run: Run, name: str, document: dict[str, Any]) -> None:
    run.forget()
    with tempfile.TemporaryDirectory() as scratch:
        folder = older.write(Path(scratch), {name: document})
        foretold = run.plan(folder)
        done = run.take_over(folder)
        again = run.take_over(folder)
    assert done.files == foretold.files
    assert not any(report.problem for report in done.files)
    assert again.count("taken") == again.count("corrected") == 0
    expected = records(name, json.loads(json.dumps(document)))
    if expected is not None:
        for report in (done, again):
            assert sum(each.count for each in report.files[0].findings) == expected
    assert all(each.reason for each in done.files[0].findings if each.verdict != "taken")


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode) | st.recursive(
    JUNK, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
@settings(max_examples=60, **UNHURRIED)
def test_any_bytes_are_read_or_refused(run: Run, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("blacklist", "incidents", "webhooks", "rate_limit_config"):
            Path(scratch, f"{name}.json").write_bytes(content)
        assert len(run.plan(Path(scratch)).files) == 4
