"""Being told to end, whatever is under way: in time, with everything answered, kept, and nothing begun."""

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import anyio
import pytest

from socbot.bot import Bot
from socbot.config import BackupConfig, BotConfig, Config, StorageConfig, WebhooksConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.outcomes import Outcome
from socbot.jobs.job import Job
from socbot.jobs.schedules import Every
from socbot.storage.migrations import RELEASED, Revisions, upgrade
from socbot.storage.sqlite import SqliteSession
from socbot.storage.sqlite_file import APPLICATION_ID, engine
from socbot.testing import OWNER, said
from tests.receiver import Receiver, hang
from tests.test_cli import ENVIRONMENT, line_of, running, socbot

pytestmark = pytest.mark.alone


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


LATE = 1.0
"""Seconds beyond its deadline after which the bot has ended."""


@command("take", permission="public", timeout=100.0)
async def take(ctx: Context, seconds: float) -> str:
    """Takes its time."""
    await anyio.sleep(seconds)
    return f"took {seconds:g}"


def config_in(folder: Path, seconds: float) -> Config:
    return Config(
        bot=BotConfig(shutdown_timeout=seconds),
        storage=StorageConfig(url=f"sqlite:///{folder}/socbot.db"),
        backup=BackupConfig(enabled=False, folder=f"{folder}/backups", paths=()),
        webhooks=WebhooksConfig(allow=("127.0.0.0/8",)),
    )


# -- what is under way --------------------------------------------------------------------------------


async def end_with_twenty_under_way(folder: Path, chance: Random, hook: str, deadline: float) -> float:
    """Have a bot end while it runs 20 commands; seconds from when it was told to until it had ended."""
    lengths = [chance.uniform(0.1, deadline - 0.3) for _ in range(8)] + [chance.uniform(0.1, 60) for _ in range(12)]
    lengths = [seconds + 0.6 if abs(seconds - deadline) < 0.3 else seconds for seconds in lengths]
    outcomes: list[Outcome] = []

    async def done(outcome: Outcome) -> None:
        outcomes.append(outcome)

    config = config_in(folder, deadline)
    async with Bot.from_config(config, owners=[OWNER], random=chance, commands=[take]) as bot:
        await bot.webhooks.add("hangs", "custom", hook, (), "local:owner")
        for number in range(10):
            await bot.signals.raise_("alert", f"Door {number}")
        for user, seconds in enumerate(lengths):
            assert bot.submit(said(f"!take {seconds}", str(user)), done) is None
        began = time.monotonic()
    took = time.monotonic() - began

    ended = {outcome.message.text: (outcome.status, str(outcome.reply)) for outcome in outcomes}
    assert len(outcomes) == len(ended) == 20
    for seconds in lengths:
        fits = seconds < deadline
        told = ("ok", f"took {seconds:g}") if fits else ("refused", "The bot is shutting down.")
        assert ended[f"!take {seconds}"] == told
    wal = folder / "socbot.db-wal"
    assert not wal.exists() or wal.stat().st_size == 0, "what was written is in the database itself"
    async with Bot.from_config(config, owners=[OWNER], random=chance, jobs=False) as bot:
        assert bot.webhooks.backlog == 10
        assert (await bot.analytics.usage()).tally.commands == 20
    return took


@pytest.mark.promise("P49")
@pytest.mark.parametrize("runs", [4, pytest.param(100, marks=pytest.mark.slow)])
async def test_all_that_fits_is_answered_the_rest_is_told_and_all_of_it_is_kept(
    runs: int, tmp_path: Path, receiver: Receiver
) -> None:
    receiver.otherwise = hang
    took: dict[int, float] = {}

    async def run(number: int, again: str = "") -> None:
        folder = tmp_path / f"{number}{again}"
        took[number] = await end_with_twenty_under_way(folder, Random(number), receiver.url("/hook"), 0.7)

    for first in range(0, runs, 2):
        async with anyio.create_task_group() as tasks:
            for number in range(first, first + 2):
                tasks.start_soon(run, number)
    for number, seconds in tuple(took.items()):
        if seconds > 0.7 + LATE:  # what else the machine did just then, it does not do twice
            await run(number, " again")
    assert max(took.values()) <= 0.7 + LATE


class WithALongJob(Bot):
    """A bot with a job that takes a minute, and is begun anew as soon as it has ended."""

    began = 0

    def jobs(self) -> tuple[Job, ...]:
        async def copy() -> None:
            self.began += 1
            await anyio.sleep(60.0)

        return (*super().jobs(), Job("copy", copy, Every(1.0)))


@asynccontextmanager
async def with_a_long_job(folder: Path, deadline: float) -> AsyncIterator[WithALongJob]:
    config = config_in(folder, deadline)
    async with WithALongJob.from_config(config, owners=[OWNER], random=Random(1), commands=[take]) as bot:
        await anyio.wait_all_tasks_blocked()
        assert bot.supervisor.find("copy").state == "running"
        yield bot


@pytest.mark.promise("P49")
async def test_commands_and_jobs_have_the_same_time_to_end(tmp_path: Path) -> None:
    async with with_a_long_job(tmp_path, 3.0) as bot:
        bot.submit(said("!take 60"))
        began = time.monotonic()
    assert 3.0 <= time.monotonic() - began <= 3.0 + LATE


@pytest.mark.promise("P49")
async def test_no_job_is_begun_while_commands_end(tmp_path: Path) -> None:
    begun: list[float] = []

    class WithAQuickJob(Bot):
        def jobs(self) -> tuple[Job, ...]:
            async def look() -> None:
                begun.append(time.monotonic())

            return (*super().jobs(), Job("look", look, Every(0.05)))

    config = config_in(tmp_path, 5.0)
    async with WithAQuickJob.from_config(config, owners=[OWNER], random=Random(1), commands=[take]) as bot:
        bot.submit(said("!take 1"))
        await anyio.sleep(0.2)
        assert begun
        told = time.monotonic()
    assert max(begun) <= told + 0.05


@pytest.mark.promise("P49")
async def test_who_is_in_a_hurry_waits_for_no_job(tmp_path: Path) -> None:
    async with with_a_long_job(tmp_path, 60.0) as bot:
        bot.submit(said("!take 60"))
        with anyio.move_on_after(0.2):
            await bot.drain()
        began = time.monotonic()
        await bot.drain(0.0)
    assert time.monotonic() - began <= LATE


# -- what has hardly begun ----------------------------------------------------------------------------

SLOW_START = """
import time
from pathlib import Path
from socbot import command

Path("starting").touch()
time.sleep(0.5)

@command("hello", permission="public")
async def hello(ctx):
    return "hello"

COMMANDS = (hello,)
"""


def told_while_it_starts(folder: Path, sign: str, *signals: int, deadline: float) -> "subprocess.Popen[str]":
    """Run a bot, and signal it as soon as a file like ``sign`` is there; it ends in time."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "socbot", "run", "--transport", "console"]
    with subprocess.Popen(
        command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT
    ) as process:
        try:
            patience = time.monotonic() + 60
            while not list(folder.glob(sign)):
                assert process.poll() is None
                assert time.monotonic() < patience, f"no {sign} was begun"
                time.sleep(0.002)
            began = time.monotonic()
            for number in signals:
                process.send_signal(number)
            process.wait(30)
            assert time.monotonic() - began <= deadline + LATE
        finally:
            process.kill()
    return process


@pytest.mark.promise("P49")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
def test_a_start_that_is_told_to_end_is_given_up(number: int, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(SLOW_START)
    (tmp_path / "config.yaml").write_text("handlers: [own]\nbot: {shutdown_timeout: 2s}\n")
    process = told_while_it_starts(tmp_path, "starting", number, deadline=2.0)
    assert process.returncode == 0
    ran = socbot(tmp_path, "exec", "!hello")
    assert (ran.returncode, ran.stdout) == (0, "hello\n")


@pytest.mark.promise("P49")
def test_a_process_that_has_hardly_begun_ends_well_too(tmp_path: Path) -> None:
    """As the first process of a container, which no signal ends that nobody has asked for."""
    program = (
        "import os, signal, sys; import socbot.cli as cli;"
        "cli._load = lambda arguments: os.kill(os.getpid(), signal.SIGTERM) or sys.exit(9); cli.main(['run'])"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=ENVIRONMENT, timeout=60, check=False)
    assert ran.returncode == 0


BIG = 150
"""Megabytes of a store that takes a while to be copied before anything in it is changed."""


@pytest.fixture
def older_store(tmp_path: Path) -> Path:
    """A store of the version before, with much in it."""
    path = tmp_path / "data" / "socbot.db"
    path.parent.mkdir(mode=0o700)
    path.touch(0o600)
    session = SqliteSession(path)
    upgrade(engine(session), Revisions(RELEASED.names[:-1], RELEASED.folder))
    session.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    add = "INSERT INTO settings (key, value, set_by, set_at) VALUES (:key, json_quote(hex(zeroblob(500000))), '', 0)"
    for number in range(BIG):
        session.execute(add, {"key": f"big{number}"})
    session.close()
    return path


@pytest.mark.promise("P49")
@pytest.mark.promise("P21")
@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGTERM, signal.SIGTERM)], ids=["once", "twice"])
def test_a_bot_that_is_told_to_end_during_a_migration_leaves_the_old_store_or_the_new(
    signals: tuple[int, ...], tmp_path: Path, older_store: Path
) -> None:
    (tmp_path / "config.yaml").write_text("bot: {shutdown_timeout: 15s}\n")
    process = told_while_it_starts(tmp_path, "data/*.before-*.part", *signals, deadline=15.0)
    assert process.returncode in ((0,) if len(signals) == 1 else (0, 1))
    with sqlite3.connect(older_store) as store:
        [(revision,)] = store.execute("SELECT version_num FROM alembic_version")
        assert revision in RELEASED.names[-2:]
        assert store.execute("SELECT count(*) FROM settings").fetchone() == (BIG,)
    store.close()
    assert socbot(tmp_path, "exec", "!ping").returncode == 0


# -- signals ------------------------------------------------------------------------------------------


@pytest.mark.promise("P49")
def test_told_to_end_in_the_midst_of_reloads_it_ends(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("bot: {name: one, shutdown_timeout: 2s}\n")
    with running(tmp_path) as bot:
        for number in range(50):
            (tmp_path / "config.yaml").write_text(f"bot: {{name: n{number}, shutdown_timeout: 2s}}\n")
            bot.send_signal(signal.SIGHUP)
        line_of(bot, "Reloaded")
        bot.send_signal(signal.SIGHUP)
        bot.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert bot.wait(10) == 0
        assert time.monotonic() - began <= 2.0 + LATE


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver
