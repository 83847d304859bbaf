"""What becomes of a command when one of the five middleware breaks: guards fail closed, observers open."""

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.outcomes import Outcome
from socbot.storage.telemetry import Telemetry
from socbot.systems.blacklist import Blacklist
from socbot.systems.errors import Errors
from socbot.systems.rate_limit import RateLimiter
from socbot.testing import owner_said, said
from tests.conftest import MakeBot

pytestmark = pytest.mark.promise("P24")


class NotAnException(BaseException):
    """What some libraries end a program with."""


KINDS: list[Callable[[], BaseException]] = [
    lambda: ValueError("wrong"),
    NotAnException,
    lambda: SystemExit(3),
    asyncio.CancelledError,
    lambda: ExceptionGroup("several", [ValueError("one"), KeyError("two")]),
    lambda: BaseExceptionGroup("several", [NotAnException(), KeyError("two")]),
]
GUARDS: dict[str, tuple[type, str]] = {"blacklist": (Blacklist, "listed"), "rate_limit": (RateLimiter, "hit")}
OBSERVERS: dict[str, tuple[type, str]] = {
    "profiler and analytics": (Telemetry, "record"),  # both read what it keeps, and do nothing on a command's way
    "error_capture": (Errors, "capture"),
    "what looks for errors afterwards": (Errors, "observe"),
}

reached: list[str] = []


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@command("work", permission="public")
async def work(ctx: Context) -> str:
    """Does something."""
    reached.append("work")
    return "done"


@command("guarded", permission="admin")
async def guarded(ctx: Context) -> str:
    """Does something that not everybody may."""
    reached.append("guarded")
    return "done"


@command("fail", permission="public")
async def fail(ctx: Context) -> str:
    """Fails."""
    reached.append("fail")
    raise LookupError("broken handler")


def broken(make: Callable[[], BaseException]) -> Callable[..., NoReturn]:
    def breaks(*arguments: Any, **more: Any) -> NoReturn:
        raise make()

    return breaks


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("name", GUARDS)
async def test_a_guard_that_breaks_denies_and_that_is_on_record(
    make_bot: MakeBot, name: str, make: Callable[[], BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    reached.clear()
    async with make_bot(commands=[work, guarded]) as bot:
        monkeypatch.setattr(*GUARDS[name], broken(make))
        outcomes: list[Outcome] = []
        bot.dispatcher.observe(outcomes.append)
        for message in (said("!work"), said("!guarded", admin=name == "blacklist")):
            outcome = await bot.dispatch(message)
            assert (outcome.status, outcome.refused_by, outcome.reason) == ("refused", name, "guard failed")
            assert outcome.trace is not None
            assert outcome.trace.blamed == (name,)
        assert reached == []
        assert len(outcomes) == 2
        monkeypatch.undo()
        records = [(each.who, each.action, each.result) for each in await bot.audit.entries()]
        assert records == [("local:42", "guarded", f"refused: {name}")]
        await bot.errors.flush()
        assert [each.type for each in await bot.errors.newest(10)] == [type(make()).__name__] * 2


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("name", OBSERVERS)
async def test_an_observer_that_breaks_costs_nobody_the_answer(
    make_bot: MakeBot, name: str, make: Callable[[], BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    reached.clear()
    monkeypatch.setattr(*OBSERVERS[name], broken(make))
    answers: list[Outcome] = []

    async def answer(outcome: Outcome) -> None:
        answers.append(outcome)

    async with make_bot(commands=[work, fail]) as bot:
        for text, author in (("!work", "1"), ("!fail", "2")):
            assert bot.submit(said(text, author), answer) is None
        assert str((await bot.dispatch(owner_said("!ping"))).reply).startswith("Pong")
        await bot.dispatcher.drain(5.0)
        monkeypatch.undo()
    assert sorted(reached) == ["fail", "work"]
    assert sorted((outcome.message.text, outcome.status) for outcome in answers) == [
        ("!fail", "failed"),
        ("!work", "ok"),
    ]
    assert all(outcome.reply is not None for outcome in answers)
