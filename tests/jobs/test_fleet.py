"""Several processes on one PostgreSQL: a job of the fleet runs in one of them, whatever happens to that one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from socbot.storage.migrations import RELEASED
from socbot.storage.postgresql import PostgresSession, brought_up_to_date
from tests.jobs.fleet import INTERVAL, LEASE, TABLES
from tests.postgresql import Server, running_server

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[2]
PROCESSES = 3


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server that is stopped and started, which the other tests' is not."""
    with running_server() as server:
        yield server


class Fleet:
    """Processes that share a store, and what became of their job."""

    def __init__(self, server: Server, folder: Path, url: str) -> None:
        self.server, self.folder, self.url = server, folder, url
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.slowest = 0.0

    def ask(self, sql: str, *values: object) -> list[Any]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(sql, values).fetchall()

    def start(self) -> int:
        log = self.folder / "log"
        with log.open("ab") as output:
            command = [sys.executable, "-m", "tests.jobs.fleet", self.url, str(self.folder)]
            process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        self.processes[process.pid] = process
        return process.pid

    def end(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def wait_ready(self) -> None:
        until(lambda: len(self.ask("SELECT 1 FROM ready WHERE process = ANY(%s)", list(self.processes))) == PROCESSES)
        assert all(process.poll() is None for process in self.processes.values()), (self.folder / "log").read_text()

    def leader(self) -> int:
        """The process that leads; 0 if none does."""
        rows = self.ask("SELECT holder FROM leases WHERE until > extract(epoch FROM clock_timestamp())")
        return int(rows[0][0].split(":")[-2]) if rows else 0

    def runs(self) -> list[int]:
        """In which process each run was."""
        return [process for (process,) in self.ask("SELECT process FROM effects ORDER BY id")]

    def wait_for_leader(self, but: int = 0) -> int:
        """Return the process that leads, which is another than ``but``, once the job has run in it."""
        began = time.monotonic()
        until(lambda: self.leader() not in (0, but))
        self.slowest = max(self.slowest, time.monotonic() - began)
        before = len(self.runs())
        until(lambda: len(self.runs()) > before)
        return self.runs()[-1]

    # -- what happens to the leader -------------------------------------------------------------------

    def is_killed(self, leader: int) -> None:
        os.kill(leader, signal.SIGKILL)
        self.wait_for_leader(but=leader)
        self.processes.pop(leader).wait()
        self.start()

    def is_stopped(self, leader: int) -> None:
        os.kill(leader, signal.SIGSTOP)
        self.rests(leader)

    def is_stopped_in_a_run(self, leader: int) -> None:
        before = len(self.ask("SELECT 1 FROM refused"))
        self.rests(self.stops_itself("run"))
        until(lambda: len(self.ask("SELECT 1 FROM refused")) == before + 1)

    def is_stopped_in_a_transaction(self, leader: int) -> None:
        self.rests(self.stops_itself("transaction"))

    def loses_its_connections(self, leader: int) -> None:
        own = "usename = 'socbot' AND pid <> pg_backend_pid()"
        self.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {own}")
        self.wait_for_leader()

    def loses_the_server(self, leader: int) -> None:
        self.server.stop("immediate")
        self.server.start()
        self.wait_for_leader()

    def stops_itself(self, where: str) -> int:
        """Have whichever process runs the job stop itself there; which it was."""
        (self.folder / where).touch()
        until(lambda: bool(self.stopped()))
        return self.stopped()[0]

    def stopped(self) -> list[int]:
        return [
            pid for pid in self.processes if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        ]

    def rests(self, stopped: int) -> None:
        """It lies still for two leases; meanwhile another one leads."""
        wakes = time.monotonic() + 2 * LEASE
        self.wait_for_leader(but=stopped)
        time.sleep(max(0.0, wakes - time.monotonic()))
        os.kill(stopped, signal.SIGCONT)


HAPPENINGS: tuple[Callable[[Fleet, int], None], ...] = (
    Fleet.is_stopped_in_a_run,
    Fleet.is_killed,
    Fleet.is_stopped_in_a_transaction,
    Fleet.loses_the_server,
    Fleet.loses_its_connections,
    Fleet.is_stopped,
)


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while True:
        try:
            if true():
                return
        except psycopg.OperationalError:
            pass  # the server is not back yet
        assert time.monotonic() < ends
        time.sleep(0.02)


@contextmanager
def fleet_on(server: Server, folder: Path) -> Iterator[Fleet]:
    fleet = Fleet(server, folder, server.new_database())
    brought_up_to_date(PostgresSession(fleet.url, 5.0), RELEASED, lambda connection: None).close()
    with psycopg.connect(fleet.url) as connection:
        for table in TABLES:
            connection.execute(table)
    with ExitStack() as stack:
        stack.callback(fleet.end)
        for _ in range(PROCESSES):
            fleet.start()
        fleet.wait_ready()
        yield fleet


def went_through(server: Server, folder: Path, rounds: int) -> Fleet:
    with fleet_on(server, folder) as fleet:
        for happens in islice(cycle(HAPPENINGS), rounds):
            fleet.wait_ready()
            leader = fleet.wait_for_leader()
            began = time.monotonic()
            happens(fleet, leader)
            print(f"{happens.__name__}: {time.monotonic() - began:.1f} s, slowest {fleet.slowest:.2f} s")
    return fleet


def check(fleet: Fleet, rounds: int) -> None:
    effects = fleet.ask("SELECT slot, process, fence FROM effects ORDER BY id")
    slots = sorted(slot for slot, _, _ in effects)
    assert len(effects) > rounds
    assert len(set(slots)) == len(slots)
    # None more often than its interval: what was missed while nobody led is one run.
    assert min(later - earlier for earlier, later in pairwise(slots)) > INTERVAL - 0.02
    # Nobody wrote after somebody else had taken over.
    assert all(earlier <= later for (_, _, earlier), (_, _, later) in pairwise(effects))
    assert len({(process, fence) for _, process, fence in effects}) == len({fence for _, _, fence in effects})
    assert fleet.slowest <= 2 * LEASE


@pytest.mark.slow
@pytest.mark.promise("P46")
def test_a_job_of_the_fleet_runs_once_over_a_hundred_faults(own_server: Server, tmp_path: Path) -> None:
    check(went_through(own_server, tmp_path, 100), 100)
