"""A reply as Discord shows it best: plain text, or embeds in pages, within every limit. Nothing of it is lost."""

from collections.abc import Iterator
from datetime import UTC, tzinfo
from typing import Any, TypeAlias

from msgspec import Struct, structs

from socbot.dispatch.replies import Field, File, Reply, plain
from socbot.transports.block_charts import chart_text
from socbot.transports.discord.attaching import MAX_FILES, attached, safe_name
from socbot.transports.discord.cutting import is_blank, pieces, sound, units

Embed: TypeAlias = dict[str, Any]
"""An embed as Discord's API has it."""

CONTENT, TITLE, DESCRIPTION, NAME, VALUE, TOGETHER = 2_000, 256, 4_096, 256, 1_024, 6_000
"""Discord's limits, in characters: of a message's text, of an embed's parts, and of a whole embed."""

FIELDS = 25
"""Fields of an embed."""

MAX_PAGES = 50
"""Pages that anybody would turn; what has more is sent as a file."""

COLOURS = {"info": 0x3498DB, "ok": 0x2ECC71, "warn": 0xE67E22, "error": 0xE74C3C}
PICTURE = "chart.png"
NOTHING = "–"
"""Stands where there is nothing to be seen, for Discord takes no empty text."""

_LINES, _LINES_ALONE = 12, 15
"""Lines of a listing on each of several pages, and on the only one."""

_FOOTER = 200
_WHOLE_UNCOMPRESSED = 1024 * 1024


class Page(Struct, frozen=True):
    """What a message shows at a time: its text, or an embed."""

    content: str
    embed: Embed | None = None


class Rendered(Struct, frozen=True):
    """A reply ready to be sent: at least one page, and the files that stay while pages are turned."""

    pages: tuple[Page, ...]
    files: tuple[File, ...] = ()


class _Body(Struct, eq=False):
    """What differs from page to page; ``size`` is that of its fields."""

    description: str = ""
    fields: list[Field] = []
    size: int = 0

    def takes_line(self, line: str) -> bool:
        return units(self.description) + 1 + units(line) <= DESCRIPTION

    def add_line(self, line: str) -> None:
        self.description = f"{self.description}\n{line}" if self.description else line

    def takes_field(self, new: Field, room: int) -> bool:
        return len(self.fields) < FIELDS and units(self.description) + self.size + _weight(new) <= room

    def add_field(self, new: Field) -> None:
        self.fields.append(new)
        self.size += _weight(new)


def render(reply: Reply, picture: bytes | None = None, zone: tzinfo = UTC) -> Rendered:
    """``reply`` as messages.

    :param picture: its chart, drawn as a PNG; without it the chart is drawn with characters
    :param zone: of moments where Discord does not show each reader's own: in titles, names and files
    """
    files, complaints = attached(reply.files, MAX_FILES - 1 - (picture is not None))
    text = sound("\n".join(filter(None, (reply.text, _to_fill_in(reply), *complaints))))
    shown = (File(PICTURE, picture), *_beside(files)) if picture else files
    if _is_plain(reply, text):
        return Rendered((Page("" if files and is_blank(text) else _visible(text)),), shown)
    return _in_embeds(reply, text, shown, picture is not None, zone)


def _to_fill_in(reply: Reply) -> str:
    """What a form asks for, for where none can be opened."""
    inputs = reply.form.inputs if reply.form else ()
    return "\n".join(["Run the command again with:", *(f"`{e.name}`: {e.hint}" for e in inputs)]) if inputs else ""


def _is_plain(reply: Reply, text: str) -> bool:
    has_parts = reply.title or reply.fields or reply.items or reply.chart or reply.question
    return reply.tone == "info" and not has_parts and units(text) <= CONTENT


def _in_embeds(reply: Reply, text: str, files: tuple[File, ...], drawn: bool, zone: tzinfo) -> Rendered:
    title, text = _head(sound(plain(reply.title, zone)), text, TITLE)
    if reply.chart and not drawn:
        text = f"{text}\n{_drawn(reply)}".strip("\n")
    bodies = _bodies(text, reply, TOGETHER - _FOOTER - units(title), zone)
    if len(bodies) > MAX_PAGES:
        whole = _whole(reply, zone)
        bodies, files = bodies[:1], (whole, *files)
        notes = [f"The beginning. All of it is in the file {whole.name}"]
    else:
        notes = [f"Page {number} of {len(bodies)}" for number in range(1, len(bodies) + 1)] if bodies[1:] else [""]
    pages = (Page("", _embed(reply, title, body, note, drawn)) for body, note in zip(bodies, notes, strict=True))
    return Rendered(tuple(pages), files)


def _embed(reply: Reply, title: str, body: _Body, note: str, drawn: bool) -> Embed:
    embed: Embed = {"color": COLOURS[reply.tone]}
    if title:
        embed["title"] = title
    if body.description or not (title or body.fields or drawn):
        embed["description"] = _visible(body.description)
    if body.fields:
        embed["fields"] = [{"name": f.name, "value": f.value, "inline": f.inline} for f in body.fields]
    if drawn:
        embed["image"] = {"url": f"attachment://{PICTURE}"}
    if reply.question:
        note = " · ".join(filter(None, (note, f"Answer within {reply.question.expires_in:.0f} s")))
    if note:
        embed["footer"] = {"text": note}
    return embed


def _bodies(text: str, reply: Reply, room: int, zone: tzinfo) -> list[_Body]:
    """The pages without what they share; at least one, and no more than show that there are too many.

    :param room: of each, for its description and fields together
    """
    bodies = [_Body(piece) for piece in pieces(text, DESCRIPTION)]
    first = max(len(bodies) - 1, 0)
    _add_items(bodies, reply.items)
    _add_fields(bodies, first, (part for each in reply.fields for part in _divided(each, zone)), room)
    return bodies or [_Body()]


def _add_items(bodies: list[_Body], items: tuple[str, ...]) -> None:
    """Add a listing after the text, a page's lines at a time."""
    most = _LINES_ALONE if sum(item.count("\n") + 1 for item in items) <= _LINES_ALONE else _LINES
    lines = 0
    for piece in (piece for item in items for piece in pieces(sound(item), DESCRIPTION)):
        new = piece.count("\n") + 1
        if not bodies or (lines and lines + new > most) or not bodies[-1].takes_line(piece):
            if len(bodies) > MAX_PAGES:
                return
            bodies.append(_Body())
            lines = 0
        bodies[-1].add_line(piece)
        lines += new


def _add_fields(bodies: list[_Body], at: int, fields: Iterator[Field], room: int) -> None:
    """Put the fields on the page ``at`` and those after it."""
    for each in fields:
        while at < len(bodies) and not bodies[at].takes_field(each, room):
            at += 1
        if at == len(bodies):
            if at > MAX_PAGES:
                return
            bodies.append(_Body())
        bodies[at].add_field(each)


def _weight(each: Field) -> int:
    return units(each.name) + units(each.value)


def _divided(whole: Field, zone: tzinfo) -> Iterator[Field]:
    """A field as one or several that are short enough."""
    name, value = _head(sound(plain(whole.name, zone)), sound(whole.value), NAME)
    first, *more = pieces(value, VALUE) or [NOTHING]
    yield Field(_visible(name), first, whole.inline and not more)
    for piece in more:
        yield Field("…", piece, False)


def _head(head: str, text: str, limit: int) -> tuple[str, str]:
    """``head`` as short as ``limit``, the rest of it put before ``text``."""
    if is_blank(head):
        return "", text
    if units(head) <= limit:
        return head, text
    first, *rest = pieces(head, limit - 1)
    return first + "…", "\n".join(filter(None, ("…" + " ".join(rest), text)))


def _visible(text: str) -> str:
    return NOTHING if is_blank(text) else text


def _drawn(reply: Reply) -> str:
    assert reply.chart is not None
    # Names of series may be people's own text: no backtick of theirs ends the block.
    return "```\n" + sound(chart_text(reply.chart)).replace("`", "ˋ") + "\n```"


def _whole(reply: Reply, zone: tzinfo) -> File:
    """All that a reply says, as a text file."""
    said = structs.replace(reply, files=(), question=None, form=None).plain(zone)
    drawn = "\n" + chart_text(reply.chart) if reply.chart else ""
    content = sound(said + drawn).encode()
    name = safe_name(reply.title or "answer")[:60] + ".txt"
    if len(content) <= _WHOLE_UNCOMPRESSED:
        return File(name, content)
    import gzip

    return File(name + ".gz", gzip.compress(content, mtime=0))


def _beside(files: tuple[File, ...]) -> Iterator[File]:
    """Files that do not pass for the chart's picture."""
    for file in files:
        yield File("2-" + file.name, file.content) if file.name.lower() == PICTURE else file
