"""The blacklist's commands."""

from typing import Annotated, Literal

import anyio.to_thread
from msgspec import Meta

from socbot.dispatch.arguments import Duration, Rest, parse_reference
from socbot.dispatch.commands import command
from socbot.dispatch.context import Confirm, Context
from socbot.dispatch.errors import InvalidArgument, NotPermitted, UserError
from socbot.dispatch.messages import Attachment, GuildRef, Identity, UserRef
from socbot.dispatch.replies import Field, File, Reply, author, escape, moment, person
from socbot.egress import Client, EgressError
from socbot.systems import blacklist_files
from socbot.systems.blacklist import Blacklist, Change, Entry, ImportPlan, Kind
from socbot.systems.links import Links

Id = Annotated[str, Meta(description="a mention, or an id", max_length=100, examples=["42"])]
_MOST_REFUSED_SHOWN = 20


@command("blacklist_add", permission="owner", group="blacklist", menu="Blacklist")
async def blacklist_add(
    ctx: Context, blacklist: Blacklist, links: Links, kind: Kind, id: Id, reason: Rest = ""
) -> Reply:
    """Shut a user or guild out for good."""
    identity = _identity(ctx, kind, id)
    entry, replaced = await blacklist.add(kind, identity, reason=reason, by=_author(ctx))
    return _listed(ctx, entry, replaced, links)


@command("blacklist_temp", permission="owner", group="blacklist")
async def blacklist_temp(
    ctx: Context, blacklist: Blacklist, links: Links, kind: Kind, id: Id, duration: Duration, reason: Rest = ""
) -> Reply:
    """Shut a user or guild out for a time."""
    identity = _identity(ctx, kind, id)
    entry, replaced = await blacklist.add(kind, identity, reason=reason, by=_author(ctx), duration=float(duration))
    return _listed(ctx, entry, replaced, links)


@command("blacklist_remove", permission="owner", group="blacklist")
async def blacklist_remove(ctx: Context, blacklist: Blacklist, kind: Kind, id: Id, reason: Rest = "") -> Reply:
    """Let a user or guild in again."""
    entry = await blacklist.remove(kind, _identity(ctx, kind, id), reason=reason, by=_author(ctx))
    return Reply(title="Removed from the blacklist", fields=_fields(ctx, entry), tone="ok")


@command("blacklist", permission="owner", group="blacklist")
async def blacklist(ctx: Context, blacklist: Blacklist, kind: Kind | None = None) -> Reply:
    """Everybody who is listed, newest first."""
    entries = await blacklist.entries(kind)
    if not entries:
        return Reply("Nobody is listed.", "Blacklist")
    return Reply(title=f"Blacklist: {len(entries)}", items=tuple(_line(ctx, entry) for entry in entries))


@command("blacklist_check", permission="public", group="blacklist")
async def blacklist_check(
    ctx: Context, blacklist: Blacklist, links: Links, kind: Kind | None = None, id: Id = ""
) -> Reply:
    """Whether a user or guild is listed; without arguments, whether you are."""
    if kind is None:
        kind, identity = "user", ctx.identity
    elif id:
        identity = _identity(ctx, kind, id)
    else:
        raise InvalidArgument("id", "", f"the id of the {kind}")
    if not ctx.is_owner and (kind, identity) != ("user", ctx.identity):
        raise NotPermitted("the owner")
    entry = await blacklist.find(kind, identity)
    page = links.field("abuse", identity[0], kind, identity[1]) if ctx.is_owner else ()
    if entry is None:
        return Reply(f"The {kind} {_shown(ctx, kind, identity)} is not listed.", fields=page)
    fields = _fields(ctx, entry)
    return Reply(
        title=f"The {kind} {_shown(ctx, kind, identity)} is listed",
        fields=fields + page
        if ctx.is_owner
        else tuple(field for field in fields if field.name not in ("Reason", "By")),
        tone="warn",
    )


@command("blacklist_stats", permission="owner", group="blacklist")
async def blacklist_stats(ctx: Context, blacklist: Blacklist) -> Reply:
    """How many are listed, how they came there, and how often somebody was kept out."""
    stats = await blacklist.stats()
    sources = ", ".join(f"{escape(source, 40)} {count}" for source, count in sorted(stats.by_source.items()))
    return Reply(
        title="Blacklist",
        fields=(
            Field("Permanent", f"{stats.permanent} entries"),
            Field("Temporary", f"{stats.temporary} entries"),
            Field("Expired", f"{stats.expired} entries"),
            Field("By source", sources or "none"),
            Field("Blocked attempts", f"{stats.blocked} commands"),
        ),
    )


@command("blacklist_history", permission="owner", group="blacklist", menu="Blacklist history")
async def blacklist_history(ctx: Context, blacklist: Blacklist, links: Links, kind: Kind, id: Id) -> Reply:
    """Everything that was ever done about a user or guild."""
    identity = _identity(ctx, kind, id)
    changes = await blacklist.history(kind, identity)
    title = f"History of the {kind} {_shown(ctx, kind, identity)}"
    if not changes:
        return Reply("It was never listed.", title)
    return Reply(
        title=title,
        fields=links.field("abuse", identity[0], kind, identity[1]),
        items=tuple(_change(change, ctx.message.platform) for change in changes),
    )


@command("blacklist_export", permission="owner", group="blacklist", private=True, timeout=120.0)
async def blacklist_export(ctx: Context, blacklist: Blacklist, *, csv: bool = False) -> Reply:
    """The whole blacklist as a file, which `blacklist_import` reads back."""
    form: Literal["csv", "json"] = "csv" if csv else "json"
    entries = await blacklist.entries()
    content = await anyio.to_thread.run_sync(blacklist_files.write, entries, form)
    return Reply(f"{len(entries)} entries.", files=(File(f"blacklist.{form}", content),), private=True)


@command("blacklist_import", permission="owner", group="blacklist", timeout=120.0)
async def blacklist_import(
    ctx: Context,
    blacklist: Blacklist,
    egress: Client,
    file: Attachment | None = None,
    url: str = "",
    *,
    dry_run: bool = False,
) -> Reply | Confirm:
    """Take over entries from an attached file: an export of this bot, JSON or CSV, or the older bot's blacklist.json.

    An https address of such a file in the public internet will do as well. `--dry-run` shows what would be done and
    does nothing.
    """
    content = await _content(file) if file is not None or not url else await _fetched(egress, url)
    now = blacklist.clock.time()
    read = await anyio.to_thread.run_sync(blacklist_files.read, content, ctx.message.platform, now)
    plan = await blacklist.plan_import(read.entries)
    if dry_run or not (plan.added or plan.changed):
        return _imported(ctx, "Nothing was changed: this is what the import would do", plan, read.refused)

    async def take_over(confirmed: Context) -> Reply:
        done = await blacklist.take_over(read.entries, _author(confirmed))
        return _imported(confirmed, "Imported", done, read.refused, tone="ok")

    refused = len(plan.refused) + len(read.refused)
    return Confirm(
        f"Import into the blacklist: {len(plan.added)} to add, {len(plan.changed)} to change, "
        f"{len(plan.unchanged)} there already, {refused} refused. Go on?",
        take_over,
    )


def _identity(ctx: Context, kind: Kind, text: str) -> Identity:
    """:raises InvalidArgument: if ``text`` is neither a mention nor an id"""
    if kind == "guild":
        return parse_reference(GuildRef, text, ctx.message.platform, "id").identity
    return parse_reference(UserRef, text, ctx.message.platform, "id").identity


def _author(ctx: Context) -> str:
    return ":".join(ctx.identity)


def _shown(ctx: Context, kind: Kind, identity: Identity) -> str:
    platform, id = identity
    here = ctx.message.platform
    if kind == "user":
        return person(platform, id, here)
    return f"`{escape(id if platform == here else f'{platform}:{id}', 100)}`"


def _until(expires_at: float | None) -> str:
    return "for ever" if expires_at is None else f"until {moment(expires_at)}"


def _listed(ctx: Context, entry: Entry, replaced: Entry | None, links: Links) -> Reply:
    title = "Added to the blacklist" if replaced is None else "Changed on the blacklist"
    changes_hands = "This id may change hands: whoever bears the name is listed." if entry.id.startswith("~") else ""
    return Reply(
        changes_hands,
        title,
        _fields(ctx, entry) + links.field("abuse", entry.platform, entry.kind, entry.id),
        tone="ok",
    )


def _fields(ctx: Context, entry: Entry) -> tuple[Field, ...]:
    return (
        Field("Type", entry.kind),
        Field("Id", _shown(ctx, entry.kind, entry.identity)),
        Field("Reason", escape(entry.reason, 500) or "none given", inline=False),
        Field("By", author(entry.added_by, ctx.message.platform)),
        Field("Since", moment(entry.added_at)),
        Field("Until", "permanent" if entry.expires_at is None else moment(entry.expires_at)),
        Field("Source", escape(entry.source, 40)),
    )


def _line(ctx: Context, entry: Entry) -> str:
    reason = escape(entry.reason, 200) or "no reason given"
    by = author(entry.added_by, ctx.message.platform) or "somebody unknown"
    return (
        f"{entry.kind} {_shown(ctx, entry.kind, entry.identity)}: {reason} (by {by}, "
        f"since {moment(entry.added_at)}, {_until(entry.expires_at)}, source {escape(entry.source, 40)})"
    )


def _change(change: Change, here: str) -> str:
    line = f"{moment(change.at)} {change.action} by {author(change.by, here)}"
    if change.action in ("added", "changed"):
        line += f", {_until(change.expires_at)}"
    return f"{line}: {escape(change.reason, 200)}" if change.reason else line


_MOST_FETCHED = 1024 * 1024


async def _fetched(egress: Client, url: str) -> bytes:
    """:raises UserError: if it cannot be had, saying no more of the address than its host"""
    try:
        answer = await egress.get(url, limit=_MOST_FETCHED)
    except EgressError as error:
        raise UserError(f"Nothing was fetched: {escape(str(error), 300)}.") from error
    if answer.status != 200:
        led = ", which leads elsewhere: give that address" if 300 <= answer.status < 400 else ""
        raise UserError(f"Nothing was fetched: the answer was {answer.status}{led}.")
    if "content-encoding" in answer.headers:
        raise UserError("Nothing was fetched: the file came compressed, which was not asked for.")
    if not answer.whole:
        raise UserError(f"The file is too large: at most {_MOST_FETCHED // 2**20} MiB are fetched. Attach it instead.")
    return answer.body


async def _content(file: Attachment | None) -> bytes:
    """:raises UserError: if there is nothing to read"""
    if file is None:
        raise InvalidArgument("file", "", "a file attached to the command, JSON or CSV, or an https address")
    if file.size > blacklist_files.MAX_BYTES:
        most = blacklist_files.MAX_BYTES // 2**20
        raise UserError(f"The file `{escape(file.name, 100)}` is too large: at most {most} MiB are read.")
    try:
        return await file.read()
    except OSError as error:
        raise UserError(f"The file `{escape(file.name, 100)}` could not be read from here.") from error


def _imported(
    ctx: Context, title: str, plan: ImportPlan, unreadable: tuple[str, ...], tone: Literal["info", "ok"] = "info"
) -> Reply:
    refused = [f"{entry.kind} {_shown(ctx, entry.kind, entry.identity)}: {why}" for entry, why in plan.refused]
    refused += unreadable
    shown = [f"refused: {line}" for line in refused[:_MOST_REFUSED_SHOWN]]
    if len(refused) > _MOST_REFUSED_SHOWN:
        shown.append(f"… and {len(refused) - _MOST_REFUSED_SHOWN} more refused")
    counts = (
        Field("Added", f"{len(plan.added)} entries"),
        Field("Changed", f"{len(plan.changed)} entries"),
        Field("Already there", f"{len(plan.unchanged)} entries"),
        Field("Refused", f"{len(refused)} entries"),
    )
    return Reply(title=title, fields=counts, items=tuple(shown), tone=tone)


COMMANDS = (
    blacklist_add,
    blacklist_temp,
    blacklist_remove,
    blacklist,
    blacklist_check,
    blacklist_stats,
    blacklist_history,
    blacklist_export,
    blacklist_import,
)
