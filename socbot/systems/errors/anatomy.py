"""What an exception is: its root cause, how bad it is, and which others are the same fault."""

import os
import re
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from functools import cache
from types import FrameType
from typing import Literal, TypeAlias

from msgspec import Struct

from socbot.dispatch.errors import GuardFailed
from socbot.tracebacks import Redact, frames_of, message_of

Severity: TypeAlias = Literal["critical", "warning", "info"]

SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")
"""Worst first."""

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

_MOST_CAUSES = 1_000
_MOST_LEAVES = 1_000
_FRAMES = 3
_TEMPLATE = 300


class Anatomy(Struct, frozen=True):
    """What is known of one failure.

    :param type: the root cause's class
    :param message: the root cause's, without secrets
    :param template: the message without what changes from one occurrence to the next
    """

    type: str
    severity: Severity
    message: str
    template: str
    group_id: str


def dissect(error: BaseException, command: str, severities: Mapping[str, Severity], redact: Redact) -> Anatomy:
    """Look at ``error``, which the command ``command`` ended with."""
    chain = causes(error)
    root = chain[-1]
    kind = type(root).__name__
    message = message_of(root, redact)
    template = template_of(message)
    frames = program_frames(root) or next(filter(None, map(program_frames, reversed(chain))), ())
    return Anatomy(kind, severity_of(chain, severities), message, template, group_of(kind, command, frames, template))


def causes(error: BaseException) -> list[BaseException]:
    """``error`` and what caused it, the root cause last. A cancellation is how something ended, never why."""
    found, seen = [error], {id(error)}
    while len(found) < _MOST_CAUSES:
        cause = _cause(found[-1])
        if not isinstance(cause, Exception) or id(cause) in seen:
            break
        found.append(cause)
        seen.add(id(cause))
    return found


def severity_of(chain: list[BaseException], severities: Mapping[str, Severity]) -> Severity:
    """By the names of the root cause's classes, or else of what it caused; of a group, the worst of its leaves."""
    root = chain[-1]
    if isinstance(root, BaseExceptionGroup):
        found = {_by_name(leaf, severities) for leaf in _leaves(root, _MOST_LEAVES)}
        worst = next((severity for severity in SEVERITIES if severity in found), None)
        if worst:
            return worst
    for error in reversed(chain):
        severity = _by_name(error, severities)
        if severity:
            return severity
    return "info"


def program_frames(error: BaseException) -> tuple[str, ...]:
    """The innermost places of the program itself that ``error`` came through, as ``file:function``.

    Neither the engine nor the middleware that stood around the command count, unless there is nothing else: the same
    fault stays the same in another order of the chain.
    """
    inner: deque[str] = deque(maxlen=_FRAMES)
    around: deque[str] = deque(maxlen=_FRAMES)
    for frame, _ in frames_of(error):
        module = str(frame.f_globals.get("__name__", ""))
        if _is_program(frame, module):
            (around if module.startswith(("socbot.dispatch.", "socbot.middleware.")) else inner).append(_place(frame))
    return tuple(inner or around)


def template_of(message: str) -> str:
    """``message`` with ids, numbers, addresses and quoted parts taken out."""
    text = message
    for pattern, put in _variable_parts():
        text = pattern.sub(put, text)
    return text[:_TEMPLATE]


def group_of(kind: str, command: str, frames: tuple[str, ...], template: str) -> str:
    """The id of the group: the same wherever and whenever it is computed."""
    from hashlib import blake2b

    identity = "\0".join((kind, command, *frames, template)).encode("utf-8", "backslashreplace")
    number = int.from_bytes(blake2b(identity, digest_size=8).digest())
    return "G-" + short_id(number)


def short_id(number: int) -> str:
    """Six characters for the lowest thirty bits of ``number``."""
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(25, -1, -5))


def _cause(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        leaves = list(_leaves(error, 2))
        if len(leaves) == 1:
            return leaves[0]
    if isinstance(error, GuardFailed):
        return error.error
    return error.__cause__


def _leaves(group: BaseExceptionGroup[BaseException], most: int) -> Iterator[BaseException]:
    pending: list[BaseException] = [group]
    while pending and most:
        error = pending.pop()
        if isinstance(error, BaseExceptionGroup):
            pending += reversed(error.exceptions)
        else:
            most -= 1
            yield error


def _by_name(error: BaseException, severities: Mapping[str, Severity]) -> Severity | None:
    return next((severities[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in severities), None)


def _is_program(frame: FrameType, module: str) -> bool:
    path = frame.f_code.co_filename
    library = "site-packages" in path or "dist-packages" in path or path.startswith("<frozen")
    return not library and module.partition(".")[0] not in sys.stdlib_module_names - {"__main__"}


def _place(frame: FrameType) -> str:
    folder, file = os.path.split(frame.f_code.co_filename)
    return f"{os.path.basename(folder)}/{file}:{frame.f_code.co_qualname}"


@cache
def _variable_parts() -> "tuple[tuple[re.Pattern[str], str], ...]":
    return (
        (re.compile(r"""'[^'\n]{0,200}'|"[^"\n]{0,200}"|`[^`\n]{0,200}`|“[^”\n]{0,200}”|‹[^›\n]{0,200}›"""), "#"),
        (re.compile(r"<[^<>\n]{0,200}>"), "#"),
        (re.compile(r"\bhttps?://\S+", re.IGNORECASE), "#"),
        (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "#"),
        (re.compile(r"\b[a-z]-[0-9a-z]{4,12}\b", re.IGNORECASE), "#"),
        (re.compile(r"(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])", re.IGNORECASE), "#"),
        (re.compile(r"\b[0-9a-f]{8,}\b", re.IGNORECASE), "#"),
        (re.compile(r"\b[^\W\d]*\d\w*"), "#"),
        (re.compile(r"(?<![\w#])[-+]#"), "#"),
        (re.compile(r"#(?:(?:[-.:,/_+]|, )#)+"), "#"),
        (re.compile(r"\s+"), " "),
    )
