"""A gateway that breaks in every way, and a bot that loses and repeats no command."""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any
from weakref import WeakSet

import anyio
import pytest
from anyio.abc import ByteStream, SocketStream

from socbot.dispatch.arguments import Rest
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.current import current
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.systems.errors import Record
from socbot.testing import FakeClock
from socbot.transports.discord.connection import Socket
from tests.standin import Message, Standin
from tests.transports.discord.conversation import MakeScene, Scene


@command("repeat", permission="public", metered=False)
async def repeat(ctx: Context, text: Rest) -> Reply:
    """Say it again."""
    return Reply(text)


@command("slowly", permission="public", metered=False)
async def slowly(ctx: Context, seconds: float) -> str:
    """Take a while."""
    await anyio.sleep(seconds)
    return f"took {seconds:g}"


COMMANDS = (repeat, slowly)


@asynccontextmanager
async def hurrying(clock: FakeClock) -> AsyncIterator[None]:
    """Time passes about fifty times as fast."""

    async def hurry() -> None:
        while True:
            clock.forward(0.25)
            await anyio.sleep(0.005)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hurry)
        yield
        tasks.cancel_scope.cancel()


class Wire:
    """The way to the stand-in's gateway, which can be cut anywhere.

    :ivar tries: connections that were begun
    :ivar is_away: whether each is hung up at once
    :ivar cut_after: bytes from the gateway after which the next one breaks
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.tries = 0
        self.is_away = False
        self.cut_after: int | None = None

    async def serve(self, client: SocketStream) -> None:
        self.tries += 1
        async with client:
            if self.is_away:
                return
            left, self.cut_after = self.cut_after, None
            async with await anyio.connect_tcp("127.0.0.1", self._port) as gateway, anyio.create_task_group() as tasks:
                tasks.start_soon(_pump, client, gateway)
                await _pump(gateway, client, left)
                tasks.cancel_scope.cancel()


async def _pump(source: ByteStream, target: ByteStream, left: int | None = None) -> None:
    try:
        async for part in source:
            await target.send(part if left is None else part[:left])
            left = None if left is None else left - len(part)
            if left is not None and left <= 0:
                return
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        return


@pytest.fixture
async def wire(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Wire]:
    wire = Wire(int(standin.gateway.url.rpartition(":")[2]))
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        standin.gateway.url = f"ws://127.0.0.1:{listener.listeners[0].extra(anyio.abc.SocketAttribute.local_port)}"
        standin.point_discord_py(monkeypatch)
        tasks.start_soon(listener.serve, wire.serve)
        yield wire
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def telling(make_scene: MakeScene, **options: object) -> AsyncIterator[tuple[Scene, list[Outcome]]]:
    """A scene whose bot has read READY, and the outcomes of its commands from then on."""
    outcomes: list[Outcome] = []
    async with make_scene(commands=COMMANDS, **options) as scene:
        await scene.says("!uptime")
        scene.bot.dispatcher.observe(outcomes.append)
        yield scene, outcomes


def ran(outcomes: list[Outcome]) -> Counter[str]:
    return Counter(outcome.message.text for outcome in outcomes if outcome.status == "ok")


async def answered_once(scene: Scene, said: Message) -> bool:
    """Whether there is exactly one answer to a message, once it and a later one are answered."""
    await scene.standin.until(lambda: answers_to(said), what=f"an answer to {said.content}", seconds=10)
    await scene.says("!uptime")
    return len(answers_to(said)) == 1


def answers_to(said: Message) -> list[Message]:
    return [each for each in said.channel.messages if each.by_bot and each.reference is said]


async def recorded(scene: Scene) -> Sequence[Record]:
    """The errors, once there is one."""
    for _ in range(200):
        if found := await scene.bot.errors.newest(5):
            return found
        await anyio.sleep(0.02)
    raise AssertionError("no error was recorded")


# -- the connection ends ----------------------------------------------------------------------------------


@pytest.mark.promise("P51")
@pytest.mark.parametrize("code", [1000, 4000, 4001, 4002, 4003, 4005, 4008, "op 7", "op 9", "cut"])
async def test_a_session_that_may_be_resumed_is_and_loses_nothing(code: int | str, make_scene: MakeScene) -> None:
    async with telling(make_scene) as (scene, outcomes):
        gateway = scene.standin.gateway
        end: dict[int | str, Callable[[], object]] = {
            "op 7": gateway.reconnect,
            "op 9": lambda: gateway.invalidate(resumable=True),
            "cut": gateway.drop,
        }
        before = await scene.owner.says("!repeat before", in_=scene.place)
        end.get(code, lambda: gateway.close(int(code)))()
        meanwhile = await scene.owner.says("!repeat meanwhile", in_=scene.place)
        await gateway.resumed()
        assert await answered_once(scene, before)
        assert await answered_once(scene, meanwhile)
        assert len(gateway.identifies) == len(gateway.resumes) == 1
    assert ran(outcomes) == {"!repeat before": 1, "!repeat meanwhile": 1, "!uptime": 2}


@pytest.mark.promise("P51")
@pytest.mark.parametrize("code", [4007, 4009, "op 9", "refused"])
async def test_only_a_session_that_is_over_is_replaced_by_a_new_login(
    code: int | str, make_scene: MakeScene, clock: FakeClock
) -> None:
    async with telling(make_scene, clock=clock) as (scene, outcomes), hurrying(clock):
        gateway = scene.standin.gateway
        if code == "op 9":
            gateway.invalidate()
        elif code == "refused":
            gateway.refuse_resume = True
            gateway.drop()
        else:
            gateway.close(int(code))
        await gateway.identified(2)
        await gateway.ready()
        assert await answered_once(scene, await scene.owner.says("!repeat afterwards", in_=scene.place))
        assert len(gateway.identifies) == 2
        assert len(gateway.resumes) == (code != "op 9")
    assert ran(outcomes)["!repeat afterwards"] == 1


@pytest.mark.promise("P51")
async def test_a_gateway_that_is_away_for_a_while_is_found_again_and_the_session_with_it(
    make_scene: MakeScene, wire: Wire, clock: FakeClock
) -> None:
    async with telling(make_scene, clock=clock) as (scene, outcomes), hurrying(clock):
        wire.is_away = True
        scene.standin.gateway.drop()
        said = await scene.owner.says("!repeat meanwhile", in_=scene.place)
        await scene.standin.until(lambda: wire.tries >= 6, what="more tries", seconds=20)
        wire.is_away = False
        await scene.standin.gateway.resumed(seconds=20)
        assert await answered_once(scene, said)
        assert len(scene.standin.gateway.identifies) == 1
    assert ran(outcomes)["!repeat meanwhile"] == 1


async def test_a_gateway_that_hangs_up_is_not_run_against(make_scene: MakeScene, wire: Wire) -> None:
    async with telling(make_scene) as (scene, _):
        wire.is_away = True
        scene.standin.gateway.drop()
        before = wire.tries
        await anyio.sleep(2.5)
        assert 6 <= wire.tries - before <= 8  # aiohttp makes two tries of each
        wire.is_away = False
        await scene.standin.gateway.resumed()


async def test_a_session_that_cannot_be_resumed_for_minutes_is_given_up(
    make_scene: MakeScene, wire: Wire, clock: FakeClock
) -> None:
    async with telling(make_scene, clock=clock) as (scene, _), hurrying(clock):
        wire.is_away = True
        scene.standin.gateway.drop()
        await scene.standin.until(lambda: wire.tries >= 24, what="a dozen attempts", seconds=30)
        wire.is_away = False
        await scene.standin.gateway.identified(2, seconds=30)
        assert await answered_once(scene, await scene.owner.says("!repeat afterwards", in_=scene.place))


@pytest.mark.promise("P51")
@pytest.mark.parametrize("rounds", [12, pytest.param(150, marks=pytest.mark.slow)])
async def test_wherever_a_new_connection_breaks_nothing_is_lost_or_repeated(
    rounds: int, make_scene: MakeScene, wire: Wire, clock: FakeClock
) -> None:
    random = Random(rounds)
    async with telling(make_scene, clock=clock) as (scene, outcomes), hurrying(clock):
        gateway = scene.standin.gateway
        gateway.overlap = 3  # and each resume brings again what is known
        for number in range(rounds):
            wire.cut_after = random.randrange(1, 1500)
            assert gateway.drop() == 1
            said = await scene.owner.says(f"!repeat {number}", in_=scene.place)
            assert await answered_once(scene, said)
            await gateway.ready()
        assert len(gateway.identifies) == 1
    assert ran(outcomes) == {f"!repeat {number}": 1 for number in range(rounds)} | {"!uptime": rounds}


@pytest.mark.promise("P51")
async def test_a_gateway_that_answers_no_heartbeat_is_left(make_scene: MakeScene) -> None:
    async with telling(make_scene) as (scene, _):
        gateway = scene.standin.gateway
        client = scene.transport._client
        assert client is not None
        client._connection.heartbeat_timeout = 0.5  # a minute else
        gateway.heartbeat, gateway.acks = 0.2, False
        gateway.reconnect()
        await gateway.resumed(3)
        gateway.acks = True
        said = await scene.owner.says("!repeat afterwards", in_=scene.place)
        assert await answered_once(scene, said)
        assert len(gateway.identifies) == 1


@pytest.mark.promise("P52")
async def test_how_long_the_gateway_has_been_away_is_known_to_readiness(
    make_scene: MakeScene, wire: Wire, clock: FakeClock
) -> None:
    async with telling(make_scene, clock=clock) as (scene, _), hurrying(clock):
        vitals, readiness = scene.bot.vitals, scene.bot.health.readiness
        assert vitals.links("discord") == (None,)
        wire.is_away = True
        scene.standin.gateway.drop()
        await scene.standin.until(lambda: vitals.links("discord") != (None,), what="the loss")
        (fact,) = [fact for fact in readiness.read().facts if fact.name == "discord"]
        assert fact.ok, "a minute is not over"

        def away() -> bool:
            return any(fact.name == "discord" and not fact.ok for fact in readiness.read().facts)

        await scene.standin.until(away, what="a minute", seconds=20)
        assert min(seconds or 0 for seconds in vitals.links("discord")) > 60
        wire.is_away = False
        await scene.standin.until(lambda: vitals.links("discord") == (None,), what="the session", seconds=30)
        assert not away()


# -- what comes twice -------------------------------------------------------------------------------------


@pytest.mark.promise("P51")
async def test_messages_and_interactions_that_come_twice_run_once(make_scene: MakeScene) -> None:
    async with telling(make_scene) as (scene, outcomes):
        scene.standin.gateway.duplicated = {"MESSAGE_CREATE", "INTERACTION_CREATE"}
        assert await answered_once(scene, await scene.owner.says("!repeat one", in_=scene.place))
        answer = await (await scene.stranger.slash("repeat", text="two")).answer()
        assert answer.text == "two"
        await scene.says("!uptime")
        assert answer.interaction.followups == []
    assert ran(outcomes) == {"!repeat one": 1, "!repeat": 1, "!uptime": 2}


@pytest.mark.promise("P51")
async def test_what_a_resume_brings_again_runs_once(make_scene: MakeScene) -> None:
    async with telling(make_scene) as (scene, outcomes):
        scene.standin.gateway.overlap = 50
        said = await scene.owner.says("!repeat one", in_=scene.place)
        answer = await (await scene.stranger.slash("repeat", text="two")).answer()
        for number in range(3):
            scene.standin.gateway.drop()
            await scene.standin.gateway.resumed(number + 1)
            await scene.says("!uptime")
        assert len(answers_to(said)) == 1
        assert answer.interaction.followups == []
    assert ran(outcomes) == {"!repeat one": 1, "!repeat": 1, "!uptime": 3}


async def test_an_event_that_the_library_cannot_read_costs_that_event_alone(make_scene: MakeScene) -> None:
    async with telling(make_scene) as (scene, _):
        scene.standin.gateway.emit("MESSAGE_CREATE", {"id": "no number"}, scene.guild)
        scene.standin.gateway.emit("GUILD_UPDATE", {"id": "no number"}, scene.guild)
        assert await answered_once(scene, await scene.owner.says("!repeat afterwards", in_=scene.place))
        assert len(scene.standin.gateway.closes) == 0
        assert {record.command for record in await recorded(scene)} == {"discord:gateway"}


@pytest.mark.promise("P55")
async def test_of_lost_connections_nothing_stays_whatever_was_begun_on_them(make_scene: MakeScene) -> None:
    """Commands under way, and connections of REST that live on, know what was about when they were begun."""
    earlier = WeakSet(each for each in gc.get_objects() if isinstance(each, Socket))
    async with telling(make_scene) as (scene, _):
        for number in range(1, 5):
            await scene.owner.says("!slowly 60", in_=scene.place)
            for each in [await scene.owner.says(f"!repeat {text}", in_=scene.place) for text in "abcd"]:
                assert await answered_once(scene, each)
            scene.standin.gateway.drop()
            await scene.standin.gateway.resumed(number)
        assert await answered_once(scene, await scene.owner.says("!repeat at last", in_=scene.place))
        gc.collect()
        alive = gc.get_objects()
        assert len([each for each in alive if isinstance(each, Socket) and each not in earlier]) == 1
        # A timer ends within minutes; what waits for a connection of REST to be read from may stay for good.
        handles: list[Any] = [each for each in alive if type(each) is asyncio.Handle]
        here = asyncio.get_running_loop()
        known = [each._context.get(current) for each in handles if each._loop is here]
        assert [ctx for ctx in known if ctx is not None and ctx.ended] == []


# -- answers ----------------------------------------------------------------------------------------------


@pytest.mark.promise("P51")
async def test_a_slow_handler_is_acknowledged_within_two_seconds_while_the_gateway_breaks(
    make_scene: MakeScene,
) -> None:
    async with telling(make_scene) as (scene, outcomes):
        uses = [await scene.stranger.slash("slowly", seconds=seconds) for seconds in (1.4, 1.7, 2.5, 4.0)]
        began = time.monotonic()
        while time.monotonic() - began < 3.0:
            await scene.standin.gateway.ready()
            scene.standin.gateway.drop()
            await anyio.sleep(0.3)
        answers = [await use.answer() for use in uses]
        assert [answer.text for answer in answers] == ["took 1.4", "took 1.7", "took 2.5", "took 4"]
        for answer in answers:
            acknowledged = answer.interaction.acknowledged
            assert acknowledged is not None
            assert acknowledged - answer.interaction.created < 2.0
        assert [answer.deferred for answer in answers] == [False, True, True, True]
    assert len(outcomes) == 4


@pytest.mark.parametrize("status", [400, 403, 503])
async def test_an_acknowledgement_that_fails_leaves_the_command_alone(make_scene: MakeScene, status: int) -> None:
    async with telling(make_scene) as (scene, outcomes):
        scene.standin.limits.answer("POST", "/interactions/*/*/callback", status)
        await scene.stranger.slash("slowly", seconds=1.8)
        await scene.standin.until(lambda: scene.place.messages[-1].text == "took 1.8", what="the answer")
    assert [outcome.status for outcome in outcomes] == ["ok"]


@pytest.mark.parametrize(("status", "times"), [(500, 1), (502, 2)])
async def test_an_answer_that_discord_fails_to_take_is_given_again_once(
    make_scene: MakeScene, status: int, times: int
) -> None:
    async with telling(make_scene) as (scene, outcomes):
        scene.standin.limits.answer("POST", "/channels/*/messages", status, times=times)
        assert await answered_once(scene, await scene.owner.says("!repeat it", in_=scene.place))
        assert len(scene.standin.limits.requests("POST", "/channels/*/messages", status)) == times
    assert ran(outcomes)["!repeat it"] == 1


@pytest.mark.parametrize("done", [False, True])
async def test_an_answer_on_a_connection_that_breaks_is_given_once(make_scene: MakeScene, done: bool) -> None:
    async with telling(make_scene) as (scene, outcomes):
        scene.standin.limits.hang_up("POST", "/channels/*/messages", done=done)
        assert await answered_once(scene, await scene.owner.says("!repeat it", in_=scene.place))
        assert await scene.bot.errors.newest(5) == []
    assert ran(outcomes)["!repeat it"] == 1


async def test_an_answer_that_is_refused_is_an_error_of_its_own(make_scene: MakeScene) -> None:
    async with telling(make_scene) as (scene, outcomes):
        scene.standin.limits.answer("POST", "/channels/*/messages", 403)
        said = await scene.owner.says("!repeat it", in_=scene.place)
        await scene.standin.until(lambda: scene.transport._responder.undelivered == 1, what="the failure")
        await scene.says("!uptime")
        assert answers_to(said) == []
        [record] = await recorded(scene)
        assert (record.command, record.type) == ("repeat", "Forbidden")
    assert [outcome.status for outcome in outcomes] == ["ok", "ok"]
