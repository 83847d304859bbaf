"""The whole soak: a bot, the crowd, the troubles, and what is read meanwhile."""

import itertools
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread
import httpx
from msgspec import Struct

from socbot.web.views import VIEWS
from tests.receiver import Receiver, answer
from tests.soak.crowd import Crowd
from tests.soak.ledger import Ledger
from tests.soak.process import Program, Sample, running
from tests.soak.report import Found
from tests.soak.troubles import Troubles
from tests.standin import Standin

_PAGES = sorted(view.path for view in VIEWS if "{" not in view.path)


class Plan(Struct, frozen=True):
    """How long, how hard.

    :param beat: seconds of a round of troubles; samples are taken, pages read and metrics scraped in proportion
    """

    minutes: float = 30.0
    rate: float = 200.0
    seed: int = 1
    beat: float = 60.0

    @property
    def hold(self) -> float:
        """Seconds for which a fault lasts."""
        return min(3.0, self.beat / 8)


class _Watch:
    """What is read while it runs."""

    def __init__(self, program: Program, ledger: Ledger, plan: Plan, say: Callable[[str], None]) -> None:
        self._program, self._ledger, self._plan, self._say = program, ledger, plan, say
        self.samples: list[Sample] = []
        self.tasks: list[tuple[float, float]] = []
        self.blocks: list[tuple[float, float]] = []
        self.pages: Counter[int] = Counter()

    async def sample(self) -> None:
        for number in itertools.count():
            self.samples.append(self._program.sample())
            self._program.read_log()
            if number % 12 == 0:
                last = self.samples[-1]
                self._say(
                    f"{last.at / 60:5.1f} min: {last.rss / 2**20:.1f} MiB, {last.fds} descriptors, "
                    f"{self._ledger.total:,} commands, {self._ledger.waiting} without an answer yet"
                )
            await anyio.sleep(self._plan.beat / 12)

    async def scrape(self) -> None:
        while True:
            try:
                found = await self._program.metrics()
            except httpx.HTTPError:
                self.pages[0] += 1
            else:
                if tasks := found.get("socbot_event_loop_tasks"):
                    self.tasks.append((self._program.age, tasks[()]))
                    self.blocks.append((self._program.age, found["socbot_memory_blocks"][()]))
            await anyio.sleep(self._plan.beat / 4)

    async def read_pages(self) -> None:
        async with self._program.visitor() as visitor:
            for path in itertools.cycle(_PAGES):
                for address in (path, f"/api/v1{'/overview' if path == '/' else path}"):
                    try:
                        self.pages[(await visitor.get(address)).status_code] += 1
                    except httpx.HTTPError:
                        self.pages[0] += 1
                await anyio.sleep(self._plan.beat / 12)


async def soak(plan: Plan, folder: Path, say: Callable[[str], None] = print) -> Found:
    """Run a bot in ``folder`` under the plan, and end it."""
    random, ledger = Random(plan.seed), Ledger()
    standin = Standin()
    complaints: list[str] = []
    async with standin, Receiver() as receiver:
        standin.gateway.heartbeat, standin.gateway.overlap = 5.0, 3
        crowd = Crowd(standin, ledger, Random(plan.seed), plan.rate)
        async with running(folder, standin, crowd) as program:
            receiver.on("/hook", answer(204))
            watch = _Watch(program, ledger, plan, say)
            troubles = Troubles(standin, crowd, program, receiver, ledger, random, plan.hold, say)
            await crowd.ask(f"!add_webhook soak custom {receiver.url('/hook')}")
            for person in crowd.listed:
                await crowd.ask(f"!blacklist_add user {person.id} soaked")
            began = time.monotonic(), program.cpu_seconds(), program.starved_seconds()
            async with anyio.create_task_group() as tasks:
                for work in (watch.sample, watch.scrape, watch.read_pages):
                    tasks.start_soon(work)
                tasks.start_soon(_tidy, crowd, ledger)
                async with anyio.create_task_group() as talking:
                    talking.start_soon(crowd.talk, plan.minutes * 60)
                    await _trouble(troubles, plan)
                await _all_answered(ledger)
                tasks.cancel_scope.cancel()
            now = time.monotonic(), program.cpu_seconds(), program.starved_seconds()
            seconds, used, starved = (after - before for before, after in zip(began, now, strict=True))
            missing = await _missing(troubles, receiver)
            books = await _books(program, ledger)
            program.signal(signal.SIGTERM)
            code = await program.ended()
            program.read_log()
        ledger.settle(all_=True)
        books += await anyio.to_thread.run_sync(_stored, program.store, ledger)
        complaints, standin.rest.complaints[:] = [*standin.complaints], []
    return Found(
        minutes=plan.minutes,
        rate=plan.rate,
        seed=plan.seed,
        samples=watch.samples,
        tasks=watch.tasks,
        blocks=watch.blocks,
        used=used / seconds,
        starved=starved / seconds,
        exit_code=code,
        said=ledger.total,
        undelivered=ledger.undelivered,
        answered=ledger.answered,
        lost=ledger.lost,
        doubled=ledger.doubled,
        wrong=ledger.wrong + [f"Discord would have refused: {each}" for each in complaints],
        books=books,
        complaints=sorted(program.complaints),
        remarks=program.remarks,
        delays=ledger.delays,
        calm_delays=ledger.calm_delays,
        latest=crowd.latest,
        troubles=troubles.done,
        failed=troubles.failed,
        pages=watch.pages,
        scrapes=len(watch.tasks),
        missing=missing,
        integrity=await anyio.to_thread.run_sync(_integrity, program.store),
    )


async def _tidy(crowd: Crowd, ledger: Ledger) -> None:
    while True:
        await anyio.sleep(1.0)
        crowd.forget()
        ledger.settle()


async def _trouble(troubles: Troubles, plan: Plan) -> None:
    """A round of troubles in each beat, until there is no room for another."""
    began = time.monotonic()
    for number in range(int(plan.minutes * 60 / plan.beat)):
        await anyio.sleep(max(0.0, began + number * plan.beat + plan.beat / 12 - time.monotonic()))
        await troubles.round(plan.beat)


async def _all_answered(ledger: Ledger) -> None:
    with anyio.move_on_after(60):
        while ledger.waiting:  # noqa: ASYNC110 - it is no event
            await anyio.sleep(0.2)


async def _missing(troubles: Troubles, receiver: Receiver) -> list[str]:
    """The alerts that did not reach the receiver, if need be after a minute."""

    def missing() -> list[str]:
        came = b"".join(request.body for request in receiver.requests).decode()
        return [title for title in troubles.alerts if f"{title}" not in came]

    with anyio.move_on_after(90):
        while missing():  # noqa: ASYNC110 - it is no event
            await anyio.sleep(1.0)
    return missing()


async def _books(program: Program, ledger: Ledger) -> list[str]:
    """In what /metrics differs from what was said, once all of it is in the store."""
    with anyio.move_on_after(30):
        while (found := await program.metrics())["socbot_telemetry_waiting"][()]:  # noqa: ASYNC110 - it is no event
            await anyio.sleep(0.3)
    return ledger.compare(_pairs(found["socbot_commands_total"]), "/metrics")


def _pairs(values: dict[tuple[str, ...], float]) -> dict[tuple[str, str], float]:
    return {(key[0], key[1]): value for key, value in values.items()}


def _stored(store: Path, ledger: Ledger) -> list[str]:
    """In what the store differs from what was said."""
    connection = sqlite3.connect(store)
    try:
        rows = connection.execute("SELECT command, status, SUM(count) FROM usage GROUP BY 1, 2").fetchall()
    finally:
        connection.close()
    return ledger.compare({(name or "(none)", status): count for name, status, count in rows}, "the store")


def _integrity(store: Path) -> str:
    connection = sqlite3.connect(store)
    try:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()
