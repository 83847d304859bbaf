"""What it costs to be on Discord: a message of the gateway in, the request with its answer out.

Everybody stands on the same discord.py with the same settings, gets the same text and answers the same.
The floor is a client that compares the text by hand, and says the answer in the channel. ext.commands and socbot each
have an empty form and one with the five concerns, and answer with a reply, to which Discord says more; so does
a second client by hand. What socbot does more than the others (each request passes a gate, no answer is sent twice, or
where the bot may not write) is part of what it costs.
"""

import asyncio
import gc
import itertools
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from time import monotonic, perf_counter
from typing import Any, TypeAlias

import discord
from discord.ext import commands
from msgspec import Struct

from bench.contenders import LIMITS, NO_BACKUPS, Counter, open_store
from bench.discord_wire import BOT, JSON, Wire, authors, user, written
from bench.peers.books import Books
from socbot.bot import Bot
from socbot.config import Config, StorageConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.outcomes import Status
from socbot.dispatch.replies import Field, Reply
from socbot.shards import Shards
from socbot.transports.discord.client import Client
from socbot.transports.discord.events import command_log
from socbot.transports.discord.incoming import PLATFORM
from socbot.transports.discord.logins import Logins, SessionLimit
from socbot.transports.discord.preflight import Preflight
from socbot.transports.discord.requests import RequestGate
from socbot.transports.discord.responding import Responder
from socbot.transports.discord.slash import Slash

LISTED = user("999999999")
USERS = 1_000
AT_ONCE = 64
SLICE = 512
"""Commands between two flushes."""


class Scenario(Struct, frozen=True):
    """What is written.

    :param answered: whether an answer is due to each
    """

    name: str
    text: str
    author: JSON | None = None
    answered: bool = True
    at_once: int = 1


SCENARIOS = (
    Scenario("a command", "!bench_ping"),
    Scenario("64 at once", "!bench_ping", at_once=AT_ONCE),
    Scenario("answered in an embed", "!bench_embed"),
    Scenario("a listed user", "!bench_ping", LISTED, answered=False),
    Scenario("no command", "has anybody seen the logs of last night?", answered=False),
    Scenario("another bot's", "!bench_ping", user("70", is_bot=True), answered=False),
)


class Ends:
    """Tells when messages have been dealt with."""

    def __init__(self) -> None:
        self._due = 0
        self._over = asyncio.get_running_loop().create_future()

    def expect(self, count: int) -> Awaitable[None]:
        self._due, self._over = count, asyncio.get_running_loop().create_future()
        return self._over

    def one(self) -> None:
        self._due -= 1
        if not self._due:
            self._over.set_result(None)


class Contender(Struct):
    """One way to be on Discord.

    :param ran: how often a handler has run
    :param concerned: whether it knows who is listed
    :param flush: writes what was observed, where anything is
    """

    name: str
    wire: Wire
    ends: Ends
    ran: Callable[[], int]
    concerned: bool = True
    flush: Callable[[], Awaitable[None]] | None = None


SETTINGS: dict[str, Any] = {
    "intents": discord.Intents(guilds=True, guild_messages=True, message_content=True),
    "max_messages": None,
    "member_cache_flags": discord.MemberCacheFlags.none(),
    "chunk_guilds_at_startup": False,
    "allowed_mentions": discord.AllowedMentions.none(),
}


def embed() -> discord.Embed:
    return discord.Embed(title="Pong", description="Here.", colour=0x2ECC71).add_field(
        name="Took", value="no time", inline=False
    )


@asynccontextmanager
async def _connected(client: discord.Client) -> AsyncIterator[Wire]:
    async with client:
        wire = Wire(client, b"Pong")
        await wire.connect()
        yield wire


async def _say(message: discord.Message, **what: Any) -> None:
    await message.channel.send(**what)


async def _reply(message: discord.Message, **what: Any) -> None:
    await message.reply(**what)


Answer: TypeAlias = Callable[..., Awaitable[None]]


@asynccontextmanager
async def floor(folder: Path, name: str = "floor", answer: Answer = _say) -> AsyncIterator[Contender]:
    counter, ends = Counter(), Ends()

    class Floor(discord.Client):
        async def on_message(self, message: discord.Message) -> None:
            if not message.author.bot and message.author.id != int(LISTED["id"]):
                if message.content == "!bench_ping":
                    counter.count += 1
                    await answer(message, content="Pong")
                elif message.content == "!bench_embed":
                    counter.count += 1
                    await answer(message, embed=embed())
            ends.one()

    async with _connected(Floor(**SETTINGS)) as wire:
        yield Contender(name, wire, ends, counter.value)


def replying_floor(folder: Path) -> AbstractAsyncContextManager[Contender]:
    return floor(folder, "floor, replying", _reply)


def _extension(counter: Counter, ends: Ends, answer: Answer = _reply) -> "commands.Bot":
    class Extension(commands.Bot):
        async def on_message(self, message: discord.Message, /) -> None:
            await self.process_commands(message)
            ends.one()

        async def on_command_error(self, ctx: Any, error: commands.CommandError, /) -> None:
            assert isinstance(error, commands.CheckFailure), error

    bot = Extension("!", help_command=None, **SETTINGS)

    @bot.command(name="bench_ping")
    async def ping(ctx: "commands.Context[commands.Bot]") -> None:
        counter.count += 1
        await answer(ctx.message, content="Pong")

    @bot.command(name="bench_embed")
    async def embedded(ctx: "commands.Context[commands.Bot]") -> None:
        counter.count += 1
        await answer(ctx.message, embed=embed())

    return bot


def _is_not_listed(ctx: "commands.Context[commands.Bot]") -> bool:
    return ctx.author.id != int(LISTED["id"])


@asynccontextmanager
async def extension(folder: Path) -> AsyncIterator[Contender]:
    counter, ends = Counter(), Ends()
    async with _connected(_extension(counter, ends, _say)) as wire:
        yield Contender("ext.commands", wire, ends, counter.value, concerned=False)


@asynccontextmanager
async def replying_extension(folder: Path) -> AsyncIterator[Contender]:
    counter, ends = Counter(), Ends()
    async with _connected(_extension(counter, ends)) as wire:
        yield Contender("ext.commands, replying", wire, ends, counter.value, concerned=False)


@asynccontextmanager
async def extension_full(folder: Path) -> AsyncIterator[Contender]:
    """With the five concerns where its idioms put them, as in ``bench.peers.discord_py``."""
    counter, ends = Counter(), Ends()
    async with open_store(folder) as store:
        bot, books = _extension(counter, ends), Books(store.telemetry.record)
        bot.add_check(_is_not_listed)
        bot.add_check(lambda ctx: books.admits(str(ctx.author.id)))

        async def before(ctx: Any) -> None:
            ctx.started = monotonic()

        async def after(ctx: Any) -> None:
            status: Status = "failed" if ctx.command_failed else "ok"
            books.record(str(ctx.author.id), str(ctx.guild.id), status, ctx.started, ctx.started)

        bot.before_invoke(before)
        bot.after_invoke(after)
        async with _connected(bot) as wire:
            yield Contender(
                "ext.commands, replying, 5 concerns", wire, ends, counter.value, flush=store.telemetry.flush
            )


def _commands(counter: Counter) -> list[Any]:
    @command("bench_ping", permission="public")
    async def ping(ctx: Context) -> Reply:
        """Answers."""
        counter.count += 1
        return Reply("Pong")

    @command("bench_embed", permission="public")
    async def embedded(ctx: Context) -> Reply:
        """Answers in an embed."""
        counter.count += 1
        return Reply("Here.", "Pong", (Field("Took", "no time", False),), tone="ok")

    return [ping, embedded]


def _preflight() -> Preflight:
    return Preflight(
        int(BOT), int(BOT), discord.ApplicationFlags(), (), Shards((0,), 1), "", SessionLimit(), SETTINGS["intents"]
    )


@asynccontextmanager
async def _socbot(name: str, config: Config) -> AsyncIterator[Contender]:
    counter, ends = Counter(), Ends()

    class Ending(Client):
        async def on_message(self, message: discord.Message) -> None:
            await super().on_message(message)
            ends.one()

    async with Bot.from_config(config, commands=_commands(counter), jobs=False) as bot:
        await bot.blacklist.add("user", (PLATFORM, LISTED["id"]), reason="listed", by="bench")

        def tell(reply: Reply) -> None:
            raise AssertionError(reply)

        gate, logins = RequestGate(bot.clock, tell), Logins(bot.database, bot.clock, tell)
        slash, responder = Slash(bot.dispatcher.registry), Responder(bot, bot.clock, Random(1))
        client = Ending(bot, responder, slash, _preflight(), logins, gate)
        bot.dispatcher.observe(command_log(client.name_of_guild))
        async with _connected(client) as wire:
            yield Contender(name, wire, ends, counter.value, bool(config.middleware), bot.telemetry.flush)
        assert responder.undelivered == 0, f"{responder.undelivered} answers were not delivered"


@asynccontextmanager
async def socbot_bare(folder: Path) -> AsyncIterator[Contender]:
    storage = StorageConfig(url=f"sqlite:///{folder}/bench.db")
    async with _socbot("socbot, empty chain", Config(backup=NO_BACKUPS, storage=storage, middleware=())) as made:
        yield made


@asynccontextmanager
async def socbot_full(folder: Path) -> AsyncIterator[Contender]:
    config = Config(backup=NO_BACKUPS, storage=StorageConfig(url=f"sqlite:///{folder}/bench.db"), rate_limit=LIMITS)
    async with _socbot("socbot", config) as made:
        yield made


OPENERS = (floor, replying_floor, extension, replying_extension, socbot_bare, extension_full, socbot_full)


async def measure(contender: Contender, scenario: Scenario, count: int) -> float:
    """Seconds for each message, until it is answered and done with; writing down what was observed is left out.

    :raises AssertionError: if not each command was run and answered once
    """
    by = itertools.repeat(scenario.author) if scenario.author else authors(USERS)
    texts = [written(scenario.text, author) for author in itertools.islice(by, count)]
    seconds, ran, sent = 0.0, contender.ran(), contender.wire.sent
    gc.collect()
    gc.freeze()
    for first in range(0, count, SLICE):
        began = perf_counter()
        async with asyncio.timeout(60):
            await _exchange(contender, texts[first : first + SLICE], scenario.at_once)
        seconds += perf_counter() - began
        if contender.flush is not None:
            await contender.flush()
    gc.unfreeze()
    due = count if scenario.answered else 0
    found = contender.ran() - ran, contender.wire.sent - sent
    assert found == (due, due), f"{contender.name}, {scenario.name}: run and sent {found}, not {due}"
    return seconds / count


async def _exchange(contender: Contender, texts: Sequence[str], at_once: int) -> None:
    receive, expect = contender.wire.receive, contender.ends.expect
    for first in range(0, len(texts), at_once):
        part = texts[first : first + at_once]
        over = expect(len(part))
        for text in part:
            await receive(text)
        await over


Costs: TypeAlias = dict[tuple[str, str], list[float]]
"""Seconds in each round, by scenario and contender."""


async def compare(rounds: int, count: int) -> Costs:
    """The contenders take turns."""
    costs: Costs = {}
    with tempfile.TemporaryDirectory(prefix="socbot-bench-") as scratch:
        async with AsyncExitStack() as stack:
            found = [await stack.enter_async_context(open(_made(scratch, open.__name__))) for open in OPENERS]
            for round in range(rounds + 1):
                for scenario in SCENARIOS:
                    for contender in found:
                        if contender.concerned or scenario.author != LISTED:
                            cost = await measure(contender, scenario, count if round else SLICE)
                            if round:  # the first one warms up
                                costs.setdefault((scenario.name, contender.name), []).append(cost)
    return costs


def _made(scratch: str, name: str) -> Path:
    folder = Path(scratch, name)
    folder.mkdir()
    return folder


def report(costs: Costs) -> str:
    """Medians in microseconds, what each adds to the floor, and the median of the ratios within each round."""
    lines = ["| message | contender | µs | added to the floor, µs | to the floor |", "|--|--|--:|--:|--:|"]
    for (scenario, name), found in costs.items():
        base = costs[scenario, "floor"]
        taken = statistics.median(found) * 1e6
        added = statistics.median(cost - floor for cost, floor in zip(found, base, strict=True)) * 1e6
        ratio = statistics.median(cost / floor for cost, floor in zip(found, base, strict=True))
        lines.append(f"| {scenario} | {name} | {taken:.0f} | {added:.0f} | {ratio:.2f} |")
    return "\n".join(lines)
