"""The lines of a log: text as the older bot wrote it, or JSON."""

import json
import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from socbot.dispatch.context import Context
from socbot.dispatch.replies import printable
from socbot.logs.events import MESSAGE, Event, Value
from socbot.tracebacks import Redact

Format: TypeAlias = Literal["text", "json"]

_BARE = re.compile(r"[\w.:/+@#-]{1,200}")
_CONVERSION = re.compile(r"%(?:\([^)]*\))?[-+# 0-9.*]*[a-zA-Z]")
_VALUE = 2_000


class Heard(NamedTuple):
    """What a line says, without secrets, and without its arguments if it has any; ``at`` in seconds since 1970."""

    at: float
    name: str
    message: str


class Lines:
    """Makes a line of an event, without secrets: whoever logged it, and whatever it holds.

    :param hear: is told what each line says
    """

    def __init__(self, redact: Redact, format: Format, hear: Callable[[Heard], None]) -> None:
        self.redact, self.format, self._hear = redact, format, hear
        # The same few commands, users and guilds are in line after line.
        self._known = lru_cache(2_048)(lambda text: redact(text, _VALUE))
        self._form = lru_cache(512)(lambda form: redact(_CONVERSION.sub("#", form), _VALUE))

    def __call__(self, event: Event) -> str:
        message = self.redact(event.message, MESSAGE)
        context = {} if event.ctx is None else {name: self._known(value) for name, value in _context(event.ctx)}
        pairs = {} if event.pairs is None else self._clean(event.pairs)
        self._hear(Heard(event.at, event.name, self._form(event.form) if event.form else message))
        return _LINES[self.format](event, message, context, pairs)

    def _clean(self, pairs: dict[str, Value]) -> dict[str, Value]:
        return {self._known(name): self._value(name, value) for name, value in pairs.items()}

    def _value(self, name: str, value: Value) -> Value:
        """``value`` without secrets, also where only its name gives it away."""
        if not isinstance(value, str):
            return value
        before = f"{name}="
        shown = self.redact(before + value, _VALUE)
        return shown[len(before) :] if shown.startswith(before) else shown


def _context(ctx: Context) -> list[tuple[str, str]]:
    found = [("trace", ctx.trace.id), ("command", ctx.command.name), ("user", ":".join(ctx.identity))]
    return found if ctx.message.guild is None else [*found, ("guild", ctx.message.guild)]


def _as_text(event: Event, message: str, context: dict[str, str], pairs: dict[str, Value]) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at))
    text = f"{at} - {event.name} - {event.level} - {message}"
    if context or pairs:
        text += f" [{' '.join(_pair(*each) for each in (*context.items(), *pairs.items()))}]"
    return printable(f"{text}\n{event.exception}" if event.exception else text, keep="")


def _pair(name: str, value: Value) -> str:
    """One pair, so that no value can pass for another pair or for the end of them."""
    name = re.sub(r"[^\w.-]", "_", name)
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{name}={text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)}"


def _as_json(event: Event, message: str, context: dict[str, str], pairs: dict[str, Value]) -> str:
    fields: dict[str, object] = {"time": event.at, "name": event.name, "level": event.level, "message": message}
    fields |= context
    if pairs:
        fields["pairs"] = pairs
    if event.exception:
        fields["exception"] = event.exception
    return json.dumps(fields)  # in ASCII, so that no character of it can pass for the end of a line


_LINES: dict[Format, Callable[[Event, str, dict[str, str], dict[str, Value]], str]] = {
    "text": _as_text,
    "json": _as_json,
}
