"""Takes README's pictures, of a demo that was just played: ``python -m tests.web.browser.pictures``."""

import sys
from pathlib import Path
from typing import Any, Final, Literal

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from socbot.demo import Options
from tests.played import Shown, showing
from tests.web.browser.visiting import ARGUMENTS, CHROMIUM, sign_in
from tests.web.browser.ways import ways_to

FOLDER: Final = Path(__file__).parents[3] / "docs" / "pictures"

WIDE: Final[dict[str, Any]] = {"viewport": {"width": 1280, "height": 800}}
NARROW: Final[dict[str, Any]] = {"viewport": {"width": 390, "height": 800}}


def main(folder: Path = FOLDER) -> None:
    """Take them all."""
    folder.mkdir(parents=True, exist_ok=True)
    with showing(Options()) as shown, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        take(shown, browser, folder)
        browser.close()


def take(shown: Shown, browser: Browser, folder: Path) -> None:
    """Take the pictures of what is shown."""
    ways = ways_to(shown.get)
    pictures: dict[str, tuple[str, Literal["light", "dark"], dict[str, Any]]] = {
        "overview-light": ("/", "light", WIDE),
        "overview-dark": ("/", "dark", WIDE),
        "trace": (_slow_trace(shown), "light", WIDE),
        "errors": ("/errors", "dark", WIDE),
        "phone": ("/health", "dark", NARROW),
    }
    for name, (path, theme, size) in pictures.items():
        context = browser.new_context(color_scheme=theme, bypass_csp=True, **size)
        page = context.new_page()
        sign_in(page, shown.address, shown.token)
        page.goto(shown.address + ways.get(path, path))
        page.add_style_tag(content="html { scrollbar-gutter: auto }")  # a picture scrolls nowhere
        page.screenshot(path=folder / f"{name}.png")
        _make_small(folder / f"{name}.png")
        context.close()


def _make_small(path: Path) -> None:
    with Image.open(path) as image:
        image.convert("RGB").save(path, optimize=True)


def _slow_trace(shown: Shown) -> str:
    """The page of a run that took long: there is most to see in its way."""
    runs = shown.facts("/performance")["slow"]
    return f"/traces/{runs[0]['trace_id']}"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
