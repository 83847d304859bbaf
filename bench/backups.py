"""Backing up and restoring as much as ``size`` bytes, beside ``tar | zstd | sha256sum`` over the same file."""

import gc
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter

import anyio
import anyio.to_thread
from msgspec import Struct

from socbot.config import StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.storage.database import Database
from socbot.systems.backup.archive import back_up, extract, verify
from socbot.systems.backup.keys import Keyring
from socbot.systems.backup.manifest import Info

INTERVAL = 0.001
PIPE = "tar cf - {store} | zstd -q -{level} -c | tee {target} | sha256sum"


class Costs(Struct, frozen=True):
    """Seconds; ``stall`` is the longest that the event loop waited meanwhile."""

    bytes: int
    pipe: float
    pipe_stall: float
    backup: float
    stall: float
    unpack: float
    unpack_stall: float
    sealed: float
    sealed_stall: float


async def measure(size: int, rounds: int) -> Costs:
    """The median of ``rounds``, each with its own pipe; the store is open and idle meanwhile."""
    with tempfile.TemporaryDirectory(prefix="socbot-bench-") as name:
        folder = Path(name)
        storage = StorageConfig(url=f"sqlite:///{folder}/data/socbot.db")
        async with Database.open(storage, SystemClock()):
            pass
        _fill(folder / "data/socbot.db", size)
        async with Database.open(storage, SystemClock()):
            found = [await _round(folder, storage) for _ in range(rounds)]
    return Costs(*(median(each) for each in zip(*found, strict=True)))


async def _round(folder: Path, storage: StorageConfig) -> tuple[float, ...]:
    plain, sealing = Keyring(None, (), os.urandom), Keyring(b"k" * 32, (), os.urandom)
    store, target, out = folder / "data/socbot.db", folder / "backups/backup", folder / "out"
    _away(target, out)
    pipe, pipe_stall = await _timed(lambda: _pipe(store, folder / "piped"))
    backup, stall = await _timed(lambda: _back_up(target, storage, plain, seal=False))
    unpack, unpack_stall = await _timed(lambda: extract(target, out, plain))
    assert verify(target, plain).intact
    _away(target, out)
    sealed, sealed_stall = await _timed(lambda: _back_up(target, storage, sealing, seal=True))
    return store.stat().st_size, pipe, pipe_stall, backup, stall, unpack, unpack_stall, sealed, sealed_stall


def _away(target: Path, out: Path) -> None:
    target.unlink(missing_ok=True)
    shutil.rmtree(out, ignore_errors=True)


def _back_up(target: Path, storage: StorageConfig, keys: Keyring, *, seal: bool) -> None:
    back_up(target, Info("manual", 1e9, "bench"), storage, (), keys=keys, seal=seal)


def _pipe(store: Path, target: Path) -> None:
    command = PIPE.format(store=store.name, target=target, level=3)
    subprocess.run(command, shell=True, check=True, cwd=store.parent, stdout=subprocess.DEVNULL)
    with target.open("rb") as file:
        os.fsync(file.fileno())  # as a backup does


async def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """How long ``work`` took on a thread, and how late a task was at worst that wakes every millisecond."""
    late: list[float] = []
    gc.collect()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_sample, late)
        began = perf_counter()
        await anyio.to_thread.run_sync(work)
        took = perf_counter() - began
        tasks.cancel_scope.cancel()
    return took, max(late, default=0.0)


async def _sample(late: list[float]) -> None:
    while True:
        due = perf_counter() + INTERVAL
        await anyio.sleep(INTERVAL)
        late.append(perf_counter() - due)


def _fill(path: Path, size: int) -> None:
    """Errors with their tracebacks, which is what makes a store large."""
    random = Random(1)
    words = ["".join(random.choices("abcdefghijklmnopqrstuvwxyz_.", k=random.randint(3, 12))) for _ in range(20_000)]
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    number = 0
    while path.stat().st_size < size:
        connection.execute("BEGIN")
        for _ in range(4_000):
            number += 1
            connection.execute(
                "INSERT INTO errors VALUES (?, ?, ?, 'warning', 'KeyError', ?, 'lookup', 'discord', ?, ?, ?, ?, ?)",
                (f"E-{number:09}", f"G{number % 500}", random.random() * 1e9, " ".join(random.choices(words, k=12)),
                 *(str(random.getrandbits(60)) for _ in range(3)), random.randbytes(8).hex(),
                 " ".join(random.choices(words, k=220))),
            )  # fmt: skip
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def report(costs: Costs) -> str:
    megabytes = costs.bytes / 1e6

    def line(what: str, seconds: float, ratio: float, stall: float) -> str:
        return (
            f"{what}: {seconds:.2f} s, {megabytes / seconds:,.0f} MB/s, {ratio:.2f} times the speed of the pipe; "
            f"the loop waited at most {stall * 1e3:.1f} ms"
        )

    return "\n".join(
        (
            line("tar | zstd | sha256sum", costs.pipe, 1.0, costs.pipe_stall),
            line("a backup", costs.backup, costs.pipe / costs.backup, costs.stall),
            line("a sealed one", costs.sealed, costs.pipe / costs.sealed, costs.sealed_stall),
            f"unpacking and verifying: {costs.unpack:.2f} s, {costs.unpack / costs.backup:.2f} times the backup; "
            f"the loop waited at most {costs.unpack_stall * 1e3:.1f} ms",
        )
    )
