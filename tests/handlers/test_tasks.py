"""Conversations about the background jobs."""

import pytest

from socbot.bot import Bot
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.testing import FakeClock, owner_said, said
from tests.conftest import MakeBot

JOBS = ("telemetry", "monitor")


async def ask(bot: Bot, text: str) -> Reply:
    outcome = await bot.dispatch(owner_said(text))
    assert outcome.status == "ok", outcome
    assert outcome.reply is not None
    return outcome.reply


async def refused(bot: Bot, text: str) -> Outcome:
    outcome = await bot.dispatch(owner_said(text))
    assert outcome.status == "invalid", outcome
    return outcome


def fields(reply: Reply) -> dict[str, str]:
    return {field.name: field.value for field in reply.fields}


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_everybody_may_see_the_jobs(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, jobs=True) as bot:
        outcome = await bot.dispatch(said("!tasks", "77"))
        assert outcome.reply is not None
        text = str(outcome.reply)
        assert all(name in text for name in JOBS)
        assert "telemetry**: running" in text


async def test_one_job_is_told_by_any_of_its_names(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, jobs=True) as bot:
        reply = await ask(bot, "!task_info ScheduledTasksDashboard monitor_tasks")
        assert reply.title == "Job monitor"
        told = fields(reply)
        assert told["Schedule"] == "every 10m"
        assert {"State", "Next run", "Last success", "Runs", "Failures", "Restarts", "Durations"} <= told.keys()


async def test_a_name_that_is_none_gets_the_nearest(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, jobs=True) as bot:
        outcome = await refused(bot, "!task_info monitro")
        assert "did you mean `monitor`" in str(outcome.reply)


@pytest.mark.parametrize("text", ["stop_task", "start_task", "restart_task", "run_task", "schedule_task", "task_stats"])
async def test_only_the_owner_may_change_jobs(make_bot: MakeBot, clock: FakeClock, text: str) -> None:
    async with make_bot(clock=clock) as bot:
        outcome = await bot.dispatch(said(f"!{text} monitor every 5m", "77"))
        assert (outcome.status, outcome.refused_by) == ("refused", "permission")


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_job_is_stopped_stays_so_over_a_restart_and_is_started(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, jobs=True) as bot:
        reply = await ask(bot, "!stop_task monitor")
        assert reply.tone == "ok"
        assert bot.supervisor.find("monitor").state == "stopped"
        assert "stopped" in fields(await ask(bot, "!task_info monitor"))["State"]
    async with make_bot(clock=clock, jobs=True) as bot:
        assert bot.supervisor.find("monitor").state == "stopped"
        assert "It was stopped." in (await ask(bot, "!restart_task monitor")).text
        assert bot.supervisor.find("monitor").state in ("waiting", "running")
        assert "started already" in (await ask(bot, "!start_task monitor")).text
        await ask(bot, "!stop_task monitor")
        assert (await ask(bot, "!start_task monitor")).tone == "ok"
    async with make_bot(clock=clock, jobs=True) as bot:
        assert bot.supervisor.find("monitor").state in ("waiting", "running")


async def test_stopping_a_protected_job_asks_first(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, jobs=True) as bot:
        reply = await ask(bot, "!stop_task telemetry")
        assert reply.question is not None
        assert bot.supervisor.find("telemetry").state == "running"
        await ask(bot, f"confirm {reply.question.code}")
        assert bot.supervisor.find("telemetry").state == "stopped"


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_job_is_run_once_now(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, jobs=False) as bot:
        await ask(bot, "!run_task monitor")
    async with make_bot(clock=clock, jobs=True) as bot:
        assert bot.supervisor.find("monitor").state == "waiting"
        reply = await ask(bot, "!run_task monitor")
        assert reply.tone == "ok"
        assert bot.supervisor.find("monitor").runs == 2
        outcome = await refused(bot, "!run_task telemetry")
        assert "running already" in str(outcome.reply)


async def test_a_job_is_run_by_one_command_alone(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, jobs=False) as bot:
        assert (await ask(bot, "!run_task monitor")).tone == "ok"
    async with make_bot(clock=clock, jobs=False) as bot:
        assert fields(await ask(bot, "!task_info monitor"))["Runs"] == "1"


async def test_a_schedule_is_changed_shown_and_given_back(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        now = int(clock.time())
        reply = await ask(bot, "!schedule_task ScheduledTasksDashboard monitor_tasks every 5m")
        assert reply.text == "`monitor` runs every 5m."
        assert fields(reply)["Next times"] == f"<t:{now + 300}>\n<t:{now + 600}>\n<t:{now + 900}>"
    async with make_bot(clock=clock) as bot:
        assert str(bot.supervisor.find("monitor").schedule) == "every 5m"
        assert "cron 0 3 * * *" in (await ask(bot, "!schedule_task monitor cron 0 3 * * *")).text
        assert "every 10m" in (await ask(bot, "!schedule_task monitor default")).text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("!schedule_task monitor often", "is not a schedule"),
        ("!schedule_task monitor cron 99 3 * * *", "bad minute"),
        ("!schedule_task nothing every 5m", "the name of a job"),
        ("!schedule_task telemetry every 5m", "runs all the time"),
        ("!schedule_task monitor", "schedule"),
    ],
)
async def test_a_schedule_that_cannot_be_is_refused_and_changes_nothing(
    make_bot: MakeBot, clock: FakeClock, text: str, told: str
) -> None:
    async with make_bot(clock=clock) as bot:
        outcome = await refused(bot, text)
        assert told in str(outcome.reply)
        assert str(bot.supervisor.find("monitor").schedule) == "every 10m"


async def test_all_jobs_are_told_in_figures(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, jobs=False) as bot:
        await ask(bot, "!run_task monitor")
        told = fields(await ask(bot, "!task_stats"))
        assert told["Jobs"] == str(len(bot.supervisor.status()))
        assert (told["Runs"], told["Failures"], told["Restarts"]) == ("1", "0", "0")
        assert told["Slowest"].startswith("monitor: ")
