"""The whole bot through its life: killed, drained, cancelled in the middle of a command."""

import gc
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import anyio
import anyio.lowlevel
import msgspec
import psycopg
import pytest

from socbot.bot import Bot
from socbot.config import BotConfig, StorageConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.outcomes import Outcome
from socbot.testing import OWNER, owner_said, said
from tests.conftest import MakeBot
from tests.postgresql import Server
from tests.test_tour import fail, names_in
from tests.tour import TOUR, message


class Kept:
    """What bots have answered for: who is listed, the last setting, which webhooks; each is on record too."""

    def __init__(self) -> None:
        self.listed: list[str] = []
        self.webhooks: list[str] = []
        self.settings = [10]

    def read(self, line: str, webhook: str) -> bool:
        """Note what a line of output answers for; whether it does."""
        if found := re.match(r"Id: (\d+)$", line):
            self.listed.append(found[1])
        elif found := re.match(r"rate_limit\.burst: \d+ → (\d+)$", line):
            self.settings.append(int(found[1]))
        elif line.startswith("Webhook added"):
            self.webhooks.append(webhook)
        else:
            return False
        return True


def kill_a_bot(folder: Path, random: Random, round_: int, kept: Kept) -> None:
    """Have a bot list users, set a setting and add a webhook, and kill it somewhere in between."""
    with subprocess.Popen(
        [sys.executable, "-m", "socbot", "run"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        webhook = f"hook{round_}"
        lines = [f"!blacklist_add user {round_}{number:03} spam" for number in range(100)]
        lines += [f"!rate_limit_config set burst {round_ * 100 + number}" for number in range(100)]
        lines = [line for pair in zip(lines[:100], lines[100:], strict=True) for line in pair]
        last = random.randrange(1, 150)
        lines.insert(random.randrange(last), f"!add_webhook {webhook} custom https://hooks.example.org/{round_}")
        process.stdin.write("\n".join(lines) + "\n")
        process.stdin.flush()
        answered = 0
        for line in process.stdout:
            answered += kept.read(line, webhook)
            if answered == last:
                process.send_signal(signal.SIGKILL)
        process.stdin.close()


@pytest.mark.promise("P02")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("rounds", [3, pytest.param(50, marks=pytest.mark.slow)])
async def test_what_was_answered_survives_kill_9(rounds: int, make_bot: MakeBot, tmp_path: Path) -> None:
    random, kept = Random(rounds), Kept()
    for number in range(1, rounds + 1):
        before = len(kept.settings)
        await anyio.to_thread.run_sync(kill_a_bot, tmp_path, random, number, kept)
        async with make_bot() as bot:
            assert len(kept.settings) == before or bot.config.rate_limit.burst >= kept.settings[-1]
    assert min(len(kept.listed), len(kept.settings), len(kept.webhooks)) >= rounds
    async with make_bot() as bot:
        assert set(kept.listed) <= {entry.id for entry in await bot.blacklist.entries("user")}
        assert set(kept.webhooks) <= {webhook.name for webhook in bot.webhooks.all()}
        assert await bot.audit.verify() is None
        recorded = [(each.action, each.what) for each in await bot.audit.entries(100_000)]
        assert {("blacklist_add", f"user {each} spam") for each in kept.listed} <= {*recorded}
        assert {("rate_limit_config", f"set burst {each}") for each in kept.settings[1:]} <= {*recorded}
        assert recorded.count(("add_webhook", "…")) >= len(kept.webhooks)
        for user in random.sample(kept.listed, 3):
            assert (await bot.dispatch(said("!ping", user, platform="console"))).refused_by == "blacklist"


@command("take", permission="public", timeout=100.0)
async def take(ctx: Context, seconds: float) -> str:
    """Takes its time."""
    await anyio.sleep(seconds)
    return f"took {seconds:g}"


@pytest.mark.promise("P49")
async def test_what_fits_into_the_drain_ends_and_the_rest_is_told(make_bot: MakeBot) -> None:
    outcomes: list[Outcome] = []

    async def done(outcome: Outcome) -> None:
        outcomes.append(outcome)

    lengths = [0.1, 0.2, 0.3, 0.4, 0.5] * 2 + [30.0, 60.0] * 5
    with anyio.fail_after(8):
        async with make_bot(bot=BotConfig(shutdown_timeout=1.5), commands=[take]) as bot:
            for user, seconds in enumerate(lengths):
                assert bot.submit(said(f"!take {seconds}", str(user)), done) is None
    assert len(outcomes) == len(lengths)
    ended = {outcome.message.text: (outcome.status, str(outcome.reply)) for outcome in outcomes}
    assert ended["!take 0.5"] == ("ok", "took 0.5")
    assert ended["!take 60.0"] == ("refused", "The bot is shutting down.")
    async with make_bot() as bot:  # and it is all in the books
        assert (await bot.analytics.usage()).tally.commands == len(lengths)


@pytest.mark.promise("P27")
async def test_cancelling_any_command_anywhere_leaves_nothing_behind(make_bot: MakeBot) -> None:
    async with make_bot(commands=[fail]) as bot:
        # A transaction that was left open would refuse the next one.
        await cancel_everywhere(bot, lambda: one_of_each(bot, "write", "read"))


@pytest.mark.slow
@pytest.mark.promise("P27")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancelling_any_command_anywhere_leaves_no_transaction_open_at_the_server(
    make_bot: MakeBot, postgresql: Server
) -> None:
    storage = StorageConfig(url=postgresql.new_database())
    async with make_bot(commands=[fail], storage=storage) as bot:
        await one_of_each(bot, *LANES)
        with psycopg.connect(storage.url, autocommit=True) as looking:
            known = sessions(looking)
            assert [state for _, state in known] == ["idle"] * len(LANES)

            async def look() -> None:
                """What had begun is finished; then there are the same connections, and nothing is open on any."""
                seen = [sessions(looking)]
                with anyio.move_on_after(5.0):
                    while seen[-IN_A_ROW:] != [known] * IN_A_ROW:
                        await anyio.sleep(0.0005)
                        seen.append(sessions(looking))
                assert seen[-IN_A_ROW:] == [known] * IN_A_ROW

            await cancel_everywhere(bot, look)


LANES = ("write", "read", "alone", "lease")
"""The connections of a store on PostgreSQL, by what they are for."""


IN_A_ROW = 3
"""Looks: between two works that wait for one another a connection is idle, too, for an instant."""


async def one_of_each(bot: Bot, *lanes: str) -> None:
    for lane in lanes:
        await getattr(bot.database, lane)(lambda connection: connection.execute("SELECT 1"))


def sessions(looking: "psycopg.Connection[tuple[int, str]]") -> list[tuple[int, str]]:
    """Who else is connected to that database, and what each is doing."""
    sql = "SELECT pid, state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    return sorted(looking.execute(sql).fetchall())


async def cancel_everywhere(bot: Bot, look: Callable[[], Awaitable[None]]) -> None:
    """Cancel each command of the tour at each turn of the loop until it ends before that.

    :param look: called after each cancellation
    """
    names = await names_in(bot)
    told: list[Outcome] = []
    bot.dispatcher.observe(told.append)
    begun = 0
    for call in TOUR:
        if call.text.split()[0] in ("!shutdown", "!restart", "!reload"):
            continue
        for turns in range(1, 40):
            begun += 1
            ended = await ends_within(bot, turns, message(call, names).text)
            await look()
            if ended:
                break
        own = [outcome for outcome in told if outcome.identity == OWNER]  # !health asks one by itself
        assert len(own) == begun, "each is counted, measured and limited once"
    assert bot.dispatcher.running == 0
    gc.collect()  # whatever was never awaited or never retrieved warns now, and a warning is an error
    await anyio.lowlevel.checkpoint()
    assert (await bot.dispatch(owner_said("!ping"))).status == "ok"
    added = await bot.dispatch(owner_said("!blacklist_add user 1234 after all that"))
    assert added.status == "ok"
    assert (await bot.dispatch(said("!ping", "1234"))).refused_by == "blacklist"


async def ends_within(bot: Bot, turns: int, text: str) -> bool:
    """Run a command and cancel it after so many turns of the loop; whether it had ended by then."""
    ends: list[Outcome | BaseException] = []

    async def run() -> None:
        try:
            ends.append(await bot.dispatch(owner_said(text)))
        except BaseException as error:
            ends.append(error)
            raise

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            ended = bot.dispatcher.running == 0
            scope.cancel()
    (end,) = ends
    if not isinstance(end, Outcome):
        assert isinstance(end, anyio.get_cancelled_exc_class()), "the cancellation goes on to whoever asked for it"
    elif not ended:  # it was so far that it ended all the same
        assert end.status != "failed", end.error
    return ended


@pytest.mark.parametrize("jobs", [False, True])
async def test_a_bot_is_used_once_and_its_users_errors_pass_through(make_bot: MakeBot, jobs: bool) -> None:
    with pytest.raises(ZeroDivisionError):
        async with make_bot(jobs=jobs) as bot:
            raise ZeroDivisionError
    with pytest.raises(RuntimeError, match="make a new one"):
        await bot.__aenter__()


async def test_neither_the_owner_nor_the_bot_itself_can_be_listed(make_bot: MakeBot) -> None:
    async with make_bot(identities=[("local", "socbot")]) as bot:
        for who in ("owner", "socbot"):
            assert (await bot.dispatch(owner_said(f"!blacklist_add user {who} revenge"))).status == "invalid"
        named = await bot.dispatch(owner_said("!blacklist_add user ~nick spam"))
        assert "may change hands" in str(named.reply)


async def test_maintenance_keeps_everybody_else_out_over_a_restart(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        await bot.dispatch(owner_said("!maintenance on moving house"))
    async with make_bot() as bot:
        kept_out = await bot.dispatch(said("!ping"))
        assert kept_out.refused_by == "maintenance"
        assert str(kept_out.reply) == "moving house"
        assert (await bot.dispatch(owner_said("!ping"))).status == "ok"
        await bot.dispatch(owner_said("!maintenance off"))
        assert (await bot.dispatch(said("!ping", "43"))).status == "ok"


async def test_the_owner_under_a_flood_still_gets_through(make_bot: MakeBot) -> None:
    settings = msgspec.structs.replace(BotConfig(), max_running=5)
    async with make_bot(bot=settings, commands=[take]) as bot:
        outcomes: list[Outcome] = []

        async def done(outcome: Outcome) -> None:
            outcomes.append(outcome)

        turned_away = [bot.submit(said("!take 0.3", str(user)), done) for user in range(50)]
        refused = [outcome for outcome in turned_away if outcome is not None]
        assert len(refused) == 45
        assert {outcome.refused_by for outcome in refused} == {"admission"}
        assert sum(outcome.reply is not None for outcome in refused) == 1  # a flood is not answered with a flood
        assert (await bot.dispatch(owner_said("!ping"))).status == "ok"
    assert len(outcomes) == 5
