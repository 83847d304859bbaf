"""Names that are offered while somebody types."""

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.config import Config
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.systems.completions import LONGEST, MOST, Completions, fitting
from socbot.testing import FakeClock, owner_said
from tests.conftest import MakeBot


def test_what_begins_with_it_comes_before_what_has_it_anywhere() -> None:
    names = ["reset_errors", "error_stats", "ERROR_search", "ping"]
    assert fitting(names, " Error") == ("error_stats", "ERROR_search", "reset_errors")


def test_without_anything_typed_the_first_are_offered_in_the_order_of_the_source() -> None:
    names = [f"job{number:03}" for number in reversed(range(40))]
    assert fitting(names, "") == tuple(names[:MOST])


@given(st.lists(st.text(max_size=120)), st.text(max_size=3), st.integers(1, 30))
def test_whatever_is_offered_fits_and_is_offered_once(names: list[str], typed: str, limit: int) -> None:
    found = fitting(names, typed, limit)
    assert len(found) <= limit
    assert len(set(found)) == len(found)
    assert all(0 < len(name) <= LONGEST and typed.strip().casefold() in name.casefold() for name in found)


@given(st.lists(st.text("ab", min_size=1, max_size=4)), st.text("ab", max_size=2))
def test_nothing_that_fits_is_held_back_while_there_is_room(names: list[str], typed: str) -> None:
    assert set(fitting(names, typed, len(names) + 1)) == {name for name in names if typed in name}


def test_a_source_without_end_is_not_read_to_its_end() -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "name"

    assert fitting(endless(), "other") == ()


async def test_a_source_may_have_to_wait() -> None:
    completions = Completions()

    async def looked_up(typed: str) -> Iterable[str]:
        return [f"{typed}-1", f"{typed}-2"]

    completions.offer("ticket", looked_up)
    assert await completions.find("ticket", "T") == ("T-1", "T-2")
    assert await completions.find("unheard of", "T") == ()


async def test_what_is_not_for_whoever_types_takes_no_place() -> None:
    completions = Completions()
    completions.offer("command", lambda typed: (f"command{number}" for number in range(100)))
    found = await completions.find("command", "", 3, keep=lambda name: name.endswith("9"))
    assert found == ("command9", "command19", "command29")


def test_a_kind_has_one_source() -> None:
    completions = Completions()
    completions.offer("job", lambda typed: ())
    with pytest.raises(ValueError, match="'job' are offered already"):
        completions.offer("job", lambda typed: ())


@command("fail", permission="public")
async def fail(ctx: Context) -> None:
    """Goes wrong."""
    raise RuntimeError("wrong")


async def test_a_bot_knows_the_names_of_what_it_has(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, commands=[fail]) as bot:
        find = bot.completions.find
        failed = await bot.dispatch(owner_said("!fail"))
        await bot.errors.flush()
        newest = (await bot.errors.newest(1))[0]
        assert failed.error_id == newest.error_id

        assert await find("error", "") == (newest.error_id,)
        assert await find("group", "") == (newest.group_id,)
        listed = tuple(each.name for each in bot.dispatcher.registry if each.group == "blacklist")
        assert set(await find("command", "BLACK")) == set(listed)
        assert await find("system", "anal") == ("analytics",)
        assert (await find("topic", "errors"))[0] == "errors"
        assert "clear_errors" in await find("topic", "errors")
        assert "monitor" in await find("job", "")
        assert await find("middleware", "rate") == ("rate_limit",)
        assert await find("setting", "errors.max") == ("errors.max_errors",)
        assert await find("setting:errors", "max") == ("max_errors",)


async def test_whatever_an_argument_completes_is_offered(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        wanted = {p.completes for each in bot.dispatcher.registry for p in each.parameters if p.completes}
        assert wanted >= {"command", "job", "error", "group", "topic", "middleware", "setting", "setting:errors"}
        assert wanted <= bot.completions.kinds


async def test_every_key_that_is_offered_can_be_shown(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        for section in Config.__struct_fields__:
            for name in await bot.completions.find(f"setting:{section}", "", limit=1_000):
                outcome = await bot.dispatch(owner_said(f"!config {section}.{name}"))
                if name != section:  # a section that is one value, as the chain is
                    assert outcome.status == "ok", (section, name, outcome)
