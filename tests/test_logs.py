import json
import logging
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.config import LogsConfig
from socbot.dispatch.replies import printable
from socbot.logs import RotatingFile, logging_to
from socbot.redaction import Redactor, redact
from tests.killing import small_disk
from tests.recorded import lines_of, recording

log = logging.getLogger("soc_bot")

HOSTILE = st.text(
    st.sampled_from("\r\n\0\x1b\x07\x85\u2028\u2029\u202e\u2066\ufeff\ud800ab -[]{}\"'\\") | st.characters(),
    max_size=60,
)


def test_a_line_looks_as_the_older_bot_wrote_it(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "bot.log"
    with recording(LogsConfig(file=str(file)), redact):
        log.info("[COMMAND] %s -> %s in %s", "bob", "ping", None)
    (line,) = lines_of(file)
    assert line[19:] == " - soc_bot - INFO - [COMMAND] bob -> ping in None"
    assert line[4::3][:5] == "-- ::"


@pytest.mark.promise("P37")
@given(st.lists(st.tuples(HOSTILE, HOSTILE, st.booleans()), min_size=20, max_size=40))
def test_an_event_is_one_line_of_text_whatever_it_holds(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, str, bool]]
) -> None:
    file = tmp_path_factory.mktemp("logs") / "bot.log"
    _log(LogsConfig(file=str(file)), events)
    text = file.read_bytes().decode()
    assert len(text.splitlines()) == len(events)
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in text if character != "\n")
    assert "\u202e" not in text


@pytest.mark.promise("P37")
@given(st.lists(st.tuples(HOSTILE, HOSTILE, st.booleans()), min_size=20, max_size=40))
def test_an_event_is_one_line_of_json_that_reads_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, str, bool]]
) -> None:
    file = tmp_path_factory.mktemp("logs") / "bot.log"
    _log(LogsConfig(file=str(file), format="json"), events)
    read = [json.loads(line) for line in file.read_bytes().decode().splitlines()]
    assert [event["message"] for event in read] == [redact(f"{message} by {who}") for message, who, _ in events]
    assert [("exception" in event) for event in read] == [fails for _, _, fails in events]


def _log(config: LogsConfig, events: list[tuple[str, str, bool]]) -> None:
    with recording(config, redact):
        for message, who, fails in events:
            try:
                if fails:
                    raise ValueError(message)
            except ValueError:
                log.exception("%s by %s", message, who)
            else:
                log.info("%s by %s", message, who)


@given(HOSTILE)
@pytest.mark.promise("P37")
def test_what_is_printed_has_no_control_but_line_ends(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert all(character == "\n" or character.isprintable() or ord(character) >= 0xA0 for character in shown)
    assert not set(shown) & set("\x1b\x85\u2028\u2029\u202e\u2066\ufeff")


@pytest.mark.promise("P11")
def test_a_secret_is_in_no_line_and_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "bot.log"
    for form in ("text", "json"):
        with recording(LogsConfig(file=str(file), format=form, level="DEBUG"), Redactor(["open sesame!"])):
            log.debug("it is %s", "open sesame!")
            try:
                raise ValueError("not open sesame!") from KeyError("https://hooks.slack.com/services/T0/B0/abc")
            except ValueError:
                log.exception("failed with open ses\name!")
    text = file.read_text()
    assert text.count("[redacted]") >= 6
    assert "sesame" not in text
    assert "open" not in text
    assert "services/T0" not in text


@pytest.mark.promise("P37")
def test_no_line_is_lost_when_the_file_is_full(tmp_path: Path) -> None:
    file = tmp_path / "bot.log"
    count = 60_000
    with recording(LogsConfig(file=str(file), max_megabytes=1, copies=20), redact) as writer:
        threads = [threading.Thread(target=_count, args=(part, count // 4)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    files = sorted(tmp_path.iterdir(), key=lambda path: -int(path.suffix[1:]) if path.suffix != ".log" else 0)
    lines = [line.rsplit(" ", 2)[1:] for path in files for line in lines_of(path)]
    for part in range(4):
        assert [int(number) for which, number in lines if which == str(part)] == list(range(count // 4))
    assert len(lines) == count
    assert writer.lost == 0
    assert len(files) > 2
    assert all(path.stat().st_size <= 1024 * 1024 for path in files)


def _count(part: int, count: int) -> None:
    for number in range(count):
        log.info("line %d %d", part, number)


def test_as_many_copies_are_kept_as_were_asked_for(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path / "bot.log", limit=20, copies=2)
    for number in range(10):
        assert file.write([f"line number {number}\n".encode()]) == 0
    file.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bot.log", "bot.log.1", "bot.log.2"]
    assert (tmp_path / "bot.log").read_text() == "line number 9\n"
    assert (tmp_path / "bot.log.2").read_text() == "line number 7\n"


@pytest.mark.promise("P18")
@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_log_files_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    file = tmp_path / "deep" / "logs" / "bot.log"
    before = os.umask(umask)
    try:
        with recording(LogsConfig(file=str(file), max_megabytes=1), redact):
            for _ in range(200):
                log.warning("x" * 15_000)
    finally:
        os.umask(before)
    made = [file.parent.parent, file.parent, *file.parent.iterdir()]
    assert len(made) > 4
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in made)


def test_a_file_that_the_older_bot_left_open_to_all_is_closed(tmp_path: Path) -> None:
    file = tmp_path / "bot.log"
    file.write_text("before\n")
    file.chmod(0o644)
    with recording(LogsConfig(file=str(file)), redact):
        log.info("after")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(lines_of(file)) == 2


class _Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_whoever_logs_nonsense_gets_no_error(tmp_path: Path) -> None:
    file = tmp_path / "bot.log"
    with recording(LogsConfig(file=str(file)), redact):
        log.info("%d", "no number")
        log.info("%s", _Unspeakable())
        log.info(_Unspeakable())
        log.info("x" * 10_000_000)
        log.info("the end")
    lines = lines_of(file)
    assert len(lines) == 5
    assert all("cannot be shown" in line for line in lines[:3])
    assert len(lines[3]) < 20_000


def test_logging_is_as_it_was_afterwards(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    with logging_to(LogsConfig(file=str(tmp_path / "bot.log"), level="DEBUG"), redact):
        assert root.level == logging.DEBUG
    assert (root.level, root.handlers) == before


def test_a_folder_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file, not a folder")
    with pytest.raises(OSError, match="logs"), logging_to(LogsConfig(file=str(tmp_path / "logs" / "bot.log")), redact):
        raise AssertionError("not to be reached")


def test_an_event_of_which_nothing_can_be_kept_is_counted_and_told(tmp_path: Path) -> None:
    def fragile(text: str, limit: int) -> str:
        if "break" in text:
            raise RecursionError
        return text

    file = tmp_path / "bot.log"
    with recording(LogsConfig(file=str(file)), fragile) as writer:
        log.info("break it")
        log.info("go on")
    assert sorted(line.rpartition(" - ")[2] for line in lines_of(file)) == ["1 log lines were lost", "go on"]
    assert writer.lost == 1


@pytest.mark.slow
@pytest.mark.promise("P19")
def test_a_full_disk_costs_lines_and_raises_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        file = disk / "bot.log"
        with recording(LogsConfig(file=str(file), max_megabytes=2), redact) as writer:
            for number in range(30_000):
                log.info("line %d", number)
        assert writer.lost
        kept = [line for line in lines_of(file) if "lost" not in line]
        assert len(kept) + writer.lost == 30_000
        file.write_bytes(b"")
        with recording(LogsConfig(file=str(file)), redact):
            log.info("there is room again")
        assert len(lines_of(file)) == 1
