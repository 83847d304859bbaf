from collections.abc import Iterator

import pytest

from tests.receiver import Receiver, in_a_thread


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """On a loop of its own, so that a test may run on trio."""
    with in_a_thread(Receiver()) as running:
        yield running
