"""Settings that several change at a time, in one process and in several on one PostgreSQL."""

from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from socbot.config import Config, StorageConfig
from socbot.storage.connection import Connection
from socbot.testing import owner_said, said
from tests.conftest import MakeBot
from tests.postgresql import Server


def note_something_else(connection: Connection, text: str) -> None:
    """What other parts of a bot keep in the same table."""
    connection.change(
        "INSERT INTO settings (key, value, set_by, set_at) VALUES ('something_else', :text, 'socbot', 0)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        {"text": f'"{text}"'},
    )


@pytest.fixture
def storage(postgresql: Server) -> StorageConfig:
    return StorageConfig(url=postgresql.new_database())


async def test_settings_that_are_changed_at_once_are_all_in_force(make_bot: MakeBot) -> None:
    wanted = {"rate_limit.burst": 21, "rate_limit.window": 22.0, "analytics.detail_days": 23, "health.of": 4}
    async with make_bot() as bot, anyio.create_task_group() as tasks:
        for key, value in wanted.items():
            tasks.start_soon(bot.settings.set, key, str(value), "ann")
    assert {key: bot.settings.get(key).value for key in wanted} == wanted


async def test_a_reload_meanwhile_takes_nothing_back(make_bot: MakeBot, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    before = f"storage: {{url: 'sqlite:///{tmp_path}/data/socbot.db'}}\n"
    path.write_text(before)
    async with make_bot(path) as bot:
        path.write_text(before + "rate_limit: {window: 77}\n")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bot.settings.set, "rate_limit.burst", "21", "ann")
            tasks.start_soon(bot.reload)
        assert (bot.config.rate_limit.burst, bot.config.rate_limit.window) == (21, 77.0)


async def test_what_is_committed_is_in_force_although_its_caller_was_cancelled(make_bot: MakeBot) -> None:
    async with make_bot() as bot:
        for turns in range(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(bot.settings.set, "rate_limit.burst", str(20 + turns), "ann")
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            in_force = bot.config.rate_limit.burst
            await bot.settings.load()
            assert bot.config.rate_limit.burst == in_force


@pytest.mark.alone
async def test_what_one_process_sets_is_in_force_in_the_other_within_two_seconds(
    storage: StorageConfig, make_bot: MakeBot
) -> None:
    async with make_bot(storage=storage, jobs=True) as here, make_bot(storage=storage, jobs=True) as there:
        people = map(str, range(900, 2_000))

        async def until(wanted: str) -> None:
            with anyio.fail_after(2.0):
                while wanted not in str((await there.dispatch(said("!ping", next(people)))).reply):  # noqa: ASYNC110 (as people do)
                    await anyio.sleep(0.05)

        assert (await here.dispatch(owner_said("!maintenance on we are moving"))).status == "ok"
        await until("we are moving")
        assert (await here.dispatch(owner_said("!maintenance off"))).status == "ok"
        await until("Pong")


async def test_settings_and_modes_are_followed_and_settings_taken_back(
    storage: StorageConfig, make_bot: MakeBot
) -> None:
    async with make_bot(storage=storage) as here, make_bot(storage=storage) as there:
        await here.settings.set("rate_limit.burst", "21", "ann")
        await here.settings.set_mode("rate_limit", "shadow", "ann")
        generation = there.dispatcher.chain.generation
        await there.settings.catch_up()
        assert there.rate_limiter.config.burst == 21
        assert there.settings.get("rate_limit.burst").override == here.settings.get("rate_limit.burst").override
        assert [layer.mode for layer in there.pipeline.layers if layer.name == "rate_limit"] == ["shadow"]
        assert there.dispatcher.chain.generation == generation + 1
        await here.settings.reset("rate_limit.burst")
        await there.settings.set("rate_limit.window", "33", "bob")  # on top of what it does not know yet
        await there.settings.catch_up()
        await here.settings.catch_up()
        for bot in (here, there):
            assert (bot.config.rate_limit.burst, bot.config.rate_limit.window) == (10, 33.0)


async def test_ones_own_changes_are_put_in_force_once(storage: StorageConfig, make_bot: MakeBot) -> None:
    async with make_bot(storage=storage) as bot:
        await bot.settings.set("rate_limit.cooldowns", '{"ping": 3.5}', "ann")
        put_in_force: list[Config] = []
        bot.settings.participate(lambda config: lambda: put_in_force.append(config))
        for text in ("one", "another"):
            await bot.settings.catch_up()
            await bot.database.write(partial(note_something_else, text=text))
            await bot.settings.catch_up()
        assert put_in_force == []


async def test_a_look_at_any_moment_of_a_change_does_not_undo_it(storage: StorageConfig, make_bot: MakeBot) -> None:
    async with make_bot(storage=storage) as bot:
        for turns in range(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(bot.settings.catch_up)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.start_soon(bot.settings.set, "rate_limit.burst", str(20 + turns), "ann")
                tasks.start_soon(bot.settings.catch_up)
            assert bot.config.rate_limit.burst == 20 + turns


async def test_what_a_process_cannot_use_is_told_and_changes_nothing(storage: StorageConfig, make_bot: MakeBot) -> None:
    from tests.test_reload import slow

    async with make_bot(storage=storage, commands=[slow]) as here, make_bot(storage=storage) as there:
        await here.settings.set("rate_limit.cooldowns", '{"slow": 5}', "ann")
        before = there.config
        for _ in range(2):
            await there.settings.catch_up()
        assert there.config is before
        [problem] = there.settings.problems
        assert "rate_limit.cooldowns.slow: there is no such command" in problem
        await here.settings.reset("rate_limit.cooldowns")
        await there.settings.catch_up()
        assert there.settings.problems == ()
