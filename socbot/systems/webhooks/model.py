"""What is known of a webhook, of what is sent to it, and of how that went."""

from typing import Literal, TypeAlias

from msgspec import Struct

from socbot.systems.signals import Severity, Signal

WebhookType: TypeAlias = Literal["discord", "slack", "custom", "apprise"]
WebhookState: TypeAlias = Literal["active", "paused"]
DeliveryState: TypeAlias = Literal["waiting", "delivered", "dead"]
Shown: TypeAlias = Literal["waiting", "delivered", "dead", "failed"]
"""What deliveries can be asked for: ``failed`` are those whose last try failed, dead or not."""

TRIGGERS = ("error", "alert", "drill", "incident", "health", "backup", "job", "security", "all")

UNREADABLE = "its address cannot be read with the key that is there; set it again"


class Webhook(Struct, frozen=True):
    """A webhook as it may be shown. Moments are seconds since 1970.

    :param address: masked
    :param severity: the least that is sent
    :param rate: messages a second at most; 0 for no bound of its own
    :param signed: how many secrets sign what is sent
    :param readable: False if the key that sealed the address is not there any more
    :param failing_since: when the failures began that no success has followed
    """

    name: str
    type: WebhookType
    address: str
    triggers: tuple[str, ...]
    severity: Severity
    enabled: bool
    rate: float
    created_by: str
    created_at: float
    signed: int = 0
    readable: bool = True
    state: WebhookState = "active"
    state_reason: str = ""
    failing_since: float | None = None
    sent: int = 0
    failed: int = 0
    waiting: int = 0
    dead: int = 0
    dropped: int = 0
    last_at: float | None = None
    last_answer: str = ""

    @property
    def success_rate(self) -> float | None:
        """Of all tries, from 0 to 1; None before the first."""
        tries = self.sent + self.failed
        return self.sent / tries if tries else None


class Delivery(Struct, frozen=True):
    """One signal on its way to one webhook.

    :param next_at: when it is tried next; 0 for as soon as it can be
    :param last_status: of HTTP; 0 if there was no answer
    :param message_id: of what was delivered, where it can be edited; on type custom, the id that is sent
    :param reason: why it waits or is dead
    """

    id: int
    webhook: str
    event: Signal
    state: DeliveryState
    at: float
    next_at: float = 0.0
    attempts: int = 0
    last_at: float | None = None
    last_status: int = 0
    last_answer: str = ""
    message_id: str = ""
    reason: str = ""


class Attempt(Struct, frozen=True):
    """How one request went.

    :param status: of HTTP; 0 if there was no answer
    :param answer: what was answered, or why there was no answer; inert, without secrets
    :param revived: the webhook had been paused, and is not any more
    """

    delivered: bool
    status: int
    answer: str
    seconds: float
    revived: bool = False


class Counts(Struct, frozen=True):
    """Tries that were accepted and that were not; deliveries that wait, are dead, or were dropped as too many."""

    sent: int = 0
    failed: int = 0
    waiting: int = 0
    dead: int = 0
    dropped: int = 0

    @property
    def success_rate(self) -> float | None:
        """Of all tries, from 0 to 1; None before the first."""
        tries = self.sent + self.failed
        return self.sent / tries if tries else None


class Stats(Struct, frozen=True):
    """In all, and by the webhook's name."""

    total: Counts
    each: dict[str, Counts]
