"""What is kept of a failure, on both databases and both event loops."""

import threading
from collections.abc import Callable
from random import Random

import anyio
import pytest

from socbot.config import ErrorsConfig, StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.dispatch.errors import CommandTimeout, GuardFailed, InvalidArgument
from socbot.dispatch.outcomes import Outcome
from socbot.redaction import Redactor
from socbot.storage.connection import Connection
from socbot.storage.database import Database
from socbot.systems.errors import Errors, Where
from socbot.systems.errors.system import IN_FULL
from socbot.testing import FakeClock, said
from tests.systems.errors.conftest import OpenErrors

LOOKUP = Where("lookup", "local", "42", "g1", "c1", "T-1")


def failing(message: str = "no host 17", kind: type[Exception] = RuntimeError) -> Exception:
    try:
        raise kind(message)
    except Exception as error:
        return error


@pytest.fixture
def storage(either_storage: StorageConfig) -> StorageConfig:
    return either_storage


async def test_an_error_is_found_under_its_id_after_a_restart(open_errors: OpenErrors, clock: FakeClock) -> None:
    async with open_errors() as errors:
        error_id = await errors.capture(failing(), LOOKUP)
    async with open_errors() as errors:
        record = await errors.find(error_id.lower())
        assert record is not None
        assert (record.error_id, record.type, record.message, record.severity) == (
            error_id,
            "RuntimeError",
            "no host 17",
            "info",
        )
        assert (record.command, record.subject, record.guild, record.trace_id) == ("lookup", "42", "g1", "T-1")
        assert record.at == clock.time()
        assert "in failing" in record.traceback


async def test_the_same_fault_is_one_group_whatever_the_ids(open_errors: OpenErrors, clock: FakeClock) -> None:
    async with open_errors() as errors:
        for number in (17, 18, 123456789012345678):
            clock.forward(10)
            await errors.capture(failing(f"no host {number} for 'user {number}'"), LOOKUP)
        clock.forward(10)
        await errors.capture(failing("quite another"), LOOKUP)
        groups = await errors.groups()
        assert [group.count for group in groups] == [1, 3]
        assert groups[1].last_at - groups[1].first_at == 20
        assert groups[1].users == 1


async def test_a_storm_is_counted_exactly_and_recorded_in_part(open_errors: OpenErrors) -> None:
    async with open_errors() as errors:
        ids = [await errors.capture(failing(), LOOKUP) for _ in range(500)]
        await errors.check()
        (group,) = await errors.groups()
        assert group.count == 500
        assert len(await errors.newest(1_000)) == IN_FULL
        assert all([await errors.find(error_id) for error_id in set(ids)])
        assert (await errors.figures(1)).by_command == {"lookup": 500}


async def test_only_the_newest_errors_are_kept(open_errors: OpenErrors, clock: FakeClock) -> None:
    async with open_errors(ErrorsConfig(max_errors=5)) as errors:
        ids = []
        for number in range(9):
            clock.forward(1)
            ids.append(await errors.capture(failing(f"{'x' * number} is wrong"), LOOKUP))
        assert [record.error_id for record in await errors.newest(100)] == ids[:3:-1]


async def test_no_more_than_the_newest_are_kept_when_all_happen_at_one_moment(open_errors: OpenErrors) -> None:
    async with open_errors(ErrorsConfig(max_errors=5)) as errors:
        for _ in range(9):
            await errors.capture(failing(), LOOKUP)
        assert len(await errors.newest(100)) == 5


async def test_a_resolved_group_comes_back_and_says_so(open_errors: OpenErrors) -> None:
    async with open_errors() as errors:
        await errors.capture(failing(), LOOKUP)
        (group,) = await errors.groups()
        resolved = await errors.resolve(group.group_id.lower(), "local:1")
        assert resolved is not None
        assert resolved.state == "resolved"
    async with open_errors() as errors:
        await errors.capture(failing(), LOOKUP)
        again = await errors.group(group.group_id)
        assert again is not None
        assert (again.state, again.changed_by, again.count) == ("open", "it came back", 2)


async def test_nobody_can_resolve_or_mute_what_is_not_there(open_errors: OpenErrors) -> None:
    async with open_errors() as errors:
        assert await errors.resolve("G-NOTHING", "local:1") is None
        assert await errors.mute("G-NOTHING", 60, "local:1") is None


async def test_a_search_looks_at_command_user_type_and_message_literally(open_errors: OpenErrors) -> None:
    async with open_errors() as errors:
        await errors.capture(failing("50% of it_all!"), LOOKUP)
        await errors.capture(failing("something else", KeyError), Where("other", "local", "99"))
        for query in ("LOOK", "42", "runtime", "50%", "it_all!"):
            assert [record.command for record in await errors.search(query)] == ["lookup"], query
        for query in ("%", "_", "!"):
            assert len(await errors.search(query)) == 1, query
        assert await errors.search("i%all") == []


async def test_a_user_is_forgotten_before_it_is_written(open_errors: OpenErrors) -> None:
    async with open_errors() as errors:
        errors.observe(Outcome("failed", said("!x", "42"), "x", error=failing()))
        errors.observe(Outcome("failed", said("!x", "99"), "x", error=failing()))
        errors.forget_user(("local", "42"))
        await errors.check()
        assert [record.subject for record in await errors.newest(10)] == ["99"]


async def test_clearing_leaves_nothing(open_errors: OpenErrors) -> None:
    async with open_errors() as errors:
        await errors.capture(failing(), LOOKUP)
        dropped = await errors.clear()
        assert [len(dropped.errors), len(dropped.groups), len(dropped.hours)] == [1, 1, 1]
        assert (await errors.newest(10), await errors.groups(), (await errors.figures(7)).total) == ([], [], 0)


async def test_what_no_database_can_hold_is_kept_in_writing(open_errors: OpenErrors) -> None:
    async with open_errors() as errors:
        error_id = await errors.capture(failing("nul \0, half a pair \ud800, \u202eback"), Where("x", "local", "\0"))
        record = await errors.find(error_id)
        assert record is not None
        assert record.message == r"nul \x00, half a pair \ud800, \u202eback"
        assert record.subject == "\ufffd"


async def test_known_secrets_are_taken_out_when_the_error_is_captured(open_errors: OpenErrors) -> None:
    async with open_errors(redact=Redactor(["open sesame!"])) as errors:
        error_id = await errors.capture(
            failing("said open sesame! to https://hooks.slack.com/services/T0/B0/x"), LOOKUP
        )
        record = await errors.find(error_id)
        assert record is not None
        for text in (record.message, record.traceback):
            assert "[redacted] to [redacted webhook URL]" in text
            assert "sesame" not in text


async def test_an_outcome_is_captured_once(open_errors: OpenErrors) -> None:
    timeout, fault = CommandTimeout(30, "handler"), failing("broke", KeyError)
    async with open_errors() as errors:
        errors.observe(Outcome("failed", said("!x"), "x", error=timeout, faults=(("analytics", fault),)))
        errors.observe(Outcome("failed", said("!x"), "x", error=failing(), error_id="E-111111"))
        errors.observe(Outcome("invalid", said("!x"), "x", error=InvalidArgument("n", "a", "a number")))
        errors.observe(Outcome("refused", said("!x"), "x", error=GuardFailed("g", fault), faults=(("g", fault),)))
        await errors.check()
        assert sorted(record.type for record in await errors.newest(10)) == ["CommandTimeout", "KeyError", "KeyError"]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_cancelled_command_still_has_its_error_stored(storage: StorageConfig, clock: FakeClock) -> None:
    async with Database.open(storage, SystemClock()) as database:
        errors = Errors(database, clock, ErrorsConfig(), Random(1))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await errors.capture(failing(), LOOKUP)
        assert len(await errors.newest(10)) == 1
        assert errors.waiting == 0


@pytest.mark.alone
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.promise("P44")
async def test_a_store_that_stalls_delays_a_command_by_a_quarter_second_once(
    storage: StorageConfig, clock: FakeClock
) -> None:
    go_on = threading.Event()
    async with Database.open(storage, SystemClock()) as database, anyio.create_task_group() as tasks:
        errors = Errors(database, clock, ErrorsConfig(), Random(1))
        tasks.start_soon(database.write, _held(go_on))
        await anyio.wait_all_tasks_blocked()
        started = anyio.current_time()
        ids = [await errors.capture(failing(str(n)), LOOKUP) for n in range(5)]
        assert 0.2 < anyio.current_time() - started < 0.6
        assert errors.waiting == 5
        go_on.set()
        await errors.check()
        assert errors.waiting == 0
        assert {record.error_id for record in await errors.newest(10)} == set(ids)
        (group,) = await errors.groups()
        assert group.count == 5


def _held(go_on: threading.Event) -> Callable[[Connection], None]:
    def hold(_: Connection) -> None:
        go_on.wait(10)

    return hold


@pytest.mark.promise("P44")
async def test_a_store_that_is_gone_costs_nothing_but_the_record(storage: StorageConfig, clock: FakeClock) -> None:
    async with Database.open(storage, SystemClock()) as database:
        errors = Errors(database, clock, ErrorsConfig(), Random(1))
    for number in range(1_500):
        assert await errors.capture(failing("x" * (number % 40)), LOOKUP)
    assert errors.waiting <= 1_000
