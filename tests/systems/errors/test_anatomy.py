"""Root causes, severities, and what is the same fault."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.config import ErrorsConfig
from socbot.dispatch.errors import GuardFailed
from socbot.redaction import redact
from socbot.systems.errors.anatomy import CROCKFORD, causes, dissect, severity_of, template_of

SEVERITIES = ErrorsConfig().severities


class NotFound(Exception):
    """As a chat library has it."""


class Wrapped(Exception):
    pass


def raised(make: Callable[[], Exception], cause: BaseException | None = None) -> Exception:
    try:
        raise make() from cause
    except Exception as error:
        return error


def test_the_root_cause_is_what_is_looked_at() -> None:
    root = raised(lambda: KeyError("x"))
    for outer in (
        root,
        raised(lambda: Wrapped("w"), root),
        raised(lambda: ExceptionGroup("one", [ExceptionGroup("inner", [root])])),
        raised(lambda: Wrapped("w"), raised(lambda: ExceptionGroup("one", [raised(lambda: Wrapped("v"), root)]))),
        GuardFailed("blacklist", root),
    ):
        assert causes(outer)[-1] is root


def test_a_group_of_several_is_its_own_cause_and_as_bad_as_its_worst() -> None:
    group = ExceptionGroup("two", [OSError("o"), ValueError("v")])
    assert causes(group)[-1] is group
    assert severity_of(causes(group), SEVERITIES) == "critical"


def test_causes_in_a_circle_end() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    assert causes(first) == [first, second]


@pytest.mark.parametrize(
    ("error", "severity"),
    [
        (AttributeError(), "critical"),
        (KeyError(), "critical"),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "x"), "critical"),  # a ValueError
        (NotFound(), "warning"),
        (OSError(), "info"),
        (Wrapped(), "info"),
    ],
)
def test_the_severity_follows_the_names_of_the_classes(error: Exception, severity: str) -> None:
    assert severity_of([error], SEVERITIES) == severity


def test_a_wrapper_has_a_say_where_the_root_cause_has_none() -> None:
    assert severity_of(causes(raised(lambda: NotFound(), OSError())), SEVERITIES) == "warning"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no user 123456789012345678", "no user 987654321098765432"),
        ("<User id=12 name='bob'> is gone", "<User id=9 name='amy'> is gone"),
        ("key 'alpha' is missing", "key 'omega' is missing"),
        ("at 0x7f3a2c10 and 127.0.0.1:8080", "at 0x7fffdead and 10.1.2.3:22"),
        ("cannot reach fe80::1:2", "cannot reach 2001:db8::17"),
        ("took 1.5 s", "took 12 s"),
        ("rows [1, 2, 3] failed", "rows [4] failed"),
        ("E-AB12CD is unknown", "E-ZZZZZZ is unknown"),
        ("hash deadbeef", "hash cafebabe"),
        ("at 2026-02-02 10:00:01", "at 2025-12-31 23:59:59"),
        ("GET https://example.org/a", "GET https://example.com/b?c=d"),
    ],
)
def test_what_changes_from_one_to_the_next_is_no_part_of_the_template(one: str, other: str) -> None:
    assert template_of(one) == template_of(other)


def test_templates_of_different_faults_differ() -> None:
    texts = ["no such user", "no such guild", "timed out", "took 5 s", "key 'x' is missing", "key 'x' is wrong"]
    assert len({template_of(text) for text in texts}) == len(texts)


def _fails(message: str) -> None:
    raise ValueError(message)


def _fails_elsewhere(message: str) -> None:
    raise ValueError(message)


def group_of(fail: Callable[[str], None], message: str, command: str = "lookup") -> str:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        fail(message)
    return dissect(caught.value, command, SEVERITIES, redact).group_id


@given(st.integers(), st.uuids(), st.ip_addresses())
def test_ids_in_the_message_do_not_split_a_group(number: int, uuid: object, address: object) -> None:
    expected = group_of(_fails, "user 1 (12345678-1234-1234-1234-123456789abc) at 127.0.0.1")
    assert group_of(_fails, f"user {number} ({uuid}) at {address}") == expected


def test_the_place_and_the_command_tell_groups_apart() -> None:
    assert len({group_of(_fails, "x"), group_of(_fails_elsewhere, "x"), group_of(_fails, "x", "other")}) == 3


def test_the_id_of_a_group_is_short_and_always_the_same() -> None:
    ids = {group_of(_fails, f"user {number}") for number in range(20)}
    (group_id,) = ids
    assert len(group_id) == 8
    assert set(group_id[2:]) <= set(CROCKFORD)


@given(st.text())
def test_any_message_has_a_template(message: str) -> None:
    assert len(template_of(message)) <= 300
