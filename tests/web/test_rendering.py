"""How facts are written on a page."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socbot.testing import FakeClock
from socbot.web.rendering import change, duration, number, percent, seconds, size, slug, sparkline, tone
from tests.web.conftest import MakeSite


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (number(12_345), "12,345"),
        (number(0.25), "0.25"),
        (number(float("nan")), "–"),
        (percent(0.5), "50%"),
        (percent(0.026), "2.6%"),
        (percent(0.0001), "<0.1%"),
        (percent(None), "–"),
        (seconds(0.000_12), "120 µs"),
        (seconds(0.003_4), "3.4 ms"),
        (seconds(1.234), "1.23 s"),
        (seconds(240), "4m"),
        (duration(183_600), "2d 3h"),
        (duration(0.5), "500 ms"),
        (size(999), "999 B"),
        (size(1_234_567), "1.23 MB"),
        (change(0.25), "+25%"),
        (change(-0.08), "-8%"),
        (change(1336.5), "1,338 times"),
        (tone("unhealthy"), "bad"),
        (tone("Anything"), "plain"),
        (slug("What got slower?"), "what-got-slower"),
    ],
)
def test_facts_are_written_as_people_read_them(written: str, expected: str) -> None:
    assert written == expected


@given(st.floats(min_value=0, max_value=1e12))
def test_every_length_and_size_has_a_unit(value: float) -> None:
    assert re.search(r"\d.*[a-zµ]", seconds(value))
    assert re.search(r"\d.*[dhms]", duration(value))
    assert re.fullmatch(r"[\d.e+]+ [kMGTP]?B", size(value))


@given(st.lists(st.floats(), max_size=40), st.text(max_size=40))
def test_a_sparkline_is_one_element_whatever_it_is_made_of(values: list[float], alt: str) -> None:
    drawn = sparkline(tuple(values), alt)
    assert drawn.count("<") == 4
    assert "nan" not in drawn.partition("<path")[2]


async def test_times_are_told_in_the_readers_zone(make_site: MakeSite, clock: FakeClock) -> None:
    async with make_site(clock=clock) as site:
        signed_in = await site.bot.access.sign_in(site.bot.access.tokens()[0])
        cookies = {"socbot_session": signed_in}
        here = await site.visitor.get("/audit", headers={"Cookie": _cookie(cookies)})
        there = await site.visitor.get("/audit", headers={"Cookie": _cookie({**cookies, "socbot_zone": "Asia/Tokyo"})})
        odd = await site.visitor.get("/audit", headers={"Cookie": _cookie({**cookies, "socbot_zone": "../etc/passwd"})})
    assert "UTC" in here.text
    assert "JST" in there.text
    assert odd.status_code == 200
    assert "UTC" in odd.text


def _cookie(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())
