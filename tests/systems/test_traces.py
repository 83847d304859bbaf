import logging
from random import Random
from typing import Any

import msgspec
import pytest

from socbot.config import AnalyticsConfig, StorageConfig
from socbot.dispatch.chain import Layer, Placement
from socbot.dispatch.context import Context, Handler
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.systems.traces import TraceRecord, Wanted
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


async def told(world: Observed) -> list[str]:
    """Commands of every kind, from several people; their trace ids, newest first."""
    world.clock.forward(3600)  # what is no command is answered once in a while only
    said = ("!ping", "7"), ("!take 5", "8"), ("!ping", "banned"), ("!broken", "7"), ("!secret", "8"), ("!nope", "7")
    return [trace_id(await world.say(text, author)) for text, author in said][::-1]


async def all_pages(world: Observed, wanted: Wanted, count: int) -> list[list[str]]:
    pages, older = [], ""
    while True:
        page = await world.traces.newest(wanted, count, older)
        pages.append([record.trace_id for record in page.traces])
        if not (older := page.older):
            return pages


@pytest.mark.parametrize("flushes", ["one", "many"])
async def test_the_newest_come_first_page_by_page(either_storage: StorageConfig, flushes: str) -> None:
    async with observed(either_storage) as world:
        ids = await told(world)
        if flushes == "many":
            for _ in range(3):
                await world.telemetry.flush()
                ids = await told(world) + ids
        everything = [id for page in await all_pages(world, Wanted(), 4) for id in page]
        assert everything == ids
        assert (await all_pages(world, Wanted(), 3))[0] == ids[:3]
        whole = await world.traces.newest(count=len(ids))
        assert (whole.older, whole.looked_at) == ("", len(ids))
        first = await found(world, ids[-1])
        assert (whole.traces[-1], whole.back_to) == (first, first.at)


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        (Wanted(status="ok"), [4, 5]),
        (Wanted(command="ping"), [3, 5]),
        (Wanted(command="ping", status="refused"), [3]),
        (Wanted(middleware="door"), [3]),
        (Wanted(middleware="permission"), [1]),
        (Wanted(person=("local", "7")), [0, 2, 5]),
        (Wanted(person=("irc", "7")), []),
        (Wanted(status="unknown"), [0]),
        (Wanted(seconds=0.02), [2, 5]),
    ],
)
async def test_what_is_wanted_is_found(storage: StorageConfig, wanted: Wanted, places: list[int]) -> None:
    async with observed(storage) as world:
        ids = await told(world)
        assert await all_pages(world, wanted, 50) == [[ids[place] for place in places]]


async def test_a_person_is_found_under_a_pseudonym_too(storage: StorageConfig) -> None:
    async with observed(storage, analytics=AnalyticsConfig(hash_ids=True)) as world:
        ids = await told(world)
        assert (await all_pages(world, Wanted(person=("local", "8")), 50)) == [[ids[1], ids[4]]]


async def test_a_search_reads_a_bounded_number_and_goes_on_from_there(
    storage: StorageConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socbot.systems.traces._LOOKED_AT", 4)
    async with observed(storage) as world:
        ids = await told(world)
        page = await world.traces.newest(Wanted(middleware="door"), 1)
        assert (len(page.traces), page.looked_at) == (1, 4)
        page = await world.traces.newest(Wanted(person=("local", "8"), command="take"))
        assert (page.traces, page.looked_at, page.older != "") == ((), 4, True)
        page = await world.traces.newest(Wanted(person=("local", "8"), command="take"), 50, page.older)
        assert [record.trace_id for record in page.traces] == [ids[4]]


@pytest.mark.parametrize("before", ["x", "1", "1-", "-1", "1-2-3", "9" * 40 + "-1", "1-99999", "' OR 1"])
async def test_what_is_no_place_is_refused(storage: StorageConfig, before: str) -> None:
    async with observed(storage) as world:
        with pytest.raises(ValueError, match="no place in the traces"):
            await world.traces.newest(before=before)
        assert (await world.traces.newest(before="7-9999")).traces == ()


# -- damage -------------------------------------------------------------------------------------------


async def put(world: Observed, row: int, packed: bytes) -> None:
    sql = "UPDATE traces SET packed = :packed WHERE id = :row"
    await world.database.write(lambda connection: connection.change(sql, {"packed": packed, "row": row}))


@pytest.mark.promise("P30")
@pytest.mark.parametrize(
    "packed",
    [b"\x91" * 100_000, b"\x81\x01" * 100_000, b"\x91\x91\xa1\xff", b"\xc1", b""],
    ids=["deep lists", "deep maps", "no UTF-8", "no msgpack", "nothing"],
)
async def test_a_damaged_row_is_left_out_and_said_once(
    either_storage: StorageConfig, caplog: pytest.LogCaptureFixture, packed: bytes
) -> None:
    async with observed(either_storage) as world:
        older = await told(world)
        await world.telemetry.flush()
        lost = trace_id(await world.say("!ping", "8"))
        await world.telemetry.flush()
        [(row,)] = await world.rows("SELECT MAX(id) FROM traces")
        await put(world, row, packed)
        newer = await told(world)
        with caplog.at_level(logging.WARNING, "socbot.systems.traces"):
            for _ in range(2):
                assert await world.traces.find(lost) is None
                assert [id for page in await all_pages(world, Wanted(), 4) for id in page] == newer + older
        assert [record.getMessage().partition(",")[0] for record in caplog.records] == ["a trace cannot be read"]
        erased = await world.erasure.forget(("local", "7"))
        assert [each.count for each in erased if each.place == "traces"] == [7]
        assert await world.rows(f"SELECT id FROM traces WHERE id = {row}") == [], "it may have been theirs"


async def test_a_trace_in_which_somebody_acted_who_is_not_in_the_chain_is_left_out(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        ids = await told(world)
        [(row, whole)] = await world.rows("SELECT id, packed FROM traces")
        traces = msgspec.msgpack.decode(whole)
        traces[0][-2] = {9: "refused"}
        await put(world, row, msgspec.msgpack.encode(traces))
        assert await all_pages(world, Wanted(middleware="door"), 50) == [[ids[3]]]


@pytest.mark.promise("P30")
async def test_no_changed_byte_breaks_a_search_or_an_erasure(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        ids = await told(world)
        [(row, whole)] = await world.rows("SELECT id, packed FROM traces")
        for place in Random(30).sample(range(len(whole)), 250):
            changed = bytearray(whole)
            changed[place] ^= 1 << place % 8
            await put(world, row, bytes(changed))
            found = [record.trace_id for record in (await world.traces.newest()).traces]
            assert len(set(found) - set(ids)) <= 1, place
            for id in ids:
                await world.traces.find(id)
            await world.traces.newest(Wanted(middleware="door", person=("local", "7")))
        await world.erasure.forget(("local", "7"))


async def test_each_step_says_when_it_was_entered(storage: StorageConfig) -> None:
    async with observed(storage) as world:
        record = await found(world, trace_id(await world.say("!take 100")))
        assert [step.entered for step in record.steps] == pytest.approx([0.0, DOOR_SECONDS, DOOR_SECONDS])
        assert record.handler_entered == pytest.approx(DOOR_SECONDS)
