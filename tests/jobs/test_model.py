"""A job's counters, state and notices over random histories, against a model of the rules."""

from collections.abc import Callable
from datetime import UTC
from random import Random

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socbot.config import JobsConfig
from socbot.dispatch.replies import Reply
from socbot.jobs.job import Job
from socbot.jobs.schedules import Every
from socbot.jobs.supervisor import Supervisor
from socbot.testing import FakeClock
from tests.jobs.conftest import InlineStore

CONFIG = JobsConfig(max_restarts=2, within=30.0)
INTERVAL = 20.0


class Model:
    """What the rules say, event by event; time is the monotonic clock's."""

    def __init__(self, now: float, succeeds: Callable[[int], bool]) -> None:
        self.now, self.succeeds, self.random = now, succeeds, Random(3)
        self.runs = self.failures = self.restarts = self.told = 0
        self.stopped = self.failed = False
        self.due, self.retry, self.success = now, None, None  # type: float, float | None, float | None
        self.crashes: list[float] = []
        self.attempts = 0

    @property
    def state(self) -> str:
        if self.stopped:
            return "stopped"
        if self.failed:
            return "failed"
        return "waiting" if self.retry is None else "backing off"

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while not self.stopped and not self.failed:
            at = self.due if self.retry is None else self.retry
            if at > end:
                break
            self.now = max(self.now, at)
            self._scheduled()
        self.now = end

    def _scheduled(self) -> None:
        self.restarts += self.retry is not None
        self.retry = None
        if self._runs():
            return
        self.attempts += 1
        self.crashes = [moment for moment in self.crashes if self.now - moment <= CONFIG.within] + [self.now]
        if len(self.crashes) > CONFIG.max_restarts:
            self.failed = True
            self.told += 1
        else:
            self.retry = self.now + self.random.uniform(1, min(60, 2 ** (self.attempts - 1)))

    def _runs(self) -> bool:
        ok = self.succeeds(self.runs)
        self.runs += 1
        if ok:
            self.success, self.due = self.now, self.now + INTERVAL
            self.failed, self.retry, self.attempts = False, None, 0
        else:
            self.failures += 1
        return ok

    def run_now(self) -> None:
        self._runs()
        self.advance(0)

    def stop(self) -> None:
        self.stopped = True

    def start(self) -> None:
        self.stopped = False
        self._forget()
        self.advance(0)

    def reboot(self) -> None:
        self._forget()
        self.due = self.now if self.success is None else self.success + INTERVAL
        self.advance(0)

    def _forget(self) -> None:
        self.failed, self.retry, self.attempts, self.crashes = False, None, 0, []


class History:
    """The real thing, driven by the same events."""

    def __init__(self, store: InlineStore, succeeds: Callable[[int], bool]) -> None:
        self.clock, self.random = FakeClock(), Random(3)
        self.store, self.succeeds = store, succeeds
        self.runs = self.told = 0

    def boot(self) -> Supervisor:
        supervisor = Supervisor(self.store, self.clock, self.random, CONFIG, UTC, self._tell)
        supervisor.add(Job("work", self._work, Every(INTERVAL)))
        return supervisor

    async def _work(self) -> None:
        self.runs += 1
        if not self.succeeds(self.runs - 1):
            raise RuntimeError("boom")

    async def _tell(self, notice: Reply) -> None:
        self.told += 1


EVENTS = st.lists(
    st.one_of(
        st.floats(0.1, 120.0).map(lambda seconds: ("advance", round(seconds, 3))),
        st.sampled_from([("stop", 0.0), ("start", 0.0), ("restart", 0.0), ("run_now", 0.0), ("reboot", 0.0)]),
    ),
    min_size=1,
    max_size=12,
)


async def check(store: InlineStore, events: list[tuple[str, float]], script: list[bool]) -> None:
    def succeeds(number: int) -> bool:
        return script[number % len(script)]

    store.clear()
    history = History(store, succeeds)
    clock = history.clock
    model = Model(clock.monotonic(), succeeds)
    pending = [*events, ("end", 0.0)]
    while pending:
        async with history.boot() as supervisor:
            model.reboot()
            await clock.advance(0)
            compare(supervisor, model, history)
            while pending:
                event, seconds = pending.pop(0)
                if event in ("reboot", "end"):
                    break
                await act(supervisor, model, clock, event, seconds)
                compare(supervisor, model, history)


async def act(supervisor: Supervisor, model: Model, clock: FakeClock, event: str, seconds: float) -> None:
    if event == "advance":
        await clock.advance(seconds)
        model.advance(seconds)
        return
    if event == "run_now":
        await supervisor.run_now("work")
        model.run_now()
    elif event == "stop":
        await supervisor.stop("work")
        model.stop()
    else:
        await (supervisor.start("work") if event == "start" else supervisor.restart("work"))
        model.start()
    await clock.advance(0)


def compare(supervisor: Supervisor, model: Model, history: History) -> None:
    status = supervisor.find("work")
    assert (status.state, status.runs, status.failures, status.restarts) == (
        model.state,
        model.runs,
        model.failures,
        model.restarts,
    )
    assert (history.runs, history.told) == (model.runs, model.told)


SCRIPTS = st.lists(st.booleans(), min_size=1, max_size=8)


@pytest.mark.promise("P45")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(EVENTS, SCRIPTS)
@settings(max_examples=75)
def test_random_histories_go_as_the_rules_say(
    module_store: InlineStore, backend: str, events: list[tuple[str, float]], script: list[bool]
) -> None:
    anyio.run(check, module_store, events, script, backend=backend)


@pytest.mark.slow
@pytest.mark.promise("P45")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(EVENTS, SCRIPTS)
@settings(max_examples=1_000)
def test_a_thousand_random_histories_go_as_the_rules_say(
    module_store: InlineStore, backend: str, events: list[tuple[str, float]], script: list[bool]
) -> None:
    anyio.run(check, module_store, events, script, backend=backend)
