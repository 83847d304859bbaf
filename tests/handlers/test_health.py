"""The commands about how the bot is, as people see them."""

import anyio
import pytest
from msgspec import structs

from socbot.bot import Bot
from socbot.config import HealthConfig
from socbot.dispatch.replies import Reply
from socbot.systems.health import Check, Measured
from socbot.testing import FakeClock, owner_said, said
from tests.conftest import MakeBot

OFF = ("cpu", "machine_cpu", "memory", "disk", "jobs", "telemetry", "audit", "backup", "webhooks", "event_loop", "wal")
HEALTH = HealthConfig(off=OFF)


class Queue:
    """A check of the operator's own, whose text is not for everybody."""

    def __init__(self) -> None:
        self.length = 3.0

    async def measure(self) -> Measured:
        return Measured(self.length, "at 10.1.2.3 `x` @everyone")


@pytest.fixture
def queue() -> Queue:
    return Queue()


def watch(bot: Bot, queue: Queue) -> None:
    bot.health.add(Check("queue", queue.measure, "messages", HealthConfig().webhook_backlog))


async def reply_to(bot: Bot, text: str, *, owner: bool = True) -> Reply:
    outcome = await bot.dispatch((owner_said if owner else said)(text))
    assert outcome.status == "ok", outcome
    assert outcome.reply is not None
    return outcome.reply


async def rounds(bot: Bot, clock: FakeClock, count: int) -> None:
    for _ in range(count):
        clock.forward(300)
        await bot.health.check()


async def test_the_owner_gets_a_fresh_look_and_everybody_else_what_was_seen_last(
    make_bot: MakeBot, clock: FakeClock, queue: Queue
) -> None:
    async with make_bot(clock=clock, health=HEALTH) as bot:
        watch(bot, queue)
        before = await reply_to(bot, "!health", owner=False)
        assert (before.title, before.tone) == ("Health: unknown", "warn")
        assert "Nothing has been checked yet" in before.text
        await bot.health.readiness.look()
        clock.forward(90)
        fresh = await reply_to(bot, "!health")
        assert (fresh.title, fresh.tone) == ("✅ Health: healthy", "ok")
        assert fresh.text == "Up for 1m30s. Checked just now."
        assert [field.value for field in fresh.fields] == ["yes", "yes"]
        assert fresh.items == (
            "✅ **database**: healthy, 0 ms, sqlite, a write and a read, just now",
            "✅ **canary**: healthy, 0 ms, a command went through the whole chain, just now",
            "✅ **queue**: healthy, 3 messages, at 10.1.2.3 ˋxˋ ＠everyone, just now",
        )
        queue.length = 2_000
        clock.forward(30)
        public = await reply_to(bot, "!health", owner=False)
        assert public.text == "Up for 2m. Checked 30s ago."
        assert public.fields == ()
        assert public.items == (
            "✅ **database**: healthy, 0 ms, 30s ago",
            "✅ **canary**: healthy, 0 ms, 30s ago",
            "✅ **queue**: healthy, 30s ago",
        )


async def test_the_owner_is_told_what_does_not_count_yet(make_bot: MakeBot, clock: FakeClock, queue: Queue) -> None:
    async with make_bot(clock=clock, health=HEALTH) as bot:
        watch(bot, queue)
        await rounds(bot, clock, 1)
        queue.length = 2_000
        await rounds(bot, clock, 1)
        reply = await reply_to(bot, "!health")
        assert (reply.title, reply.tone) == ("❌ Health: unhealthy", "error")
        assert "❌ **queue**: unhealthy, 2,000 messages" in reply.items[2]
        assert "counts as healthy until 2 rounds agree (1 do)" in reply.items[2]
        await rounds(bot, clock, 1)
        assert "counts as" not in (await reply_to(bot, "!health")).items[2]


async def test_the_history_tells_rounds_and_incidents(
    make_bot: MakeBot, clock: FakeClock, queue: Queue, notices: list[Reply]
) -> None:
    async with make_bot(clock=clock, health=HEALTH) as bot:
        nothing = await reply_to(bot, "!health_history")
        assert nothing.text == "Nothing was checked in that time."
        watch(bot, queue)
        await rounds(bot, clock, 3)
        queue.length = 2_000
        await rounds(bot, clock, 4)
        queue.length = 3
        await rounds(bot, clock, 3)
        queue.length = 150
        await rounds(bot, clock, 2)
        reply = await reply_to(bot, "!health_history 24")
        assert reply.title == "Health of the last 1d"
        assert {field.name: field.value for field in reply.fields} == {
            "Rounds": "12",
            "Not healthy": "6",
            "Success rate": "50.0%",
            "Incidents": "2",
            "Failures": "queue: 6 of 12",
        }
        lasting, over = reply.items
        assert "⚠️ **queue** degraded since <t:" in lasting
        assert "❌ **queue** unhealthy from <t:" in over
        assert "(20m)" in over
        assert reply.chart is not None
        assert len(reply.chart.labels) == 24
        assert sum(share > 0 for share in reply.chart.series["healthy"]) in (1, 2)
        assert len((await reply_to(bot, "!health_history 720")).chart.labels) == 48  # type: ignore[union-attr]
        assert [notice.title for notice in notices] == [
            "🩺 Health: unhealthy", "🩺 Health: recovered", "🩺 Health: degraded",
        ]  # fmt: skip


@pytest.mark.parametrize("hours", ["0", "-1", "87601", "many"])
async def test_hours_that_are_none_are_refused(hours: str, make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        assert (await bot.dispatch(owner_said(f"!health_history {hours}"))).status == "invalid"


async def test_thresholds_are_shown_and_set_as_numbers(make_bot: MakeBot, clock: FakeClock, queue: Queue) -> None:
    async with make_bot(clock=clock, health=HEALTH) as bot:
        watch(bot, queue)
        shown = await reply_to(bot, "!health_config")
        assert "health.transport_ms.degraded = 100.0  (default)" in shown.items
        assert "health.interval = 5m  (default)" in shown.items
        assert "health.margin = 0.1  (default)" in shown.items
        assert "health.dead_mans_switch = (not set)  (default)" in shown.items
        queue.length = 50
        assert (await bot.health.ask()).status == "healthy"
        bot.health._checks["queue"] = structs.replace(bot.health._checks["queue"], threshold="webhook_backlog")
        changed = await reply_to(bot, "!health_config set webhook_backlog.degraded 40")
        assert changed.text == "health.webhook_backlog.degraded: 100.0 → 40.0"
        assert (await bot.health.ask()).status == "degraded", "at once"
        await reply_to(bot, "!health_config reset webhook_backlog_degraded")
        assert (await bot.health.ask()).status == "healthy"
        for wrong in ("memory_mb.degraded 5m", "changes 7", "interval 0s", "checks [os]", "dead_mans_switch https://x"):
            assert (await bot.dispatch(owner_said(f"!health_config set {wrong}"))).status == "invalid", wrong


async def test_a_new_interval_is_followed_at_once(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        await reply_to(bot, "!health_config set interval 1m")
        assert str(bot.supervisor.find("HealthCheckSystem health_check_task").schedule) == "every 1m"
        assert bot.supervisor.find("health_check_task").name == "health"
        await reply_to(bot, "!schedule_task health every 2m")
        await reply_to(bot, "!health_config set interval 3m")
        assert str(bot.supervisor.find("health").schedule) == "every 2m", "what was chosen goes before it"


async def test_a_round_is_run_by_hand_under_the_older_bots_name(make_bot: MakeBot) -> None:
    async with make_bot(jobs=True) as bot:
        with anyio.fail_after(10):
            while bot.supervisor.find("health").state != "waiting":  # noqa: ASYNC110 (it runs at once after the start)
                await anyio.sleep(0.01)
        reply = await reply_to(bot, "!run_task HealthCheckSystem health_check_task")
        assert reply.text.startswith("`health` ran in ")
        assert bot.supervisor.find("health").runs == 2


@pytest.mark.promise("P11")
@pytest.mark.parametrize("key", ["dead_mans_switch", "health.dead_mans_switch", "dead_man_switch"])
async def test_a_secret_that_belongs_in_a_file_is_not_told_and_not_on_record(make_bot: MakeBot, key: str) -> None:
    secret = "https://example.org/ping/5ecret-of-the-switch"
    async with make_bot() as bot:
        outcome = await bot.dispatch(owner_said(f"!health_config set {key} {secret}"))
        assert outcome.status == "invalid"
        assert secret not in str(outcome.reply)
        assert secret not in str(await bot.audit.entries())
        assert [each.what for each in await bot.audit.entries() if each.action == "health_config"] == ["…"]
        outcome = await bot.dispatch(owner_said("!health_config set timeout soon"))
        assert "`soon`" in str(outcome.reply), "what is no secret is told"
