"""The rate limiter's commands."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from socbot.dispatch.arguments import Completes, Duration
from socbot.dispatch.commands import Command, command
from socbot.dispatch.context import Context
from socbot.dispatch.dispatcher import Dispatcher
from socbot.dispatch.errors import InvalidArgument, NotPermitted
from socbot.dispatch.messages import Identity, UserRef
from socbot.dispatch.replies import Field, Reply, author, escape, moment, person
from socbot.documents import ConfigError
from socbot.systems.links import Links
from socbot.systems.rate_limit import Lift, RateLimiter, Refusal
from socbot.systems.settings import Settings

CommandName = Annotated[
    str, Meta(description="a command's name", max_length=64, examples=["ping"]), Completes("command")
]


@command("rate_limit_status", permission="public", group="rate_limit")
async def rate_limit_status(
    ctx: Context, limits: RateLimiter, dispatcher: Dispatcher, links: Links, user: UserRef | None = None
) -> Reply:
    """How you stand with the limits; the owner may ask about anybody."""
    identity = ctx.identity if user is None else user.identity
    own = identity == ctx.identity
    if not own and not ctx.is_owner:
        raise NotPermitted("the owner")
    standing = await limits.standing(identity, owner=identity in dispatcher.owners, admin=own and ctx.is_admin)
    cooldowns = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in standing.cooldowns)
    fields = [
        Field("Used", f"{standing.used} of {standing.burst} commands in {Duration(standing.window)}"),
        Field("Next command", f"in {standing.next_in:.1f} s" if standing.next_in else "now"),
        Field("Cooldowns running", cooldowns or "none"),
        Field("Violations", f"{standing.violations} of {standing.steps}"),
        Field("Exempt", standing.exempt or "no"),
    ]
    if standing.muted:
        fields.append(Field("Timed out", f"for {standing.muted:.0f} s"))
        fields.append(Field("Carried out as", escape(standing.enforced, 200) or "bot mute"))
    if ctx.is_owner:
        fields += links.field("abuse", identity[0], "user", identity[1])
    return Reply(title=f"Limits of {_shown(ctx, identity)}", fields=tuple(fields))


@command("set_command_cooldown", permission="owner", group="rate_limit")
async def set_command_cooldown(
    ctx: Context,
    settings: Settings,
    dispatcher: Dispatcher,
    command: CommandName,
    cooldown: Annotated[str, Meta(description="a duration like 90s or 5m, or seconds", max_length=40, examples=["5m"])],
) -> Reply:
    """Set how long each user waits between two uses of one command; a bare number is seconds, 0 is no wait."""
    found = _command(dispatcher, command)
    try:
        before, after = await settings.set(f"rate_limit.cooldowns.{found.name}", cooldown, ":".join(ctx.identity))
    except ConfigError:
        raise InvalidArgument("cooldown", cooldown, "a duration like 90s or 5m, or seconds, up to 10 years") from None
    return Reply.ok(f"Cooldown of `{found.name}`: {_cooldown(before.value)} → {_cooldown(after.value)}")


@command("reset_violations", permission="owner", group="rate_limit", menu="Forget violations")
async def reset_violations(ctx: Context, limits: RateLimiter, user: UserRef) -> Reply:
    """Let nothing count against a user any more; lifts a timeout."""
    cleared = await limits.reset_violations(user.identity)
    text = f"{cleared.violations} violations of {_shown(ctx, user.identity)} count no longer."
    return _with_lifts(text, cleared.lifts)


@command("rate_limit_stats", permission="owner", group="rate_limit")
async def rate_limit_stats(ctx: Context, limits: RateLimiter) -> Reply:
    """Violations, what they cost, who commits most, and which commands are refused most."""
    stats = await limits.stats()
    top = [f"{_shown(ctx, (platform, id))}: {count} violations" for platform, id, count in stats.top]
    told = [f"warnings given {escape(words, 200)}: {count}" for words, count in stats.told]
    enforced = [f"timeouts carried out as {escape(words, 200)}: {count}" for words, count in stats.enforced]
    refusals = [f"`{escape(name, 64)}`: refused {count} times" for name, count in stats.refusals]
    return Reply(
        title="Rate limiting",
        fields=(
            Field("Violations", str(stats.violations)),
            Field("Warned", str(stats.warned)),
            Field("Timed out", str(stats.timed_out)),
            Field("Blacklisted", str(stats.blacklisted)),
        ),
        items=(*top, *told, *enforced, *refusals),
    )


@command("rate_limit_exempt", permission="owner", group="rate_limit")
async def rate_limit_exempt(
    ctx: Context, limits: RateLimiter, user: UserRef | None = None, duration: Duration | None = None
) -> Reply:
    """Exempt a user from the limits, or limit again who was exempt; without a user, who is exempt."""
    if user is None:
        exempt = await limits.exemptions()
        lines = (
            f"{_shown(ctx, (each.platform, each.id))} {_until(each.until)}, "
            f"by {author(each.given_by, ctx.message.platform)} since {moment(each.given_at)}"
            for each in exempt
        )
        return Reply(title="Exempt from the limits", text="" if exempt else "Nobody by name.", items=tuple(lines))
    exemption = await limits.toggle_exemption(
        user.identity, ":".join(ctx.identity), None if duration is None else float(duration)
    )
    if exemption is None:
        return Reply.ok(f"{_shown(ctx, user.identity)} is limited again.")
    return _with_lifts(f"{_shown(ctx, user.identity)} is exempt {_until(exemption.until)}.", exemption.lifts)


@command("rate_limit_test", permission="owner", group="rate_limit")
async def rate_limit_test(
    ctx: Context,
    limits: RateLimiter,
    dispatcher: Dispatcher,
    user: UserRef | None = None,
    command: CommandName = "ping",
    count: Annotated[int, Meta(ge=1, le=100)] = 15,
) -> Reply:
    """What a number of calls made now would meet, tried on a copy of the user's state; touches nothing."""
    identity = ctx.identity if user is None else user.identity
    found = _command(dispatcher, command)
    calls = limits.rehearse(identity, found.name, count)
    exempt = limits.exemption(
        identity, owner=identity in dispatcher.owners, admin=identity == ctx.identity and ctx.is_admin
    )
    text = f"Not limited in fact: {exempt}. If it were otherwise:" if exempt else ""
    lines = tuple(f"{number}. {_call(refusal)}" for number, refusal in enumerate(calls, 1))
    return Reply(text, f"{count} calls of {found.name} by {_shown(ctx, identity)}, tried", items=lines)


def _with_lifts(text: str, lifts: Sequence[Lift]) -> Reply:
    """The answer, with what became of the platform's timeouts."""
    lines = tuple(
        f"The timeout in `{escape(lift.guild, 64)}` "
        + (f"was not lifted: {escape(lift.why_not, 200)}" if lift.why_not else "is lifted.")
        for lift in lifts
    )
    return Reply(text, items=lines, tone="warn" if any(lift.why_not for lift in lifts) else "ok")


def _command(dispatcher: Dispatcher, name: str) -> Command:
    """:raises InvalidArgument: with the nearest names, if there is no such command"""
    found = dispatcher.registry.get(name)
    if found is None:
        near = " or ".join(dispatcher.registry.nearest(name))
        raise InvalidArgument("command", name, f"a command; did you mean {near}?" if near else "a command")
    return found


def _call(refusal: Refusal | None) -> str:
    return "allowed" if refusal is None else f"refused ({refusal.limit}), allowed in {refusal.retry_after:.1f} s"


def _cooldown(seconds: float | None) -> str:
    return str(Duration(seconds)) if seconds else "none"


def _until(until: float | None) -> str:
    return "for ever" if until is None else f"until {moment(until)}"


def _shown(ctx: Context, identity: Identity) -> str:
    return person(*identity, ctx.message.platform)


COMMANDS = (
    rate_limit_status,
    set_command_cooldown,
    reset_violations,
    rate_limit_stats,
    rate_limit_exempt,
    rate_limit_test,
)
