"""The rate limiter's guard, in a whole bot: a message in; outcome, reply and stored fact out."""

from typing import Any

import pytest

from socbot.bot import Bot
from socbot.config import LadderStep, MiddlewareConfig, RateLimitConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Confirm, Context
from socbot.dispatch.messages import Identity
from socbot.dispatch.outcomes import Mode, Outcome
from socbot.dispatch.replies import Reply
from socbot.testing import OWNER, FakeClock, owner_said, said
from tests.conftest import MakeBot

FIVE = ("blacklist", "rate_limit", "profiler", "analytics", "error_capture")


@command("work", permission="public")
async def work(ctx: Context) -> str:
    """Does something."""
    return "done"


@command("ask", permission="public")
async def ask(ctx: Context) -> Confirm:
    """Asks first."""

    async def act(confirmed: Context) -> Reply:
        return Reply("acted")

    return Confirm("Really?", act)


async def hammer(bot: Bot, clock: FakeClock, seconds: float, author: str = "42", every: float = 0.5) -> list[Outcome]:
    outcomes = []
    for _ in range(int(seconds / every)):
        outcomes.append(await bot.dispatch(said("!work", author)))
        clock.forward(every)
    return outcomes


def title(outcome: Outcome) -> str | None:
    return None if outcome.reply is None else outcome.reply.title


def fields(outcome: Outcome) -> dict[str, str]:
    assert outcome.reply is not None
    return {field.name: field.value for field in outcome.reply.fields}


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_an_abuser_is_limited_warned_timed_out_and_listed(
    make_bot: MakeBot, clock: FakeClock, anyio_backend: str
) -> None:
    async with make_bot(clock=clock, commands=[work]) as bot:
        first = [await bot.dispatch(said("!work")) for _ in range(5)]
        assert [outcome.status for outcome in first] == ["ok"] + ["refused"] * 4
        assert [title(outcome) for outcome in first[1:]] == [
            "⏱️ Rate Limit Exceeded",
            None,
            "⚠️ Rate Limit Warning",
            None,
        ]
        assert fields(first[1]) == {"Remaining": "3.0 s"}
        assert fields(first[3]) == {"Violations": "1 of 3"}
        assert {outcome.refused_by for outcome in first[1:]} == {"rate_limit"}

        clock.forward(60)
        second = [await bot.dispatch(said("!work")) for _ in range(4)]
        assert title(second[-1]) == "🔇 Timed Out"
        assert fields(second[-1]) == {"Violations": "2 of 3"}
        clock.forward(299)
        muted = await bot.dispatch(said("!work"))
        assert (muted.refused_by, muted.reason, muted.reply) == ("rate_limit", "timeout", None)
        clock.forward(1)

        third = [await bot.dispatch(said("!work")) for _ in range(4)]
        assert title(third[-1]) == "🚫 Access Denied"
        assert (await bot.dispatch(said("!work"))).refused_by == "blacklist"
        listed = (await bot.dispatch(owner_said("!blacklist"))).reply
        assert listed is not None
        assert "source rate_limit" in listed.items[0]


async def test_the_burst_limit_says_so(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, commands=[work], rate_limit=RateLimitConfig(cooldown=0.0)) as bot:
        outcomes = [await bot.dispatch(said("!work")) for _ in range(11)]
        assert title(outcomes[10]) == "🚫 Burst Limit Exceeded"
        assert fields(outcomes[10]) == {"Limit": "10 commands in 1m", "Remaining": "6.0 s"}
        assert outcomes[10].trace is not None
        assert outcomes[10].trace.steps[1].note == "burst, admitted in 6.000 s"


@pytest.mark.promise("P35")
async def test_a_flood_is_answered_at_most_once_in_thirty_seconds_but_for_new_violations(
    make_bot: MakeBot, clock: FakeClock
) -> None:
    config = RateLimitConfig(ladder=(LadderStep("warn"),))
    async with make_bot(clock=clock, commands=[work], rate_limit=config) as bot:
        outcomes = await hammer(bot, clock, 600)
        waits = sum(outcome.reply is not None and "Limit Exceeded" in outcome.reply.title for outcome in outcomes)
        warnings = sum(title(outcome) == "⚠️ Rate Limit Warning" for outcome in outcomes)
        assert 0 < waits <= 600 / 30
        assert 0 < warnings <= 600 / 30


@pytest.mark.promise("P35")
async def test_one_who_floods_costs_nobody_else(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, commands=[work]) as bot:
        for _ in range(50):
            await bot.dispatch(said("!work", "42", name="alice"))
        assert (await bot.dispatch(said("!work", "43", name="alice"))).status == "ok"
        assert (await bot.dispatch(said("!work", "42", platform="other"))).status == "ok"


@pytest.mark.promise("P35")
async def test_owner_administrators_and_the_exempt_are_not_limited(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, commands=[work]) as bot:
        await bot.dispatch(owner_said("!rate_limit_exempt 42 1h"))
        for _ in range(30):
            assert (await bot.dispatch(owner_said("!work"))).status == "ok"
            assert (await bot.dispatch(said("!work", "43", admin=True))).status == "ok"
            assert (await bot.dispatch(said("!work", "42"))).status == "ok"
        assert (await bot.dispatch(said("!work", "43", admin=True, guild=None))).status == "ok"
        assert (await bot.dispatch(said("!work", "43", admin=True, guild=None))).status == "refused"
        clock.forward(3600)
        assert [(await bot.dispatch(said("!work", "42"))).status for _ in range(2)] == ["ok", "refused"]


@pytest.mark.promise("P35")
async def test_an_owner_who_is_not_exempt_is_never_punished(make_bot: MakeBot, clock: FakeClock) -> None:
    config = RateLimitConfig(exempt_owner=False, exempt_admins=False, ladder=(LadderStep("blacklist"),))
    async with make_bot(clock=clock, commands=[work], rate_limit=config) as bot:
        outcomes = [await bot.dispatch(owner_said("!work")) for _ in range(4)]
        assert title(outcomes[3]) == "⚠️ Rate Limit Warning"
        assert not bot.blacklist.is_listed("user", OWNER)
        clock.forward(3)
        assert (await bot.dispatch(owner_said("!work"))).status == "ok"


async def test_in_shadow_mode_nobody_is_punished(make_bot: MakeBot, clock: FakeClock) -> None:
    chain = tuple(MiddlewareConfig(name, "shadow" if name == "rate_limit" else "enforce") for name in FIVE)
    async with make_bot(clock=clock, commands=[work], middleware=chain) as bot:
        outcomes = await hammer(bot, clock, 60)
        assert {outcome.status for outcome in outcomes} == {"ok"}
        assert outcomes[1].trace is not None
        assert outcomes[1].trace.would_refuse == ("rate_limit",)
        assert (await bot.rate_limiter.stats()).violations == 0


@pytest.mark.promise("P23")
async def test_where_it_stands_before_the_blacklist_the_listed_are_told_nothing(
    make_bot: MakeBot, clock: FakeClock
) -> None:
    chain = tuple(MiddlewareConfig(name) for name in ("rate_limit", "blacklist", *FIVE[2:]))
    async with make_bot(clock=clock, commands=[work], middleware=chain) as bot:
        await bot.dispatch(owner_said("!blacklist_add user 42 spam"))
        outcomes = await hammer(bot, clock, 60)
        assert {outcome.status for outcome in outcomes} == {"refused"}
        assert {outcome.reply for outcome in outcomes} == {None}
        assert (await bot.rate_limiter.stats()).violations == 0


class Platform:
    """Writes down whom it silences."""

    def __init__(self, why_not: str | None = None) -> None:
        self.asked: list[tuple[Identity, str, float]] = []
        self.why_not = why_not

    async def time_out(self, identity: Identity, guild: str, seconds: float, reason: str) -> str | None:
        self.asked.append((identity, guild, seconds))
        return self.why_not

    async def lift(self, identity: Identity, guild: str, until: float) -> str | None:
        return self.why_not


@pytest.mark.parametrize(
    ("why_not", "told"),
    [
        (None, "you are timed out in this community, and the bot does not answer you anywhere, for 5m."),
        ("missing permission", "You kept exceeding the limits: the bot does not answer you for 5m."),
    ],
)
async def test_who_is_timed_out_hears_what_really_happened(
    make_bot: MakeBot, clock: FakeClock, why_not: str | None, told: str
) -> None:
    platform = Platform(why_not)
    async with make_bot(clock=clock, commands=[work]) as bot:
        bot.rate_limiter.enforce_with("local", platform)
        outcomes = await hammer(bot, clock, 120)
    (notice,) = [outcome.reply for outcome in outcomes if title(outcome) == "🔇 Timed Out"]
    assert notice is not None
    assert told in notice.text
    assert platform.asked == [(("local", "42"), "g1", 300.0)]


async def test_an_administrator_is_not_asked_to_be_silenced(make_bot: MakeBot, clock: FakeClock) -> None:
    platform, config = Platform(), RateLimitConfig(exempt_admins=False, ladder=(LadderStep("timeout", 60.0),))
    async with make_bot(clock=clock, commands=[work], rate_limit=config) as bot:
        bot.rate_limiter.enforce_with("local", platform)
        outcomes = [await bot.dispatch(said("!work", admin=True)) for _ in range(4)]
        assert title(outcomes[-1]) == "🔇 Timed Out"
        assert (await bot.rate_limiter.stats()).enforced == (("bot mute only: an administrator", 1),)
    assert platform.asked == []


@pytest.mark.promise("P23")
@pytest.mark.parametrize("mode", ["enforce", "shadow"])
async def test_the_platform_silences_nobody_who_is_listed_and_nobody_in_shadow_mode(
    make_bot: MakeBot, clock: FakeClock, mode: Mode
) -> None:
    platform = Platform()
    chain = (MiddlewareConfig("rate_limit", mode), *(MiddlewareConfig(name) for name in ("blacklist", *FIVE[2:])))
    async with make_bot(clock=clock, commands=[work], middleware=chain) as bot:
        bot.rate_limiter.enforce_with("local", platform)
        if mode == "enforce":
            await bot.dispatch(owner_said("!blacklist_add user 42 spam"))
        await hammer(bot, clock, 60)
        assert (await bot.rate_limiter.stats()).violations == 0
    assert platform.asked == []


async def test_a_confirmed_action_is_not_counted_again(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, commands=[ask, work]) as bot:
        reply = (await bot.dispatch(said("!ask"))).reply
        assert reply is not None
        assert reply.question is not None
        outcome = await bot.dispatch(said(f"confirm {reply.question.code}"))
        assert outcome.reply == Reply("acted")


async def test_a_timed_out_user_confirms_nothing(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, commands=[ask]) as bot:
        reply = (await bot.dispatch(said("!ask"))).reply
        assert reply is not None
        assert reply.question is not None
        for _ in range(2):
            await bot.rate_limiter.violate(("local", "42"), "ask")
        assert (await bot.dispatch(said(f"confirm {reply.question.code}"))).refused_by == "rate_limit"


async def test_unknown_commands_use_nothing(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, commands=[work]) as bot:
        for number in range(20):
            assert (await bot.dispatch(said(f"!junk{number}"))).status == "unknown"
        assert (await bot.dispatch(said("!work"))).status == "ok"
        await bot.telemetry.flush()
        assert (await bot.rate_limiter.stats()).refusals == ()


async def test_when_a_violation_cannot_be_stored_the_command_is_refused_all_the_same(
    make_bot: MakeBot, clock: FakeClock
) -> None:
    async with make_bot(clock=clock, commands=[work]) as bot:
        await bot.rate_limiter._database.write(lambda db: db.change("ALTER TABLE rate_limit_violations RENAME TO gone"))
        outcomes = [await bot.dispatch(said("!work")) for _ in range(5)]
        assert [outcome.status for outcome in outcomes] == ["ok"] + ["refused"] * 4
        assert outcomes[3].reason == "guard failed"


async def test_two_starts_a_second_apart_are_two_commands_of_one_user(make_bot: MakeBot) -> None:
    clock: Any = FakeClock()
    async with make_bot(clock=clock, commands=[work]) as bot:
        assert (await bot.dispatch(said("!work"))).status == "ok"
    clock = FakeClock(clock.time() + 1, monotonic=77.0)
    async with make_bot(clock=clock, commands=[work]) as bot:
        outcome = await bot.dispatch(said("!work"))
        assert (outcome.status, outcome.reason) == ("refused", "cooldown")
        assert fields(outcome) == {"Remaining": "2.0 s"}
    clock = FakeClock(clock.time() + 2, monotonic=5.0)
    async with make_bot(clock=clock, commands=[work]) as bot:
        assert (await bot.dispatch(said("!work"))).status == "ok"
