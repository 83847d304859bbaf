"""What people type: words, quotes, arguments, and a whole message through the dispatcher."""

import asyncio
import atexit
import enum
import time
from collections.abc import Callable
from functools import cache
from typing import Annotated, Literal

from msgspec import Meta

from socbot.dispatch.arguments import MAX_LENGTH, YEAR, Duration, Rest, split
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.dispatcher import Dispatcher
from socbot.dispatch.errors import UserError
from socbot.dispatch.messages import ChannelRef, GuildRef, UserRef
from socbot.testing import FakeClock, said

PIECES = (
    '"', "“", "”", "„", "«", "»", "\\", '\\"', "`", "--", "—", "–", "--loud", "-", "<@", ">", "<@42>", "<#1>", "@",
    "@everyone", "#", ":", "\udc80", "\u202e", "\u200b", "\x00", "\x1b[31m", "\n", "\t", " ", "  ", "\u2028", "\ufeff",
    "0", "-1", "9223372036854775808", "18446744073709551616", "1e9w", "-1h", "1h30m", "99999999999d", "1.5", "nan",
    "1e999", "0x7f", "٣", "on", "off", "soft", "HARD", "discord:42", "a:b:c", "é", "😀", "ß", "İ", "x" * 65,
    "!number ", "!tag ", "!limit ", "!switch ", "!incident open ", "!incident ", "!noSuch ", "!", "confirm ",
)  # fmt: skip
FRAMES = ("!number … …", "!tag … … …", "!limit soft … … …", "!switch … …", "!incident open … …", '!tag "…" …')
MILLISECONDS = 5


class Level(enum.Enum):
    LOW = 1
    VERY_HIGH = 2


@command("number", permission="public", aliases=("n",))
async def number(ctx: Context, count: Annotated[int, Meta(ge=-5, le=100)], ratio: float = 1.0) -> None:
    assert -5 <= count <= 100
    assert abs(ratio) <= 1e308


@command("tag", permission="public")
async def tag(ctx: Context, name: Annotated[str, Meta(max_length=40)], *words: str, loud: bool = False) -> None:
    assert len(name) <= 40
    assert all(isinstance(word, str) for word in words)
    assert isinstance(loud, bool)


@command("limit", permission="public")
async def limit(
    ctx: Context, kind: Literal["soft", "hard"], user: UserRef, length: Duration | None = None, reason: Rest = ""
) -> None:
    assert kind in ("soft", "hard")
    assert 0 < len(user.id) <= 64
    assert length is None or 60 <= length <= 10 * YEAR
    assert reason == reason.strip()


@command("switch", permission="public")
async def switch(ctx: Context, on: bool, level: Level = Level.LOW, guild: GuildRef | None = None) -> None:
    assert on in (True, False)
    assert isinstance(level, Level)


@command("incident open", permission="public")
async def incident_open(ctx: Context, channel: ChannelRef, title: Rest) -> None:
    assert 0 < len(channel.id) <= 64
    assert title


COMMANDS = (number, tag, limit, switch, incident_open)


def fuzz(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    check_words(text[:MAX_LENGTH])
    check_message(text)


def check_words(text: str) -> None:
    """Words are what stands between blanks, in order, and nothing else of the text is lost."""
    words = split(text)
    starts = [word.start for word in words]
    assert not text[: starts[0] if starts else None].strip()
    for word, end in zip(words, [*starts[1:], len(text)], strict=False):
        written = text[word.start : end].rstrip()
        if word.quoted:
            assert len(written) >= 2
            assert written[0] in '"“„”«'
            assert written[-1] in '"“”»'
            inner = written[1:-1]
            assert word.value == (inner.replace('\\"', '"') if written[0] == '"' else inner)
        else:
            assert word.value == written
            assert not any(map(str.isspace, written))


def check_message(text: str) -> None:
    """A value or an error that the person is told, and soon."""
    outcome = loop().run(Dispatcher(COMMANDS, clock=FakeClock()).dispatch(said(text)))
    if outcome.error is not None and outcome.status not in ("invalid", "unknown"):
        raise outcome.error
    assert outcome.status in ("ok", "invalid", "unknown", "ignored")
    if len(text) > MAX_LENGTH and text.startswith("!"):
        assert (outcome.status, outcome.reason) == ("invalid", "message")
    told = str(outcome.reply or "")
    assert len(told) < 1_000
    assert not {"\x1b", "\x00", "\u202e"} & set(told)
    assert "@everyone" not in told
    parsing = milliseconds(lambda: parsed_by_all(text[:MAX_LENGTH]))
    assert parsing < MILLISECONDS * len(COMMANDS), f"{parsing:.1f} ms"


@cache
def loop() -> asyncio.Runner:
    """One for all messages: to make one takes longer than to run a message."""
    runner = asyncio.Runner()
    atexit.register(runner.close)
    return runner


def parsed_by_all(text: str) -> None:
    for each in COMMANDS:
        try:
            each.signature.bind(text, said(""))
        except UserError:
            continue


def milliseconds(work: Callable[[], None]) -> float:
    """The processor's time that ``work`` takes; the best of three, once it seems to be long."""
    best = float("inf")
    for _ in range(3):
        started = time.thread_time()
        work()
        best = min(best, 1_000 * (time.thread_time() - started))
        if best < MILLISECONDS:
            break
    return best
