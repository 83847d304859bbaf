"""What a record of the log carries beside its text."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from socbot.config import LogsConfig
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.dispatcher import Dispatcher
from socbot.logs.structured import get_logger, into_logging
from socbot.testing import said
from tests.recorded import lines_of, recording

log = logging.getLogger("test")

HOSTILE = st.text(
    st.sampled_from("\r\n\0\x1b\x85\u2028\u202e\ufeff\ud800ab= -[]{}\"'\\") | st.characters(), max_size=40
)


@command("say", permission="public")
async def say(ctx: Context) -> str:
    """Logs."""
    log.info("said")
    await anyio.to_thread.run_sync(log.info, "said in a thread")
    return "done"


async def logged(tmp_path: Path, form: Any, *messages: Any) -> list[str]:
    dispatcher = Dispatcher([say])
    with recording(LogsConfig(file=f"{tmp_path}/bot.log", format=form)):
        for message in messages:
            await dispatcher.dispatch(message)
        log.info("afterwards")
    return lines_of(tmp_path / "bot.log")


async def test_a_line_tells_which_command_of_whom_it_is_about(tmp_path: Path) -> None:
    lines = await logged(tmp_path, "text", said("!say", "42"), said("!say", "43", guild=None))
    found = [re.sub("trace=T-[0-9A-Z]+", "trace=T", line[22:]) for line in lines]
    assert found == [
        "test - INFO - said [trace=T command=say user=local:42 guild=g1]",
        "test - INFO - said in a thread [trace=T command=say user=local:42 guild=g1]",
        "test - INFO - said [trace=T command=say user=local:43]",
        "test - INFO - said in a thread [trace=T command=say user=local:43]",
        "test - INFO - afterwards",
    ]
    assert len(set(re.findall("T-[0-9A-Z]+", "".join(lines)))) == 2


async def test_json_has_it_by_name(tmp_path: Path) -> None:
    first, *_, last = map(json.loads, await logged(tmp_path, "json", said("!say", "42")))
    assert (first["command"], first["user"], first["guild"]) == ("say", "local:42", "g1")
    assert first["trace"].startswith("T-")
    assert set(last) == {"time", "name", "level", "message"}


async def test_what_a_command_leaves_running_is_no_part_of_it(tmp_path: Path) -> None:
    @command("begin", permission="public")
    async def begin(ctx: Context) -> str:
        """Starts something that goes on."""
        tasks.start_soon(go_on)
        return "begun"

    async def go_on() -> None:
        log.info("going on")
        await ended.wait()
        log.info("still going on")

    ended = anyio.Event()
    with recording(LogsConfig(file=f"{tmp_path}/bot.log")):
        async with anyio.create_task_group() as tasks:
            await Dispatcher([begin]).dispatch(said("!begin"))
            ended.set()
    assert not any("trace=" in line for line in lines_of(tmp_path / "bot.log"))


async def test_a_command_within_a_command_hands_back(tmp_path: Path) -> None:
    @command("outer", permission="public")
    async def outer(ctx: Context) -> str:
        """Runs another command."""
        await dispatcher.dispatch(said("!say"))
        log.info("outside again")
        return "done"

    dispatcher = Dispatcher([say, outer])
    with recording(LogsConfig(file=f"{tmp_path}/bot.log")):
        await dispatcher.dispatch(said("!outer"))
    assert [line.split("command=")[1].split()[0] for line in lines_of(tmp_path / "bot.log")] == ["say", "say", "outer"]


def test_facts_stand_beside_the_text_whoever_gives_them(tmp_path: Path) -> None:
    file = tmp_path / "bot.log"
    with recording(LogsConfig(file=str(file))), into_logging():
        get_logger("ours").bind(copies=3).info("made %s", "it", name="a b", msg=None)
        structlog.get_logger("theirs").warning("kept", ok=True)
        logging.getLogger("library").error("tried", extra={"attempt": 2})
    assert [line[22:] for line in lines_of(file)] == [
        'ours - INFO - made it [copies=3 name="a b" msg=null]',
        "theirs - WARNING - kept [ok=true]",
        "library - ERROR - tried [attempt=2]",
    ]


def test_a_logger_with_facts_obeys_the_levels_and_takes_exceptions(tmp_path: Path) -> None:
    file = tmp_path / "bot.log"
    log = get_logger("facts")
    with recording(LogsConfig(file=str(file), format="json", loggers={"facts": "ERROR"})):
        log.info("not to be seen", fact=1)
        try:
            raise ValueError("broken")
        except ValueError:
            log.exception("failed", fact=2)
    (line,) = map(json.loads, lines_of(file))
    assert (line["message"], line["pairs"]) == ("failed", {"fact": 2})
    assert "ValueError: broken" in line["exception"]


class _Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_facts_that_cannot_be_shown_break_nothing(tmp_path: Path) -> None:
    file = tmp_path / "bot.log"
    with recording(LogsConfig(file=str(file))):
        get_logger("facts").info("first", what=_Unspeakable(), large="x" * 10_000_000)
        log.info("second", extra={"socbot_pairs": 3, "nan": float("nan")})
        log.info("third", extra={"socbot_pairs": {1: 2}})
    first, second, third = lines_of(file)
    assert "cannot be shown: RuntimeError" in first
    assert len(first) < 20_000
    assert second.endswith("[nan=NaN]")
    assert third.endswith("third [_=2]")


@pytest.mark.promise("P11")
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_in_a_fact(tmp_path: Path, form: Any) -> None:
    file = tmp_path / "bot.log"
    with recording(LogsConfig(file=str(file), format=form)):
        get_logger("facts").info("in", password="hunter two", url="https://hooks.slack.com/services/T0/B0/abc")
        log.info("in", extra={"api_key": "swordfish", "note": "token=swordfish"})
    text = file.read_text()
    assert text.count("redacted") >= 4
    for secret in ("hunter", "T0/B0", "swordfish"):
        assert secret not in text


def as_it_is(text: str, limit: int) -> str:
    return text


@pytest.mark.promise("P37")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@settings(max_examples=70)
@given(st.lists(st.tuples(HOSTILE, HOSTILE, HOSTILE), min_size=20, max_size=40))
async def test_a_line_is_one_record_whatever_names_and_facts_hold(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("logs")

    @command("note", permission="public")
    async def note(ctx: Context, number: int) -> None:
        """Logs."""
        log.info("noted", extra={"fact": events[number][2]})

    dispatcher = Dispatcher([note])
    for form in ("text", "json"):
        with recording(LogsConfig(file=f"{folder}/{form}.log", format=form), as_it_is):
            for number, (author, guild, _) in enumerate(events):
                await dispatcher.dispatch(said(f"!note {number}", author, guild=guild))
    lines = (folder / "text.log").read_bytes().decode()
    assert len(lines.splitlines()) == len(events)
    assert all(re.fullmatch(_PAIRS, line[line.index(" [trace=") :]) for line in lines.splitlines())
    read = [json.loads(line) for line in (folder / "json.log").read_bytes().decode().splitlines()]
    assert [(each["user"], each["guild"], each["pairs"]["fact"]) for each in read] == [
        (f"local:{author}", guild, fact) for author, guild, fact in events
    ]


_PAIRS = r" \[trace=T-\w+ command=note user=(V) guild=(V) fact=(V)\]".replace("V", r'[\w.:/+@#-]+|"(?:[^"\\]|\\.)*"')
