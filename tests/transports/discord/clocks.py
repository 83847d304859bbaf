"""A clock for tests in which one task alone waits."""

from anyio.lowlevel import checkpoint

from socbot.testing import FakeClock


class HastyClock(FakeClock):
    """Time passes as soon as somebody sleeps."""

    async def sleep(self, seconds: float) -> None:
        self.forward(seconds)
        await checkpoint()
