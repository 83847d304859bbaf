import time

import pytest

from socbot.redaction import Redactor, redact
from socbot.tracebacks import describe, message_of


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def deep(depth: int) -> None:
    if depth == 0:
        raise ValueError("at the bottom")
    deep(depth - 1)


def circle() -> BaseException:
    first, second = raised(ValueError("one")), raised(KeyError("two"))
    first.__cause__, second.__cause__ = second, first
    return first


def chained(length: int) -> BaseException:
    error = raised(ValueError(0))
    for number in range(length):
        error = raised(ValueError(number), error)
    return error


def nested(depth: int) -> BaseException:
    error: Exception = ValueError("inside")
    for _ in range(depth):
        error = ExceptionGroup("around", [error, ValueError("beside")])
    return raised(error)


def endless() -> BaseException:
    try:
        deep(10**9)
    except RecursionError as error:
        return error
    raise AssertionError


@pytest.mark.promise("P44")
@pytest.mark.parametrize(
    "error",
    [
        raised(Unspeakable()),
        raised(ValueError("x" * 10_000_000)),
        raised(ExceptionGroup("many", [ValueError(f"{n}" + "y" * 1_000_000) for n in range(50)])),
        raised(ExceptionGroup("many", [ValueError(n) for n in range(1_000)])),
        circle(),
        chained(1_000),
        nested(500),
        endless(),
    ],
    ids=["unspeakable", "10 MB", "50 of 1 MB", "1,000 leaves", "circle", "1,000 causes", "nested", "recursion"],
)
def test_an_exception_is_described_within_bounds(error: BaseException) -> None:
    describe(error, redact)
    started = time.process_time()
    text = describe(error, redact)
    assert time.process_time() - started < 0.25
    assert 0 < len(text) < 17_000


def test_the_root_cause_comes_last_and_names_its_place() -> None:
    text = describe(raised(LookupError("outer"), raised(ValueError("inner"))), redact)
    assert text.index("ValueError: inner") < text.index("direct cause") < text.index("LookupError: outer")
    assert "in raised" in text
    assert "raise error from cause" in text


def test_what_was_suppressed_is_not_told_and_what_was_handled_is() -> None:
    def fails(suppress: bool) -> None:
        try:
            raise KeyError("first")
        except KeyError:
            if suppress:
                raise ValueError("second") from None
            raise ValueError("second")  # noqa: B904 - the point of the test

    for suppress in (True, False):
        with pytest.raises(ValueError, match="second") as caught:
            fails(suppress)
        assert ("first" in describe(caught.value, redact).replace('KeyError("first")', "")) is not suppress


def test_values_of_variables_are_never_shown() -> None:
    def fails() -> None:
        hidden = "-".join(["very", "private"])
        raise ValueError(len(hidden))

    with pytest.raises(ValueError, match="12") as caught:
        fails()
    assert "very-private" not in describe(caught.value, redact)


@pytest.mark.promise("P11")
def test_secrets_are_taken_out_before_anything_is_cut() -> None:
    redactor = Redactor(["c0rrect horse battery"])
    for length in range(1_950, 2_010):
        text = message_of(ValueError("a " * (length // 2) + "c0rrect horse battery" + " b" * 2_000), redactor)
        assert "c0rrect" not in text
