"""What discord.py would log: whole messages, forms, answers and the addresses of webhooks, at DEBUG."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_TALKATIVE = ("discord.gateway", "discord.http", "discord.webhook.async_")


@contextmanager
def discreet() -> Iterator[None]:
    """Keep that out of the log while the block runs: what people write is theirs, and may be a secret.

    That no shape gives away such a secret is why the log's own redaction is not enough.
    """
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    for logger in loggers:
        logger.addFilter(_is_about_the_connection)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(_is_about_the_connection)


def _is_about_the_connection(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG
