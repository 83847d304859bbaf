"""The system: webhooks are added, changed, tested and asked here."""

from socbot.jobs.job import Job
from socbot.storage.connection import Connection
from socbot.systems.signals import Signal
from socbot.systems.webhooks.model import Attempt, Delivery, Shown, Stats, Webhook, WebhookType


class Webhooks:
    """Webhooks, and the outbox of what is sent to them."""

    async def load(self) -> None:
        raise NotImplementedError

    async def add(self, name: str, type: WebhookType, url: str, triggers: tuple[str, ...], by: str) -> Webhook:
        """Keep a new webhook; ``triggers`` empty means all.

        :raises InvalidArgument: if the name is no name or in use, a trigger is unknown, or the URL not allowed
        """
        raise NotImplementedError

    def all(self) -> tuple[Webhook, ...]:
        """By name."""
        raise NotImplementedError

    def get(self, name: str) -> Webhook:
        """:raises InvalidArgument: if there is none of that name; it says the nearest"""
        raise NotImplementedError

    async def remove(self, name: str) -> Webhook:
        """Forget it, and what was sent or waits to be sent to it."""
        raise NotImplementedError

    async def set(self, name: str, key: str, value: str, by: str) -> tuple[str, str]:
        """Change ``triggers``, ``enabled``, ``severity``, ``secret``, ``rate`` or ``url``; what was and what is.

        Neither of a secret nor of a URL is more returned than may be shown.

        :raises InvalidArgument: if there is no such key, or it does not take the value
        """
        raise NotImplementedError

    async def test(self, name: str) -> Attempt:
        """Send a test message now; one that is accepted revives a webhook that was paused."""
        raise NotImplementedError

    async def deliveries(
        self, name: str | None = None, state: Shown | None = None, limit: int = 100, *, event: str | None = None
    ) -> tuple[Delivery, ...]:
        """Newest first; ``event`` is a signal's id."""
        raise NotImplementedError

    async def retry(self, what: str) -> int:
        """Send what is dead again: a delivery by its number, or all of a webhook's by its name; how many.

        :raises InvalidArgument: if it is neither
        """
        raise NotImplementedError

    def stats(self) -> Stats:
        raise NotImplementedError

    def jobs(self) -> tuple[Job, ...]:
        raise NotImplementedError

    def enqueue(self, connection: Connection, signal: Signal) -> None:
        """Write what is to be sent of ``signal`` and to whom, in the caller's transaction, on the store's thread."""
        raise NotImplementedError

    def wake(self) -> None:
        """Deliver what was enqueued, now that it is committed."""
        raise NotImplementedError

    @property
    def backlog(self) -> int:
        """Deliveries that wait."""
        raise NotImplementedError
