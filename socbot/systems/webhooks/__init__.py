"""Webhooks: what the bot tells other systems, kept until it is delivered."""

from socbot.systems.webhooks.model import (
    TRIGGERS,
    Attempt,
    Counts,
    Delivery,
    Shown,
    Stats,
    Webhook,
    WebhookState,
    WebhookType,
)
from socbot.systems.webhooks.system import DELIVERING, Webhooks

__all__ = [
    "DELIVERING",
    "TRIGGERS",
    "Attempt",
    "Counts",
    "Delivery",
    "Shown",
    "Stats",
    "Webhook",
    "WebhookState",
    "WebhookType",
    "Webhooks",
]
