"""What is logged, warned of or raised where nobody catches it, on its way to the writer."""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from socbot.config import LogsConfig
from socbot.logs.events import event_of
from socbot.logs.writer import LogWriter
from socbot.tracebacks import Redact

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_log = logging.getLogger("socbot")


@contextmanager
def logging_to(config: LogsConfig, redact: Redact) -> Iterator[LogWriter]:
    """Have everything that is logged written to ``config.file`` while the block runs; all of it is there afterwards.

    :raises OSError: if the file cannot be opened
    """
    root = logging.getLogger()
    with LogWriter(config, redact) as writer:
        handler = _Handler(writer)
        root.addHandler(handler)
        writer.levels.apply(config)
        try:
            yield writer
        finally:
            writer.levels.restore()
            root.removeHandler(handler)


@contextmanager
def uncaught_to_log() -> Iterator[None]:
    """Have Python's warnings, and what threads and finalizers raise, logged instead of printed while the block runs.

    What ends the block itself is logged too, and goes on. asyncio logs by itself what its tasks leave behind.
    """
    hooks = threading.excepthook, sys.unraisablehook
    logging.captureWarnings(True)
    threading.excepthook, sys.unraisablehook = _thread_ended, _unraisable
    try:
        yield
    except Exception as error:
        _log.critical("ended by %s", type(error).__name__, exc_info=error)
        raise
    finally:
        threading.excepthook, sys.unraisablehook = hooks
        logging.captureWarnings(False)


def structlog_to_log() -> AbstractContextManager[None]:
    """Have what is given to structlog logged like all else while the block runs, if anybody has imported it."""
    if "structlog" not in sys.modules:
        return nullcontext()
    from socbot.logs.structured import into_logging

    return into_logging()


def _thread_ended(caught: threading.ExceptHookArgs) -> None:
    if caught.exc_value is not None and not issubclass(caught.exc_type, SystemExit):
        name = "?" if caught.thread is None else caught.thread.name
        _log.critical("the thread %s was ended by an error", name, exc_info=caught.exc_value)


def _unraisable(caught: "UnraisableHookArgs") -> None:
    what = caught.err_msg or "an error could not be raised"
    _log.error("%s in %s", what, type(caught.object).__qualname__, exc_info=caught.exc_value)


class _Handler(logging.Handler):
    """Turns what is logged into events, on the thread that logs."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def createLock(self) -> None:
        """Nothing here is shared between threads but the queue."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = event_of(record, self._writer.redact)
        except Exception:  # whoever logs gets no error of it, and it is counted instead
            self._writer.lose()
        else:
            self._writer.add(event)
