"""Where the time of a command goes is told by stages that are all there, and by functions that it really calls."""

import pytest

from bench import profile


@pytest.fixture
def anyio_backend() -> str:
    """As the benchmark is run."""
    return "asyncio"


async def test_the_time_of_a_command_is_told_by_stage_and_by_function() -> None:
    found = await profile.measure(3, 40)
    names = [name.partition(":")[0] for name in found.stages]
    chain = ["blacklist", "rate_limit", "profiler", "analytics", "error_capture"]
    assert names == ["admission", "running it", *chain, "observers"]
    assert {len(seconds) for seconds in found.stages.values()} == {3}
    calls = {name: calls for name, _, calls in found.functions}
    assert calls["limiter.py: Limiter.hit"] == 1.0
    shown = profile.report(found)
    assert all(f"| {name} |" in shown for name in (*found.stages, *calls))
