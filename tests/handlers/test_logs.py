"""What the owner sees and changes of the log."""

import gzip
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from socbot.bot import Bot
from socbot.config import LogsConfig
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.systems import logs as logs_module
from socbot.testing import FakeClock, owner_said
from tests.conftest import MakeBot
from tests.recorded import recording

log = logging.getLogger("test")

Logged: TypeAlias = Callable[[], Any]


@pytest.fixture
def logged(make_bot: MakeBot, tmp_path: Path, clock: FakeClock) -> Logged:
    @asynccontextmanager
    async def make() -> AsyncIterator[Bot]:
        config = LogsConfig(file=f"{tmp_path}/bot.log")
        async with make_bot(logs=config, clock=clock) as bot:
            with recording(config, bot.redactor) as writer:
                bot.logs.attach(writer)
                yield bot

    return make


async def told(bot: Bot, text: str) -> Outcome:
    return await bot.dispatch(owner_said(text))


async def answer(bot: Bot, text: str) -> Reply:
    outcome = await told(bot, text)
    assert outcome.status == "ok", str(outcome.reply)
    assert outcome.reply is not None
    return outcome.reply


async def test_the_last_lines_are_shown_the_newest_last(logged: Logged) -> None:
    async with logged() as bot:
        for number in range(60):
            log.info("line %d", number)
        reply = await answer(bot, "!view_logs")
        assert (len(reply.items), reply.title, reply.private) == (50, "The last 50 lines", True)
        assert reply.items[-1].endswith(" - test - INFO - line 59`")
        assert len((await answer(bot, "!view_logs 3")).items) == 3
        assert (await told(bot, "!view_logs 501")).status == "invalid"


@pytest.mark.promise("P37")
async def test_no_line_breaks_out_of_the_answer(logged: Logged) -> None:
    async with logged() as bot:
        log.info(
            "`` ` @everyone <@42> [here](https://evil.example) \x1b[31m \u202e \r\n2024 - fake - line %s", "x" * 1_000
        )
        for text in ("!view_logs 1", "!search_logs everyone"):
            (line,) = (await answer(bot, text)).items
            assert line[0] == line[-1] == "`"
            assert not set("`@<>\r\n\x1b\u202e") & set(line[1:-1])
            assert "](" not in line
            assert len(line) < 500


async def test_a_search_tells_how_many_there_are_and_what_it_did_not_look_at(logged: Logged) -> None:
    async with logged() as bot:
        for number in range(150):
            log.info("number %d %s", number, "a" * 100 + "!")
        reply = await answer(bot, "!search_logs Number")
        assert str(reply.text) == "150 lines with `Number`, the newest 100 of which are shown."
        assert "number 149 " in reply.items[0]
        assert (await answer(bot, "!search_logs /number 1[0-4]9/")).text == "5 lines with `/number 1[0-4]9/`."
        slow = await answer(bot, "!search_logs /(a+)+$b?c/")
        assert slow.text.endswith("were looked at: the pattern takes too long.")
        assert slow.tone == "warn"
        assert (await told(bot, "!search_logs /(/")).status == "invalid"


async def test_an_export_is_a_file(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    async with logged() as bot:
        log.info("a line")
        (file,) = (await answer(bot, "!export_logs")).files
        assert file.name == "bot_20231114_221320.log"
        assert file.content.endswith(b" - test - INFO - a line\n")
        monkeypatch.setattr(logs_module, "EXPORT_LIMIT", 150)
        for number in range(9):
            log.info("a line of another kind, and rather long %d", number)
        (file,) = (await answer(bot, "!export_logs")).files
        assert file.name.endswith(".log.gz")
        assert len(gzip.decompress(file.content).splitlines()) == 10


async def test_clearing_asks_first_and_names_the_copy(logged: Logged, tmp_path: Path) -> None:
    async with logged() as bot:
        log.info("a line")
        question = (await answer(bot, "!clear_logs")).question
        assert question is not None
        assert len((await answer(bot, "!view_logs")).items) == 1
        reply = await answer(bot, f"confirm {question.code}")
        assert "`bot_20231114_221320.log`" in reply.text
        assert (tmp_path / "bot_20231114_221320.log").read_text().endswith("a line\n")
        assert (await answer(bot, "!view_logs")).text == "The log is empty."


async def test_levels_are_shown_set_and_given_back(logged: Logged) -> None:
    other = logging.getLogger("some.library")
    async with logged() as bot:
        assert (await answer(bot, "!log_level")).text == "All: INFO"
        assert (await answer(bot, "!log_level error")).text == "logs.level: INFO → ERROR"
        assert (await answer(bot, "!log_level some.library debug")).text == "`some.library`: as the others → DEBUG"
        assert (await answer(bot, "!log_level")).items == ("`some.library`: DEBUG",)
        assert other.getEffectiveLevel() == logging.DEBUG
        assert (await answer(bot, "!log_level some.library default")).text == "`some.library`: DEBUG → as the others"
        assert other.getEffectiveLevel() == logging.ERROR


@pytest.mark.parametrize(
    "text",
    [
        "!log_level loud", "!log_level some.library loud", "!log_level default", "!log_level ../x DEBUG",
        "!set_log_size 0", "!set_log_size 101", "!set_log_backups 21", "!log_config set file /etc/passwd",
    ],
)  # fmt: skip
async def test_what_cannot_be_set_is_refused(logged: Logged, text: str) -> None:
    async with logged() as bot:
        before = bot.config.logs
        assert (await told(bot, text)).status == "invalid"
        assert bot.config.logs == before


async def test_size_copies_and_format_are_settings(logged: Logged) -> None:
    async with logged() as bot:
        assert (await answer(bot, "!set_log_size 3")).text == "logs.max_megabytes: 10 → 3"
        assert (await answer(bot, "!set_log_backups 2")).text == "logs.copies: 5 → 2"
        await answer(bot, "!log_config set format json")
        log.info("a line")
        assert '"message": "a line"' in (await answer(bot, "!view_logs 1")).items[0]
        items = "\n".join((await answer(bot, "!log_config")).items)
        assert "logs.copies = 2  (set by owner" in items


async def test_statistics_name_what_is_said_most_and_what_is_new(logged: Logged, clock: FakeClock) -> None:
    async with logged() as bot:
        clock.step(logging.LogRecord("", 0, "", 0, "", (), None).created - clock.time())
        for number in range(30):
            log.warning("disk %d is full", number)
        log.error("oh `no`")
        reply = await answer(bot, "!log_stats")
        fields = {field.name: field.value for field in reply.fields}
        assert fields["By level"] == "WARNING: 30\nERROR: 1"
        assert fields["Lost"] == "0 lines since the start"
        items = "\n".join(reply.items)
        assert "30 times `test: disk # is full`" in items
        assert "1 times `test: oh #`, first <t:" in items
        assert "30 times in 5 min, usually 0.0: `test: disk # is full`" in items
        assert reply.chart is not None
        assert sum(reply.chart.series["lines"]) == 31


@pytest.mark.parametrize(
    "text", ["!log_level DEBUG", "!log_level httpx DEBUG", "!set_log_size 3", "!set_log_backups 3"]
)
async def test_a_setting_without_a_log_file_is_kept_and_said_to_do_nothing_here(make_bot: MakeBot, text: str) -> None:
    before = logging.getLogger().level
    async with make_bot() as bot:
        assert "There is no log file here" in (await answer(bot, text)).text
    assert logging.getLogger().level == before


@pytest.mark.parametrize(
    "text", ["!view_logs", "!search_logs x", "!export_logs", "!clear_logs", "!log_stats"]
)  # fmt: skip
async def test_without_a_log_file_the_answer_says_so(make_bot: MakeBot, text: str) -> None:
    async with make_bot() as bot:
        outcome = await told(bot, text)
        assert outcome.status == "invalid"
        assert "There is no log file here" in str(outcome.reply)
