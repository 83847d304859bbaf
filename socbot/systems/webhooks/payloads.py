"""What is sent of a signal, or of many at once: a message in the words of each kind of receiver.

Whatever stands in a signal may have been written by anybody: on a chat service none of it notifies, links or formats
by its own doing. A drill is told from everything else by its mark, its colour and its sender's name.
"""

import re
from collections import Counter
from collections.abc import Sequence

import msgspec
from msgspec import UNSET, Struct, UnsetType

from socbot.dispatch.replies import escape, printable
from socbot.systems.signals import SEVERITIES, Severity, Signal
from socbot.systems.webhooks.answers import iso

RED, ORANGE, GREEN, BLUE, PURPLE = 0xFF0000, 0xFFA500, 0x00FF00, 0x3498DB, 0x9B59B6

_COLOURS: dict[str, int] = {"error": RED, "alert": ORANGE, "test": GREEN, "drill": PURPLE}
_BY_SEVERITY: dict[Severity, int] = {"critical": RED, "warning": ORANGE, "info": BLUE}
_SENDERS: dict[str, str] = {"error": "SOC Bot - Errors", "test": "SOC Bot - Test", "drill": "SOC Bot - Drills"}
_MARKS: dict[Severity, str] = {"critical": "🔴", "warning": "🟠", "info": "🔵"}


class Mentions(Struct, frozen=True):
    """Who may be notified: nobody."""

    parse: tuple[str, ...] = ()


class EmbedField(Struct, frozen=True):
    name: str
    value: str
    inline: bool = True


class EmbedFooter(Struct, frozen=True):
    text: str


class Embed(Struct, frozen=True, omit_defaults=True):
    title: str
    color: int
    description: str = ""
    fields: tuple[EmbedField, ...] = ()
    footer: EmbedFooter | None = None
    timestamp: str = ""


class DiscordMessage(Struct, frozen=True):
    """:param username: left out where a message is edited, which cannot change it"""

    content: str
    embeds: tuple[Embed, ...]
    username: str | UnsetType = UNSET
    allowed_mentions: Mentions = Mentions()


class SlackField(Struct, frozen=True):
    title: str
    value: str
    short: bool = True


class SlackAttachment(Struct, frozen=True):
    color: str
    fallback: str
    title: str
    text: str
    fields: tuple[SlackField, ...]
    footer: str
    ts: int
    mrkdwn_in: tuple[str, ...] = ()


class SlackMessage(Struct, frozen=True):
    text: str
    username: str
    attachments: tuple[SlackAttachment, ...]
    mrkdwn: bool = False
    link_names: bool = False
    parse: str = "none"


class CustomField(Struct, frozen=True):
    name: str
    value: str


class CustomEvent(Struct, frozen=True):
    """What a program is sent. ``timestamp`` and ``last_at`` are UTC, as ``2026-01-31T12:00:00.000Z``.

    :param id: the signal's, the same for everything that is ever sent of it
    :param drill: whether it is an exercise
    :param count: how often it has happened up to ``last_at``
    """

    id: str
    event: str
    severity: str
    message: str
    timestamp: str
    title: str
    text: str
    drill: bool
    source: str
    subject: str
    fields: tuple[CustomField, ...]
    count: int
    last_at: str


def sender(signals: Sequence[Signal]) -> str:
    """The name under which they are sent; that of the older bot, for what it sent too."""
    kinds = {signal.kind for signal in signals}
    return _SENDERS.get(kinds.pop(), "SOC Bot - Alerts") if len(kinds) == 1 else "SOC Bot - Alerts"


def colour(signals: Sequence[Signal]) -> int:
    worst = max((signal.severity for signal in signals), key=SEVERITIES.index)
    by_kind = {_COLOURS.get(signal.kind, -1) for signal in signals}
    only = by_kind.pop() if len(by_kind) == 1 else -1
    return _BY_SEVERITY[worst] if only < 0 else only


def heading(signal: Signal) -> str:
    """One line that says what it is, before anything that somebody else wrote."""
    if signal.kind == "drill":
        mark = "🧪 [DRILL]"
    elif signal.kind == "test":
        mark = "🧪 [TEST]"
    else:
        mark = f"{_MARKS[signal.severity]} [{signal.kind.upper()}]"
    return f"{mark} {signal.title}" + (f" ({signal.count} times)" if signal.count > 1 else "")


# -- Discord ------------------------------------------------------------------------------------------


def discord(signals: Sequence[Signal], *, edit: bool = False) -> bytes:
    """One message; a digest where there are several signals."""
    single = len(signals) == 1
    embed = _embed(signals[0]) if single else _digest_embed(signals)
    content = cut(inert(heading(signals[0]) if single else _summary(signals)), 2_000)
    message = DiscordMessage(content, (embed,), UNSET if edit else sender(signals))
    return msgspec.json.encode(message)


def inert(text: str) -> str:
    """``text`` for a chat service, of which nothing acts; its lines stay lines."""
    return "\n".join(escape(line, len(line) + 1) for line in text.splitlines())


def _embed(signal: Signal) -> Embed:
    description = cut(inert(signal.text), 3_000)
    room = 6_000 - 256 - 300 - units(description)
    fields: list[EmbedField] = []
    for name, value in signal.fields[:25]:
        field = EmbedField(cut(inert(name), 256) or "–", cut(inert(value), 1_024) or "–", len(value) <= 40)
        room -= units(field.name) + units(field.value)
        if room < 0:
            break
        fields.append(field)
    footer = EmbedFooter(cut(" · ".join(filter(None, (signal.id, inert(signal.subject), inert(signal.source)))), 300))
    title = cut(inert(signal.title), 256) or "–"
    return Embed(title, colour((signal,)), description, tuple(fields), footer, iso(signal.last_at))


def _digest_embed(signals: Sequence[Signal]) -> Embed:
    lines = _digest([inert(line) for line in _lines(signals)], 4_000)
    return Embed(_summary(signals), colour(signals), lines, timestamp=iso(signals[-1].last_at))


# -- Slack --------------------------------------------------------------------------------------------

_EVERYBODY = re.compile(r"@(?=here|channel|everyone)", re.IGNORECASE)


def slack(signals: Sequence[Signal]) -> bytes:
    """One message; a digest where there are several signals."""
    single = len(signals) == 1
    top = heading(signals[0]) if single else _summary(signals)
    attachment = _attachment(signals[0]) if single else _digest_attachment(signals)
    return msgspec.json.encode(SlackMessage(slack_text(top, 2_000), sender(signals), (attachment,)))


def slack_text(text: str, limit: int) -> str:
    """``text`` with what Slack acts on escaped; ``limit`` counts what is read."""
    shown = cut(_EVERYBODY.sub("＠", printable("\n".join(text.splitlines()))), limit)
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _attachment(signal: Signal) -> SlackAttachment:
    fields = tuple(
        SlackField(slack_text(name, 200), slack_text(value, 1_000), len(value) <= 40) for name, value in signal.fields
    )
    footer = slack_text(" · ".join(filter(None, (signal.id, signal.subject, signal.source))), 300)
    title, text = slack_text(signal.title, 250), slack_text(signal.text, 3_000)
    return SlackAttachment(
        f"#{colour((signal,)):06x}", slack_text(heading(signal), 400), title, text, fields, footer, int(signal.last_at)
    )


def _digest_attachment(signals: Sequence[Signal]) -> SlackAttachment:
    lines = _digest([slack_text(line, 300) for line in _lines(signals)], 3_000)
    title = _summary(signals)
    return SlackAttachment(f"#{colour(signals):06x}", title, title, lines, (), "", int(signals[-1].last_at))


# -- programs and Apprise -----------------------------------------------------------------------------


def custom(signal: Signal) -> bytes:
    """JSON for a program: what was written is data there, and stands as it was written."""
    title, text = sound(signal.title), sound(signal.text)
    drill = signal.kind == "drill"
    message = ("DRILL: " if drill else "") + (f"{title}\n{text}" if text else title)
    fields = tuple(CustomField(sound(name), sound(value)) for name, value in signal.fields)
    return msgspec.json.encode(
        CustomEvent(
            signal.id, signal.kind, signal.severity, message, iso(signal.at), title, text, drill,
            sound(signal.source), sound(signal.subject), fields, signal.count, iso(signal.last_at),
        )
    )  # fmt: skip


def plain(signals: Sequence[Signal]) -> tuple[str, str]:
    """Title and text for services that take no more."""
    if len(signals) > 1:
        return _summary(signals), _digest([inert(line) for line in _lines(signals)], 3_000)
    signal = signals[0]
    fields = (f"{inert(name)}: {inert(value)}" for name, value in signal.fields)
    text = cut("\n".join(filter(None, (inert(signal.text), *fields))), 3_000)
    return cut(inert(heading(signal)), 250), text or inert(signal.title)


# -- digests ------------------------------------------------------------------------------------------


def _summary(signals: Sequence[Signal]) -> str:
    mark = "🧪 [DRILL] " if all(signal.kind == "drill" for signal in signals) else ""
    return f"{mark}{len(signals)} events that waited"


def _lines(signals: Sequence[Signal]) -> list[str]:
    """What happened, each once with how often, the worst first."""
    counts: Counter[tuple[int, str]] = Counter()
    for signal in signals:
        single = msgspec.structs.replace(signal, count=1)
        counts[-SEVERITIES.index(signal.severity), heading(single)] += signal.count
    return [f"{head} ({count} times)" if count > 1 else head for (_, head), count in sorted(counts.items())]


def _digest(lines: Sequence[str], limit: int) -> str:
    shown: list[str] = []
    room = limit - 40
    for line in lines:
        room -= units(line) + 1
        if room < 0:
            return "\n".join((*shown, f"… and {len(lines) - len(shown)} more"))
        shown.append(line)
    return "\n".join(shown)


# -- characters ---------------------------------------------------------------------------------------


def units(text: str) -> int:
    """How long a service takes ``text`` for, at the most: in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def sound(text: str) -> str:
    """``text`` without halves of characters, which cannot be sent."""
    return text.encode("utf-8", "replace").decode()


_LONGEST_CHARACTER = 64


def cut(text: str, limit: int) -> str:
    """``text`` within ``limit`` code units, ended by an ellipsis if something is left out; no character is torn."""
    if units(text) <= limit:
        return text
    import regex

    kept, room = [], limit - 1
    for match in regex.finditer(r"\X", text[: limit + _LONGEST_CHARACTER]):
        character = match[0] if len(match[0]) <= _LONGEST_CHARACTER else match[0][:1]
        room -= units(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept) + "…"
