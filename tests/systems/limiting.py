"""A process that keeps one limit together with others: how many commands of each user it is told it admitted.

Run with the store's URL and the seconds by which this process's clock is wrong.
"""

import sys

import anyio

from socbot.config import BlacklistConfig, RateLimitConfig, StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.storage.database import Database
from socbot.systems.blacklist import Blacklist
from socbot.systems.rate_limit import RateLimiter, sharing

AT_ONCE = 100
sharing.PATIENCE = 10.0  # a machine that is busy with other tests is not what this is about
CONFIG = RateLimitConfig(shared=True, burst=5, window=60.0, cooldown=0.0, cooldowns={})


class WrongClock(SystemClock):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def time(self) -> float:
        return super().time() + self._seconds


async def main(url: str, wrong: float) -> None:
    clock = WrongClock(wrong)
    async with Database.open(StorageConfig(url=url), clock) as database:
        limiter = RateLimiter(
            database, clock, CONFIG, Blacklist(database, clock, BlacklistConfig(), lambda identity: False)
        )
        await limiter.hit_together(("local", "warm-up"), "ping")
        print("ready", flush=True)
        while user := (await anyio.to_thread.run_sync(sys.stdin.readline)).strip():
            print(await admitted(limiter, user), flush=True)
        assert not limiter.apart


async def admitted(limiter: RateLimiter, user: str) -> int:
    answers: list[bool] = []

    async def hit() -> None:
        answers.append(await limiter.hit_together(("local", user), "ping") is None)

    async with anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE):
            tasks.start_soon(hit)
    return sum(answers)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], float(sys.argv[2]))
