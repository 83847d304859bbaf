"""What was logged, as it goes from the thread that logs to the one that writes."""

import logging
from typing import TypeAlias

from socbot.dispatch.context import Context
from socbot.dispatch.current import current
from socbot.tracebacks import Redact, describe

Value: TypeAlias = str | int | float | bool | None

MESSAGE = 16_384
"""Characters of a message that are kept."""

_VALUE = 2_000
_MOST_PAIRS = 32
PAIRS = "socbot_pairs"
"""The attribute of a record under which ``structured`` hands over what structlog was given."""

_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", PAIRS}


class Event:
    """Something that was logged; ``at`` in seconds since 1970.

    :ivar form: the message before its arguments were put in; "" if it has none
    :ivar pairs: what was logged beside the message, by name
    :ivar ctx: the command that ran when it was logged
    """

    __slots__ = ("at", "ctx", "exception", "form", "level", "message", "name", "pairs")

    def __init__(
        self,
        name: str,
        level: str,
        at: float,
        message: str,
        exception: str = "",
        pairs: dict[str, Value] | None = None,
        ctx: Context | None = None,
        form: str = "",
    ) -> None:
        self.name, self.level, self.at, self.message, self.exception = name, level, at, message, exception
        self.pairs, self.ctx, self.form = pairs, ctx, form

    @property
    def size(self) -> int:
        return len(self.message) + len(self.exception) + 200


def event_of(record: logging.LogRecord, redact: Redact) -> Event:
    """Everything of ``record`` that may be different once whoever logged it goes on."""
    ctx = current.get()
    if ctx is not None and ctx.ended:
        ctx = None
    # A record without more than every record has is the rule, and is not searched.
    pairs = _pairs(record) if len(record.__dict__) > _USUAL else None
    exception = _exception(record, redact) if record.exc_info or record.stack_info else ""
    form = record.msg if record.args and type(record.msg) is str else ""
    return Event(record.name, record.levelname, record.created, _message(record), exception, pairs, ctx, form)


_USUAL = len(logging.makeLogRecord({}).__dict__)

# What is logged is anybody's code, and a line that cannot be made must break nothing: hence the wide nets.


def _exception(record: logging.LogRecord, redact: Redact) -> str:
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return redact(record.stack_info, MESSAGE) if record.stack_info else ""
    try:
        return describe(error, redact)
    except Exception as broken:
        return f"{type(error).__name__} (it cannot be shown: {type(broken).__name__})"


def _message(record: logging.LogRecord) -> str:
    try:
        message = record.getMessage()
    except Exception as broken:
        return f"{record.module}:{record.lineno} logged what cannot be shown: {type(broken).__name__}"
    return message if len(message) <= 2 * MESSAGE else message[: 2 * MESSAGE] + "…"


def _pairs(record: logging.LogRecord) -> dict[str, Value]:
    found = record.__dict__
    given = found.get(PAIRS)
    facts: dict[object, object] = given if isinstance(given, dict) else {}
    if len(found) > _USUAL + (PAIRS in found):
        facts = {name: value for name, value in found.items() if name not in _OWN} | facts
    return {_name(key): _plain(value) for key, value in list(facts.items())[:_MOST_PAIRS]}


def _name(key: object) -> str:
    return key[:60] if type(key) is str else "?"


def _plain(value: object) -> Value:
    if value is None or type(value) in (bool, int, float):
        return value  # type: ignore[return-value]
    try:
        text = value if type(value) is str else str(value) if isinstance(value, str) else repr(value)
    except Exception as broken:
        return f"(it cannot be shown: {type(broken).__name__})"
    return text if len(text) <= 2 * _VALUE else text[: 2 * _VALUE] + "…"
