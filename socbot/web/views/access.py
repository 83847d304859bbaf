"""Access: who may use the dashboard and its API, who is signed in, and who can reach it at all."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from socbot.systems.access import Role
from socbot.web.host import Host
from socbot.web.view import View, Viewer

MOST_SESSIONS = 50


class Query(Struct, frozen=True):
    """Nothing can be asked for."""


class TokenFacts(Struct, frozen=True):
    """One token. Moments are seconds since 1970.

    :param configured: whether it stands in the configuration, and is changed there
    :param made_by: ``platform:id`` of whoever made it
    :param made_at: when it was made; None for one of the configuration
    :param used_at: when it was last used, to a minute; None if that is not known
    :param sessions: browsers that are signed in with it
    """

    name: str
    role: Role
    configured: bool
    made_by: str
    made_at: float | None
    used_at: float | None
    sessions: int


class SessionFacts(Struct, frozen=True):
    """One browser that is signed in. Moments are seconds since 1970.

    :param token: the name of the token it signed in with, or ``platform:id`` of the owner who was sent a link
    :param by_link: whether it was a link
    :param expires_at: when it is signed out, unless it is used before
    """

    token: str
    by_link: bool
    role: Role
    began_at: float
    expires_at: float


class AccessFacts(Struct, frozen=True):
    """Who may use the dashboard, who is signed in, and who can reach it.

    :param address: under which people reach it
    :param reach: ``machine`` if only this machine can, ``network`` if others can
    :param clear: whether tokens may cross the network in the clear
    :param owners: the owners on their platforms, as ``platform:id``, who can be sent a link
    :param tokens: those of the configuration first
    :param sessions: the newest first, at most 50
    :param session_count: how many there are
    :param session: seconds for which a browser stays signed in at most
    :param idle: seconds without use after which it is signed out
    """

    address: str
    reach: str
    clear: bool
    owners: tuple[str, ...]
    tokens: tuple[TokenFacts, ...]
    sessions: tuple[SessionFacts, ...]
    session_count: int
    session: float
    idle: float


async def read(host: Host, query: Query, viewer: Viewer) -> AccessFacts:
    access, config = host.access, host.config.web
    sessions = access.sessions()
    counts = {token.name: 0 for token in access.tokens()}
    for session in sessions:
        counts[session.token] = counts.get(session.token, 0) + 1
    return AccessFacts(
        host.links.base,
        "machine" if config.is_local and not config.url else "network",
        config.in_clear,
        tuple(sorted(":".join(person) for person in access.people)),
        tuple(
            TokenFacts(
                token.name, token.role, token.made_at is None, token.made_by, token.made_at, token.used_at,
                counts[token.name],
            )
            for token in access.tokens()
        ),
        tuple(
            SessionFacts(each.token, ":" in each.token, each.role, each.began_at, each.expires_at)
            for each in sessions[:MOST_SESSIONS]
        ),
        len(sessions),
        config.session,
        config.idle,
    )  # fmt: skip


def shape(it: AccessFacts, query: Query, viewer: Viewer) -> Mapping[str, Any]:
    unused = [token.name for token in it.tokens if token.used_at is None and not token.configured]
    return {"unused": unused, "linked": sorted({each.token for each in it.sessions if each.by_link})}


VIEWS = (View("/access", "Access", Query, AccessFacts, read, "access.html", shape=shape, needs="owner"),)
