"""What goes out: what to say, not how. Every transport renders all of it within its own limits.

Text is Markdown as chat platforms have it. A moment is written ``<t:SECONDS>`` (made by ``moment``): Discord shows
it in each reader's own zone, other transports in the bot's. A user of the platform on which the answer is shown is
written ``<@ID>`` (made by ``person``): Discord shows the name, other transports the id. Nobody is notified by it.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Literal, TypeAlias

from msgspec import Struct

Tone: TypeAlias = Literal["info", "ok", "warn", "error"]

_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    r"\U000e0000-\U000e007f]"
)
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    r"\U000e0000-\U000e007f]"
)
_MOMENT = re.compile(r"<t:(-?\d{1,12})(?::[a-zA-Z])?>")
_SNOWFLAKE = re.compile(r"\d{15,20}", re.ASCII)
_PERSON = re.compile(r"<@(\d{15,20})>", re.ASCII)
_ACTIVE = str.maketrans({"`": "ˋ", "@": "＠", "<": "‹", ">": "›"})


def escape(text: str, limit: int = 200) -> str:
    """``text`` from chat, made inert: no control or direction characters, no mention, no way out of a code span, no
    words that link to somewhere else.

    :param limit: characters kept; what is cut is shown by an ellipsis
    """
    shown = _CONTROL.sub("�", text[: limit + 1]).translate(_ACTIVE).replace("](", "］(")
    return shown if len(text) <= limit else shown[: limit - 1] + "…"


def printable(text: str, keep: str = "\n") -> str:
    """``text`` with its control, line and direction characters written out (``\\x1b``), so that it can be printed.

    :param keep: control characters that stay
    """
    return _UNPRINTABLE.sub(lambda match: match[0] if match[0] in keep else repr(match[0])[1:-1], text)


def moment(seconds: float) -> str:
    """A moment, in seconds since 1970, that each transport shows in the reader's or the bot's zone."""
    return f"<t:{int(seconds)}>"


def person(platform: str, id: str, here: str) -> str:
    """Whoever has that id, for a reply on the platform ``here``; with the platform, where it is another."""
    if platform == here and _SNOWFLAKE.fullmatch(id):
        return f"<@{id}>"
    return f"`{escape(id if platform == here else f'{platform}:{id}', 100)}`"


def author(written: str, here: str) -> str:
    """Who did something, written down as ``platform:id`` or as the name of a part of the bot."""
    platform, colon, id = written.partition(":")
    return person(platform, id, here) if colon else escape(written, 100)


def plain(text: str, zone: tzinfo = UTC) -> str:
    """``text`` with its moments written out in ``zone``, and its users by their ids."""

    def written(match: re.Match[str]) -> str:
        try:
            return datetime.fromtimestamp(int(match[1]), zone).strftime("%Y-%m-%d %H:%M:%S %Z")
        except (ValueError, OverflowError, OSError):
            return match[0]

    return _MOMENT.sub(written, _PERSON.sub(r"`\1`", text))


class Field(Struct, frozen=True):
    """One named fact of a reply; ``inline`` fields may stand side by side."""

    name: str
    value: str
    inline: bool = True


class File(Struct, frozen=True):
    """A file attached to a reply."""

    name: str
    content: bytes

    def __repr__(self) -> str:
        return f"File({self.name!r}, {len(self.content)} bytes)"


class Chart(Struct, frozen=True):
    """Numbers to be drawn: one value of each series for each label, in ``unit``.

    A ``heatmap`` has one series for each row. ``spans`` has one row for each label: the first series says where each
    begins, the others how long its parts take, one after the other.
    """

    kind: Literal["bar", "line", "heatmap", "spans"]
    labels: tuple[str, ...]
    series: dict[str, tuple[float, ...]]
    unit: str = ""


class Question(Struct, frozen=True):
    """A question that waits for one person's yes or no.

    :param token: what a button carries
    :param code: what is typed on a transport without buttons
    :param expires_in: seconds
    """

    token: str
    code: str
    expires_in: float

    def __repr__(self) -> str:
        return f"Question(expires_in={self.expires_in})"


class Input(Struct, frozen=True):
    """One thing to be filled into a ``Form``: an argument of the command.

    :param hint: what is accepted, in words
    :param secret: not to be shown again, and not to be kept
    :param long: whether it may have several lines
    """

    name: str
    hint: str
    required: bool = True
    secret: bool = False
    long: bool = False


class Form(Struct, frozen=True):
    """A form that waits for one person to fill in what a command lacks.

    :param token: what the filled form carries
    :param expires_in: seconds
    """

    token: str
    title: str
    inputs: tuple[Input, ...]
    expires_in: float

    def __repr__(self) -> str:
        return f"Form({self.title!r}, {[each.name for each in self.inputs]})"


class Reply(Struct, frozen=True):
    """What a handler answers.

    :param items: the lines of a listing; a transport shows them in pages
    :param private: not for a public channel
    :param fleeting: of something private that may be seen in passing: seconds after which it is of no use any more
    :param question: filled in by the dispatcher for a ``Confirm``
    :param form: filled in by the dispatcher where the message came from a surface that has forms
    """

    text: str = ""
    title: str = ""
    fields: tuple[Field, ...] = ()
    items: tuple[str, ...] = ()
    tone: Tone = "info"
    files: tuple[File, ...] = ()
    chart: Chart | None = None
    private: bool = False
    question: Question | None = None
    form: Form | None = None
    fleeting: float = 0.0

    @classmethod
    def error(cls, text: str) -> "Reply":
        return cls(text, tone="error")

    @classmethod
    def ok(cls, text: str) -> "Reply":
        return cls(text, tone="ok")

    def plain(self, zone: tzinfo = UTC) -> str:
        """All of it as plain text, its moments in ``zone``."""
        parts = [self.title, self.text]
        parts += [f"{field.name}: {field.value}" for field in self.fields]
        parts += self.items
        parts += [f"[file {file.name}, {len(file.content)} bytes]" for file in self.files]
        if self.question:
            seconds = f"{self.question.expires_in:.0f} s"
            parts.append(f"To go on, answer within {seconds}: confirm {self.question.code}")
        if self.form:
            parts.append("To be filled in: " + ", ".join(f"{each.name} ({each.hint})" for each in self.form.inputs))
        return plain("\n".join(part for part in parts if part), zone)

    def __str__(self) -> str:
        return self.plain()

    def chunks(
        self, limit: int, unit: Literal["bytes", "characters"] = "characters", zone: tzinfo = UTC
    ) -> Iterator[str]:
        """The plain text in pieces of at most ``limit``, cut at line ends or spaces where there are any.

        A piece never ends inside a character. In ``bytes`` the text is counted as UTF-8.

        :raises ValueError: if ``limit`` is below 4, the longest character
        """
        if limit < 4:
            raise ValueError(f"limit: {limit} is too small, the least is 4")
        rest = self.plain(zone)
        while rest:
            size = _fitting(rest, limit) if unit == "bytes" else limit
            if len(rest) <= size:
                if not rest.isspace():  # platforms refuse an empty message
                    yield rest
                return
            cut = max(rest.rfind("\n", 1, size + 1), 0) or max(rest.rfind(" ", size // 2, size + 1), 0) or size
            if not rest[:cut].isspace():
                yield rest[:cut]
            rest = rest[cut:].lstrip("\n ") if rest[cut] in "\n " else rest[cut:]


def _fitting(text: str, limit: int) -> int:
    """How many leading characters of ``text`` fit into ``limit`` bytes of UTF-8."""
    encoded = text[:limit].encode("utf-8", "replace")
    return len(encoded[:limit].decode("utf-8", "ignore"))
