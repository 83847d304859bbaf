from collections.abc import AsyncIterator
from random import Random

import pytest

from socbot.config import DiscordConfig
from socbot.dispatch.replies import Reply
from socbot.shards import Shards
from socbot.testing import FakeClock
from socbot.transports.discord.faults import DiscordRefused
from socbot.transports.discord.preflight import NO_MEMBERS, NO_MESSAGE_CONTENT, Preflight, look_ahead
from socbot.transports.discord.requests import RequestGate
from tests.standin import Standin
from tests.transports.discord.clocks import HastyClock


@pytest.fixture
async def standin(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Standin]:
    async with Standin(shards=3) as standin:
        standin.point_discord_py(monkeypatch)
        yield standin


@pytest.fixture
def clock() -> HastyClock:
    return HastyClock()


async def look(standin: Standin, clock: FakeClock | None = None, token: str = "", **options: object) -> Preflight:
    def tell(reply: Reply) -> None:
        raise AssertionError(reply)

    clock = clock or FakeClock()
    config = DiscordConfig(token=token or standin.token, **options)  # type: ignore[arg-type]
    return await look_ahead(config, clock, Random(1), RequestGate(clock, tell))


async def test_it_asks_who_the_bot_is_without_logging_in(standin: Standin) -> None:
    standin.gateway.remaining, standin.gateway.reset_after = 321, 60.5
    found = await look(standin)
    assert str(found.user_id) == standin.bot.id
    assert str(found.application_id) == standin.application.id
    assert [str(id) for id in found.owner_ids] == [standin.application.owner.id]
    assert (found.shard_ids, found.shard_count) == ((0, 1, 2), 3)
    assert (found.limit.total, found.limit.remaining, found.limit.reset_after) == (1000, 321, 60.5)
    assert found.gateway == f"{standin.gateway.url}/gateway"
    assert standin.gateway.identifies == []
    assert found.warnings == ()


async def test_shards_are_those_that_the_configuration_names(standin: Standin) -> None:
    assert (await look(standin, shards="1-2/16")).shards == Shards((1, 2), 16)


async def test_of_a_team_those_are_owners_who_may_change_the_application(standin: Standin) -> None:
    alice, bob, eve = (standin.user(name) for name in ("alice", "bob", "eve"))
    standin.application.team = [alice, bob]
    standin.application.invited_to_team = [eve]
    found = await look(standin)
    assert {str(id) for id in found.owner_ids} == {alice.id, bob.id}


@pytest.mark.parametrize("verified", [False, True])
async def test_privileged_intents_are_asked_for_where_the_application_has_them(
    standin: Standin, verified: bool
) -> None:
    standin.application.verified = verified
    found = await look(standin)
    assert found.intents.message_content
    assert found.intents.members
    assert not found.intents.presences


async def test_without_them_it_says_what_will_not_work(standin: Standin) -> None:
    standin.application.message_content = standin.application.members = False
    found = await look(standin)
    assert not found.intents.message_content
    assert not found.intents.members
    assert found.intents.guild_messages
    assert found.intents.dm_messages
    assert found.warnings == (NO_MESSAGE_CONTENT, NO_MEMBERS)


async def test_the_configuration_has_the_last_word(standin: Standin) -> None:
    standin.application.members = False
    found = await look(standin, message_content="off", members="on")
    assert not found.intents.message_content
    assert found.intents.members
    [warning] = found.warnings
    assert "discord.members is on" in warning


@pytest.mark.promise("P15")
async def test_a_wrong_token_is_refused_after_one_request(standin: Standin, clock: HastyClock) -> None:
    with pytest.raises(DiscordRefused) as raised:
        await look(standin, clock, token="a" + standin.token)
    assert len(standin.limits.seen) == 1
    assert "Reset Token" in raised.value.text
    assert raised.value.exit_code == 78
    assert standin.token not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("path", ["/users/@me", "/oauth2/applications/@me", "/gateway/bot"])
async def test_while_discord_does_not_answer_it_goes_on_trying(
    standin: Standin, clock: HastyClock, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    standin.limits.hang_up("GET", path, times=20)
    began = clock.monotonic()
    found = await look(standin, clock)
    assert str(found.user_id) == standin.bot.id
    assert clock.monotonic() > began + 20
    assert "cannot be reached" in caplog.text
    assert len([record for record in caplog.records if record.name == "soc_bot" and record.levelname == "WARNING"]) == 1
    assert standin.token not in caplog.text


async def test_a_refusal_that_may_pass_is_waited_out(standin: Standin, clock: HastyClock) -> None:
    standin.limits.answer("GET", "/gateway/bot", 403, times=3)
    standin.limits.answer("GET", "/gateway/bot", 429, body={"retry_after": 3000.0, "global": False})
    began = clock.monotonic()
    assert (await look(standin, clock)).shard_count == 3
    assert clock.monotonic() >= began + 3000
