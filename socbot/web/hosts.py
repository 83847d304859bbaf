"""Hosts: under which names the server answers, so that no page of a stranger's can reach it under a name of theirs.

A name that its owner points at this machine (DNS rebinding) is a name that nobody here has chosen. Addresses cannot be
pointed anywhere: where others may reach the server, any of them will do.
"""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from socbot.config import WebConfig

_LOCAL: Final = frozenset(("localhost", "127.0.0.1", "::1"))
_HOST: Final = re.compile(r"[\w.-]{1,253}(:\d{1,5})?|\[[0-9a-fA-F:.]{2,45}\](:\d{1,5})?", re.ASCII)


def is_known(header: str, config: WebConfig) -> bool:
    """Whether what a Host header says is a name of this server's."""
    if not _HOST.fullmatch(header):
        return False
    name = _name(f"//{header}")
    if name in (_LOCAL | {_bare(config.host), _name(config.url)}) - {""}:
        return True
    return not config.is_local and _is_address(name)


def is_own(origin: str, header: str, config: WebConfig) -> bool:
    """Whether a page of ``origin`` is one of ours, asked for under the Host ``header``."""
    parts = urlsplit(origin)
    if config.url and origin == "{0.scheme}://{0.netloc}".format(urlsplit(config.url)).lower():
        return True
    return parts.scheme in ("http", "https") and parts.netloc.lower() == header.lower()


def shown(host: str) -> str:
    """``host`` as an address names it; one that stands for every address of this machine is this machine."""
    bare = _bare(host)
    if _is_address(bare) and ip_address(bare).is_unspecified:
        return "127.0.0.1"
    return f"[{bare}]" if ":" in bare else bare


def _name(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _bare(host: str) -> str:
    return host.strip("[]").lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
