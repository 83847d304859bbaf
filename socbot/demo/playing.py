"""Plays the days: a real bot, a clock that leaps, and everything said to it as a transport would."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from random import Random

import anyio
from anyio.lowlevel import checkpoint
from msgspec import Struct

from socbot.bot import Bot
from socbot.config import load
from socbot.demo.clock import DemoClock, logging_by
from socbot.demo.community import COMMANDS, World
from socbot.demo.people import DAY, OPERATOR, Crowd, Said, message
from socbot.demo.people import PLATFORM as DEMO
from socbot.demo.receiver import Receiver
from socbot.demo.story import Beat, story
from socbot.dispatch.messages import Answer
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.jobs.schedules import Continuous
from socbot.logs import logging_to
from socbot.storage.connection import Connection
from socbot.transports.console import OWNER, PLATFORM

A_DAY, THE_LAST_DAY = 700, 1_000
"""How much people say by themselves in a day."""

JITTER = 150.0
"""Seconds by which what happens comes earlier or later than the story has it, less than between any two things."""

GRAIN, FINE_GRAIN = 900.0, 300.0
"""Seconds after which those who sleep are looked at, while time leaps: on the days before, and on the last day."""

JUDGES = ("job health", "job monitor")
"""The tasks that see who is late: they look when the others have done what they wanted to."""


class Options(Struct, frozen=True):
    """How it is played.

    :param days: that are played; the last of them is the one on which something happens
    :param port: of the dashboard; 0 is any
    """

    seed: int = 1
    days: int = 7
    port: int = 0


class Stage:
    """The bot with what is around it, while it is played and after."""

    def __init__(
        self, bot: Bot, clock: DemoClock, world: World, receiver: Receiver, random: Random, folder: Path
    ) -> None:
        self.bot, self.clock, self.world, self.receiver = bot, clock, world, receiver
        self.config_path = folder / "config.yaml"
        self.crowd = Crowd(random)
        self._said = 0
        self._round_at = clock.time()

    async def says(self, text: str, author: str) -> Outcome:
        """Have somebody say something."""
        self._said += 1
        return await self.bot.dispatch(message(text, author, f"demo-{self._said}"))

    async def must(self, text: str, author: str) -> None:
        """Have somebody say what works.

        :raises AssertionError: if it does not
        """
        _expect_ok(await self.says(text, author))

    async def owner_says(self, text: str) -> None:
        """Have the owner say what works, and confirm what is asked.

        :raises AssertionError: if it does not
        """
        outcome = await self.says(text, OPERATOR)
        if outcome.reply is not None and outcome.reply.question is not None:
            outcome = await self.bot.dispatch(message("", OPERATOR, answer=Answer(outcome.reply.question.token, True)))
        _expect_ok(outcome)

    # -- time -----------------------------------------------------------------------------------------

    async def play(self, begins: float, days: int) -> None:
        """Play ``days`` days from ``begins`` on, and arrive in the present."""
        for at, what in _programme(self.crowd, begins, days):
            await self._until(at)
            if isinstance(what, Said):
                await self.says(what.text, what.author)
            else:
                await self._let_work()  # a changed configuration makes every job look whether it is late
                await what.act(self)
                await self._settle()
        await self._until(self.clock.time() + self.clock.behind)
        await self._let_work()
        self.clock.arrive()
        await self._settle()

    async def _until(self, moment: float) -> None:
        while (left := moment - self.clock.time()) > 0 and self.clock.behind > 0:
            self.clock.leap(min(left, max(0.0, self._round_at - self.clock.time())))
            if self.clock.time() >= self._round_at:
                await self._let_work()

    async def _let_work(self) -> None:
        """Let who is due do their work, and those look that see who has not."""
        self._round_at = self.clock.time() + (GRAIN if self.clock.behind > DAY else FINE_GRAIN)
        for last in (JUDGES, ()):
            self.clock.wake(last)
            await self._settle()

    async def _settle(self) -> None:
        """Return once nothing is under way that would take the leap for its own duration."""
        quiet = 0
        while quiet < 2:
            await self.bot.database.read(_nothing)
            await self.bot.database.write(_nothing)
            for _ in range(8):
                await checkpoint()
            busy = await self._sending() or self._working()
            quiet = 0 if busy else quiet + 1
            if busy:
                await anyio.sleep(0.002)

    def _working(self) -> bool:
        borrowed = anyio.to_thread.current_default_thread_limiter().borrowed_tokens
        return borrowed > 0 or any(
            each.state == "running" and not isinstance(each.schedule, Continuous)
            for each in self.bot.supervisor.status()
        )

    async def _sending(self) -> bool:
        """Whether something is on its way to a webhook."""
        if not self.bot.webhooks.backlog:
            return False
        before = self._progress()
        await anyio.sleep(0.005)
        return self._progress() != before

    def _progress(self) -> tuple[int, ...]:
        return (self.bot.webhooks.backlog, self.receiver.taken, self.receiver.refused)


class Demo:
    """What has been played: the bot, which lives on, and what surrounds it."""

    def __init__(self, stage: Stage, told: list[Reply]) -> None:
        self.stage, self.bot, self.told = stage, stage.bot, told

    async def go_on(self) -> None:
        """Have people say something every second or so, until cancelled."""
        while True:
            await anyio.sleep(self.bot.random.uniform(0.4, 1.6))
            await self.stage.says(self.stage.crowd.says(), self.stage.crowd.somebody())


@asynccontextmanager
async def playing(options: Options) -> AsyncIterator[Demo]:
    """Play; the block has what came of it. Everything is in a folder of its own, which is gone afterwards."""
    async with AsyncExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="socbot-demo-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        receiver = await stack.enter_async_context(Receiver())
        stack.enter_context(_no_settings())
        path = folder / "config.yaml"
        path.write_text(_config(folder, receiver, options))
        loaded = load(path)
        clock, random, told = DemoClock(options.days * DAY), Random(options.seed), list[Reply]()
        stack.enter_context(logging_by(clock))

        async def pass_(seconds: float) -> None:
            if clock.behind > 0:
                clock.leap(seconds)
            else:
                await anyio.sleep(seconds)

        async def notify(reply: Reply) -> None:
            told.append(reply)

        world = World(clock, random, pass_)
        bot = Bot(
            loaded, commands=COMMANDS, systems=[world], owners=[(PLATFORM, OWNER), (DEMO, OPERATOR)], clock=clock,
            notify=notify,
        )  # fmt: skip
        log = stack.enter_context(logging_to(loaded.config.logs, bot.redactor))
        await stack.enter_async_context(bot)
        bot.logs.attach(log)
        bot.health.add(*world.checks())
        stage = Stage(bot, clock, world, receiver, random, folder)
        await stage.owner_says(f"!add_webhook ops custom {receiver.url('/ops')} all")
        await stage.owner_says(f"!add_webhook archive custom {receiver.url('/archive')} incident alert drill")
        await stage.play(clock.time(), options.days)
        yield Demo(stage, told)


def _programme(crowd: Crowd, begins: float, days: int) -> Iterator[tuple[float, Said | Beat]]:
    """What happens, in its order."""
    ends = begins + days * DAY
    said = [
        each
        for day in range(days)
        for each in crowd.day(begins + day * DAY, THE_LAST_DAY if day == days - 1 else A_DAY)
    ]
    everything: list[tuple[float, Said | Beat]] = [(each.at, each) for each in said]
    everything += [(ends - beat.seconds + crowd.random.uniform(0.0, JITTER), beat) for beat in story()]
    yield from sorted(everything, key=lambda each: each[0])


def _config(folder: Path, receiver: Receiver, options: Options) -> str:
    return f"""\
# What the demonstration runs with: a bot like any other, on a store of its own.
bot: {{name: Harbour bot}}
middleware:
  - blacklist
  - rate_limit
  - profiler
  - analytics
  - use: socbot.demo.community:QuietHours
    mode: shadow
  - error_capture
storage: {{url: "sqlite:///{folder}/data/socbot.db"}}
logs: {{file: "{folder}/logs/bot.log"}}
backup: {{folder: "{folder}/backups", paths: ["{folder}/config.yaml"], hourly: false}}
health:                       # days within seconds are work, and how long that takes is no news
  interval: 15m
  timeout: 30s
  database_ms: {{degraded: 20000, unhealthy: 40000}}
  canary_ms: {{degraded: 20000, unhealthy: 40000}}
  loop_lag_ms: {{degraded: 20000, unhealthy: 40000}}
  memory_mb: {{degraded: 4000, unhealthy: 8000}}
  cpu_percent: {{degraded: 2000, unhealthy: 4000}}
  machine_cpu_percent: {{degraded: 101, unhealthy: 102}}
webhooks: {{allow: ["127.0.0.1:{receiver.port}"], tries: 4, span: 1h}}
web: {{port: {options.port}}}
"""


@contextmanager
def _no_settings() -> Iterator[None]:
    """Within the block the environment says nothing about the bot: what is played touches nobody's store or account."""
    kept = {name: value for name, value in os.environ.items() if _is_setting(name)}
    for name in kept:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(kept)


def _is_setting(name: str) -> bool:
    return name.startswith("SOCBOT_") or name in ("DISCORD_TOKEN", "BOT_OWNER_ID")


def _expect_ok(outcome: Outcome) -> None:
    if outcome.status != "ok":
        raise AssertionError(f"{outcome.message.text}: {outcome.status} {outcome.reason} {outcome.reply}")


def _nothing(connection: Connection) -> None:
    return None
