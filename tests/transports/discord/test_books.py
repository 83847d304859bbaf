"""Pages are turned by who asked, for ten minutes after the last turn; every button says what it leads to."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.dispatch.replies import Form, Input, Question
from socbot.testing import FakeClock
from socbot.transports.discord.books import (
    JSON,
    LIFETIME,
    MAX_OPEN,
    MAX_PAGES,
    NOT_YOURS,
    OVER,
    RESTARTED,
    UNKNOWN,
    Book,
    Books,
    Clicked,
    components,
    filled_in,
    form_modal,
    jump_modal,
    parse_custom_id,
    question_components,
)
from socbot.transports.discord.rendering import Page, Rendered
from tests.standin.schema import check_callback, check_message

READER, STRANGER = "100", "200"
QUESTION = Question("0123456789abcdef" * 2, "CODE", 30.0)


def pages(count: int) -> Rendered:
    return Rendered(tuple(Page(f"page {number}") for number in range(1, count + 1)))


@pytest.fixture
def books(clock: FakeClock) -> Books:
    return Books(clock, Random(1))


@pytest.fixture
def book(books: Books) -> Book:
    return books.open(READER, pages(7))


def buttons(rows: list[JSON]) -> list[JSON]:
    return [button for row in rows for button in row["components"]]


def usable(rows: list[JSON]) -> list[str]:
    return [button["label"] for button in buttons(rows) if not button["disabled"]]


def press(books: Books, book: Book, action: str, user: str = READER, typed: str = "") -> str:
    """What is shown after a press: the page, or what is said."""
    turn = books.turn(f"b:{book.token}:{action}", user, typed)
    return turn.book.page.content if turn.kind == "page" and turn.book else turn.text or turn.kind


def taken(rows: list[JSON]) -> list[str]:
    return check_message({"content": "x", "components": rows, "allowed_mentions": {"parse": []}})


# -- turning ------------------------------------------------------------------------------------------------


def test_a_reader_gets_to_every_page(books: Books, book: Book) -> None:
    ways = ["next", "next", "back", "last", "next", "first", "back"]
    assert [press(books, book, way) for way in ways] == [f"page {number}" for number in (2, 3, 2, 7, 7, 1, 1)]


def test_a_reader_jumps_to_the_page_that_was_typed(books: Books, book: Book) -> None:
    assert press(books, book, "jump") == "jump"
    assert press(books, book, "go", typed=" 5 ") == "page 5"


@given(st.text(max_size=8) | st.integers().map(str))
def test_only_a_page_that_exists_is_jumped_to(typed: str) -> None:
    books = Books(FakeClock(), Random(1))
    said = press(books, books.open(READER, pages(7)), "go", typed=typed)
    assert said == "Type a page from 1 to 7." or said == f"page {int(typed)}"


def test_nobody_else_turns_pages(books: Books, book: Book) -> None:
    for action in ("next", "jump", "go", "close"):
        assert press(books, book, action, STRANGER) == NOT_YOURS
    assert (book.current, len(books)) == (0, 1)


def test_turning_keeps_a_book_alive_and_looking_at_it_does_not(clock: FakeClock, books: Books, book: Book) -> None:
    clock.forward(LIFETIME - 1)
    assert press(books, book, "next") == "page 2"
    clock.forward(LIFETIME - 1)
    assert press(books, book, "next", STRANGER) == NOT_YOURS
    assert books.expired() == []
    clock.forward(1)
    assert press(books, book, "next") == OVER


def test_a_dead_book_is_handed_out_once_to_be_greyed(clock: FakeClock, books: Books, book: Book) -> None:
    young = books.open(READER, pages(2))
    clock.forward(1)
    press(books, young, "next")
    assert books.next_expiry() == book.expires
    clock.forward(LIFETIME - 1)
    assert books.expired() == [book]
    assert books.expired() == []
    assert len(books) == 1


def test_a_closed_book_stays_closed(books: Books, book: Book) -> None:
    assert press(books, book, "close") == "closed"
    assert press(books, book, "next") == OVER
    assert books.expired() == []


def test_a_button_from_before_a_restart_says_so(clock: FakeClock, book: Book) -> None:
    assert press(Books(clock, Random(2)), book, "next") == RESTARTED


@given(st.text() | st.sampled_from(["b:", "b::next", "b:x", "b:x:fly", "z:x:next", "q:x:yes", "b:x:next:more"]))
def test_a_button_that_is_not_known_is_answered(custom_id: str) -> None:
    assert Books(FakeClock(), Random(1)).turn(custom_id, READER).text in (UNKNOWN, RESTARTED)


def test_past_the_bound_the_book_that_was_not_used_longest_is_closed(books: Books) -> None:
    opened = [books.open(READER, pages(2)) for _ in range(MAX_OPEN)]
    press(books, opened[0], "next")
    books.open(READER, pages(2))
    assert len(books) == MAX_OPEN
    assert books.expired() == [opened[1]]
    assert press(books, opened[1], "next") == OVER
    assert press(books, opened[0], "back") == "page 1"


def test_long_books_are_bounded_together(books: Books) -> None:
    for _ in range(MAX_PAGES // 50 + 5):
        books.open(READER, pages(50))
    assert len(books) == MAX_PAGES // 50
    assert len(books.expired()) == 5


# -- buttons ------------------------------------------------------------------------------------------------


def test_buttons_that_lead_nowhere_are_greyed(books: Books, book: Book) -> None:
    assert usable(components(book)) == ["1/7", "›", "»", "✕ Close"]
    press(books, book, "next")
    assert usable(components(book)) == ["«", "‹", "2/7", "›", "»", "✕ Close"]
    press(books, book, "last")
    assert usable(components(book)) == ["«", "‹", "7/7", "✕ Close"]


def test_the_buttons_of_a_dead_book_show_it(book: Book) -> None:
    rows = components(book, dead=True)
    assert usable(rows) == []
    assert "1/7 · expired" in [button["label"] for button in buttons(rows)]


def test_every_button_is_taken_by_discord_and_known_again(book: Book) -> None:
    for rows in (components(book), components(book, dead=True), question_components(QUESTION)):
        assert taken(rows) == []
        assert all(parse_custom_id(button["custom_id"]) for button in buttons(rows))


def test_a_question_is_answered_by_its_buttons() -> None:
    assert [parse_custom_id(button["custom_id"]) for button in buttons(question_components(QUESTION))] == [
        Clicked("question", QUESTION.token, "yes"),
        Clicked("question", QUESTION.token, "no"),
    ]


@pytest.mark.parametrize(
    ("state", "labels"),
    [("yes", ["✓ Yes", "No"]), ("no", ["Yes", "✓ No"]), ("expired", ["Yes · expired", "No · expired"])],
)
def test_an_answered_question_is_greyed_and_shows_its_answer(state: str, labels: list[str]) -> None:
    rows = question_components(QUESTION, state)  # type: ignore[arg-type]
    assert usable(rows) == taken(rows) == []
    assert [button["label"] for button in buttons(rows)] == labels


def test_a_dangerous_yes_looks_dangerous() -> None:
    danger, success = 4, 3
    assert buttons(question_components(QUESTION))[0]["style"] == danger
    assert buttons(question_components(QUESTION, tone="info"))[0]["style"] == success


# -- forms --------------------------------------------------------------------------------------------------


def opened(modal: JSON) -> list[str]:
    return check_callback({"type": 9, "data": modal})


def test_the_page_is_asked_for_in_a_form(books: Books, book: Book) -> None:
    modal = jump_modal(book)
    assert opened(modal) == []
    assert books.turn(modal["custom_id"], READER, "3").book is book


@given(
    st.lists(st.builds(Input, st.text("abc_", min_size=1), st.text(), st.booleans(), st.booleans(), st.booleans()),
             min_size=1, max_size=9, unique_by=lambda each: each.name),
    st.text(min_size=1).filter(str.strip),
)  # fmt: skip
def test_any_form_is_taken_by_discord_and_asks_for_what_is_needed_first(inputs: list[Input], title: str) -> None:
    modal = form_modal(Form("token", title, tuple(inputs), 600.0))
    assert opened(modal) == []
    assert parse_custom_id(modal["custom_id"]) == Clicked("form", "token")
    asked = {part["component"]["custom_id"] for part in modal["components"]}
    needed = [each.name for each in inputs if each.required]
    assert asked.issuperset(needed) or asked.issubset(needed)


def test_what_was_filled_in_is_read_from_either_shape_that_discord_sends() -> None:
    labelled = {"type": 18, "id": 1, "component": {"type": 4, "id": 2, "custom_id": "url", "value": "https://a"}}
    in_a_row = {"type": 1, "components": [{"type": 4, "custom_id": "name", "value": "x"}]}
    empty = {"type": 18, "component": {"type": 4, "custom_id": "secret", "value": ""}}
    assert filled_in([labelled, in_a_row, empty]) == {"url": "https://a", "name": "x"}
