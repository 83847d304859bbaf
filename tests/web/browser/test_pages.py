"""Every page in a real browser: whole, quiet, readable by everybody, and from nowhere else."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.played import Shown
from tests.web.browser.conftest import Look
from tests.web.browser.visiting import PHONE, told
from tests.web.browser.ways import MENU, PATTERNS

pytestmark = pytest.mark.slow

HEAVIEST = 300_000
SHIFT = 0.02

_CHART = re.compile(r"<svg[^>]*class=\"[^\"]*chart.*?</svg>", re.DOTALL)


@pytest.fixture(params=PATTERNS)
def path(request: pytest.FixtureRequest, addresses: dict[str, str]) -> str:
    """Of a page of each view."""
    assert request.param in addresses, "no link leads there"
    return addresses[request.param]


def test_nothing_is_wrong_with_it(path: str, look: Look) -> None:
    with look() as visitor:
        text = visitor.go(path).text()
        visitor.page.wait_for_timeout(300)
        assert visitor.faults == []
        assert len(_CHART.sub("", text).encode()) < HEAVIEST
        assert visitor.shift < SHIFT
        assert visitor.page.locator("h1").count() == 1


def test_it_is_whole_without_scripts_on_a_phone(path: str, look: Look) -> None:
    with look(**PHONE) as visitor:
        visitor.go(path)
        assert not visitor.is_wider_than_the_screen
        headings = visitor.page.locator("h1, h2").all_inner_texts()
    with look(**PHONE, java_script_enabled=False) as visitor:
        visitor.go(path)
        assert visitor.page.locator("h1, h2").all_inner_texts() == headings


def test_everybody_can_use_it(path: str, look: Look) -> None:
    with look() as visitor:
        visitor.go(path)
        for theme in ("light", "dark"):
            visitor.page.emulate_media(color_scheme=theme)
            violations = Axe().run(visitor.page).response["violations"]
            assert told([each for each in violations if each["impact"] in ("serious", "critical")]) == [], theme


@pytest.mark.parametrize(("address", "name"), MENU)
def test_the_keyboard_gets_there_from_the_menu(address: str, name: str, look: Look) -> None:
    with look() as visitor:
        visitor.go("/")
        page = visitor.page
        for _ in range(60):
            page.keyboard.press("Tab")
            if (
                page.evaluate("document.activeElement.closest('nav.side') && document.activeElement.textContent.trim()")
                == name
            ):
                break
        page.keyboard.press("Enter")
        page.wait_for_url(f"**{address}")
        assert page.locator("nav.side [aria-current=page]").inner_text().strip() == name


def test_times_are_the_readers(shown: Shown, look: Look) -> None:
    with look(timezone_id="Asia/Kolkata") as visitor:
        visitor.go("/traces")
        visitor.go("/traces")  # the first visit tells the zone
        assert visitor.faults == []
        moment = visitor.page.locator("main time").first
        written, title = moment.get_attribute("datetime"), moment.get_attribute("title")
        assert written is not None
        assert title is not None
        there = visitor.page.evaluate(
            "text => new Date(text).toLocaleTimeString('sv', {timeZone: 'Asia/Kolkata'})", written
        )
        assert there in title
        assert "IST" in title
