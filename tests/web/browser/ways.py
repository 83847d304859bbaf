"""The pages there are, and how one gets to them."""

import re
from collections import deque
from collections.abc import Callable
from typing import Final

import httpx

from socbot.web.rendering import NAVIGATION
from socbot.web.views import VIEWS

MENU: Final = tuple((address, name) for _, entries in NAVIGATION for address, name, _ in entries)
PATTERNS: Final = tuple(view.path for view in VIEWS)

_LINK = re.compile(r'href="(/[^"#?]*)')
_MOST = 400


def ways_to(get: Callable[[str], httpx.Response]) -> dict[str, str]:
    """For each view a page, reached by following links from the menu's pages."""
    found: dict[str, str] = {}
    seen = {address for address, _ in MENU}
    queue = deque(address for address, _ in MENU)
    while queue and len(found) < len(PATTERNS):
        path = queue.popleft()
        pattern = pattern_of(path)
        if pattern is None or (pattern in found and pattern != path):
            continue
        answer = get(path)
        if answer.status_code != 200:
            continue
        found.setdefault(pattern, path)
        links = [
            link for link in _LINK.findall(answer.text) if link not in seen and pattern_of(link) not in (None, *found)
        ]
        seen.update(links[:_MOST])
        queue.extend(links[:_MOST])
    return found


def pattern_of(path: str) -> str | None:
    """The view that a path is a page of."""
    if path in PATTERNS:
        return path
    return next((each for each in PATTERNS if "{" in each and re.fullmatch(_expression(each), path)), None)


def _expression(pattern: str) -> str:
    return "/".join("[^/]+" if part.startswith("{") else re.escape(part) for part in pattern.split("/"))
