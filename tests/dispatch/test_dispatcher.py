"""A message in, exactly one outcome out."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace

from socbot.dispatch.arguments import MAX_LENGTH
from socbot.dispatch.chain import Layer, Placement
from socbot.dispatch.commands import Command, Concurrency, Permission, command
from socbot.dispatch.context import Context, Handler
from socbot.dispatch.deadlines import GRACE
from socbot.dispatch.dispatcher import OWNER_RESERVE, Dispatcher
from socbot.dispatch.messages import Message
from socbot.dispatch.outcomes import Outcome
from socbot.dispatch.replies import Reply
from socbot.testing import FakeClock, said

both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

OWNER = ("local", "owner")


class Greeter:
    greeting = "hello"


class Polite(Greeter):
    greeting = "good day"


@command("ping", permission="public", aliases=("p", "pong"))
async def ping(ctx: Context) -> str:
    """Answer."""
    return "pong"


@command("incident open", permission="public")
async def incident_open(ctx: Context, name: str) -> str:
    return f"opened {name}"


@command("incident close", permission="public")
async def incident_close(ctx: Context, name: str) -> str:
    return f"closed {name}"


@command("add", permission="public")
async def add(ctx: Context, a: int, b: int = 1) -> str:
    return str(a + b)


@command("greet", permission="public")
async def greet(ctx: Context, greeter: Greeter, name: str) -> Reply:
    return Reply(f"{greeter.greeting}, {name}")


@command("broken", permission="public")
async def broken(ctx: Context) -> None:
    raise ValueError("secret")


@command("nothing", permission="public")
async def nothing(ctx: Context) -> None:
    await ctx.send("working")
    await ctx.send(Reply("still working"))


@command("secret", permission="public", private=True)
async def secret(ctx: Context) -> Reply:
    return Reply("text", "title")


@command("odd", permission="public")
async def odd(ctx: Context) -> int:
    return 42


COMMANDS = (ping, incident_open, incident_close, add, greet, broken, nothing, secret, odd)


def bot(*commands: Command, **options: Any) -> Dispatcher:
    return Dispatcher(commands or COMMANDS, systems=[Polite()], **options)


async def ends(dispatcher: Dispatcher, text: str, **options: Any) -> tuple[str, str]:
    outcome = await dispatcher.dispatch(said(text, **options))
    return outcome.status, str(outcome.reply or "")


# -- conversations ------------------------------------------------------------------------------------


@both_backends
@pytest.mark.parametrize(
    ("text", "status", "reply"),
    [
        ("!ping", "ok", "pong"),
        ("!PING", "ok", "pong"),
        ("!ping  ", "ok", "pong"),
        ("!ping\n", "ok", "pong"),
        ("! ping", "ok", "pong"),
        ("!p", "ok", "pong"),
        ("!incident open fire", "ok", "opened fire"),
        ("!Incident  CLOSE  fire", "ok", "closed fire"),
        ("!add 1 2", "ok", "3"),
        ("!add 1", "ok", "2"),
        ("!greet Ann", "ok", "good day, Ann"),
        ("!nothing", "ok", ""),
        ("!secret", "ok", "title\ntext"),
        ("!broken", "failed", "That failed."),
        ("!odd", "failed", "That failed."),
        ("!ping me", "invalid", "arguments: `me` is not expected: this command takes none.\nUsage: `!ping`"),
        ("!add x", "invalid", "a: `x` is not a whole number.\nUsage: `!add <a> [b]`\nExample: `!add 10`"),
        ("!add", "invalid", "a: missing: a whole number.\nUsage: `!add <a> [b]`"),
        ("!pig", "unknown", "Unknown command `pig`. Did you mean `!ping`?"),
        ("!incident opne x", "unknown", "Unknown command `incident opne`. Did you mean `!incident open`?"),
        ("!incident", "unknown", "Unknown command `incident`. Did you mean `!incident open` or `!incident close`?"),
        ("!" + "x" * MAX_LENGTH, "invalid", "That message is too long: at most 4,000 characters are read."),
        ("just chatting", "ignored", ""),
        ("", "ignored", ""),
        ("!", "ignored", ""),
        ("!!!", "ignored", ""),
        ("!?", "ignored", ""),
        ("?ping", "ignored", ""),
    ],
)
async def test_conversation(text: str, status: str, reply: str) -> None:
    ended, answer = await ends(bot(), text)
    assert ended == status
    assert answer == reply or (reply and answer.startswith(reply))


async def test_an_outcome_names_the_command_whatever_it_was_called_by() -> None:
    outcome = await bot().dispatch(said("!Pong"))
    assert (outcome.command, outcome.identity, outcome.reason) == ("ping", ("local", "42"), None)
    assert (await bot().dispatch(said("!broken"))).reason == "ValueError"


async def test_progress_is_sent_or_found_in_the_outcome() -> None:
    sent: list[Reply] = []

    async def send(reply: Reply) -> None:
        sent.append(reply)

    kept = (await bot().dispatch(said("!nothing"))).progress
    assert (await bot().dispatch(said("!nothing"), send=send)).progress == ()
    assert sent == list(kept) == [Reply("working"), Reply("still working")]


async def test_a_private_command_answers_privately() -> None:
    reply = (await bot().dispatch(said("!secret"))).reply
    assert reply == Reply("text", "title", private=True)


async def test_one_of_several_prefixes_is_shown() -> None:
    dispatcher = bot(prefixes=("!", "hey bot "))
    assert await ends(dispatcher, "hey bot ping") == ("ok", "pong")
    assert "Usage: `!add <a> [b]`" in (await ends(dispatcher, "hey bot add"))[1]
    with pytest.raises(ValueError, match="non-empty"):
        bot(prefixes=("",))


async def test_a_person_is_told_once_a_minute_that_there_is_no_such_command() -> None:
    clock = FakeClock()
    dispatcher = bot(clock=clock)
    assert "Unknown" in (await ends(dispatcher, "!x"))[1]
    assert await ends(dispatcher, "!y") == ("unknown", "")
    assert "Unknown" in (await ends(dispatcher, "!y", channel="c2"))[1]
    assert "Unknown" in (await ends(dispatcher, "!y", author="43"))[1]
    clock.forward(61)
    assert "Unknown" in (await ends(dispatcher, "!y"))[1]


async def test_who_was_told_that_a_command_is_unknown_is_forgotten_once_it_is_told_again() -> None:
    clock = FakeClock()
    dispatcher = Dispatcher(clock=clock)
    for number in range(5_000):
        assert "Unknown" in (await ends(dispatcher, "!y", author=str(number)))[1]
        clock.forward(0.1)
    assert len(dispatcher._told) < 1_500  # 600 of them may not be told again yet
    assert await ends(dispatcher, "!y", author="4999") == ("unknown", "")
    assert await ends(dispatcher, "!y", author="4500") == ("unknown", "")
    assert "Unknown" in (await ends(dispatcher, "!y", author="4000"))[1]


async def test_the_name_of_an_unknown_command_is_shown_inert() -> None:
    _, answer = await ends(bot(), "!a`@everyone<@1>")
    assert not set("<>") & set(answer)
    assert "@everyone" not in answer
    assert answer.count("`") == 2


def test_a_handler_that_asks_for_what_was_not_provided_is_refused() -> None:
    with pytest.raises(TypeError, match="'greeter' needs a Greeter, which was not provided"):
        Dispatcher([greet])


# -- what is no command -------------------------------------------------------------------------------


async def test_an_event_that_is_delivered_twice_runs_once() -> None:
    dispatcher, told = bot(), list[Outcome]()
    dispatcher.observe(told.append)
    message = said("!ping")
    assert (await dispatcher.dispatch(message)).status == "ok"
    again = await dispatcher.dispatch(message)
    assert (again.status, again.reason) == ("ignored", "delivered twice")
    elsewhere = await dispatcher.dispatch(replace(message, platform="other"))
    without_id = [await dispatcher.dispatch(replace(message, id=None)) for _ in range(2)]
    assert [outcome.status for outcome in (elsewhere, *without_id)] == ["ok"] * 3
    assert len(told) == 4


async def test_the_last_8000_events_are_remembered() -> None:
    dispatcher, first = bot(), said("!ping")
    await dispatcher.dispatch(first)
    for _ in range(8_000):
        await dispatcher.dispatch(said("!ping"))
    assert (await dispatcher.dispatch(first)).status == "ignored"
    assert len(dispatcher._recent) + len(dispatcher._previous) < 20_000


@pytest.mark.promise("P01")
async def test_edits_and_bots_never_run_anything() -> None:
    dispatcher = bot(owners=[OWNER])
    for message in (said("!ping", bot=True), said("!ping", "owner", bot=True), replace(said("!ping"), edited=True)):
        assert (await dispatcher.dispatch(message)).status == "ignored"


# -- who may ------------------------------------------------------------------------------------------

ACTORS: dict[str, tuple[Message, set[str]]] = {
    "owner": (said("", "owner"), {"owner", "admin", "public"}),
    "owner without a guild": (said("", "owner", guild=None), {"owner", "admin", "public"}),
    "administrator": (said("", "1", admin=True), {"admin", "public"}),
    "administrator in a direct message": (said("", "1", admin=True, guild=None), {"public"}),
    "member": (said("", "2"), {"public"}),
    "the owner's id on another platform": (said("", "owner", platform="irc"), {"public"}),
    "the owner's name": (said("", "3", name="owner"), {"public"}),
    "look-alike of the owner's id": (said("", "\u043ewner"), {"public"}),
    "the owner's id in capitals": (said("", "OWNER"), {"public"}),
    "an id that may change hands": (replace(said("", "owner", admin=True), stable_ids=False), {"public"}),
    "webhook with the owner's name": (said("", "owner", bot=True), set()),
    "edited message of the owner": (replace(said("", "owner"), edited=True), set()),
    "id 0": (said("", "0"), {"public"}),
    "no id": (said("", ""), {"public"}),
}


@pytest.mark.promise("P01")
@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("needed", ["owner", "admin", "public"])
@pytest.mark.parametrize("owned", [True, False])
async def test_only_who_may_reaches_a_handler(actor: str, needed: Permission, owned: bool) -> None:
    calls: list[str] = []

    @command("go", permission=needed)
    async def go(ctx: Context) -> None:
        calls.append(ctx.identity[1])

    message, allowed = ACTORS[actor]
    if not owned and "owner" in allowed:
        allowed = {"public"}
    outcome = await Dispatcher([go], owners=[OWNER] if owned else []).dispatch(replace(message, text="!go", id=None))
    assert bool(calls) == (needed in allowed)
    if not calls and allowed:
        assert (outcome.status, outcome.refused_by) == ("refused", "permission")


@pytest.mark.promise("P01")
def test_a_command_is_the_owners_unless_it_says_otherwise() -> None:
    @command("go")
    async def go(ctx: Context) -> None:
        pass

    assert go.permission == "owner"


@pytest.mark.promise("P01")
async def test_a_permission_that_nobody_knows_is_the_owners() -> None:
    with pytest.raises(ValueError, match="'pubilc' is not one of"):
        command("go", permission="pubilc")(ping.handler)  # type: ignore[arg-type]
    unknown: Any = "pubilc"
    dispatcher = Dispatcher([replace(ping, permission=unknown)], owners=[OWNER])
    assert (await dispatcher.dispatch(said("!ping", admin=True))).refused_by == "permission"
    assert (await dispatcher.dispatch(said("!ping", "owner"))).status == "ok"


async def test_whoever_may_not_learns_nothing_of_the_arguments() -> None:
    dispatcher = bot(replace(add, permission="owner"))
    assert await ends(dispatcher, "!add x") == ("refused", "Only the owner may use this command.")


async def test_maintenance_lets_the_owner_alone_through() -> None:
    dispatcher = bot(owners=[OWNER])
    dispatcher.maintenance = Reply("back at nine")
    outcome = await dispatcher.dispatch(said("!ping", admin=True))
    assert (outcome.status, outcome.refused_by, outcome.reply) == ("refused", "maintenance", Reply("back at nine"))
    assert await ends(dispatcher, "!ping", author="owner") == ("ok", "pong")


# -- how often, and how many at once ------------------------------------------------------------------


async def test_a_cooldown_is_each_persons_own() -> None:
    clock = FakeClock()
    dispatcher = bot(replace(ping, cooldown=10.0), clock=clock)
    assert await ends(dispatcher, "!ping") == ("ok", "pong")
    assert await ends(dispatcher, "!p") == ("refused", "Try again in 10.0 s.")
    assert await ends(dispatcher, "!ping", author="43") == ("ok", "pong")
    clock.step(-3_600)
    clock.forward(10)
    assert await ends(dispatcher, "!ping") == ("ok", "pong")


async def test_cooldowns_of_many_people_are_swept_now_and_then() -> None:
    clock = FakeClock()
    dispatcher = bot(replace(ping, cooldown=10.0), clock=clock)
    for number in range(12_000):
        await dispatcher.dispatch(said("!ping", f"u{number}"))
        clock.forward(0.01)
    assert len(dispatcher._cooldowns) <= 10_000


@both_backends
@pytest.mark.parametrize(
    ("per", "others", "told"),
    [
        ("user", {"author": "42", "guild": "g2"}, "Already running for this user."),
        ("guild", {"author": "43", "guild": "g1"}, "Already running for this guild."),
        ("global", {"author": "43", "guild": "g2"}, "The bot is busy; try again in a moment."),
    ],
)
async def test_runs_at_once_are_counted_where_the_command_says(per: Any, others: dict[str, str], told: str) -> None:
    go_on = anyio.Event()

    @command("slow", permission="public", concurrency=Concurrency(1, per), cooldown=0.001)
    async def slow(ctx: Context) -> None:
        await go_on.wait()

    clock = FakeClock()
    dispatcher = Dispatcher([slow], clock=clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.dispatch, said("!slow"))
        await anyio.wait_all_tasks_blocked()
        clock.forward(1)
        outcome = await dispatcher.dispatch(said("!slow", **others))  # type: ignore[arg-type]
        assert (outcome.status, outcome.refused_by, str(outcome.reply)) == ("refused", "concurrency", told)
        go_on.set()
    assert (await dispatcher.dispatch(said("!slow", **others))).status == "ok"  # type: ignore[arg-type]  # no cooldown ran
    assert dispatcher._slots == {}


@both_backends
async def test_a_flood_is_turned_away_at_the_door_but_the_owner_gets_in() -> None:
    go_on = anyio.Event()

    @command("slow", permission="public")
    async def slow(ctx: Context) -> None:
        await go_on.wait()

    clock = FakeClock()
    told: list[Outcome] = []
    async with Dispatcher([slow, ping], owners=[OWNER], max_running=5, clock=clock) as dispatcher:
        dispatcher.observe(told.append)
        turned_away = [dispatcher.submit(said("!slow", f"u{number}")) for number in range(100)]
        refused = [outcome for outcome in turned_away if outcome is not None]
        assert len(refused) == 95
        assert {(outcome.status, outcome.refused_by, outcome.reason) for outcome in refused} == {
            ("refused", "admission", "busy")
        }
        assert [outcome.reply is not None for outcome in refused].count(True) == 1
        assert (await dispatcher.dispatch(said("!ping", "owner"))).status == "ok"
        assert dispatcher.submit(said("!slow" + "x" * MAX_LENGTH)) is not None
        reserved = [dispatcher.submit(said("!slow", "owner")) for _ in range(50)]
        assert reserved.count(None) == OWNER_RESERVE
        assert dispatcher.running == 5 + OWNER_RESERVE
        go_on.set()
    assert dispatcher.running == 0
    assert len(told) == 100 + 1 + 1 + 50


# -- submit, observers, drain -------------------------------------------------------------------------


@both_backends
async def test_submit_does_not_wait_and_calls_back() -> None:
    done: list[Outcome] = []

    async def remember(outcome: Outcome) -> None:
        done.append(outcome)

    async with bot() as dispatcher:
        assert dispatcher.submit(said("!ping"), remember) is None
        ignored = dispatcher.submit(said("hello"), remember)
        assert ignored is not None
        assert ignored.status == "ignored"
        assert done == []
    assert [outcome.reply for outcome in done] == [Reply("pong")]
    with pytest.raises(RuntimeError, match="async with dispatcher"):
        dispatcher.submit(said("!ping"))


@both_backends
async def test_a_callback_that_raises_ends_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    done: list[Outcome] = []

    async def raises(outcome: Outcome) -> None:
        raise ValueError("the host's")

    async def remember(outcome: Outcome) -> None:
        done.append(outcome)

    async with bot() as dispatcher:
        dispatcher.submit(said("!ping"), raises)
        dispatcher.submit(said("!ping"), remember)
    assert len(done) == 1
    assert "the callback of Context('ping'" in caplog.text


async def test_each_outcome_is_told_once_to_each_observer(caplog: pytest.LogCaptureFixture) -> None:
    dispatcher, first, last = bot(), list[Outcome](), list[Outcome]()

    def raises(outcome: Outcome) -> None:
        raise ValueError("the observer's")

    for observer in (first.append, raises, last.append):
        dispatcher.observe(observer)
    with caplog.at_level(logging.CRITICAL):
        for text in ("!ping", "!broken", "!nope", "!nope", "!add", "hello", "!" + "x" * MAX_LENGTH):
            await dispatcher.dispatch(said(text))
    assert [each.status for each in first] == ["ok", "failed", "unknown", "unknown", "invalid", "invalid"]
    assert last == first


@both_backends
@pytest.mark.promise("P49")
async def test_draining_lets_end_what_can_and_tells_the_rest() -> None:
    ended: list[Outcome] = []
    in_layer = anyio.Event()

    @command("quick", permission="public")
    async def quick(ctx: Context) -> str:
        await anyio.sleep(0.05)
        return "done"

    @command("slow", permission="public")
    async def slow(ctx: Context) -> None:
        await anyio.sleep(60)

    async def holds(ctx: Context, call_next: Handler) -> Reply | None:
        if ctx.argument_text:
            in_layer.set()
            await anyio.sleep(60)
        return await call_next(ctx)

    async def remember(outcome: Outcome) -> None:
        ended.append(outcome)

    async with Dispatcher([quick, slow], chain=[Layer("holds", holds)]) as dispatcher:
        for text in ["!quick"] * 10 + ["!slow"] * 9 + ["!slow in the layer"]:
            assert dispatcher.submit(said(text), remember) is None
        await in_layer.wait()
        with anyio.fail_after(2):
            await dispatcher.drain(0.3)
        assert dispatcher.running == 0
        late = await dispatcher.dispatch(said("!quick"))
    assert (late.status, late.refused_by, late.reason) == ("refused", "admission", "shutting down")
    assert [outcome.status for outcome in ended[:10]] == ["ok"] * 10
    for outcome in ended[10:]:
        assert (outcome.status, outcome.refused_by, outcome.reason) == ("refused", "shutdown", "shutting down")
        assert outcome.reply == Reply("The bot is shutting down.", tone="warn")
    assert len(ended) == 20


@both_backends
@pytest.mark.promise("P49")
@pytest.mark.parametrize("text", ["!quick", "!slow"])
async def test_draining_waits_for_the_answers_to_be_shown(text: str) -> None:
    shown: list[str] = []
    in_handler = anyio.Event()

    @command("quick", permission="public")
    async def quick(ctx: Context) -> str:
        in_handler.set()
        return "done"

    @command("slow", permission="public")
    async def slow(ctx: Context) -> None:
        in_handler.set()
        await anyio.sleep(60)

    async def show(outcome: Outcome) -> None:
        for _ in range(20):  # as many times as a connection has it wait
            await anyio.lowlevel.checkpoint()
        shown.append(outcome.status)

    async with Dispatcher([quick, slow]) as dispatcher:
        dispatcher.submit(said(text), show)
        await in_handler.wait()
        await dispatcher.drain(0.05)
        assert shown == [{"!quick": "ok", "!slow": "refused"}[text]]


@both_backends
@pytest.mark.promise("P49")
async def test_draining_waits_no_longer_than_it_may_for_an_answer_that_hangs() -> None:
    clock, let_go, at_it = FakeClock(), anyio.Event(), anyio.Event()

    async def hangs(outcome: Outcome) -> None:
        at_it.set()
        await let_go.wait()

    async with Dispatcher([ping], clock=clock) as dispatcher, anyio.create_task_group() as tasks:
        dispatcher.submit(said("!ping"), hangs)
        await at_it.wait()
        drained = anyio.Event()

        async def drain() -> None:
            await dispatcher.drain(5.0)
            drained.set()

        tasks.start_soon(drain)
        await anyio.wait_all_tasks_blocked()
        clock.forward(5.0)
        await anyio.wait_all_tasks_blocked()
        assert not drained.is_set()
        clock.forward(3 * GRACE)
        with anyio.fail_after(5):
            await drained.wait()
        let_go.set()


@both_backends
@pytest.mark.promise("P49")
async def test_who_drains_meanwhile_keeps_nobody_else_waiting() -> None:
    ends, in_handler = anyio.Event(), anyio.Event()

    @command("slow", permission="public")
    async def slow(ctx: Context) -> None:
        in_handler.set()
        await ends.wait()

    async with Dispatcher([slow], clock=FakeClock()) as dispatcher:
        dispatcher.submit(said("!slow"))
        await in_handler.wait()
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                for _ in range(2):
                    tasks.start_soon(dispatcher.drain, 60.0)
                await anyio.wait_all_tasks_blocked()
                ends.set()


@both_backends
@pytest.mark.promise("P28")
async def test_200_commands_under_way_end_on_the_chain_they_began_on() -> None:
    @command("slow", permission="public")
    async def slow(ctx: Context) -> str:
        await anyio.sleep(0.002)
        return "done"

    def generation(number: int) -> list[Layer]:
        def marking(name: str) -> Callable[[Context, Handler], Awaitable[Reply | None]]:
            async def marks(ctx: Context, call_next: Handler) -> Reply | None:
                ctx.trace.note(name, number)
                await anyio.lowlevel.checkpoint()
                return await call_next(ctx)

            return marks

        names = [f"g{number}-{position}" for position in range(1 + number % 4)]
        return [Layer(name, marking(name), Placement("observer")) for name in names]  # type: ignore[arg-type]

    outcomes: list[Outcome] = []

    async def remember(outcome: Outcome) -> None:
        outcomes.append(outcome)

    async with Dispatcher([slow], chain=generation(1)) as dispatcher:
        for number in range(2, 102):
            for _ in range(2):
                assert dispatcher.submit(said("!slow"), remember) is None
            await anyio.lowlevel.checkpoint()
            assert dispatcher.use(generation(number)).generation == number
    assert [outcome.status for outcome in outcomes] == ["ok"] * 200
    for outcome in outcomes:
        assert outcome.trace is not None
        number = outcome.trace.generation
        assert [step.name for step in outcome.trace.steps] == [layer.name for layer in generation(number)]
        assert {step.note for step in outcome.trace.steps} == {str(number)}
    assert len({outcome.trace.generation for outcome in outcomes if outcome.trace}) == 100


def test_a_chain_that_cannot_be_leaves_the_old_one() -> None:
    async def passes(ctx: Context, call_next: Handler) -> Reply | None:
        return await call_next(ctx)

    dispatcher = bot(chain=[Layer("a", passes)])
    before = dispatcher.chain
    with pytest.raises(ValueError, match="twice"):
        dispatcher.use([Layer("b", passes), Layer("b", passes)])
    assert dispatcher.chain is before


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(ValueError, match="'ping' is already registered"):
        bot(ping, ping)


async def test_a_command_can_be_registered_where_it_is_written() -> None:
    dispatcher = bot()

    @dispatcher.command("now", permission="public")
    async def now(ctx: Context) -> str:
        return "now"

    assert await ends(dispatcher, "!now") == ("ok", "now")
