"""Delivery through Apprise, which knows a hundred services more.

It makes its own requests: the rules for addresses do not hold for them, so that it is switched on in config.yaml.
"""

import logging
from collections.abc import Sequence
from typing import Any

import anyio
import anyio.to_thread

from socbot.dispatch.errors import InvalidArgument
from socbot.systems.signals import Signal
from socbot.systems.webhooks import payloads

_LEVELS = {"apprise": logging.INFO, "urllib3": logging.ERROR}
"""Below which they write down addresses, which are secrets."""

MOST = 4
"""Requests at once; one that does not come back holds its thread until it does."""


class AppriseLibrary:
    """:param timeout: seconds for one notification in all"""

    def __init__(self, *, enabled: bool, timeout: float) -> None:
        self.enabled, self.timeout = enabled, timeout
        self._threads: anyio.CapacityLimiter | None = None

    async def check(self, url: str) -> None:
        """
        :raises InvalidArgument: if it is switched off, not installed, or does not know such an address
        """
        if not self.enabled:
            raise InvalidArgument("type", "apprise", "switched on: set webhooks.apprise in config.yaml first")
        try:
            known = await anyio.to_thread.run_sync(_is_known, url)
        except ImportError:
            raise InvalidArgument("type", "apprise", "installed: pip install 'socbot[apprise]'") from None
        if not known:
            raise InvalidArgument("url", "…", "an address that Apprise knows, such as ntfys://ntfy.sh/topic")

    async def notify(self, address: str, signals: Sequence[Signal]) -> str:
        """What went wrong; nothing if it was taken."""
        if not self.enabled:
            return "Apprise is switched off by webhooks.apprise in config.yaml"
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(MOST)
        try:
            with anyio.fail_after(self.timeout):
                taken = await anyio.to_thread.run_sync(
                    _notify, address, signals, abandon_on_cancel=True, limiter=self._threads
                )
        except TimeoutError:
            return f"no answer within {self.timeout:g} s"
        except ImportError:
            return "Apprise is not installed: pip install 'socbot[apprise]'"
        return "" if taken else "the service did not take it"


def _is_known(url: str) -> bool:
    return bool(_library().Apprise().add(url))


def _library() -> Any:
    import apprise

    for name, level in _LEVELS.items():
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(level)
    return apprise


def _notify(address: str, signals: Sequence[Signal]) -> bool:
    apprise = _library()
    title, body = payloads.plain(signals)
    service = apprise.Apprise()
    if not service.add(address):
        return False
    return bool(service.notify(body=body, title=title, notify_type=_kind(apprise, signals), interpret_escapes=False))


def _kind(apprise: Any, signals: Sequence[Signal]) -> Any:
    worst = {signal.severity for signal in signals if signal.kind not in ("drill", "test")}
    if "critical" in worst:
        return apprise.NotifyType.FAILURE
    return apprise.NotifyType.WARNING if "warning" in worst else apprise.NotifyType.INFO
