"""Reloading: the new chain is built beside the old one and swapped in one step, or nothing changes."""

import re
from pathlib import Path

import anyio
import pytest

from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.outcomes import Outcome
from socbot.documents import ConfigError
from socbot.testing import FakeClock, owner_said, said
from tests.broken_configs import broken_configs
from tests.conftest import MakeBot
from tests.test_config import SHIPPED

ORDERS = (
    "[blacklist, rate_limit, profiler, analytics, error_capture]",
    "[error_capture, analytics, profiler, rate_limit, blacklist]",
    "[profiler, {use: blacklist, mode: 'off'}, {use: rate_limit, mode: shadow}, error_capture]",
)


WITHOUT_LINE = ("10 MB",)
"""What is refused before it is read."""


@command("slow", permission="public")
async def slow(ctx: Context) -> str:
    """Takes a moment."""
    await anyio.sleep(0.002)
    return "done"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    write(path, ORDERS[0])
    return path


def write(path: Path, order: str, more: str = "") -> None:
    path.write_text(f"storage: {{url: 'sqlite:///{path.parent}/data/socbot.db'}}\nmiddleware: {order}\n{more}")


def overwrite(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.mark.promise("P28")
async def test_reloading_under_load_drops_nothing_and_runs_no_half_chain(make_bot: MakeBot, path: Path) -> None:
    async with make_bot(path, commands=[slow]) as bot:
        outcomes: list[Outcome] = []
        chains = {bot.dispatcher.chain.generation: bot.dispatcher.chain.stages}

        async def run(user: int) -> None:
            outcomes.append(await bot.dispatch(said("!slow", str(user))))

        async with anyio.create_task_group() as tasks:
            for number in range(200):
                for user in range(5):
                    tasks.start_soon(run, 5 * number + user)
                if number % 2 == 0:
                    write(path, ORDERS[number // 2 % 3])
                    await bot.reload()
                    chains[bot.dispatcher.chain.generation] = bot.dispatcher.chain.stages
                await anyio.sleep(0.001)
        assert len(outcomes) == 1000
        assert {outcome.status for outcome in outcomes} == {"ok"}
        assert len(chains) > 90
        for outcome in outcomes:
            assert outcome.trace is not None
            assert outcome.trace.stages == chains[outcome.trace.generation]
            assert all(step.verdict == "passed" for step in outcome.trace.steps)


async def broken_files_change_nothing(make_bot: MakeBot, path: Path, count: int) -> None:
    """Reload ``count`` broken files while commands run; each is refused with its reason, and nobody notices."""
    usable = SHIPPED.read_text("utf-8").replace("sqlite:///data/socbot.db", f"sqlite:///{path.parent}/data/socbot.db")
    overwrite(path, usable)
    async with make_bot(path, commands=[slow]) as bot:
        before, config = bot.dispatcher.chain, bot.config
        outcomes: list[Outcome] = []

        async def run(user: int) -> None:
            outcomes.append(await bot.dispatch(said("!slow", str(user))))

        tried = 0
        async with anyio.create_task_group() as tasks:
            for number, (what, text) in enumerate(broken_configs(usable, count)):
                for user in range(5 * number, 5 * number + 5):  # more than 200 a second
                    tasks.start_soon(run, user)
                overwrite(path, text)
                tried += 1
                with pytest.raises(ConfigError) as refusal:
                    pytest.fail(f"{what} was taken: {await bot.reload()}")
                assert len(str(refusal.value)) < 2_000, what
                assert "\n\n" not in str(refusal.value), what
                if what not in WITHOUT_LINE:
                    assert re.search(r"line \d", str(refusal.value)), (what, str(refusal.value))
                assert bot.dispatcher.chain is before
                assert bot.config is config
                await anyio.sleep(0.005)
        assert tried == count
        assert [outcome.status for outcome in outcomes] == ["ok"] * (5 * count)
        for outcome in outcomes:
            assert outcome.trace is not None
            assert (outcome.trace.generation, outcome.trace.stages) == (before.generation, before.stages)
        told = await bot.dispatch(owner_said("!reload"))
        assert told.status == "invalid"
        assert "Nothing was changed" in str(told.reply)


@pytest.mark.promise("P28")
async def test_a_bad_file_changes_nothing(make_bot: MakeBot, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOCBOT_WEB__PORT")
    await broken_files_change_nothing(make_bot, path, 80)


@pytest.mark.slow
@pytest.mark.promise("P28")
async def test_300_bad_files_change_nothing(make_bot: MakeBot, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOCBOT_WEB__PORT")
    await broken_files_change_nothing(make_bot, path, 300)


async def test_state_is_kept_and_the_owner_sees_the_difference(make_bot: MakeBot, path: Path, clock: FakeClock) -> None:
    async with make_bot(path, clock=clock) as bot:
        assert (await bot.dispatch(said("!ping"))).status == "ok"
        write(path, ORDERS[1], "rate_limit: {cooldown: 1m}\n")
        told = str((await bot.dispatch(owner_said("!reload"))).reply)
        assert "rate_limit.cooldown: 3s → 1m" in told
        assert "error_capture, analytics, profiler, rate_limit, blacklist" in told
        assert "stands" in told  # what the new order costs
        assert (await bot.dispatch(said("!ping"))).refused_by == "rate_limit"
        shown = str((await bot.dispatch(owner_said("!pipeline"))).reply)
        assert shown.index("error_capture") < shown.index("blacklist")


async def test_a_mode_set_at_run_time_outlives_reload_and_restart(make_bot: MakeBot, path: Path) -> None:
    async with make_bot(path) as bot:
        await bot.dispatch(owner_said("!pipeline_mode rate_limit shadow"))
        await bot.reload()
        assert [layer.mode for layer in bot.pipeline.layers if layer.name == "rate_limit"] == ["shadow"]
    async with make_bot(path) as bot:
        assert [layer.mode for layer in bot.pipeline.layers if layer.name == "rate_limit"] == ["shadow"]
        first = await bot.dispatch(said("!ping"))
        second = await bot.dispatch(said("!ping"))
        assert (first.status, second.status) == ("ok", "ok")
        assert second.trace is not None
        assert second.trace.would_refuse == ("rate_limit",)
        await bot.dispatch(owner_said("!pipeline_mode rate_limit enforce"))
        assert (await bot.dispatch(said("!ping"))).refused_by == "rate_limit"


async def test_settings_are_shown_changed_kept_and_reset(make_bot: MakeBot, path: Path, clock: FakeClock) -> None:
    async with make_bot(path, clock=clock) as bot:
        changed = await bot.dispatch(owner_said("!rate_limit_config set cooldown 1m"))
        assert changed.status == "ok"
        for bad in ("set cooldown never", "set colour red", "set burst 0", "reset colour", "set cooldown"):
            assert (await bot.dispatch(owner_said(f"!rate_limit_config {bad}"))).status == "invalid", bad
    async with make_bot(path, clock=clock) as bot:
        assert bot.config.rate_limit.cooldown == 60.0
        shown = str((await bot.dispatch(owner_said("!rate_limit_config"))).reply)
        assert "set by owner" in shown
        older = await bot.dispatch(owner_said("!error_config set max.errors 5"))  # the older bot's spelling
        assert older.status == "ok"
        assert bot.config.errors.max_errors == 5
        await bot.dispatch(owner_said("!rate_limit_config reset cooldown"))
        assert bot.config.rate_limit.cooldown == 3.0
