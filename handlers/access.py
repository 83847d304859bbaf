"""The commands about who may use the dashboard."""

from typing import Annotated

from msgspec import Meta

from socbot.dispatch.arguments import Completes
from socbot.dispatch.commands import command
from socbot.dispatch.context import Confirm, Context
from socbot.dispatch.replies import Field, Reply, author, escape, moment
from socbot.systems.access import TICKET_LIFE, Access, Role, Session, Token
from socbot.systems.links import Links

NewName = Annotated[
    str,
    Meta(description="a name of letters, digits, - and _", pattern=r"^[\w-]{1,32}$", examples=["prometheus"]),
]
Name = Annotated[
    str,
    Meta(description="a token's name", min_length=1, max_length=200, examples=["prometheus"]),
    Completes("token"),
]

_MAY: dict[Role, str] = {
    "owner": "may do everything that you may",
    "viewer": "may look at everything but what is the owner's alone, and change nothing",
    "sender": "may raise signals, and nothing else",
}


@command("dashboard", permission="owner", group="access", private=True)
async def dashboard(ctx: Context, access: Access, links: Links) -> Reply:
    """Where the dashboard is, and a link that signs you in there: once, within five minutes."""
    if not links.base:
        why = f": {escape(links.failure, 200)}" if links.failure else "; see web.enabled in config.yaml"
        return Reply(f"It is not served here{why}.", "Dashboard", tone="warn")
    link = links.sign_in(access.ticket(":".join(ctx.identity)))
    return Reply(
        f"{link}\nIt signs you in once, within {TICKET_LIFE / 60:.0f} minutes, and nobody else should have it.",
        "Dashboard",
        (Field("Address", links.base, inline=False),),
    )


@command("tokens", permission="owner", group="access", private=True)
async def tokens(ctx: Context, access: Access) -> Reply:
    """Who may use the dashboard: every token with what it may do, when it was made and used, and its browsers."""
    known, sessions = access.tokens(), access.sessions()
    if not known:
        return Reply(f"There are none. `{ctx.prefix}token_add NAME` makes one.", "Tokens")
    here = ctx.message.platform
    linked = {session.token for session in sessions} - {token.name for token in known}
    items = [_line(token, sessions, here) for token in known]
    items += [f"**{escape(name, 100)}** by a link: {_browsers(name, sessions)}" for name in sorted(linked)]
    return Reply(title=f"Tokens: {len(known)}", items=tuple(items))


@command("token_add", permission="owner", group="access", private=True)
async def token_add(ctx: Context, access: Access, name: NewName, role: Role = "viewer") -> Reply:
    """Make a token for the dashboard and its API; it is shown this once.

    An owner's may do everything, a viewer's look, a sender's raise signals.
    """
    text = await access.add(name, role, ":".join(ctx.identity))
    return Reply(
        f"`{text}`\nIt is shown this once and kept nowhere: put it where it belongs now. It {_MAY[role]}.",
        f"Token {name}",
        tone="ok",
    )


@command("token_remove", permission="owner", group="access", private=True)
async def token_remove(ctx: Context, access: Access, name: Name) -> Confirm:
    """Take a token away; whoever is signed in with it is signed out at once."""
    access.require_removable(name)
    known = next((token for token in access.tokens() if token.name == name), None)
    count = sum(session.token == name for session in access.sessions())

    async def remove(ctx: Context) -> Reply:
        ended = await access.remove(name)
        done = "is removed" if known is not None else "is signed out"
        return Reply.ok(f"`{escape(name, 200)}` {done}; {_counted(ended)} ended with it.")

    what = f"the token `{escape(name, 64)}` ({known.role})" if known is not None else f"`{escape(name, 200)}`"
    return Confirm(f"Take away {what}? {_counted(count).capitalize()} would end at once.", remove)


# -- in words -----------------------------------------------------------------------------------------


def _line(token: Token, sessions: tuple[Session, ...], here: str) -> str:
    if token.made_at is None:
        made = "in the configuration"
    else:
        made = f"made {moment(token.made_at)} by {author(token.made_by, here) or 'somebody unknown'}"
    used = "not used yet" if token.used_at is None else f"used {moment(token.used_at)}"
    return f"**{escape(token.name, 64)}** ({token.role}): {made}; {used}; {_browsers(token.name, sessions)}"


def _browsers(name: str, sessions: tuple[Session, ...]) -> str:
    return _counted(sum(session.token == name for session in sessions))


def _counted(count: int) -> str:
    return "1 browser session" if count == 1 else f"{count or 'no'} browser sessions"


COMMANDS = (dashboard, tokens, token_add, token_remove)
