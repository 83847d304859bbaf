"""What somebody does in front of the dashboard: signing in and out, acting, and watching it change."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from socbot.demo.people import PLATFORM, SPAMMERS
from tests.played import Shown
from tests.web.browser.conftest import Look
from tests.web.browser.visiting import DESKTOP, sign_in

pytestmark = pytest.mark.slow

SOON = 15_000


@pytest.fixture
def viewer(shown: Shown) -> Iterator[str]:
    """The token of somebody who may look."""
    yield shown.ask(shown.bot.access.add, "a-viewer", "viewer", "test")
    shown.ask(shown.bot.access.remove, "a-viewer")


def test_signing_in_and_out(shown: Shown, look: Look) -> None:
    with look(storage_state=None) as visitor:
        page = visitor.page
        page.goto(shown.address + "/health")
        assert visitor.path == "/login"
        page.fill("#token", "not a token of this bot")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("That is no token of this bot.")
        visitor.faults.clear()  # the browser reports the 401
        page.fill("#token", shown.token)
        page.keyboard.press("Enter")
        page.wait_for_url("**/health")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/login")
        page.goto(shown.address + "/health")
        assert visitor.path == "/login"
        assert visitor.faults == []


def test_who_may_only_look_has_no_buttons(
    shown: Shown, viewer: str, browser: Browser, addresses: dict[str, str]
) -> None:
    context = browser.new_context(**DESKTOP)
    page = context.new_page()
    sign_in(page, shown.address, viewer)
    seen = 0
    for path in addresses.values():
        answer = page.goto(shown.address + path)
        assert answer is not None
        seen += answer.status == 200
        assert page.locator("main form[method=post]").count() == 0, path
    assert seen > 10
    context.close()


def test_an_entry_of_the_blacklist_is_lifted(shown: Shown, look: Look) -> None:
    name = SPAMMERS[1]
    with look() as visitor:
        page = visitor.page
        visitor.go(f"/abuse/{PLATFORM}/user/{name}")
        page.get_by_role("button", name="Take off the blacklist").click()
        expect(page.get_by_role("status").or_(page.get_by_role("alert")).first).to_contain_text(name)
        assert visitor.path == f"/abuse/{PLATFORM}/user/{name}"
        expect(page.get_by_role("button", name="Take off the blacklist")).to_have_count(0)
        assert visitor.faults == []
    assert name not in {entry.id for entry in shown.ask(shown.bot.blacklist.entries)}


def test_what_cannot_be_undone_is_asked_first(shown: Shown, browser: Browser, look: Look) -> None:
    spare = shown.ask(shown.bot.access.add, "spare", "viewer", "test")
    other = browser.new_context(**DESKTOP)
    sign_in(other.new_page(), shown.address, spare)
    with look() as visitor:
        page = visitor.page
        for answer, left in (("No", 1), ("Yes, do it", 0)):
            visitor.go("/access")
            take_away = page.locator("tr", has_text="spare").get_by_role("button", name="Take away")
            take_away.click()
            expect(page.locator("#question")).to_contain_text("spare")
            page.get_by_role("button", name=answer).click()
            page.wait_for_url("**/access*")
            expect(page.locator("main tr", has_text="spare").get_by_role("button")).to_have_count(left)
        assert visitor.faults == []
    other.pages[0].goto(shown.address + "/")
    assert other.pages[0].url.startswith(shown.address + "/login")
    other.close()


def test_the_log_goes_on_by_itself(shown: Shown, look: Look) -> None:
    with look() as visitor:
        visitor.go("/logs")
        line = "read the station lighthouse"
        page = visitor.page
        page.wait_for_function("document.getElementById('tail-state').textContent !== ''", timeout=SOON)
        before = page.locator(".line", has_text=line).count()
        shown.ask(shown.demo.stage.says, "!weather lighthouse", "user-39")
        expect(page.locator(".line", has_text=line)).to_have_count(before + 1, timeout=SOON)
        assert visitor.faults == []


def test_what_has_the_focus_stays_while_the_page_refreshes(shown: Shown, look: Look) -> None:
    with look() as visitor:
        visitor.go("/")
        page = visitor.page
        first = page.locator("[data-live] a").first
        first.focus()
        page.evaluate("window.focused = document.activeElement")
        with page.expect_response(lambda response: response.url == page.url, timeout=SOON):
            pass
        page.wait_for_timeout(200)
        assert page.evaluate("window.focused === document.activeElement && window.focused.isConnected")
        assert visitor.faults == []


def test_numbers_change_without_a_reload(shown: Shown, look: Look) -> None:
    with look() as visitor:
        visitor.go("/traces")
        page = visitor.page
        page.evaluate("window.same = true")
        shown.ask(shown.demo.stage.says, "!coin", "user-38")
        expect(page.locator("main")).to_contain_text("user-38", timeout=SOON)
        assert page.evaluate("window.same")
