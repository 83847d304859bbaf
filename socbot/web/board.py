"""The board: what came of an action, kept until the next page of whoever acted shows it."""

import re
from collections import OrderedDict, deque
from typing import Literal, TypeAlias

from msgspec import Struct

from socbot.dispatch.replies import Reply, Tone
from socbot.systems.access import Session

MOST_SESSIONS = 200
MOST_NOTICES = 5
MOST_LINES = 60

Part: TypeAlias = tuple[Literal["text", "code", "strong", "moment", "page"], str | float]
"""What it is, and the text, the moment, or the path of a page of ours."""

_PARTS = re.compile(r"`(?P<code>[^`\n]+)`|\*\*(?P<strong>[^*\n]+)\*\*|<t:(?P<moment>-?\d{1,12})(?::[a-zA-Z])?>")


class Notice(Struct, frozen=True):
    """A reply as a page shows it: lines of parts, none of which is markup.

    :param more: how many lines are not shown
    """

    tone: Tone
    title: str
    lines: tuple[tuple[Part, ...], ...] = ()
    fields: tuple[tuple[str, tuple[Part, ...]], ...] = ()
    more: int = 0


def notice_of(reply: Reply | None, base: str = "") -> Notice:
    """``reply`` for a page.

    :param base: what an address of ours begins with
    """
    reply = reply or Reply.ok("Done.")
    lines = [line for line in (*reply.text.split("\n"), *reply.items) if line]
    lines += [f"The file {file.name} comes with it; the command gives it in chat." for file in reply.files]
    return Notice(
        reply.tone,
        reply.title,
        tuple(parts(line, base) for line in lines[:MOST_LINES]),
        tuple((field.name, parts(field.value, base)) for field in reply.fields),
        max(0, len(lines) - MOST_LINES),
    )


def parts(text: str, base: str = "") -> tuple[Part, ...]:
    """What ``text`` of a reply is made of; its marks are taken off and nothing of it is markup."""
    if base and text.startswith(f"{base}/") and not text[len(base) + 1 :].startswith("/") and " " not in text:
        return (("page", text.removeprefix(base)),)
    found: list[Part] = []
    end = 0
    for match in _PARTS.finditer(text):
        if match.start() > end:
            found.append(("text", text[end : match.start()]))
        end = match.end()
        if match["moment"]:
            found.append(("moment", float(match["moment"])))
        else:
            found.append(("code", match["code"]) if match["code"] else ("strong", match["strong"]))
    if end < len(text):
        found.append(("text", text[end:]))
    return tuple(found)


class Board:
    """Notices by session, in memory and bounded. Put and taken on any thread."""

    def __init__(self) -> None:
        self._notices: OrderedDict[str, deque[Notice]] = OrderedDict()

    def put(self, session: Session, notice: Notice) -> None:
        """Have the next page of ``session`` show it."""
        kept = self._notices.pop(session.csrf, None) or deque(maxlen=MOST_NOTICES)
        kept.append(notice)
        self._notices[session.csrf] = kept
        while len(self._notices) > MOST_SESSIONS:
            self._notices.popitem(last=False)

    def take(self, session: Session | None) -> tuple[Notice, ...]:
        """What is to be shown now, and only now."""
        return tuple(self._notices.pop(session.csrf, ())) if session is not None else ()
