"""Any reply is taken by Discord, and all of it can be read there."""

import gzip
import io
import re
import zipfile
from datetime import timedelta, timezone
from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from socbot.dispatch.replies import Chart, Field, File, Form, Input, Question, Reply, moment
from socbot.transports.discord.attaching import MAX_FILE, MAX_TOGETHER, attached, safe_name
from socbot.transports.discord.cutting import is_blank, pieces, shortened, sound, units
from socbot.transports.discord.rendering import COLOURS, MAX_PAGES, NOTHING, Page, Rendered, render
from tests.standin.schema import check_message

FAMILY = "👨‍👩‍👧‍👦"
ACCENTED = "e\u0301"
FLAG = "🇩🇪"
RIGHT_TO_LEFT = "שלום"
MOMENT = "<t:1700000000>"
PICTURE = b"\x89PNG"

_MARKS = ["`", "```", "``", "**", "<@1234567890>", "@everyone", "[a](https://example.org)"]
_ODD = ["\u202e", "\u200b", "\x00", "\ud800", "\udc00", "\U0001d518", FAMILY, ACCENTED, FLAG, RIGHT_TO_LEFT]
WORDS = st.sampled_from(["word", " ", "\n", "  \n", MOMENT, "<t:1700000000:R>", "x" * 90, *_MARKS, *_ODD])
HOSTILE = st.text(max_size=60) | st.builds(
    lambda words, times: "".join(words) * times, st.lists(WORDS, max_size=30), st.sampled_from([1, 1, 3, 40])
)
CHARTS = st.builds(
    Chart,
    st.sampled_from(["bar", "line", "heatmap"]),
    st.lists(HOSTILE, max_size=3).map(tuple),
    st.dictionaries(HOSTILE, st.lists(st.floats(), max_size=5).map(tuple), max_size=3),
)
REPLIES = st.builds(
    Reply,
    text=HOSTILE,
    title=HOSTILE,
    fields=st.lists(st.builds(Field, HOSTILE, HOSTILE, st.booleans()), max_size=30).map(tuple),
    items=st.lists(HOSTILE, max_size=40).map(tuple),
    tone=st.sampled_from(sorted(COLOURS)),
    files=st.lists(st.builds(File, HOSTILE, st.binary(max_size=9)), max_size=13).map(tuple),
    chart=st.none() | CHARTS,
    question=st.none() | st.just(Question("token", "CODE", 30.0)),
)
quickly = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def body_of(page: Page) -> dict[str, object]:
    body: dict[str, object] = {"allowed_mentions": {"parse": []}}
    if page.content:
        body["content"] = page.content
    if page.embed is not None:
        body["embeds"] = [page.embed]
    return body


def complaints(rendered: Rendered) -> list[str]:
    names = [file.name for file in rendered.files]
    return [complaint for page in rendered.pages for complaint in check_message(body_of(page), names)]


def parts_of(page: Page) -> list[str]:
    embed = page.embed or {}
    fields = [part for each in embed.get("fields", ()) for part in (each["name"], each["value"])]
    footer = embed.get("footer", {}).get("text", "")
    return [page.content, embed.get("title", ""), embed.get("description", ""), *fields, footer]


def described(rendered: Rendered) -> list[str]:
    return [(page.embed or {}).get("description", "") for page in rendered.pages]


def footers(rendered: Rendered) -> list[str]:
    return [(page.embed or {}).get("footer", {}).get("text", "") for page in rendered.pages]


def bare(text: str) -> str:
    """Without what a cut may take or add: white space, what cannot be seen, and the marks of code."""
    return "".join(letter for letter in sound(text) if letter not in "`…–" and not is_blank(letter))


def is_in_order(part: str, whole: str) -> bool:
    rest = iter(whole)
    return all(letter in rest for letter in part)


# -- within every limit, and nothing lost ------------------------------------------------------------------


@quickly
@example(Reply(title="      \n" * 40), False)
@given(REPLIES, st.booleans())
def test_any_reply_is_taken_by_discord(reply: Reply, drawn: bool) -> None:
    rendered = render(reply, PICTURE if drawn and reply.chart else None)
    assert complaints(rendered) == []
    assert rendered.pages


@quickly
@given(REPLIES)
def test_no_limit_is_passed_even_when_characters_are_counted_as_utf_16(reply: Reply) -> None:
    for page in render(reply).pages:
        assert units(page.content) <= 2_000
        assert sum(map(units, parts_of(page))) <= 6_000


@quickly
@given(REPLIES)
def test_everything_that_was_said_is_on_some_page_or_in_the_file(reply: Reply) -> None:
    rendered = render(reply)
    shown = [part for page in rendered.pages for part in parts_of(page)]
    if len(rendered.pages) == 1:
        shown += [file.content.decode("utf-8", "replace") for file in rendered.files]
    in_order = bare("".join(shown))
    for said in (reply.text, *reply.items, *(each.value for each in reply.fields)):
        assert is_in_order(bare(said), in_order)


@quickly
@given(HOSTILE, st.integers(200, 400))
def test_pieces_fit_and_together_are_the_text(text: str, limit: int) -> None:
    text = sound(text)
    found = pieces(text, limit)
    assert all(units(piece) <= limit and not is_blank(piece) for piece in found)
    assert bare("".join(found)) == bare(text)


@quickly
@given(st.lists(st.sampled_from([MOMENT, "a", " ", "`", FAMILY, "```"]), max_size=200))
def test_a_moment_is_never_cut(words: list[str]) -> None:
    text = "".join(words)
    assert sum(piece.count(MOMENT) for piece in pieces(text, 200)) == text.count(MOMENT)


@pytest.mark.parametrize("shift", range(len(MOMENT)))
@pytest.mark.parametrize("mark", ["", "`", "```"])
def test_a_moment_is_never_cut_inside_of_code_either(mark: str, shift: int) -> None:
    found = pieces(mark + "-" * shift + MOMENT * 40 + mark, 200)
    assert sum(piece.count(MOMENT) for piece in found) == 40


@pytest.mark.parametrize(
    "character", [FAMILY, ACCENTED, FLAG, "👍🏽", "क्ष", "각", "❤️", "🏴\U000e0067\U000e0062\U000e007f"]
)
@pytest.mark.parametrize("shift", range(8))
def test_a_character_is_never_cut(character: str, shift: int) -> None:
    text = "-" * shift + character * 400
    found = pieces(text, 200)
    assert len(found) > 1
    assert all(piece.strip("-").replace(character, "") == "" for piece in found)


def test_a_run_of_combining_marks_is_cut_rather_than_kept_whole() -> None:
    found = pieces("a" + "\u0301" * 1_000, 200)
    assert "".join(found) == "a" + "\u0301" * 1_000
    assert all(len(piece) <= 200 for piece in found)


def test_a_hundred_thousand_characters_are_rendered_in_linear_time() -> None:
    for text in ("x" * 100_000, "` " * 50_000, "**" * 50_000, "[" * 100_000, "<" * 100_000, "```" * 33_333):
        assert complaints(render(Reply(text))) == []


# -- code at a cut ------------------------------------------------------------------------------------------


def test_a_code_block_is_closed_at_the_cut_and_opened_again() -> None:
    lines = [f"line {number}" for number in range(60)]
    found = pieces("Before\n```py\n" + "\n".join(lines) + "\n```\nafter", 200)
    assert len(found) > 2
    assert all(piece.count("```") % 2 == 0 for piece in found)
    assert all(piece.startswith("```py\n") for piece in found[1:-1])
    assert found[-1].endswith("```\nafter")
    assert [line for piece in found for line in piece.split("\n") if line.startswith("line")] == lines


def test_a_short_span_stays_whole() -> None:
    found = pieces("a" * 195 + " `two words` end", 200)
    assert found == ["a" * 195, "`two words` end"]


def test_bold_text_stays_whole() -> None:
    assert pieces("a " * 96 + "**two words** end", 200)[1] == "**two words** end"


def test_a_name_in_a_chart_does_not_end_its_block() -> None:
    reply = Reply(chart=Chart("bar", ("a", "b"), {"```\n@everyone": (1.0, 2.0)}))
    assert described(render(reply))[0].count("```") == 2


# -- how it looks -------------------------------------------------------------------------------------------


def test_a_short_plain_reply_is_plain_text() -> None:
    assert render(Reply("Pong!")) == Rendered((Page("Pong!"),))


@pytest.mark.parametrize("tone", ["ok", "warn", "error"])
def test_a_tone_has_its_colour(tone: str) -> None:
    [page] = render(Reply("Done.", tone=tone)).pages  # type: ignore[arg-type]
    assert page.embed == {"color": COLOURS[tone], "description": "Done."}


def test_a_long_plain_reply_is_turned_in_pages() -> None:
    rendered = render(Reply("word " * 2_000))
    assert footers(rendered) == ["Page 1 of 3", "Page 2 of 3", "Page 3 of 3"]


def test_a_reply_that_says_nothing_shows_that() -> None:
    assert render(Reply()).pages == (Page(NOTHING),)
    assert described(render(Reply(" \u200b", tone="ok"))) == [NOTHING]


def test_a_field_without_name_or_value_gets_something_to_be_seen() -> None:
    [page] = render(Reply(fields=(Field("", "\u200b"),))).pages
    assert page.embed is not None
    assert page.embed["fields"] == [{"name": NOTHING, "value": NOTHING, "inline": True}]


def test_a_moment_stays_native_in_text_and_is_written_out_in_a_title() -> None:
    reply = Reply(f"since {moment(1_700_000_000)}", f"At {moment(1_700_000_000)}")
    [page] = render(reply, zone=timezone(timedelta(hours=1), "CET")).pages
    assert page.embed is not None
    assert page.embed["title"] == "At 2023-11-14 23:13:20 CET"
    assert page.embed["description"] == f"since {MOMENT}"


def test_a_listing_is_shown_a_dozen_lines_a_page() -> None:
    rendered = render(Reply(title="Listing", items=tuple(f"item {number}" for number in range(30))))
    assert [text.count("\n") + 1 for text in described(rendered)] == [12, 12, 6]
    assert all((page.embed or {})["title"] == "Listing" for page in rendered.pages)


def test_a_listing_that_is_hardly_longer_than_a_page_is_not_divided() -> None:
    assert len(render(Reply(items=("item",) * 15)).pages) == 1


def test_more_fields_than_an_embed_takes_go_on_the_next_page() -> None:
    rendered = render(Reply(title="Facts", fields=tuple(Field(f"name {n}", "value") for n in range(60))))
    assert [len((page.embed or {})["fields"]) for page in rendered.pages] == [25, 25, 10]


def test_a_value_that_is_too_long_goes_on_in_the_next_field() -> None:
    [page] = render(Reply(fields=(Field("name", "word " * 400),))).pages
    assert page.embed is not None
    assert [each["name"] for each in page.embed["fields"]] == ["name", "…"]


def test_a_title_that_is_too_long_goes_on_in_the_text() -> None:
    [page] = render(Reply("text", "title " * 60)).pages
    assert page.embed is not None
    assert (page.embed["title"] + page.embed["description"]).replace("…", " ").split() == ["title"] * 60 + ["text"]


def test_what_has_too_many_pages_is_sent_as_a_file() -> None:
    reply = Reply(title="All of it", items=tuple(f"item {number}" for number in range(12 * MAX_PAGES + 1)))
    rendered = render(reply)
    assert footers(rendered) == ["The beginning. All of it is in the file All_of_it.txt"]
    assert rendered.files[0].content.decode() == str(reply)


def test_a_chart_is_shown_as_the_picture_it_was_drawn_as() -> None:
    reply = Reply("Runs", chart=Chart("bar", ("a",), {"runs": (1.0,)}), files=(File("chart.png", b"another"),))
    rendered = render(reply, PICTURE)
    assert (rendered.pages[0].embed or {})["image"] == {"url": "attachment://chart.png"}
    assert [file.name for file in rendered.files] == ["chart.png", "2-chart.png"]


def test_a_question_says_how_long_it_waits() -> None:
    rendered = render(Reply("Really?", tone="warn", question=Question("token", "CODE", 30.0)))
    assert footers(rendered) == ["Answer within 30 s"]
    assert "CODE" not in str(rendered)


def test_a_form_that_cannot_be_opened_says_what_is_lacking() -> None:
    reply = Reply(form=Form("token", "add_webhook", (Input("url", "an https address"),), 600.0))
    assert render(reply).pages == (Page("Run the command again with:\n`url`: an https address"),)


# -- files --------------------------------------------------------------------------------------------------


@given(
    st.text(max_size=300) | st.sampled_from(["../../etc/passwd", "C:\\x\\y.csv", "SPOILER__SPOILER_x.png", "..", ""])
)
def test_a_file_name_is_safe(name: str) -> None:
    safe = safe_name(name)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", safe)
    assert not safe.upper().startswith("SPOILER_")


def test_a_file_keeps_its_ending() -> None:
    assert safe_name("reports/" + "n" * 200 + ".csv").endswith("n.csv")
    assert safe_name("Übersicht März.csv") == "Ubersicht_Marz.csv"


def test_files_of_one_name_are_told_apart() -> None:
    files, _ = attached((File("a.csv", b"1"), File("A.csv", b"2"), File("x/a.csv", b"3")))
    assert [file.name for file in files] == ["a.csv", "2-A.csv", "3-a.csv"]


def test_a_file_that_is_too_large_is_compressed() -> None:
    content = b"0" * (MAX_FILE + 1)
    [file] = render(Reply("Here.", files=(File("log.txt", content),))).files
    assert file.name == "log.txt.gz"
    assert gzip.decompress(file.content) == content


def test_a_file_that_does_not_fit_is_named_with_its_size(incompressible: bytes) -> None:
    rendered = render(Reply("Here.", files=(File("dump.bin", incompressible), File("small.txt", b"1"))))
    assert [file.name for file in rendered.files] == ["small.txt"]
    assert rendered.pages[0].content == (
        "Here.\n`dump.bin` does not fit: it has 11.0 MiB, and 10.0 MiB can be sent here."
    )


def test_files_do_not_pass_the_limit_together(incompressible: bytes) -> None:
    files, complaints = attached(tuple(File(f"{n}.bin", incompressible[: 8 * 1024 * 1024]) for n in range(3)))
    assert sum(len(file.content) for file in files) <= MAX_TOGETHER
    assert complaints == ("`2.bin` does not fit: it has 8.0 MiB, and 4.0 MiB can be sent here.",)


def test_too_many_files_go_in_one_archive() -> None:
    [file] = render(Reply(files=tuple(File("part.txt", str(number).encode()) for number in range(15)))).files
    with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
        assert sorted(archive.read(name) for name in archive.namelist()) == sorted(str(n).encode() for n in range(15))


def test_what_is_shortened_ends_in_an_ellipsis_after_a_whole_character() -> None:
    assert shortened("short", 5) == "short"
    assert shortened(FAMILY * 3, 15) == FAMILY + "…"


@pytest.fixture(scope="module")
def incompressible() -> bytes:
    return Random(1).randbytes(11 * 1024 * 1024)
