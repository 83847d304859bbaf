"""What pages ask of the store, on each database: in bounded pieces, and none of it twice or left out."""

from random import Random

import pytest

from socbot.bot import Bot
from socbot.config import BackupConfig, Config, StorageConfig, WebhooksConfig
from socbot.jobs.job import Run
from socbot.storage.connection import Connection
from socbot.systems import audit as audit_module
from socbot.systems.audit import Wanted
from socbot.systems.backup import Drill, DrillStep, records
from socbot.testing import FakeClock


@pytest.fixture
def config(either_storage: StorageConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> Config:
    monkeypatch.chdir(str(tmp_path))
    return Config(storage=either_storage, backup=BackupConfig(enabled=False, paths=()), webhooks=WebhooksConfig())


def bot_on(config: Config, clock: FakeClock) -> Bot:
    return Bot.from_config(config, clock=clock, random=Random(1), jobs=False)


async def test_the_trail_is_searched_in_pieces_that_join(
    config: Config, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "MOST_LOOKED_AT", 40)
    async with bot_on(config, clock) as bot:
        for number in range(200):
            result = "failed E-1" if number == 3 else "ok"
            bot.audit.remember(f"Act_{number % 2}", str(number), f"irc:User{number % 3}", result)
        await bot.audit.flush()
        found, before, pieces = [], None, 0
        while True:
            piece = await bot.audit.find(Wanted("USER0", "act_1"), 5, before)
            assert len(piece.records) <= 5
            found += [int(record.what) for record in piece.records]
            pieces += 1
            if (before := piece.before) is None:
                break
        assert found == [number for number in range(199, -1, -1) if number % 2 and number % 3 == 0]
        # A rare one is found at the end, after pieces with nothing in them.
        found, before = [], None
        while True:
            piece = await bot.audit.find(Wanted(result="failed"), 5, before)
            found += [int(record.what) for record in piece.records]
            if (before := piece.before) is None:
                break
        assert found == [3]
        # Nothing that is typed stands for anything else.
        assert (await bot.audit.find(Wanted("user%"), 5)).records == ()
        assert (await bot.audit.find(Wanted(action="act_"), 5)).records == ()


async def test_a_long_trail_is_verified_piece_by_piece(config: Config, clock: FakeClock) -> None:
    async with bot_on(config, clock) as bot:

        def fill(connection: Connection) -> None:
            bot.audit.append(connection, *(bot.audit.entry("act", str(number)) for number in range(4_500)))

        await bot.database.write(fill)
        first = await bot.audit.inspect(0.0)
        assert (first.looked_at, first.total, first.done) == (2_000, 4_500, False)
        await bot.audit.inspect(0.0)
        whole = await bot.audit.inspect(0.0)
        assert (whole.looked_at, whole.done, whole.flaw) == (4_500, True, "")
        await bot.database.write(lambda connection: connection.change("DELETE FROM audit WHERE id = 3000"))
        assert await bot.audit.inspect(0.0) == whole
        clock.forward(60)
        await bot.audit.inspect(0.0)
        broken = await bot.audit.inspect(0.0)
        assert (broken.done, broken.flaw, broken.looked_at) == (True, "record 3000 is missing", 2_999)
        await bot.audit.record("act", "one more")
        clock.forward(60)
        assert str(await bot.audit.verify()) == "record 3000 is missing"


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        ("INSERT INTO audit SELECT -1, at, who, action, what, result, trace_id, previous, hash FROM audit WHERE id = 1",
         "record -1 was put in before the first"),
        ("DELETE FROM audit WHERE id = 3", "record 3 is missing"),
        ("DELETE FROM audit WHERE id = 0", "record 3 may not be the last: where the chain ends is not on record"),
    ],
)  # fmt: skip
async def test_pieces_find_what_the_whole_does(config: Config, clock: FakeClock, change: str, flaw: str) -> None:
    async with bot_on(config, clock) as bot:
        for number in range(3):
            await bot.audit.record("act", str(number))
        await bot.database.write(lambda connection: connection.change(change))
        assert (await bot.audit.inspect()).flaw == flaw
        assert str(await bot.audit.verify()) == flaw


async def test_deliveries_are_found_in_every_way_and_go_on(config: Config, clock: FakeClock) -> None:
    async with bot_on(config, clock) as bot:
        for name in ("one", "two"):
            await bot.webhooks.add(name, "custom", f"https://example.org/{name}", (), "local:owner")
        for number in range(6):
            await bot.signals.raise_("alert", f"number {number}", key=str(number))

        def change(connection: Connection) -> None:
            connection.change("UPDATE deliveries SET state = 'dead', attempts = 3 WHERE id IN (2, 3)")
            connection.change("UPDATE deliveries SET state = 'delivered', attempts = 1 WHERE id IN (1, 4)")
            connection.change("UPDATE deliveries SET attempts = 1 WHERE id = 9")

        await bot.database.write(change)

        async def ids(*arguments: object, **more: object) -> list[int]:
            return [each.id for each in await bot.webhooks.deliveries(*arguments, **more)]  # type: ignore[arg-type]

        everything = await ids()
        assert everything == list(range(12, 0, -1))
        of = {name: [each.id for each in await bot.webhooks.deliveries(name)] for name in ("one", "two")}
        assert sorted(of["one"] + of["two"]) == sorted(everything)
        assert of["one"] == sorted(of["one"], reverse=True)
        assert await ids(None, "dead") == [3, 2]
        assert await ids(None, "failed") == [9, 3, 2]
        assert await ids(None, "failed", before=9) == [3, 2]
        assert await ids(None, "delivered") == [4, 1]
        assert await ids(None, "waiting", 3) == [12, 11, 10]
        assert await ids(None, "waiting", 3, before=10) == [9, 8, 7]
        assert await ids("one", None, 2, before=of["one"][1]) == of["one"][2:4]
        [signal] = {each.event.id for each in await bot.webhooks.deliveries(limit=1)}
        assert await ids(event=signal) == [12, 11]
        assert await ids(None, "dead", event=signal) == []


async def test_runs_of_all_jobs_and_drills_are_read_from_the_newest_on(config: Config, clock: FakeClock) -> None:
    async with bot_on(config, clock) as bot:
        for _ in range(4):
            clock.forward(60)
            await bot.supervisor.run_now("monitor")
        now = clock.time()
        assert [run.started_at for run in await bot.supervisor.since(now - 60)] == [now, now - 60]
        assert [run.started_at for run in await bot.supervisor.history("monitor", 2, now)] == [now - 60, now - 120]
        assert all(isinstance(run, Run) for run in await bot.supervisor.since(0.0))
        drills = [Drill(f"b{n}", float(n), 2.0, n != 1, (DrillStep("unpack", "ok", 1.0),)) for n in range(3)]

        def add(connection: Connection) -> None:
            for drill in drills:
                records.add_drill(connection, drill)

        await bot.database.write(add)
        assert await bot.backups.drills(2) == (drills[2], drills[1])
