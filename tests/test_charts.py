"""Charts: what is drawn is right and can be read, whatever is in them, and drawing holds nobody up."""

import re
import subprocess
import sys
from collections import Counter
from io import BytesIO
from itertools import pairwise
from math import inf, isfinite, nan
from pathlib import Path
from xml.etree import ElementTree

import anyio
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from socbot.charts import STYLE, Tone, definition, describe, page_svg, picture, strip_svg
from socbot.charts.colours import colours as colours_of
from socbot.charts.marks import WIDTH, Shape, Words
from socbot.charts.numbers import figure, scale, thinned
from socbot.charts.svg import DARK, LIGHT, picture_svg
from socbot.dispatch.replies import Chart
from socbot.transports.block_charts import chart_text

HOURS = tuple(f"{hour:02}" for hour in range(24))
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WEEK = Chart("heatmap", HOURS, {day: tuple(float(hour) for hour in range(24)) for day in DAYS}, "commands")

texts = st.one_of(
    st.text(st.characters(), max_size=90),
    st.sampled_from(
        ["</text><script>alert(1)</script>", '"><image href="file:///etc/passwd"/>', "W" * 10_000, "&#x0;"]
    ),
)
values = st.lists(st.floats() | st.integers(-5, 50).map(float), max_size=40).map(tuple)
charts = st.builds(
    Chart,
    kind=st.sampled_from(["bar", "line", "heatmap", "spans"]),
    labels=st.lists(texts, max_size=40).map(tuple),
    series=st.dictionaries(texts, values, max_size=9),
    unit=texts,
)


class Picture:
    """A PNG, decoded: how often each colour is in it."""

    def __init__(self, png: bytes) -> None:
        self._image = Image.open(BytesIO(png)).convert("RGB")
        self.width, self.height = self._image.size

    def count(self, colour: str) -> int:
        return colours_in(self._image)[colour]

    def edge(self) -> set[str]:
        """The colours of the outermost four columns and of the outermost rows."""
        sides = ((0, 0, 4, self.height), (self.width - 4, 0, self.width, self.height))
        ends = ((0, 0, self.width, 1), (0, self.height - 1, self.width, self.height))
        return {colour for side in (*sides, *ends) for colour in colours_in(self._image.crop(side))}


def colours_in(image: Image.Image) -> Counter[str]:
    pixels = image.tobytes()
    return Counter(f"#{pixels[at : at + 3].hex()}" for at in range(0, len(pixels), 3))


async def drawn(chart: Chart, title: str = "", *, dark: bool = True) -> Picture:
    png = await picture(chart, title=title, dark=dark, deadline=60)
    assert png is not None
    return Picture(png)


def words(chart: Chart, title: str = "") -> list[str]:
    return [mark.text for mark in definition(chart, title).marks if isinstance(mark, Words)]


def painted(chart: Chart) -> list[str]:
    return [mark.colour for mark in definition(chart).marks if isinstance(mark, Shape)]


# -- pictures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bar", "line", "heatmap"])
async def test_a_chart_becomes_a_picture_sharp_on_a_phone(kind: str) -> None:
    chart = Chart(kind, HOURS, {"commands": tuple(float(hour) for hour in range(24))}, "per hour")  # type: ignore[arg-type]
    seen = await drawn(chart, "Today")
    assert seen.width == 960
    assert 200 < seen.height < 700
    assert seen.edge() == {DARK["back"]}
    assert seen.count(DARK["series-0"]) + seen.count(DARK["heat-6"]) > 500


async def test_a_picture_can_be_light() -> None:
    seen = await drawn(Chart("bar", ("1",), {"a": (1.0,)}), dark=False)
    assert seen.edge() == {LIGHT["back"]}
    assert seen.count(LIGHT["series-0"]) > 1000


async def test_twice_the_value_is_twice_the_bar() -> None:
    one = (await drawn(Chart("bar", ("1", "2"), {"a": (10, 0)}))).count(DARK["series-0"])
    both = (await drawn(Chart("bar", ("1", "2"), {"a": (10, 5)}))).count(DARK["series-0"])
    assert both / one == pytest.approx(1.5, abs=0.02)


async def test_words_show_where_no_font_is_installed() -> None:
    chart = Chart("bar", ("1",), {"a": (1.0,)})  # Latin text is drawn with the font that is shipped, and no other
    assert (await drawn(chart, "commands")).count(DARK["text"]) > (await drawn(chart, " ")).count(DARK["text"]) + 100


@pytest.mark.parametrize("kind", ["bar", "line", "heatmap"])
async def test_ten_thousand_characters_stay_inside(kind: str) -> None:
    wide = "W" * 10_000
    chart = Chart(kind, (wide, wide + "2"), {wide: (1, 2), wide + "2": (2, 3)}, wide)  # type: ignore[arg-type]
    seen = await drawn(chart, wide)
    assert seen.edge() == {DARK["back"]}


async def test_drawing_does_not_hold_the_loop() -> None:
    turns = 0

    async def turning() -> None:
        nonlocal turns
        while True:
            await anyio.sleep(0.001)
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(turning)
        await drawn(WEEK)
        tasks.cancel_scope.cancel()
    assert turns > 5


async def test_what_is_not_drawn_in_time_is_given_up_and_leaves_nothing_running() -> None:
    assert await picture(WEEK, deadline=0.001) is None
    assert psutil.Process().children() == []
    assert await picture(WEEK, deadline=60) is not None


async def test_many_pictures_at_once_are_all_drawn() -> None:
    drawn_: list[bytes | None] = []

    async def draw() -> None:
        drawn_.append(await picture(WEEK, deadline=60))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(draw)
    assert drawn_.count(drawn_[0]) == 5
    assert drawn_[0]


async def test_without_the_library_there_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    assert await picture(WEEK) is None


async def test_without_a_program_to_draw_with_there_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert await picture(WEEK) is None


async def test_the_program_that_draws_gets_no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spy = tmp_path / "python"
    spy.write_text(f"#!/bin/sh\nenv > {tmp_path}/seen\nexit 1\n")
    spy.chmod(0o755)
    monkeypatch.setenv("DISCORD_TOKEN", "hush")
    monkeypatch.setattr(sys, "executable", str(spy))
    assert await picture(WEEK) is None
    assert "PYTHONPATH=" in (seen := (tmp_path / "seen").read_text())
    assert "hush" not in seen


def test_charts_cost_nothing_until_one_is_drawn() -> None:
    code = "import sys, socbot.charts; print('resvg_py' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


# -- hostile content ----------------------------------------------------------------------------------

PARTS = {
    "svg": {"viewBox", "class", "role", "aria-label", "font-family"},
    "rect": {"width", "height", "fill"},
    "path": {"d", "class", "fill", "stroke", "stroke-width", "stroke-linejoin", "fill-opacity", "opacity"},
    "text": {"x", "y", "font-size", "text-anchor", "class", "fill", "stroke", "stroke-width"},
}


@given(charts, texts)
def test_nothing_in_a_chart_gets_out_of_its_place(chart: Chart, title: str) -> None:
    laid_out = definition(chart, title)
    for svg in (page_svg(laid_out), picture_svg(laid_out, DARK)):
        assert len(svg.encode()) < 300_000
        for element in ElementTree.fromstring(svg).iter():
            assert element.attrib.keys() <= PARTS[element.tag.removeprefix("{http://www.w3.org/2000/svg}")]
    for mark in laid_out.marks:
        if isinstance(mark, Words):
            assert 0 <= mark.x <= WIDTH
            assert 0 <= mark.y <= laid_out.height
            assert len(mark.text) <= 90
        else:
            assert re.fullmatch(r"[MLhvqVHz0-9. -]+", mark.path), mark.path
    assert len(laid_out.alt) < 400


@given(charts)
def test_shapes_stay_within_the_picture(chart: Chart) -> None:
    laid_out = definition(chart)
    starts = [re.match(r"M(-?[\d.]+) (-?[\d.]+)", mark.path) for mark in laid_out.marks if isinstance(mark, Shape)]
    for start in starts:
        assert start
        assert 0 <= float(start[1]) <= WIDTH
        assert 0 <= float(start[2]) <= laid_out.height


def test_characters_that_do_not_show_are_replaced() -> None:
    chart = Chart("bar", ("\x1b[31m", "a\u202eb", "\ud800"), {"e" + "\u0301" * 50: (1, 2, 3)}, "line\nbreak")
    shown = "".join(words(chart))
    assert not set(shown) & set("\x1b\u202e\ud800\n")
    assert shown.count("\u0301") <= 2


def test_a_page_needs_no_style_script_or_address() -> None:
    svg = page_svg(definition(WEEK, "When"))
    assert not re.search(r"style=|<style|<script|href|url\(|https?://(?!www\.w3\.org/2000/svg)", svg)
    classes = set(re.findall(r'class="(chart-[\w-]+)"', svg))
    assert all(f".{name}{{" in STYLE for name in classes)
    assert LIGHT.keys() == DARK.keys()


# -- what is drawn ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chart",
    [
        Chart("bar", (), {}),
        Chart("line", ("a", "b"), {"x": (nan, inf)}),
        Chart("heatmap", ("a",), {"Mon": ()}),
        Chart("spans", ("a",), {"begins": (3.0,)}),
        Chart("spans", ("a",), {"begins": (nan,), "took": (-1.0,)}),
    ],
)
async def test_where_there_is_nothing_it_says_so(chart: Chart) -> None:
    assert "nothing to show yet" in words(chart)
    assert await picture(chart, deadline=60)


def test_a_value_that_is_none_is_a_gap() -> None:
    assert (
        painted(Chart("line", tuple("12345"), {"a": (1, 2, nan, 4, 5)})).count("series-0") == 4
    )  # line and area, twice
    assert painted(Chart("line", tuple("12345"), {"a": (1, 2, 3, 4, 5)})).count("series-0") == 2
    assert painted(Chart("bar", tuple("123"), {"a": (1, inf, -1)})).count("series-0") == 2


def test_a_heatmap_shows_the_hours_of_a_week_and_what_its_colours_mean() -> None:
    shown = words(WEEK)
    assert [text for text in shown if text in DAYS] == list(DAYS)
    assert {"00", "12", "22"} <= set(shown) or {"00", "12", "21"} <= set(shown)
    assert shown[-2:] == ["0", "23 commands"]
    heat = [colour for colour in painted(WEEK) if colour.startswith("heat")]
    assert len(heat) == 24 * 7 + 7
    assert heat.count("heat-0") == 7 + 1


def test_things_with_long_names_lie_one_below_the_other_and_none_is_left_out() -> None:
    names = tuple(f"a_command_name_{number}" for number in range(12))
    shown = words(Chart("bar", names, {"uses": tuple(float(number) for number in range(12))}))
    assert [text for text in shown if text in names] == list(names)


def test_times_are_thinned_out_so_that_they_can_be_read() -> None:
    days = tuple(f"2026-11-{day:02}" for day in range(1, 31))
    shown = words(Chart("bar", days, {"uses": tuple(float(day) for day in range(30))}))
    assert 3 <= len([text for text in shown if text in days]) <= 6


def test_series_beyond_what_can_be_told_apart_are_counted() -> None:
    chart = Chart("line", ("1", "2"), {f"s{number}": (1.0, 2.0) for number in range(9)}, "ms")
    assert words(chart)[:8] == ["ms", "s0", "s1", "s2", "s3", "s4", "s5", "and 3 more"]


def test_thousands_of_points_keep_their_peaks() -> None:
    spike = [0.0] * 10_000
    spike[4321] = 1000.0
    kept = thinned(spike, 400)
    assert len(kept) <= 400
    assert (4321, 1000.0) in kept
    assert len(page_svg(definition(Chart("bar", HOURS, {"a": tuple(spike)})))) < 20_000


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=300), st.integers(2, 60))
def test_thinning_keeps_the_extremes_and_the_order(numbers: list[float], most: int) -> None:
    kept = thinned(numbers, most)
    assert len(kept) <= most
    assert {max(numbers), min(numbers)} <= {value for _, value in kept}
    assert all(before < after for (before, _), (after, _) in pairwise(kept))


@given(st.floats(-1e18, 1e18), st.floats(1e-12, 1e18), st.booleans())
def test_a_scale_encloses_its_values_in_a_few_round_steps(low: float, span: float, whole: bool) -> None:
    low, high = min(low, 0.0), max(low, 0.0) + span
    steps = scale(low, high, whole=whole)
    assert steps.low <= low + (high - low) * 1e-9
    assert steps.high >= high - (high - low) * 1e-9
    assert 2 <= len(steps.ticks) <= 9
    assert all(isfinite(tick) for tick in steps.ticks)
    assert all(before < after for before, after in pairwise(steps.ticks))


WAY = Chart(
    "spans",
    ("guard 1 ms", "observer 3 ms", "handler 6 ms"),
    {
        "begins": (0.0, 1.0, 3.0),
        "on the way in": (1.0, 2.0, 0.0),
        "inside": (9.0, 6.0, 0.0),
        "on the way out": (0.0, 1.0, 0.0),
        "refused": (0.0, 0.0, 0.0),
        "handler": (0.0, 0.0, 6.0),
    },
    "ms",
)


def boxes_of(chart: Chart) -> dict[str, list[tuple[float, float]]]:
    """Where each colour's boxes begin, and how wide they are, rounded corners and all."""
    found: dict[str, list[tuple[float, float]]] = {}
    for mark in definition(chart).marks:
        if isinstance(mark, Shape) and not mark.stroke:
            begin, across, corner = re.findall(r"-?[\d.]+", mark.path)[0], *re.findall(r"[hq](-?[\d.]+)", mark.path)[:2]
            found.setdefault(mark.colour, []).append((float(begin) - float(corner), float(across) + 2 * float(corner)))
    return found


def test_spans_stand_where_they_began_and_are_as_long_as_they_took() -> None:
    boxes = boxes_of(WAY)
    ((handler, six),) = boxes["series-1"][1:]  # the first is the legend's
    (outer, nine), (inner, six_again) = sorted(boxes["axis"][1:])
    assert nine / six == pytest.approx(9 / 6, rel=0.02)
    assert six_again == pytest.approx(six, abs=0.1)
    assert handler == pytest.approx(inner, abs=0.2)  # what it wraps
    assert (handler - outer) / six == pytest.approx(2 / 6, rel=0.03)
    assert "series-3" not in boxes


def test_spans_show_the_shortest_part_too_and_their_scale() -> None:
    quick = Chart("spans", ("a", "b"), {"begins": (0, 1e-6), "in": (1e-6, 0), "inside": (1e3, 1e3)}, "s")
    assert boxes_of(quick)["series-0"][1][1] >= 1.5
    assert words(WAY) == [
        *("ms", "on the way in", "inside", "on the way out", "handler"),  # nobody refused
        *("0", "2.5", "5", "7.5", "10"),
        *WAY.labels,
    ]
    assert describe(WAY, "T-1") == "T-1: timeline, highest 10 ms (guard 1 ms)"


async def test_spans_become_a_picture() -> None:
    seen = await drawn(WAY, "T-1")
    assert seen.count(DARK["series-1"]) > 1000
    assert seen.edge() == {DARK["back"]}


@given(charts)
def test_every_chart_can_be_drawn_with_characters(chart: Chart) -> None:
    assert isinstance(chart_text(chart), str)  # whatever is in it, nothing is raised


def test_spans_are_drawn_with_characters_where_no_picture_can_be() -> None:
    assert chart_text(WAY).splitlines() == [
        "guard 1 ms    ████────────────────────────────────────",
        "observer 3 ms     ████████────────────────────────████",
        "handler 6 ms              ████████████████████████",
        "              0 … 10 ms",
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (1532.0, "1,532"), (15_320.0, "15.32k"), (999_960.0, "1M"), (12.5, "12.5"), (-4.0, "-4"), (-0.0, "0")],
)
def test_figures_are_short(value: float, shown: str) -> None:
    assert figure(value) == shown


def test_a_chart_is_told_in_words_too() -> None:
    chart = Chart("bar", HOURS, {"commands": tuple(float(hour) for hour in range(24))}, "per hour")
    assert describe(chart, "Today") == "Today: bar chart, highest 23 per hour (commands, 23)"
    assert describe(Chart("line", (), {})) == "Line chart, nothing to show yet"


def test_what_is_well_doubtful_and_bad_looks_the_same_everywhere() -> None:
    assert colours_of(["ok", "refused", "failed"]) == ("series-2", "series-1", "series-3")
    assert colours_of(["failed", "ok"]) == ("series-3", "series-2")
    assert colours_of(["this week", "failed", "errors"]) == ("series-0", "series-3", "series-1")


@given(st.lists(st.sampled_from(["ok", "failed", "errors", "healthy", "a", "b", "c", "d"]), unique=True))
def test_no_two_series_look_alike(names: list[str]) -> None:
    found = colours_of(names)
    assert len(set(found)) == len(found) == min(6, len(names))


def test_a_strip_has_a_cell_for_each_part_and_tells_of_what_is_not_well() -> None:
    cells: list[tuple[Tone, str]] = [("good", "all well"), ("bad", "<script>12:00: bad"), ("none", ""), ("good", "")]
    drawn = strip_svg(cells, 'the "gauge" of today')
    root = ElementTree.fromstring(drawn)
    assert root.get("aria-label") == 'the "gauge" of today'
    assert [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")] == ["<script>12:00: bad"]
    assert "all well" not in drawn
    paths = {path.get("class"): path.get("d", "").count("M") for path in root.iter("{http://www.w3.org/2000/svg}path")}
    assert paths == {"strip-good": 2, "strip-none": 1}
    assert "style=" not in drawn
    ElementTree.fromstring(strip_svg([], "nothing"))
