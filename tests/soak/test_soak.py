"""A bot that runs for a while under load and troubles is at the end what it was at the beginning."""

from pathlib import Path

import pytest

from tests.soak.soak import Plan, soak

pytestmark = pytest.mark.alone


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.promise("P55")
@pytest.mark.slow
async def test_nothing_is_lost_doubled_or_left_behind_in_two_minutes(tmp_path: Path) -> None:
    plan = Plan(minutes=2.0, rate=100, seed=56, beat=8.0)
    found = await soak(plan, tmp_path, say=lambda line: None)
    assert found.held, found.text()
    assert found.said + found.undelivered > 0.9 * plan.minutes * 60 * plan.rate
    assert found.answered > 0.8 * found.said
    assert sum(found.troubles.values()) >= 3 * (plan.minutes * 60 // plan.beat - 1)
    assert len(found.samples) > 20
    assert len(found.tasks) > 5
