from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from socbot.config import AnalyticsConfig, StorageConfig
from socbot.dispatch.chain import Layer, Placement
from socbot.middleware.analytics import Analytics as AnalyticsMiddleware
from socbot.systems.analytics import CommandTally, Person, Tally
from socbot.systems.identities import KEY_SETTING
from socbot.testing import FakeClock
from tests.observed import Observed, observed

HOUR, DAY = 3_600.0, 86_400.0
MONDAY_NOON = 1_700_481_600.0  # 2023-11-20 12:00 UTC


async def a_mixed_day(world: Observed) -> None:
    for _ in range(3):
        await world.say("!ping", "1")
    await world.say("!ping", "2", guild="g2")
    await world.say("!broken", "2")
    await world.say("!take nothing", "2")
    await world.say("!ping", "banned")
    await world.say("!secret", "2")
    await world.say("!nonsense", "3")
    await world.say("no command", "3")


async def test_every_ending_is_counted_under_its_name(either_storage: StorageConfig) -> None:
    async with observed(either_storage) as world:
        await a_mixed_day(world)
        usage = await world.analytics.usage()
        assert usage.tally == Tally(ok=4, failed=1, refused=2, invalid=1, unknown=1)
        assert usage.tally.commands == 8
        assert usage.tally.error_rate == pytest.approx(1 / 5)
        assert usage.commands[0] == CommandTally("ping", Tally(ok=4, refused=1))
        assert [each.command for each in usage.commands] == ["ping", "broken", "secret", "take"]
        assert usage.users[:2] == (Person("local", "2", 4), Person("local", "1", 3))
        assert usage.unique_users == 3
        assert usage.first_at == pytest.approx(1_700_000_000.0)


async def test_counts_are_exact_after_a_restart(either_storage: StorageConfig) -> None:
    clock = FakeClock()
    for _ in range(3):
        async with observed(either_storage, clock=clock) as world:
            await a_mixed_day(world)
    async with observed(either_storage, clock=clock) as world:
        assert (await world.analytics.usage()).tally == Tally(ok=12, failed=3, refused=6, invalid=3, unknown=3)


async def test_junk_names_make_no_new_rows(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        for number in range(200):
            await world.say(f"!junk{number}", "3")
        rows = await world.rows("SELECT command, status, count FROM usage")
        assert sorted(rows) == [("", "unknown", 200)]


@pytest.mark.parametrize("position", [0, 1])
async def test_refused_commands_are_counted_wherever_analytics_stands(storage: StorageConfig, position: int) -> None:
    async with observed(storage) as world:
        layers = [world.chain()[0]]
        layers.insert(position, Layer("analytics", AnalyticsMiddleware(), AnalyticsMiddleware.placement))
        world.dispatcher.use(layers)
        await world.say("!ping", "banned")
        assert (await world.analytics.usage()).tally.refused == 1


async def test_nothing_is_counted_while_analytics_is_off(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        world.dispatcher.use([Layer("analytics", AnalyticsMiddleware(), Placement("observer"), "off")])
        await world.say("!ping")
        await world.say("!nonsense")
        assert (await world.analytics.usage()).tally == Tally()


async def test_excluded_commands_and_users_leave_no_trace_in_the_counts(storage: StorageConfig) -> None:
    config = AnalyticsConfig(excluded_commands=("take",), excluded_users=("7", "local:8"))
    async with observed(storage, analytics=config) as world:
        await world.say("!take 1")
        await world.say("!ping", "7")
        await world.say("!ping", "8")
        await world.say("!ping", "8", platform="irc")
        assert await world.rows("SELECT platform, subject, command FROM usage") == [("irc", "8", "ping")]
        world.analytics.configure(AnalyticsConfig())
        await world.say("!ping", "7")
        assert (await world.analytics.usage()).tally.ok == 2


async def test_ids_can_be_kept_as_pseudonyms_that_stay_the_same(storage: StorageConfig) -> None:
    config = AnalyticsConfig(hash_ids=True)
    clock = FakeClock()
    async with observed(storage, clock=clock, analytics=config) as world:
        await world.say("!take 2000", "123456789")
    async with observed(storage, clock=clock, analytics=config) as world:
        await world.say("!ping", "123456789")
        assert (await world.analytics.usage()).unique_users == 1
        assert (await world.analytics.of_user(("local", "123456789"))).tally.ok == 2
        assert (await world.analytics.of_user(("local", "123456780"))).tally.ok == 0
        for table in ("usage", "traces", "slow_runs"):
            assert "123456789" not in str(await world.rows(f"SELECT * FROM {table}"))
        keys = await world.rows(f"SELECT value FROM settings WHERE key = '{KEY_SETTING}'")
        assert len(keys) == 1
        assert len(keys[0][0]) == 66


async def test_two_stores_give_one_person_two_pseudonyms(tmp_path: Any) -> None:
    names = set()
    for store in "ab":
        storage = StorageConfig(url=f"sqlite:///{tmp_path}/{store}/socbot.db")
        async with observed(storage, analytics=AnalyticsConfig(hash_ids=True)) as world:
            await world.say("!ping", "7")
            names.add((await world.analytics.usage()).users[0].subject)
    assert len(names) == 2


async def test_a_command_is_told_with_its_users_and_days(either_storage: StorageConfig) -> None:
    clock = FakeClock(MONDAY_NOON)
    async with observed(either_storage, clock=clock, zone=ZoneInfo("Asia/Tokyo")) as world:
        await world.say("!ping", "1")
        clock.forward(4 * HOUR)  # one in the morning, in Tokyo
        await world.say("!ping", "2")
        await world.say("!ping", "2")
        usage = await world.analytics.of_command("ping")
        assert usage.by_day == ((date(2023, 11, 20), 1), (date(2023, 11, 21), 2))
        assert usage.by_hour == ((MONDAY_NOON, 1), (MONDAY_NOON + 4 * HOUR, 2))
        assert usage.unique_users == 2
        assert usage.first_at == pytest.approx(MONDAY_NOON)
        assert usage.last_at == pytest.approx(MONDAY_NOON + 4 * HOUR, abs=0.1)
        assert (await world.analytics.of_command("nothing")).tally == Tally()
        assert (await world.analytics.of_command("nothing")).first_at is None


async def test_a_user_has_a_rank_and_favourites(either_storage: StorageConfig) -> None:
    async with observed(either_storage) as world:
        await a_mixed_day(world)
        first, second = [await world.analytics.of_user(("local", user)) for user in "21"]
        assert (first.rank, first.ranked, second.rank) == (1, 3, 2)
        assert [each.command for each in second.commands] == ["ping"]
        nobody = await world.analytics.of_user(("local", "99"))
        assert (nobody.rank, nobody.ranked, nobody.tally) == (None, 3, Tally())
        assert (await world.analytics.of_user(("irc", "1"))).tally == Tally()


async def test_a_guild_is_counted_by_itself(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await a_mixed_day(world)
        usage = await world.analytics.of_guild(("local", "g2"))
        assert (usage.tally, usage.unique_users) == (Tally(ok=1), 1)
        assert (await world.analytics.of_guild(("irc", "g2"))).tally == Tally()


async def test_only_the_days_asked_for_are_counted(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        await world.say("!ping")
        world.clock.forward(3 * DAY)
        await world.say("!ping")
        assert (await world.analytics.usage(2)).tally.ok == 1
        assert (await world.analytics.usage(4)).tally.ok == 2
        assert len(await world.analytics.export(2)) == 1


async def test_the_heatmap_is_in_the_zone_of_the_bot(storage: StorageConfig) -> None:
    clock = FakeClock(MONDAY_NOON)
    async with observed(storage, clock=clock, zone=ZoneInfo("Asia/Tokyo")) as world:
        await world.say("!ping")
        clock.forward(4 * HOUR)
        await world.say("!ping")
        await world.say("!ping")
        heatmap = await world.analytics.heatmap(28)
        assert heatmap.busiest == (1, 1, 2)
        assert heatmap.counts[0][21] == 1
        assert sum(map(sum, heatmap.counts)) == 3


async def test_commands_are_ranked_by_how_often_they_fail_when_they_run(storage: StorageConfig) -> None:
    group = """INSERT INTO error_groups (group_id, type, severity, command, template, first_at, last_at, count, state)
        VALUES (:id, :type, 'info', 'broken', '', 0, 0, :count, 'open')"""
    async with observed(storage) as world:
        await a_mixed_day(world)
        await world.database.write(
            lambda connection: connection.execute_many(
                group, [{"id": "1", "type": "Rare", "count": 1}, {"id": "2", "type": "KeyError", "count": 5}]
            )
        )
        assert await world.analytics.top_errors(5) == (CommandTally("broken", Tally(failed=1), "KeyError"),)


async def test_a_reset_hands_over_everything_it_forgets(either_storage: StorageConfig) -> None:
    async with observed(either_storage) as world:
        await a_mixed_day(world)
        rows = await world.analytics.reset()
        assert sum(row.count for row in rows) == 9
        assert (await world.analytics.usage()).tally == Tally()
        assert await world.analytics.reset() == ()


async def test_what_is_too_old_is_forgotten(storage: StorageConfig) -> None:
    async with observed(storage, analytics=AnalyticsConfig(retention_days=30)) as world:
        await world.say("!ping")
        world.clock.forward(31 * DAY)
        await world.say("!ping")
        await world.telemetry.flush()
        await world.analytics.forget_old()
        assert (await world.analytics.usage()).tally.ok == 1


async def test_ids_that_no_database_takes_are_counted_all_the_same(either_storage: StorageConfig) -> None:
    async with observed(either_storage) as world:
        await world.say("!ping", "4\0\ud8002", guild="\udfff")
        usage = await world.analytics.usage()
        assert (usage.tally.ok, usage.users[0].subject) == (1, "4\ufffd?2")
        assert (await world.analytics.of_user(("local", "4\0\ud8002"))).tally.ok == 1
