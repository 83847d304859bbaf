import pytest

from socbot.bot import Bot
from socbot.config import RateLimitConfig
from socbot.dispatch.messages import Identity
from socbot.dispatch.replies import Reply
from socbot.testing import FakeClock, owner_said, said
from tests.conftest import MakeBot

MALLORY = ("local", "42")


async def ask(bot: Bot, text: str) -> Reply:
    outcome = await bot.dispatch(owner_said(text))
    assert outcome.status in ("ok", "invalid", "refused"), outcome.error
    assert outcome.reply is not None
    return outcome.reply


def fields(reply: Reply) -> dict[str, str]:
    return {field.name: field.value for field in reply.fields}


async def test_anybody_may_ask_how_they_stand_and_the_owner_about_others(make_bot: MakeBot, clock: FakeClock) -> None:
    config = RateLimitConfig(cooldowns={"ping": 60.0})
    async with make_bot(clock=clock, rate_limit=config) as bot:
        await bot.dispatch(said("!ping"))
        clock.forward(4)
        own = (await bot.dispatch(said("!rate_limit_status"))).reply
        assert own is not None
        assert fields(own) == {
            "Used": "2 of 10 commands in 1m",
            "Next command": "in 3.0 s",
            "Cooldowns running": "ping 56.0 s",
            "Violations": "0 of 3",
            "Exempt": "no",
        }
        assert fields(await ask(bot, "!rate_limit_status 42")) == fields(own)
        assert fields(await ask(bot, "!rate_limit_status"))["Exempt"] == "the owner is exempt"
        clock.forward(10)
        refused = await bot.dispatch(said("!rate_limit_status 43"))
        assert refused.reply is not None
        assert "Only the owner" in refused.reply.text


async def test_a_timeout_shows_and_is_lifted(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        for _ in range(2):
            await bot.rate_limiter.violate(MALLORY, "ping")
        standing = fields(await ask(bot, "!rate_limit_status 42"))
        assert (standing["Timed out"], standing["Violations"], standing["Next command"]) == (
            "for 300 s",
            "2 of 3",
            "in 300.0 s",
        )
        assert "2 violations" in (await ask(bot, "!reset_violations 42")).text
        assert "Timed out" not in fields(await ask(bot, "!rate_limit_status 42"))
        assert (await bot.dispatch(said("!ping"))).status == "ok"


class Platform:
    """Silences; refuses to end it, as long as it has a reason."""

    why_not: str | None = "missing permission @everyone"

    async def time_out(self, identity: Identity, guild: str, seconds: float, reason: str) -> str | None:
        return None

    async def lift(self, identity: Identity, guild: str, until: float) -> str | None:
        return self.why_not


async def test_what_a_platform_really_did_is_shown(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        platform = Platform()
        bot.rate_limiter.enforce_with("local", platform)
        for _ in range(2):
            await bot.rate_limiter.violate(MALLORY, "ping", "g1")
        assert fields(await ask(bot, "!rate_limit_status 42"))["Carried out as"] == "local timeout"
        assert "timeouts carried out as local timeout: 1" in (await ask(bot, "!rate_limit_stats")).items
        reply = await ask(bot, "!reset_violations 42")
        assert reply.tone == "warn"
        assert reply.items == ("The timeout in `g1` was not lifted: missing permission ＠everyone",)
        platform.why_not = None
        reply = await ask(bot, "!rate_limit_exempt 42")
        assert (reply.tone, reply.items) == ("ok", ("The timeout in `g1` is lifted.",))


async def test_a_commands_cooldown_is_set_at_once_and_kept(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        assert (await ask(bot, "!set_command_cooldown ping 90s")).text == "Cooldown of `ping`: none → 1m30s"
        await bot.dispatch(said("!ping"))
        clock.forward(89)
        assert (await bot.dispatch(said("!ping"))).reason == "command cooldown"
        assert (await ask(bot, "!set_command_cooldown ping 5")).text == "Cooldown of `ping`: 1m30s → 5s"
        clock.forward(5)
        assert (await bot.dispatch(said("!ping"))).status == "ok"
    async with make_bot(clock=clock) as bot:
        assert (await ask(bot, "!set_command_cooldown ping 0")).text == "Cooldown of `ping`: 5s → none"
        assert [(await bot.dispatch(said("!ping"))).reason for _ in range(2)][1] == "cooldown"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("!set_command_cooldown", "command: missing"),
        ("!set_command_cooldown pingg 5", "did you mean ping"),
        ("!set_command_cooldown ping", "cooldown: missing"),
        ("!set_command_cooldown ping soon", "cooldown: `soon` is not a duration"),
        ("!set_command_cooldown ping -5", "cooldown: `-5` is not a duration"),
        ("!set_command_cooldown ping 1e99", "cooldown: `1e99` is not a duration"),
        ("!reset_violations", "user: missing"),
        ("!rate_limit_test 42 nope", "command: `nope` is not a command"),
        ("!rate_limit_test 42 ping 0", "count: `0` is not a whole number from 1 to 100"),
        ("!rate_limit_exempt 42 1s", "duration: `1s` is not a duration"),
    ],
)
async def test_a_wrong_argument_gets_one_short_answer(
    make_bot: MakeBot, clock: FakeClock, text: str, answer: str
) -> None:
    async with make_bot(clock=clock) as bot:
        assert answer in str(await ask(bot, text))


async def test_exemptions_toggle_and_end(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        assert (await ask(bot, "!rate_limit_exempt")).text == "Nobody by name."
        assert (await ask(bot, "!rate_limit_exempt 42")).text == "`42` is exempt for ever."
        assert (
            await ask(bot, "!rate_limit_exempt 43 2h")
        ).text == f"`43` is exempt until <t:{int(clock.time() + 7200)}>."
        assert len((await ask(bot, "!rate_limit_exempt")).items) == 2
        assert fields(await ask(bot, "!rate_limit_status 42"))["Exempt"] == "on the list of the exempt"
        assert (await ask(bot, "!rate_limit_exempt 42")).text == "`42` is limited again."
        clock.forward(7200)
        assert (await ask(bot, "!rate_limit_exempt")).items == ()


async def test_a_test_tries_and_touches_nothing(make_bot: MakeBot, clock: FakeClock) -> None:
    config = RateLimitConfig(cooldown=0.0, burst=3)
    async with make_bot(clock=clock, rate_limit=config) as bot:
        for _ in range(2):
            reply = await ask(bot, "!rate_limit_test 42 ping 4")
            assert reply.items == (
                "1. allowed",
                "2. allowed",
                "3. allowed",
                "4. refused (burst), allowed in 20.0 s",
            )
        assert len((await ask(bot, "!rate_limit_test")).items) == 15
        assert "the owner is exempt" in (await ask(bot, "!rate_limit_test")).text
        assert fields(await ask(bot, "!rate_limit_status 42"))["Used"] == "0 of 3 commands in 1m"


async def test_the_figures(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock) as bot:
        for _ in range(5):
            await bot.dispatch(said("!ping"))
        await bot.rate_limiter.violate(("other", "7"), "ping")
        await bot.telemetry.flush()
        reply = await ask(bot, "!rate_limit_stats")
        assert fields(reply) == {"Violations": "2", "Warned": "2", "Timed out": "0", "Blacklisted": "0"}
        assert reply.items == ("`42`: 1 violations", "`other:7`: 1 violations", "`ping`: refused 4 times")
