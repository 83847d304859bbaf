from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from socbot.config import Config, Loaded, StorageConfig
from socbot.storage.database import Database
from socbot.systems.settings import Settings
from socbot.systems.starts import TOLD_AGAIN, Starts
from socbot.testing import FakeClock


@pytest.fixture
async def database(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Database]:
    async with Database.open(StorageConfig(url=f"sqlite:///{tmp_path}/socbot.db"), clock) as database:
        yield database


async def test_of_a_crash_loop_one_start_in_ten_minutes_is_news_and_tells_of_the_others(
    database: Database, clock: FakeClock
) -> None:
    news = []
    for _ in range(60):
        news.append(await Starts(database, clock, "discord.0").began())
        clock.forward(30.0)
    assert [untold for untold in news if untold is not None] == [0, 19, 19]
    assert [number for number, untold in enumerate(news) if untold is not None] == [0, 20, 40]


async def test_after_an_end_in_order_a_start_is_news(database: Database, clock: FakeClock) -> None:
    starts = Starts(database, clock, "discord.0")
    assert await starts.began() == 0
    assert await starts.began() is None
    await starts.ended()
    assert await starts.began() == 0


async def test_after_long_a_start_is_news_and_so_is_one_of_another_process(
    database: Database, clock: FakeClock
) -> None:
    starts = Starts(database, clock, "discord.0")
    await starts.began()
    assert await Starts(database, clock, "discord.4").began() == 0
    clock.forward(TOLD_AGAIN)
    assert await starts.began() == 0


async def test_a_clock_that_was_set_back_keeps_nothing_from_being_told(database: Database, clock: FakeClock) -> None:
    starts = Starts(database, clock, "discord.0")
    await starts.began()
    clock.step(-86_400.0)
    assert await starts.began() == 0


async def test_what_is_remembered_is_no_setting(database: Database, clock: FakeClock) -> None:
    await Starts(database, clock, "discord.0").began()
    settings = Settings(database, clock, Loaded(Config()))
    await settings.load()
    assert (settings.problems, settings.config) == ((), Config())
