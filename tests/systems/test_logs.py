"""The log as its owner sees it, without a chat."""

import gzip
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import pytest

from socbot.bot import Bot
from socbot.config import LogsConfig
from socbot.dispatch.errors import InvalidArgument
from socbot.documents import ConfigError
from socbot.logs import LogWriter
from socbot.systems import logs as logs_module
from socbot.systems.logs import LogNotWritten, NoLogFile
from socbot.testing import FakeClock
from tests.conftest import MakeBot
from tests.recorded import all_lines, lines_of, recording

log = logging.getLogger("test")

Logged: TypeAlias = Callable[..., Any]


@pytest.fixture
def logged(make_bot: MakeBot, tmp_path: Path, clock: FakeClock) -> Logged:
    @asynccontextmanager
    async def make(config: LogsConfig | None = None) -> AsyncIterator[tuple[Bot, LogWriter]]:
        config = config or LogsConfig(file=f"{tmp_path}/logs/bot.log")
        async with make_bot(logs=config, clock=clock) as bot:
            with recording(config, bot.redactor) as writer:
                bot.logs.attach(writer)
                yield bot, writer

    return make


async def test_without_a_log_file_everything_says_so(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        wanted: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: bot.logs.last(5),
            lambda: bot.logs.search("x"),
            bot.logs.export,
            bot.logs.clear,
            bot.logs.statistics,
        )
        for each in wanted:
            with pytest.raises(NoLogFile, match="no log file"):
                await each()
        await bot.logs.learn()


async def test_what_was_logged_just_now_is_seen(logged: Logged) -> None:
    async with logged() as (bot, _):
        log.info("a needle")
        assert (await bot.logs.last(1))[0].endswith("a needle")
        assert (await bot.logs.search("NEEDLE")).total == 1
        assert (await bot.logs.search("/need.e$/")).total == 1


async def test_what_cannot_be_looked_for_is_said(logged: Logged) -> None:
    async with logged() as (bot, _):
        for query in ("/(/", "/((a|b){999}){999}/", "x" * 201):
            with pytest.raises(InvalidArgument, match="query"):
                await bot.logs.search(query)
        assert (await bot.logs.search("//")).total == 0


async def test_a_log_that_cannot_be_read_is_said(logged: Logged, tmp_path: Path) -> None:
    async with logged() as (bot, _):
        log.info("a line")
        await bot.logs.last(1)
        (tmp_path / "logs" / "bot.log").unlink()
        (tmp_path / "logs" / "bot.log").mkdir()
        with pytest.raises(LogNotWritten, match="cannot be read"):
            await bot.logs.last(1)


@pytest.mark.promise("P37")
async def test_a_hostile_search_holds_up_neither_the_loop_nor_the_log(logged: Logged) -> None:
    async with logged() as (bot, _):
        for _ in range(2_000):
            log.info("a" * 100 + "!")
        await bot.logs.last(1)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await anyio.sleep(0.001)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tick)
            found = await bot.logs.search("/(a+)+$b?c/")
            tasks.cancel_scope.cancel()
        assert found.given_up
        assert ticks > 5


@pytest.mark.promise("P11")
async def test_what_the_older_bot_logged_is_shown_without_secrets(logged: Logged, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "bot.log").write_text("2020-01-01 00:00:00 - soc_bot - INFO - password=swordfish\n")
    async with logged() as (bot, _):
        shown = [str(await bot.logs.last(5)), str(await bot.logs.search("password"))]
        shown.append((await bot.logs.export()).content.decode())
        assert all("password=" in each and "swordfish" not in each for each in shown)


async def test_an_export_that_would_not_fit_is_compressed(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_module, "EXPORT_LIMIT", 50_000)
    async with logged() as (bot, _):
        for number in range(5_000):
            log.info("line %d", number)
        packed = await bot.logs.export()
        lines = gzip.decompress(packed.content).decode().splitlines()
        assert (packed.compressed, packed.whole, packed.lines) == (True, True, 5_000)
        assert [line.rpartition(" ")[2] for line in lines] == list(map(str, range(5_000)))


async def test_clearing_keeps_all_under_names_of_their_own(logged: Logged, tmp_path: Path) -> None:
    async with logged(LogsConfig(file=f"{tmp_path}/logs/bot.log", max_megabytes=1)) as (bot, _):
        for number in range(30_000):
            log.info("line %d", number)
        first = await bot.logs.clear()
        log.info("line 30000")
        second = await bot.logs.clear()
        log.info("line 30001")
        assert (len(first), second) == (2, ["bot_20231114_221320_2.log"])
        assert first[0] == "bot_20231114_221320.log"
        assert len(await bot.logs.last(500)) == 1
    assert len(all_lines(tmp_path / "logs")) == 30_002


async def test_what_is_set_is_in_force_at_once_and_after_a_restart(logged: Logged, tmp_path: Path) -> None:
    other = logging.getLogger("some.library")
    async with logged() as (bot, _):
        await bot.settings.set("logs.format", "json", "owner")
        await bot.settings.set("logs.level", "ERROR", "owner")
        await bot.settings.set("logs.loggers", '{"some.library": "DEBUG"}', "owner")
        assert [each.value for each in bot.settings.view("logs") if each.key == "logs.loggers.some.library"] == [
            "DEBUG"
        ]
        log.info("not to be seen")
        other.debug("first")
    async with logged() as (bot, _):
        log.info("not to be seen either")
        other.debug("second")
        assert bot.config.logs.loggers == {"some.library": "DEBUG"}
        await bot.settings.reset("logs.loggers")
        other.debug("not to be seen any more")
    read = [json.loads(line) for line in lines_of(tmp_path / "logs" / "bot.log")]
    assert [each["message"] for each in read] == ["first", "second"]


async def test_no_chat_says_where_the_log_is_written(logged: Logged) -> None:
    async with logged() as (bot, _):
        with pytest.raises(ConfigError, match="at the start only"):
            await bot.settings.set("logs.file", "/etc/passwd", "owner")


async def test_the_statistics_know_what_was_said_before_a_restart(logged: Logged, clock: FakeClock) -> None:
    async with logged() as (bot, _):
        log.warning("disk %d is full", 1, extra={"fact": 1})
        await bot.logs.learn()
    clock.forward(100_000)
    async with logged() as (bot, _):
        log.warning("disk %d is full", 2)
        log.error("something else altogether")
        found = await bot.logs.statistics()
    assert found.counts.by_level == {"WARNING": 2, "ERROR": 1}
    assert sum(found.counts.by_hour.values()) == 3
    assert [(each.text, each.count) for each in found.said.commonest] == [
        ("test: disk # is full", 2),
        ("test: something else altogether", 1),
    ]
    assert (found.lost, found.unheard) == (0, 0)
