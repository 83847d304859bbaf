"""Logging with facts beside the text, through structlog, into the same log as all else.

structlog takes a tenth of a second to import: whoever imports this module pays for that.
"""

import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, cast

import structlog

from socbot.logs.events import PAIRS

_TOLD = frozenset(("exc_info", "stack_info", "stacklevel"))


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A structlog logger over the standard library's logger of that name: ``log.info("made", copies=3)``.

    It is the same whatever a host has configured structlog to be, and its facts are lost where no ``logging_to`` is.
    """
    wrapped = structlog.wrap_logger(logging.getLogger(name), processors=[to_record], wrapper_class=_Direct)
    return cast("structlog.stdlib.BoundLogger", wrapped.bind())


class _Direct(structlog.stdlib.BoundLogger):
    """structlog's logger with the one processor there is done in place: that halves what it adds to a call."""

    def _proxy_to_logger(self, method_name: str, event: str | None = None, *event_args: Any, **event_kw: Any) -> Any:
        if not self._logger.isEnabledFor(_LEVELS[method_name]):
            return None
        told = _told(self._context | event_kw if self._context else event_kw)
        return getattr(self._logger, method_name)(event, *event_args, **told)


_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "exception": logging.ERROR,
    "critical": logging.CRITICAL,
    "fatal": logging.CRITICAL,
}


@contextmanager
def into_logging() -> Iterator[None]:
    """Have structlog's own ``get_logger`` log into the standard library while the block runs."""
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.stdlib.filter_by_level, to_record],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def to_record(logger: object, method: str, event: MutableMapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The last of structlog's processors: the text and its arguments as the message, all else as facts beside it."""
    message = (event.pop("event", ""), *event.pop("positional_args", ()))
    return message, _told(event)


def _told(facts: MutableMapping[str, Any]) -> dict[str, Any]:
    """What the standard library is told beside the message."""
    told: dict[str, Any] = {"extra": {PAIRS: facts}}
    if not _TOLD.isdisjoint(facts):
        told |= {name: facts.pop(name) for name in _TOLD if name in facts}
    return told
