"""A log that is changed while it is written loses nothing."""

import json
import logging
import re
import threading
from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from time import perf_counter

import msgspec
import pytest

from socbot.config import LogsConfig
from socbot.logs import LogWriter
from socbot.redaction import redact
from tests.recorded import all_lines, lines_of, recording

log = logging.getLogger("test")

_NUMBER = re.compile(r"line (\d+ \d+)")


def count(part: int, most: int, first: int = 0) -> None:
    for number in range(first, first + most):
        log.info("line %d %d", part, number)


def _changed(config: LogsConfig, number: int) -> LogsConfig:
    return msgspec.structs.replace(
        config,
        format="json" if number % 2 else "text",
        max_megabytes=1 + number % 3,
        copies=18 + number % 3,
        level="DEBUG" if number % 2 else "INFO",
        loggers={f"other.{number}": "ERROR"},
    )


def written(folder: Path) -> Counter[str]:
    """How often each numbered line is in the files; of lines in JSON the message, which must parse."""
    texts = (json.loads(line)["message"] if line.startswith("{") else line for line in all_lines(folder))
    return Counter(match[1] for text in texts if (match := _NUMBER.search(text)))


@pytest.mark.promise("P37")
def test_no_line_is_lost_while_everything_about_the_log_changes(tmp_path: Path) -> None:
    config = LogsConfig(file=f"{tmp_path}/bot.log", max_megabytes=1, copies=20)
    each, parts = 25_000, 4
    set_aside: list[Future[list[str]]] = []

    def count_and_change(writer: LogWriter) -> None:
        for number in range(each // 1_000):
            count(0, 1_000, number * 1_000)
            writer.configure(_changed(config, number))
            if number % 5 == 0:
                set_aside.append(writer.set_aside(f"aside_{number}.log"))

    began = perf_counter()
    with recording(config) as writer:
        threads = [threading.Thread(target=count, args=(part, each)) for part in range(1, parts)]
        threads.append(threading.Thread(target=count_and_change, args=(writer,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert writer.lost == 0
    assert perf_counter() - began < 60  # 100,000 lines a minute
    assert all(each.result() for each in set_aside)
    found = written(tmp_path)
    assert len(found) == parts * each
    assert set(found.values()) == {1}


def test_a_format_counts_from_the_next_line_on(tmp_path: Path) -> None:
    file = tmp_path / "bot.log"
    config = LogsConfig(file=str(file))
    with recording(config) as writer:
        log.info("first")
        writer.configure(msgspec.structs.replace(config, format="json"))
        log.info("second")
    first, second = lines_of(file)
    assert first.endswith(" - test - INFO - first")
    assert json.loads(second)["message"] == "second"


def test_levels_are_those_of_the_configuration_and_then_what_they_were(tmp_path: Path) -> None:
    root, other, named = (logging.getLogger(name) for name in ("", "other", "named"))
    named.setLevel("CRITICAL")
    config = LogsConfig(file=f"{tmp_path}/bot.log", level="ERROR", loggers={"named": "DEBUG", "other": "WARNING"})
    before = root.level
    try:
        with recording(config) as writer:
            assert (root.level, named.level, other.level) == (logging.ERROR, logging.DEBUG, logging.WARNING)
            writer.configure(msgspec.structs.replace(config, loggers={"other": "INFO"}))
            assert (named.level, other.level) == (logging.CRITICAL, logging.INFO)
        assert (root.level, named.level, other.level) == (before, logging.CRITICAL, logging.NOTSET)
    finally:
        named.setLevel("NOTSET")


def test_what_was_logged_is_in_the_file_once_it_is_flushed(tmp_path: Path) -> None:
    file = tmp_path / "bot.log"
    with recording(LogsConfig(file=str(file))) as writer:
        for number in range(5_000):
            log.info("line 0 %d", number)
        writer.flushed().result()
        assert len(lines_of(file)) == 5_000


def test_an_order_that_cannot_be_followed_is_told_and_the_log_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "bot.log"
    (tmp_path / "taken.log").mkdir()
    with recording(LogsConfig(file=str(file))) as writer:
        log.info("before")
        with pytest.raises(OSError, match=r"taken\.log"):
            writer.set_aside("taken.log").result()
        log.info("after")
    assert [line[-6:] for line in lines_of(file)] == ["before", " after"]


def test_a_log_that_is_closed_says_so(tmp_path: Path) -> None:
    with LogWriter(LogsConfig(file=f"{tmp_path}/bot.log"), redact) as writer:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        writer.flushed().result()


def test_what_is_said_is_heard_without_secrets_and_within_bounds(tmp_path: Path) -> None:
    with recording(LogsConfig(file=f"{tmp_path}/bot.log")) as writer:
        log.info("nobody listens")
        writer.flushed().result()
        writer.hears = True
        log.info("password=swordfish")
        for number in range(19_999):
            log.info("%s and %(odd)s", number)
        log.info("line 0 1")
        writer.flushed().result()
        assert (len(writer.heard), writer.unheard) == (20_000, 1)
        assert "swordfish" not in str(writer.heard)
        assert writer.heard[0][1:] == ("test", "# and #")
        assert writer.heard[-1][1:] == ("test", "line 0 1")
