"""Somebody with a browser, who takes note of everything that goes wrong in it."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Page, Request, Response

CHROMIUM: Final = "/usr/bin/chromium"
ARGUMENTS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip

DESKTOP: Final[dict[str, Any]] = {"viewport": {"width": 1440, "height": 900}}
PHONE: Final[dict[str, Any]] = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}

_WATCH = """
window.shift = 0;
new PerformanceObserver(list => {
  for (const each of list.getEntries()) if (!each.hadRecentInput) window.shift += each.value;
}).observe({ type: "layout-shift", buffered: true });
document.addEventListener("securitypolicyviolation", event =>
  console.error("policy: " + event.violatedDirective + " " + event.blockedURI));
"""


class Visitor:
    """A page of a browser at the dashboard.

    :ivar faults: what the browser complained of, and what it asked other hosts for
    """

    def __init__(self, page: Page, address: str, host: str) -> None:
        self.page, self.address, self._host = page, address, host
        self.faults: list[str] = []
        page.add_init_script(_WATCH)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", self._request)
        page.on("dialog", self._dialog)

    def go(self, path: str) -> Response:
        """Open a page, and wait until all of it is there."""
        response = self.page.goto(self.address + path)
        assert response is not None
        assert response.status == 200, f"{path}: {response.status}"
        return response

    @property
    def path(self) -> str:
        return urlsplit(self.page.url).path

    @property
    def shift(self) -> float:
        """How far what was there moved when more came, as browsers measure it."""
        return float(self.page.evaluate("window.shift"))

    @property
    def is_wider_than_the_screen(self) -> bool:
        root = "document.documentElement"
        return bool(self.page.evaluate(f"{root}.scrollWidth > {root}.clientWidth"))

    def sees(self) -> str:
        """The text of the page."""
        return self.page.inner_text("body")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.netloc != self._host and url.scheme not in ("data", "about"):
            self.faults.append(f"asked {url.netloc}")

    def _dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()


def sign_in(page: Page, address: str, token: str) -> None:
    page.goto(address + "/login")
    page.fill("#token", token)
    page.click("button.primary")
    page.wait_for_selector("nav.side", state="attached")


def told(violations: Sequence[dict[str, Any]]) -> list[str]:
    """What axe found, in one line each."""
    return [
        f"{each['id']} ({each['impact']}): {node['target']} {node['html'][:160]}"
        for each in violations
        for node in each["nodes"]
    ]
