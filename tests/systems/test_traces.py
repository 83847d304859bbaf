from typing import Any

import pytest

from socbot.config import AnalyticsConfig, StorageConfig
from socbot.dispatch.chain import Layer, Placement
from socbot.dispatch.context import Context, Handler
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.systems.traces import TraceRecord
from tests.observed import DOOR_SECONDS, Observed, observed

ERROR = """INSERT INTO errors (error_id, group_id, at, severity, type, message, command, platform, subject, guild,
    channel, trace_id, traceback) VALUES ('E-1', 'G', 0, 'info', 'T', '', '', '', '', '', '', :trace, '')"""


def trace_id(outcome: Outcome) -> str:
    assert outcome.trace is not None
    return outcome.trace.id


async def found(world: Observed, key: str) -> TraceRecord:
    record = await world.traces.find(key)
    assert record is not None
    return record


async def test_the_way_of_a_command_is_found_by_its_id_as_it_was(either_storage: StorageConfig) -> None:
    async with observed(either_storage) as world:
        outcome = await world.say("!take 100", "7", guild="g9")
        assert outcome.trace is not None
        record = await found(world, f" {trace_id(outcome).lower()} ")
        assert record.steps == outcome.trace.steps
        assert (record.platform, record.subject, record.guild) == ("local", "7", "g9")
        assert (record.command, record.status, record.generation) == ("take", "ok", 1)
        assert record.handler_seconds == pytest.approx(0.1)
        assert record.at == outcome.trace.at


async def test_a_refusal_says_who_refused_and_why(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        record = await found(world, trace_id(await world.say("!ping", "banned")))
        assert (record.status, record.refused_by, record.reason) == ("refused", "door", "not on the list")
        assert [step.verdict for step in record.steps] == ["refused", "not reached", "not reached"]
        assert record.steps[0].own_seconds == pytest.approx(DOOR_SECONDS)
        assert record.handler_seconds is None


async def test_a_trace_is_found_by_the_id_of_its_error(either_storage: StorageConfig) -> None:
    async with observed(either_storage) as world:
        trace = trace_id(await world.say("!broken"))
        await world.database.write(lambda connection: connection.change(ERROR, {"trace": trace}))
        assert (await found(world, "e-1")).trace_id == trace


@pytest.mark.parametrize(
    "key", ["", "T-NONE", "E-NONE", "' OR 1=1 --", "%", "T-%", "_-____1", "\0", "\ud800", "x" * 100_000]
)
async def test_what_is_no_id_finds_nothing(either_storage: StorageConfig, key: str) -> None:
    async with observed(either_storage) as world:
        await world.say("!ping")
        assert await world.traces.find(key) is None


async def test_among_many_each_is_found_by_its_own_id(either_storage: StorageConfig) -> None:
    async with observed(either_storage) as world:
        ids = [trace_id(await world.say(f"!take {number}", str(number))) for number in range(40)]
        for number in range(0, 40, 3):
            record = await found(world, ids[number])
            assert (record.trace_id, record.subject) == (ids[number], str(number))


async def test_traces_are_bounded_by_number_and_by_age(storage: StorageConfig) -> None:
    async with observed(storage, analytics=AnalyticsConfig(max_traces=100, trace_retention_days=1)) as world:
        first = trace_id(await world.say("!ping"))
        for _ in range(500):
            last = trace_id(await world.say("!ping"))
            if world.telemetry.waiting >= 7:
                await world.telemetry.flush()
                ((count,),) = await world.rows("SELECT SUM(count) FROM traces")
                assert count <= 120
        assert await world.traces.find(first) is None
        assert (await found(world, last)).trace_id == last
        world.clock.forward(90_000.0)
        await world.traces.forget_old()
        assert await world.rows("SELECT COUNT(*) FROM traces") == [(0,)]


async def test_text_that_no_database_takes_is_made_storable(either_storage: StorageConfig) -> None:
    async def talkative(ctx: Context, call_next: Handler) -> Reply | None:
        ctx.trace.note("talkative", "\0 \ud800 " + "x" * 10_000)
        return await call_next(ctx)

    chain = [Layer("talkative", talkative, Placement("observer"))]
    async with observed(either_storage, chain=chain) as world:
        record = await found(world, trace_id(await world.say("!ping", "4\0\ud8002", guild="g\0")))
        assert record.steps[0].note.startswith("\ufffd ? x")
        assert len(record.steps[0].note) == 300
        assert record.subject == "4\ufffd?2"


async def test_a_trace_belongs_to_whoever_gave_the_command_also_under_a_pseudonym(storage: StorageConfig) -> None:
    config: Any = {"hash_ids": True}
    async with observed(storage, analytics=AnalyticsConfig(**config)) as world:
        record = await found(world, trace_id(await world.say("!ping", "7")))
        assert "7" not in (record.subject, record.guild)
        assert world.traces.belongs_to(record, ("local", "7"))
        assert not world.traces.belongs_to(record, ("local", "8"))
        assert not world.traces.belongs_to(record, ("irc", "7"))
