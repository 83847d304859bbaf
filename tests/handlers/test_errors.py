"""What the owner is told about errors."""

import json

import pytest

from socbot.bot import Bot
from socbot.config import RateLimitConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.testing import FakeClock, owner_said, said
from tests.conftest import MakeBot

UNLIMITED = RateLimitConfig(cooldown=0.0, burst=10_000, window=0.001)
KINDS = {"value": ValueError, "os": OSError}


@command("fail", permission="public")
async def fail(ctx: Context, kind: str = "value", what: str = "broken") -> str:
    """Fails."""
    raise KINDS[kind](what)


async def failed(bot: Bot, text: str = "!fail", author: str = "42") -> str:
    outcome = await bot.dispatch(said(text, author))
    assert outcome.error_id is not None
    return outcome.error_id


async def told(bot: Bot, text: str) -> Outcome:
    return await bot.dispatch(owner_said(text))


async def answer(bot: Bot, text: str) -> Reply:
    outcome = await told(bot, text)
    assert outcome.status == "ok", str(outcome.reply)
    assert outcome.reply is not None
    return outcome.reply


async def test_the_dashboard_shows_the_newest_of_each_severity_and_the_most_frequent(make_bot: MakeBot) -> None:
    async with make_bot(commands=[fail], rate_limit=UNLIMITED) as bot:
        for _ in range(3):
            critical = await failed(bot, "!fail value")
        info = await failed(bot, "!fail os")
        reply = await answer(bot, "!error_dashboard")
        assert reply.private
        lines = list(reply.items)
        assert critical in lines[1]
        assert lines.index("**warning**: none") < lines.index("**info**")
        assert info in lines[lines.index("**info**") + 1]
        assert lines[lines.index("**most frequent in 24 h**") + 1].startswith("3 times `G-")
        assert "an hour" in reply.fields[0].value


async def test_recent_errors_come_newest_first_and_as_many_as_asked(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(commands=[fail], clock=clock, rate_limit=UNLIMITED) as bot:
        assert (await answer(bot, "!recent_errors")).text == "No errors."
        ids = []
        for _ in range(5):
            clock.forward(1)
            ids.append(await failed(bot))
        reply = await answer(bot, "!recent_errors 3")
        assert [line.split("`")[1] for line in reply.items] == ids[:1:-1]
        assert (await told(bot, "!recent_errors 101")).status == "invalid"


async def test_details_hold_everything_and_the_traceback_as_a_file(make_bot: MakeBot) -> None:
    async with make_bot(commands=[fail], rate_limit=UNLIMITED) as bot:
        error_id = await failed(bot, "!fail value 'token=abcdef @everyone'".replace("'", '"'))
        reply = await answer(bot, f"!error_details {error_id.lower()}")
        assert "token=" in reply.text
        assert "abcdef" not in str(reply)
        assert "@everyone" not in str(reply)
        facts = {field.name: field.value for field in reply.fields}
        assert (facts["Severity"], facts["Command"], facts["User"]) == ("critical", "fail", "`42`")
        assert "1 times, 1 users, open" in facts["Group"]
        assert [line.split()[1] for line in reply.items] == [
            "blacklist:", "rate_limit:", "profiler:", "analytics:", "error_capture:"
        ]  # fmt: skip
        (file,) = reply.files
        assert b"in fail" in file.content
        assert b"abcdef" not in file.content


async def test_an_error_that_is_not_kept_is_said_to_be_so(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        outcome = await told(bot, "!error_details E-NOTHIN")
        assert outcome.status == "invalid"
        assert "recent_errors" in str(outcome.reply)


async def test_statistics_count_by_severity_type_command_and_day(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(commands=[fail], clock=clock, rate_limit=UNLIMITED) as bot:
        for _ in range(2):
            await failed(bot, "!fail value")
        clock.forward(86_400)
        await failed(bot, "!fail os")
        reply = await answer(bot, "!error_stats 3")
        assert reply.text.startswith("3 errors in 3 days")
        facts = {field.name: field.value for field in reply.fields}
        assert facts == {
            "By severity": "critical: 2\ninfo: 1",
            "By type": "ValueError: 2\nOSError: 1",
            "By command": "fail: 3",
        }
        assert reply.chart is not None
        assert reply.chart.labels == ("2023-11-13", "2023-11-14", "2023-11-15")
        assert reply.chart.series == {"errors": (0.0, 2.0, 1.0)}


@pytest.mark.parametrize(("period", "step"), [("hourly", 24 * 3_600), ("daily", 14 * 86_400)])
async def test_trends_compare_with_the_period_before(
    period: str, step: float, make_bot: MakeBot, clock: FakeClock
) -> None:
    async with make_bot(commands=[fail], clock=clock, rate_limit=UNLIMITED) as bot:
        assert "nothing to compare with" in (await answer(bot, f"!error_trends {period}")).text
        for _ in range(2):
            await failed(bot, "!fail value")
        clock.forward(step)
        for _ in range(3):
            await failed(bot, "!fail value")
        await failed(bot, "!fail os")
        reply = await answer(bot, f"!error_trends {period}")
        assert "4 errors" in reply.text
        assert "2 in as long before: +100%" in reply.text
        assert len(reply.items) == 1
        assert "OSError" in reply.items[0]
        assert reply.chart is not None
        assert reply.chart.series["errors"][-1] == 4.0


async def test_a_search_finds_by_text(make_bot: MakeBot) -> None:
    async with make_bot(commands=[fail], rate_limit=UNLIMITED) as bot:
        await failed(bot, "!fail value needle")
        await failed(bot, "!fail os haystack")
        assert len((await answer(bot, "!error_search NEEDLE")).items) == 1
        assert len((await answer(bot, "!error_search fail")).items) == 2
        assert len((await answer(bot, "!error_search nothing of it")).items) == 0


async def test_a_group_is_resolved_muted_and_comes_back(
    make_bot: MakeBot, clock: FakeClock, notices: list[Reply]
) -> None:
    async with make_bot(commands=[fail], clock=clock, rate_limit=UNLIMITED) as bot:
        await failed(bot, "!fail os")
        (group,) = await bot.errors.groups()
        assert "Resolved" in str(await answer(bot, f"!error_resolve {group.group_id}"))
        await failed(bot, "!fail os")
        await bot.errors.check()
        assert [notice.title for notice in notices] == ["🔁 Resolved Error Is Back"]
        until = int(clock.time() + 7_200)
        assert f"Muted until <t:{until}>" in (await answer(bot, f"!error_mute {group.group_id} 2h")).text
        for command_text in ("!error_resolve G-NOTHIN", "!error_mute G-NOTHIN 2h"):
            assert (await told(bot, command_text)).status == "invalid"


async def test_notices_are_switched_and_stay_so(make_bot: MakeBot, notices: list[Reply]) -> None:
    async with make_bot(commands=[fail], rate_limit=UNLIMITED) as bot:
        assert (await answer(bot, "!notify_errors")).text == "Error notices are on."
        assert (await answer(bot, "!notify_errors off")).text == "Error notices are off."
    async with make_bot(commands=[fail], rate_limit=UNLIMITED) as bot:
        assert (await answer(bot, "!notify_errors")).text == "Error notices are off."
        await failed(bot)
        await bot.errors.check()
        assert notices == []


async def test_clearing_asks_first_and_hands_everything_over(make_bot: MakeBot) -> None:
    async with make_bot(commands=[fail], rate_limit=UNLIMITED) as bot:
        error_id = await failed(bot)
        question = (await answer(bot, "!clear_errors")).question
        assert question is not None
        assert await bot.errors.find(error_id) is not None
        outcome = await told(bot, f"confirm {question.code}")
        assert outcome.reply is not None
        assert outcome.reply.private
        (file,) = outcome.reply.files
        assert file.name.startswith("error_backup_")
        backup = json.loads(file.content)
        assert [error["error_id"] for error in backup["errors"]] == [error_id]
        assert [group["count"] for group in backup["groups"]] == [1]
        assert await bot.errors.newest(10) == []
        assert (await answer(bot, "!error_stats")).text.startswith("0 errors")
