"""The bot that is soaked: ``socbot run`` as a process of its own in a scratch folder, and what can be read of it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import psutil
from anyio.abc import Process
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.soak.crowd import Crowd
from tests.standin import Standin
from tests.test_cli import ENVIRONMENT

ROOT = Path(__file__).parents[2]
CHAIN = ("blacklist", "rate_limit", "profiler", "analytics", "error_capture")
COPIES = 3
OWNER_TOKEN, VIEWER_TOKEN = "soak-owner-0123456789abcdef", "soak-viewer-0123456789abcdef"

_CONFIG = """
handlers: [tests.soak.commands]
middleware: [{chain}]
logs: {{max_megabytes: {megabytes}, copies: {copies}}}
rate_limit:
  cooldown: 0
  burst: 60
  window: 60s
  cooldowns: {{}}
  decay: 120s
  ladder:
    - {{action: warn}}
    - {{action: timeout, duration: 10s}}
    - {{action: blacklist, duration: 30s}}
webhooks: {{allow: [127.0.0.0/8]}}
health: {{interval: 1m}}
web: {{token: {owner}, viewer_token: {viewer}}}
"""

_AT = re.compile(r"the dashboard is at (http://\S+)", re.IGNORECASE)
_BAD = re.compile(
    r"never retrieved|never awaited|[Uu]nclosed|destroyed but it is pending|Exception ignored in|ResourceWarning"
)
_LEVEL = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b(.*)")
_NUMBERS = re.compile(r"\b[0-9a-f]{8,}\b|[A-Z]-[A-Z0-9]{4,}|\d+(\.\d+)?")


class Sample(Struct, frozen=True):
    """Figures of one moment, ``at`` seconds after the bot's start; sizes in bytes."""

    at: float
    rss: int
    uss: int
    fds: int
    threads: int
    store: int
    wal: int
    logs: int


class Program:
    """A bot on the stand-in."""

    def __init__(self, process: Process, folder: Path) -> None:
        self.process, self.folder = process, folder
        self.began = time.monotonic()
        self.address = ""
        self.complaints: set[str] = set()
        self.remarks: dict[str, int] = {}
        self._looked_at: dict[int, int] = {}
        self._figures = psutil.Process(process.pid)

    @property
    def store(self) -> Path:
        return self.folder / "data" / "socbot.db"

    @property
    def age(self) -> float:
        return time.monotonic() - self.began

    async def until_it_is_served(self, seconds: float = 60.0) -> None:
        """Wait for its dashboard.

        :raises AssertionError: if it ends, or takes too long
        """
        while not (found := _AT.search(self._texts())):
            assert self.process.returncode is None, self._texts()
            assert self.age < seconds, self._texts()
            await anyio.sleep(0.1)
        self.address = found[1].rstrip("/")

    def _texts(self) -> str:
        paths = [self.folder / "stdout", self.folder / "stderr", *(self.folder / "logs").glob("*.log")]
        return "".join(path.read_text(errors="replace") for path in paths if path.exists())

    # -- what is done to it ---------------------------------------------------------------------------------

    def configure(self, chain: Sequence[str] = CHAIN, megabytes: int = 1) -> None:
        configure(self.folder, chain, megabytes)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, seconds: float = 60.0) -> int | None:
        """The exit code, once it has ended; None if it has not by then."""
        with anyio.move_on_after(seconds):
            return await self.process.wait()
        return None

    # -- what is read of it -----------------------------------------------------------------------------------

    def sample(self) -> Sample:
        process = self._figures
        with process.oneshot():
            memory = process.memory_full_info()
            fds, threads = process.num_fds(), process.num_threads()
        wal = self.store.with_name(self.store.name + "-wal")
        logs = sum(_size(path) for path in (self.folder / "logs").iterdir())
        return Sample(self.age, memory.rss, memory.uss, fds, threads, _size(self.store), _size(wal), logs)

    def cpu_seconds(self) -> float:
        times = self._figures.cpu_times()
        return float(times.user + times.system)

    def starved_seconds(self) -> float:
        """For how long its event loop could have run and had no processor, since others had them."""
        try:
            _, waited, _ = Path(f"/proc/{self.process.pid}/schedstat").read_text().split()
        except OSError:  # not on this system
            return 0.0
        return int(waited) / 1e9

    async def metrics(self) -> dict[str, dict[tuple[str, ...], float]]:
        """What Prometheus reads: values by the values of their labels, by name."""
        async with self.visitor(VIEWER_TOKEN) as visitor:
            answer = await visitor.get("/metrics")
        answer.raise_for_status()
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for family in parse(answer.text):
            for sample in family.samples:
                found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
        return found

    @asynccontextmanager
    async def visitor(self, token: str = OWNER_TOKEN) -> AsyncIterator[httpx.AsyncClient]:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=self.address, trust_env=False, headers=headers, timeout=30.0) as visitor:
            yield visitor

    def read_log(self) -> None:
        """Take what was written since: ``complaints`` are what must never be there, ``remarks`` what was not well."""
        for path in (self.folder / "stderr", *sorted((self.folder / "logs").glob("*"))):
            try:
                with path.open("rb") as file:
                    number = os.fstat(file.fileno()).st_ino  # files move on as the log is rotated
                    file.seek(self._looked_at.get(number, 0))
                    text = file.read()
                    self._looked_at[number] = file.tell()
            except FileNotFoundError:
                continue
            self._take(text.decode(errors="replace"))

    def _take(self, text: str) -> None:
        for line in text.splitlines():
            if _BAD.search(line):
                self.complaints.add(line[:300])
            if found := _LEVEL.search(line):
                kind = _NUMBERS.sub("…", f"{found[1]}{found[2]}")[:110]
                self.remarks[kind] = self.remarks.get(kind, 0) + 1


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def configure(folder: Path, chain: Sequence[str], megabytes: int) -> None:
    """Write config.yaml in one step."""
    text = _CONFIG.format(
        chain=", ".join(chain), megabytes=megabytes, copies=COPIES, owner=OWNER_TOKEN, viewer=VIEWER_TOKEN
    )
    new = folder / "config.new"
    new.write_text(text)
    new.chmod(0o600)
    new.replace(folder / "config.yaml")


@asynccontextmanager
async def running(folder: Path, standin: Standin, crowd: Crowd) -> AsyncIterator[Program]:
    """A bot in ``folder``, connected and served; it is killed at the end if it still runs."""
    configure(folder, CHAIN, 1)
    environment = ENVIRONMENT | standin.environment() | {"BOT_OWNER_ID": crowd.owner.id}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment["MALLOC_ARENA_MAX"] = "2"  # as in deploy/
    environment["PYTHONWARNINGS"] = "default::ResourceWarning,default::RuntimeWarning"
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = await anyio.open_process(
            [sys.executable, "-m", "socbot", "run"],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment,
        )  # fmt: skip
        async with process:
            try:
                program = Program(process, folder)
                await standin.gateway.ready(seconds=60)
                await program.until_it_is_served()
                yield program
            finally:
                if process.returncode is None:
                    process.kill()
