"""Nobody runs more commands than the limits allow."""

from typing import ClassVar

from socbot.dispatch.arguments import Duration
from socbot.dispatch.chain import Decision, Placement, pass_if
from socbot.dispatch.context import Context, Handler
from socbot.dispatch.errors import Refused
from socbot.dispatch.outcomes import Mode
from socbot.dispatch.replies import Field, Reply
from socbot.systems.blacklist import Blacklist
from socbot.systems.rate_limit import RateLimiter, Refusal, Violation


class RateLimited(Refused):
    """The limits did not admit the command; ``violation`` is what that cost, if the episode became one."""

    def __init__(self, refusal: Refusal, violation: Violation | None = None, *, silent: bool = False) -> None:
        self.refusal, self.violation, self.silent = refusal, violation, silent
        super().__init__(refusal.limit)

    @property
    def retry_after(self) -> float:
        """Seconds after which the command is admitted."""
        return self.refusal.retry_after

    def reply(self) -> Reply | None:
        if self.silent:
            return None
        if self.violation is not None and self.violation.told:
            return _violation_reply(self.violation)
        return _wait_reply(self.refusal) if self.refusal.told else None


class RateLimit:
    """Refuse what the limits do not admit, and let a violation climb the ladder.

    In shadow mode the decision is the same, and a violation costs nothing.
    """

    placement: ClassVar[Placement] = Placement(
        kind="guard",
        acts="before",
        may_refuse=True,
        before={"profiler": "time spent on refused commands is measured as if they had run"},
    )

    def __init__(self, limits: RateLimiter, blacklist: Blacklist, mode: Mode = "enforce") -> None:
        self._limits, self._blacklist, self._mode = limits, blacklist, mode

    async def __call__(self, ctx: Context, call_next: Handler) -> Reply | None:
        return await pass_if(self.decide(ctx), ctx, call_next)

    def decide(self, ctx: Context) -> Decision:
        limits = self._limits
        if ctx.is_owner or ctx.message.author.is_admin or limits.exempts_some:
            exempt = limits.exemption(ctx.identity, owner=ctx.is_owner, admin=ctx.is_admin)
            if exempt:
                ctx.trace.note("rate_limit", exempt)
                return None
        if ctx.confirmed or not ctx.command.metered:
            refusal = limits.muted(ctx.identity)
        elif limits.shared:
            return self._decide_together(ctx)
        else:
            refusal = limits.hit(ctx.identity, ctx.command.name)
        return None if refusal is None else self._refused(ctx, refusal)

    async def _decide_together(self, ctx: Context) -> Refused | None:
        refusal = await self._limits.hit_together(ctx.identity, ctx.command.name, ctx.command.permission)
        decision = None if refusal is None else self._refused(ctx, refusal)
        return decision if decision is None or isinstance(decision, Refused) else await decision

    def _refused(self, ctx: Context, refusal: Refusal) -> Decision:
        ctx.trace.note("rate_limit", refusal)
        if self._blacklist.listed(ctx.identity, ctx.message.guild):
            # Where this stands before the blacklist: who is listed is told nothing, and has nothing more to lose.
            return RateLimited(refusal, silent=True)
        if not refusal.violation or self._mode != "enforce":
            return RateLimited(refusal)
        return self._violated(ctx, refusal)

    async def _violated(self, ctx: Context, refusal: Refusal) -> RateLimited:
        guild = ctx.message.guild
        violation = await self._limits.violate(ctx.identity, ctx.command.name, guild, admin=ctx.is_admin)
        return RateLimited(refusal, violation)


def _wait_reply(refusal: Refusal) -> Reply:
    if refusal.limit == "no store":
        told = "Who may run how much cannot be looked up just now. Try again in a moment."
        return Reply(told, tone="warn", private=True, fleeting=15.0)
    remaining = Field("Remaining", f"{refusal.retry_after:.1f} s")
    if refusal.limit == "burst":
        limit = Field("Limit", f"{refusal.burst} commands in {Duration(refusal.window)}")
        return Reply("", "🚫 Burst Limit Exceeded", (limit, remaining), tone="warn", private=True, fleeting=15.0)
    text = "This command has a cooldown of its own." if refusal.limit == "command cooldown" else ""
    return Reply(text, "⏱️ Rate Limit Exceeded", (remaining,), tone="warn", private=True, fleeting=10.0)


def _timed_out(violation: Violation) -> str:
    if violation.is_silenced:
        return "you are timed out in this community, and the bot does not answer you anywhere,"
    return "the bot does not answer you"


def _violation_reply(violation: Violation) -> Reply:
    length = "for ever" if violation.duration is None else f"for {Duration(violation.duration)}"
    text = {
        "warn": "You use commands faster than the limits allow. Going on costs more each time.",
        "timeout": f"You kept exceeding the limits: {_timed_out(violation)} {length}.",
        "blacklist": f"You kept exceeding the limits: you are on the blacklist {length}.",
    }[violation.action]
    title = {"warn": "⚠️ Rate Limit Warning", "timeout": "🔇 Timed Out", "blacklist": "🚫 Access Denied"}[
        violation.action
    ]
    fields = (Field("Violations", f"{violation.number} of {violation.steps}"),)
    return Reply(text, title, fields, tone="warn" if violation.action == "warn" else "error", private=True)
