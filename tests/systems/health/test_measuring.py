"""Checks are made at once, and none of them can hold up the others."""

import anyio
import pytest

from socbot.redaction import Redactor
from socbot.systems.health.checks import Check, Measured
from socbot.systems.health.measuring import Measuring
from socbot.testing import FakeClock

pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


class Hanging:
    """A check that does not answer until it is let go, and not even ends when it is cancelled if it is ``stubborn``."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.begun, self.let_go, self._stubborn = 0, anyio.Event(), stubborn
        self.check = Check("hanging", self._measure)

    async def _measure(self) -> Measured:
        self.begun += 1
        with anyio.CancelScope(shield=self._stubborn):
            await self.let_go.wait()
        return Measured(1.0, "at last")


def measuring(clock: FakeClock) -> Measuring:
    return Measuring(clock, Redactor(("geheim",)))


async def asked(clock: FakeClock, measuring: Measuring, check: Check, after: float) -> Measured | None:
    """What is found when ``after`` seconds pass meanwhile."""
    found: list[Measured | None] = []

    async def ask() -> None:
        found.append(await measuring.measure(check, 5.0))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await clock.advance(after)
        await anyio.wait_all_tasks_blocked()
    return found[0]


@pytest.mark.promise("P52")
async def test_a_check_that_hangs_is_itself_reported(clock: FakeClock) -> None:
    hanging = Hanging()
    async with measuring(clock) as each:
        found = await asked(clock, each, hanging.check, 5.0)
        assert found == Measured(text="no answer for 5s", status="unhealthy")
        await anyio.wait_all_tasks_blocked()
        await asked(clock, each, hanging.check, 5.0)
        assert hanging.begun == 2, "one that ended when it was told to is made again"


@pytest.mark.promise("P52")
async def test_a_check_that_does_not_even_end_is_not_begun_again(clock: FakeClock) -> None:
    hanging = Hanging(stubborn=True)
    async with measuring(clock) as each:
        try:
            await asked(clock, each, hanging.check, 5.0)
            clock.forward(295)
            found = await asked(clock, each, hanging.check, 0.0)
            assert found == Measured(text="no answer for 5m", status="unhealthy")
            assert hanging.begun == 1
        finally:
            hanging.let_go.set()
        await anyio.wait_all_tasks_blocked()
        assert await asked(clock, each, hanging.check, 0.0) == Measured(1.0, "at last")
        assert hanging.begun == 2


async def test_who_asks_meanwhile_gets_the_same(clock: FakeClock) -> None:
    hanging = Hanging()
    found: list[Measured | None] = []
    async with measuring(clock) as each:

        async def ask() -> None:
            found.append(await each.measure(hanging.check, 5.0))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            hanging.let_go.set()
    assert found == [Measured(1.0, "at last")] * 2
    assert hanging.begun == 1


async def test_a_broken_check_is_unhealthy_with_its_errors_name_and_no_secret(clock: FakeClock) -> None:
    async def broken() -> Measured:
        raise ConnectionError("geheim is no password")

    async with measuring(clock) as each:
        found = await each.measure(Check("broken", broken), 5.0)
    assert found is not None
    assert found.status == "unhealthy"
    assert found.text.startswith("ConnectionError: ")
    assert "geheim" not in found.text


async def test_whoever_stops_waiting_does_not_end_the_check(clock: FakeClock) -> None:
    hanging = Hanging()
    async with measuring(clock) as each:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(each.measure, hanging.check, 5.0)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        hanging.let_go.set()
        assert await each.measure(hanging.check, 5.0) == Measured(1.0, "at last")
        assert hanging.begun == 1
