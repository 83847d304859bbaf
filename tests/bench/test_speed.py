"""The benchmark is to be trusted only where it notices that a contender did not do its work."""

from typing import Any

import pytest

from bench import speed
from bench.contenders import Contender, Counter, unchanged


@pytest.fixture
def anyio_backend() -> str:
    """Contenders are gathered with asyncio, which the peers need too."""
    return "asyncio"


async def test_contenders_take_turns_and_their_commands_are_counted_and_stored() -> None:
    costs = await speed.compare(2, speed.AT_ONCE)
    names = {"floor": ("full", "refused")} | dict.fromkeys(("socbot", "discord.py"), ("full", "refused", "bare"))
    due = {(kind, at_once, name) for name, kinds in names.items() for kind in kinds for at_once in (1, speed.AT_ONCE)}
    assert due <= costs.keys()
    assert all(len(found) == 2 and min(cost.loop for cost in found) > 0 for found in costs.values())
    lines = speed.report(costs).splitlines()
    assert len(lines) == 2 + len(costs)
    assert [line.split(" | ")[4] for line in lines if line.startswith("| full | 1 | floor |")] == ["1.00"]


@pytest.mark.parametrize(
    ("scenario", "ran", "told"), [("full", 63, "ran 63 times, not 64"), ("refused", 1, "ran 1 times, not 0")]
)
async def test_a_handler_that_did_not_run_as_often_as_it_should_ends_the_benchmark(
    scenario: str, ran: int, told: str
) -> None:
    counter = Counter()

    async def run(message: Any) -> None:
        counter.count += counter.count < ran

    with pytest.raises(AssertionError, match=told):
        await speed.measure(Contender("broken", scenario, unchanged, run, counter), 64)


async def test_commands_that_did_not_overlap_end_the_benchmark() -> None:
    counter = Counter()

    async def run(message: Any) -> None:
        counter.count += 1

    with pytest.raises(AssertionError, match="0 handlers waited together"):
        await speed.measure(Contender("hasty", "full", unchanged, run, counter), 64, at_once=64)


async def test_a_store_that_lost_a_command_ends_the_benchmark() -> None:
    async def stored() -> int:
        return 127

    kept = Contender("forgetful", "full", unchanged, _nothing, Counter(), stored=stored)
    with pytest.raises(AssertionError, match="127 commands are in the store, not 128"):
        await speed.check_stored([(kept, 1), (kept, 64)], 64)


async def _nothing(message: Any) -> None:
    pass
