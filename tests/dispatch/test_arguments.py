"""Arguments are read as people type them, or refused with what was expected."""

import enum
import time
from collections import Counter
from random import Random
from typing import Annotated, Any, Literal, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from socbot.dispatch.arguments import (
    MAX_LENGTH,
    Duration,
    DurationRange,
    Rest,
    compile_signature,
    parse_duration,
    parse_reference,
    split,
)
from socbot.dispatch.commands import command
from socbot.dispatch.context import Context
from socbot.dispatch.dispatcher import Dispatcher
from socbot.dispatch.errors import InvalidArgument, UserError
from socbot.dispatch.messages import Attachment, ChannelRef, GuildRef, UserRef
from socbot.dispatch.outcomes import Outcome
from socbot.testing import said


class Level(enum.Enum):
    LOW = 1
    VERY_HIGH = 2


def bound(handler: Any, text: str, attachments: tuple[Attachment, ...] = ()) -> tuple[list[object], dict[str, object]]:
    return compile_signature(handler).bind(text, said("", attachments=attachments))


def taking(annotation: Any, default: Any = ...) -> Any:
    """A handler with one argument of that type."""

    async def handler(ctx: Context, value: Any = default) -> None: ...

    handler.__annotations__["value"] = annotation
    if default is ...:
        handler.__defaults__ = None
    return handler


def value_of(annotation: Any, text: str, default: Any = ...) -> object:
    ((value,), _) = bound(taking(annotation, default), text)
    return value


# -- each annotation ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (str, "word", "word"),
        (str, '"two words"', "two words"),
        (str, '""', ""),
        (Rest, "all of  the line ", "all of  the line"),
        (Rest, '"quoted"', "quoted"),
        (Rest, '" quoted "', "quoted"),
        (Rest, 'he said "no" twice', 'he said "no" twice'),
        (Rest, '"a" and "b"', '"a" and "b"'),
        (int, "42", 42),
        (int, "-7", -7),
        (int, "+7", 7),
        (int, "007", 7),
        (float, "1.5", 1.5),
        (float, ".5", 0.5),
        (float, "1e3", 1000.0),
        (bool, "on", True),
        (bool, "YES", True),
        (bool, "0", False),
        (Literal["soft", "Hard"], "HARD", "Hard"),
        (Literal[1, 2], "2", 2),
        (Level, "very_high", Level.VERY_HIGH),
        (UserRef, "<@42>", UserRef("local", "42")),
        (UserRef, "<@!42>", UserRef("local", "42")),
        (UserRef, "@42", UserRef("local", "42")),
        (UserRef, "discord:42", UserRef("discord", "42")),
        (UserRef, "nick[away]", UserRef("local", "nick[away]")),
        (ChannelRef, "<#42>", ChannelRef("local", "42")),
        (ChannelRef, "#general", ChannelRef("local", "general")),
        (GuildRef, "discord:9", GuildRef("discord", "9")),
        (Duration, "90m", 5_400.0),
        (Duration, "1H30M", 5_400.0),
        (Duration, "2", 7_200.0),
        (Duration, "1.5", 5_400.0),
        (Duration, "1.5h", 5_400.0),
        (Duration, "1.5h0.25m", 5_415.0),
        (Annotated[Duration, DurationRange(minimum=0, bare="s")], "90", 90.0),
        (Annotated[Duration, DurationRange(minimum=0)], "250ms", 0.25),
        (int | None, "3", 3),
    ],
)
def test_what_is_read(annotation: Any, text: str, value: object) -> None:
    assert value_of(annotation, text) == value
    assert type(value_of(annotation, text)) is (Duration if "Duration" in str(annotation) else type(value))


@pytest.mark.parametrize(
    ("annotation", "text", "told"),
    [
        (int, "1.0", "value: `1.0` is not a whole number"),
        (int, "9223372036854775808", "a whole number"),
        (int, "1_000", "a whole number"),
        (int, "٣", "a whole number"),
        (int, '""', "value: missing: a whole number"),
        (float, "nan", "a number"),
        (float, "inf", "a number"),
        (float, "1e999", "a number"),
        (float, "0x10", "a number"),
        (Annotated[int, Meta(ge=1, le=5)], "6", "`6` is not a whole number from 1 to 5"),
        (Annotated[int, Meta(gt=0)], "0", "`0` is not a whole number above 0"),
        (Annotated[float, Meta(lt=1)], "1", "`1` is not a number below 1"),
        (Annotated[float, Meta(gt=0, le=1)], "2", "`2` is not a number above 0 and of at most 1"),
        (bool, "maybe", "`maybe` is not on or off"),
        (Literal["soft", "hard"], "firm", "`firm` is not one of soft, hard"),
        (Level, "1", "one of low, very_high"),
        (Annotated[str, Meta(max_length=3)], "word", "`word` is not text of at most 3 characters"),
        (UserRef, "<@&42>", "is not a user: a mention, or an id"),
        (UserRef, "@everyone@", "is not a user"),
        (UserRef, "a\u202eb", "is not a user"),
        (UserRef, "x" * 65, "is not a user"),
        (GuildRef, "<@42>", "is not a guild"),
        (Duration, "1e9w", "is not a duration like 90m, 2d or 1w3d, 1m to 521w3d"),
        (Duration, "-1h", "is not a duration"),
        (Duration, "1s", "is not a duration"),
        (Duration, "999999999w", "is not a duration"),
        (Duration, "1h 30m", "is not a duration|one argument too many"),
        (Duration, "1.h", "is not a duration"),
        (Duration, "1.5.5h", "is not a duration"),
        (Duration, "0", "is not a duration"),
        (str, "two words", "arguments: `words` is not expected: that is one argument too many"),
        (str, "", "value: missing: text"),
        (Rest, "   ", "value: missing: text"),
        (Rest, '""', "value: missing: text"),
        (Rest, '"  "', "value: missing: text"),
        (Attachment, "", "value: missing: a file attached to the message"),
    ],
)
def test_what_is_refused_and_what_is_told(annotation: Any, text: str, told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        value_of(annotation, text)


@pytest.mark.parametrize(
    ("annotation", "default", "value"),
    [(int, 5, 5), (int | None, ..., None), (str, "x", "x"), (Rest, "", ""), (Attachment | None, ..., None)],
)
def test_what_may_be_left_out(annotation: Any, default: Any, value: object) -> None:
    assert value_of(annotation, "", default) == value


def test_a_file_is_taken_wherever_it_stands() -> None:
    async def restore(ctx: Context, file: Attachment, name: str) -> None: ...

    file = Attachment("a.zip", 3)
    assert bound(restore, "x", (file,)) == ([file, "x"], {})
    with pytest.raises(InvalidArgument, match="file attached"):
        bound(restore, "x")


# -- flags, quotes, any number of words ---------------------------------------------------------------


async def flagged(ctx: Context, name: str, *words: str, csv: bool = False, dry_run: bool = False) -> None: ...


@pytest.mark.parametrize(
    ("text", "words", "flags"),
    [
        ("a", ["a"], set()),
        ("--csv a", ["a"], {"csv"}),
        ("a --csv", ["a"], {"csv"}),
        ("a b --CSV c", ["a", "b", "c"], {"csv"}),
        ("a —csv", ["a"], {"csv"}),
        ("a –dry-run --csv", ["a"], {"csv", "dry_run"}),
        ("a --dry_run", ["a"], {"dry_run"}),
        ('a "--csv"', ["a", "--csv"], set()),
        ("a -5", ["a", "-5"], set()),
    ],
)
def test_flags_are_found_among_words(text: str, words: list[str], flags: set[str]) -> None:
    values, found = bound(flagged, text)
    assert values == words
    assert {name for name, is_on in found.items() if is_on} == flags
    assert set(found) == {"csv", "dry_run"}


def test_a_flag_that_nobody_knows_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidArgument, match=r"`--cvs` is not a flag of this command \(--csv or --dry_run\)"):
        bound(flagged, "a --cvs")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('a "b c" d', ["a", "b c", "d"]),
        ("“b c” „d e“ «f g» „h i”", ["b c", "d e", "f g", "h i"]),
        ("”b c”", ["b c"]),
        (r'"say \"hi\" now"', ['say "hi" now']),
        ('"never closed a', ['"never', "closed", "a"]),
        ("don't", ["don't"]),
        ('5"', ['5"']),
        ('a"b c"', ['a"b', 'c"']),
        ('"a"b c"', ['a"b c']),
        ('""', [""]),
        ("", []),
        ("\u00a0a\u2003b\n", ["a", "b"]),
    ],
)
def test_quotes_keep_words_together_as_people_type_them(text: str, words: list[str]) -> None:
    assert [word.value for word in split(text)] == words


def test_any_number_of_words_are_each_of_their_type() -> None:
    async def total(ctx: Context, *numbers: int) -> None: ...

    assert bound(total, "1 2 3") == ([1, 2, 3], {})
    assert bound(total, "") == ([], {})
    with pytest.raises(InvalidArgument, match="numbers: `x`"):
        bound(total, "1 x")


# -- durations ----------------------------------------------------------------------------------------


@given(st.integers(1, 10 * 365 * 86_400))
def test_a_duration_is_read_as_it_is_written(seconds: int) -> None:
    assert parse_duration(str(Duration(seconds)), DurationRange(minimum=0)) == float(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0.25, "250ms"), (0.9992, "999ms"), (0.9999, "1s"), (1, "1s"), (1.5, "1.5s"), (59.96, "1m"), (61.5, "1m2s")),
        *((5_400, "1h30m"), (694_861, "1w1d1h1m1s"), (86_400, "1d")),
    ],
)
def test_durations_are_written_as_people_do_and_are_read_again(seconds: float, text: str) -> None:
    assert str(Duration(seconds)) == text
    assert str(parse_duration(text, DurationRange(minimum=0))) == text


# -- no message breaks the parser ---------------------------------------------------------------------

PIECES = [
    '"', "“", "”", "„", "«", "\\", "`", "--", "—", "–", "--csv", "<@", ">", "<@42>", "<#1>", "@", "@everyone", "#", ":",
    "\ud800", "\udfff", "\u202e", "\u2066", "\u200b", "\x00", "\x1b[31m", "\n", "\r", "\t", " ", "  ", "\u2028",
    "\ufeff", "0", "-1", "9223372036854775807", "9223372036854775808", "18446744073709551616", "1e9w", "-1h", "1h30m",
    "99999999999d", "1.5", "nan", "inf", "1e308", "1e999", "0x7f", "٣", "on", "off", "soft", "HARD",
    "discord:42", "a:b:c", "é", "😀",
    "Ⅷ", "ß", "İ", "x" * 65, "a\u0300" * 20,
]  # fmt: skip

EVERY = (
    str,
    Rest,
    int,
    float,
    bool,
    Literal["soft", "hard"],
    Level,
    UserRef,
    GuildRef,
    ChannelRef,
    Duration,
    int | None,
)
HANDLERS = [taking(annotation) for annotation in EVERY] + [flagged]
SIGNATURES = [compile_signature(handler) for handler in HANDLERS]


def read(text: str) -> None:
    for signature in SIGNATURES:
        try:
            signature.bind(text, said(""))
        except UserError as error:
            shown = str(error)
            assert "\x1b" not in shown
            assert "@everyone" not in shown


@pytest.mark.promise("P29")
def test_10000_malformed_inputs_are_read_or_refused() -> None:
    random = Random(29)
    slowest = 0.0
    for _ in range(10_000):
        separator = random.choice(["", " "])
        text = separator.join(random.choice(PIECES) for _ in range(random.randint(0, 12)))
        started = time.thread_time()
        read(text)
        slowest = max(slowest, time.thread_time() - started)
    assert slowest < 0.25  # for 13 signatures, on a machine that does other things too


@pytest.mark.promise("P29")
@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    read(text)


@pytest.mark.promise("P29")
async def test_10000_malformed_messages_end_in_one_outcome_each() -> None:
    @command("say", aliases=("s",), permission="public")
    async def say(ctx: Context, who: UserRef, length: Duration, *words: str, soft: bool = False) -> str:
        return " ".join(words) or "nothing"

    dispatcher, random, told = Dispatcher([say]), Random(290), list[Outcome]()
    dispatcher.observe(told.append)
    statuses = Counter[str]()
    for number in range(10_000):
        start = random.choice(["!", "!say", "!say ", "!s @42 1h ", "! say", "!!say ", "!say\n", "!\ud800", "say "])
        text = start + random.choice(["", " "]).join(random.choice(PIECES) for _ in range(random.randint(0, 12)))
        statuses[(await dispatcher.dispatch(said(text, str(number)))).status] += 1
    assert set(statuses) == {"ok", "invalid", "unknown", "ignored"}
    assert min(statuses.values()) > 50
    assert dispatcher.running == 0


@pytest.mark.promise("P29")
@pytest.mark.parametrize(
    "piece", ['"', "“", '" ', '"a" ', '\\"', "„ ", "a ", "--", "-", "<@", "1h", "1", "1.", "\ud800", " "]
)
def test_4000_characters_of_anything_take_milliseconds(piece: str) -> None:
    text = (piece * MAX_LENGTH)[:MAX_LENGTH]
    best = 1.0
    for _ in range(3):
        started = time.thread_time()
        for signature in SIGNATURES:
            try:
                signature.bind(text, said(""))
            except UserError:
                continue
        best = min(best, time.thread_time() - started)
    assert best / len(SIGNATURES) < 0.005


@pytest.mark.promise("P29")
async def test_2_megabytes_are_refused_unread() -> None:
    @command("say", permission="public")
    async def say(ctx: Context, text: Rest) -> None: ...

    dispatcher, seconds = Dispatcher([say]), []
    for author in range(20):
        message = said("!say " + '"a ' * 700_000, str(author))
        started = time.thread_time()
        outcome = await dispatcher.dispatch(message)
        seconds.append(time.thread_time() - started)
        assert (outcome.status, outcome.reason) == ("invalid", "message")
    assert min(seconds) < 0.001


@given(st.sampled_from([UserRef, GuildRef, ChannelRef]), st.text(max_size=80))
def test_a_reference_is_inert_whatever_was_typed(kind: type[UserRef | GuildRef | ChannelRef], text: str) -> None:
    try:
        found = parse_reference(kind, text, "local")
    except InvalidArgument:
        return
    assert 0 < len(found.id) <= 64
    assert not any(character.isspace() or character in "@#<>`\x00\u202e" for character in found.id)


# -- signatures that cannot be ------------------------------------------------------------------------


class System:
    pass


async def no_context() -> None: ...
async def no_annotation(ctx: Context, a) -> None: ...  # type: ignore[no-untyped-def]
async def keywords(ctx: Context, **options: str) -> None: ...
async def flag_of_int(ctx: Context, *, count: int = 1) -> None: ...
async def flag_that_is_on(ctx: Context, *, csv: bool = True) -> None: ...
async def system_last(ctx: Context, a: int, system: System) -> None: ...
async def union(ctx: Context, a: int | str) -> None: ...
async def listed(ctx: Context, a: int, b: list[int]) -> None: ...
async def rest_first(ctx: Context, a: Rest, b: int) -> None: ...
async def two_rests(ctx: Context, a: Rest, b: Rest) -> None: ...
async def unresolved(ctx: Context, a: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (no_context, "first parameter is the context"),
        (no_annotation, "parameter 'a' has no annotation"),
        (keywords, r"\*\*options cannot be filled from chat"),
        (flag_of_int, "'count' is a flag, so it must be a bool"),
        (flag_that_is_on, "'csv' is on where it is given"),
        (system_last, "'system' is a .*System.*, which chat cannot fill; if it is a system, it goes before"),
        (union, "'a' is a .*int.*str.*, which chat cannot fill"),
        (listed, "'b' is a .*list.*, which chat cannot fill"),
        (rest_first, "'a' takes all that is left, so it must come last"),
        (two_rests, "'a' takes all that is left, so it must come last"),
        (unresolved, "'Missing' is not defined"),
    ],
)
def test_a_signature_that_chat_cannot_fill_is_refused_by_name(handler: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told) as raised:
        compile_signature(handler)
    assert f"handler {handler.__qualname__!r}" in str(raised.value)


def test_systems_are_injected_and_are_no_arguments() -> None:
    async def handler(ctx: Context, system: System, a: Union[int, None] = None) -> None: ...  # noqa: UP007

    signature = compile_signature(handler)
    assert signature.injected == {"system": System}
    assert [parameter.name for parameter in signature.parameters] == ["a"]
    assert signature.bind("", said("")) == ([None], {})
