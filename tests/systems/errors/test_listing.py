"""Groups of errors as they are listed: in an order, by what they are like, with their course."""

from random import Random

from socbot.config import ErrorsConfig, StorageConfig
from socbot.dispatch.clock import SystemClock
from socbot.storage.database import Database
from socbot.systems.errors import Errors, Listed, Wanted, Where
from socbot.testing import FakeClock

HOUR = 3_600.0


async def capture(errors: Errors, error: Exception, command: str = "ping", subject: str = "7") -> str:
    """The group's id."""
    record = await errors.find(await errors.capture(error, Where(command, "local", subject)))
    assert record is not None
    return record.group_id


async def test_a_listing_says_how_each_group_stands_and_goes(either_storage: StorageConfig, clock: FakeClock) -> None:
    async with Database.open(either_storage, SystemClock()) as database:
        errors = Errors(database, clock, ErrorsConfig(), Random(1))
        began = clock.time()
        value = await capture(errors, ValueError("x"))
        await capture(errors, ValueError("x"), subject="8")
        clock.forward(HOUR)
        key = await capture(errors, KeyError("y"), "help")
        clock.forward(HOUR)
        lost = await capture(errors, OSError("z"))
        now = clock.time()

        async def listed(**wanted: object) -> list[Listed]:
            return list(await errors.listing(Wanted(began, **wanted)))  # type: ignore[arg-type]

        assert [each.group.group_id for each in await listed()] == [lost, key, value]
        often = await listed(order="frequent")
        assert (often[0].group.group_id, often[0].within, often[0].group.users) == (value, 2, 2)
        assert (often[0].message, often[1].message) == ("x", "z")
        assert often[0].hours == ((began // HOUR * HOUR, 2),)
        assert [each.group.group_id for each in await listed(limit=1, skip=1)] == [key]
        assert [each.group.group_id for each in await listed(command="help")] == [key]
        assert [each.group.group_id for each in await listed(severity="info")] == [lost]

        await errors.resolve(value, "local:owner")
        await errors.mute(key, 60, "local:owner")
        assert await errors.standings() == {"resolved": 1, "muted": 1, "open": 1}
        await capture(errors, ValueError("x"))
        assert {each.group.group_id: each.standing for each in await listed()} == {
            value: "came back", key: "muted", lost: "open",
        }  # fmt: skip
        assert [each.group.group_id for each in await listed(standing="came back")] == [value]
        clock.forward(61)
        assert await errors.standings() == {"came back": 1, "open": 2}
        for each in await listed():
            assert errors.standing(each.group) == each.standing

        first, second, third = (at // HOUR * HOUR for at in (began, began + HOUR, now))
        assert await errors.totals(began) == ((first, 2), (second, 1), (third, 2))
        assert await errors.course(value, began) == ((first, 2), (third, 1))
        assert await errors.by_command(began) == (("ping", 4), ("help", 1))
        assert await errors.commands() == ("ping", "help")
        assert len(await errors.occurrences(value)) == 3
        assert [record.type for record in await errors.of_user(("local", "8"))] == ["ValueError"]
        assert await listed(standing="resolved") == []


async def test_the_pace_counts_towards_what_is_too_fast(either_storage: StorageConfig, clock: FakeClock) -> None:
    async with Database.open(either_storage, SystemClock()) as database:
        errors = Errors(database, clock, ErrorsConfig(error_rate_threshold=2), Random(1))
        await capture(errors, ValueError("x"))
        assert (errors.pace.count, errors.pace.since) == (1, None)
        await capture(errors, ValueError("x"))
        assert (errors.pace.count, errors.pace.threshold, errors.pace.since) == (2, 2, clock.time())
        clock.forward(301)
        assert errors.pace.count == 0
