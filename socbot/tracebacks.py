"""Exceptions in words, within bounds, whatever the exceptions do: huge messages, ``__str__`` that raises, causes in a
circle, groups of thousands, stacks of recursion.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from types import FrameType, TracebackType
from typing import TypeAlias

Redact: TypeAlias = Callable[[str, int], str]
"""Takes the secrets out of a text, of which it keeps so many characters: see ``socbot.redaction``."""

MESSAGE = 2_000
"""Characters of one exception's message that are kept."""

_HEAD, _TAIL = 8, 24  # frames shown of a long stack: where it began, and where it broke
_MOST_FRAMES = 20_000
_CHAIN = 8
_LEAVES = 5
_DEPTH = 2


def message_of(error: BaseException, redact: Redact) -> str:
    """What ``error`` says, or that it cannot say it."""
    try:
        text = str(error)
    except (Exception, SystemExit) as broken:  # __str__ is somebody else's code, and this is where its failing ends
        return f"<no message: __str__ raised {type(broken).__name__}>"
    return redact(text, MESSAGE)


def frames_of(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    """The frames that ``error`` came through with their lines, outermost first."""
    traceback: TracebackType | None = error.__traceback__
    for _ in range(_MOST_FRAMES):
        if traceback is None:
            return
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def describe(error: BaseException, redact: Redact, limit: int = 16_384) -> str:
    """The traceback of ``error`` with its causes and its group, the root cause last, in about ``limit`` characters.

    Never shows the values of variables.
    """
    text = "\n".join(_lines(error, redact, 0))
    if len(text) <= limit:
        return text
    head = limit // 3
    return f"{text[:head]}\n… {len(text) - limit} characters left out …\n{text[head - limit :]}"


def _lines(error: BaseException, redact: Redact, depth: int) -> list[str]:
    lines: list[str] = []
    for each, link in reversed(list(_chain(error))):
        lines += _stack(each, redact)
        lines.append(f"{_name(each)}: {message_of(each, redact)}")
        if isinstance(each, BaseExceptionGroup):
            lines += _group(each, redact, depth)
        if link:
            lines += ["", link, ""]
    return lines


def _chain(error: BaseException) -> Iterator[tuple[BaseException, str]]:
    """``error`` and what led to it, each with how it led to the one before."""
    link, seen = "", set[int]()
    for _ in range(_CHAIN):
        seen.add(id(error))
        yield error, link
        if error.__cause__ is not None:
            following, link = error.__cause__, "The above was the direct cause of:"
        elif error.__context__ is not None and not error.__suppress_context__:
            following, link = error.__context__, "While the above was handled, another happened:"
        else:
            return
        if id(following) in seen:
            return
        error = following


def _stack(error: BaseException, redact: Redact) -> Iterator[str]:
    from linecache import getline

    frames = list(frames_of(error))
    if frames:
        yield "Traceback (most recent call last):"
    left_out = len(frames) - _HEAD - _TAIL
    if left_out > 0:
        frames[_HEAD:-_TAIL] = []
    for number, (frame, line) in enumerate(frames):
        if left_out > 0 and number == _HEAD:
            yield f"  … {left_out} frames left out …"
        code = frame.f_code
        yield f'  File "{redact(code.co_filename, 300)}", line {line}, in {code.co_qualname}'
        source = getline(code.co_filename, line, frame.f_globals).strip()
        if source:
            yield f"    {redact(source, 200)}"


def _group(group: BaseExceptionGroup[BaseException], redact: Redact, depth: int) -> Iterator[str]:
    if depth < _DEPTH:
        for number, leaf in enumerate(islice(group.exceptions, _LEAVES), 1):
            yield f"  | {number} of {len(group.exceptions)}:"
            yield from (f"  | {line}" for line in _lines(leaf, redact, depth + 1))
    if len(group.exceptions) > _LEAVES or depth >= _DEPTH:
        yield f"  | {len(group.exceptions)} in all"


def _name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
