"""Commands hardly notice that a backup is being made."""

import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from functools import partial
from itertools import cycle
from math import ceil
from pathlib import Path
from time import perf_counter, sleep

import anyio
import anyio.to_thread
import pytest

from socbot.bot import Bot
from socbot.config import StorageConfig
from socbot.systems.backup.archive import back_up
from socbot.systems.backup.gently import NICE, gently
from socbot.systems.backup.keys import Keyring
from socbot.systems.backup.manifest import Info
from socbot.testing import owner_said
from tests.conftest import MakeBot

pytestmark = pytest.mark.alone

BETWEEN = 0.005
MOST = 0.050


@pytest.mark.promise("P05")
async def test_commands_hardly_wait_during_a_backup(make_bot: MakeBot, tmp_path: Path) -> None:
    await compare(make_bot, tmp_path, 60_000_000)


@pytest.mark.slow
@pytest.mark.promise("P05")
async def test_commands_hardly_wait_during_a_large_backup(make_bot: MakeBot, tmp_path: Path) -> None:
    await compare(make_bot, tmp_path, 1_000_000_000)


async def compare(make_bot: MakeBot, folder: Path, size: int) -> None:
    async with make_bot() as bot:
        storage = bot.config.storage
    await anyio.to_thread.run_sync(fill, Path(storage.url.removeprefix("sqlite:///")), size)
    async with make_bot() as bot:
        await ninety_nine(bot, lambda: sleep(0.3))
        for seal in (False, True):
            keys = Keyring(b"k" * 32 if seal else None, (), os.urandom)
            # Whatever else the machine does can make a round slow; it cannot make all of them fast.
            found: list[float] = []
            while len(found) < 4 and min(found, default=MOST) >= MOST:
                found.append(await one_round(bot, partial(make, folder, storage, keys)))
            assert min(found) < MOST, f"{[round(each * 1e3, 1) for each in found]} ms more than without a backup"


async def one_round(bot: Bot, backup: Callable[[], object]) -> float:
    normal = await ninety_nine(bot, lambda: sleep(0.7))
    return await ninety_nine(bot, backup) - normal


async def ninety_nine(bot: Bot, beside: Callable[[], object]) -> float:
    """How long all commands but one in a hundred take at most, in seconds, while ``beside`` runs on a thread."""
    took: list[float] = []

    async def command() -> None:
        for text in cycle(("!ping", "!blacklist", "!blacklist_add user 1234 noise")):
            began = perf_counter()
            outcome = await bot.dispatch(owner_said(text))
            assert outcome.status == "ok", outcome
            took.append(perf_counter() - began)
            await anyio.sleep(BETWEEN)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(command)
        await anyio.to_thread.run_sync(beside)
        tasks.cancel_scope.cancel()
    return sorted(took)[ceil(0.99 * len(took)) - 1]


def make(folder: Path, storage: StorageConfig, keys: Keyring) -> None:
    target = folder / "backups" / "backup"
    target.unlink(missing_ok=True)
    back_up(target, Info("manual", 1e9, "0"), storage, (), keys=keys, seal=keys.has_key)


def fill(path: Path, size: int) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN")
    for number in range(size // 5_000):
        text = os.urandom(1_250).hex()
        connection.execute("INSERT INTO log_templates VALUES (?, 0, 0, 1)", (f"{number} {text}{text}",))
    connection.execute("COMMIT")
    connection.close()


def test_what_runs_gently_stands_back_alone() -> None:
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = priority()
    assert gently(priority)() == before + (NICE if sys.platform == "linux" else 0)
    assert priority() == before
    with pytest.raises(ValueError, match="no number"):
        gently(int)("no number")
