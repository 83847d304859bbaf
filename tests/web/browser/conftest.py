"""A real browser before a dashboard that has a day to show."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from socbot.demo import Options
from tests.played import Shown, showing
from tests.web.browser.visiting import ARGUMENTS, CHROMIUM, DESKTOP, Visitor, sign_in
from tests.web.browser.ways import ways_to

Look: TypeAlias = Callable[..., AbstractContextManager[Visitor]]


@pytest.fixture(scope="session")
def shown() -> Iterator[Shown]:
    with showing(Options(days=1)) as shown:
        yield shown


@pytest.fixture(scope="module")  # not longer: while it runs, this thread's event loop is Playwright's
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def cookies(shown: Shown, browser: Browser) -> Any:
    """Of a browser that is signed in as the owner."""
    context = browser.new_context(**DESKTOP)
    sign_in(context.new_page(), shown.address, shown.token)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture(scope="session")
def addresses(shown: Shown) -> dict[str, str]:
    """Of each view, a page that there is: those of single things are found by the links that lead there."""
    return ways_to(shown.get)


@pytest.fixture
def look(shown: Shown, browser: Browser, cookies: Any) -> Look:
    """Look at the dashboard: ``with look(**options of the browser) as visitor``."""

    @contextmanager
    def looking(**options: Any) -> Iterator[Visitor]:
        context: BrowserContext = browser.new_context(**{"storage_state": cookies, **DESKTOP, **options})
        page: Page = context.new_page()
        try:
            yield Visitor(page, shown.address, urlsplit(shown.address).netloc)
        finally:
            context.close()

    return looking
