"""A whole bot while its host's clock is set: nobody is let in or kept for it, nothing runs twice, and it lives on."""

import queue
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

from socbot.jobs.schedules import Cron
from tests.test_cli import ENVIRONMENT

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.promise("P33")]

BERLIN = ZoneInfo("Europe/Berlin")
HOUR, DAY = 3_600.0, 86_400.0

LISTED = 2.5
"""Seconds for which the ladder lists somebody."""

JOBS = {"trace_retention": Cron("* * * * *"), "signals": Cron("0 2 * * *")}

CONFIG = f"""
bot: {{time_zone: Europe/Berlin}}
rate_limit: {{cooldown: 0s, burst: 2, window: 4s, tolerance: 3, ladder: [{{action: blacklist, duration: {LISTED}}}]}}
blacklist: {{sweep_interval: 1s}}
backup: {{retention: {{manual: 100}}}}
jobs:
  jobs: {{{", ".join(f"{name}: {{schedule: {schedule}}}" for name, schedule in JOBS.items())}}}
"""

Set = Callable[[float], float]


def by(seconds: float) -> Set:
    return lambda now: now + seconds


STEPS: dict[str, tuple[str, Set]] = {
    "an hour back": ("2027-05-10T11:59:59", by(-HOUR)),
    "an hour forward": ("2027-05-11T11:59:59", by(HOUR)),
    "a second back": ("2027-05-12T11:59:59", by(-1)),
    "to 1970": ("2027-05-13T11:59:59", lambda now: 90_000.0),
    "forward where summer begins": ("2027-03-28T01:59:59", by(HOUR)),
    "back where summer begins": ("2027-03-28T03:59:59", by(-HOUR)),
    "forward where summer ends": ("2027-10-31T01:59:59", by(HOUR)),
    "back where summer ends": ("2027-10-31T02:59:59", by(-HOUR)),
    "over a leap day": ("2028-02-28T23:59:59", by(DAY)),
    "back over a leap day": ("2028-03-01T00:59:59", by(-DAY)),
}
"""From when in Berlin the clock runs into a new minute, and what it is set to then."""


class HostClock:
    """What a process takes for the time of day: the host's, and an offset that can be changed while it runs."""

    def __init__(self, folder: Path) -> None:
        self._file, self._offset = folder / "offset", 0.0
        [library] = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self.set(time.time())

    def time(self) -> float:
        return time.time() + self._offset

    def set(self, moment: float) -> None:
        self._offset = moment - time.time()
        draft = self._file.with_suffix(".draft")
        draft.write_text(f"{self._offset:+.6f}")
        draft.replace(self._file)

    def wait_for(self, moment: float) -> None:
        time.sleep(max(0.0, moment - self.time()))


class Bot:
    """A bot on a pipe, and what it prints."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def line_with(self, text: str) -> str:
        while text not in (line := self._lines.get(timeout=20)):
            pass
        return line

    @cached_property
    def address(self) -> str:
        """Of its dashboard; to be asked for before anything else, since it is printed once."""
        return self.line_with("The dashboard is at ").split()[-1]

    def ask(self, who: str, text: str) -> str:
        """All that is printed until that is answered."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"/as {who}\n{text}\n/as nobody\n")
        self.process.stdin.flush()
        printed = ""
        while "You are nobody," not in printed:
            printed += self._lines.get(timeout=20)
        return printed

    def is_admitted(self, who: str) -> bool:
        return "Pong!" in self.ask(who, "!ping")

    def back_up(self) -> str:
        """The name of a backup that is made now."""
        found = re.search(r"backup_manual_\w+", self.ask("owner", "!backup_now"))
        assert found is not None
        return found[0]

    def look_at_the_clock(self) -> None:
        """What waits for a time of day looks at it anew, as it does by itself within a minute."""
        self.process.send_signal(signal.SIGHUP)
        self.line_with("Reloaded")

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0


@contextmanager
def running(folder: Path, clock: HostClock) -> Iterator[Bot]:
    with subprocess.Popen(
        [sys.executable, "-m", "socbot", "run"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT | clock.environment,
    ) as process:
        try:
            yield Bot(process)
        finally:
            process.kill()


class Held:
    """Somebody who is shut out for some seconds, by a clock that is never set."""

    def __init__(self, who: str, began: float, seconds: float) -> None:
        self.who, self.earliest, self.latest = who, began + seconds, time.monotonic() + seconds

    def is_still_shut_out(self, bot: Bot) -> bool:
        admitted = bot.is_admitted(self.who)
        assert time.monotonic() < self.earliest, "the machine was too slow to tell"
        return not admitted

    def is_let_in_again(self, bot: Bot) -> bool:
        time.sleep(max(0.0, self.latest + 0.1 - time.monotonic()))
        return bot.is_admitted(self.who)


def listed(bot: Bot, who: str) -> Held:
    in_debt(bot, who)
    assert not bot.is_admitted(who)
    began = time.monotonic()
    assert "Access Denied" in bot.ask(who, "!ping")
    return Held(who, began, LISTED)


def in_debt(bot: Bot, who: str) -> Held:
    """Have who gives commands refused one."""
    while True:
        began = time.monotonic()
        printed = bot.ask(who, "!ping")
        if found := re.search(r"Remaining: ([0-9.]+) s", printed):
            return Held(who, began, float(found[1]))
        assert "Pong!" in printed


def ran_into(name: str) -> float:
    """The minute that begins before that step."""
    return datetime.fromisoformat(STEPS[name][0]).replace(tzinfo=BERLIN).timestamp() + 1.0


def step(bot: Bot, clock: HostClock, name: str) -> list[str]:
    """Set the clock as ``STEPS`` say; the names of the backups that were made meanwhile."""
    begins, to = ran_into(name) - 1.0, STEPS[name][1]
    clock.set(begins)
    bot.look_at_the_clock()
    made = [bot.back_up()]
    clock.wait_for(begins + 1.1)
    held = [in_debt(bot, f"hasty {name}".replace(" ", "-")), listed(bot, f"listed {name}".replace(" ", "-"))]
    clock.set(to(clock.time()))
    assert [each.who for each in held if not each.is_still_shut_out(bot)] == [], "freed"
    for _ in range(2):
        bot.look_at_the_clock()
    made.append(bot.back_up())
    assert httpx.get(f"{bot.address}/livez", trust_env=False).status_code == 200
    assert [each.who for each in held if not each.is_let_in_again(bot)] == [], "trapped"
    return made


def slots(store: sqlite3.Connection, job: str) -> Counter[float]:
    """How often the job ran in each of its slots."""
    runs = store.execute("SELECT started_at FROM job_runs WHERE job = ?", (job,)).fetchall()
    return Counter(JOBS[job].latest(at, BERLIN) for (at,) in runs)


def test_steps_of_the_hosts_clock_neither_free_nor_trap_anybody(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    clock = HostClock(tmp_path)
    with running(tmp_path, clock) as bot:
        assert bot.address
        made = [name for each in STEPS for name in step(bot, clock, each)]
        assert sorted(set(made)) == made
        for who, length in (("early", "30m"), ("late", "1h")):
            assert "Added to the blacklist" in bot.ask("owner", f"!blacklist_temp user {who} {length}")
        bot.end()
    with closing(sqlite3.connect(tmp_path / "data" / "socbot.db")) as store:
        [(ends,)] = store.execute("SELECT expires_at FROM blacklist WHERE subject = 'late'")
        ran = {job: slots(store, job) for job in JOBS}
    assert [max(each.values()) for each in ran.values()] == [1, 1]
    assert set(map(ran_into, STEPS)) <= set(ran["trace_retention"]), "nor is a job trapped"
    clock.set(ends - 10.0)
    with running(tmp_path, clock) as bot:
        assert bot.is_admitted("early")
        assert not bot.is_admitted("late")
        assert clock.time() < ends, "the machine was too slow to tell"
        clock.wait_for(ends + 0.1)
        assert bot.is_admitted("late")
        bot.end()
    lines = (tmp_path / "logs" / "bot.log").read_text().splitlines()
    errors = [line for line in lines if re.search(r" - (?:ERROR|CRITICAL) - |Traceback", line)]
    assert [line for line in errors if "the event loop stands still" not in line] == []  # that is a busy machine's
