"""What receivers answer forges no line of the log, not even where it says all that it can."""

import json
import logging
import re
from pathlib import Path
from random import Random
from typing import Literal

import pytest

from socbot.config import LogsConfig
from socbot.systems.webhooks import WebhookType
from tests.receiver import Behaviour, Exchange, Receiver
from tests.recorded import lines_of, recording
from tests.systems.webhooks.conftest import MakePost

TOKEN = "hook-token-1234567890"
# what one of Apprise's plugins imports
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

FORGED = "2026-01-01 00:00:00 - soc_bot - CRITICAL - forged"
HOSTILE = "\r\n\0\x1b\x07\x85\u2028\u2029\u202e\u2066\ufeff"
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - [\w.]+ - [A-Z]+ - .*")


def is_one_record(line: str) -> bool:
    """Whether it is a line as the log writes them, which no program takes for two, and no terminal obeys."""
    if len(line.splitlines()) != 1 or not line.isprintable():
        return False
    return "message" in json.loads(line) if line.startswith("{") else LINE.fullmatch(line) is not None


def hostile(number: int) -> str:
    chance = Random(number)
    before, after = ("".join(chance.choices(HOSTILE + "a ", k=chance.randint(1, 8))) for _ in range(2))
    return f"{before}{chance.choice(HOSTILE)}{FORGED}{chance.choice(HOSTILE)}{after}"


def answers(number: int) -> Behaviour:
    """Every other one is in the body, the others are the reason phrase, and a header too."""
    text = hostile(number).encode()

    async def in_the_body(exchange: Exchange) -> None:
        head = f"HTTP/1.1 500 Broken\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n\r\n"
        await exchange.send(head.encode() + text)

    async def in_the_head(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 500 %s\r\nX-Told: %s\r\nContent-Length: 0\r\n\r\n" % (text, text))
        exchange.writer.close()

    return in_the_head if number % 2 else in_the_body


class Counted(logging.Handler):
    """Counts what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


WAITING = 20


async def logged(
    make_post: MakePost, receiver: Receiver, texts: int, logs: LogsConfig, type: WebhookType, address: str
) -> list[str]:
    """The lines about so many tries that fail, the first of them of what waits; each line is one event's."""
    behaviours = [answers(number) for number in range(texts)]
    for path in (f"/{TOKEN}", f"/{TOKEN}/"):  # Apprise adds the slash
        receiver.on(path, *behaviours)
    counted = Counted()
    async with make_post(deliver=False, tries=1, apprise=True) as post:
        await post.webhooks.add("siem", type, address, (), "local:owner")
        for number in range(WAITING):
            await post.signals.raise_("alert", f"Door {number}")
        with recording(logs):
            logging.getLogger().addHandler(counted)
            async with post.delivering():
                await post.settled("dead", WAITING)
            for _ in range(texts - WAITING):
                assert not (await post.webhooks.test("siem")).delivered
    assert len(receiver.requests) == texts
    lines = lines_of(Path(logs.file))
    assert len(lines) == counted.count >= texts
    return lines


how_many = pytest.mark.parametrize("texts", [200, pytest.param(2_000, marks=pytest.mark.slow)])
each_form = pytest.mark.parametrize("form", ["text", "json"])
asyncio_alone = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@pytest.mark.promise("P37")
@asyncio_alone
@each_form
@how_many
async def test_a_delivery_that_fails_is_logged_without_a_word_of_the_answer(
    make_post: MakePost, receiver: Receiver, tmp_path: Path, texts: int, form: Literal["text", "json"]
) -> None:
    logs = LogsConfig(file=f"{tmp_path}/bot.log", level="DEBUG", format=form, max_megabytes=100)
    lines = await logged(make_post, receiver, texts, logs, "custom", receiver.url(f"/{TOKEN}"))
    assert all(map(is_one_record, lines))
    assert not any("forged" in line for line in lines)


@pytest.mark.promise("P37")
@asyncio_alone
@each_form
@how_many
async def test_an_answer_that_a_library_logs_is_one_record(
    make_post: MakePost, receiver: Receiver, tmp_path: Path, texts: int, form: Literal["text", "json"]
) -> None:
    logs = LogsConfig(
        file=f"{tmp_path}/bot.log", level="DEBUG", format=form, max_megabytes=100,
        loggers={"apprise": "DEBUG", "urllib3": "DEBUG"},
    )  # fmt: skip
    lines = await logged(make_post, receiver, texts, logs, "apprise", f"json://{receiver.address}/{TOKEN}")
    assert all(map(is_one_record, lines))
    assert sum("forged" in line for line in lines) >= texts / 2


@pytest.mark.promise("P11")
@asyncio_alone
async def test_an_answer_that_a_library_complains_of_has_no_address_logged(
    make_post: MakePost, receiver: Receiver, tmp_path: Path
) -> None:
    logs = LogsConfig(file=f"{tmp_path}/bot.log", level="DEBUG")
    lines = await logged(make_post, receiver, 100, logs, "apprise", f"json://{receiver.address}/{TOKEN}")
    assert not any(TOKEN in line for line in lines)
