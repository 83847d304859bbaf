"""``socbot demo``: what it promises to show has happened, in the store and to be seen by the API."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from socbot.demo import Options
from socbot.demo.people import PLATFORM, SPAMMERS
from socbot.dispatch.clock import SystemClock
from tests.played import Shown, showing


@pytest.fixture(scope="module")
def shown() -> Iterator[Shown]:
    """The last day, played once for all tests: nothing of it is changed by them."""
    with showing(Options(days=1)) as shown:
        yield shown


def test_the_present_is_reached(shown: Shown) -> None:
    assert shown.demo.stage.clock.behind == 0


def test_the_spammers_went_up_the_ladder(shown: Shown) -> None:
    listed = {entry.id: entry for entry in shown.ask(shown.bot.blacklist.entries)}
    assert {name: listed[name].source for name in SPAMMERS} == dict.fromkeys(SPAMMERS, "rate_limit")
    assert "user-77" not in listed
    for name in SPAMMERS:
        history = shown.ask(partial(shown.bot.rate_limiter.violations, identity=(PLATFORM, name)))
        assert [each.action for each in history] == ["blacklist", "timeout", "warn"]


def test_a_bug_broke_a_command_until_it_was_mended(shown: Shown) -> None:
    groups = {group.type: group for group in shown.ask(shown.bot.errors.groups)}
    assert groups["KeyError"].state == "resolved"
    assert groups["KeyError"].command == "weather"
    assert groups["KeyError"].count >= 12
    assert groups["QuotesUnavailable"].state == "open"


def test_a_webhook_was_down_and_came_back(shown: Shown) -> None:
    deliveries = shown.ask(shown.bot.webhooks.deliveries, None, None)
    states = Counter((each.webhook, each.state) for each in deliveries)
    assert states["archive", "dead"] == 1
    assert states["ops", "delivered"] > 10
    assert shown.demo.stage.receiver.refused >= 8
    assert shown.bot.webhooks.backlog == 0


def test_the_map_server_had_an_episode_and_nothing_else_had(shown: Shown) -> None:
    history = shown.ask(shown.bot.health.history, 25.0)
    [episode] = history.episodes
    assert (episode.check, episode.status) == ("map_server", "unhealthy")
    assert episode.ended_at is not None
    unwell = [(result.name, result.figure, result.text) for round in history.rounds for result in _unwell(round)]
    assert {name for name, _, _ in unwell} == {"map_server"}, unwell


def _unwell(round: Any) -> Iterator[Any]:
    return (result for result in round.results if result.status != "healthy")


def test_backups_were_made_and_one_was_tried(shown: Shown) -> None:
    types = Counter(each.backup.type for each in shown.ask(shown.bot.backups.list))
    assert types["hourly"] >= 20
    assert types["manual"] == 1
    status = shown.ask(shown.bot.backups.status)
    assert status.drill is not None
    assert status.drill.passed


def test_the_operators_did_their_work(shown: Shown) -> None:
    kinds = Counter(each.signal.kind for each in shown.ask(shown.bot.signals.recent))
    assert kinds >= Counter(alert=2, drill=2, incident=4, security=2, health=3)
    [raid] = shown.ask(shown.bot.incidents.newest, "incident", "closed")
    _, timeline = shown.ask(shown.bot.incidents.find, raid.id)
    assert [entry.action for entry in timeline] == ["opened", "note", "note", "closed"]


def test_the_chain_was_arranged_anew(shown: Shown) -> None:
    chain = shown.bot.dispatcher.chain
    assert [f"{stage.name} {stage.mode}" for stage in chain.stages] == [
        "blacklist enforce",
        "rate_limit enforce",
        "analytics enforce",
        "profiler enforce",
        "QuietHours shadow",
        "error_capture enforce",
    ]
    assert chain.generation > 1


def test_the_dashboard_tells_of_the_present(shown: Shown) -> None:
    overview = shown.facts("/overview")
    assert overview["live"]["ok"]
    assert abs(overview["checked_at"] - SystemClock().time()) < 3_600
    assert overview["health"] == "healthy"


@pytest.mark.slow
def test_a_process_ends_when_it_has_played_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("web: {port: 0}\n")
    environment = {**os.environ, "TMPDIR": str(tmp_path), "SOCBOT_STORAGE__URL": f"sqlite:///{tmp_path}/own.db"}
    command = [sys.executable, "-m", "socbot", "demo", "--exit", "--days", "1", "--seed", "2"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "user-91 and user-92 were warned, timed out and listed" in done.stdout
    assert [each.name for each in tmp_path.iterdir()] == ["config.yaml"]
