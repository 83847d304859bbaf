"""Answers with several pages, questions with buttons and forms, as data.

A custom id is ``KIND:TOKEN:ACTION``. Buttons live on in channels for years: a kind or an action that comes to mean
something else gets another name, and one that nobody knows any more is answered, not failed on.
"""

from collections.abc import Iterator
from random import Random
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from socbot.dispatch.clock import Clock
from socbot.dispatch.replies import Form, Input, Question, Tone
from socbot.transports.discord.cutting import is_blank, shortened, sound
from socbot.transports.discord.rendering import Page, Rendered

JSON: TypeAlias = dict[str, Any]
"""Part of a body as Discord's API has it."""

LIFETIME = 600.0
"""Seconds after the last turn in which pages can be turned: using a book keeps it alive. Discord lets a private answer
be edited for 15 minutes after each press, so it can still be greyed in time.
"""

MAX_OPEN = 1_000
MAX_PAGES = 2_000
"""Books, and pages of all books together, that are kept; past either the oldest is closed."""

RESTARTED = "This answer is from before a restart. Run the command again."
OVER = "This answer is no longer open. Run the command again."
UNKNOWN = "This button is no longer known. Run the command again."
NOT_YOURS = "Only whoever asked can turn these pages. Run the command yourself to have your own."

_ROW, _BUTTON, _TEXT_INPUT, _LABEL = 1, 2, 4, 18
_PRIMARY, _SECONDARY, _SUCCESS, _DANGER = 1, 2, 3, 4
_SHORT, _PARAGRAPH = 1, 2

_MAX_TITLE, _MAX_LABEL, _MAX_DESCRIPTION, _MAX_VALUE, _MAX_INPUTS = 45, 45, 100, 4_000, 5

Kind: TypeAlias = Literal["book", "question", "form"]
_KINDS: dict[str, Kind] = {"b": "book", "q": "question", "f": "form"}
_ACTIONS = {
    "book": ("first", "back", "jump", "next", "last", "close", "go"),
    "question": ("yes", "no"),
    "form": ("",),
}


class Clicked(Struct, frozen=True):
    """What a button or a form of ours carries."""

    kind: Kind
    token: str
    action: str = ""


def parse_custom_id(text: str) -> Clicked | None:
    """What ``text`` stands for; None if it is nothing of ours."""
    letter, _, rest = text.partition(":")
    token, _, action = rest.partition(":")
    kind = _KINDS.get(letter)
    if kind is None or not token or action not in _ACTIONS[kind]:
        return None
    return Clicked(kind, token, action)


class Book(Struct, eq=False):
    """An answer with several pages, and where its reader is.

    :param expires: monotonic
    """

    token: str
    reader: str
    pages: tuple[Page, ...]
    expires: float
    current: int = 0

    @property
    def page(self) -> Page:
        return self.pages[self.current]

    def __len__(self) -> int:
        return len(self.pages)


class Turn(Struct, frozen=True):
    """What to do about a press.

    ``page``: show ``book.page`` with its ``components``. ``jump``: open ``jump_modal(book)``. ``closed``: take the
    buttons away. ``refused``, to who pressed alone, and ``over``, to whom the buttons can be greyed as well: say
    ``text``.
    """

    kind: Literal["page", "jump", "closed", "refused", "over"]
    book: Book | None = None
    text: str = ""


class Books:
    """The answers whose pages can be turned, in memory: none survives a restart."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock, self._random = clock, random
        self._run = f"{random.getrandbits(32):08x}"
        self._open: dict[str, Book] = {}
        self._pages = 0
        self._crowded_out: list[Book] = []

    def __len__(self) -> int:
        return len(self._open)

    def open(self, reader: str, rendered: Rendered) -> Book:
        """Keep an answer of several pages for its reader, a user's id."""
        token = f"{self._run}{self._random.getrandbits(64):016x}"
        book = Book(token, reader, rendered.pages, self._clock.monotonic() + LIFETIME)
        while self._open and (len(self._open) >= MAX_OPEN or self._pages + len(book) > MAX_PAGES):
            self._crowded_out.append(self._forget(next(iter(self._open.values()))))
        self._open[token] = book
        self._pages += len(book)
        return book

    def turn(self, custom_id: str, user: str, typed: str = "") -> Turn:
        """What a press by ``user`` does.

        :param typed: the page that was typed into ``jump_modal``
        """
        pressed = parse_custom_id(custom_id)
        if pressed is None or pressed.kind != "book":
            return Turn("over", text=UNKNOWN)
        book = self._open.get(pressed.token)
        if book is None or book.expires <= self._clock.monotonic():
            return Turn("over", text=OVER if pressed.token.startswith(self._run) else RESTARTED)
        if user != book.reader:
            return Turn("refused", text=NOT_YOURS)
        return self._turned(book, pressed.action, typed)

    def _turned(self, book: Book, action: str, typed: str) -> Turn:
        if action == "close":
            return Turn("closed", self._forget(book))
        self._keep_alive(book)
        if action == "jump":
            return Turn("jump", book)
        to = _destination(book, action, typed)
        if to is None:
            return Turn("refused", text=f"Type a page from 1 to {len(book)}.")
        book.current = to
        return Turn("page", book)

    def _keep_alive(self, book: Book) -> None:
        book.expires = self._clock.monotonic() + LIFETIME
        self._open[book.token] = self._open.pop(book.token)  # the order of the dictionary is that of expiry

    def expired(self) -> list[Book]:
        """Forget what can no longer be turned; each is returned once, for its buttons to be greyed."""
        now = self._clock.monotonic()
        dead, self._crowded_out = self._crowded_out, []
        while self._open and (oldest := next(iter(self._open.values()))).expires <= now:
            dead.append(self._forget(oldest))
        return dead

    def next_expiry(self) -> float | None:
        """When the next book dies, on the monotonic clock; None if none is open."""
        return next((book.expires for book in self._open.values()), None)

    def _forget(self, book: Book) -> Book:
        del self._open[book.token]
        self._pages -= len(book)
        return book


def _destination(book: Book, action: str, typed: str) -> int | None:
    last = len(book) - 1
    if action == "go":
        page = typed.strip()
        return int(page) - 1 if page.isdecimal() and len(page) <= 6 and 1 <= int(page) <= len(book) else None
    known = {"first": 0, "back": max(book.current - 1, 0), "next": min(book.current + 1, last), "last": last}
    return known[action]


def components(book: Book, dead: bool = False) -> list[JSON]:
    """The buttons of a book; greyed where they lead nowhere, all of them once it is dead."""
    at_start, at_end = dead or book.current == 0, dead or book.current == len(book) - 1
    place = f"{book.current + 1}/{len(book)}"
    turning = [
        _button("«", f"b:{book.token}:first", disabled=at_start),
        _button("‹", f"b:{book.token}:back", disabled=at_start),
        _button(f"{place} · expired" if dead else place, f"b:{book.token}:jump", disabled=dead),
        _button("›", f"b:{book.token}:next", disabled=at_end),
        _button("»", f"b:{book.token}:last", disabled=at_end),
    ]
    return [_row(turning), _row([_button("✕ Close", f"b:{book.token}:close", disabled=dead)])]


def jump_modal(book: Book) -> JSON:
    """The form that asks for a page; what it sends is for ``turn``."""
    label = f"Page, 1 to {len(book)}"
    page = {"type": _TEXT_INPUT, "custom_id": "page", "style": _SHORT, "min_length": 1, "max_length": 6}
    return {"custom_id": f"b:{book.token}:go", "title": "Go to a page", "components": [_labelled(label, "", page)]}


def question_components(
    question: Question, state: Literal["open", "yes", "no", "expired"] = "open", tone: Tone = "warn"
) -> list[JSON]:
    """The buttons of a question, greyed and showing the answer once it has one, or that its time is over."""
    yes, no = (
        _button(label, f"q:{question.token}:{label.lower()}", disabled=state != "open") for label in ("Yes", "No")
    )
    yes["style"] = _DANGER if tone in ("warn", "error") else _SUCCESS
    if state in ("yes", "no"):
        chosen, other = (yes, no) if state == "yes" else (no, yes)
        chosen["label"] = "✓ " + chosen["label"]
        other["style"] = _SECONDARY
    if state == "expired":
        yes["style"] = _SECONDARY
        yes["label"], no["label"] = "Yes · expired", "No · expired"
    return [_row([yes, no])]


def form_modal(asked: Form) -> JSON:
    """A form; Discord takes five inputs, so those that need not be filled in are left out first."""
    inputs = sorted(asked.inputs, key=lambda each: not each.required)[:_MAX_INPUTS]
    return {
        "custom_id": f"f:{asked.token}",
        "title": shortened(sound(asked.title), _MAX_TITLE),
        "components": [_labelled(each.name, _hint(each), _input(each)) for each in inputs],
    }


def filled_in(submitted: list[JSON]) -> dict[str, str]:
    """What was filled into a form, by the custom id of each input; empty ones are left out.

    :param submitted: ``data.components`` of the interaction
    """
    return {each["custom_id"]: each["value"] for each in _inputs(submitted) if each.get("value")}


def _inputs(submitted: list[JSON]) -> Iterator[JSON]:
    for part in submitted:
        inside = part.get("components") or [part.get("component") or {}]
        yield from (each for each in inside if each.get("type") == _TEXT_INPUT)


def _input(each: Input) -> JSON:
    return {
        "type": _TEXT_INPUT,
        "custom_id": each.name,
        "style": _PARAGRAPH if each.long else _SHORT,
        "required": each.required,
        "max_length": _MAX_VALUE,
    }


def _hint(each: Input) -> str:
    return f"{each.hint}; nobody else sees it" if each.secret else each.hint


def _labelled(label: str, description: str, inner: JSON) -> JSON:
    labelled: JSON = {"type": _LABEL, "label": shortened(sound(label), _MAX_LABEL), "component": inner}
    if not is_blank(description):
        labelled["description"] = shortened(sound(description), _MAX_DESCRIPTION)
    return labelled


def _row(buttons: list[JSON]) -> JSON:
    return {"type": _ROW, "components": buttons}


def _button(label: str, custom_id: str, *, disabled: bool) -> JSON:
    return {"type": _BUTTON, "style": _SECONDARY, "label": label, "custom_id": custom_id, "disabled": disabled}
