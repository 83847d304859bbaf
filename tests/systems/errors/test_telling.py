"""What the owner is told, and when."""

import anyio
import pytest

from socbot.config import ErrorsConfig
from socbot.dispatch.replies import Reply
from socbot.systems.errors import Errors, Where
from socbot.testing import FakeClock
from tests.systems.errors.conftest import OpenErrors, Owner

CRITICAL, RATE, BACK, RECOVERED = (
    "🚨 Critical Error Detected",
    "⚠️ High Error Rate Detected",
    "🔁 Resolved Error Is Back",
    "✅ Error Rate Back to Normal",
)


async def fail(errors: Errors, what: str = "a", kind: type[Exception] = OSError) -> str:
    try:
        raise kind(what)
    except Exception as error:
        return await errors.capture(error, Where("lookup", "local", "42"))


async def test_a_critical_error_is_told_at_once_with_its_id(open_errors: OpenErrors, owner: Owner) -> None:
    async with open_errors() as errors:
        error_id = await fail(errors, "no `host` @everyone", KeyError)
        await errors.check()
        (notice,) = owner.told
        assert notice.title == CRITICAL
        assert notice.private
        facts = {field.name: field.value for field in notice.fields}
        assert facts["Error Type"] == "KeyError"
        assert (facts["Command"], facts["Severity"], facts["Error id"]) == ("lookup", "critical", f"`{error_id}`")
        assert "@everyone" not in facts["Message"]


async def test_what_is_not_critical_is_not_told(open_errors: OpenErrors, owner: Owner) -> None:
    async with open_errors() as errors:
        for _ in range(4):
            await fail(errors)
        await errors.check()
        assert owner.told == []


async def test_a_critical_error_is_told_once_until_it_has_been_quiet(
    open_errors: OpenErrors, owner: Owner, clock: FakeClock
) -> None:
    async with open_errors() as errors:
        for _ in range(10):
            await fail(errors, kind=KeyError)
            clock.forward(200)  # too seldom for a high rate, too often to be news
            await errors.check()
        assert owner.titles == [CRITICAL]
        clock.forward(301)
        await fail(errors, kind=KeyError)
        await errors.check()
        assert owner.titles == [CRITICAL, CRITICAL]


async def test_critical_errors_within_a_minute_of_one_are_told_together(
    open_errors: OpenErrors, owner: Owner, clock: FakeClock
) -> None:
    async with open_errors() as errors:
        for what in ("a", "b", "c"):
            await fail(errors, what, TypeError)
            await errors.check()
        assert owner.titles == [CRITICAL]
        clock.forward(60)
        await errors.check()
        assert owner.titles == [CRITICAL, CRITICAL]
        assert "And 1 more" in owner.told[1].text


async def test_a_high_rate_is_told_once_and_its_end_as_well(
    open_errors: OpenErrors, owner: Owner, clock: FakeClock
) -> None:
    async with open_errors() as errors:
        for _ in range(4):
            await fail(errors)
        await errors.check()
        assert owner.told == []
        for _ in range(10):
            await fail(errors)
            await errors.check()
            clock.forward(30)
        assert owner.titles == [RATE]
        assert "OSError (" in str(owner.told[0])
        clock.forward(300)
        await errors.check()
        assert owner.titles == [RATE, RECOVERED]
        assert "14 errors" in owner.told[1].text
        clock.forward(3_600)
        await errors.check()
        assert owner.titles == [RATE, RECOVERED]


async def test_a_rate_about_the_threshold_does_not_flap(
    open_errors: OpenErrors, owner: Owner, clock: FakeClock
) -> None:
    async with open_errors() as errors:
        for _ in range(30):  # between four and five in five minutes
            await fail(errors)
            await errors.check()
            clock.forward(65)
        assert owner.titles in ([RATE], [])
        for _ in range(30):
            await fail(errors)
            await errors.check()
            clock.forward(59 if _ % 2 else 70)
        assert owner.titles in ([RATE], [])


async def test_an_episode_that_goes_on_is_told_every_hour(
    open_errors: OpenErrors, owner: Owner, clock: FakeClock
) -> None:
    async with open_errors() as errors:
        for _ in range(3 * 60):
            await fail(errors)
            await errors.check()
            clock.forward(40)
        assert owner.titles == [RATE, RATE]


async def test_a_new_critical_error_is_told_in_an_old_episode(
    open_errors: OpenErrors, owner: Owner, clock: FakeClock
) -> None:
    async with open_errors() as errors:
        for _ in range(20):
            await fail(errors)
            await errors.check()
            clock.forward(30)
        await fail(errors, kind=KeyError)
        await errors.check()
        assert owner.titles == [RATE, CRITICAL]


@pytest.mark.promise("P44")
async def test_ten_thousand_errors_in_a_minute_make_three_notices_and_a_thousand_records(
    open_errors: OpenErrors, owner: Owner, clock: FakeClock
) -> None:
    async with open_errors() as errors:
        for number in range(10_000):
            await fail(errors, "x" * (number % 20), TypeError if number % 2 else OSError)
            if number % 100 == 0:
                clock.forward(0.6)
                await errors.check()
        for _ in range(20):
            clock.forward(60)
            await errors.check()
        assert owner.titles == [CRITICAL, RATE, RECOVERED] or owner.titles == [RATE, RECOVERED]
        assert "10000 errors" in owner.told[-1].text
        assert len(await errors.newest(100_000)) == 1_000
        groups = await errors.groups()
        assert len(groups) == 20
        assert sum(group.count for group in groups) == 10_000
        assert (await errors.figures(1)).total == 10_000


async def test_a_muted_group_is_kept_and_not_told(open_errors: OpenErrors, owner: Owner, clock: FakeClock) -> None:
    async with open_errors() as errors:
        await fail(errors, kind=KeyError)
        (group,) = await errors.groups()
        await errors.check()
        clock.forward(1_000)
        await errors.mute(group.group_id, 3_600, "owner")
    async with open_errors() as errors:  # also after a restart
        for _ in range(20):
            await fail(errors, kind=KeyError)
        await errors.check()
        assert owner.titles == [CRITICAL]
        clock.forward(3_601)
        await fail(errors, kind=KeyError)
        await errors.check()
        assert owner.titles == [CRITICAL, CRITICAL]
        assert (await errors.groups())[0].count == 22


async def test_a_resolved_error_that_comes_back_is_told(open_errors: OpenErrors, owner: Owner) -> None:
    async with open_errors() as errors:
        await fail(errors)
        (group,) = await errors.groups()
        await errors.resolve(group.group_id, "owner")
        await fail(errors)
        await fail(errors)
        await errors.check()
        assert owner.titles == [BACK]
        assert group.group_id in owner.told[0].text


async def test_notices_can_be_switched_off(open_errors: OpenErrors, owner: Owner) -> None:
    async with open_errors(ErrorsConfig(notify=False)) as errors:
        for _ in range(10):
            await fail(errors, kind=KeyError)
        await errors.check()
        errors.configure(ErrorsConfig(notify_owner_on_critical=False))
        for _ in range(10):
            await fail(errors, "another", KeyError)
        await errors.check()
        assert owner.told == []


@pytest.mark.promise("P44")
async def test_a_notice_that_fails_makes_no_error(open_errors: OpenErrors, owner: Owner) -> None:
    async def unreachable(reply: Reply) -> None:
        raise ConnectionError("the owner is away")

    async with open_errors() as errors:
        errors._notify = unreachable
        await fail(errors, kind=KeyError)
        await errors.check()
        assert errors.notices_lost == 1
        assert len(await errors.newest(10)) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_the_job_tells_without_being_asked_and_ends_when_it_is_cancelled(
    open_errors: OpenErrors, owner: Owner, clock: FakeClock
) -> None:
    told = anyio.Event()

    async def notify(reply: Reply) -> None:
        await owner(reply)
        told.set()

    async with open_errors() as errors, anyio.create_task_group() as tasks:
        errors._notify = notify
        tasks.start_soon(errors.run)
        await anyio.wait_all_tasks_blocked()
        await fail(errors, kind=KeyError)
        with anyio.fail_after(5):
            await told.wait()
        tasks.cancel_scope.cancel()
    assert owner.titles == [CRITICAL]
