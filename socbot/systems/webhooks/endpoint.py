"""A webhook at work: what is stored of it, its address opened, and how its deliveries go."""

from collections.abc import Callable

import anyio
import msgspec
from msgspec import Struct, structs

from socbot.dispatch.replies import Reply
from socbot.sealing import Seal, Unreadable
from socbot.systems.signals import Severity
from socbot.systems.webhooks.model import Webhook, WebhookState, WebhookType

Keyring = Callable[[], Seal | None]
"""The seal; None if there is no key."""


class Row(Struct, frozen=True):
    """A webhook as it is stored, its address and its secrets sealed."""

    name: str
    type: WebhookType
    address: str
    masked: str
    triggers: tuple[str, ...]
    severity: Severity
    enabled: bool
    secrets: str
    rate: float
    created_by: str
    created_at: float
    state: WebhookState = "active"
    state_reason: str = ""
    failing_since: float | None = None
    sent: int = 0
    failed: int = 0
    dropped: int = 0
    last_at: float | None = None
    last_answer: str = ""


class Endpoint:
    """:ivar row: as it is, before what changed by deliveries is stored
    :ivar due: when deliveries that failed may be tried again, on the clock that never steps, by their number
    :ivar failing_from: ``failing_since`` on that clock, if it began since the start
    :ivar poked: something new waits
    :ivar changed: it is not as it was, so that everything is to be decided anew
    :ivar parked: its owner has been told that it asks for a long silence
    :ivar newest: the newest that waited at the last look at the store, and how many did
    :ivar news: what its owner is to be told of it
    """

    def __init__(self, row: Row, keyring: Keyring) -> None:
        self.row = row
        self._keyring = keyring
        self._opened: dict[str, str | None] = {}
        self.waiting = self.dead = 0
        self.newest = (0, 0)
        self.due: dict[int, float] = {}
        self.failing_from: float | None = None
        self.last_try = self.open_at = float("-inf")
        self.poked, self.changed = anyio.Event(), anyio.Event()
        self.news: Reply | None = None
        self.parked = False
        self.scope: anyio.CancelScope | None = None
        self.sending: anyio.CancelScope | None = None

    def change(self, **values: object) -> None:
        self.row = structs.replace(self.row, **values)

    def poke(self) -> None:
        self.poked.set()

    def reconsider(self) -> None:
        self.changed.set()
        self.poked.set()

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def type(self) -> WebhookType:
        return self.row.type

    @property
    def works(self) -> bool:
        """Whether anything is sent to it now."""
        return self.row.enabled and self.row.state == "active" and self.address is not None

    @property
    def address(self) -> str | None:
        """None if it cannot be read."""
        return self._open(self.row.address, address_of(self.name))

    @property
    def secrets(self) -> tuple[str, ...]:
        """What signs, newest first."""
        opened = self._open(self.row.secrets, secrets_of(self.name)) if self.row.secrets else None
        return msgspec.json.decode(opened, type=tuple[str, ...]) if opened else ()

    def forget_key(self) -> None:
        """The key may be another one now."""
        self._opened.clear()

    def _open(self, sealed: str, place: str) -> str | None:
        if sealed not in self._opened:
            seal = self._keyring()
            self._opened = {
                kept: self._opened[kept] for kept in (self.row.address, self.row.secrets) if kept in self._opened
            }
            self._opened[sealed] = None if seal is None else _opened(seal, sealed, place)
        return self._opened[sealed]

    def shown(self) -> Webhook:
        row = self.row
        return Webhook(
            row.name, row.type, row.masked, row.triggers, row.severity, row.enabled, row.rate, row.created_by,
            row.created_at, len(self.secrets), self.address is not None, row.state, row.state_reason,
            row.failing_since, row.sent, row.failed, self.waiting, self.dead, row.dropped, row.last_at, row.last_answer,
        )  # fmt: skip


def _opened(seal: Seal, sealed: str, place: str) -> str | None:
    try:
        return seal.open(sealed, place)
    except Unreadable:
        return None


def address_of(name: str) -> str:
    """The place that an address is sealed for."""
    return f"webhook {name} address"


def secrets_of(name: str) -> str:
    return f"webhook {name} secrets"
