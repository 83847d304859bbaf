"""Abuse: who is held back, why, and what has been done about whom."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, structs

from socbot.config import LadderStep
from socbot.dispatch.messages import Identity
from socbot.dispatch.replies import Chart
from socbot.systems.analytics import UserUsage
from socbot.systems.blacklist import Change, Entry, Kind, Listed
from socbot.systems.rate_limit import Exemption, Recorded, Standing, TimedOut
from socbot.web.addresses import linking
from socbot.web.host import Host
from socbot.web.view import View, Viewer

_DAY: Final = 86_400.0
_PAGE: Final = 40
_LOOKED_THROUGH: Final = 500
_OFFENDERS: Final = 10
_SHOWN: Final = 30
_HISTORY: Final = 100


class Query(Struct, frozen=True):
    """What is listed.

    :param search: part of ``platform:id`` of who is on the blacklist
    :param kind: users or guilds alone
    :param page: which ``40`` entries of the blacklist, from 0
    :param before: violations before the one of that number
    """

    search: Annotated[str, Meta(max_length=200)] = ""
    kind: Kind | None = None
    page: Annotated[int, Meta(ge=0, le=100_000)] = 0
    before: Annotated[int, Meta(ge=0)] | None = None


class Limits(Struct, frozen=True):
    """The limits in force; times in seconds.

    :param cooldown: between two commands of one person; ``cooldowns`` between two uses of a command
    :param burst: how many commands a person has within ``window``
    :param tolerance: how many refusals in a row are a violation
    :param decay: how long a violation counts
    :param ladder: what the first violation costs, the second, …; the last step repeats
    :param shared: whether processes keep one limit; ``apart`` if they cannot just now
    """

    cooldown: float
    burst: int
    window: float
    tolerance: int
    decay: float
    cooldowns: dict[str, float]
    ladder: tuple[LadderStep, ...]
    exempt_owner: bool
    exempt_admins: bool
    shared: bool
    apart: bool


class Offender(Struct, frozen=True):
    """Somebody with several of the last violations."""

    platform: str
    id: str
    violations: int


class Refusals(Struct, frozen=True):
    """A command, how often the limiter refused it, and when it last did."""

    command: str
    count: int
    at: float


class Abuse(Struct, frozen=True):
    """Who is held back, why, and what has been done.

    :param problem: why it is not known who is listed; then everybody but the owner is kept out
    :param users: how many users are listed; ``guilds`` how many guilds
    :param refused: commands that were refused for whatever reason in the last 24 hours, by the hour's beginning too
    :param commands: commands in that time, refused or not
    :param refusals: what the limiter refuses most, since it counts
    :param violations: the newest, of which ``offenders`` have most among the last 500; ``older`` is where they go on
    :param timed_out: who is timed out now, at most 30 of ``timeouts``
    :param exempt: who is not limited, by name; at most 30 of ``exemptions``
    :param listed: the blacklist, newest first; ``more`` if it goes on
    """

    problem: str
    users: int
    guilds: int
    refused: int
    commands: int
    by_hour: tuple[tuple[float, int], ...]
    refusals: tuple[Refusals, ...]
    limits: Limits
    violations: tuple[Recorded, ...]
    offenders: tuple[Offender, ...]
    older: int | None
    timed_out: tuple[TimedOut, ...]
    timeouts: int
    exempt: tuple[Exemption, ...]
    exemptions: int
    listed: tuple[Listed, ...]
    more: bool
    platforms: tuple[str, ...]


async def read(host: Host, query: Query, viewer: Viewer) -> Abuse:
    blacklist, limiter, now = host.blacklist, host.rate_limiter, host.clock.time()
    day = await host.analytics.summary(now - _DAY, now)
    last = await limiter.violations(_LOOKED_THROUGH, before=query.before)
    timed_out, exempt = limiter.timed_out(), await limiter.exemptions()
    listed: tuple[Listed, ...] = ()
    if blacklist.available:
        listed = await blacklist.listing(query.kind, query.search, limit=_PAGE + 1, skip=query.page * _PAGE)
    return Abuse(
        blacklist.problem or "",
        blacklist.count("user"),
        blacklist.count("guild"),
        day.tally.refused,
        day.tally.commands,
        tuple((at, tally.refused) for at, tally in day.by_step),
        tuple(Refusals(*each) for each in await limiter.refusals(_OFFENDERS)),
        _limits(host),
        last[:_PAGE],
        _offenders(last),
        last[_PAGE - 1].key if len(last) > _PAGE else None,
        timed_out[:_SHOWN],
        len(timed_out),
        exempt[:_SHOWN],
        len(exempt),
        listed[:_PAGE],
        len(listed) > _PAGE,
        host.vitals.platforms,
    )


def _limits(host: Host) -> Limits:
    config = host.rate_limiter.config
    return Limits(
        config.cooldown,
        config.burst,
        config.window,
        config.tolerance,
        config.decay,
        config.cooldowns,
        config.ladder,
        config.exempt_owner,
        config.exempt_admins,
        config.shared,
        host.rate_limiter.apart,
    )


def _offenders(violations: tuple[Recorded, ...]) -> tuple[Offender, ...]:
    counts = Counter((each.platform, each.id) for each in violations)
    most = counts.most_common(_OFFENDERS)
    return tuple(Offender(platform, id, count) for (platform, id), count in most if count > 1)


def shape(found: Abuse, query: Query, viewer: Viewer) -> Mapping[str, Any]:
    labels = tuple(f"{datetime.fromtimestamp(at, viewer.zone):%H:%M}" for at, _ in found.by_hour)
    counts = tuple(float(count) for _, count in found.by_hour)
    return {
        "chart": Chart("bar", labels, {"refused": counts}, "commands an hour"),
        "link": linking(query),
        "opened": _opened(query.search, query.kind or "user", found.platforms),
    }


def _opened(text: str, kind: Kind, platforms: tuple[str, ...]) -> tuple[tuple[str, Kind, str], ...]:
    """Whose pages somebody who looks for ``text`` may want, listed or not."""
    platform, colon, id = text.strip().partition(":")
    if colon and platform and id:
        return ((platform, kind, id),)
    return tuple((each, kind, text.strip()) for each in platforms) if text.strip() else ()


# -- one person, or one guild -------------------------------------------------------------------------


class OneQuery(Struct, frozen=True):
    """Whose page it is.

    :param before: violations before the one of that number
    """

    platform: Annotated[str, Meta(max_length=64)]
    kind: Kind
    id: Annotated[str, Meta(max_length=200)]
    before: Annotated[int, Meta(ge=0)] | None = None


class Mishap(Struct, frozen=True):
    """An error that befell somebody."""

    error_id: str
    at: float
    type: str
    command: str


class Known(Struct, frozen=True):
    """What is known of one person, or guild, and what has been done about them.

    :param entry: the entry of the blacklist that is in force
    :param blocked: commands that it has stopped, and when it last did
    :param protected: whether they are an owner or the bot itself, whom nobody can list
    :param history: what was done about them, newest first, at most 100
    :param standing: how a person stands with the limits
    :param exemption: why a person is not limited, by name
    :param violations: a person's, newest first; ``older`` is where they go on
    :param usage: what a person did
    :param errors: what failed for a person, newest first
    """

    platform: str
    kind: Kind
    id: str
    problem: str
    entry: Entry | None
    blocked: int
    blocked_at: float | None
    protected: bool
    history: tuple[Change, ...]
    standing: Standing | None = None
    exemption: Exemption | None = None
    violations: tuple[Recorded, ...] = ()
    older: int | None = None
    usage: UserUsage | None = None
    errors: tuple[Mishap, ...] = ()


async def read_one(host: Host, query: OneQuery, viewer: Viewer) -> Known:
    blacklist, identity = host.blacklist, (query.platform, query.id)
    blocked, blocked_at = await blacklist.blocked(query.kind, identity)
    known = Known(
        query.platform,
        query.kind,
        query.id,
        blacklist.problem or "",
        await blacklist.find(query.kind, identity) if blacklist.available else None,
        blocked,
        blocked_at,
        query.kind == "user" and blacklist.is_protected(identity),
        (await blacklist.history(query.kind, identity))[:_HISTORY],
    )
    return known if query.kind == "guild" else await _person(host, query, known, identity)


async def _person(host: Host, query: OneQuery, known: Known, identity: Identity) -> Known:
    limiter = host.rate_limiter
    violations = await limiter.violations(_PAGE + 1, before=query.before, identity=identity)
    exempt = [each for each in await limiter.exemptions() if (each.platform, each.id) == identity]
    errors = await host.errors.of_user(identity)
    return structs.replace(
        known,
        standing=await limiter.standing(identity, owner=identity in host.dispatcher.owners),
        exemption=exempt[0] if exempt else None,
        violations=violations[:_PAGE],
        older=violations[_PAGE - 1].key if len(violations) > _PAGE else None,
        usage=await host.analytics.of_user(identity),
        errors=tuple(Mishap(each.error_id, each.at, each.type, each.command) for each in errors),
    )


def shape_one(found: Known, query: OneQuery, viewer: Viewer) -> Mapping[str, Any]:
    return {"link": linking(query, "platform", "kind", "id"), "user": f"{found.platform}:{found.id}"}


VIEWS = (
    View("/abuse", "Abuse", Query, Abuse, read, "abuse.html", shape=shape),
    View("/abuse/{platform}/{kind}/{id}", "Somebody", OneQuery, Known, read_one, "somebody.html", shape=shape_one),
)
