"""A log to look at."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from socbot.config import LogsConfig
from socbot.logs import LogWriter, logging_to
from socbot.redaction import redact
from socbot.tracebacks import Redact


@contextmanager
def recording(config: LogsConfig, redact: Redact = redact) -> Iterator[LogWriter]:
    """``logging_to``, without pytest's own handlers, which are not as forgiving."""
    root = logging.getLogger()
    others, root.handlers = root.handlers, []
    try:
        with logging_to(config, redact) as writer:
            yield writer
    finally:
        root.handlers = others


def lines_of(path: Path) -> list[str]:
    return path.read_bytes().decode().split("\n")[:-1]


def all_lines(folder: Path) -> list[str]:
    """The lines of all files of the log in ``folder``."""
    return [line for path in folder.glob("*.log*") for line in lines_of(path)]
