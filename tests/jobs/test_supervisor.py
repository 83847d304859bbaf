"""Jobs run when they are due, again after a failure, and stop when they are told to."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import anyio
import pytest

from socbot.config import JobConfig, JobsConfig
from socbot.documents import ConfigError
from socbot.exit_codes import EXIT_FAILURE
from socbot.jobs.job import CriticalJobFailed, Job, JobRefused, State, UnknownJob
from socbot.jobs.schedules import Continuous, Cron, Every
from socbot.jobs.supervisor import Supervisor
from socbot.storage.errors import StoreFull
from socbot.testing import FakeClock
from tests.jobs.conftest import InlineStore, MakeSupervisor, Notices
from tests.test_cli import ENVIRONMENT

BOTH = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


class Runs:
    """A job's work: counts its runs by the wall clock, and does in each what the test says."""

    def __init__(self, clock: FakeClock, then: Callable[[], Awaitable[None]] | None = None) -> None:
        self.at: list[float] = []
        self.cancelled = 0
        self._clock, self._then = clock, then

    async def __call__(self) -> None:
        self.at.append(self._clock.time())
        try:
            if self._then is not None:
                await self._then()
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise

    def __len__(self) -> int:
        return len(self.at)


async def broken() -> None:
    raise RuntimeError("boom token=abcdef0123456789")


def state(supervisor: Supervisor, name: str = "work") -> State:
    return supervisor.find(name).state


@BOTH
async def test_an_interval_job_runs_at_once_and_then_at_its_interval(clock: FakeClock, make: MakeSupervisor) -> None:
    runs = Runs(clock)
    start = clock.time()
    async with make(Job("work", runs, Every(60))):
        await clock.advance(180)
    assert runs.at == [start, start + 60, start + 120, start + 180]


async def test_a_restart_does_not_bring_a_run_forward(clock: FakeClock, make: MakeSupervisor) -> None:
    runs = Runs(clock)
    start = clock.time()
    for _ in range(5):
        async with make(Job("work", runs, Every(3600))):
            await clock.advance(60)
    assert runs.at == [start]
    async with make(Job("work", runs, Every(3600))):
        await clock.advance(3300)
    assert runs.at == [start, start + 3600]


async def test_runs_missed_while_down_are_run_once(clock: FakeClock, make: MakeSupervisor) -> None:
    every, cron = Runs(clock), Runs(clock)

    def jobs() -> tuple[Job, Job]:
        return Job("every", every, Every(3600)), Job("cron", cron, Cron("0 * * * *"))

    async with make(*jobs()):
        await clock.advance(3600)
    before = len(every), len(cron)
    clock.forward(86_400)
    async with make(*jobs()):
        await clock.advance(1)
    assert (len(every), len(cron)) == (before[0] + 1, before[1] + 1)


async def test_a_new_job_with_a_time_of_day_waits_for_it(clock: FakeClock, make: MakeSupervisor) -> None:
    runs = Runs(clock)
    async with make(Job("work", runs, Cron("0 3 * * *")), zone=ZoneInfo("Europe/Berlin")) as supervisor:
        await clock.advance(60)
        due = supervisor.find("work").next_run
        assert due is not None
        assert runs.at == []
        await clock.advance(due - clock.time())
        assert runs.at == [due]


async def test_a_time_that_passed_while_a_new_job_was_down_is_not_lost(clock: FakeClock, make: MakeSupervisor) -> None:
    runs = Runs(clock)
    async with make(Job("work", runs, Cron("0 3 * * *"))):
        pass
    clock.forward(86_400)
    async with make(Job("work", runs, Cron("0 3 * * *"))):
        await clock.advance(1)
    assert len(runs) == 1


@BOTH
async def test_runs_never_overlap_and_those_missed_meanwhile_are_run_once(
    clock: FakeClock, make: MakeSupervisor
) -> None:
    under_way = most = 0

    async def long() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await clock.sleep(150)
        under_way -= 1

    runs = Runs(clock, long)
    async with make(Job("work", runs, Cron("* * * * *")), drain=0) as supervisor:
        await clock.advance(3600)
        with pytest.raises(JobRefused):
            await supervisor.run_now("work")
    assert most == 1
    assert 22 <= len(runs) <= 25


@BOTH
async def test_a_failing_job_backs_off_and_goes_on_when_it_succeeds(clock: FakeClock, make: MakeSupervisor) -> None:
    async def fail_twice() -> None:
        if len(runs) <= 2:
            raise ValueError("not yet")

    runs = Runs(clock, fail_twice)
    start = clock.time()
    async with make(Job("work", runs, Every(600))) as supervisor:
        await clock.advance(0)
        status = supervisor.find("work")
        assert status.state == "backing off"
        assert status.next_run == pytest.approx(start + 1)
        await clock.advance(30)
        status = supervisor.find("work")
        assert (status.state, status.runs, status.failures, status.restarts) == ("waiting", 3, 2, 2)
        assert status.last_error == "ValueError: not yet"
        assert status.last_success == runs.at[-1]
        history = await supervisor.history("work")
        assert [run.outcome for run in history] == ["ok", "failed", "failed"]


@pytest.mark.promise("P45")
@BOTH
async def test_a_crash_loop_fails_is_told_once_and_leaves_the_others_alone(
    clock: FakeClock, make: MakeSupervisor, notices: Notices
) -> None:
    runs, other = Runs(clock, broken), Runs(clock)
    async with make(Job("work", runs, Continuous()), Job("other", other, Every(10))) as supervisor:
        await clock.advance(3600)
        assert state(supervisor) == "failed"
        assert len(runs) == 6
        assert runs.at[-1] - runs.at[0] <= 1 + 2 + 4 + 8 + 16
        assert len(other) == 361
        assert [notice.title for notice in notices] == ["Job work has failed"]
        assert "abcdef0123456789" not in str(notices[0])
        await supervisor.start("work")
        await clock.advance(3600)
        assert len(runs) == 12
        assert len(notices) == 2


@BOTH
async def test_whoever_listens_is_told_of_a_job_that_has_failed(
    clock: FakeClock, make: MakeSupervisor, notices: Notices
) -> None:
    heard: list[tuple[str, str]] = []

    async def listen(job: Job, error: str) -> None:
        heard.append((job.name, error))
        raise RuntimeError("the listener is broken")

    supervisor = make(Job("work", Runs(clock, broken), Continuous()))
    supervisor.on_failed(listen)
    supervisor.on_failed(listen)
    async with supervisor:
        await clock.advance(3600)
        assert [name for name, _ in heard] == ["work", "work"]
        assert "abcdef0123456789" not in heard[0][1]
        assert [notice.title for notice in notices] == ["Job work has failed"]


@pytest.mark.promise("P45")
@BOTH
async def test_a_job_that_fails_more_slowly_than_the_intensity_is_tried_for_ever_but_ever_less_often(
    clock: FakeClock, make: MakeSupervisor
) -> None:
    async def crash_later() -> None:
        await clock.sleep(12)
        raise RuntimeError("late")

    runs = Runs(clock, crash_later)
    async with make(Job("work", runs, Continuous()), drain=0) as supervisor:
        await clock.advance(3600)
        assert state(supervisor) in ("running", "backing off")
    assert 50 <= len(runs) <= 300


class Sudden(BaseException):
    """What no ``except Exception`` stops."""


async def raise_base() -> None:
    raise Sudden("sudden")


async def exit_process() -> None:
    raise SystemExit(3)


async def cancel_itself() -> None:
    if task := _asyncio_task():
        task.cancel()
        await anyio.sleep(1)
    raise RuntimeError("trio has no such thing")


async def cancel_itself_and_return() -> None:
    if task := _asyncio_task():
        task.cancel()
    else:
        raise RuntimeError("trio has no such thing")


async def fail_inside_a_group() -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(raise_base)


def _asyncio_task() -> "asyncio.Task[object] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


@pytest.mark.promise("P45")
@BOTH
@pytest.mark.parametrize(
    "work", [raise_base, exit_process, cancel_itself, cancel_itself_and_return, fail_inside_a_group]
)
async def test_however_a_job_dies_it_is_a_failure_of_that_job(
    clock: FakeClock, make: MakeSupervisor, work: Callable[[], Awaitable[None]]
) -> None:
    other = Runs(clock)
    async with make(Job("work", work, Every(5)), Job("other", other, Every(10))) as supervisor:
        await clock.advance(100)
        status = supervisor.find("work")
        assert (status.state, status.runs, status.failures, status.restarts) == ("failed", 6, 6, 5)
        assert len(other) == 11


@pytest.mark.promise("P45")
@BOTH
@pytest.mark.parametrize("crash", ["at once", "after 1 s", "at first", "BaseException", "cancels itself"])
async def test_however_a_job_crashes_it_is_restarted_no_more_often_than_the_intensity(
    clock: FakeClock, make: MakeSupervisor, notices: Notices, crash: str
) -> None:
    async def work() -> None:
        if crash == "after 1 s":
            await clock.sleep(1)
        elif crash == "BaseException":
            raise Sudden("sudden")
        elif crash == "cancels itself":
            await cancel_itself()
        elif crash == "at first" and len(runs) > 1:
            await anyio.sleep_forever()
        raise RuntimeError(crash)

    before = {task.id for task in anyio.get_running_tasks()}
    runs, other = Runs(clock, work), Runs(clock)
    async with make(Job("work", runs, Continuous()), Job("other", other, Every(10)), drain=0) as supervisor:
        await clock.advance(600)
        status = supervisor.find("work")
        assert status.state == ("running" if crash == "at first" else "failed")
        assert status.restarts == len(runs) - 1 == (1 if crash == "at first" else 5)
        waits = [later - earlier for earlier, later in pairwise(runs.at)]
        assert all(1 <= wait <= 60 + (crash == "after 1 s") for wait in waits)
        assert len(set(waits)) == len(waits), "spread at random"
        assert len(notices) == (crash != "at first")
        assert len(other) == 61
    assert {task.id for task in anyio.get_running_tasks()} == before, "no task is left behind"


CRITICAL = """
import sys
import anyio
from socbot import running
from socbot.bot import Bot
from socbot.config import load
from socbot.jobs.job import Job
from socbot.jobs.schedules import Continuous

class Mine(Bot):
    "A bot that cannot do without one of its jobs."

    def jobs(self):
        return (*super().jobs(), Job("heart", self.beat, Continuous(), critical=True))

    async def beat(self):
        raise RuntimeError("no pulse")

running.Bot = Mine
sys.exit(anyio.run(running.run, load(None)))
"""


@pytest.mark.promise("P45")
def test_a_process_whose_critical_job_fails_ends_with_a_failure(tmp_path: Path) -> None:
    environment = ENVIRONMENT | {"SOCBOT_JOBS__MAX_RESTARTS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", CRITICAL],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            assert process.wait(30) == EXIT_FAILURE
            assert "heart" in process.stderr.read()
        finally:
            process.kill()


@pytest.mark.promise("P45")
@BOTH
async def test_a_critical_job_that_fails_ends_everything(clock: FakeClock, make: MakeSupervisor) -> None:
    ended: list[str] = []

    def lasting(name: str) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append(name)

        return run

    supervisor = make(
        Job("first", lasting("first"), Continuous()),
        Job("work", broken, Continuous(), critical=True),
        Job("last", lasting("last"), Continuous()),
    )

    async def let_time_pass() -> None:
        await clock.advance(120)

    with pytest.raises(CriticalJobFailed, match="'work'"):
        async with supervisor:
            await let_time_pass()
    assert ended == ["last", "first"]


@pytest.mark.promise("P45")
@BOTH
async def test_jobs_stop_in_the_reverse_order_also_when_the_surroundings_are_cancelled(
    clock: FakeClock, make: MakeSupervisor
) -> None:
    ended: list[int] = []

    def lasting(number: int) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.001 * (5 - number))
                ended.append(number)

        return run

    supervisor = make(*(Job(f"job{number}", lasting(number), Continuous()) for number in range(5)))
    async with anyio.create_task_group() as tasks:
        await tasks.start(supervisor.run)
        await anyio.wait_all_tasks_blocked()
        assert {status.state for status in supervisor.status()} == {"running"}
        tasks.cancel_scope.cancel()
    assert ended == [4, 3, 2, 1, 0]
    assert {status.state for status in supervisor.status()} == {"waiting"}


@BOTH
async def test_a_run_under_way_is_given_time_to_finish_at_the_end(clock: FakeClock, make: MakeSupervisor) -> None:
    finished = anyio.Event()

    async def short() -> None:
        await anyio.sleep(0.05)
        finished.set()

    async with make(Job("work", short, Every(60))) as supervisor:
        await anyio.wait_all_tasks_blocked()
    assert finished.is_set()
    assert [run.outcome for run in await supervisor.history("work")] == ["ok"]


@BOTH
async def test_a_run_that_takes_too_long_at_the_end_is_cancelled_and_recorded(
    clock: FakeClock, make: MakeSupervisor
) -> None:
    runs = Runs(clock, anyio.sleep_forever)
    async with make(Job("work", runs, Every(60)), drain=0.05) as supervisor:
        await anyio.wait_all_tasks_blocked()
    assert runs.cancelled == 1
    assert [run.outcome for run in await supervisor.history("work")] == ["cancelled"]


@pytest.mark.promise("P45")
@BOTH
async def test_a_job_that_hangs_in_its_cleanup_holds_up_nobody_and_is_shown(
    clock: FakeClock, make: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socbot.jobs.runner.GRACE", 0.05)
    release = anyio.Event()

    async def hang() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await release.wait()

    runs, other = Runs(clock, hang), Runs(clock)
    async with make(Job("work", runs, Continuous()), Job("other", other, Every(10))) as supervisor:
        await clock.advance(0)
        assert await supervisor.stop("work") is False
        status = supervisor.find("work")
        assert (status.state, status.stopping) == ("running", True)
        await supervisor.start("work")
        await clock.advance(50)
        assert len(runs) == 1
        assert len(other) == 6
        release.set()
        await clock.advance(0)
        assert len(runs) == 2
        await supervisor.stop("work")
        assert state(supervisor) == "stopped"


@BOTH
async def test_a_stop_ends_the_run_and_lasts_over_restarts_until_a_start(
    clock: FakeClock, make: MakeSupervisor
) -> None:
    runs = Runs(clock, anyio.sleep_forever)
    job = Job("work", runs, Continuous())
    async with make(job) as supervisor:
        await clock.advance(0)
        assert await supervisor.stop("work")
        assert state(supervisor) == "stopped"
        assert runs.cancelled == 1
    async with make(job) as supervisor:
        await clock.advance(600)
        assert state(supervisor) == "stopped"
        assert len(runs) == 1
        await supervisor.start("work")
        await clock.advance(0)
        assert state(supervisor) == "running"
    async with make(job) as supervisor:
        await clock.advance(0)
        assert len(runs) == 3
        status = supervisor.find("work")
        assert (status.failures, status.restarts) == (0, 0)


async def test_a_stop_that_cannot_be_stored_says_so_and_stops_nothing(
    clock: FakeClock, make: MakeSupervisor, store: InlineStore
) -> None:
    async with make(Job("work", Runs(clock, anyio.sleep_forever), Continuous())) as supervisor:
        await clock.advance(0)
        store.error = StoreFull("disk full")
        with pytest.raises(StoreFull):
            await supervisor.stop("work")
        assert state(supervisor) == "running"
        store.error = None


async def test_jobs_run_on_while_the_store_is_away_and_their_runs_are_written_later(
    clock: FakeClock, make: MakeSupervisor, store: InlineStore
) -> None:
    runs = Runs(clock)
    async with make(Job("work", runs, Every(10))) as supervisor:
        await clock.advance(0)
        store.error = StoreFull("disk full")
        await clock.advance(30)
        store.error = None
        await clock.advance(10)
        assert len(runs) == 5
        assert [run.started_at for run in await supervisor.history("work")] == runs.at[::-1]
        assert supervisor.find("work").state == "waiting"


@BOTH
async def test_restart_ends_the_run_and_begins_another(clock: FakeClock, make: MakeSupervisor) -> None:
    runs = Runs(clock, anyio.sleep_forever)
    async with make(Job("work", runs, Continuous())) as supervisor:
        await clock.advance(0)
        assert await supervisor.restart("work")
        await clock.advance(0)
        assert (len(runs), runs.cancelled, state(supervisor)) == (2, 1, "running")
        await supervisor.stop("work")
        await supervisor.restart("work")
        await clock.advance(0)
        assert (len(runs), state(supervisor)) == (3, "running")


@BOTH
async def test_run_now_runs_once_waits_for_the_end_and_counts_as_the_last_success(
    clock: FakeClock, make: MakeSupervisor
) -> None:
    runs = Runs(clock)
    start = clock.time()
    async with make(Job("work", runs, Every(100))) as supervisor:
        await clock.advance(50)
        run = await supervisor.run_now("work")
        assert (run.outcome, run.started_at) == ("ok", start + 50)
        await clock.advance(99)
        assert len(runs) == 2
        await clock.advance(1)
        assert len(runs) == 3


async def test_run_now_runs_a_stopped_job_which_stays_stopped(clock: FakeClock, make: MakeSupervisor) -> None:
    runs = Runs(clock)
    async with make(Job("work", runs, Every(100))) as supervisor:
        await clock.advance(0)
        await supervisor.stop("work")
        assert (await supervisor.run_now("work")).outcome == "ok"
        assert state(supervisor) == "stopped"
        await clock.advance(1000)
        assert len(runs) == 2


async def test_run_now_tells_a_failure_without_trying_again(clock: FakeClock, make: MakeSupervisor) -> None:
    async def fail_when_asked() -> None:
        if len(runs) > 1:
            raise RuntimeError("boom")

    runs = Runs(clock, fail_when_asked)
    async with make(Job("work", runs, Every(1000))) as supervisor:
        await clock.advance(10)
        run = await supervisor.run_now("work")
        assert (run.outcome, run.error) == ("failed", "RuntimeError: boom")
        await clock.advance(500)
        assert (len(runs), state(supervisor)) == (2, "waiting")


async def test_run_now_works_on_a_bot_whose_jobs_are_not_running(clock: FakeClock, make: MakeSupervisor) -> None:
    runs = Runs(clock)
    supervisor = make(Job("work", runs, Every(1000)))
    await supervisor.load()
    assert (await supervisor.run_now("work")).outcome == "ok"
    async with make(Job("work", runs, Every(1000))):
        await clock.advance(10)
    assert len(runs) == 1


async def test_a_job_that_failed_is_mended_by_a_run_that_succeeds(clock: FakeClock, make: MakeSupervisor) -> None:
    whole = False

    async def work() -> None:
        if not whole:
            raise RuntimeError("boom")

    async with make(Job("work", work, Every(10))) as supervisor:
        await clock.advance(60)
        assert state(supervisor) == "failed"
        whole = True
        await supervisor.run_now("work")
        assert state(supervisor) == "waiting"


async def test_a_changed_schedule_holds_at_once_and_over_restarts(clock: FakeClock, make: MakeSupervisor) -> None:
    runs = Runs(clock)
    start = clock.time()
    job = Job("work", runs, Every(86_400))
    async with make(job) as supervisor:
        await clock.advance(0)
        times = await supervisor.reschedule("work", Every(300))
        assert times == (start + 300, start + 600, start + 900)
        await clock.advance(300)
        assert runs.at == [start, start + 300]
    async with make(job) as supervisor:
        await clock.advance(300)
        assert len(runs) == 3
        assert str(supervisor.find("work").schedule) == "every 5m"
        await supervisor.reschedule("work", None)
        assert str(supervisor.find("work").schedule) == "every 1d"
        await clock.advance(86_399)
        assert len(runs) == 3


async def test_a_changed_time_of_day_owes_nothing_for_the_past(clock: FakeClock, make: MakeSupervisor) -> None:
    runs = Runs(clock)
    job = Job("work", runs, Cron("0 23 * * *"))  # it is 22:13
    async with make(job) as supervisor:
        await clock.advance(3600)
        assert len(runs) == 1
        await clock.advance(12 * 3600)  # 11:13
        times = await supervisor.reschedule("work", Cron("0 11 * * *"))
        assert times[0] == pytest.approx(clock.time() + 24 * 3600 - 800, abs=60)
    async with make(job):
        await clock.advance(3600)
    assert len(runs) == 1


async def test_config_yaml_sets_schedules_and_switches_jobs_off(clock: FakeClock, make: MakeSupervisor) -> None:
    quick, off = Runs(clock), Runs(clock)
    config = JobsConfig(jobs={"quick": JobConfig(schedule="every 1m"), "off": JobConfig(enabled=False)})
    async with make(Job("quick", quick, Every(3600)), Job("off", off, Every(60)), config=config) as supervisor:
        await clock.advance(120)
        assert (len(quick), len(off)) == (3, 0)
        assert supervisor.find("off").state == "stopped"
        with pytest.raises(JobRefused, match="switched off"):
            await supervisor.start("off")
        supervisor.configure(JobsConfig())
        await clock.advance(120)
        assert (len(quick), len(off)) == (3, 3)


@pytest.mark.parametrize(
    ("jobs", "message"),
    [
        ({"worg": JobConfig()}, r"jobs\.jobs\.worg: there is no such job; did you mean work\?"),
        ({"work": JobConfig(schedule="often")}, r"jobs\.jobs\.work\.schedule: 'often' is not a schedule"),
        ({"always": JobConfig(schedule="every 5m")}, "runs all the time"),
    ],
)
async def test_a_configuration_that_does_not_fit_is_refused_and_changes_nothing(
    clock: FakeClock, make: MakeSupervisor, jobs: dict[str, JobConfig], message: str
) -> None:
    supervisor = make(Job("work", Runs(clock), Every(60)), Job("always", broken, Continuous()))
    with pytest.raises(ConfigError, match=message):
        supervisor.configure(JobsConfig(max_restarts=1, jobs=jobs))
    assert [str(status.schedule) for status in supervisor.status()] == ["every 1m", "continuous"]


async def test_jobs_are_found_by_every_name_they_ever_had(clock: FakeClock, make: MakeSupervisor) -> None:
    aliases = ("AutoBackupSystem hourly_backup", "hourly_backup")
    supervisor = make(Job("backup", Runs(clock), Every(3600), aliases=aliases))
    for name in ("backup", "Backup", "AutoBackupSystem hourly_backup", "autobackupsystem   hourly_backup", *aliases):
        assert supervisor.find(name).name == "backup"
    with pytest.raises(UnknownJob) as caught:
        supervisor.find("backpu")
    assert caught.value.suggestions == ("backup",)
    with pytest.raises(ValueError, match="already there"):
        supervisor.add(Job("hourly_backup", broken, Every(1)))


async def test_only_the_last_runs_are_kept(clock: FakeClock, make: MakeSupervisor) -> None:
    config = JobsConfig(keep_runs=10)
    runs = Runs(clock)
    async with make(Job("work", runs, Every(1)), Job("other", Runs(clock), Every(10)), config=config) as supervisor:
        await clock.advance(100)
        assert [run.started_at for run in await supervisor.history("work", 1000)] == runs.at[:-11:-1]
        assert len(await supervisor.history("other", 1000)) == 10
        assert supervisor.find("work").runs == 101


async def test_the_slowest_jobs_are_named(clock: FakeClock, make: MakeSupervisor) -> None:
    async def sleep() -> None:
        await clock.sleep(5)

    async with make(Job("slow", sleep, Every(60)), Job("quick", Runs(clock), Every(60))) as supervisor:
        await clock.advance(30)
        assert [(each.job, each.seconds) for each in await supervisor.slowest()] == [("slow", 5), ("quick", 0)]


async def test_the_monitor_tells_once_of_jobs_that_are_late(
    clock: FakeClock, make: MakeSupervisor, notices: Notices
) -> None:
    hang = True

    async def work() -> None:
        if hang:
            await anyio.sleep_forever()

    supervisor = make(Job("work", work, Every(1200)), Job("fine", Runs(clock), Every(60)), drain=0)
    supervisor.add(*supervisor.jobs())
    assert supervisor.find("ScheduledTasksDashboard monitor_tasks").name == "monitor"
    async with supervisor:
        await clock.advance(2400)
        assert notices == []
        await clock.advance(6000)
        assert [notice.title for notice in notices] == ["Jobs are overdue"]
        assert notices[0].items[0].startswith("work: running, overdue by 50m")
        hang = False
        await supervisor.restart("work")
        await clock.advance(1200)
        hang = True
        await clock.advance(6000)
        assert len(notices) == 2
