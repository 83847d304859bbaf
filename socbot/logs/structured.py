"""Logging with facts beside the text, through structlog, in the same log as all else.

structlog takes a tenth of a second to import, so nothing here does before somebody uses it.
"""

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from socbot.logs.events import PAIRS

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger


def get_logger(name: str) -> "BoundLogger":
    """A structlog logger over the standard library's logger of that name: ``log.info("made", copies=3)``.

    It works with or without ``logging_to``, and is the same whatever a host has configured structlog to be.
    """
    import structlog

    made: BoundLogger = structlog.wrap_logger(
        logging.getLogger(name), processors=_processors(), wrapper_class=structlog.stdlib.BoundLogger
    ).bind()
    return made


@contextmanager
def structlog_into_logging() -> Iterator[None]:
    """Have structlog's own ``get_logger`` log into the standard library while the block runs.

    That is for whoever has imported structlog before; nobody pays for it otherwise.
    """
    structlog = sys.modules.get("structlog")
    if structlog is None:
        yield
        return
    before = structlog.get_config()
    structlog.configure(
        processors=_processors(),
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def _processors() -> list[Any]:
    from structlog.contextvars import merge_contextvars
    from structlog.stdlib import filter_by_level

    return [merge_contextvars, filter_by_level, to_record]


def to_record(logger: object, method: str, event: MutableMapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The last of structlog's processors: the text and its arguments as the message, all else as facts beside it."""
    told = {name: event.pop(name) for name in ("exc_info", "stack_info", "stacklevel") if name in event}
    message = (event.pop("event", ""), *event.pop("positional_args", ()))
    return message, told | {"extra": {PAIRS: event}}
