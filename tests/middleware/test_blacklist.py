"""The blacklist's guard, in a whole bot: a message in; outcome, reply and stored fact out."""

import itertools
from random import Random

import anyio.from_thread
import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from socbot.bot import Bot
from socbot.config import BlacklistConfig, MiddlewareConfig, RateLimitConfig, WebhooksConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.messages import Message
from socbot.systems.blacklist import REASONS
from socbot.testing import FakeClock, owner_said, said
from tests.conftest import MakeBot

FIVE = ("blacklist", "rate_limit", "profiler", "analytics", "error_capture")
UNLIMITED = RateLimitConfig(cooldown=0.0, burst=10_000, window=0.001)
LOOPBACK = WebhooksConfig(allow=("127.0.0.0/8",))

reached: list[str] = []


@command("work", permission="public")
async def work(ctx: Context) -> str:
    """Does something."""
    reached.append(ctx.message.author.id)
    return "done"


@pytest.fixture(autouse=True)
def nothing_reached() -> None:
    reached.clear()


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.promise("P23")
async def test_a_listed_user_triggers_nothing(make_bot: MakeBot, clock: FakeClock, anyio_backend: str) -> None:
    async with make_bot(clock=clock, commands=[work]) as bot:
        await bot.dispatch(owner_said("!blacklist_add user 42 spam"))
        for message in (said("!work"), said("!work", guild=None), said("!work", guild="g2"), said("!WORK x")):
            outcome = await bot.dispatch(message)
            assert (outcome.status, outcome.refused_by, outcome.reply) == ("refused", "blacklist", None)
            assert outcome.reason == REASONS["user"]
        assert reached == []
        assert (await bot.dispatch(said("!work", "43"))).status == "ok"
        await bot.dispatch(owner_said("!blacklist_remove user 42"))
        await clock.advance(60)
        assert (await bot.dispatch(said("!work"))).status == "ok"


async def test_a_listed_guild_is_shut_out_but_for_the_owner(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, commands=[work]) as bot:
        await bot.dispatch(owner_said("!blacklist_add guild g1 raid"))
        outcome = await bot.dispatch(said("!work", guild="g1"))
        assert (outcome.refused_by, outcome.reason) == ("blacklist", REASONS["guild"])
        assert (await bot.dispatch(said("!work", guild="g2"))).status == "ok"
        assert (await bot.dispatch(said("!work", "43", guild=None))).status == "ok"
        assert (await bot.dispatch(owner_said("!work", guild="g1"))).status == "ok"


async def test_the_owner_is_let_in_whatever_the_store_says(make_bot: MakeBot, clock: FakeClock) -> None:
    row = "'local', 'user', 'owner', '', 'x', 1.0, NULL, 'manual'"
    async with make_bot(clock=clock, commands=[work]) as bot:
        await bot.blacklist._database.write(
            lambda db: db.change(
                "INSERT INTO blacklist (platform, kind, subject, reason, added_by, added_at, expires_at, source)"
                f" VALUES ({row})"
            )
        )
        await bot.blacklist.load()
        outcome = await bot.dispatch(owner_said("!work"))
        assert outcome.status == "ok"
        assert outcome.trace is not None
        assert "owner" in outcome.trace.steps[0].note


@pytest.mark.promise("P23")
async def test_while_the_blacklist_cannot_be_read_nobody_but_the_owner_is_let_in(
    make_bot: MakeBot, clock: FakeClock
) -> None:
    async with make_bot(clock=clock, commands=[work]) as bot:
        await bot.blacklist._database.write(lambda db: db.change("ALTER TABLE blacklist RENAME TO gone"))
        await bot.blacklist.load()
        outcome = await bot.dispatch(said("!work"))
        assert (outcome.refused_by, outcome.reason) == ("blacklist", "the blacklist is unavailable")
        assert (await bot.dispatch(owner_said("!work"))).status == "ok"
        await bot.blacklist._database.write(lambda db: db.change("ALTER TABLE gone RENAME TO blacklist"))
        await bot.blacklist.sweep()
        assert (await bot.dispatch(said("!work"))).status == "ok"


async def test_where_it_is_switched_on_a_person_is_told_once_in_an_interval(
    make_bot: MakeBot, clock: FakeClock
) -> None:
    config = BlacklistConfig(tell=True, tell_interval=600.0, appeal="Write to mod@example.org.")
    async with make_bot(clock=clock, commands=[work], blacklist=config) as bot:
        await bot.dispatch(owner_said("!blacklist_temp user 42 2h `spam`"))
        reply = (await bot.dispatch(said("!work"))).reply
        assert reply is not None
        assert reply.title == "🚫 Access Denied"
        assert reply.text == "Write to mod@example.org."
        assert {field.name: field.value for field in reply.fields} == {
            "Reason": "ˋspamˋ",
            "Expires": f"<t:{int(clock.time() + 7200)}>",
        }
        await clock.advance(599)
        assert (await bot.dispatch(said("!work"))).reply is None
        await clock.advance(1)
        assert (await bot.dispatch(said("!work"))).reply is not None


async def test_in_shadow_mode_it_decides_and_lets_pass(make_bot: MakeBot, clock: FakeClock) -> None:
    chain = (MiddlewareConfig("blacklist", "shadow"), *(MiddlewareConfig(name) for name in FIVE[1:]))
    async with make_bot(clock=clock, commands=[work], middleware=chain) as bot:
        await bot.dispatch(owner_said("!blacklist_add user 42 spam"))
        outcome = await bot.dispatch(said("!work"))
        assert outcome.status == "ok"
        assert outcome.trace is not None
        assert outcome.trace.would_refuse == ("blacklist",)


async def test_blocked_commands_are_counted(make_bot: MakeBot, clock: FakeClock) -> None:
    async with make_bot(clock=clock, commands=[work]) as bot:
        await bot.dispatch(owner_said("!blacklist_add user 42 spam"))
        for _ in range(5):
            await bot.dispatch(said("!work"))
        await bot.telemetry.flush()
        reply = (await bot.dispatch(owner_said("!blacklist_stats"))).reply
        assert reply is not None
        assert {field.name: field.value for field in reply.fields}["Blocked attempts"] == "5 commands"


async def with_a_webhook(bot: Bot) -> None:
    """Have everything that the bot has to tell sent to somebody."""
    await bot.webhooks.add("siem", "custom", "http://127.0.0.1:9/", (), "local:owner")


async def sent(bot: Bot) -> list[tuple[object, ...]]:
    """How many signals there were, and how many deliveries wait for the webhook."""
    sql = "SELECT (SELECT SUM(count) FROM signals), (SELECT COUNT(*) FROM deliveries)"
    return await bot.database.read(lambda connection: connection.execute(sql))


@pytest.mark.promise("P23")
async def test_what_an_administrator_sends_is_not_sent_once_they_are_listed(
    make_bot: MakeBot, clock: FakeClock
) -> None:
    async with make_bot(clock=clock, rate_limit=UNLIMITED, webhooks=LOOPBACK) as bot:
        await with_a_webhook(bot)
        assert (await bot.dispatch(said("!alert high door", admin=True))).status == "ok"
        assert await sent(bot) == [(1, 1)]
        await bot.dispatch(owner_said("!blacklist_add user 42 spam"))
        before = await sent(bot)
        for text in ("!alert high window", "!incident open high x", "!drill start raid", "!no_such_command"):
            assert (await bot.dispatch(said(text, admin=True))).refused_by == "blacklist"
        assert await sent(bot) == before


@pytest.mark.promise("P23")
async def test_a_start_without_the_list_runs_nothing_for_anybody_but_the_owner(
    make_bot: MakeBot, clock: FakeClock
) -> None:
    async with make_bot(clock=clock, commands=[work]) as bot:
        await bot.dispatch(owner_said("!blacklist_add user 42 spam"))
        await bot.database.write(lambda db: db.change("ALTER TABLE blacklist RENAME TO gone"))
    async with make_bot(clock=clock, commands=[work]) as bot:
        for author in ("42", "43"):
            outcome = await bot.dispatch(said("!work", author))
            assert (outcome.refused_by, outcome.reason) == ("blacklist", "the blacklist is unavailable")
        assert reached == []
        assert (await bot.dispatch(owner_said("!work"))).status == "ok"


# -- entries, expiry, removal, reloads and orders, interleaved ------------------------------------------

USERS = ("42", "43", "44")
GUILDS = ("g1", "g2", None)


class Doors(RuleBasedStateMachine):
    """A bot beside a model that knows who is listed until when."""

    def __init__(self, make_bot: MakeBot, chains: Random) -> None:
        super().__init__()
        self._portals = anyio.from_thread.start_blocking_portal("asyncio")
        self._portal = self._portals.__enter__()
        self.clock = FakeClock()
        self._context = self._portal.wrap_async_context_manager(
            make_bot(clock=self.clock, commands=[work], rate_limit=UNLIMITED, webhooks=LOOPBACK)
        )
        self.bot = self._context.__enter__()
        if not self.bot.webhooks.all():
            self._portal.call(with_a_webhook, self.bot)
        self._chains = chains
        self.until: dict[tuple[str, str], float] = {}
        for entry in self._portal.call(self.bot.blacklist.entries):
            self._portal.call(self._remove, entry.kind, entry.id)
        reached.clear()

    async def _remove(self, kind: str, id: str) -> None:
        await self.bot.dispatch(owner_said(f"!blacklist_remove {kind} {id}"))

    def teardown(self) -> None:
        self._context.__exit__(None, None, None)
        self._portals.__exit__(None, None, None)

    def say(self, message: Message) -> str:
        outcome = self._portal.call(self.bot.dispatch, message)
        self.reply = outcome.reply
        return str(outcome.status)

    def listed(self, user: str, guild: str | None) -> bool:
        now = self.clock.monotonic()
        return any(
            self.until.get(key, 0.0) > now for key in (("user", user), ("guild", guild or "")) if key in self.until
        )

    @rule(kind=st.sampled_from(("user", "guild")), number=st.integers(0, 1), duration=st.sampled_from((None, 60, 90)))
    def add(self, kind: str, number: int, duration: int | None) -> None:
        id = (USERS if kind == "user" else ("g1", "g2"))[number]
        text = f"!blacklist_add {kind} {id} why" if duration is None else f"!blacklist_temp {kind} {id} {duration}s why"
        assert self.say(owner_said(text)) == "ok"
        self.until[kind, id] = float("inf") if duration is None else self.clock.monotonic() + duration

    @precondition(lambda self: self.until)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        kind, id = data.draw(st.sampled_from(sorted(self.until)))
        self.say(owner_said(f"!blacklist_remove {kind} {id}"))
        del self.until[kind, id]

    @rule(seconds=st.sampled_from((0.5, 1.0, 29.0, 59.5, 60.0)))
    def wait(self, seconds: float) -> None:
        self.clock.forward(seconds)

    @rule(seconds=st.sampled_from((-3600.0, 3600.0)))
    def step_the_clock(self, seconds: float) -> None:
        self.clock.step(seconds)

    @rule()
    def sweep(self) -> None:
        self._portal.call(self.bot.blacklist.sweep)

    @rule()
    def arrange_the_chain_anew(self) -> None:
        order = self._chains.sample(FIVE, len(FIVE))
        self._portal.call(self._use, tuple(MiddlewareConfig(name) for name in order))

    async def _use(self, chain: tuple[MiddlewareConfig, ...]) -> None:
        self.bot.pipeline.prepare(msgspec.structs.replace(self.bot.config, middleware=chain))()

    @invariant()
    def the_listed_trigger_nothing_and_the_others_are_served(self) -> None:
        for user, guild in itertools.product(USERS, GUILDS):
            reached.clear()
            status = self.say(said("!work", user, guild=guild))
            if self.listed(user, guild):
                assert (status, reached, self.reply) == ("refused", [], None)
            else:
                assert (status, reached) == ("ok", [user])
            self.clock.forward(0.001)

    @precondition(lambda self: any(self.listed(user, "g1") for user in USERS))
    @invariant()
    def nothing_is_sent_for_the_listed(self) -> None:
        user = next(user for user in USERS if self.listed(user, "g1"))
        before = self._portal.call(sent, self.bot)
        assert self.say(said("!alert high door", user, guild="g1", admin=True)) == "refused"
        assert self._portal.call(sent, self.bot) == before


def run_doors(make_bot: MakeBot, examples: int, steps: int) -> None:
    class Here(Doors):
        def __init__(self) -> None:
            super().__init__(make_bot, Random(1))

    run_state_machine_as_test(Here, settings=settings(max_examples=examples, stateful_step_count=steps))


@pytest.mark.promise("P23")
def test_who_is_listed_triggers_nothing_in_any_order_at_any_time(make_bot: MakeBot) -> None:
    run_doors(make_bot, 25, 20)


@pytest.mark.slow
@pytest.mark.promise("P23")
def test_who_is_listed_triggers_nothing_in_a_thousand_histories(make_bot: MakeBot) -> None:
    run_doors(make_bot, 1_000, 50)
