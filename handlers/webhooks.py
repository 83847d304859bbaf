"""The webhooks' commands."""

from typing import Annotated, Literal

from msgspec import Meta

from socbot.dispatch.arguments import Completes, Rest, Secret
from socbot.dispatch.commands import command
from socbot.dispatch.context import Confirm, Context
from socbot.dispatch.errors import WITHHELD, InvalidArgument
from socbot.dispatch.replies import Field, Reply, author, escape, moment
from socbot.systems.links import Links
from socbot.systems.webhooks import Counts, Delivery, Shown, Webhook, Webhooks, WebhookType

# An address that stands in the place of the name is refused before anybody repeats it.
_NAME = r"^[\w-]{1,64}$"
Name = Annotated[str, Meta(description="a webhook's name", pattern=_NAME, examples=["ops"]), Completes("webhook")]
NewName = Annotated[str, Meta(description="a name of letters, digits, - and _", pattern=_NAME, examples=["ops"])]
Url = Annotated[
    str, Meta(description="the address, https://…", max_length=2_000, examples=["https://example.org/hook"]), Secret()
]
Trigger = Literal["all", "error", "alert", "drill", "incident", "health", "backup", "job", "security"]
Key = Literal["triggers", "enabled", "severity", "rate", "secret", "url"]
Value = Annotated[Rest, Meta(description="the new value", max_length=2_000), Secret()]
NameOrState = Annotated[
    str,
    Meta(description="a webhook's name, or failed, waiting, dead", max_length=64, examples=["ops"]),
    Completes("webhook"),
]

_STATES: dict[str, Shown] = {"failed": "failed", "waiting": "waiting", "dead": "dead", "delivered": "delivered"}
_TONES = {"waiting": "⏳", "delivered": "✅", "dead": "❌"}


@command("add_webhook", permission="owner", group="webhooks", private=True)
async def add_webhook(
    ctx: Context, webhooks: Webhooks, name: NewName, type: WebhookType, url: Url, *triggers: Trigger
) -> Reply:
    """Tell another system what happens: of everything, or of the triggers that are named.

    The address is kept sealed and never shown again; a message that held it is deleted where the bot may.
    """
    added = await webhooks.add(name, type, url, triggers, _author(ctx))
    return Reply(
        f"`{ctx.prefix}test_webhook {escape(added.name, 64)}` tries it.",
        "Webhook added",
        _facts(added, ctx.message.platform),
        tone="ok",
    )


@command("list_webhooks", permission="owner", group="webhooks")
async def list_webhooks(ctx: Context, webhooks: Webhooks, links: Links) -> Reply:
    """Every webhook: type, triggers, state, how often it was reached, and when last."""
    known = webhooks.all()
    if not known:
        return Reply(f"There are none. `{ctx.prefix}add_webhook` adds one.", "Webhooks")
    items = tuple(_line(each) for each in known)
    return Reply(title=f"Webhooks: {len(known)}", fields=links.field("webhooks"), items=items)


@command("webhook_info", permission="owner", group="webhooks")
async def webhook_info(ctx: Context, webhooks: Webhooks, links: Links, name: Name) -> Reply:
    """All that is known of one webhook, but its secrets."""
    webhook = webhooks.get(name)
    tone: Literal["info", "warn"] = "info" if _is_well(webhook) else "warn"
    title = f"Webhook {escape(webhook.name, 64)}"
    fields = (*_facts(webhook, ctx.message.platform), *links.field("webhooks", webhook.name))
    return Reply(title=title, fields=fields, tone=tone)


@command("webhook_config", permission="owner", group="webhooks", private=True)
async def webhook_config(
    ctx: Context, webhooks: Webhooks, name: Name, key: Key | None = None, value: Value = ""
) -> Reply:
    """Show what can be set of a webhook, or set it: triggers, enabled, severity, rate, secret, url.

    `triggers` are words, `severity` is the least that is sent, `rate` is messages a second. `secret` signs what is
    sent to a custom webhook; the one before signs too until it is taken away. Neither it nor `url` is shown again.
    """
    webhook = _meant(webhooks, name)
    if key is None:
        return Reply(title=f"Settings of {escape(webhook.name, 64)}", items=_settings(webhook))
    if not value:
        raise InvalidArgument("value", "", f"the new value of {key}")
    before, after = await webhooks.set(webhook.name, key, value, _author(ctx))
    return Reply.ok(f"{key} of `{escape(webhook.name, 64)}`: {escape(before, 200)} → {escape(after, 200)}")


@command("test_webhook", permission="owner", group="webhooks")
async def test_webhook(ctx: Context, webhooks: Webhooks, name: Name) -> Reply:
    """Send a test message now; a webhook that was paused is used again once it takes one."""
    webhook = webhooks.get(name)
    attempt = await webhooks.test(webhook.name)
    revived = " It had been paused and is used again." if attempt.revived else ""
    return Reply(
        ("Delivered." if attempt.delivered else "Not delivered.") + revived,
        f"Test of webhook {escape(webhook.name, 64)}",
        (
            Field("Status", str(attempt.status) if attempt.status else "no answer"),
            Field("Time", f"{attempt.seconds * 1000:.0f} ms"),
            Field("Answer", escape(attempt.answer, 500) or "empty", inline=False),
        ),
        tone="ok" if attempt.delivered else "error",
    )


@command("remove_webhook", permission="owner", group="webhooks")
async def remove_webhook(ctx: Context, webhooks: Webhooks, name: Name) -> Confirm:
    """Tell another system nothing any more."""
    webhook = webhooks.get(name)

    async def remove(ctx: Context) -> Reply:
        removed = await webhooks.remove(webhook.name)
        return Reply.ok(f"Webhook `{escape(removed.name, 64)}` is removed.")

    waiting = f" {webhook.waiting} deliveries to it wait and would be lost." if webhook.waiting else ""
    name, address = escape(webhook.name, 64), escape(webhook.address, 200)
    return Confirm(f"Remove the webhook `{name}` ({webhook.type}, {address})?{waiting}", remove)


@command("webhook_stats", permission="owner", group="webhooks")
async def webhook_stats(ctx: Context, webhooks: Webhooks, links: Links) -> Reply:
    """How much was sent, failed, waits and is dead, in all and for each webhook."""
    stats = webhooks.stats()
    total = stats.total
    return Reply(
        title="Webhook statistics",
        fields=(
            Field("Sent", f"{total.sent} messages"),
            Field("Failed", f"{total.failed} tries"),
            Field("Waiting", f"{total.waiting} deliveries"),
            Field("Dead", f"{total.dead} deliveries"),
            Field("Dropped", f"{total.dropped} deliveries"),
            Field("Success rate", _rate(total.success_rate)),
            *links.field("webhooks"),
        ),
        items=tuple(f"{escape(name, 64)}: {_counts(counts)}" for name, counts in stats.each.items()),
    )


@command("webhook_deliveries", permission="owner", group="webhooks")
async def webhook_deliveries(
    ctx: Context,
    webhooks: Webhooks,
    links: Links,
    name: NameOrState = "",
    state: Shown | None = None,
) -> Reply:
    """What was sent, is waiting, or failed, newest first: of one webhook or of all, in one state or in all."""
    if state is None and name.lower() in _STATES:
        name, state = "", _STATES[name.lower()]
    known = webhooks.get(name).name if name else None
    found = await webhooks.deliveries(known, state)
    if not found:
        return Reply("There are none.", "Deliveries")
    page = links.field("webhooks") if known is None else links.field("webhooks", known)
    return Reply(title=f"Deliveries: {len(found)}", fields=page, items=tuple(_delivery(each) for each in found))


@command("webhook_retry", permission="owner", group="webhooks")
async def webhook_retry(
    ctx: Context,
    webhooks: Webhooks,
    what: Annotated[
        str,
        Meta(description="a delivery's number, or a webhook's name", min_length=1, max_length=64, examples=["ops"]),
        Completes("webhook"),
    ],
) -> Reply:
    """Send again what is dead: one delivery by its number, or all of a webhook."""
    count = await webhooks.retry(what)
    if not count:
        return Reply("Nothing of it is dead.")
    return Reply.ok(f"{count} {'delivery is' if count == 1 else 'deliveries are'} sent again.")


# -- in words -----------------------------------------------------------------------------------------


def _author(ctx: Context) -> str:
    return ":".join(ctx.identity)


def _meant(webhooks: Webhooks, name: str) -> Webhook:
    """The webhook of that name, or a refusal that does not repeat what may have been a secret in the wrong place."""
    try:
        return webhooks.get(name)
    except InvalidArgument as error:
        refusal = InvalidArgument(error.argument, WITHHELD, error.expected)
    raise refusal  # out here, where the one that holds it is no context of it


def _is_well(webhook: Webhook) -> bool:
    return webhook.enabled and webhook.readable and webhook.state == "active" and webhook.failing_since is None


def _standing(webhook: Webhook) -> str:
    if not webhook.readable:
        return "address unreadable: set it again"
    if not webhook.enabled:
        return "switched off"
    if webhook.state == "paused":
        return "paused" + (f": {escape(webhook.state_reason, 200)}" if webhook.state_reason else "")
    if webhook.failing_since is not None:
        return f"failing since {moment(webhook.failing_since)}"
    return "active"


def _last(webhook: Webhook) -> str:
    if webhook.last_at is None:
        return "never"
    return moment(webhook.last_at) + (f" ({escape(webhook.last_answer, 200)})" if webhook.last_answer else "")


def _rate(rate: float | None) -> str:
    return "nothing sent yet" if rate is None else f"{rate:.1%}"


def _counts(counts: Counts) -> str:
    return (
        f"{counts.sent} sent, {counts.failed} tries failed, {counts.waiting} waiting, {counts.dead} dead, "
        f"{counts.dropped} dropped, success rate {_rate(counts.success_rate)}"
    )


def _line(webhook: Webhook) -> str:
    return (
        f"**{escape(webhook.name, 64)}** {webhook.type} {escape(webhook.address, 100)}: "
        f"{', '.join(webhook.triggers)}; {_standing(webhook)}; success rate {_rate(webhook.success_rate)}; "
        f"last delivery {_last(webhook)}"
    )


def _facts(webhook: Webhook, here: str) -> tuple[Field, ...]:
    return (
        Field("Type", webhook.type),
        Field("Address", escape(webhook.address, 200)),
        Field("Triggers", ", ".join(webhook.triggers)),
        Field("Least severity", webhook.severity),
        Field("State", _standing(webhook)),
        Field("Signed", f"by {webhook.signed} secret{'s' * (webhook.signed > 1)}" if webhook.signed else "no"),
        Field("Rate", f"at most {webhook.rate:g} a second" if webhook.rate else "no bound of its own"),
        Field("Sent", f"{webhook.sent} messages, {webhook.failed} tries failed"),
        Field("Waiting", f"{webhook.waiting} deliveries, {webhook.dead} dead, {webhook.dropped} dropped"),
        Field("Success rate", _rate(webhook.success_rate)),
        Field("Last delivery", _last(webhook)),
        Field("Added", f"{moment(webhook.created_at)} by {author(webhook.created_by, here) or 'somebody unknown'}"),
    )


def _settings(webhook: Webhook) -> tuple[str, ...]:
    return (
        f"triggers = {' '.join(webhook.triggers)}",
        f"enabled = {'on' if webhook.enabled else 'off'}",
        f"severity = {webhook.severity}",
        f"rate = {webhook.rate:g}",
        f"secret = {f'{webhook.signed} set' if webhook.signed else 'none'}",
        f"url = {escape(webhook.address, 200)}",
    )


def _delivery(delivery: Delivery) -> str:
    event, last = delivery.event, ""
    tried = "not tried yet"
    if delivery.attempts:
        tried = f"{delivery.attempts} {'try' if delivery.attempts == 1 else 'tries'}"
    if delivery.last_at is not None:
        status = f"{delivery.last_status} " if delivery.last_status else ""
        last = f", last {moment(delivery.last_at)}: {status}{escape(delivery.last_answer, 150)}".rstrip(": ")
    reason = f" ({escape(delivery.reason, 150)})" if delivery.reason else ""
    following = f", next {moment(delivery.next_at)}" if delivery.state == "waiting" and delivery.next_at else ""
    return (
        f"{_TONES[delivery.state]} `{delivery.id}` {escape(delivery.webhook, 64)}: {event.kind} "
        f"{escape(event.title, 100)} – {delivery.state}{reason}, {tried}{last}{following}"
    )


COMMANDS = (
    add_webhook,
    list_webhooks,
    webhook_info,
    webhook_config,
    test_webhook,
    remove_webhook,
    webhook_stats,
    webhook_deliveries,
    webhook_retry,
)
