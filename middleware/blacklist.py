"""Nobody who is listed gets further."""

from typing import ClassVar

from socbot.dispatch.chain import Decision, Placement, pass_if
from socbot.dispatch.context import Context, Handler
from socbot.dispatch.errors import Refused
from socbot.dispatch.messages import Identity
from socbot.dispatch.replies import Field, Reply, escape, moment
from socbot.systems.blacklist import REASONS, Blacklist, Entry, Kind

_MOST_TOLD = 10_000


class Blacklisted(Refused):
    """The user, or the guild in which the command was used, is listed."""

    def __init__(self, kind: Kind, entry: Entry | None = None, appeal: str = "") -> None:
        self.kind, self.entry = kind, entry
        super().__init__(REASONS[kind], None if entry is None else _denial(entry, appeal))


class BlacklistUnavailable(Refused):
    """It is not known who is listed, so that nobody but the owner is let through."""

    def __init__(self) -> None:
        super().__init__("the blacklist is unavailable")


class BlacklistGuard:
    """Refuse whoever is listed; the owner never is.

    Silent, unless ``blacklist.tell`` says that a person is told why, once in each ``tell_interval``.
    """

    placement: ClassVar[Placement] = Placement(
        kind="guard",
        acts="before",
        may_refuse=True,
        before={
            "rate_limit": "the commands of listed users are counted, and told how long to wait",
            "profiler": "time that listed users took is measured as if it were the bot's own",
        },
    )

    def __init__(self, blacklist: Blacklist) -> None:
        self._blacklist = blacklist
        self._told: dict[Identity, float] = {}

    async def __call__(self, ctx: Context, call_next: Handler) -> Reply | None:
        return await pass_if(self.decide(ctx), ctx, call_next)

    def decide(self, ctx: Context) -> Decision:
        blacklist = self._blacklist
        kind = None
        if blacklist.problem is None:
            kind = blacklist.listed(ctx.identity, ctx.message.guild)
            if kind is None:
                return None
        if ctx.is_owner:
            ctx.trace.note("blacklist", "the owner is never refused")
            return None
        if kind is None:
            return BlacklistUnavailable()
        ctx.trace.note("blacklist", REASONS[kind])
        config = blacklist.config
        if not config.tell or not self._may_tell(ctx.identity, config.tell_interval):
            return Blacklisted(kind)
        return self._explained(ctx, kind)

    async def _explained(self, ctx: Context, kind: Kind) -> Blacklisted:
        platform, user = ctx.identity
        subject = user if kind == "user" else ctx.message.guild or ""
        return Blacklisted(kind, await self._blacklist.find(kind, (platform, subject)), self._blacklist.config.appeal)

    def _may_tell(self, identity: Identity, interval: float) -> bool:
        now = self._blacklist.clock.monotonic()
        if self._told.get(identity, now) > now:
            return False
        if len(self._told) >= _MOST_TOLD:
            self._told.clear()
        self._told[identity] = now + interval
        return True


def _denial(entry: Entry, appeal: str) -> Reply:
    title = "🚫 Access Denied" if entry.kind == "user" else "🚫 Guild Blacklisted"
    fields = [Field("Reason", escape(entry.reason, 500) or "No reason given")]
    if entry.kind == "user":
        fields.append(Field("Expires", "never" if entry.expires_at is None else moment(entry.expires_at)))
    return Reply(appeal, title, tuple(fields), tone="error", private=True)
