"""Addresses as they may be shown: whose they are, and enough to tell two of them apart."""

import re

_DISCORD = re.compile(r"/api/(?:v\d{1,3}/)?webhooks/\d+/.+")
_SLACK = re.compile(r"/(services|workflows|triggers)/.+")
_SHORTEST = 16
"""Characters that the end of an address has to have for the last four of them to tell nothing."""


def mask(url: str) -> str:
    """``https://discord.com/api/webhooks/…/…1a2b``; never raises, whatever ``url`` is."""
    from socbot.egress.errors import Blocked
    from socbot.egress.policy import split

    try:
        target = split(url)
    except Blocked:
        return _unknown(url)
    return f"{target.scheme}://{target.netloc}{_path(target.path)}"


def _path(path: str) -> str:
    if path == "/":
        return ""
    if _DISCORD.fullmatch(path):
        return f"/api/webhooks/…/…{_end(path)}"
    if found := _SLACK.fullmatch(path):
        return f"/{found[1]}/…/…{_end(path)}"
    return f"/…{_end(path)}"


def _end(path: str) -> str:
    last = re.split(r"[/?&=]", path)[-1]
    return last[-4:] if len(last) >= _SHORTEST else ""


def _unknown(url: str) -> str:
    """Of another service's address, in which even the host may be a secret, no more than its scheme."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]{0,19})://", url)
    return f"{found[1].lower()}://…" if found else "…"
