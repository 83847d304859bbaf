"""Bytes that were stored or received, and are not what they should be: one typed error, or shown for what they are."""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pytest

from socbot.bot import Bot
from socbot.logs.entries import Entry, entry_of
from socbot.logs.reading import counts
from socbot.storage import swaps
from socbot.storage.errors import StoreDamaged
from socbot.systems.backup import records
from socbot.systems.backup.records import Drill
from socbot.testing import FakeClock
from socbot.top import NotServed, Source, Target
from tests.conftest import MakeBot
from tests.receiver import Receiver, answer, in_a_thread

pytestmark = pytest.mark.promise("P30")

DEEP = "[" * 100_000
Ask: TypeAlias = Callable[[Bot], Awaitable[object]]


async def happen(bot: Bot) -> None:
    """Let there be a row in every table whose columns are decoded."""
    await bot.webhooks.add("siem", "custom", "https://hooks.example.com/in", ("alert",), "local:owner")
    await bot.signals.raise_("alert", "Door open", key="door")
    await bot.health.check()
    await bot.settings.set("analytics.detail_days", "40", "local:owner")
    await bot.database.write(lambda connection: records.add_drill(connection, Drill("backup", 1.0, 1.0, True, ())))


async def damage(bot: Bot, sql: str) -> None:
    changed = await bot.database.write(lambda connection: connection.change(sql, {"deep": DEEP}))
    assert changed


async def open_another_door(bot: Bot) -> object:
    return await bot.signals.raise_("alert", "Door open", key="door")


@pytest.mark.parametrize(
    ("sql", "ask", "what"),
    [
        ("UPDATE signals SET fields = :deep", lambda bot: bot.signals.recent(), "the signal S-"),
        ("UPDATE signals SET fields = :deep", open_another_door, "the signal S-"),
        ("UPDATE webhooks SET triggers = :deep", open_another_door, "the webhook siem"),
        ("UPDATE health_rounds SET checks = :deep", lambda bot: bot.health.load(), "the last round of health"),
        ("UPDATE health_rounds SET checks = :deep", lambda bot: bot.health.history(1), "a round of health"),
        ("UPDATE health_rounds SET checks = :deep", lambda bot: bot.health.course(0, 9), "a round of health"),
        ("UPDATE backup_drills SET steps = :deep", lambda bot: bot.backups.status(), "a drill"),
    ],
)
async def test_a_damaged_row_is_one_typed_error_that_names_it(
    make_bot: MakeBot, clock: FakeClock, sql: str, ask: Ask, what: str
) -> None:
    async with make_bot(clock=clock) as bot:
        await happen(bot)
        await damage(bot, sql)
        with pytest.raises(StoreDamaged, match=f"{what}.* cannot be read"):
            await ask(bot)


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("UPDATE webhooks SET triggers = ?", "a webhook"),
        ("UPDATE settings SET value = ? WHERE key = 'analytics.detail_days'", "the setting analytics.detail_days"),
        ("UPDATE settings SET value = ? WHERE key = 'analytics.hash_key'", "the setting analytics.hash_key"),
    ],
)
async def test_what_a_start_cannot_do_without_stops_it(
    make_bot: MakeBot, clock: FakeClock, tmp_path: Path, sql: str, what: str
) -> None:
    async with make_bot(clock=clock) as bot:
        await happen(bot)
    with sqlite3.connect(tmp_path / "data" / "socbot.db") as connection:
        assert connection.execute(sql, (DEEP,)).rowcount == 1
    connection.close()
    with pytest.raises(StoreDamaged, match=f"{what} cannot be read"):
        async with make_bot(clock=clock):
            raise AssertionError("not to be reached")


async def test_a_damaged_event_holds_up_nothing_behind_it(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        await happen(bot)
        await damage(bot, "UPDATE deliveries SET event = :deep")
        await bot.signals.raise_("alert", "Door shut")
        events = {each.event.title for each in await bot.webhooks.deliveries()}
        assert events == {"An event that cannot be read", "Door shut"}


def test_a_line_of_the_log_that_nobody_here_wrote_is_shown_as_it_is(tmp_path: Path) -> None:
    line = '{"level": "ERROR", "pairs": ' + DEEP
    assert entry_of(line) == Entry(None, "", "", line)
    (tmp_path / "bot.log").write_text(line + "\n")
    assert counts(tmp_path / "bot.log", str, 1_000_000).by_level == {"other": 1}


@pytest.mark.parametrize("content", [DEEP.encode(), b'{"x": ' + DEEP.encode(), b'{"what": "\xff"}'])
def test_a_journal_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal").write_bytes(content)
    with pytest.raises(StoreDamaged, match="is no journal"):
        swaps.recover(tmp_path / "journal")


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("content", [DEEP.encode(), b'{"x": "\xff"}'], ids=["deep", "no UTF-8"])
def test_what_is_no_socbot_is_said_of_it(status: int, content: bytes) -> None:
    with in_a_thread(Receiver()) as receiver:
        receiver.otherwise = answer(status, body=content)
        source = Source(Target(receiver.url(""), "token"))
        with closing(source), pytest.raises(NotServed, match=r"is no socbot|answered 500: Internal Server Error"):
            source.look()
