"""A bot that dies and is started again and again, as a process: what Discord sees of its logins."""

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.standin import Standin
from tests.test_cli import ENVIRONMENT

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parent.parent
SPEED = 40.0
"""How much faster the bot's clock goes than the stand-in's: half an hour takes less than a minute."""

ON_ITS_WAY = 1.0
"""Seconds of the stand-in by which one login may be longer on its way than the next, on a busy machine."""

SPACING = (0, 0, 15, 30, 60, 120, 240, 300, 300, 300, 300)
"""Seconds of the bot that lie at least between its twelve logins of an hour, by its book."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with Standin() as standin:
        yield standin


@pytest.mark.slow
@pytest.mark.promise("P14")
async def test_a_bot_that_is_killed_after_each_login_logs_in_less_and_less_often(
    standin: Standin, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    await anyio.Path(config).write_text("storage: {busy_timeout: 60s}\nbackup: {enabled: false}\n")
    since = time.time()
    command = [sys.executable, "-m", "tests.hurried", str(SPEED), str(since)]
    environment = ENVIRONMENT | standin.environment() | {
        "BOT_OWNER_ID": standin.user("owner").id, "PYTHONPATH": str(ROOT), "SOCBOT_CONFIG": str(config),
    }  # fmt: skip
    for number in range(1, len(SPACING) + 2):
        process = await anyio.open_process(
            command, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=None, stderr=None, env=environment
        )
        async with process:
            await standin.gateway.identified(number, seconds=60)
            if number % 2:
                await standin.gateway.ready()
            process.send_signal(signal.SIGKILL)
            assert await process.wait() == -signal.SIGKILL
        await standin.until(lambda: not standin.gateway.connections, what="the end of its connection")
    seen = [identify.at * SPEED for identify in standin.gateway.identifies]
    booked = await anyio.to_thread.run_sync(logins_in, tmp_path / "data" / "socbot.db")
    assert len(seen) == len(booked) == len(SPACING) + 1, "each was in the book before it was sent"
    for (before, after), least in zip(pairwise(booked), SPACING, strict=True):
        assert after - before >= least
    for (before, after), least in zip(pairwise(seen), SPACING, strict=True):
        assert after - before >= least - ON_ITS_WAY * SPEED
    assert min(after - before for before, after in pairwise(seen[:4])) < 240, "an ordinary restart is not held up"
    log = "".join([await path.read_text() async for path in anyio.Path(tmp_path / "logs").glob("*.log*")])
    assert "The next login at Discord waits for" in log


def logins_in(store: Path) -> list[float]:
    with closing(sqlite3.connect(store)) as connection:
        return [at for (at,) in connection.execute("SELECT at FROM gateway_logins ORDER BY at")]
