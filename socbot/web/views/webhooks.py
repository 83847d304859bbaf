"""The webhooks: what the bot could not tell other systems, what waits, and how each of them answers."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct

from socbot.dispatch.errors import InvalidArgument
from socbot.systems.signals import Severity
from socbot.systems.webhooks import Delivery, Shown, Webhook, WebhookType
from socbot.web.host import Host
from socbot.web.view import NotFound, View, Viewer

MOST = 50
MOST_DEAD = 10

STATES: tuple[tuple[str, str], ...] = (
    ("", "all"),
    ("waiting", "waiting"),
    ("failed", "failed"),
    ("dead", "dead"),
    ("delivered", "delivered"),
)

Standing: TypeAlias = Literal["active", "failing", "paused", "off", "unreadable"]


class WebhookFacts(Struct, frozen=True):
    """One webhook, without its secrets. Moments are seconds since 1970.

    :param address: masked
    :param triggers: what is sent to it
    :param severity: the least that is sent
    :param rate: messages a second at most; 0 for no bound of its own
    :param signed: how many secrets sign what is sent
    :param standing: ``unreadable`` if its address cannot be opened with the key that is there
    :param reason: why it is paused
    :param failing_since: when the failures began that no success has followed
    :param sent: messages that were accepted
    :param failed: tries that were not
    :param success_rate: of all tries, from 0 to 1; None before the first
    :param waiting: deliveries that are still to be made
    :param dead: deliveries that were given up, and can be sent again
    :param dropped: deliveries that were dropped because too many waited
    """

    name: str
    type: WebhookType
    address: str
    triggers: tuple[str, ...]
    severity: Severity
    rate: float
    signed: int
    standing: Standing
    reason: str
    failing_since: float | None
    sent: int
    failed: int
    success_rate: float | None
    waiting: int
    dead: int
    dropped: int
    last_at: float | None
    last_answer: str
    created_by: str
    created_at: float


class DeliveryFacts(Struct, frozen=True):
    """One signal on its way to one webhook. Moments are seconds since 1970.

    :param kind: of the signal, such as ``error`` or ``backup``
    :param signal: its id
    :param next_at: when it is tried next; 0 for as soon as it can be; None if it is not
    :param attempts: tries so far
    :param last_status: of HTTP; 0 if there was no answer
    :param reason: why it waits or is dead
    """

    id: int
    webhook: str
    kind: str
    severity: Severity
    title: str
    signal: str
    state: str
    at: float
    next_at: float | None
    attempts: int
    last_at: float | None
    last_status: int
    last_answer: str
    reason: str


class Query(Struct, frozen=True):
    """Which deliveries.

    :param webhook: its name; of all if empty
    :param state: ``failed`` are those whose last try failed, dead or not; all if empty
    :param before: those with a number lower than this; the newest if None
    """

    webhook: Annotated[str, Meta(max_length=64)] = ""
    state: Literal["", "waiting", "delivered", "dead", "failed"] = ""
    before: Annotated[int, Meta(ge=1)] | None = None


class Webhooks(Struct, frozen=True):
    """Every webhook, what is dead, and what was sent.

    :param enabled: whether anything is sent at all (``webhooks.enabled``)
    :param webhooks: by name
    :param dead: the newest deliveries that were given up
    :param deliveries: those that were asked for, newest first
    :param older: the number before which to go on; None once there are no more
    """

    enabled: bool
    webhooks: tuple[WebhookFacts, ...]
    dead: tuple[DeliveryFacts, ...]
    deliveries: tuple[DeliveryFacts, ...]
    older: int | None = None


async def read(host: Host, query: Query, viewer: Viewer) -> Webhooks:
    webhooks = tuple(map(_webhook, host.webhooks.all()))
    if query.webhook and query.webhook.lower() not in {each.name for each in webhooks}:
        raise NotFound("webhook", query.webhook)
    dead = await host.webhooks.deliveries(state="dead", limit=MOST_DEAD) if any(each.dead for each in webhooks) else ()
    page, older = await _page(host, query.webhook or None, query.state or None, query.before)
    return Webhooks(host.config.webhooks.enabled, webhooks, tuple(map(_delivery, dead)), page, older)


async def _page(
    host: Host, name: str | None, state: Shown | None, before: int | None
) -> tuple[tuple[DeliveryFacts, ...], int | None]:
    found = await host.webhooks.deliveries(name, state, MOST + 1, before=before)
    page = tuple(map(_delivery, found[:MOST]))
    return page, page[-1].id if len(found) > MOST else None


def _webhook(webhook: Webhook) -> WebhookFacts:
    return WebhookFacts(
        webhook.name,
        webhook.type,
        webhook.address,
        webhook.triggers,
        webhook.severity,
        webhook.rate,
        webhook.signed,
        _standing(webhook),
        webhook.state_reason,
        webhook.failing_since,
        webhook.sent,
        webhook.failed,
        webhook.success_rate,
        webhook.waiting,
        webhook.dead,
        webhook.dropped,
        webhook.last_at,
        webhook.last_answer,
        webhook.created_by,
        webhook.created_at,
    )


def _standing(webhook: Webhook) -> Standing:
    if not webhook.readable:
        return "unreadable"
    if not webhook.enabled:
        return "off"
    if webhook.state == "paused":
        return "paused"
    return "active" if webhook.failing_since is None else "failing"


def _delivery(delivery: Delivery) -> DeliveryFacts:
    event = delivery.event
    return DeliveryFacts(
        delivery.id,
        delivery.webhook,
        event.kind,
        event.severity,
        event.title,
        event.id,
        delivery.state,
        delivery.at,
        delivery.next_at if delivery.state == "waiting" else None,
        delivery.attempts,
        delivery.last_at,
        delivery.last_status,
        delivery.last_answer,
        delivery.reason,
    )


def _shape(result: Webhooks, query: Query, viewer: Viewer) -> Mapping[str, Any]:
    hooks = result.webhooks
    return {
        "states": STATES,
        "dead_in_all": sum(each.dead for each in hooks),
        "waiting_in_all": sum(each.waiting for each in hooks),
        "troubled": [each for each in hooks if each.standing in ("failing", "paused", "unreadable")],
        "tries": sum(each.sent + each.failed for each in hooks),
        "accepted": sum(each.sent for each in hooks),
    }


# -- one webhook --------------------------------------------------------------------------------------


class OneQuery(Struct, frozen=True):
    """Which webhook, and which of its deliveries.

    :param name: of the webhook
    :param state: ``failed`` are those whose last try failed, dead or not; all if empty
    :param before: those with a number lower than this; the newest if None
    """

    name: str
    state: Literal["", "waiting", "delivered", "dead", "failed"] = ""
    before: Annotated[int, Meta(ge=1)] | None = None


class OneWebhook(Struct, frozen=True):
    """One webhook, and what was sent to it.

    :param deliveries: those that were asked for, newest first
    :param older: the number before which to go on; None once there are no more
    """

    webhook: WebhookFacts
    deliveries: tuple[DeliveryFacts, ...]
    older: int | None = None


async def read_one(host: Host, query: OneQuery, viewer: Viewer) -> OneWebhook:
    try:
        webhook = _webhook(host.webhooks.get(query.name))
    except InvalidArgument:
        raise NotFound("webhook", query.name) from None
    return OneWebhook(webhook, *await _page(host, webhook.name, query.state or None, query.before))


VIEWS: tuple[View[Any, Any], ...] = (
    View("/webhooks", "Webhooks", Query, Webhooks, read, "webhooks.html", shape=_shape),
    View(
        "/webhooks/{name}",
        "Webhook",
        OneQuery,
        OneWebhook,
        read_one,
        "webhook.html",
        shape=lambda result, query, viewer: {"states": STATES},
    ),
)
